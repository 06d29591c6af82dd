"""Names that a machine has read in an index are there for three days after its release was left."""

import pytest
from tests.unit.services.test_retention import boarding

from firedoor.core.door import Door, Reason, State
from firedoor.core.units import UnixMs
from firedoor.services.lately import KEPT_MS, lately
from firedoor.services.retention import History, kept

HOUR = 3_600_000
NOW = 1_000 * HOUR
OPEN, SHUT, PAST, OPENING = State.OPEN, State.SHUT, State.SUPERSEDED, State.OPENING


def door(number, state, hours_ago, ring="everyone"):
    since = UnixMs(NOW - hours_ago * HOUR)
    return Door("deb", number, ring, f"r{number}", "", 1, state, Reason.EVIDENCE, since)


def found(*doors):
    """Boardings 1, 2, .., each with one door in this state since so many hours."""
    by_number = {n: [door(n, state, ago)] for n, (state, ago) in enumerate(doors, 1)}
    return lately(by_number, NOW)


def test_what_is_served_stays_however_old():
    """A distribution that rests for months has one release."""
    assert found((OPEN, 5_000)) == {1}


def test_a_release_stays_for_three_days_after_its_successor_opened():
    """Not after it opened itself, nor for so many releases: vendors publish at any pace."""
    assert found((OPEN, 5_000), (OPEN, 71)) == {1, 2}
    assert found((OPEN, 5_000), (OPEN, 73)) == {2}
    assert found(*((OPEN, 70 - hour) for hour in range(30))) == set(range(1, 31))


def test_a_release_that_never_opened_stays_for_three_days_after_its_end():
    """Machines that were let into it may have read its index."""
    assert found((OPEN, 900), (PAST, 71), (OPENING, 1)) == {1, 2, 3}
    assert found((OPEN, 900), (PAST, 73), (OPENING, 1)) == {1, 3}
    assert found((OPEN, 900), (SHUT, 73)) == {1}


def test_a_release_stays_while_one_ring_is_served_it():
    """The tills come after the offices, by days."""
    doors = {
        1: [door(1, OPEN, 900, "office"), door(1, OPEN, 900, "till")],
        2: [door(2, OPEN, 100, "office"), door(2, OPENING, 100, "till")],
    }
    assert lately(doors, NOW) == {1, 2}
    doors[2][1] = door(2, OPEN, 80, "till")
    assert lately(doors, NOW) == {2}


@pytest.mark.parametrize("count", [12])
def test_bytes_of_what_was_left_lately_are_kept(count):
    """A name that is served without its bytes would be a promise broken."""
    numbers = range(1, count + 1)
    history = History(
        boardings=[boarding(n, f"r{n}") for n in numbers],
        doors={n: [door(n, OPEN, 24 - n)] for n in numbers},
        snapshots=(),
        pinned=(),
        board=None,
        standing=(),
        lately=lately({n: [door(n, OPEN, 24 - n)] for n in numbers}, NOW),
    )

    assert kept(history, 1) == {f"r{n}" for n in numbers}
    assert KEPT_MS == 72 * HOUR
