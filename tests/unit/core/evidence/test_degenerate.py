"""What comes in when something is broken: every test of the engine stays defined and finite."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from firedoor.core.evidence import (
    attribution,
    clearance,
    cluster,
    excess,
    harm,
    history,
    relative,
)
from firedoor.core.evidence.attribution import Overlap
from firedoor.core.evidence.counts import Counts, Floats

HUGE = 2**53


def through_harm(counts: Counts) -> Floats:
    return harm.log_e(harm.absorb(harm.start(len(counts.treated)), counts, 0))


def through_clearance(counts: Counts) -> Floats:
    state = clearance.absorb(clearance.start(len(counts.treated), 0.01), counts)
    return clearance.log_e(state, 0.01)


def through_excess(counts: Counts) -> Floats:
    return excess.log_e(excess.absorb(excess.start(len(counts.treated)), counts), 0.0)


def through_relative(counts: Counts) -> Floats:
    return relative.log_e(relative.absorb(relative.start(len(counts.treated), 2.0), counts))


def through_history(counts: Counts) -> Floats:
    return history.log_e(history.absorb(history.start(len(counts.treated)), counts, 0.001, 0))


def through_clusters(counts: Counts) -> Floats:
    factors: Floats = cluster.plain(counts, 3).max(axis=1)
    return factors


ALL = [
    through_harm,
    through_clearance,
    through_excess,
    through_relative,
    through_history,
    through_clusters,
]
COMPARING = [through_harm, through_excess, through_relative, through_clusters]
Process = Callable[[Counts], Floats]


@pytest.mark.parametrize("process", ALL)
@pytest.mark.parametrize(
    "counts",
    [
        (0, 0, 0, 0, 0),
        (0, 90, 0, 90, 0),
        (10, 0, 10, 0, 10),
        (10, 90, 10, 90, 10),
        (10, 90, 0, 90, 0),
        (10, 90, 10, 0, 0),
        (1, HUGE, 1, 0, 1),
        (1, HUGE, 0, 5_000, 1),
        (HUGE, 1, 5_000, 0, HUGE),
        (HUGE, HUGE, HUGE, HUGE, HUGE),
        (HUGE, HUGE, 0, HUGE, HUGE),
        (HUGE, HUGE, HUGE, 0, 0),
    ],
)
def test_no_catastrophe_makes_evidence_that_is_not_a_number(
    process: Process, counts: tuple[int, int, int, int, int]
) -> None:
    """The night when everything fails is the night when the judge must not."""
    assert np.isfinite(process(Counts.of(*counts))).all()


@pytest.mark.parametrize("process", COMPARING)
@pytest.mark.parametrize("counts", [(0, 90, 0, 9), (10, 0, 9, 0), (0, 0, 0, 0)])
def test_where_nothing_is_compared_nothing_is_said(
    process: Process, counts: tuple[int, int, int, int]
) -> None:
    """One arm alone, however badly it does, is no comparison."""
    assert process(Counts.of(*counts)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "counts",
    [(5, 9, 6, 0), (5, 9, 0, 10), (5, 9, -1, 0), (5, 9, math.nan, 0), (math.inf, 9, 0, 0)],
)
def test_impossible_counts_stop_at_the_boundary(counts: tuple[float, ...]) -> None:
    """Everything behind it may rely on whole machines."""
    with pytest.raises(ValueError, match=r"must lie between|whole numbers"):
        Counts.of(*counts)


def test_the_brick_bet_survives_any_number_of_control_events() -> None:
    """A ratio of a million loses fourteen nats per control crash; zero it must never reach."""
    state, past = harm.start(1), history.start(1)
    for epoch in range(20):
        counts = Counts.of(50, 5_000, 0, 4_000)
        state = harm.absorb(state, counts, epoch)
        past = history.absorb(past, counts, 0.5, epoch)

    assert np.isfinite(state.plain.placed).all() and np.isfinite(state.linear.placed).all()
    assert np.isfinite(past.wealth.placed).all()


@pytest.mark.parametrize("delta", [math.nan, math.inf, -math.inf])
def test_a_question_that_is_no_number_is_refused(delta: float) -> None:
    """An answer to it would look like one."""
    with pytest.raises(ValueError, match="harmed machines"):
        excess.log_e(excess.start(1), delta)
    with pytest.raises(ValueError, match="harmed machines"):
        clearance.log_e(clearance.start(1, 0.01), delta)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_an_error_rate_that_is_none_is_refused(alpha: float) -> None:
    """At alpha 0 nothing is ever proved, at 1 everything is."""
    with pytest.raises(ValueError, match="alpha"):
        excess.lower(excess.start(1), alpha)
    with pytest.raises(ValueError, match="alpha"):
        clearance.upper(clearance.start(1, 0.01), alpha)
    with pytest.raises(ValueError, match="alpha"):
        attribution.findings(attribution.start(1), alpha)


def test_overlaps_of_any_size_are_weighed() -> None:
    """Two releases to everybody at once, and everybody down."""
    state = attribution.start(2)
    machines = np.array([[[0, 0], [0, HUGE]], [[HUGE, 1], [1, HUGE]]])
    state = attribution.absorb(state, Overlap.of(machines, machines), 0)

    assert np.isfinite(attribution.posterior(state)).all()
    assert all(np.isfinite(found.log_e_a) for found in attribution.findings(state, 0.01))
