import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import clearance, harm, mixture
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.mixture import LOG_PRIOR
from firedoor.core.verdict import Rules, absorb, fold, start, verdict

SIGNALS = ("silence", "crash", "check")
RULES = Rules(
    alpha_harm=0.01,
    alpha_warn=0.05,
    alpha_clear=0.05,
    delta=0.05,
    shares=(("silence", 0.8), ("crash", 0.5), ("check", 0.3)),
    attributes=("model", "site"),
)

Row = tuple[int, int, int, int]


@st.composite
def rows(draw: st.DrawFn, most: int = 40) -> Row:
    """R1, R0, x1, x0 of one closing."""
    treated, control = draw(st.integers(0, most)), draw(st.integers(0, 9 * most))
    return (
        treated,
        control,
        draw(st.integers(0, treated)),
        draw(st.integers(0, min(control, 2 * most))),
    )


@st.composite
def cells(draw: st.DrawFn) -> list[Cell]:
    """A release's cells as the judge numbers them: both tests, all signals, epochs in order."""
    release: list[Cell] = []
    epoch = 0
    for seq in range(1, draw(st.integers(1, 12)) + 1):
        treated, control, x1, x0 = draw(rows())
        epoch += draw(st.sampled_from([0, 0, 1, 5]))
        test = draw(st.sampled_from(Test))
        signal = draw(st.sampled_from(SIGNALS)) if test is Test.HARM else "any"
        installed = draw(st.integers(0, treated)) if test is Test.CLEARANCE else 0
        counts = (treated, control, x1, x0, installed)
        release.append(Cell(seq, "everyone", 1, epoch, test, signal, "", *counts))
    return release


def in_turn(release: list[Cell]) -> list[Cell]:
    """The same cells, numbered as they stand."""
    return [replace(cell, seq=seq) for seq, cell in enumerate(release, 1)]


def process(closings: list[tuple[Row, int]]) -> harm.Harm:
    state = harm.start(1)
    for row, epoch in closings:
        state = harm.absorb(state, Counts.of(*row), epoch)
    return state


@given(cells())
def test_going_on_from_yesterday_gives_the_bits_of_starting_over(release: list[Cell]) -> None:
    """A verdict is replayable only if a restart of the judge leaves no trace in it."""
    evidence = start(RULES)
    for cell in release:
        verdict(evidence)
        evidence = absorb(evidence, cell)

    assert evidence == fold(RULES, release)
    assert verdict(evidence) == verdict(fold(RULES, release))


@given(st.lists(rows(), min_size=2, max_size=6), st.integers(0, 3), st.randoms())
def test_order_inside_an_epoch_does_not_matter(
    closings: list[Row], epoch: int, dice: Random
) -> None:
    """Pools that close in the same tick have no order of their own."""
    shuffled = closings.copy()
    dice.shuffle(shuffled)

    one = harm.log_e(process([(row, epoch) for row in closings]))
    other = harm.log_e(process([(row, epoch) for row in shuffled]))

    assert one[0] == pytest.approx(other[0], rel=1e-12, abs=1e-12)


@given(
    st.lists(st.tuples(rows(), st.integers(0, 5)), min_size=1, max_size=8),
    st.integers(1, 3),
)
def test_sums_of_shards_give_the_evidence_of_the_whole(
    closings: list[tuple[Row, int]], shards: int
) -> None:
    """Past one machine, a GROUP BY SUM per epoch in any engine must say what the judge says."""
    closings = sorted(closings, key=lambda closing: closing[1])
    last = closings[-1][1]
    log_e = harm.log_e(process(closings))[0]

    halves: list[float] = []
    for factor in (harm.plain, harm.linear):
        sums = np.zeros((shards, last + 1, len(LOG_PRIOR)))
        for number, (row, epoch) in enumerate(closings):
            sums[number % shards, epoch] += factor(Counts.of(*row))[0]
        halves.append(_by_epoch(sums.sum(axis=0)))

    assert log_e == pytest.approx(_half(*halves), rel=1e-12, abs=1e-12)


@given(st.lists(rows(), min_size=1, max_size=20))
def test_a_stream_is_judged_alone_as_among_others(closings: list[Row]) -> None:
    """One release's verdict must not depend on which others the judge looks at in that tick."""
    together = Counts.of(*np.array(closings).T)
    harm_among = harm.absorb(harm.start(len(closings)), together, 2)
    clear_among = clearance.absorb(clearance.start(len(closings), 0.05), together)

    for number, row in enumerate(closings):
        alone = Counts.of(*row)
        assert harm.log_e(harm_among)[number] == harm.log_e(process([(row, 2)]))[0]
        bound = clearance.upper(clearance.absorb(clearance.start(1, 0.05), alone), 0.05)[0]
        assert clearance.upper(clear_among, 0.05)[number] == bound


@given(rows())
def test_a_harmed_treated_machine_never_speaks_for_the_release(row: Row) -> None:
    """And a harmed control machine never against it; else there would be something to game."""
    treated, control, x1, x0 = row
    counts = Counts.of(treated + 1, control + 1, [x1, x1 + 1, x1], [x0, x0, x0 + 1])

    for factors in (harm.plain(counts), harm.linear(counts)):
        assert (factors[1] >= factors[0] - 1e-9).all()
        assert (factors[2] <= factors[0] + 1e-9).all()


@given(rows())
def test_the_binomial_factor_never_exceeds_the_exact_one(row: Row) -> None:
    """It is used where exact would be long; the switch may only lose evidence."""
    counts = Counts.of(*row)

    assert (harm.binomial(counts) <= harm.plain(counts) + 1e-9).all()


@given(st.lists(st.tuples(rows(), st.integers(0, 5)), max_size=8))
def test_evidence_is_finite_and_never_below_its_cash(closings: list[tuple[Row, int]]) -> None:
    """No history may ruin a stream so far that later harm goes unseen."""
    state = process(closings)

    assert np.isfinite(harm.log_e(state)).all()
    assert harm.log_e(state)[0] >= math.log(mixture.LATE / max(1, state.plain.epochs[0])) - 1e-12


@given(st.lists(rows(most=8), min_size=1, max_size=4))
def test_more_liars_never_strengthen_the_evidence(closings: list[Row]) -> None:
    """Scepticism is one-sided: it may only make the judge slower to accuse."""
    spared = []
    for liars in range(4):
        state = harm.start(liars + 1)
        for row in closings:
            state = harm.absorb_sparing(state, Counts.of(*row), 0)
        spared.append(harm.log_e(state)[-1])

    assert all(fewer >= more - 1e-9 for fewer, more in pairwise(spared))


@given(st.lists(rows(most=8), min_size=1, max_size=3), st.data())
def test_spared_evidence_answers_for_every_choice_of_liars(
    closings: list[Row], data: st.DataObject
) -> None:
    """Whoever the liars were, leaving out just them would not give less."""
    liars = data.draw(st.integers(1, 3))
    spared, left = harm.start(liars + 1), liars
    chosen = []
    for treated, control, x1, x0 in closings:
        spared = harm.absorb_sparing(spared, Counts.of(treated, control, x1, x0), 0)
        out = data.draw(st.integers(0, min(left, x1)))
        left -= out
        chosen.append(((treated - out, control, x1 - out, x0), 0))

    assert harm.log_e(spared)[-1] <= harm.log_e(process(chosen))[0] + 1e-9


@given(st.lists(rows(), min_size=1, max_size=6), st.data())
def test_the_upper_bound_rises_with_harm_and_falls_with_clean_installs(
    classes: list[Row], data: st.DataObject
) -> None:
    """The window of the valve goes the other way: harm narrows it, health widens it."""
    state = clearance.start(1, 0.05)
    for treated, control, x1, x0 in classes:
        state = clearance.absorb(state, Counts.of(treated, control, x1, x0, treated))
    treated = data.draw(st.integers(1, 40))
    control = data.draw(st.integers(0, 360))
    harmed = data.draw(st.integers(1, treated))

    def bound_after(x1: int) -> float:
        counts = Counts.of(treated, control, x1, 0, treated)
        return float(clearance.upper(clearance.absorb(state, counts), 0.05)[0])

    now = float(clearance.upper(state, 0.05)[0])
    assert 0.0 < bound_after(0) <= now <= 1.0
    assert bound_after(0) <= bound_after(harmed - 1) <= bound_after(harmed) <= 1.0


@settings(max_examples=25)
@given(cells(), st.randoms())
def test_the_verdict_does_not_depend_on_the_order_of_closings_in_one_epoch(
    release: list[Cell], dice: Random
) -> None:
    """Clearance cells keep their order: the aimed bet learns from earlier ones."""
    clearing = [cell for cell in release if cell.test is Test.CLEARANCE]
    accusing = [cell for cell in release if cell.test is Test.HARM]
    dice.shuffle(accusing)
    accusing.sort(key=lambda cell: cell.epoch)

    one = verdict(fold(RULES, release))
    other = verdict(fold(RULES, in_turn(clearing + accusing)))

    assert one.log_e_harm == pytest.approx(other.log_e_harm, rel=1e-12, abs=1e-12)
    assert one.harm_upper == other.harm_upper
    assert one.debt == other.debt


def _half(plain: float, linear: float) -> float:
    return float(np.logaddexp(plain, linear)) - math.log(2)


def _by_epoch(sums: Floats) -> float:
    """Log of cash + sum_k v_k sum_j pi_j exp(sum of F_l over l >= k); sums has shape (K, J)."""
    epochs = len(sums)
    later = np.cumsum(sums[::-1], axis=0)[::-1]
    late = mixture.LATE
    share = np.log([late / (k * (k + 1)) if k else 1 - late for k in range(epochs)])
    terms = np.append((share[:, None] + LOG_PRIOR + later).ravel(), math.log(late / epochs))
    return float(mixture.log_sum(terms, axis=0))
