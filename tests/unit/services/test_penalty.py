"""Machines that fail on every release, and what a release has to do with it."""

from collections import Counter

import pytest

from firedoor.core.door import State
from firedoor.services.penalty import HARMED_IN, LOOKED_AT, MOST_SHARE, sentence

SICK = 7


def published(loop, version):
    """One more good release, under which one machine crashes if it draws a card."""
    loop.publish(str(version))
    number = version
    for _ in range(400):
        loop.bucket()
        if number not in loop.train.lines["av"]:
            continue
        if SICK in {p.place.machine for p in loop.places(number) if p.place.deck}:
            loop.crash(SICK)
        if loop.door(number).state is State.OPEN:
            return number
    raise AssertionError(f"release {number} is {loop.door(number)}")


def inside(loop):
    """Who is in the box."""
    return loop.store.board().benched


@pytest.fixture
def loop(start):
    """A fleet that reports, with one machine that crashes whatever it gets."""
    loop = start(60, policy="alpha_warn = 0.01")
    loop.beat(loop.machines)
    loop.settle_in()
    return loop


def test_a_machine_that_fails_under_every_release_draws_no_card_and_gets_them_all(loop):
    """It would spend the budget of each of them, and hide what others suffer."""
    harmed: list[int] = []
    for version in range(2, 2 + HARMED_IN + 2):
        assert (SICK in inside(loop)) is (len(harmed) >= HARMED_IN)
        number = published(loop, version)
        if SICK in {each.machine for each in loop.store.harmed("av", number)}:
            harmed.append(number)
    assert len(harmed) == HARMED_IN
    assert inside(loop) == (SICK,)

    loop.bucket(3)
    newest = max(loop.train.lines["av"])
    assert SICK not in {p.place.machine for p in loop.places(newest) if p.place.deck}
    assert loop.admission.assigned[SICK] == newest


def test_after_as_many_releases_as_are_looked_at_it_is_tried_again(loop):
    """Disks are replaced."""
    for version in range(2, 2 + HARMED_IN):
        published(loop, version)
    loop.bucket(2)
    assert inside(loop) == (SICK,)
    for version in range(2 + HARMED_IN, 3 + LOOKED_AT):
        published(loop, version)
    loop.bucket(2)
    assert inside(loop) == ()


def test_what_a_bad_release_did_counts_for_nobody(loop):
    """Those that met it first must not be punished for it."""
    good = 0
    for number in range(2, 12):
        loop.publish(str(number))
        loop.bucket(2)
        while loop.door(number).state is State.OPENING:
            if SICK in {p.place.machine for p in loop.places(number) if p.place.deck}:
                loop.crash(SICK)
            loop.bucket()
            harmed = SICK in {each.machine for each in loop.store.harmed("av", number)}
            if harmed and good == HARMED_IN - 1:
                loop.order("shut", release=loop.release_of(number))
                loop.bucket(5)
                assert loop.door(number).state is State.SHUT
                assert inside(loop) == ()
                return
        good += SICK in {each.machine for each in loop.store.harmed("av", number)}
    raise AssertionError("it drew no card")


def test_where_many_fail_the_fleet_is_sick_and_nobody_is_benched(start):
    """Else a rot that spreads would take away everybody who could tell of it."""
    loop = start(12, policy="budget = 3\nalpha_warn = 0.01")
    loop.beat(loop.machines)
    loop.settle_in()
    sick = {1, 2, 3}
    times: Counter[int] = Counter()
    for number in range(2, 8):
        loop.publish(str(number))
        loop.bucket(2)
        while loop.door(number).state is State.OPENING:
            loop.crash(*(sick & {p.place.machine for p in loop.places(number) if p.place.deck}))
            loop.bucket()
        assert loop.door(number).state is State.OPEN
        times.update({each.machine for each in loop.store.harmed("av", number)})

    assert sum(count >= HARMED_IN for count in times.values()) > MOST_SHARE * 12
    assert inside(loop) == ()


def test_it_is_said_who_came_and_when_it_is_empty():
    """A long list is cut short."""
    assert "1 machine (by number: 7)" in sentence((7,))
    assert sentence(()) == "nobody is in the penalty box any more"
    assert sentence(range(1, 200)).endswith("20, ...); no card is drawn there")
