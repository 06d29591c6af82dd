from firedoor.core.units import MachineNo, UnixMs
from firedoor.intake.quota import EVENTS_A_MINUTE, Quota
from firedoor.ports import SignalEvent

TILL, POS = MachineNo(1), MachineNo(70_000)


def taken(quota, machine=TILL, kind="panic", tries=100):
    return sum(quota.take(machine, kind) for _ in range(tries))


def test_machines_and_kinds_are_counted_apart():
    """A machine in a crash loop must not hide its neighbour, nor its own failing check."""
    quota = Quota()

    counts = [
        taken(quota, machine, kind) for machine in (TILL, POS) for kind in ("panic", "coredump")
    ]

    assert counts == [EVENTS_A_MINUTE] * 4


def test_the_next_minute_begins_anew_and_the_same_one_does_not():
    """The limit is a rate: whoever goes on crashing is heard again."""
    quota = Quota()
    quota.turn(60_000)
    taken(quota)

    quota.turn(119_999)
    same = taken(quota)
    quota.turn(120_000)

    assert (same, taken(quota)) == (0, EVENTS_A_MINUTE)


def test_what_is_given_back_may_be_taken_again_and_never_more():
    """Even where the minute turned before it was known that nothing was stored."""
    quota = Quota()
    events = [SignalEvent(TILL, "panic", UnixMs(1), str(n), None) for n in range(10)]
    taken(quota)

    quota.give_back(events)
    again = taken(quota)
    quota.turn(60_000)
    quota.give_back(events)

    assert (again, taken(quota)) == (10, EVENTS_A_MINUTE)
