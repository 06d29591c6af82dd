"""Machines that fake harm, and a policy that does not believe a few of them."""

import pytest

from firedoor.core.door import Reason, State


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
