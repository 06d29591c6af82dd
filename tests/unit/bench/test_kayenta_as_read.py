"""Kayenta's judge reproduces the figures that its own users reported."""

import pytest
from tests.bench.rules.kayenta import Kayenta, is_high
from tests.bench.rules.rank_interval import brent, rank_interval
from tests.bench.rules.rule import HOUR
from tests.unit.bench.intervals import briefed, hours


def test_the_interval_of_a_public_issue_comes_out_to_twelve_digits():
    """spinnaker/spinnaker#6278: a canary of seven 100s and three 1s against ten 1s passes."""
    found = rank_interval([100.0] * 7 + [1.0] * 3, [1.0] * 10, 0.98)

    assert found.low == pytest.approx(6.825022991538781e-05, rel=1e-12)
    assert found.high == 99.0
    assert found.estimate == pytest.approx(98.99992904170193, rel=1e-12)


@pytest.mark.parametrize(("points", "high"), [(24, range(17, 24)), (48, [23, *range(31, 48)])])
def test_rare_crashes_are_high_only_when_most_hours_have_one(points, high):
    """A control without crashes: 31 of 48 hours are needed; 23 is a freak of the root finder."""
    found = [
        k for k in range(1, points) if is_high([1.0] * k + [0.0] * (points - k), [0.0] * points)
    ]

    assert found == list(high)


def test_a_thousand_crashes_in_ten_hours_of_forty_eight_pass():
    """The rank test does not see how many there were."""
    assert not is_high([1000.0] * 10 + [0.0] * 38, [0.0] * 48)


def test_a_canary_that_is_better_is_not_high():
    """The effect's limit of 1 wants a mean at least as large as the control's."""
    assert is_high([5.0, 6.0, 7.0] * 8, [1.0, 2.0, 3.0] * 8)
    assert not is_high([1.0, 2.0, 3.0] * 8, [5.0, 6.0, 7.0] * 8)


def test_no_points_and_equal_points_pass():
    """No data is not High; two constants are an error of the judge, not a verdict."""
    assert not is_high([], [1.0])
    assert not is_high([2.0, 3.0], [2.0, 3.0])
    assert not is_high([5.0, 5.0], [1.0, 1.0])


def test_brent_finds_the_root_of_a_smooth_function():
    """Within its tolerance."""
    assert brent(lambda x: x**3 - 2.0, 0.0, 2.0) == pytest.approx(2.0 ** (1 / 3), abs=1e-4)


def test_kayenta_halts_when_a_judgement_of_its_growing_window_is_high():
    """Seven crashes an hour against none: High as soon as three hours are judged? No: at six."""
    watch = Kayenta.begin(briefed(), every=3 * HOUR)

    answers = [halt for halt, _ in hours(watch, [7, 8, 9, 7, 8, 9, 7, 8, 9])]

    assert True in answers
    assert all((hour + 1) % 3 == 0 for hour, halt in enumerate(answers) if halt)


def test_hours_without_data_are_left_out_of_the_window():
    """Kayenta removes NaN by default; an outage is not a series of zeros."""
    watch = Kayenta.begin(briefed(), every=48 * HOUR)

    answers = hours(watch, [0] * 40, reporting=0)
    answers += [(halt, clear) for halt, clear in hours(watch, [9, 8, 7, 9, 8, 7, 9, 8], first=40)]

    assert answers[-1] == (True, False)
