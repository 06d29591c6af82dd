"""Silence of both arms at once: what it is called, and what it does to a door."""

import pytest
from tests.unit.services.rehearsal import until

from firedoor.core.cell import Cell, Test
from firedoor.core.door import State
from firedoor.services.outages import outage


def hit(x1: int, x0: int, stratum: str = "", signal: str = "silence") -> Cell:
    """A stratum of a class of 10 with the release and 90 without it."""
    return Cell(1, "everyone", 1, 0, Test.HARM, signal, stratum, 10, 90, x1, x0)


@pytest.mark.parametrize(
    ("x1", "x0", "named"),
    [
        (4, 36, True),
        (5, 40, True),
        (0, 30, True),
        (10, 30, False),  # far more of those with the release
        (4, 10, False),  # few of the others: chance, or harm
        (10, 0, False),
    ],
)
def test_it_is_an_outage_where_as_large_a_share_of_the_controls_is_silent(x1, x0, named):
    """They have not got the release, so it cannot have done it."""
    assert (outage([hit(x1, x0)]) is not None) is named


def test_crashes_are_no_outage_and_nothing_is_none():
    """A machine that speaks is not cut off."""
    assert outage([hit(5, 45, signal="crash")]) is None
    assert outage([]) is None


def test_what_nearly_all_of_the_silent_share_is_named():
    """Whose router to look at."""
    cells = [
        hit(3, 30, "model=R650,site=Brno"),
        hit(1, 10, "model=T40,site=Brno"),
        hit(0, 2, "model=T40,site=Prague"),
    ]
    said = outage(cells)
    assert said is not None
    assert "4 of 10 machines with the release and 42 of 90 without it" in said
    assert "(site=Brno)" in said


def test_a_release_that_meets_an_outage_is_not_shut_and_a_person_is_told(start):
    """Half of a fleet is cut off for two hours while a good release is on its way."""
    loop = start(200)
    loop.settle_in()
    loop.publish("2")
    while not loop.treated(2):
        loop.bucket()
    loop.bucket(2)
    cut_off = set(loop.machines[::2])
    loop.dead |= cut_off
    loop.bucket(200)
    loop.dead -= cut_off
    until(loop, 2, State.OPEN, most=800)

    notes = [e for e in loop.store.entries() if "fell silent together" in str(e)]
    assert len(notes) >= 1
    assert "meets an outage" in str(notes[0])
    assert "harmful" not in [move["reason"] for move in loop.moves(2)]
