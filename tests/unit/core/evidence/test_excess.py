import math
from itertools import product

import numpy as np
import pytest

from firedoor.core.evidence import clearance, excess
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.excess import BETS, Excess

ALPHA = 0.05


def poisson(mean: float, most: int) -> Floats:
    return np.array([math.exp(x * math.log(mean) - mean - math.lgamma(x + 1)) for x in range(most)])


def harmed_among(chances: Floats) -> Floats:
    """Distribution of the number harmed among independent, unequal machines."""
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    return distribution


def mean_factors(treated: Floats, control: Floats, *, m1: int, m0: int, delta: float) -> Floats:
    """Mean factor of every bet, by enumeration of both arms."""
    x1, x0 = np.array(list(product(range(len(treated)), range(len(control))))).T
    # The arms of a Poisson model have no end: machines at risk only fix the ratio m1/m0 here.
    scale = 100
    state = excess.absorb(
        excess.start(len(x1)),
        Counts.of(m1 * scale, m0 * scale, x1, x0),
    )
    log_factors = state.intercepts - state.slopes * delta / scale
    mean: Floats = (np.outer(treated, control).ravel()[:, None] * np.exp(log_factors)).sum(axis=0)
    return mean


@pytest.mark.parametrize("base", [0.002, 0.05])
@pytest.mark.parametrize("delta", [0.0, 0.001, 0.1])
@pytest.mark.parametrize(("m1", "m0"), [(10, 90), (50, 50), (40, 10)])
def test_at_the_boundary_every_bet_is_fair_for_poisson_counts(
    m1: int, m0: int, base: float, delta: float
) -> None:
    """A release no more than delta worse must not be accused more often than once in 1/alpha."""
    mean = mean_factors(
        poisson(m1 * (base + delta), 60), poisson(m0 * base, 60), m1=m1, m0=m0, delta=delta
    )

    assert mean == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("delta", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(("m1", "m0"), [(5, 45), (20, 20), (30, 6)])
def test_at_the_boundary_no_bet_gains_on_unequal_machines(m1: int, m0: int, delta: float) -> None:
    """Fleets mix old laptops with new servers; the mean excess is what delta speaks of."""
    base_treated, base_control = np.linspace(0.0, 0.2, m1), np.linspace(0.0, 0.2, m0)

    mean = mean_factors(
        harmed_among(base_treated + delta), harmed_among(base_control), m1=m1, m0=m0, delta=delta
    )

    assert mean.max() <= 1.0 + 1e-12
    assert mean.min() < 1.0 - 1e-6


def test_a_release_better_than_the_tolerance_only_loses() -> None:
    """The null is "at most delta", not "exactly delta"."""
    mean = mean_factors(poisson(1.0, 60), poisson(9.0, 60), m1=10, m0=90, delta=0.05)

    assert mean.max() < 1.0


def harmful(classes: int, *, harmed: int = 3) -> Excess:
    """Classes of 10 treated and 90 control machines; of the control one is harmed in each."""
    state = excess.start(1)
    for _ in range(classes):
        state = excess.absorb(state, Counts.of(10, 90, harmed, 1))
    return state


def test_nothing_is_proved_before_the_first_class() -> None:
    """A lower bound above 0 is an accusation."""
    assert excess.lower(excess.start(3), ALPHA).tolist() == [0.0, 0.0, 0.0]


def test_the_bound_approaches_the_truth_from_below() -> None:
    """The console says "at least so many per thousand"; it must become worth reading."""
    truth = 3 / 10 - 1 / 90

    bounds = [excess.lower(harmful(classes), ALPHA)[0] for classes in (1, 4, 16, 64)]

    assert bounds == sorted(bounds)
    assert bounds[1] > 0.0
    assert 0.75 * truth < bounds[-1] < truth


def test_the_bound_is_the_tolerance_at_which_the_evidence_ends() -> None:
    """Harm with a tolerance and the lower bound are one statement, or two people would quarrel."""
    state = harmful(10)

    bound = excess.lower(state, ALPHA)[0]

    assert excess.log_e(state, bound)[0] == pytest.approx(-math.log(ALPHA), abs=1e-6)
    assert excess.log_e(state, bound * 1.01)[0] < -math.log(ALPHA)


def test_without_control_nothing_is_proved() -> None:
    """All of 30 machines down may be the release or the power; only a control can tell."""
    state = excess.absorb(excess.start(1), Counts.of(30, 0, 30, 0, 30))

    assert excess.lower(state, ALPHA)[0] == 0.0
    assert excess.log_e(state, 0.0)[0] == 0.0


def test_without_treated_nothing_is_proved() -> None:
    """Controls alone say nothing of the release."""
    state = excess.absorb(excess.start(1), Counts.of(0, 90, 0, 40))

    assert excess.log_e(state, 0.0)[0] == 0.0


def test_bricks_that_never_said_they_installed_do_not_inflate_the_bound() -> None:
    """An exposure made of survivors would call two bricks in ten an endless rate."""
    silent, heard = (
        excess.absorb(excess.start(1), Counts.of(10, 90, 5, 0, installed)) for installed in (0, 10)
    )

    assert silent == heard
    assert excess.lower(silent, ALPHA)[0] < 0.5


def test_a_control_arm_that_is_hit_hard_leaves_no_bet_without_hope() -> None:
    """A shared outage in the control may cost evidence, but later harm must still be seen."""
    state = excess.absorb(excess.start(1), Counts.of(90, 10, 0, 10))

    assert np.isfinite(state.intercepts).all()
    assert excess.log_e(state, 0.0)[0] < 0.0


@pytest.mark.parametrize(("base", "truth"), [(0.0, 0.05), (0.01, 0.05), (0.02, 0.002), (0.2, 0.0)])
def test_the_bound_is_never_above_the_truth_and_never_above_the_upper_bound(
    base: float, truth: float
) -> None:
    """Both bounds are shown side by side; each holds at all times at once."""
    fleets, m1, m0 = 400, 20, 180
    chance = np.random.default_rng(20261123)
    worse, better = excess.start(fleets), clearance.start(fleets, 0.01)
    ever_above, crossed = np.zeros(fleets, dtype=bool), np.zeros(fleets, dtype=bool)

    for _ in range(60):
        x1, x0 = chance.binomial(m1, base + truth, fleets), chance.binomial(m0, base, fleets)
        counts = Counts.of(m1, m0, x1, x0, m1)
        worse, better = excess.absorb(worse, counts), clearance.absorb(better, counts)
        bound = excess.lower(worse, ALPHA)
        ever_above |= bound > truth
        crossed |= bound > clearance.upper(better, ALPHA)

    assert ever_above.mean() <= ALPHA
    assert not crossed.any()
    # And it is a bound, not a shrug.
    if truth == 0.05:
        assert np.median(excess.lower(worse, ALPHA)) > truth / 3


def test_bets_grow_with_the_share_of_controls_and_never_beyond_it() -> None:
    """At b = m0/m1 one harmed control machine would end a bet for good."""
    even = excess.absorb(excess.start(1), Counts.of(10, 10, 0, 0))
    many = excess.absorb(excess.start(1), Counts.of(10, 1_000, 0, 0))

    assert even.slopes[0] / 10 == pytest.approx(np.minimum(BETS, 0.98))
    assert many.slopes[0] / 10 == pytest.approx(BETS)
