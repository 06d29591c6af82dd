"""What machines told, in the loop: each minute once, each event once, and of whom reports."""

import pytest
from tests.loop import AV, MINUTE, Loop

from firedoor.core.cell import Cell
from firedoor.core.door import State
from firedoor.core.signal import CHECK, CRASH, TOLD, TOLD_EARLY
from firedoor.services.fetches import Rejection
from firedoor.wire.replay import replay

STRICT = "alpha_harm = 0.000000001"


def fleet(start, machines: int, *, talk: int = 1, policy: str = STRICT) -> Loop:
    """A fleet of which every so manieth machine reports; it has a release."""
    loop: Loop = start(machines, policy=policy)
    loop.beat(loop.machines[::talk])
    loop.settle_in()
    return loop


def told(loop: Loop, number: int) -> list[Cell]:
    return [c for c in loop.store.cells(AV, number) if c.signal in (TOLD_EARLY, TOLD)]


def spoke(loop: Loop, number: int) -> int:
    return sum(cell.treated_harmed + cell.control_harmed for cell in told(loop, number))


def seconds(cells: list[Cell]) -> int:
    return sum(cell.treated + cell.control for cell in cells)


def listened(cells: list[Cell]) -> int:
    """Seconds that somebody listened, of those who are the past."""
    return sum(cell.installed for cell in cells)


def until_cut(loop: Loop, number: int) -> None:
    """Minutes pass until the first deck is cut, and one more."""
    for _ in range(30):
        loop.bucket()
        if loop.gate.cuts_of(AV, number):
            loop.bucket()
            return
    raise AssertionError


def test_ticks_that_come_a_little_late_count_no_minute_twice(start):
    """No tick comes on the millisecond: of a loud fleet every minute would be two of the past."""
    loop = fleet(start, 200)
    loop.publish("2")
    until_cut(loop, 2)
    (first,) = loop.gate.cuts_of(AV, 2)
    for machine in loop.machines[:4]:
        loop.clock.pass_ms(7)
        loop.crash(machine)
        loop.bucket()
    passed = (loop.clock.mono_ms - first.cut.mono_ms) / 1000
    cells = [cell for cell in told(loop, 2) if cell.deck == 1]
    treated = sum(p.place.treated for p in loop.places(2) if p.place.deck == 1)

    assert spoke(loop, 2) == 4
    assert 0.8 * passed * (treated - 4) < listened(cells) <= passed * treated


def test_a_clock_that_was_wrong_makes_no_machine_speak_twice(start):
    """Its wall clock was a day ahead when it was counted, and was then put right."""
    loop = fleet(start, 200)
    loop.publish("2")
    until_cut(loop, 2)
    loop.clock.wall_ms += 1440 * MINUTE
    loop.crash(loop.machines[0])
    loop.bucket()
    assert spoke(loop, 2) == 1
    loop.clock.wall_ms -= 1440 * MINUTE
    loop.crash(loop.machines[1])
    loop.bucket()
    assert spoke(loop, 2) == 2
    loop.start_judge()
    loop.bucket(2)

    assert spoke(loop, 2) == 2


@pytest.mark.parametrize("step", [0, 1440])
def test_minutes_in_which_nobody_listened_are_not_counted(start, step):
    """A host that is off, or whose clock is set, made releases look quieter than they were."""
    loop = fleet(start, 200)
    loop.publish("2")
    until_cut(loop, 2)
    before = listened(told(loop, 2))
    loop.stop_gate()
    if step:
        loop.clock.wall_ms += step * MINUTE
    else:
        loop.clock.pass_ms(1440 * MINUTE)
    loop.start_gate()
    loop.start_judge()
    loop.crash(loop.machines[0])
    loop.bucket(2)
    loop.crash(loop.machines[1])
    loop.bucket()

    assert spoke(loop, 2) == 2
    assert 0 < listened(told(loop, 2)) - before <= 4 * 60 * len(loop.treated(2))


def test_machines_that_cannot_report_are_no_exposure(start):
    """Otherwise a fleet of which more report than before is worse than its quieter past."""
    whole, part = (fleet(start, 200, talk=talk) for talk in (1, 2))
    for loop in (whole, part):
        loop.publish("2")
        loop.bucket(10)  # the first class is looked at, and the minutes of its deck with it

    every, half = seconds(told(whole, 2)), seconds(told(part, 2))
    assert 0.35 * every < half < 0.65 * every


def test_quiet_minutes_are_counted_when_a_watch_is_ended(start):
    """Had somebody spoken in them they would have been, and events alone prove anything."""
    loop = fleet(start, 120, policy=f"budget = 1\n{STRICT}")
    loop.publish("2")
    ended = 0
    for _ in range(900):
        sealed = {key: pool for key, pool in loop.flight(2).pools.items() if pool.rungs}
        loop.bucket()
        for pool in (pool for key, pool in sealed.items() if key not in loop.flight(2).pools):
            ended += 1
            assert pool.told_ms == loop.judge.hearing.listened_ms
        if loop.door(2).state is State.OPEN:
            break

    assert loop.door(2).state is State.OPEN
    assert ended
    assert replay(loop.store, loop.gate).difference is None


def test_the_moment_of_a_report_is_the_first_of_those_that_decide_after_the_card(start):
    """An older crash is not this release's, and what only shows moves no crash to another age."""
    loop = fleet(start, 200)
    before, both, shown, thrown, quiet = loop.machines[:5]
    loop.crash(before)
    loop.bucket()
    loop.publish("2")
    until_cut(loop, 2)
    began = loop.clock.wall_ms
    loop.crash(both, shown, kind="check-failed")
    loop.bucket()
    loop.crash(both)
    loop.rejections.append(Rejection(AV, 2, thrown, "x", loop.clock.mono_ms))
    loop.bucket(2)
    hearing = loop.judge.hearing
    pool = next(iter(loop.flight(2).pools.values()))
    now = loop.clock.wall_ms

    def minutes(*streams: str) -> dict[int, int]:
        spoke = hearing.spoke_ms(AV, pool, streams, now)
        known = dict(zip(pool.machines.tolist(), spoke.tolist(), strict=True))
        return {m: (at - began) // MINUTE for m, at in known.items() if at < now}

    assert minutes(CRASH) == {both: 1}
    assert minutes(CHECK) == {both: 0, shown: 0, thrown: 1}
    assert minutes(CRASH, CHECK) == {both: 0, shown: 0, thrown: 1}
    assert {before, quiet}.isdisjoint(minutes(CRASH, CHECK))
