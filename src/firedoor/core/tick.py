"""A tick: what many releases learned in one bucket, weighed at once.

``verdict.absorb`` says what a cell does to a release, and ``verdict.verdict`` what the evidence
amounts to. Here the same is done for the cells of thousands of releases together, with the same
bits: harm by ``core.harms``, classes in one table, and the bounds by one bisection over those
releases whose clearance or excess has changed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, Self, TypeAlias, TypeVar

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import clearance, excess, history, past, relative
from firedoor.core.evidence.clearance import Clearance
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.excess import Excess
from firedoor.core.evidence.history import History
from firedoor.core.evidence.relative import Relative
from firedoor.core.harms import absorb_harms
from firedoor.core.stream import StreamVerdict, describe
from firedoor.core.units import LogE
from firedoor.core.verdict import (
    Evidence,
    Verdict,
    check,
    conclude,
    is_mute,
    rate_of,
)

Release: TypeAlias = tuple[Evidence, Sequence[Cell]]
"""What is known of a release, and its next cells, in the order of ``seq``."""

_Look: TypeAlias = tuple[Cell, float]  # and the rate of the past

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
    by_ratio: defaultdict[float, list[int]] = defaultdict(list)
    for number, (evidence, _) in enumerate(releases):
        if classes[number] and evidence.relative is not None:
            by_ratio[evidence.relative.rho].append(number)
    for numbers in by_ratio.values():
        states = [state for number in numbers if (state := after[number].relative) is not None]
        rated = _absorb_ratio(states, [classes[number] for number in numbers])
        for number, (state, log_e) in zip(numbers, rated, strict=True):
            after[number] = replace(after[number], relative=state, log_e_ratio=log_e)
    after = _compared(after, [_looks(evidence, cells) for evidence, cells in releases])
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
    queues = [
        [(cell, evidence.rules.cluster) for cell in classes] for evidence, classes in releases
    ]
    safety = _in_turns(
        Clearance.stacked([evidence.clearance for evidence, _ in releases]),
        queues,
        lambda state, turn: clearance.absorb(state, _counts(turn), cluster=_clusters(turn)),
    )
    harmed = _in_turns(
        Excess.stacked([evidence.excess for evidence, _ in releases]),
        queues,
        lambda state, turn: excess.absorb(state, _counts(turn), cluster=_clusters(turn)),
    )
    return [
        replace(
            evidence,
            clearance=safety[number],
            excess=harmed[number],
            matured=evidence.matured.plus(Counts.of_cells(classes)),
        )
        for number, (evidence, classes) in enumerate(releases)
    ]


def _counts(turn: Sequence[tuple[Cell, int]]) -> Counts:
    return Counts.of_cells([cell for cell, _ in turn])


def _clusters(turn: Sequence[tuple[Cell, int]]) -> list[int]:
    return [cluster for _, cluster in turn]


def _absorb_ratio(
    states: Sequence[Relative], queues: Sequence[list[Cell]]
) -> list[tuple[Relative, LogE]]:
    """Take matured classes into relative clearances of the same rho; each has one at least."""
    after = _in_turns(
        Relative.stacked(states),
        queues,
        lambda state, cells: relative.absorb(state, Counts.of_cells(cells)),
    )
    log_e = relative.log_e(Relative.stacked(after)).tolist()
    return [(state, LogE(value)) for state, value in zip(after, log_e, strict=True)]


def _looks(evidence: Evidence, cells: Iterable[Cell]) -> list[_Look]:
    if not evidence.rates:
        return []
    rated = ((cell, rate_of(evidence, cell)) for cell in cells)
    return [(cell, rate) for cell, rate in rated if rate is not None]


def _compared(evidences: list[Evidence], looks: Sequence[list[_Look]]) -> list[Evidence]:
    """Compare with the past those that have a look that it knows a rate of."""
    after = list(evidences)
    by_height: defaultdict[int, list[int]] = defaultdict(list)
    for number, found in enumerate(looks):
        if found:
            by_height[after[number].history.height].append(number)
    for numbers in by_height.values():
        told = _absorb_past([(after[number], looks[number]) for number in numbers])
        for number, evidence in zip(numbers, told, strict=True):
            after[number] = evidence
    return after


def _absorb_past(releases: Sequence[tuple[Evidence, list[_Look]]]) -> list[Evidence]:
    """Take looks that the past knows a rate of; each release has one, and spares as many liars."""
    queues: dict[tuple[int, int], list[tuple[_Look, Evidence]]] = {}
    for number, (evidence, looks) in enumerate(releases):
        for look in looks:
            key = number, past.row_of(look[0].signal)
            queues.setdefault(key, []).append((look, evidence))
    moved = _in_turns(
        History.stacked([releases[number][0].history.take([row]) for number, row in queues]),
        list(queues.values()),
        lambda state, turn: history.absorb(
            state,
            Counts.of_cells([cell for (cell, _), _ in turn]),
            [rate for (_, rate), _ in turn],
            [cell.epoch for (cell, _), _ in turn],
            cluster=[evidence.rules.cluster for _, evidence in turn],
            mute=[is_mute(evidence) for _, evidence in turn],
        ),
    )
    rows = [
        [evidence.history.take([row]) for row in range(len(evidence.history))]
        for evidence, _ in releases
    ]
    for (number, row), state in zip(queues, moved, strict=True):
        rows[number][row] = state
    after = [History.stacked(each) for each in rows]
    return [
        replace(evidence, history=state, log_e_history=history.merged(state))
        for (evidence, _), state in zip(releases, after, strict=True)
    ]


class _Rows(Protocol):
    def take(self, rows: Sequence[int]) -> Self: ...


_State = TypeVar("_State", bound=_Rows)
_Item = TypeVar("_Item")


def _in_turns(
    state: _State,
    queues: Sequence[Sequence[_Item]],
    step: Callable[[_State, list[_Item]], _State],
) -> list[_State]:
    """Let each row of the state take its queue, which is not empty: the n-th of all at once.

    What a row makes of an item may depend on those before it.
    """
    done = [state] * len(queues)
    numbers, turn = list(range(len(queues))), 0
    while numbers:
        state = step(state, [queues[number][turn] for number in numbers])
        turn += 1
        going_on = []
        for row, number in enumerate(numbers):
            if turn < len(queues[number]):
                going_on.append(row)
            else:
                done[number] = state.take([row])
        numbers = [numbers[row] for row in going_on]
        state = state.take(going_on)
    return done
