"""Cells: what may be counted, and how old it was."""

import pytest

from firedoor.core.cell import Cell, Test, age_of

MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.mark.parametrize(
    ("elapsed", "bucket"),
    [
        (0, 0),
        (5 * MINUTE - 1, 0),
        (5 * MINUTE, 1),
        (15 * MINUTE, 2),
        (HOUR, 3),
        (4 * HOUR, 4),
        (24 * HOUR, 5),
        (300 * 24 * HOUR, 5),
    ],
)
def test_the_age_of_a_closing_is_told_in_six_buckets_of_real_time(elapsed, bucket):
    """Minutes matter after an install, days do not: a history compares like with like."""
    assert age_of(elapsed) == bucket


@pytest.mark.parametrize("age", [-1, 6])
def test_an_age_that_no_bucket_has_is_refused(age):
    """It would be a mistake of the caller, and the history would be wrong for good."""
    with pytest.raises(ValueError, match="age"):
        Cell(1, "everyone", 1, 0, Test.HARM, "crash", "", 5, 5, 1, 0, age=age)
