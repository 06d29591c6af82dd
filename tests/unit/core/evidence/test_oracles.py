"""Formulas that others have implemented too: two answers to one question must agree."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from online_fdr.e_values import MixtureLikelihoodRatioEProcess, e_bh
from scipy import stats
from ville import BettingTest
from ville.evalues import ebh

from firedoor.core.evidence import fdr, harm, history, mixture, relative
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.history import Past
from firedoor.core.evidence.mixture import LOG_PRIOR, PRIOR, RATIOS
from firedoor.core.evidence.relative import MULTIPLES

W = 0.1
EVENTS = (1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1)
"""Single events in order: 1 in the treated arm, 0 in the control arm."""

TREATED, CONTROL = harm.plain(Counts.of(1, 9, [1, 0], [0, 1]))


@pytest.mark.parametrize("level", [0.01, 0.05, 0.2])
def test_lists_of_the_guilty_are_those_of_two_other_implementations(level: float) -> None:
    """A list of names is no place for an index that is off by one."""
    chance = np.random.default_rng(11)
    for streams in (1, 2, 7, 60):
        e_values = np.exp(chance.normal(1.0, 3.0, streams))

        named = fdr.guilty(np.log(e_values), level).tolist()

        assert named == ebh(e_values, level).tolist()
        assert named == e_bh(e_values.tolist(), level)


def test_the_mixture_over_rate_ratios_is_that_of_another_implementation() -> None:
    """What shuts a door, event by event."""

    def bet(ratio: float) -> Callable[[int], float]:
        p = ratio * W / (ratio * W + 1 - W)
        return lambda treated: math.log(p / W) if treated else math.log((1 - p) / (1 - W))

    other = MixtureLikelihoodRatioEProcess([bet(g) for g in RATIOS.tolist()], PRIOR.tolist())
    path = np.cumsum([TREATED if treated else CONTROL for treated in EVENTS], axis=0)

    for treated, ours in zip(EVENTS, mixture.log_sum(LOG_PRIOR + path, axis=1), strict=True):
        other.update(treated)
        assert ours == pytest.approx(other.log_current, abs=1e-9)


@pytest.mark.parametrize("number", range(len(RATIOS) - 1))
def test_the_linear_factor_is_a_bet_on_a_bounded_mean(number: int) -> None:
    """The same wager as in the betting tests of the literature, at the stake we choose."""
    p = RATIOS[number] * W / (RATIOS[number] * W + 1 - W)
    # At such an alpha the other's own stake is above the cap c/W in every round: c is the stake.
    other = BettingTest(W, alternative="greater", alpha=1e-300, c=(p - W) / (1 - W))
    shares = [(1, 2), (0, 1), (3, 4), (0, 3), (5, 5)]

    ours = np.cumsum([harm.linear(Counts.of(100, 900, x, k - x))[0, number] for x, k in shares])

    other.update(np.array([x / k for x, k in shares]))
    assert ours == pytest.approx(other.log_e_values_, abs=1e-9)


@pytest.mark.parametrize(("treated", "control", "events"), [(20, 180, 6), (9, 3, 7), (50, 50, 40)])
def test_the_exact_factor_is_a_ratio_of_noncentral_hypergeometric_chances(
    treated: int, control: int, events: int
) -> None:
    """Fisher's law, from a library that knows it by name."""
    x1 = np.arange(max(0, events - control), min(events, treated) + 1)
    fair = stats.hypergeom(treated + control, treated, events)

    factors = harm.plain(Counts.of(treated, control, x1, events - x1))

    for number, ratio in enumerate(RATIOS[:7]):
        tilted = stats.nchypergeom_fisher(treated + control, treated, events, ratio)
        assert factors[:, number] == pytest.approx(tilted.logpmf(x1) - fair.logpmf(x1), abs=1e-7)


@pytest.mark.parametrize("rho", [1.5, 3.0])
def test_relative_clearance_never_exceeds_the_exact_likelihood_ratio(rho: float) -> None:
    """It divides by the larger of two expectations, and one of them is the exact one."""
    treated, control, events = 100, 900, 8
    x1 = np.arange(events + 1)
    bad = stats.nchypergeom_fisher(treated + control, treated, events, rho)

    plain, _ = relative.log_factors(Counts.of(treated, control, x1, events - x1), rho)

    for number, g in enumerate(MULTIPLES):
        better = stats.nchypergeom_fisher(treated + control, treated, events, rho * g)
        exact = better.logpmf(x1) - bad.logpmf(x1)
        assert (plain[:, number] <= exact + 1e-9).all()
        assert plain[:, number] == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-6])
def test_the_reference_bound_is_the_gamma_quantile(alpha: float) -> None:
    """Garwood's bound, by a quantile function instead of our bisection."""
    bounds = [history.rate_bound(Past(events, 7.0), alpha) for events in (0, 1, 10, 1_000)]

    expected = [stats.gamma.isf(alpha, events + 1) / 7.0 for events in (0, 1, 10, 1_000)]

    assert bounds == pytest.approx(expected, rel=1e-9)
    assert all(fewer < more for fewer, more in pairwise(bounds))
