"""What a count of alarms says about the chance of one."""

import pytest
from tests.worlds_judge import share_bounds


@pytest.mark.parametrize(
    ("count", "runs", "low", "high"),
    [(0, 100, 0.0, 0.03622), (2, 200, 0.00121, 0.03565), (10, 10, 0.69150, 1.0)],
)
def test_bounds_of_a_share_are_those_of_the_tables(count, runs, low, high):
    """Clopper and Pearson's, as statistics packages print them."""
    assert share_bounds(count, runs) == pytest.approx((low, high), abs=1e-4)
