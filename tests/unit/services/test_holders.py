"""Machines that have what a release changes try it first; what nobody installs holds up nobody."""

import pytest
from tests.loop import memory
from tests.unit.services.test_late_installs import slow

from firedoor.core.board import Lane
from firedoor.core.door import Reason, State

RING = "everyone"


def house(folder, machines, holders, *, known=True, policy=""):
    """A fleet of which only the first ``holders`` have the package that release 2 changes."""
    loop = slow(folder, machines, delay=0, settled=8, policy=policy)
    loop.never = frozenset(loop.machines[holders:])
    loop.has = loop.machines[:holders]
    if known:
        loop.admission.holders.put(2, loop.has)
    return loop


def drawn(loop, number=2):
    """Machines with a card, in the order of their places."""
    return [stored.place.machine for stored in loop.places(number) if stored.place.deck]


def test_holders_draw_first_and_both_arms_are_theirs():
    """A comparison of those who have a package with those who have not would prove nothing."""
    with memory() as folder:
        loop = house(folder, 60, 20)
        loop.publish("2")
        loop.bucket(6)
        assert drawn(loop)
        assert set(drawn(loop)) <= set(loop.has)
        assert set(loop.control(2)) <= set(loop.has)
        loop.close()


def test_a_door_opens_by_those_who_are_known_to_have_the_package():
    """They install at once, so evidence comes at once, and the window for the others is wide."""
    with memory() as folder:
        loop = house(folder, 60, 24)
        loop.publish("2")
        assert loop.until_over(2, 200) is State.OPEN
        assert loop.door(2).reason in (Reason.WALKED, Reason.CLEARED)
        first = drawn(loop)[: len(loop.has)]
        assert set(first) == set(loop.has)
        loop.close()


@pytest.mark.parametrize("holders", [12, 30])
def test_a_deadly_release_harms_as_many_as_in_a_fleet_of_holders_alone(holders):
    """To know who installs is to hear sooner of what it does."""
    with memory() as folder:
        loop = house(folder, 60, holders)
        loop.deadly.add(loop.publish("2"))
        loop.until_over(2, 300)
        loop.bucket(60)
        assert loop.door(2).state is not State.OPEN
        assert 0 < len(loop.dead) <= loop.door(2).budget
        assert loop.dead <= set(loop.has)
        loop.close()


def test_when_holders_are_through_the_others_draw():
    """What is known is what was fetched here: some have the package from before."""
    with memory() as folder:
        loop = house(folder, 60, 6)
        loop.publish("2")
        loop.bucket(60)
        assert set(drawn(loop)) > set(loop.has)
        first = drawn(loop)[: len(loop.has)]
        assert set(first) <= set(loop.has)
        loop.close()


def test_nobody_waits_for_holders_that_are_away():
    """A laptop in a drawer must not keep a fix from everybody else."""
    with memory() as folder:
        loop = house(folder, 40, 10)
        loop.dead.update(loop.has)
        loop.bucket(8)
        loop.publish("2")
        loop.bucket(6)
        assert drawn(loop)
        assert not set(drawn(loop)) & set(loop.has)
        loop.close()


def test_a_gate_without_a_release_in_flight_lets_nobody_go_first():
    """What was in flight says nothing of what comes next."""
    with memory() as folder:
        loop = house(folder, 20, 5)
        loop.admission.census(loop.clock.mono_ms, 60_000)
        assert loop.lane() == Lane(RING, 1)
        assert all(loop.admission.holders.may_draw(each, RING) for each in loop.machines)
        loop.close()


def test_a_release_that_nobody_installs_is_superseded_at_once():
    """Most updates of a distribution change nothing that a fleet has; the next may be a fix."""
    with memory() as folder:
        loop = house(folder, 40, 0, known=False, policy='patience = "7d"')
        loop.publish("2")
        assert loop.until_over(2, 300) is State.OPENING
        assert "do not install it" in "".join(loop.notes())
        loop.publish("3")
        loop.bucket(2)
        assert loop.door(2).state is State.SUPERSEDED
        assert loop.door(3).state is State.OPENING
        loop.close()


def test_a_release_that_somebody_installs_is_not():
    """Where it does what it is for, patience says when a newer one may take over."""
    with memory() as folder:
        loop = house(folder, 40, 10, known=False, policy='patience = "7d"')
        loop.publish("2")
        loop.until_over(2, 300)
        assert loop.flight(2).installed
        loop.publish("3")
        loop.bucket(2)
        assert loop.door(2).state is State.OPENING
        loop.close()
