"""A dead machine has not spoken again: not even to a judge that starts after the clock was set."""

import pytest
from tests.loop import MINUTE, Loop
from tests.unit.services.rehearsal import at

from firedoor.core.door import Reason, State


def dying_later(loop: Loop, buckets: int) -> None:
    """Whoever installs polls for four minutes more and is dead; until the door is held."""
    got: dict[int, int] = {}
    for _ in range(buckets):
        loop.bucket()
        for machine in loop.treated(2):
            since = got.setdefault(machine, loop.clock.mono_ms)
            if loop.clock.mono_ms - since >= 4 * MINUTE:
                loop.dead.add(machine)
        if loop.door(2).state is State.HELD:
            return


@pytest.mark.parametrize("machines", [12, 20])
@pytest.mark.parametrize("step", [0, 120])
def test_a_clock_that_was_set_brings_no_dead_machine_back(start, step, machines):
    """After two hours of sleep, or a step of its clock, a judge that started gave slots back."""
    loop: Loop = start(machines, policy="budget = 1\nalpha_harm = 0.000000001")
    loop.period = {machine: 1 if machine % 2 else 12 for machine in loop.machines}
    loop.settle_in(80)
    loop.publish("2")
    dying_later(loop, 90)
    assert at(loop, 2) == (State.HELD, Reason.BUDGET_SPENT)
    dead = len(loop.dead)

    loop.clock.wall_ms += step * MINUTE
    loop.start_judge()
    loop.bucket(2)

    assert at(loop, 2) == (State.HELD, Reason.BUDGET_SPENT)
    assert not loop.flight(2).recovered
    dying_later(loop, 40)
    assert len(loop.dead) == dead
