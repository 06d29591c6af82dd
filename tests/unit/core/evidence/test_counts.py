import numpy as np
import pytest
from numpy.typing import ArrayLike

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence.counts import Counts


@pytest.mark.parametrize(
    ("treated", "control", "treated_harmed", "control_harmed", "installed"),
    [
        (5, 9, 6, 0, 0),
        (5, 9, 0, 10, 0),
        (5, 9, 0, 0, 6),
        (5, 9, -1, 0, 0),
        (-1, 9, -1, 0, 0),
        (5, 9, float("nan"), 0, 0),
        (5.0, 9, 0, 0, 0),
        ([5, 5], 9, [1, 6], 0, 0),
    ],
)
def test_counts_that_cannot_be_are_refused(
    treated: ArrayLike,
    control: ArrayLike,
    treated_harmed: ArrayLike,
    control_harmed: ArrayLike,
    installed: ArrayLike,
) -> None:
    """Evidence made of a caller's mistake could shut a good release, or open for a bad one."""
    with pytest.raises(ValueError, match=r"must lie between|whole numbers"):
        Counts.of(treated, control, treated_harmed, control_harmed, installed)


def test_one_row_of_counts_is_one_cell() -> None:
    """The judge reads cells, the mathematics reads rows; a swap of arms would turn the verdict."""
    cell = Cell(1, "everyone", 1, 0, Test.CLEARANCE, "any", "", 5, 45, 2, 3, 4)

    counts = Counts.of_cell(cell)

    assert counts.treated == 5 and counts.control == 45
    assert counts.treated_harmed == 2 and counts.control_harmed == 3
    assert counts.installed == 4 and counts.events == 5


def test_counts_cannot_be_changed_afterwards() -> None:
    """A state that was judged must stay what was judged, also when the caller reuses its arrays."""
    harmed = np.array([1, 2])

    counts = Counts.of(5, 45, harmed, 0)
    harmed[0] = 5

    assert counts.treated_harmed.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        counts.treated_harmed[0] = 5
