"""The loop with a past: what good releases showed is fixed at boarding, and holds what is worse."""

import msgspec
import pytest
from tests.loop import AV, MINUTE, Loop

from firedoor.core import silence
from firedoor.core.cell import Test
from firedoor.core.door import Reason, State
from firedoor.core.evidence import past
from firedoor.core.signal import CRASH, TOLD, TOLD_EARLY
from firedoor.wire.replay import replay

STRICT = "alpha_harm = 0.000000001"


def open_one(loop: Loop, version: int) -> None:
    loop.publish(str(version))
    for _ in range(120):
        loop.bucket()
        if loop.door(version).state is not State.OPENING:
            break
    assert loop.door(version).state is State.OPEN


def with_past(start, machines: int = 60, policy: str = STRICT, good: int = 3) -> Loop:
    loop: Loop = start(machines, policy=policy)
    loop.settle_in()
    for version in range(2, 2 + good):
        open_one(loop, version)
    return loop


def boarded(loop: Loop, number: int) -> list[list[object]]:
    (body,) = [
        signed.entry.body
        for signed in loop.store.entries()
        if signed.entry.kind == "boarded" and signed.entry.body["number"] == number
    ]
    return msgspec.convert(msgspec.convert(body["rules"], dict)["past"], list[list[object]])


def reasons(loop: Loop, number: int) -> list[object]:
    return [move["reason"] for move in loop.moves(number)]


def test_the_past_is_what_good_releases_showed_and_is_in_the_ledger_before_a_card(start):
    """Chosen afterwards, a past could be found that says anything."""
    loop = with_past(start, good=2)
    loop.bucket()
    loop.publish("4")

    known = loop.flight(4).boarding.rules.past
    cells = [cell for number in (2, 3) for cell in loop.store.cells(AV, number)]
    assert known
    assert sum(bucket.exposure for bucket in known if bucket.signal == "any") == sum(
        cell.treated for cell in cells if cell.test is Test.CLEARANCE
    )
    assert known == past.summed([cells])
    written = [(b.ring, b.signal, b.age, b.events, b.exposure) for b in known]
    assert [tuple(bucket) for bucket in boarded(loop, 4)] == written
    assert not boarded(loop, 2)


def test_what_was_let_through_or_contained_is_no_past(start):
    """A release that a person pushed through has shown nothing by opening."""
    loop = with_past(start, good=1)
    release = loop.publish("3")
    loop.bucket(12)
    loop.order("expedite", release=release, reason="now", all=True)
    loop.bucket()
    assert loop.door(3).reason is Reason.EXPEDITED
    loop.publish("4")

    assert loop.flight(4).boarding.rules.past == past.summed([loop.store.cells(AV, 2)])


def test_a_release_that_is_worse_than_the_past_is_held_and_goes_on_when_a_person_says_so(start):
    """At this alpha the control alone would let it harm its whole budget, and more."""
    loop = with_past(start, policy=f"expedite_needs_two = true\n{STRICT}")
    release = loop.publish("5")
    loop.deadly.add(release)
    for _ in range(30):
        loop.bucket()
        if loop.door(5).state is State.HELD:
            break

    door = loop.door(5)
    assert (door.state, door.reason) == (State.HELD, Reason.WORSE)
    assert "worse than past good releases" in door.note
    said = loop.flight(5).verdict()
    loop.start_judge()
    assert loop.flight(5).verdict() == said
    order = {"release": release, "reason": "they were switched off"}
    assert "waits" in loop.order("resume", **order).body
    assert loop.door(5) == door
    assert loop.order("resume", **order, approved_by="Bo").status == "ok"
    loop.bucket()
    assert loop.door(5).reason is not Reason.WORSE
    assert reasons(loop, 5).count(Reason.WORSE) == 1
    found = replay(loop.store, loop.gate)
    assert found.difference is None
    assert found.decisions > 0


def test_good_releases_go_on_opening_with_a_past(start):
    """The comparison may not become the reason why nothing opens any more."""
    loop = with_past(start, good=5)

    assert all(loop.door(number).state is State.OPEN for number in range(2, 7))
    assert replay(loop.store, loop.gate).difference is None


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_late_harm_contains_an_open_release_for_those_without_it_and_takes_it_from_nobody(start):
    """Who has it may be broken, but is not reverted by a comparison with the past."""
    loop = with_past(start, 600, f"delta = 0.1\n{STRICT}", good=1)
    loop.bucket(130)
    open_one(loop, 3)
    loop.bucket(130)
    release = loop.publish("4")
    for _ in range(140):
        loop.bucket()
        now = loop.clock.now().wall_ms
        for stored in loop.places(4):
            span = silence.class_deadline(stored.place.cls, 5 * MINUTE)
            if stored.place.treated and stored.place.deck and now - stored.wall_ms >= 18 * span:
                loop.dead.add(stored.place.machine)
        if loop.door(4).reason in (Reason.LATE_HARM, Reason.HARMFUL, Reason.WORSE):
            break

    door = loop.door(4)
    assert (door.state, door.reason) == (State.HELD, Reason.LATE_HARM)
    assert loop.lane().kept
    has = {stored.place.machine for stored in loop.places(4) if stored.place.treated}
    living = next(machine for machine in sorted(has) if machine not in loop.dead)
    loop.machines.append(601)
    loop.bucket(4)
    assert loop.admission.peek(living) == 4
    assert loop.admission.peek(601) == 3
    assert loop.order("resume", release=release, reason="a power cut").status == "ok"
    assert loop.door(4).state is State.OPEN
    loop.bucket(2)
    assert loop.door(4).state is State.OPEN
    assert replay(loop.store, loop.gate).difference is None


# What machines say


def talking(start, machines: int, good: int, policy: str = STRICT) -> Loop:
    """A fleet that sends heartbeats, and so is believed about crashes."""
    loop: Loop = start(machines, policy=policy)
    loop.beat(loop.machines)
    loop.settle_in()
    for version in range(2, 2 + good):
        open_one(loop, version)
    return loop


def test_what_bricks_say_as_they_die_holds_a_release_before_anybody_is_missed(start):
    """A deadline of silence is the longest part of the way; who cries out needs none."""
    loop = talking(start, 200, good=3)
    loop.publish("5")
    holds: set[int] = set()
    for _ in range(30):
        loop.bucket()
        loop.crash(*holds - loop.dead)
        loop.dead |= holds
        holds = {p.place.machine for p in loop.places(5) if p.place.treated and p.place.deck}
        if loop.door(5).state is not State.OPENING:
            break

    door = loop.door(5)
    assert (door.state, door.reason) == (State.HELD, Reason.WORSE)
    assert not [cell for cell in loop.store.cells(AV, 5) if cell.test is Test.CLEARANCE]
    assert replay(loop.store, loop.gate).difference is None


def test_each_machine_that_spoke_is_counted_once_whenever_the_judge_is_started_again(start):
    """What has been looked at is in the store; forgotten, a crash would be told twice."""
    loop = talking(start, 120, good=1)
    loop.publish("3")
    for number in range(40):
        loop.crash(*(m for m in loop.machines if (m + 7 * number) % 40 == 0))
        loop.bucket()
        before = looked(loop, 3)
        loop.start_judge()
        assert looked(loop, 3) == before
    cells = [c for c in loop.store.cells(AV, 3) if c.signal in (TOLD_EARLY, TOLD)]
    spoke = [h for h in loop.store.harmed(AV, 3) if h.signal == CRASH]

    assert sum(c.treated_harmed + c.control_harmed for c in cells) == len(spoke) > 10
    assert sum(c.treated_harmed for c in cells) == sum(h.treated for h in spoke)


def looked(loop: Loop, number: int) -> dict[tuple[str, int], tuple[list[int], int]]:
    return {
        key: (pool.rows[pool.told].tolist(), pool.told_ms)
        for key, pool in loop.flight(number).pools.items()
    }
