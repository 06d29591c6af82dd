"""Machines that fake harm, and a policy that does not believe a few of them."""

import pytest

from firedoor.core.door import Reason, State
from firedoor.wire.replay import replay


def accused(start, liars, fakes):
    """A good release in a fleet of 300 of which some of the first machines to have it crash."""
    loop = start(300, policy=f"liars = {liars}")
    loop.beat(loop.machines)
    loop.settle_in()
    loop.publish("2")
    while len(loop.treated(2)) < fakes:
        loop.bucket()
    loop.crash(*loop.treated(2)[:fakes])
    loop.bucket(20)
    return loop


@pytest.mark.parametrize("liars", [1, 2, 4])
def test_so_many_liars_shut_no_good_release(start, liars):
    """Whoever owns a few machines cannot keep a fix from everybody else."""
    loop = accused(start, liars, liars)

    assert loop.flight(2).evidence.max_log_e == 0.0
    assert loop.door(2).state is not State.SHUT


def test_what_all_who_have_it_say_is_believed_all_the_same(start):
    """The price is a few machines, and not the protection."""
    loop = start(300, policy="liars = 2\nbudget = 8")
    loop.beat(loop.machines)
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    loop.bucket(40)

    assert (loop.door(2).state, loop.door(2).reason) == (State.SHUT, Reason.HARMFUL)
    assert len(loop.dead) <= 8
    assert loop.flight(2).boarding.rules.liars == 2


def with_a_past(start, liars, good=10):
    """A fleet of which each good release so far has harmed nobody, and one more."""
    loop = start(200, policy=f"alpha_harm = 0.000000001\nliars = {liars}")
    loop.beat(loop.machines)
    loop.settle_in()
    for number in range(2, 2 + good):
        loop.publish(str(number))
        assert until_decided(loop, number, lambda: None).state is State.OPEN
    loop.publish("the last")
    return loop, 2 + good


def until_decided(loop, number, crash):
    for _ in range(120):
        loop.bucket()
        crash()
        if loop.door(number).state is not State.OPENING:
            break
    return loop.door(number)


@pytest.mark.parametrize(("liars", "state"), [(0, State.HELD), (2, State.OPEN)])
def test_two_liars_hold_no_good_release_by_its_past_where_two_are_spared(start, liars, state):
    """In a fleet that never fails a few crashes are worse than ever, and cost nothing to fake."""
    loop, number = with_a_past(start, liars)

    door = until_decided(loop, number, lambda: loop.crash(*loop.treated(number)[:2]))

    assert loop.flight(number).boarding.rules.past_liars == liars
    assert door.state is state
    assert (door.reason is Reason.WORSE) is (state is State.HELD)
    assert replay(loop.store, loop.gate).difference is None


def test_what_all_say_is_held_by_the_past_where_some_may_lie(start):
    """Whoever has it crashes."""
    loop, number = with_a_past(start, 2)

    door = until_decided(loop, number, lambda: loop.crash(*loop.treated(number)))

    assert (door.state, door.reason) == (State.HELD, Reason.WORSE)
    assert replay(loop.store, loop.gate).difference is None
