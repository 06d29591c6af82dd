import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.evidence import clearance, cluster, excess, history, mixture, relative
from firedoor.core.evidence.cluster import Layout
from firedoor.core.evidence.counts import Counts

ALPHA = 0.05

Row = tuple[int, int, int, int]


@st.composite
def rows(draw: st.DrawFn, most: int = 60) -> Row:
    """m1, m0, x1, x0 of one matured class."""
    treated, control = draw(st.integers(0, most)), draw(st.integers(0, 9 * most))
    return (treated, control, draw(st.integers(0, treated)), draw(st.integers(0, control)))


def matured(classes: list[Row]) -> tuple[excess.Excess, clearance.Clearance]:
    worse, better = excess.start(1), clearance.start(1, 0.02)
    for m1, m0, x1, x0 in classes:
        counts = Counts.of(m1, m0, x1, x0, m1)
        worse, better = excess.absorb(worse, counts), clearance.absorb(better, counts)
    return worse, better


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 54)), min_size=1, max_size=30))
def test_the_lower_bound_never_crosses_the_upper_one(harmed: list[tuple[int, int]]) -> None:
    """A console that shows "at least 4 %, at most 3 %" is switched off the same night."""
    worse, better = matured([(6, 54, x1, x0) for x1, x0 in harmed])

    assert excess.lower(worse, ALPHA)[0] <= clearance.upper(better, ALPHA)[0]


@given(st.lists(rows(), max_size=12))
def test_bounds_and_evidence_are_finite_whatever_happened(classes: list[Row]) -> None:
    """No order of catastrophes may end in a number that is none."""
    worse, _ = matured(classes)

    for delta in (0.0, 0.01, 1.0):
        assert np.isfinite(excess.log_e(worse, delta)).all()
    assert 0.0 <= excess.lower(worse, ALPHA)[0] < 1.0


@given(st.lists(rows(), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_more_tolerance_never_accuses_more(classes: list[Row], one: float, other: float) -> None:
    """Whoever widens the tolerance must not be told of more harm."""
    worse, _ = matured(classes)
    narrow, wide = sorted((one, other))

    assert excess.log_e(worse, wide)[0] <= excess.log_e(worse, narrow)[0] + 1e-12


@given(rows())
def test_a_harmed_treated_machine_raises_the_bound_and_a_harmed_control_lowers_it(
    row: Row,
) -> None:
    """Else there would be something to game."""
    m1, m0, x1, x0 = row
    state = excess.absorb(
        excess.start(3), Counts.of(m1 + 1, m0 + 1, [x1, x1 + 1, x1], [x0, x0, x0 + 1])
    )

    same, more_treated, more_control = excess.lower(state, ALPHA)

    assert more_control <= same <= more_treated


@settings(max_examples=50)
@given(st.lists(rows(), min_size=1, max_size=10))
def test_a_stream_is_bounded_alone_as_among_others(classes: list[Row]) -> None:
    """One release's bound must not depend on which others mature in that tick."""
    among = excess.absorb(excess.start(len(classes)), Counts.of(*np.array(classes).T))

    for number, row in enumerate(classes):
        alone = excess.absorb(excess.start(1), Counts.of(*row))
        assert excess.lower(alone, ALPHA)[0] == excess.lower(among, ALPHA)[number]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9))
def test_sites_explain_between_nothing_and_everything(sites: list[tuple[int, int]]) -> None:
    """A correlation above 1 would be a mistake, and a layout is judged whatever it looks like."""
    layout = Layout.of(*np.array(sites).T)

    assert np.isfinite(cluster.label_correlation(layout))
    assert cluster.label_correlation(layout) <= 1.0 + 1e-12
    assert cluster.suitable(layout) in cluster.Comparison


@given(st.lists(st.tuples(rows(), st.integers(0, 5)), min_size=1, max_size=8), st.floats(1e-9, 10))
def test_history_is_finite_and_each_stream_alone(
    closings: list[tuple[Row, int]], rate: float
) -> None:
    """Fleets of twenty and of a million are judged by the same reference in one tick."""
    counts = Counts.of(*np.array([row for row, _ in closings]).T)
    rates = np.where(np.arange(len(closings)) % 2, rate, np.inf)
    among = history.absorb(history.start(len(closings)), counts, rates, 3)

    assert np.isfinite(history.log_e(among)).all()
    for number, (row, _) in enumerate(closings):
        alone = history.absorb(history.start(1), Counts.of(*row), rates[number], 3)
        assert history.log_e(alone)[0] == history.log_e(among)[number]


@given(st.lists(st.tuples(rows(), st.integers(0, 5)), min_size=1, max_size=12))
def test_no_past_ruins_the_history_for_good(closings: list[tuple[Row, int]]) -> None:
    """Cash that no epoch has received yet is out of reach of any loss."""
    state, epoch = history.start(1), 0
    for row, later in closings:
        epoch += later
        state = history.absorb(state, Counts.of(*row), 0.01, epoch)

    cash = 1.0 - np.exp(
        mixture.log_sum(mixture.open_through(mixture.start(1), epoch).placed, axis=1)
    )
    assert history.log_e(state)[0] >= np.log(cash[0]) - 1e-9


@given(st.lists(rows(), min_size=1, max_size=8), st.floats(1, 20))
def test_relative_clearance_is_finite_and_each_stream_alone(
    closings: list[Row], rho: float
) -> None:
    """Common failures are judged among others as alone, whatever they are."""
    wide = [(50 * m1, 50 * m0, x1, x0) for m1, m0, x1, x0 in closings]
    among = relative.absorb(relative.start(len(wide), rho), Counts.of(*np.array(wide).T))

    assert np.isfinite(relative.log_e(among)).all()
    for number, row in enumerate(wide):
        alone = relative.absorb(relative.start(1, rho), Counts.of(*row))
        assert relative.log_e(alone)[0] == relative.log_e(among)[number]


@given(rows(), st.floats(1, 20))
def test_a_harmed_treated_machine_never_clears_a_release(row: Row, rho: float) -> None:
    """And a harmed control machine never speaks against clearing it."""
    m1, m0, x1, x0 = row
    counts = Counts.of(99 * (m1 + 1), 99 * (m0 + 1), [x1, x1 + 1, x1], [x0, x0, x0 + 1])
    if counts.events.max() > relative.MOST_EVENTS * (counts.treated + counts.control)[0]:
        return

    same, more_treated, more_control = relative.log_e(
        relative.absorb(relative.start(3, rho), counts)
    )

    assert more_treated <= same + 1e-9
    assert more_control >= same - 1e-9
