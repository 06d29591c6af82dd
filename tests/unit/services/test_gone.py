"""Rings whose own machines are gone: no evidence of others, and no walk to the end, opens them."""

import pytest
from tests.loop import Loop
from tests.unit.services.rehearsal import at, until

from firedoor.core.door import Reason, State

RINGS = '[[ring]]\nname = "lab"\nmachines = { site = ["lab"] }\n'


def chain(start, rest: int, policy: str = "") -> tuple[Loop, list[int]]:
    """A lab of a hundred that a release did well in, and then a small rest that it kills."""
    loop: Loop = start(100 + rest, rings=RINGS, policy=policy)
    lab = loop.machines[:100]
    loop.ring = dict.fromkeys(lab, "lab")
    loop.settle_in()
    loop.publish("2")
    until(loop, 2, State.OPEN, ring="lab", most=400)
    loop.deadly.add(loop.release_of(2))
    return loop, lab


def over(loop: Loop, lab: list[int]) -> None:
    """Time passes until the door of the rest is decided, and some more."""
    for _ in range(120):
        loop.bucket()
        loop.dead -= set(lab)
        if loop.door(2).state not in (State.WAITING, State.OPENING):
            break
    loop.bucket(15)
    loop.dead -= set(lab)


@pytest.mark.parametrize("rest", [4, 6, 10])
def test_what_other_rings_have_shown_opens_no_ring_whose_machines_are_gone(start, rest):
    """Their evidence excludes much; three dead of three here are no proof against it."""
    loop, lab = chain(start, rest)
    over(loop, lab)

    assert loop.door(2).state in (State.HELD, State.SHUT)
    assert len(loop.dead) <= max(loop.door(2).budget, 1) + 1 < rest


def test_the_first_machines_of_a_ring_are_no_more_than_its_budget(start):
    """A lab that did well once made the whole of the next ring its first deck."""
    loop, _ = chain(start, 20, "budget = 2")
    loop.bucket(2)

    first = [p for p in loop.places(2) if p.place.ring == "everyone" and p.place.treated]
    assert len(first) <= loop.door(2).budget == 2


@pytest.mark.parametrize("machines", [2, 4, 6])
def test_a_channel_in_shadow_holds_nothing_though_everybody_is_gone(start, machines):
    """Nobody is stopped: that is what shadow promises."""
    loop = start(machines, policy='mode = "shadow"')
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.OPEN)

    assert not loop.lane().held


@pytest.mark.parametrize("verb", [{"verb": "resume"}, {"verb": "expedite", "budget": 2}])
def test_a_person_who_has_seen_it_lets_it_go_on_once(start, verb):
    """Held again each time, nobody's decision would ever be one."""
    loop = start(6, policy="budget = 5")
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.HELD)
    more = {key: value for key, value in verb.items() if key != "verb"}
    loop.order(verb["verb"], release=loop.release_of(2), reason="they were switched off", **more)
    until(loop, 2, State.OPEN)

    assert at(loop, 2) == (State.OPEN, Reason.WALKED)


def test_what_was_held_for_the_silent_goes_on_when_most_of_them_are_back(start):
    """All have it, and one of twelve that does not come back is no harm that can be proved."""
    loop = start(12, policy="budget = 6\ncontrol = 0.5")
    loop.settle_in()
    loop.publish("2")
    while len(loop.treated(2)) < 12:
        loop.bucket()
    reserve = {place.place.machine for place in loop.places(2) if place.place.deck > 1}
    loop.dead |= reserve
    until(loop, 2, State.HELD)
    assert len(reserve) == 6
    loop.dead = {min(reserve)}
    until(loop, 2, State.OPEN)

    assert at(loop, 2) == (State.OPEN, Reason.WALKED)


@pytest.mark.parametrize("rest", [8, 20])
@pytest.mark.parametrize("order", [{"verb": "resume"}, {"verb": "expedite", "budget": 1}])
def test_whoever_gives_a_ring_more_slots_gives_no_more_than_these(start, order, rest):
    """With the evidence of other rings the first slot opened the whole ring, and all of it died."""
    loop, lab = chain(start, rest, "budget = 2")
    over(loop, lab)
    assert loop.door(2).state is State.HELD
    dead = len(loop.dead)
    more = {key: value for key, value in order.items() if key != "verb"}
    loop.order(order["verb"], release=loop.release_of(2), reason="switched off", **more)
    given = loop.door(2).budget - 2
    over(loop, lab)

    assert loop.door(2).state in (State.HELD, State.SHUT)
    assert len(loop.dead) <= dead + given < rest
