import math

import numpy as np
import pytest

from firedoor.core.evidence import relative
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.mixture import log_sum
from firedoor.core.evidence.relative import MULTIPLES

ALPHA = 0.05


def harmed_among(chances: Floats) -> Floats:
    """Distribution of the number harmed among independent machines."""
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    return distribution


def mean_factors(treated: Floats, control: Floats, m1: int, m0: int, rho: float) -> Floats:
    """Mean of both factors of every bet, by enumeration of both arms; shape (2, 6)."""
    x1, x0 = np.indices((len(treated), len(control))).reshape(2, -1)
    chance = np.outer(treated, control).ravel()
    factors = relative.log_factors(Counts.of(m1, m0, x1, x0), rho)
    return np.array([(chance[:, None] * np.exp(each)).sum(axis=0) for each in factors])


@pytest.mark.parametrize("rho", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("base", [0.001, 0.01, 0.1])
@pytest.mark.parametrize(("m1", "m0"), [(20, 180), (150, 150), (180, 20)])
@pytest.mark.parametrize("beyond", [1.0, 1.4])
def test_no_bet_gains_on_a_release_that_is_rho_times_as_harmful(
    rho: float, base: float, m1: int, m0: int, beyond: float
) -> None:
    """The chance that a bad release is cleared is this mean; 2 % of events or 50 % of them."""
    treated = harmed_among(np.full(m1, base * rho * beyond))
    control = harmed_among(np.full(m0, base))

    assert mean_factors(treated, control, m1, m0, rho).max() <= 1.0 + 1e-12


@pytest.mark.parametrize("rho", [1.5, 3.0])
@pytest.mark.parametrize("mean_control", [0.3, 2.0])
def test_no_bet_gains_on_poisson_counts(rho: float, mean_control: float) -> None:
    """Where machines may fail again at once, nobody is used up and the binomial law holds."""
    m1, m0, most = 500, 4_500, 40

    def poisson(mean: float) -> Floats:
        return np.array(
            [math.exp(x * math.log(mean) - mean - math.lgamma(x + 1)) for x in range(most)]
        )

    mean = mean_factors(poisson(mean_control * rho * m1 / m0), poisson(mean_control), m1, m0, rho)

    assert mean.max() <= 1.0 + 1e-12
    assert mean[0].min() > 0.99


@pytest.mark.parametrize("rho", [1.0, 1.5, 3.0])
@pytest.mark.parametrize(("m1", "m0"), [(30, 270), (120, 180)])
def test_no_bet_gains_on_unequal_machines(rho: float, m1: int, m0: int) -> None:
    """Old laptops fail first and leave the healthy ones behind; that must not clear a release."""
    control = np.concatenate([np.full(m0 // 10, 0.08), np.full(m0 - m0 // 10, 0.001)])
    treated = np.concatenate([np.full(m1 // 10, 0.08), np.full(m1 - m1 // 10, 0.001)]) * rho

    mean = mean_factors(harmed_among(treated), harmed_among(control), m1, m0, rho)

    assert mean.max() <= 1.0 + 1e-12


def test_the_factors_at_the_boundary_have_mean_one_and_not_less() -> None:
    """A valid test that never says anything would be easy."""
    m1, m0, rho, events = 100, 900, 2.0, 12
    ways = np.array(
        [math.comb(m1, x) * math.comb(m0, events - x) * rho**x for x in range(events + 1)]
    )
    x1 = np.arange(events + 1)

    plain, linear = relative.log_factors(Counts.of(m1, m0, x1, events - x1), rho)

    assert (ways / ways.sum()) @ np.exp(linear) == pytest.approx(1.0, abs=1e-12)
    assert (ways / ways.sum()) @ np.exp(plain) == pytest.approx(1.0, abs=0.01)
    assert ((ways / ways.sum()) @ np.exp(plain)).max() <= 1.0 + 1e-12


@pytest.mark.parametrize(("rho", "in_the_design"), [(1.5, 1.16), (2.0, 1.20), (3.0, 1.23)])
def test_equal_arms_clear_at_the_multiples_of_the_floor_the_design_gives(
    rho: float, in_the_design: float
) -> None:
    """Waiting longer than the evidence needs keeps a security fix from the fleet."""
    w, paths, horizon = 0.1, 2_000, 2_500
    bad = rho * w / (rho * w + 1 - w)
    floor = -math.log(ALPHA) / (w * math.log(w / bad) + (1 - w) * math.log((1 - w) / (1 - bad)))
    hit, miss = relative.log_factors(Counts.of(10_000, 90_000, [1, 0], [0, 1]), rho)[0]
    treated = np.cumsum(np.random.default_rng(12).random((horizon, paths)) < w, axis=0)
    events = np.arange(1, horizon + 1)[:, None]

    cleared_at = np.full(paths, horizon)
    for n in range(horizon, 0, -1):
        bound = treated[n - 1][:, None]
        wealth = log_sum(bound * hit + (events[n - 1] - bound) * miss, axis=1)
        cleared_at[wealth >= math.log(len(MULTIPLES) / ALPHA)] = n

    assert (cleared_at < horizon).mean() > 0.99
    assert cleared_at.mean() / floor == pytest.approx(in_the_design, abs=0.06)


def test_a_release_as_good_as_its_control_is_cleared_and_a_bad_one_is_not() -> None:
    """What the door asks of this test."""
    good = bad = relative.start(1, 2.0)
    for _ in range(60):
        good = relative.absorb(good, Counts.of(100, 900, 1, 9))
        bad = relative.absorb(bad, Counts.of(100, 900, 2, 9))

    assert relative.log_e(good)[0] > -math.log(ALPHA)
    assert relative.log_e(bad)[0] < 0.0


@pytest.mark.parametrize(
    "counts",
    [(100, 900, 0, 0), (0, 900, 0, 9), (100, 0, 1, 0), (100, 900, 0, 21), (0, 0, 0, 0)],
    ids=["no event", "no treated", "no control", "too many events", "nobody"],
)
def test_a_closing_that_compares_nothing_says_exactly_nothing(
    counts: tuple[int, int, int, int],
) -> None:
    """Silence of one arm is no praise for the other."""
    state = relative.absorb(relative.start(1, 1.5), Counts.of(*counts))

    assert state == relative.start(1, 1.5)


def test_a_huge_closing_is_left_out_and_not_computed() -> None:
    """A thousand failures in one closing must not stall the judge."""
    most = relative.LONGEST_SUPPORT - 1
    counts = Counts.of(10_000, 90_000, 50, [most - 50, most - 49])

    plain, linear = relative.log_factors(counts, 1.5)

    assert plain[0].any() and linear[0].any()
    assert not plain[1].any() and not linear[1].any()


@pytest.mark.parametrize("rho", [0.5, 0.0, -1.0, math.nan, math.inf])
def test_a_rho_that_is_no_harm_is_refused(rho: float) -> None:
    """To exclude "half as harmful" would be to demand a cure."""
    with pytest.raises(ValueError, match="rho"):
        relative.start(1, rho)


def test_few_controls_among_many_treated_stay_finite() -> None:
    """Near the end of a rollout nearly all are treated; events may outnumber the controls."""
    state = relative.absorb(relative.start(2, 3.0), Counts.of(1_000, 3, [20, 17], [0, 3]))

    assert np.isfinite(relative.log_e(state)).all()
