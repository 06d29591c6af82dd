import math

import numpy as np
import pytest

from firedoor.core.evidence import clearance, cluster, excess, harm, mixture
from firedoor.core.evidence.cluster import Comparison, Layout
from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.mixture import LOG_PRIOR

ALPHA = 0.01
SITES, MACHINES = 50, 40


def compound_poisson(accidents: dict[int, float], most: int) -> Floats:
    """Chance of each number harmed when accidents of a size arrive at a rate."""
    distribution = np.zeros(most)
    distribution[0] = math.exp(-sum(accidents.values()))
    for harmed in range(1, most):
        distribution[harmed] = (
            sum(
                rate * size * distribution[harmed - size]
                for size, rate in accidents.items()
                if size <= harmed
            )
            / harmed
        )
    return distribution


def outcomes(treated: Floats, control: Floats) -> tuple[Ints, Ints, Floats]:
    x1, x0 = np.indices((len(treated), len(control))).reshape(2, -1)
    return x1, x0, np.outer(treated, control).ravel()


@pytest.mark.parametrize("accidents", [{1: 0.3, 4: 0.2}, {4: 0.5}, {2: 1.0, 3: 0.1}])
def test_accidents_no_larger_than_the_cluster_size_are_fair(accidents: dict[int, float]) -> None:
    """A rack that loses power is one accident; four machines of evidence it is not."""
    m1, m0, scale = 50, 150, 10
    shifted = {size: rate * m0 / m1 for size, rate in accidents.items()}
    x1, x0, chance = outcomes(compound_poisson(accidents, 90), compound_poisson(shifted, 120))
    counts = Counts.of(m1 * scale, m0 * scale, x1, x0, m1 * scale)
    rows = len(x1)

    factors = {
        "harm": cluster.plain(counts, 4),
        "excess": excess.absorb(excess.start(rows), counts, cluster=4).intercepts,
        "clearance": clearance.absorb(clearance.start(rows, 0.1), counts, cluster=4).intercepts,
    }

    for name, log_factors in factors.items():
        mean = (chance[:, None] * np.exp(log_factors)).sum(axis=0)
        assert mean.max() <= 1.0 + 1e-12, name
    unguarded = (chance[:, None] * np.exp(harm.binomial(counts))).sum(axis=0)
    assert unguarded.max() > 1.05


def test_clusters_of_one_change_nothing() -> None:
    """The mode is a division; by one it must be the ordinary test, to the last bit."""
    counts = Counts.of(20, 180, 3, 5, 20)

    assert np.array_equal(cluster.plain(counts, 1), harm.binomial(counts))
    assert excess.absorb(excess.start(1), counts, cluster=1) == excess.absorb(
        excess.start(1), counts
    )
    assert clearance.absorb(clearance.start(1, 0.01), counts, cluster=1) == clearance.absorb(
        clearance.start(1, 0.01), counts
    )


@pytest.mark.parametrize("size", [0, -1, 1.5, float("nan"), [3, 0]])
def test_a_cluster_of_no_machine_is_refused(size: float) -> None:
    """Dividing by less than one would multiply evidence."""
    with pytest.raises(ValueError, match="cluster"):
        cluster.plain(Counts.of(5, 45, 1, 0), size)


def spread(share: float) -> Layout:
    treated = round(share * MACHINES)
    return Layout.of([treated] * SITES, [MACHINES - treated] * SITES)


def whole_sites(treated_sites: int = 5) -> Layout:
    treated = [MACHINES] * treated_sites + [0] * (SITES - treated_sites)
    return Layout.of(treated, [MACHINES - each for each in treated])


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (spread(0.1), Comparison.MACHINES),
        (whole_sites(), Comparison.SITES),
        (Layout.of([2, 0, 0], [0, 2, 2]), Comparison.SITES),
        (Layout.of([1, 0, 0, 1], [0, 1, 1, 0]), Comparison.MACHINES),
        (Layout.of([40, 20], [0, 20]), Comparison.SITES),
        (Layout.of([30], [10]), Comparison.MACHINES),
        (Layout.of([40, 40], [0, 0]), Comparison.NONE),
        (Layout.of([0, 0], [40, 40]), Comparison.NONE),
        (Layout.of([0], [0]), Comparison.NONE),
    ],
    ids=[
        "tenth of every site", "whole sites", "small whole sites", "sites of one machine",
        "half of the ring is one whole site", "one site", "no control", "no treated", "nobody",
    ],
)  # fmt: skip
def test_the_plain_factor_is_refused_where_whole_sites_form_the_ring(
    layout: Layout, says: Comparison
) -> None:
    """It would raise 56 false alarms in 100 good releases there."""
    assert cluster.suitable(layout) is says


def test_random_admission_is_not_mistaken_for_whole_sites() -> None:
    """The gate's own decks must never lose their sharper factor."""
    chance = np.random.default_rng(4)
    treated = chance.multivariate_hypergeometric([MACHINES] * SITES, 200, size=300)

    correlations = [cluster.label_correlation(Layout.of(row, MACHINES - row)) for row in treated]

    assert abs(np.mean(correlations)) < 0.001
    assert max(correlations) < cluster.LARGEST_LABEL_CORRELATION / 3


def test_a_site_counts_once_however_many_machines_it_loses() -> None:
    """One dead switch is one observation."""
    layout = Layout.of([40, 40, 0, 0, 0], [0, 0, 40, 40, 40])

    units = cluster.site_units(layout, [40, 0, 0, 0, 0], [0, 0, 1, 25, 0])

    assert (units.treated[0], units.control[0]) == (2, 3)
    assert (units.treated_harmed[0], units.control_harmed[0]) == (1, 2)


def test_counts_that_cannot_be_are_refused() -> None:
    """More harmed machines than a site has would be a mistake in the inventory."""
    with pytest.raises(ValueError, match="treated_harmed"):
        cluster.site_units(Layout.of([2], [2]), [3], [0])
    with pytest.raises(ValueError, match="whole numbers"):
        Layout.of([float("nan")], [2])


def halted(logs: Floats) -> float:
    """Share of the fleets whose mixture ever reached 1/alpha; logs of shape (ticks, fleets, J)."""
    log_e = mixture.log_sum(LOG_PRIOR + np.cumsum(logs, axis=0), axis=2)
    return float((log_e >= -math.log(ALPHA)).any(axis=0).mean())


@pytest.mark.parametrize("rate_ratio", [1.0, 20.0])
def test_bursts_of_whole_sites_reproduce_the_table_of_the_design(rate_ratio: float) -> None:
    """Table C: bursts that hit half a site, whole sites treated; who errs, and who still sees."""
    ticks, fleets, treated_sites = 500, 200, 5
    chance = np.random.default_rng(7)
    treated = np.arange(SITES) < treated_sites
    own = 2e-5 * np.where(treated, rate_ratio, 1.0)
    hit = chance.random((ticks, fleets, SITES)) < 0.002
    harmed = chance.binomial(MACHINES, own, (ticks, fleets, SITES))
    harmed = np.minimum(harmed + chance.binomial(MACHINES, 0.5 * hit), MACHINES)
    m1, m0 = MACHINES * treated_sites, MACHINES * (SITES - treated_sites)
    x1, x0 = harmed[:, :, treated].sum(axis=2), harmed[:, :, ~treated].sum(axis=2)
    s1, s0 = (harmed[:, :, treated] > 0).sum(axis=2), (harmed[:, :, ~treated] > 0).sum(axis=2)

    machines = Counts.of(m1, m0, x1.ravel(), x0.ravel())
    sites = Counts.of(treated_sites, SITES - treated_sites, s1.ravel(), s0.ravel())
    plain = halted(harm.binomial(machines).reshape(ticks, fleets, -1))
    linear = halted(harm.linear(machines).reshape(ticks, fleets, -1))
    units = halted(harm.linear(sites).reshape(ticks, fleets, -1))

    if rate_ratio == 1.0:
        assert plain > 0.4
        assert max(linear, units) <= 0.02
    else:
        assert min(linear, units) >= 0.95
