import math
from itertools import product

import numpy as np
import pytest

from firedoor.core.evidence import clearance
from firedoor.core.evidence.clearance import FIXED_BETS, Clearance
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.floor import clearance_floor

ALPHA = 0.05


def poisson(mean: float, most: int) -> Floats:
    return np.array([math.exp(x * math.log(mean) - mean - math.lgamma(x + 1)) for x in range(most)])


def harmed_among(chances: Floats) -> Floats:
    """Distribution of the number harmed among independent, unequal machines."""
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    return distribution


def mean_factors(treated: Floats, control: Floats, *, ratio: float, growth: float) -> Floats:
    """Mean factor of every fixed bet, by enumeration of both arms."""
    pairs = np.array(list(product(range(len(treated)), range(len(control)))))
    chance = np.outer(treated, control).ravel()
    bets = np.broadcast_to(FIXED_BETS, (len(pairs), len(FIXED_BETS)))
    log_factors = clearance.log_factors(bets, pairs[:, 0], pairs[:, 1], np.full(len(pairs), ratio))
    mean: Floats = (chance[:, None] * np.exp(log_factors + bets * growth)).sum(axis=0)
    return mean


@pytest.mark.parametrize("base", [0.002, 0.05])
@pytest.mark.parametrize("delta", [0.001, 0.1])
@pytest.mark.parametrize(("m1", "m0"), [(10, 90), (50, 50), (40, 10)])
def test_at_the_boundary_every_bet_is_fair_for_poisson_counts(
    m1: int, m0: int, base: float, delta: float
) -> None:
    """A release exactly delta worse must not be cleared more often than once in 1/alpha."""
    mean = mean_factors(
        poisson(m1 * (base + delta), 60),
        poisson(m0 * base, 60),
        ratio=m1 / m0,
        growth=delta * m1,
    )

    assert mean == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("delta", [0.001, 0.1, 0.4])
@pytest.mark.parametrize(("m1", "m0"), [(5, 45), (20, 20), (30, 6)])
def test_at_the_boundary_no_bet_gains_on_unequal_machines(m1: int, m0: int, delta: float) -> None:
    """Fleets mix old laptops with new servers; the mean excess is what delta speaks of."""
    base_treated, base_control = np.linspace(0.0, 0.2, m1), np.linspace(0.0, 0.2, m0)

    mean = mean_factors(
        harmed_among(base_treated + delta),
        harmed_among(base_control),
        ratio=m1 / m0,
        growth=delta * m1,
    )

    assert mean.max() <= 1.0 + 1e-12
    assert mean.min() < 1.0 - 1e-6


@pytest.mark.parametrize("asked", [0.05, 0.3])
def test_the_whole_process_is_fair_over_two_classes(asked: float) -> None:
    """What the aimed bet learns from the first class must not help it in the second."""
    m1, m0, base = 2, 4, 0.2
    treated, control = harmed_among(np.full(m1, base + asked)), harmed_among(np.full(m0, base))
    outcomes = [
        (Counts.of(m1, m0, x1, x0, m1), treated[x1] * control[x0])
        for x1, x0 in product(range(m1 + 1), range(m0 + 1))
    ]

    mean = 0.0
    for first, chance in outcomes:
        after_first = clearance.absorb(clearance.start(1, 0.1), first)
        for second, chance_then in outcomes:
            after = clearance.absorb(after_first, second)
            mean += chance * chance_then * math.exp(clearance.log_e(after, asked)[0])

    assert 0.5 < mean <= 1.0 + 1e-12


def test_the_aimed_bet_is_the_one_that_grows_fastest() -> None:
    """It is what brings clearance from 1.5 times the floor down to 1.2."""
    state = clearance.absorb(clearance.start(1, 0.001), Counts.of(500, 4_500, 0, 40))
    counts = Counts.of(100, 900, 0, 0)
    base = (40 + 0.5) / (4_500 + 5 / 0.001)

    bet = clearance.aimed_bet(state, counts)[0]

    def growth(b: float) -> float:
        return 100 * (base * math.log1p(-b) + 0.001 * b) + 900 * base * math.log1p(b / 9)

    assert 0.0 < bet < 0.98
    assert growth(bet) > max(growth(bet - 1e-3), growth(bet + 1e-3))


def test_the_aimed_bet_exists_without_controls_and_with_endless_ones() -> None:
    """The reserve of a small fleet matures without a control arm; nothing may divide by zero."""
    state, guessed_base = clearance.start(1, 0.001), 0.5 / 5_000

    alone = clearance.aimed_bet(state, Counts.of(10, 0, 0, 0))[0]
    endless = clearance.aimed_bet(state, Counts.of(10, 10**9, 0, 0))[0]
    nobody = clearance.aimed_bet(state, Counts.of(0, 0, 0, 0))[0]

    assert alone == pytest.approx(1 - guessed_base / 0.001)
    # A known base rate l leaves (1-b)(l + delta) = l.
    assert endless == pytest.approx(1 - guessed_base / (guessed_base + 0.001), rel=1e-4)
    assert 0.0 <= nobody <= 0.98


def test_the_aimed_bet_is_set_before_the_class_is_read() -> None:
    """A bet that peeks at the outcome it bets on proves whatever it likes."""
    state = clearance.absorb(clearance.start(1, 0.001), Counts.of(500, 4_500, 0, 40))

    blind, harmed = Counts.of(100, 900, 0, 0, 0), Counts.of(100, 900, 60, 300, 100)

    assert clearance.aimed_bet(state, blind) == clearance.aimed_bet(state, harmed)


def clean(installs: int, *, delta: float, per_class: int = 50) -> Clearance:
    state = clearance.start(1, delta)
    for _ in range(installs // per_class):
        counts = Counts.of(per_class, 9 * per_class, 0, 0, per_class)
        state = clearance.absorb(state, counts)
    return state


def test_nothing_can_be_excluded_before_the_first_class() -> None:
    """U = 1 makes the first window the bare budget; any smaller start would be a guess."""
    assert clearance.upper(clearance.start(3, 0.001), ALPHA).tolist() == [1.0, 1.0, 1.0]


def test_clean_installs_clear_at_the_multiples_of_the_floor_the_design_gives() -> None:
    """Six fixed bets alone need 1.47 times the rule of three, half on the aimed bet 1.20."""
    delta, floor = 0.001, clearance_floor(ALPHA, 0.001)

    cleared_at: dict[str, int] = {}
    for installs in range(3_000, 5_000, 50):
        state = clean(installs, delta=delta)
        fixed = np.exp(state.intercepts + state.slopes * delta)[0, :6].mean()
        if clearance.upper(state, ALPHA)[0] <= delta:
            cleared_at.setdefault("half aimed", installs)
        if fixed >= 1 / ALPHA:
            cleared_at.setdefault("fixed", installs)

    assert cleared_at["half aimed"] / floor == pytest.approx(1.20, abs=0.02)
    assert cleared_at["fixed"] / floor == pytest.approx(1.47, abs=0.02)


def test_the_bound_answers_for_every_delta_at_once() -> None:
    """Rings may ask about different deltas; one state, one alpha, one bound."""
    state = clearance.absorb(clean(400, delta=0.001), Counts.of(50, 450, 2, 3, 50))

    bound = clearance.upper(state, ALPHA)[0]

    assert clearance.log_e(state, bound)[0] == pytest.approx(math.log(20), abs=1e-6)
    assert clearance.log_e(state, bound * 0.99)[0] < math.log(20)


def test_the_bound_is_never_nothing() -> None:
    """A release that heals machines beats its control; the window divides by the bound."""
    state = clearance.absorb(clearance.start(1, 0.01), Counts.of(100, 900, 0, 200, 100))

    assert clearance.log_e(state, 0.0)[0] > math.log(20)
    assert 0.0 < clearance.upper(state, ALPHA)[0] < 1e-12


def test_only_machines_that_installed_clear_a_release() -> None:
    """A fleet that downloads nothing stays healthy and proves nothing."""
    state = clearance.absorb(clearance.start(1, 0.001), Counts.of(5_000, 45_000, 0, 0, 0))

    assert clearance.upper(state, ALPHA)[0] == 1.0
    assert clearance.log_e(state, 0.001)[0] == pytest.approx(0.0)


def test_a_class_without_treated_machines_teaches_the_base_rate_only() -> None:
    """Controls alone say nothing of the release."""
    before = clean(500, delta=0.001)

    after = clearance.absorb(before, Counts.of(0, 900, 0, 30))

    assert np.array_equal(after.slopes, before.slopes)
    assert np.array_equal(after.intercepts, before.intercepts)
    assert after.control_harmed == 30


def test_a_reserve_without_controls_counts_for_and_against() -> None:
    """The last machines of a fleet have nobody to be compared with; zero is a valid comparison."""
    start = clearance.start(1, 0.1)

    healthy = clearance.absorb(start, Counts.of(30, 0, 0, 0, 30))
    harmed = clearance.absorb(start, Counts.of(30, 0, 5, 0, 30))

    assert clearance.upper(healthy, ALPHA)[0] < clearance.upper(harmed, ALPHA)[0]


@pytest.mark.parametrize(("base", "excess"), [(0.0, 0.05), (0.01, 0.05), (0.02, 0.002)])
def test_the_bound_covers_the_true_excess_at_all_times(base: float, excess: float) -> None:
    """In-flight harm stays below the budget only while U stays above the truth."""
    fleets, m1, m0 = 400, 20, 180
    chance = np.random.default_rng(20261122)
    state = clearance.start(fleets, 0.01)
    ever_below = np.zeros(fleets, dtype=bool)

    for _ in range(60):
        x1, x0 = chance.binomial(m1, base + excess, fleets), chance.binomial(m0, base, fleets)
        state = clearance.absorb(state, Counts.of(m1, m0, x1, x0, m1))
        ever_below |= clearance.upper(state, ALPHA) < excess

    assert ever_below.mean() <= ALPHA
    # And it is a bound, not a shrug: in the end it is near what it covers.
    assert np.median(clearance.upper(state, ALPHA)) < excess + 0.06


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, float("nan")])
def test_a_delta_that_is_no_share_is_refused(delta: float) -> None:
    """A delta of 1 would call a release cleared before its first install."""
    with pytest.raises(ValueError, match="delta"):
        clearance.start(1, delta)


def test_missing_installs_are_those_that_then_clear() -> None:
    """The forecast on the console is a promise people plan their night by."""
    state = clean(1_000, delta=0.001)

    missing = clearance.installs_to_clear(state, ALPHA, treated=1_000)

    assert missing is not None
    short, enough = math.floor(missing) - 50, math.ceil(missing) + 50
    assert clearance.upper(clean(1_000 + short, delta=0.001), ALPHA)[0] > 0.001
    assert clearance.upper(clean(1_000 + enough, delta=0.001), ALPHA)[0] <= 0.001
    assert clearance.installs_to_clear(clean(4_000, delta=0.001), ALPHA, treated=4_000) == 0.0


def test_a_noisy_fleet_is_told_that_it_takes_longer_or_for_ever() -> None:
    """Failures by chance hide an excess; saying "soon" would be a lie."""
    start = clearance.start(1, 0.001)
    quiet = clearance.absorb(start, Counts.of(500, 4_500, 0, 0, 500))
    noisy = clearance.absorb(start, Counts.of(500, 4_500, 2, 18, 500))
    hopeless = clearance.absorb(start, Counts.of(1, 10, 0, 10, 1))

    soon = clearance.installs_to_clear(quiet, ALPHA, treated=500)
    later = clearance.installs_to_clear(noisy, ALPHA, treated=500)

    assert soon is not None and later is not None
    assert later > 2 * soon
    assert clearance.installs_to_clear(hopeless, ALPHA, treated=1) is None
