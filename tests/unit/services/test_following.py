"""Following: quiet intervals after the last in which a machine is followed thin nothing out."""

import pytest

from firedoor.core.cell import Cell, Test
from firedoor.services.following import thinning


def at_risk(interval: int, treated: int, harmed: int = 0, stratum: str = "") -> Cell:
    return Cell(
        interval, "", interval, 0, Test.CLEARANCE, "any", stratum, treated, 500, harmed, 0, treated
    )


def test_who_is_followed_in_every_interval_thins_nothing_out() -> None:
    """Twenty-four hours of machines that are followed for a day."""
    assert thinning([at_risk(hour, 300) for hour in range(1, 25)], 24) == 1.0


def test_quiet_hours_after_the_last_that_counts_make_the_bound_as_much_larger() -> None:
    """A release that kills in the sixth hour is not cleared by the sixty after it."""
    assert thinning([at_risk(hour, 300) for hour in range(1, 67)], 6) == pytest.approx(11.0)


def test_who_comes_later_is_followed_from_then_on() -> None:
    """Fifty machines an hour, each counted for good: of the last hour's 500 are 200 followed."""
    cells = [at_risk(hour, 50 * hour) for hour in range(1, 11)]

    counted = sum(50 * hour for hour in range(1, 11))
    followed = sum(min(50 * hour, 200) for hour in range(1, 11))

    assert thinning(cells, 4) == pytest.approx(counted / followed)


def test_who_takes_the_place_of_the_harmed_has_just_come() -> None:
    """Ten are harmed in the first hour; that there are as many in the second means ten new."""
    cells = [at_risk(1, 100, 10), at_risk(2, 100), at_risk(3, 100)]

    assert thinning(cells, 1) == pytest.approx(300 / 110)


def test_strata_have_machines_of_their_own() -> None:
    """Prague's machines have not come because Brno's were counted."""
    cells = [at_risk(1, 40, stratum="prague"), at_risk(1, 40, stratum="brno")]

    assert thinning(cells, 1) == 1.0


def test_where_nobody_was_at_risk_nothing_is_thinned_out() -> None:
    """An empty file has no bound to change."""
    assert thinning([], 3) == thinning([at_risk(1, 0)], 3) == 1.0
