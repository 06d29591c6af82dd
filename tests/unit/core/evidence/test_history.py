import math

import numpy as np
import pytest

from firedoor.core.evidence import harm, history, mixture
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.history import DRIFT, History, Past, rate_bound
from firedoor.core.evidence.mixture import LOG_PRIOR

CLEAN_PAST = Past(0, 1_200)
RATE = history.rate_bound(CLEAN_PAST, 0.01)


def chance_of_at_most(events: int, mean: float) -> float:
    return math.fsum(
        math.exp(x * math.log(mean) - mean - math.lgamma(x + 1)) for x in range(events + 1)
    )


def weighed(factors: Floats) -> float:
    """E of one closing whose whole wealth is placed."""
    return float(np.exp(mixture.log_sum(LOG_PRIOR + factors[0], axis=0)))


def test_a_clean_past_bounds_the_rate_by_the_rule_of_three() -> None:
    """Twelve hundred clean installs are no proof of a rate of 0."""
    assert pytest.approx(math.log(100) / 1_200) == RATE


@pytest.mark.parametrize("events", [0, 1, 7, 100, 5_000])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_at_the_bound_so_few_events_are_as_unlikely_as_promised(events: int, alpha: float) -> None:
    """A reference that is too low turns an ordinary night into an accusation."""
    bound = history.rate_bound(Past(events, 1.0), alpha)

    assert chance_of_at_most(events, bound) == pytest.approx(alpha, rel=1e-6)


@pytest.mark.parametrize(("events", "exposure"), [(0, 20), (1, 20), (3, 50), (10, 40)])
def test_the_bound_is_on_the_safe_side_of_the_binomial_one(events: int, exposure: int) -> None:
    """Machines harmed among machines installed are no Poisson count when they are few."""
    rate = history.rate_bound(Past(events, exposure), 0.05)

    chance = sum(
        math.comb(exposure, x) * rate**x * (1 - rate) ** (exposure - x) for x in range(events + 1)
    )

    assert chance <= 0.05


def test_many_references_share_one_error() -> None:
    """A dozen age buckets, each wrong once in a hundred, would be wrong every eighth time."""
    past = {
        ("crash", "0-5 min"): CLEAN_PAST,
        ("crash", "5-15 min"): Past(3, 1_000),
        ("silence", "0-5 min"): Past(0, 0),
    }

    rates = history.reference(past, 0.01)

    assert rates["crash", "0-5 min"] == history.rate_bound(CLEAN_PAST, 0.01 / 3)
    assert rates["crash", "5-15 min"] > 0.003
    assert rates["silence", "0-5 min"] == math.inf
    assert history.reference({}, 0.01) == {}


@pytest.mark.parametrize(("events", "exposure"), [(-1, 10), (0, -1), (0, math.nan), (0, math.inf)])
def test_a_past_that_cannot_be_is_refused(events: int, exposure: float) -> None:
    """A rate made of a mistake would accuse or acquit for years."""
    with pytest.raises(ValueError, match="no past"):
        Past(events, exposure)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_an_error_that_is_no_probability_is_refused(alpha: float) -> None:
    """A bound that never errs does not exist."""
    with pytest.raises(ValueError, match="alpha"):
        history.rate_bound(CLEAN_PAST, alpha)


def test_two_bricked_canaries_in_twenty_machines_are_held_by_history() -> None:
    """The owner of 20 machines: concurrent evidence alone says 39, the average says 179."""
    canaries = Counts.of(2, 18, 2, 0)

    concurrent = weighed(harm.binomial(canaries))
    past = weighed(history.log_factors(canaries.treated_harmed, np.array([2 * 0.0058])))

    assert round(DRIFT * RATE, 4) == 0.0058
    assert concurrent == pytest.approx(38.8, abs=0.1)
    assert past == pytest.approx(319, abs=1)
    assert concurrent < 1 / 0.01 < (concurrent + past) / 2


@pytest.mark.parametrize(("bricked", "in_the_design"), [(2, 130), (3, 2_299)])
def test_five_canaries_in_a_hundred_machines_need_no_history(
    bricked: int, in_the_design: int
) -> None:
    """From a hundred machines on, the control arm alone is enough."""
    assert weighed(harm.binomial(Counts.of(5, 95, bricked, 0))) == pytest.approx(
        in_the_design, abs=1
    )


def bernoulli(machines: int, rate: float) -> Floats:
    return np.array(
        [
            math.comb(machines, x) * rate**x * (1 - rate) ** (machines - x)
            for x in range(machines + 1)
        ]
    )


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("m1", [1, 10, 30])
def test_at_the_allowed_rate_no_bet_gains(m1: int, rate: float) -> None:
    """A release as good as the past, and as drifted as allowed, is fair game at most."""
    x1 = np.arange(m1 + 1)
    factors = history.log_factors(x1, np.full(m1 + 1, m1 * rate))

    assert (bernoulli(m1, rate) @ np.exp(factors)).max() <= 1.0 + 1e-12


def mean_of_two_closings(worlds: list[tuple[float, float]], rate: float) -> float:
    """Mean E after two closings; a world of a chance sets the rate of both arms in one closing."""
    m1, m0 = 2, 6
    outcomes = [(Counts.of(m1, m0, x1, x0), x1, x0) for x1 in range(m1 + 1) for x0 in range(m0 + 1)]
    chances = [
        sum(weight * bernoulli(m1, p)[x1] * bernoulli(m0, p)[x0] for weight, p in worlds)
        for _, x1, x0 in outcomes
    ]
    mean = 0.0
    for (first, _, _), before in zip(outcomes, chances, strict=True):
        state = history.absorb(history.start(1), first, rate, 0)
        for (second, _, _), chance in zip(outcomes, chances, strict=True):
            after = history.absorb(state, second, rate, 0)
            mean += before * chance * math.exp(history.log_e(after)[0])
    return mean


@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_the_frozen_process_is_fair_for_independent_arms(rate: float) -> None:
    """Asking this closing's controls whether it counts must not make it a proof."""
    assert mean_of_two_closings([(1.0, DRIFT * rate)], rate) <= 1.0 + 1e-12


def test_the_frozen_process_is_fair_when_shocks_hit_both_arms() -> None:
    """A shock raises both arms at once; on average the machines are no worse than allowed."""
    rate, shock = 0.02, 0.5
    calm = 0.005
    often = (DRIFT * rate - calm) / (shock - calm)

    assert mean_of_two_closings([(1 - often, calm), (often, shock)], rate) <= 1.0 + 1e-12


def test_a_power_cut_does_not_accuse_the_release() -> None:
    """All treated and all control machines go dark together: worse than ever, and nobody's."""
    state = history.absorb(history.start(1), Counts.of(5, 45, 5, 45), RATE, 0)

    assert history.is_frozen(state).all()
    assert -1.0 < history.log_e(state)[0] <= 0.0


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("minutes", [1, 30, 3_000])
def test_a_look_that_comes_when_somebody_is_harmed_is_as_fair_as_any(
    share: float, minutes: int
) -> None:
    """One machine crashes a day: looked at when it does, or after so many minutes without.

    If a freeze by the controls' crash spared the bets the minutes before it, the mean of one on
    thirty times the rate would be 1.008 in equal arms, look after look.
    """
    mine, theirs = share * DRIFT / 1440, (1 - share) * DRIFT / 1440
    outcomes = [(1, 0, mine * (1 - theirs)), (0, 1, theirs * (1 - mine)), (1, 1, mine * theirs)]
    quiet = (1 - mine) * (1 - theirs)
    mean = quiet**minutes * _factors(share, minutes, 0, 0)
    for minute in range(1, minutes + 1):
        for x1, x0, chance in outcomes:
            mean = mean + quiet ** (minute - 1) * chance * _factors(share, minute, x1, x0)

    assert mean.max() <= 1.0 + 1e-9
    assert mean.max() > 0.9


def _factors(share: float, minutes: int, x1: int, x0: int) -> Floats:
    """What one look makes of each bet; of a hundred machines so many are treated."""
    treated = round(share * 100) * minutes
    counts = Counts.of(treated, 100 * minutes - treated, x1, x0)
    before = mixture.open_through(history.start(1).wealth, 0)
    after = history.absorb(history.start(1), counts, 1 / 144_000, 0)
    factors: Floats = np.exp(after.wealth.placed[0] - before.placed[0])
    return factors


@pytest.mark.parametrize("more", [2, 4])
def test_sites_that_are_cut_off_hold_no_release_because_of_the_order_of_their_looks(
    more: int,
) -> None:
    """Look after look a fifth of both arms is silent, more of the one and then of the other.

    With a freeze at ln 20 the level of the warning was passed before it (ADR 0022).
    """
    state = history.start(1)
    for look in range(12):
        odd = -more if look % 2 else more
        state = history.absorb(state, Counts.of(100, 100, 20 + odd, 20 - odd), 0.1, 0)
        assert float(history.log_e(state)[0]) < math.log(20.0)


def test_the_freeze_ends_when_the_controls_are_quiet_again() -> None:
    """A test that stays frozen after one outage would leave a small fleet without protection."""
    state = history.absorb(history.start(1), Counts.of(5, 45, 1, 4), RATE, 0)
    assert history.is_frozen(state).all()
    closings = 0
    while history.is_frozen(state).all():
        state = history.absorb(state, Counts.of(5, 45, 0, 0), RATE, 0)
        closings += 1
        assert closings < 50

    held = history.absorb(state, Counts.of(5, 45, 3, 0), RATE, 0)

    assert history.log_e(held)[0] > math.log(20)


def test_without_a_reference_the_past_says_nothing() -> None:
    """A new kind of signal has no history; that is no reason to trust or to hold."""
    before = history.start(2)

    after = history.absorb(before, Counts.of([5, 5], 0, 5, 0), [math.inf, RATE], 0)

    assert history.log_e(after)[0] == pytest.approx(0.0)
    assert history.log_e(after)[1] > math.log(100)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan])
def test_a_reference_of_nothing_is_refused(rate: float) -> None:
    """At a rate of 0 one event would be an infinite proof."""
    with pytest.raises(ValueError, match="reference rate"):
        history.absorb(history.start(1), Counts.of(5, 45, 1, 0), rate, 0)


def test_years_of_clean_installs_leave_the_process_ready() -> None:
    """Late harm must be seen at about its own strength, not against a mountain of good days."""
    state: History = history.start(1)
    for epoch in range(400):
        state = history.absorb(state, Counts.of(1_000, 0, 0, 0), 1e-3, epoch)
    assert np.isfinite(history.log_e(state)).all()

    state = history.absorb(state, Counts.of(1_000, 0, 30, 0), 1e-3, 400)

    assert history.log_e(state)[0] > math.log(100)


@pytest.mark.parametrize("events", [100_001, 10**9, 2**53])
def test_a_past_with_millions_of_failures_is_bounded_at_once(events: int) -> None:
    """The exact bound would add up thousands of terms; the simple one is as good there."""
    bound = rate_bound(Past(events, float(2**53)), 0.01) * 2**53

    assert events + 2.3 * math.sqrt(events) < bound < events + 4.0 * math.sqrt(events) + 10.0
