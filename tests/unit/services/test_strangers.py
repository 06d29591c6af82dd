"""Clients that are not enrolled: counted, never named, and not taken for nobody."""

import pytest
from tests.loop import AV, Loop
from tests.unit.services.rehearsal import at, until

from firedoor.core.door import Reason, State
from firedoor.services.admission import ACTIVE_MS
from firedoor.services.strangers import Strangers

LAB = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
"""
HOUR = 3_600_000


def strangers(loop: Loop, count: int) -> None:
    """So many clients without an identity ask for the channel."""
    for each in range(count):
        loop.admission.strangers.note(f"192.0.2.{each}", loop.clock.mono_ms)


def alerts(loop: Loop) -> list[str]:
    """What the ledger says of doors that stand still."""
    entries = (signed.entry.body for signed in loop.store.entries())
    return [str(body["note"]) for body in entries if "stands still" in str(body.get("note"))]


# The count


def test_a_client_counts_once_however_often_it_asks():
    """The sentence that people read is of clients, not of requests."""
    known = Strangers(ACTIVE_MS)
    for minute in range(5):
        known.note("192.0.2.1", minute)
        known.note("192.0.2.2", minute)

    assert known.count(5) == 2


def test_a_client_that_asks_no_more_is_forgotten_after_the_window():
    """A channel that was left by its readers is empty again."""
    known = Strangers(1_000)
    known.note("192.0.2.1", 0)
    known.note("192.0.2.2", 500)
    known.note("192.0.2.1", 900)

    assert [known.count(now) for now in (1_500, 1_501, 1_900, 1_901)] == [2, 1, 1, 0]


def test_the_memory_is_bounded_and_keeps_the_newest():
    """Whoever can send from many addresses must not fill the gate's memory."""
    known = Strangers(1_000, most=10)
    for each in range(1_000):
        known.note(f"client {each}", each)

    assert known.count(1_000) == 10
    assert known.count(1_990) == 10  # the last ten: the first of them asked at 990
    assert known.count(1_991) == 9


def test_addresses_are_not_kept():
    """What is not there cannot leak."""
    known = Strangers(1_000)
    known.note("192.0.2.1", 0)

    assert "192.0.2.1" not in repr(vars(known))


def test_after_a_restart_the_readers_of_the_last_run_still_count():
    """A gate that had just started would find the channel deserted, and open everything."""
    known = Strangers(1_000)
    known.restore(40, last_ms=-200)
    assert [known.count(now) for now in (0, 800, 801)] == [40, 40, 0]

    known.note("192.0.2.1", 850)
    assert (known.count(850), known.last()) == (1, 850)


def test_a_run_that_counted_nobody_leaves_nothing_behind():
    """Zero clients were last seen never."""
    known = Strangers(1_000)
    known.restore(0, last_ms=-5)

    assert (known.count(0), known.last()) == (0, None)


def test_the_census_counts_strangers_in_the_ring_they_are_served_like(start):
    """They belong to no machine's ring, and get what "everyone" has open."""
    loop = start(4, rings=LAB)
    loop.settle_in()
    strangers(loop, 3)
    seen_ms = loop.clock.mono_ms
    loop.clock.pass_ms(HOUR)

    now = loop.clock.now()
    counts = {c.ring: c for c in loop.admission.census(now.mono_ms, 60_000, now.wall_ms)}

    assert (counts["everyone"].unknown, counts["lab"].unknown) == (3, 0)
    assert counts["everyone"].unknown_ms == now.wall_ms - (now.mono_ms - seen_ms)
    assert counts["lab"].unknown_ms == 0


# The door


@pytest.fixture
def nameless(start):
    """A channel that forty unknown clients read, and nobody else."""
    loop = start(0)
    loop.publish("1")
    strangers(loop, 40)
    loop.bucket(2)
    return loop


def test_a_release_that_only_strangers_would_get_does_not_open_by_itself(nameless):
    """Nobody can try it: the day that everybody gets it at once is the day to prevent."""
    nameless.publish("2")
    nameless.bucket(200)

    assert at(nameless, 2) == (State.OPENING, Reason.EVIDENCE)
    assert nameless.admission.anonymous("everyone") == 1


def test_a_door_in_front_of_strangers_alone_tells_a_person_once(nameless):
    """Only a person can end it, and nobody reads an alert that repeats."""
    nameless.publish("2")
    nameless.bucket(30)
    nameless.start_judge()
    nameless.bucket(30)

    (told,) = alerts(nameless)
    assert told.endswith(
        "40 clients that are not enrolled read this channel; nobody can try the release: "
        "enrol some, or expedite it"
    )


def test_strangers_follow_as_soon_as_some_machines_are_enrolled_and_well(nameless):
    """The way out that costs nothing but an enrolment."""
    nameless.publish("2")
    nameless.bucket(5)
    nameless.machines = range(1, 9)
    until(nameless, 2, State.OPEN)

    assert at(nameless, 2)[1] in (Reason.CLEARED, Reason.WALKED)
    assert nameless.admission.anonymous("everyone") == 2


def test_a_person_may_let_strangers_through(nameless):
    """Expedite is for what evidence cannot decide."""
    nameless.publish("2")
    nameless.bucket(2)
    nameless.order("expedite", release=nameless.release_of(2), reason="read it ourselves", all=True)

    assert at(nameless, 2) == (State.OPEN, Reason.EXPEDITED)


def test_a_channel_that_nobody_reads_opens_as_empty(start):
    """A new channel must not wait for machines that may never come."""
    loop = start(0)
    loop.publish("1")
    loop.bucket(2)
    loop.publish("2")

    assert at(loop, 2) == (State.OPEN, Reason.EMPTY)
    assert alerts(loop) == []


def test_strangers_follow_the_rings_before_theirs(start):
    """A lab of enrolled machines is how a fleet without names gets a door."""
    loop = start(8, rings=LAB)
    loop.ring = dict.fromkeys(loop.machines, "lab")
    loop.settle_in()
    strangers(loop, 40)
    loop.bucket()
    loop.publish("2")
    assert at(loop, 2) == (State.WAITING, Reason.EARLIER_RING)
    assert at(loop, 2, "lab") == (State.OPENING, Reason.EVIDENCE)

    until(loop, 2, State.OPEN)

    assert at(loop, 2, "lab")[1] in (Reason.CLEARED, Reason.WALKED)
    assert at(loop, 2) == (State.OPEN, Reason.EMPTY)


def test_strangers_do_not_follow_a_lab_that_was_killed(start):
    """What the lab found out must reach them: by getting nothing."""
    loop = start(30, rings=LAB)
    loop.ring = dict.fromkeys(loop.machines, "lab")
    loop.settle_in()
    strangers(loop, 40)
    loop.bucket()
    loop.deadly = {loop.publish("2")}
    loop.bucket(60)

    assert at(loop, 2, "lab")[0] in (State.SHUT, State.HELD)
    assert loop.admission.anonymous("everyone") == 1
    assert loop.gate.census()[0].channel == AV
