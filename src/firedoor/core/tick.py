"""A tick: what many releases learned in one bucket, weighed at once.

``verdict.absorb`` says what a cell does to a release, and ``verdict.verdict`` what the evidence
amounts to. Here the same is done for the cells of thousands of releases together, with the same
bits: harm by ``core.harms``, classes in one table, and the bounds by one bisection over those
releases whose clearance or excess has changed.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import clearance, excess
from firedoor.core.evidence.clearance import Clearance
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.excess import Excess
from firedoor.core.harms import absorb_harms
from firedoor.core.stream import StreamVerdict, describe
from firedoor.core.units import LogE
from firedoor.core.verdict import Evidence, Verdict, check, conclude

Release: TypeAlias = tuple[Evidence, Sequence[Cell]]
"""What is known of a release, and its next cells, in the order of ``seq``."""

Known: TypeAlias = tuple[Evidence, Verdict]
"""Evidence, and what it amounted to."""


def absorb_all(releases: Sequence[Release]) -> list[Evidence]:
    """Take the next cells into each of several releases, as ``verdict.absorb`` does one by one.

    Raises:
        ValueError: As there, for any of the cells; none has been taken then.
    """
    for evidence, cells in releases:
        for seq, cell in enumerate(cells, evidence.seq):
            check(evidence.rules, seq, cell)
    after = [evidence for evidence, _ in releases]
    by_height: defaultdict[int, list[int]] = defaultdict(list)
    by_delta: defaultdict[float, list[int]] = defaultdict(list)
    harms = [[cell for cell in cells if cell.test is Test.HARM] for _, cells in releases]
    classes = [[cell for cell in cells if cell.test is Test.CLEARANCE] for _, cells in releases]
    for number, (evidence, _) in enumerate(releases):
        if harms[number]:
            by_height[evidence.rules.liars + 1].append(number)
        if classes[number]:
            by_delta[evidence.clearance.delta].append(number)
    for numbers in by_height.values():
        weighed = absorb_harms([(after[number], harms[number]) for number in numbers])
        for number, evidence in zip(numbers, weighed, strict=True):
            after[number] = evidence
    for numbers in by_delta.values():
        matured = _absorb_classes([(after[number], classes[number]) for number in numbers])
        for number, evidence in zip(numbers, matured, strict=True):
            after[number] = evidence
    return [
        replace(evidence, seq=cells[-1].seq) if cells else evidence
        for evidence, (_, cells) in zip(after, releases, strict=True)
    ]


def verdicts(evidences: Sequence[Evidence], earlier: Sequence[Known | None]) -> list[Verdict]:
    """Say what each release's evidence amounts to now, as ``verdict.verdict`` does one by one.

    Args:
        evidences: One for each release.
        earlier: What was said of each of them before, if anything: what has not changed since
            is not computed again.
    """
    bounds = [_still(evidence, known) for evidence, known in zip(evidences, earlier, strict=True)]
    asked: defaultdict[tuple[float, float], list[int]] = defaultdict(list)
    for number, (evidence, bound) in enumerate(zip(evidences, bounds, strict=True)):
        if bound is None:
            asked[evidence.rules.delta, evidence.rules.alpha_clear].append(number)
    for (delta, alpha), numbers in asked.items():
        found = _bounds([evidences[number] for number in numbers], delta, alpha)
        for number, bound in zip(numbers, found, strict=True):
            bounds[number] = bound
    return [
        conclude(
            evidence,
            harm_upper=bound.upper,
            harm_lower=bound.lower,
            log_e_clear=bound.log_e_clear,
            streams=_described(evidence, known),
        )
        for evidence, bound, known in zip(evidences, bounds, earlier, strict=True)
        if bound is not None
    ]


class _Bounds(NamedTuple):
    upper: float
    lower: float
    log_e_clear: LogE


def _still(evidence: Evidence, known: Known | None) -> _Bounds | None:
    """The bounds of before, if no class has matured since."""
    if known is None:
        return None
    before, said = known
    if before.clearance is not evidence.clearance or before.excess is not evidence.excess:
        return None
    return _Bounds(said.harm_upper, said.harm_lower, said.log_e_clear)


def _bounds(evidences: Sequence[Evidence], delta: float, alpha: float) -> list[_Bounds]:
    safety = Clearance.stacked([evidence.clearance for evidence in evidences])
    harmed = Excess.stacked([evidence.excess for evidence in evidences])
    return [
        _Bounds(upper, lower, LogE(log_e))
        for upper, lower, log_e in zip(
            clearance.upper(safety, alpha).tolist(),
            excess.lower(harmed, alpha).tolist(),
            clearance.log_e(safety, delta).tolist(),
            strict=True,
        )
    ]


def _described(evidence: Evidence, known: Known | None) -> tuple[StreamVerdict, ...]:
    if known is None:
        return tuple(describe(stream) for stream in evidence.streams)
    before, said = known
    return tuple(
        told if stream is earlier else describe(stream)
        for stream, earlier, told in zip(
            evidence.streams, before.streams, said.streams, strict=True
        )
    )


def _absorb_classes(releases: Sequence[tuple[Evidence, list[Cell]]]) -> list[Evidence]:
    """Take matured classes into releases that aim at the same delta; each has one at least."""
    safety = Clearance.stacked([evidence.clearance for evidence, _ in releases])
    harmed = Excess.stacked([evidence.excess for evidence, _ in releases])
    after: list[Evidence] = [evidence for evidence, _ in releases]
    # The n-th class of every release in the n-th round: a bet looks at the controls before it.
    numbers, turn = list(range(len(releases))), 0
    while numbers:
        cells = [releases[number][1][turn] for number in numbers]
        counts = Counts.of_cells(cells)
        safety, harmed = clearance.absorb(safety, counts), excess.absorb(harmed, counts)
        going_on = []
        for row, number in enumerate(numbers):
            if turn + 1 < len(releases[number][1]):
                going_on.append(row)
                continue
            after[number] = replace(
                after[number],
                clearance=safety.take([row]),
                excess=harmed.take([row]),
                matured=after[number].matured.plus(Counts.of_cells(releases[number][1])),
            )
        numbers = [numbers[row] for row in going_on]
        safety, harmed = safety.take(going_on), harmed.take(going_on)
        turn += 1
    return after
