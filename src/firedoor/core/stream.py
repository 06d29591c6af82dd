"""Streams: the harm evidence of one signal, of all machines together and of groups of them.

A *group* is the machines with one value of one attribute: a model, a site. Its stream takes the
cells of its strata with the totals of the whole pool: given everything known before, the harmed
machines of a stratum are a random draw from the sealed pool, so that a group needs no exposure of
its own (cohorts.md 2; ADR 0013).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from firedoor.core.cell import Cell
from firedoor.core.evidence import harm, merge, mixture
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.harm import Factors, Harm
from firedoor.core.evidence.merge import Bets
from firedoor.core.stratum import values_of
from firedoor.core.units import LogE

GROUPS: Final = 0.1
"""Share of a signal's wealth that looks at single values of attributes, in (0, 1)."""

_NO_EVIDENCE = LogE(0.0)  # ln 1


@dataclass(frozen=True, slots=True)
class GroupVerdict:
    """What is said of the machines with one value of one attribute.

    Attributes:
        attribute: Name of the attribute (``model``, ``site``, ..).
        value: Its value.
        treated_harmed: Treated members harmed, count >= 0.
        control_harmed: Control members harmed, count >= 0.
        expected: Treated members that would have been harmed by chance, >= 0.
        log_e: ln E of the group.
    """

    attribute: str
    value: str
    treated_harmed: int
    control_harmed: int
    expected: float
    log_e: LogE


@dataclass(frozen=True, slots=True)
class Group:
    """Harm evidence of one signal among the machines with one value of one attribute.

    Attributes:
        said: What it amounts to.
        harm: The e-process; ``liars`` + 1 rows.
        bets: What its ln E brings to its attribute, see ``merge.bets_of``.
    """

    said: GroupVerdict
    harm: Harm
    bets: Bets


@dataclass(frozen=True, slots=True)
class Stream:
    """Harm evidence of one signal.

    Attributes:
        signal: Name of the signal.
        share: Share of the wealth bet on it, in [0, 1].
        harm: The e-process of all machines together; ``liars`` + 1 rows.
        treated: Treated members at risk, summed over closings (a machine counts in each closing
            of its pool), count >= 0.
        control: Control members at risk, likewise.
        treated_harmed: Treated members harmed, count >= 0.
        control_harmed: Control members harmed, count >= 0.
        expected: Treated members that would have been harmed by chance, sum of K w, >= 0.
        groups: Values of attributes among whose machines something happened, in the order in
            which it did.
        log_e: ln E of the signal.
        log_e_plain: ln E of the plain factor, all machines together.
        log_e_linear: ln E of the linear factor, all machines together.
    """

    signal: str
    share: float
    harm: Harm
    treated: int = 0
    control: int = 0
    treated_harmed: int = 0
    control_harmed: int = 0
    expected: float = 0.0
    groups: tuple[Group, ...] = ()
    log_e: LogE = _NO_EVIDENCE
    log_e_plain: LogE = _NO_EVIDENCE
    log_e_linear: LogE = _NO_EVIDENCE


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """One signal in a verdict. Counts as in :class:`Stream`.

    Attributes:
        signal: Name of the signal.
        share: Share of the wealth bet on it, in [0, 1].
        treated: Treated members at risk, summed over closings.
        control: Control members at risk, summed over closings.
        treated_harmed: Treated members harmed.
        control_harmed: Control members harmed.
        expected: Treated members that would have been harmed by chance.
        log_e: ln E of the signal: all machines together, and groups where attributes are watched.
        log_e_plain: ln E of the plain factor, all machines together.
        log_e_linear: ln E of the linear factor, all machines together.
        groups: Values of attributes among whose machines something happened, worst first.
    """

    signal: str
    share: float
    treated: int
    control: int
    treated_harmed: int
    control_harmed: int
    expected: float
    log_e: LogE
    log_e_plain: LogE
    log_e_linear: LogE
    groups: tuple[GroupVerdict, ...] = ()


def absorb_stream(stream: Stream, cell: Cell, attributes: tuple[str, ...]) -> Stream:
    """Take a harm cell of this signal; ``attributes`` are those by which groups are made."""
    counts = Counts.of_cell(cell)
    factors = harm.sparing_factors(counts, len(stream.harm.plain.epochs) - 1)
    after = harm.absorb_factors(stream.harm, factors, cell.epoch)
    groups = _absorb_groups(stream, cell, factors, attributes)
    # The last row answers for all liars; without any it is the only one.
    plain, linear = mixture.log_e(after.plain)[-1:], mixture.log_e(after.linear)[-1:]
    log_e = float(harm.halved(plain, linear)[0])
    if attributes:
        log_e = with_groups(
            log_e,
            [
                merge.spread_of(g.bets for g in groups if g.said.attribute == attribute)
                for attribute in attributes
            ],
        )
    return replace(
        stream,
        harm=after,
        treated=stream.treated + cell.treated,
        control=stream.control + cell.control,
        treated_harmed=stream.treated_harmed + cell.treated_harmed,
        control_harmed=stream.control_harmed + cell.control_harmed,
        expected=stream.expected + expected(cell),
        groups=groups,
        log_e=LogE(log_e),
        log_e_plain=LogE(float(plain[0])),
        log_e_linear=LogE(float(linear[0])),
    )


def with_groups(log_e: float, by_attribute: Sequence[float]) -> float:
    """Merge ln E of all machines together with that of each attribute's groups."""
    groups = merge.mean(by_attribute)
    return float(np.logaddexp(math.log1p(-GROUPS) + log_e, math.log(GROUPS) + groups))


def _absorb_groups(
    stream: Stream, cell: Cell, factors: Factors, attributes: tuple[str, ...]
) -> tuple[Group, ...]:
    """Take a cell into the groups its stratum belongs to; a new group begins with E = 1.

    A group that had no event yet had the factor 1 in every cell, and its epochs are placed when
    it absorbs its first: it is what it would be, had it been there from the start.
    """
    if not attributes:
        return ()  # A stratum by which nothing is told apart may be any text.
    values = values_of(cell.stratum)
    groups = {(group.said.attribute, group.said.value): group for group in stream.groups}
    for attribute in attributes:
        if attribute not in values:
            continue
        key = (attribute, values[attribute])
        before = groups.get(key)
        state = harm.start(len(stream.harm.plain.epochs)) if before is None else before.harm
        after = harm.absorb_factors(state, factors, cell.epoch)
        log_e = LogE(float(harm.log_e(after)[-1]))
        said = GroupVerdict(*key, 0, 0, 0.0, log_e) if before is None else before.said
        groups[key] = Group(
            said=GroupVerdict(
                *key,
                treated_harmed=said.treated_harmed + cell.treated_harmed,
                control_harmed=said.control_harmed + cell.control_harmed,
                expected=said.expected + expected(cell),
                log_e=log_e,
            ),
            harm=after,
            bets=merge.bets_of(log_e),
        )
    return tuple(groups.values())


def expected(cell: Cell) -> float:
    """Treated members that chance would have harmed: K w."""
    at_risk = cell.treated + cell.control
    events = cell.treated_harmed + cell.control_harmed
    return events * cell.treated / at_risk if at_risk else 0.0


def describe(stream: Stream) -> StreamVerdict:
    """Say what a stream amounts to now."""
    return StreamVerdict(
        signal=stream.signal,
        share=stream.share,
        treated=stream.treated,
        control=stream.control,
        treated_harmed=stream.treated_harmed,
        control_harmed=stream.control_harmed,
        expected=stream.expected,
        log_e=stream.log_e,
        log_e_plain=stream.log_e_plain,
        log_e_linear=stream.log_e_linear,
        groups=tuple(
            sorted(
                (group.said for group in stream.groups),
                key=lambda said: (-said.log_e, said.attribute, said.value),
            )
        ),
    )
