from firedoor.core.units import MachineNo
from firedoor.intake import quota as quota_module
from firedoor.intake.quota import EVENTS_A_MINUTE, Quota

TILL, POS = MachineNo(1), MachineNo(70_000)


def taken(quota, machine=TILL, kind="panic", keys=range(100)):
    return sum(quota.take(machine, kind, str(key)) for key in keys)


def test_machines_and_kinds_are_counted_apart():
    """A machine in a crash loop must not hide its neighbour, nor its own failing check."""
    quota = Quota()

    counts = [taken(quota, each, kind) for each in (TILL, POS) for kind in ("panic", "coredump")]

    assert counts == [EVENTS_A_MINUTE] * 4


def test_the_next_minute_begins_anew_and_the_same_one_does_not():
    """The limit is a rate: whoever goes on crashing is heard again."""
    quota = Quota()
    quota.turn(60_000)
    taken(quota)

    quota.turn(119_999)
    same = taken(quota, keys=range(100, 200))
    quota.turn(120_000)

    assert (same, taken(quota)) == (0, EVENTS_A_MINUTE)


def test_what_is_sent_again_counts_once():
    """Also once the quota is used up: it may not have been stored the first time."""
    quota = Quota()

    first = taken(quota, keys=[*range(40)] * 3)
    rest = taken(quota)
    again = taken(quota)

    assert (first, rest, again) == (120, EVENTS_A_MINUTE, EVENTS_A_MINUTE)


def test_the_limit_holds_when_there_are_too_many_events_to_remember(monkeypatch):
    """Memory is bounded too: then repeats count, and a flood is stopped all the same."""
    monkeypatch.setattr(quota_module, "_REMEMBERED", 10)
    quota = Quota()

    assert (taken(quota), taken(quota)) == (EVENTS_A_MINUTE, 10)
