import math

import pytest

from firedoor.core.evidence.floor import clearance_floor, harmed_floor


@pytest.mark.parametrize(
    ("share", "alpha", "rate_ratio", "machines"),
    [
        (0.001, 0.01, 1.5, 63.92),
        (0.01, 0.01, 5.0, 5.80),
        (0.01, 0.01, 100.0, 1.42),
        (0.1, 0.001, 2.0, 40.89),
        (0.5, 0.001, 1.5, 205.84),
    ],
)
def test_floor_of_harmed_machines_matches_the_design(
    share: float, alpha: float, rate_ratio: float, machines: float
) -> None:
    """Reports quote results as multiples of it; a wrong floor would flatter them."""
    assert harmed_floor(alpha, rate_ratio, share) == pytest.approx(machines, abs=0.005)


def test_floor_of_harmed_machines_is_continuous_at_an_endless_control() -> None:
    """The limit formula and the general one are two derivations of the same number."""
    assert harmed_floor(0.01, 5.0, 1e-9) == pytest.approx(harmed_floor(0.01, 5.0, 0.0), rel=1e-6)


@pytest.mark.parametrize(
    ("base_rate", "installs"),
    [(0.0, 2_996), (1e-5, 3_142), (1e-4, 3_963), (1e-3, 10_196), (1e-2, 70_127)],
)
def test_floor_of_clearance_matches_the_design(base_rate: float, installs: int) -> None:
    """Failures by chance are what makes a small excess expensive to exclude."""
    assert clearance_floor(0.05, 1e-3, base_rate) == pytest.approx(installs, abs=0.5)


def test_clearance_without_failures_is_the_rule_of_three() -> None:
    """The one figure operators know by heart."""
    assert clearance_floor(0.05, 1e-3) == pytest.approx(math.log(20) / 1e-3)
    assert clearance_floor(0.05, 1e-3, controls_per_treated=0.0) == pytest.approx(2995.7, abs=0.1)


@pytest.mark.parametrize("arguments", [(0.0, 2.0, 0.1), (0.01, 1.0, 0.1), (0.01, 2.0, 1.0)])
def test_a_floor_out_of_range_is_refused(arguments: tuple[float, float, float]) -> None:
    """A ratio of 1 needs evidence without end; better no number than infinity in a report."""
    with pytest.raises(ValueError, match="no floor"):
        harmed_floor(*arguments)


def test_a_clearance_floor_out_of_range_is_refused() -> None:
    """A delta of nothing can never be excluded."""
    with pytest.raises(ValueError, match="no floor"):
        clearance_floor(0.05, 0.0)
