import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from firedoor.core.evidence import harm, mixture
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.harm import EXACT_SUPPORT
from firedoor.core.evidence.mixture import LOG_PRIOR, RATIOS

LARGEST_POOL = 12


def small_pools() -> tuple[Counts, Floats, Floats]:
    """Every outcome of every pool up to 12 + 12, its chance, and the number of its (R1, R0, K)."""
    rows, chances, settings = [], [], []
    setting = 0
    for r1 in range(LARGEST_POOL + 1):
        for r0 in range(LARGEST_POOL + 1):
            for k in range(r1 + r0 + 1):
                for x1 in range(max(0, k - r0), min(k, r1) + 1):
                    rows.append((r1, r0, x1, k - x1))
                    ways = math.comb(r1, x1) * math.comb(r0, k - x1)
                    chances.append(ways / math.comb(r1 + r0, k))
                    settings.append(setting)
                setting += 1
    return Counts.of(*np.array(rows).T), np.array(chances), np.array(settings)


def means(factors: Floats, chances: Floats, settings: Floats) -> Floats:
    """Mean factor of every (R1, R0, K) and ratio, over the deal of the cards."""
    total = np.zeros((int(settings.max()) + 1, factors.shape[1]))
    np.add.at(total, settings.astype(int), chances[:, None] * np.exp(factors))
    return total


def test_exact_and_linear_factors_have_mean_one_over_the_deal() -> None:
    """The promise "a good release is shut at most once in 1/alpha" is this equation."""
    counts, chances, settings = small_pools()

    for factors in (harm.plain(counts), harm.linear(counts)):
        assert means(factors, chances, settings) == pytest.approx(1.0, abs=1e-12)


def test_binomial_factor_has_mean_at_most_one_over_the_deal() -> None:
    """It stands in for the exact factor in huge closings, and may only lose by that."""
    counts, chances, settings = small_pools()

    mean = means(harm.binomial(counts), chances, settings)

    assert mean.max() <= 1.0 + 1e-12
    assert mean.min() < 0.9


@pytest.mark.parametrize(
    ("treated", "control", "bricked", "exact", "binomial"),
    [(5, 25, 5, 36_090, 2_608), (3, 27, 3, 1_132, 338), (5, 45, 5, 483_718, 29_522)],
)
def test_first_bricks_weigh_what_the_design_says(
    treated: int, control: int, bricked: int, exact: int, binomial: int
) -> None:
    """A small fleet is protected because few bricks among few machines weigh this much."""
    counts = Counts.of(treated, control, bricked, 0)

    plain_e = np.exp(mixture.log_sum(LOG_PRIOR + harm.plain(counts), axis=1))
    binomial_e = np.exp(mixture.log_sum(LOG_PRIOR + harm.binomial(counts), axis=1))

    assert plain_e == pytest.approx(exact, abs=1)
    assert binomial_e == pytest.approx(binomial, abs=1)


@pytest.mark.parametrize(
    ("treated", "control", "treated_harmed", "control_harmed"),
    [(50, 450, 3, 17), (50, 450, 20, 0), (7, 3, 7, 2), (200, 5, 40, 5), (40, 360, 0, 60)],
)
def test_exact_factor_agrees_with_rational_arithmetic(
    treated: int, control: int, treated_harmed: int, control_harmed: int
) -> None:
    """The recurrence without factorials must not drift where counts are large or lopsided."""
    k = treated_harmed + control_harmed
    expected = []
    for ratio in RATIOS:
        g = Fraction(float(ratio))
        mean = sum(
            (
                math.comb(treated, x) * math.comb(control, k - x) * g**x
                for x in range(max(0, k - control), min(k, treated) + 1)
            ),
            start=Fraction(0),
        ) / math.comb(treated + control, k)
        factor = Fraction(g**treated_harmed) / mean
        expected.append(math.log(factor.numerator) - math.log(factor.denominator))

    counts = Counts.of(treated, control, treated_harmed, control_harmed)

    assert harm.plain(counts)[0] == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(
    "counts",
    [(5, 45, 0, 0), (0, 45, 0, 7), (5, 0, 3, 0), (0, 0, 0, 0)],
    ids=["no event", "no treated", "no control", "nobody"],
)
def test_a_closing_that_compares_nothing_says_exactly_nothing(
    counts: tuple[int, int, int, int],
) -> None:
    """Without events or without one arm there is no evidence, not even a rounding of it."""
    rows = Counts.of(*counts)

    assert (harm.plain(rows) == 0.0).all()
    assert (harm.linear(rows) == 0.0).all()
    assert harm.binomial(rows) == pytest.approx(0.0, abs=1e-12)


def test_one_event_weighs_the_same_in_all_factors() -> None:
    """Where events are rare, the protection against bursts costs nothing."""
    counts = Counts.of([10, 10], [90, 90], [1, 0], [0, 1])

    assert harm.plain(counts) == pytest.approx(harm.linear(counts), abs=1e-12)
    assert harm.plain(counts) == pytest.approx(harm.binomial(counts), abs=1e-12)


def test_a_burst_weighs_no_more_than_one_event_in_the_linear_factor() -> None:
    """A site that goes dark takes forty machines along; forty is still one observation."""
    burst, single = Counts.of(40, 360, 40, 0), Counts.of(40, 360, 1, 0)

    assert harm.linear(burst) == pytest.approx(harm.linear(single))
    assert (harm.plain(burst) > harm.plain(single)).all()


def test_huge_closings_fall_back_to_the_binomial_factor() -> None:
    """A thousand failures in a minute must not stall the judge of ten thousand streams."""
    k = EXACT_SUPPORT
    counts = Counts.of(k, 9 * k, [300, 300], [k - 301, k - 300])

    factors = harm.plain(counts)

    assert np.array_equal(factors[1], harm.binomial(counts)[1])
    assert (factors[0] > harm.binomial(counts)[0]).all()


def test_theta_of_a_million_with_control_events_stays_finite() -> None:
    """Every control crash refutes the brick bet by fourteen nats, and must not end in -inf."""
    process = harm.start(1)
    for epoch in range(50):
        process = harm.absorb(process, Counts.of(20, 500, 0, 400), epoch)

    assert np.isfinite(process.plain.placed).all()
    assert np.isfinite(process.linear.placed).all()
    # What is left is the share of the bets not yet placed.
    assert harm.log_e(process)[0] > math.log(1 / 51) - 1e-9


def test_late_harm_is_found_sooner_than_without_starting_times() -> None:
    """A time bomb meets wealth that two quiet days have worn away, unless some was kept back."""
    harmed, quiet = Counts.of(10, 90, 1, 0), Counts.of(10, 90, 0, 1)
    alone = np.zeros((1, len(RATIOS)))
    process = harm.start(1)
    for event in range(2_000):
        counts = harmed if event % 10 == 0 else quiet
        process = harm.absorb(process, counts, event // 100)
        alone = alone + harm.plain(counts)
    enough = math.log(100)

    found: dict[str, int] = {}
    for event in range(400):  # from now on half of all events hit the tenth that is treated
        counts = harmed if event % 2 == 0 else quiet
        process = harm.absorb(process, counts, 20 + event // 100)
        alone = alone + harm.plain(counts)
        if harm.log_e(process)[0] >= enough:
            found.setdefault("started anew", event // 2 + 1)
        if mixture.log_sum(LOG_PRIOR + alone, axis=1)[0] >= enough:
            found.setdefault("from the first hour", event // 2 + 1)

    assert found["started anew"] <= 15
    assert found["from the first hour"] >= 4 * found["started anew"]


def mean_e_with_liars(*, liars: int, spared: int) -> float:
    """Mean E over all deals of 3 treated among 9, when machines 0..liars-1 play dead if treated.

    Machine 7 crashes whatever its card in the first closing, machine 8 in the second; the last
    liar waits for the second.
    """
    total = 0.0
    deals = list(combinations(range(9), 3))
    for deal in deals:
        treated, pool = set(deal), set(range(9))
        process = harm.start(spared + 1)
        lies = [liar for liar in range(liars) if liar in treated]
        for closing, honest in enumerate(({7}, {8})):
            events = (honest | {liar for liar in lies if (liar == 2) == closing}) & pool
            counts = Counts.of(
                treated=len(pool & treated),
                control=len(pool - treated),
                treated_harmed=len(events & treated),
                control_harmed=len(events - treated),
            )
            process = harm.absorb_sparing(process, counts, closing)
            pool -= events
        total += math.exp(harm.log_e(process)[-1])
    return total / len(deals)


@pytest.mark.parametrize("liars", [1, 2, 3])
def test_liars_that_play_dead_cannot_raise_the_mean_of_the_spared_evidence(liars: int) -> None:
    """A few stolen machines must not be able to stop a security fix by faking bricks."""
    assert mean_e_with_liars(liars=liars, spared=0) > 1.2
    assert mean_e_with_liars(liars=liars, spared=liars) <= 1.0 + 1e-12


def test_liars_that_hide_among_the_controls_build_no_evidence() -> None:
    """A liar that drew a control card keeps quiet, and so makes the others look more treated."""
    naive, spared = harm.start(1), harm.start(3)

    # Of four members two are liars with control cards; the honest two fail in turn, by chance.
    for deck in range(60):
        counts = Counts.of(1, 3, deck % 2, 1 - deck % 2)
        naive = harm.absorb(naive, counts, 0)
        spared = harm.absorb_sparing(spared, counts, 0)

    assert harm.log_e(naive)[0] > math.log(100)
    assert harm.log_e(spared)[-1] <= 0.0


def test_forgiving_one_of_five_bricks_leaves_the_evidence_of_four() -> None:
    """What the operator reads as "even if one of them lied" is that, and not much less."""
    spared = harm.absorb_sparing(harm.start(2), Counts.of(5, 45, 5, 0), 0)
    four = harm.absorb(harm.start(1), Counts.of(4, 45, 4, 0), 0)

    # Bets for which leaving out nobody is worse, because a liar may be a control, cost the rest.
    assert harm.log_e(spared)[-1] == pytest.approx(harm.log_e(four)[0], abs=1e-3)


def test_liars_are_forgiven_once_in_a_release_and_not_in_every_closing() -> None:
    """Otherwise a release that bricks one machine in each deck would never be stopped."""
    spared, straight = harm.start(2), harm.start(1)
    for deck in range(8):
        counts = Counts.of(5, 45, 1, 0)
        spared = harm.absorb_sparing(spared, counts, 0)
        straight = harm.absorb(straight, counts, 0) if deck else straight

    assert harm.log_e(spared)[-1] > math.log(1_000)
    assert harm.log_e(spared)[-1] == pytest.approx(harm.log_e(straight)[0], abs=0.5)


def test_sparing_nobody_is_the_plain_process_to_the_last_bit() -> None:
    """The defence costs nothing, in evidence and in time, while it is switched off."""
    spared = straight = harm.start(1)
    for epoch, counts in enumerate(
        (Counts.of(5, 45, 2, 1), Counts.of(3, 44, 0, 2), Counts.of(9, 81, 9, 0))
    ):
        spared = harm.absorb_sparing(spared, counts, epoch)
        straight = harm.absorb(straight, counts, epoch)

    assert spared == straight


def test_spared_evidence_still_stops_a_brick() -> None:
    """One liar is forgiven; five machines that die at once are not."""
    process = harm.absorb_sparing(harm.start(2), Counts.of(5, 45, 5, 0), 0)

    assert harm.log_e(process)[-1] > math.log(1_000)
