"""Harm cells of many releases, weighed together.

All wealth is moved by ``core.evidence.abreast`` in a few calls. What is left to do one by one is
merging groups, signals and the largest E on the way, which has to look at the release after every
single cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from firedoor.core.cell import Cell
from firedoor.core.evidence import abreast, harm, merge
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.harm import Harm
from firedoor.core.evidence.merge import Bets
from firedoor.core.stratum import values_of
from firedoor.core.stream import Group, GroupVerdict, Stream, expected, with_groups
from firedoor.core.units import LogE
from firedoor.core.verdict import Evidence, merged

_Key: TypeAlias = tuple[str, str]  # attribute and value


def absorb_harms(releases: Sequence[tuple[Evidence, Sequence[Cell]]]) -> list[Evidence]:
    """Take harm cells into several releases that spare the same number of liars.

    The bits are those of ``verdict.absorb``, cell by cell; but for ``seq``, which stays.

    Args:
        releases: What is known of each, and its next harm cells; their signals have a share.
    """
    if not releases:
        return []
    plan = _Plan(height=releases[0][0].rules.liars + 1)
    opened = [_Release.of(evidence, cells, plan) for evidence, cells in releases]
    found = plan.weigh()
    return [release.closed(found) for release in opened]


class _Found(NamedTuple):
    """State of every process at the end, and ln E after every visit."""

    states: list[Harm]
    plain: list[float]
    linear: list[float]
    log_e: list[float]
    bets: list[Bets]


class _Plan:
    """Which process takes which cell."""

    def __init__(self, height: int) -> None:
        """Nothing is planned; every process has ``height`` rows."""
        self.beginning = harm.start(height)
        self._states: list[Harm] = []
        self._cells: list[Cell] = []
        self._process: list[int] = []
        self._closing: list[int] = []

    def enrol(self, state: Harm) -> int:
        """Number of a new process that begins in this state."""
        self._states.append(state)
        return len(self._states) - 1

    def close(self, cell: Cell) -> None:
        """The visits that come are visits of this cell."""
        self._cells.append(cell)

    def visit(self, process: int) -> int:
        """Number of a new visit: the process takes the present cell."""
        self._process.append(process)
        self._closing.append(len(self._cells) - 1)
        return len(self._process) - 1

    def weigh(self) -> _Found:
        states, paths = abreast.run(
            self._states,
            Counts.of_cells(self._cells),
            [cell.epoch for cell in self._cells],
            self._process,
            self._closing,
        )
        return _Found(
            states,
            paths.plain.tolist(),
            paths.linear.tolist(),
            paths.log_e.tolist(),
            merge.bets_of_all(paths.log_e),
        )


@dataclass(slots=True)
class _Process:
    """A process of a stream or a group, and the cells it takes, each with the visit's number."""

    number: int
    taken: list[tuple[Cell, int]] = field(default_factory=list)

    def closed(self, before: Group | None, key: _Key, found: _Found) -> Group:
        """The group after all its cells."""
        treated_harmed, control_harmed, by_chance = 0, 0, 0.0
        if before is not None:
            said = before.said
            treated_harmed, control_harmed = said.treated_harmed, said.control_harmed
            by_chance = said.expected
        for cell, _ in self.taken:
            treated_harmed += cell.treated_harmed
            control_harmed += cell.control_harmed
            by_chance += expected(cell)
        _, last = self.taken[-1]
        return Group(
            GroupVerdict(*key, treated_harmed, control_harmed, by_chance, LogE(found.log_e[last])),
            found.states[self.number],
            found.bets[last],
        )


@dataclass(slots=True)
class _Stream:
    """A stream that takes cells.

    Attributes:
        before: The stream until now.
        whole: The process of all machines together.
        groups: Those of the groups that take a cell.
        bets: Of every group, by attribute and value: what it brings after the present cell.
        spreads: What an attribute's bets amount to, where they have not changed since.
        log_e: ln E of the signal after the present cell.
    """

    before: Stream
    whole: _Process
    groups: dict[_Key, _Process]
    bets: dict[str, dict[str, Bets]]
    spreads: dict[str, float]
    log_e: LogE

    @classmethod
    def of(cls, stream: Stream, plan: _Plan, attributes: tuple[str, ...]) -> "_Stream":
        bets: dict[str, dict[str, Bets]] = {attribute: {} for attribute in attributes}
        for group in stream.groups:
            bets[group.said.attribute][group.said.value] = group.bets
        whole = _Process(plan.enrol(stream.harm))
        return cls(stream, whole, {}, bets, {}, stream.log_e)

    def take(self, cell: Cell, plan: _Plan) -> tuple[int, list[tuple[_Key, int]]]:
        """Plan what a cell visits; returns the visit of all machines, and those of the groups."""
        visit = plan.visit(self.whole.number)
        self.whole.taken.append((cell, visit))
        values = values_of(cell.stratum) if self.bets else {}
        visits = []
        for attribute in self.bets:
            if attribute not in values:
                continue
            key = (attribute, values[attribute])
            process = self.groups.get(key)
            if process is None:
                process = self.groups[key] = _Process(plan.enrol(self._state(key, plan)))
            group_visit = plan.visit(process.number)
            process.taken.append((cell, group_visit))
            visits.append((key, group_visit))
        return visit, visits

    def weigh(self, visit: int, visits: list[tuple[_Key, int]], found: _Found) -> None:
        """Bring ``log_e`` to where it is after a cell."""
        log_e = found.log_e[visit]
        for (attribute, value), group_visit in visits:
            self.bets[attribute][value] = found.bets[group_visit]
            self.spreads.pop(attribute, None)
        for attribute, bets in self.bets.items():
            if attribute not in self.spreads:
                self.spreads[attribute] = merge.spread_of(bets.values())
        if self.bets:
            log_e = with_groups(log_e, list(self.spreads.values()))
        self.log_e = LogE(log_e)

    def closed(self, found: _Found) -> Stream:
        """The stream after all its cells."""
        taken = self.whole.taken
        if not taken:
            return self.before
        stream, (_, last) = self.before, taken[-1]
        by_chance = stream.expected
        for cell, _ in taken:
            by_chance += expected(cell)
        groups = {(group.said.attribute, group.said.value): group for group in stream.groups}
        for key, process in self.groups.items():
            groups[key] = process.closed(groups.get(key), key, found)
        return Stream(
            signal=stream.signal,
            share=stream.share,
            harm=found.states[self.whole.number],
            treated=stream.treated + sum(cell.treated for cell, _ in taken),
            control=stream.control + sum(cell.control for cell, _ in taken),
            treated_harmed=stream.treated_harmed + sum(cell.treated_harmed for cell, _ in taken),
            control_harmed=stream.control_harmed + sum(cell.control_harmed for cell, _ in taken),
            expected=by_chance,
            groups=tuple(groups.values()),
            log_e=self.log_e,
            log_e_plain=LogE(found.plain[last]),
            log_e_linear=LogE(found.linear[last]),
        )

    def _state(self, key: _Key, plan: _Plan) -> Harm:
        for group in self.before.groups:
            if (group.said.attribute, group.said.value) == key:
                return group.harm
        return plan.beginning


@dataclass(slots=True)
class _Release:
    """A release that takes cells.

    Attributes:
        before: The evidence until now.
        streams: By signal, in the order of the rules.
        taken: Signal and visits of each cell, in order.
    """

    before: Evidence
    streams: dict[str, _Stream]
    taken: list[tuple[_Stream, int, list[tuple[_Key, int]]]]

    @classmethod
    def of(cls, evidence: Evidence, cells: Sequence[Cell], plan: _Plan) -> "_Release":
        """Plan what its cells visit."""
        attributes = evidence.rules.attributes
        hit = {cell.signal for cell in cells}
        streams = {
            stream.signal: _Stream.of(stream, plan, attributes)
            for stream in evidence.streams
            if stream.signal in hit
        }
        taken = []
        for cell in cells:
            plan.close(cell)
            taken.append((streams[cell.signal], *streams[cell.signal].take(cell, plan)))
        return cls(evidence, streams, taken)

    def closed(self, found: _Found) -> Evidence:
        """The evidence after all its cells."""
        before = self.before
        now = {stream.signal: (stream.log_e, stream.share) for stream in before.streams}
        log_e, max_log_e = before.log_e, before.max_log_e
        for stream, visit, visits in self.taken:
            stream.weigh(visit, visits, found)
            now[stream.before.signal] = (stream.log_e, stream.before.share)
            log_e = merged(before.rules, list(now.values()))
            max_log_e = max(max_log_e, log_e)
        streams = tuple(
            self.streams[stream.signal].closed(found) if stream.signal in self.streams else stream
            for stream in before.streams
        )
        return replace(before, streams=streams, log_e=log_e, max_log_e=max_log_e)
