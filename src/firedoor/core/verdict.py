"""The judge of one release: a fold over its cells, and what the fold says.

::

    start(rules) -> Evidence -- absorb(cell) --> Evidence -- verdict --> undecided
                                                                      |  cleared
                                                                      |  harmful

Harm is weighed per watched signal. Cells of sealed decks follow each other in one filtration, so
the signals are merged by a hedged product (``core.evidence.merge``); counts of which that is not
known, such as a file's, by a weighted mean, which is valid under any dependence. All rings and
strata of a release feed the same streams: with random admission inside each pool their factors
multiply. Within a signal nine tenths of the wealth look at all machines together and one tenth at
the values of each attribute, for harm to one model or one site among many that fail by chance:

    E    =  prod over signals s of ((1 - q_s) + q_s E_s)                      (or a weighted mean)
    E_s  =  .9 E_(all)  +  .1 mean over attributes a of spread over values v of E_(a = v)

    harmful   E has reached 1/alpha_harm at some cell. This latches: it was true when it was
              said, and a door that shut may not open by itself because luck turned.
              P(ever, if the release is harmless) <= alpha_harm.
    cleared   U <= delta, E is below the warning level now, and the release is not harmful.
              P(U is ever below the true excess) <= alpha_clear.
              Where the rules name a ratio, excluding that the odds of harm are that many times
              those of the control will do as well as U <= delta, at another alpha_clear.
    undecided otherwise.
    worse     than past good releases: (E + E_hist)/2 and E_hist are at 1/alpha_warn now. Never
              harmful for that alone: the past cannot say whose fault it is.
              P(ever, if the release is no worse than both) <= alpha_warn + alpha_ref.

The state is a value and a cell is absorbed once, in the order of its ``seq``: folding from the
first cell gives the same bits as going on from yesterday's state, which is what makes a verdict
replayable. The bits hold for one build of numpy on one kind of processor: exponentials and
logarithms of another kind differ in the last place (2e-15 after two thousand cells, measured with
and without AVX-512), so whoever replays elsewhere compares the state and the numbers to 1e-9.

Source: cohorts.md 1 (cells, debt), evidence.md 2.3, 2.6, 2.7, 3.1; decisions.md 4 (what a door
asks); ADR 0012 (merging), 0013 (strata), 0016 and 0029 (history).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from typing import Final, assert_never

import numpy as np

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import clearance, excess, harm, history, merge, mixture, past, relative
from firedoor.core.evidence.clearance import Clearance
from firedoor.core.evidence.counts import Counts, Matured
from firedoor.core.evidence.excess import Excess
from firedoor.core.evidence.history import History
from firedoor.core.evidence.past import PastBucket, Place
from firedoor.core.evidence.relative import Relative
from firedoor.core.stream import Stream, StreamVerdict, absorb_stream, describe
from firedoor.core.units import LogE

ALPHA_REF: Final = 0.01
"""Chance that any rate of the past is bounded too low."""

_SECONDS_PER_HOUR = 3600.0
_ROUNDING = 1e-9  # of weights given in decimals
_NO_EVIDENCE = LogE(0.0)  # ln 1


class VerdictState(StrEnum):
    """What the evidence says of a release."""

    UNDECIDED = "undecided"
    CLEARED = "cleared"
    HARMFUL = "harmful"


class Merging(StrEnum):
    """How the signals' evidence becomes the release's."""

    PRODUCT = "product"
    """Hedged product. For cells of sealed decks: one filtration, one event a membership."""
    MEAN = "mean"
    """Weighted mean. For counts that may overlap, or of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is fixed about a judgement before the first cell.

    Attributes:
        alpha_harm: Chance that a harmless release is ever called harmful, in (0, 1).
        alpha_warn: Level of the warning that keeps a release from being cleared, in (0, 1).
        alpha_clear: Chance that the upper bound is ever below the true excess, in (0, 1).
        delta: Excess harmed machines per installed machine that clearance excludes, in (0, 1).
        shares: (signal, share of the wealth bet on it), each in [0, 1]; with sum 1 where they
            are merged by the mean. A share of 0 makes a signal watch-only: it is counted and
            shown, and decides nothing.
        merging: How the signals are merged.
        attributes: Attributes of machines by which localised harm is looked for.
        liars: Treated machines that may fake harm without an effect on the verdict, >= 0.
        past: What past good releases showed. Where nothing is known, nothing is compared.
        past_liars: The same of the comparison with the past; 0 where it was judged before liars
            were spared there.
        alpha_ref: Chance that any rate made of it is too low, in (0, 1).
        ratio: Odds ratio of harm to control whose exclusion clears as well, > 1, or None.
        cluster: Most machines that one accident harms together, >= 1; 1 where there is a ratio.
    """

    alpha_harm: float
    alpha_warn: float
    alpha_clear: float
    delta: float
    shares: tuple[tuple[str, float], ...]
    merging: Merging = Merging.PRODUCT
    attributes: tuple[str, ...] = ()
    liars: int = 0
    past: tuple[PastBucket, ...] = ()
    past_liars: int = 0
    alpha_ref: float = ALPHA_REF
    ratio: float | None = None
    cluster: int = 1

    def __post_init__(self) -> None:
        """Refuse rules under which the guarantees would not hold."""
        for name in ("alpha_harm", "alpha_warn", "alpha_clear", "delta", "alpha_ref"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name} {getattr(self, name)} is not in (0, 1)")
        signals = [signal for signal, _ in self.shares]
        if len(set(signals)) < len(signals):
            raise ValueError(f"a signal has two shares: {signals}")
        shares = [share for _, share in self.shares]
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise ValueError(f"shares must lie in [0, 1]: {self.shares}")
        if self.merging is Merging.MEAN and abs(math.fsum(shares) - 1.0) >= _ROUNDING:
            raise ValueError(f"shares of a mean must have the sum 1: {self.shares}")
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"an attribute is named twice: {self.attributes}")
        if self.liars < 0 or self.past_liars < 0:
            raise ValueError(f"liars {self.liars}, {self.past_liars} in the past: one is negative")
        if self.ratio is not None and not 1.0 < self.ratio < math.inf:
            raise ValueError(f"ratio {self.ratio} is no odds ratio of harm")
        if self.cluster < 1 or (self.cluster > 1 and self.ratio is not None):
            raise ValueError(f"clusters of {self.cluster} machines, ratio {self.ratio}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """State of the fold: everything the cells so far have to say.

    Attributes:
        rules: What was fixed beforehand.
        seq: Number of the last cell absorbed, 0 before the first.
        streams: One per signal, in the order of the rules.
        log_e: ln of the release's harm E now.
        max_log_e: The largest it has ever been, over all cells; >= 0.
        clearance: The clearance e-process, one row.
        excess: The excess e-process, one row: the same cells, the other question.
        matured: Totals behind both.
        rates: Bounds of the past, events per machine at risk, or its minutes.
        history: The history e-processes: looks, and where the past knows of it what was told.
        log_e_history: ln of the mean of their E now.
        relative: The relative clearance e-process, one row; None without a ratio.
        log_e_ratio: ln of its E now.
    """

    rules: Rules
    seq: int
    streams: tuple[Stream, ...]
    log_e: LogE
    max_log_e: LogE
    clearance: Clearance
    excess: Excess
    matured: Matured
    rates: Mapping[Place, float]
    history: History
    log_e_history: LogE = _NO_EVIDENCE
    relative: Relative | None = None
    log_e_ratio: LogE = _NO_EVIDENCE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says, with the numbers it says it by.

    Attributes:
        state: Undecided, cleared or harmful.
        warn: E is at or above 1/alpha_warn now.
        log_e_harm: ln E against "no worse than control", now.
        max_log_e_harm: The largest it has been; ``harmful`` goes by this one.
        log_e_clear: ln E against "worse by at least delta", now.
        harm_upper: U, upper bound on the excess harmed per installed machine, in (0, 1].
        harm_lower: L, lower bound on the same, in [0, U], at the same confidence; 0 until the
            release is known to be worse.
        log_e_history: ln E against "no worse than past good releases", now.
        frozen: The control is above the past itself at its looks: what happens says nothing of the
            release. One crash freezes what was told for a while; that is not told.
        worse: Both say that it is worse than past good releases; a reason to hold.
        log_e_ratio: ln E against "the odds of harm are ``ratio`` times the control's", now.
        alike: That is excluded, at ``alpha_clear``.
        debt: Treated machines harmed, less the share that chance has of all who were harmed, >= 0:
            the test's account. Rings keep their own (``valve.beyond_chance``).
        streams: Every signal with its counts.
        matured: Counts behind clearance; ``matured.installed`` is M1.
        seq: Number of the last cell this rests on.
    """

    state: VerdictState
    warn: bool
    log_e_harm: LogE
    max_log_e_harm: LogE
    log_e_clear: LogE
    harm_upper: float
    debt: float
    streams: tuple[StreamVerdict, ...]
    matured: Matured
    seq: int
    harm_lower: float = 0.0
    log_e_history: LogE = _NO_EVIDENCE
    frozen: bool = False
    worse: bool = False
    log_e_ratio: LogE = _NO_EVIDENCE
    alike: bool = False

    def excludes(self, delta: float) -> bool:
        """Say whether harm enough to keep a door shut is excluded: by this delta, or the ratio."""
        return self.harm_upper <= delta or self.alike


def start(rules: Rules) -> Evidence:
    """No cell yet: E = 1, U = 1, undecided."""
    return Evidence(
        rules=rules,
        seq=0,
        streams=tuple(
            Stream(signal, share, harm.start(rules.liars + 1)) for signal, share in rules.shares
        ),
        log_e=_NO_EVIDENCE,
        max_log_e=_NO_EVIDENCE,
        clearance=clearance.start(1, rules.delta),
        excess=excess.start(1),
        matured=Matured(),
        rates=past.rates(rules.past, rules.alpha_ref),
        history=history.start(
            1 + any(past.row_of(bucket.signal) for bucket in rules.past), rules.past_liars
        ),
        relative=None if rules.ratio is None else relative.start(1, rules.ratio),
    )


def absorb(evidence: Evidence, cell: Cell) -> Evidence:
    """Take the next cell into the evidence.

    Raises:
        ValueError: The cell is not the next one (a repeat would count twice, a gap would hide
            something), or its signal has no share in the rules.
    """
    check(evidence.rules, evidence.seq, cell)
    match cell.test:
        case Test.HARM:
            after = _absorb_harm(evidence, cell)
        case Test.CLEARANCE:
            after = _absorb_history(_absorb_clearance(evidence, cell), cell)
        case Test.LATE:
            after = _absorb_history(evidence, cell)
        case _:
            assert_never(cell.test)
    return replace(after, seq=cell.seq)


def check(rules: Rules, seq: int, cell: Cell) -> None:
    """Refuse a cell that :func:`absorb` does not take after cell ``seq``.

    Raises:
        ValueError: As there.
    """
    if cell.seq != seq + 1:
        raise ValueError(f"cell {cell.seq} after cell {seq}")
    if cell.test is Test.HARM and all(cell.signal != signal for signal, _ in rules.shares):
        raise ValueError(f"cell {cell.seq}: signal {cell.signal!r} has no share in the rules")


def fold(rules: Rules, cells: Iterable[Cell]) -> Evidence:
    """Evidence of all cells of a release, in the order of ``seq``; same bits as step by step."""
    return reduce(absorb, cells, start(rules))


def verdict(evidence: Evidence) -> Verdict:
    """Say what the evidence amounts to now."""
    rules = evidence.rules
    return conclude(
        evidence,
        harm_upper=float(clearance.upper(evidence.clearance, rules.alpha_clear)[0]),
        harm_lower=float(excess.lower(evidence.excess, rules.alpha_clear)[0]),
        log_e_clear=LogE(float(clearance.log_e(evidence.clearance, rules.delta)[0])),
        streams=tuple(describe(stream) for stream in evidence.streams),
    )


def conclude(
    evidence: Evidence,
    *,
    harm_upper: float,
    harm_lower: float,
    log_e_clear: LogE,
    streams: tuple[StreamVerdict, ...],
) -> Verdict:
    """:func:`verdict` where the bounds and what the streams say is known; ``harm_lower`` raw."""
    rules = evidence.rules
    warn = evidence.log_e >= -math.log(rules.alpha_warn)
    alike = rules.ratio is not None and evidence.log_e_ratio >= -math.log(rules.alpha_clear)
    if evidence.max_log_e >= -math.log(rules.alpha_harm):
        state = VerdictState.HARMFUL
    elif (harm_upper <= rules.delta or alike) and not warn:
        state = VerdictState.CLEARED
    else:
        state = VerdictState.UNDECIDED
    return Verdict(
        state=state,
        warn=warn,
        log_e_harm=evidence.log_e,
        max_log_e_harm=evidence.max_log_e,
        log_e_clear=log_e_clear,
        harm_upper=harm_upper,
        # Bets that change with the arms may let the bounds cross on odd data.
        harm_lower=min(harm_lower, harm_upper),
        log_e_history=evidence.log_e_history,
        frozen=bool(evidence.rates) and bool(history.is_frozen(evidence.history)[0]),
        worse=_is_worse(evidence),
        log_e_ratio=evidence.log_e_ratio,
        alike=alike,
        debt=_debt(evidence.streams),
        streams=streams,
        matured=evidence.matured,
        seq=evidence.seq,
    )


def forecast(evidence: Evidence, installs_per_hour: float) -> float | None:
    """Seconds until clearance can be decided, at present traffic.

    A straight projection: machines go on maturing at this rate, treated and control are harmed
    alike at the rate the controls have shown. The valve widens as it learns, so a release that
    is harmless usually gets there sooner; one that is harmful never does.

    Args:
        evidence: The state.
        installs_per_hour: Treated machines that mature as installed, machines per hour >= 0.

    Returns:
        Seconds >= 0, 0 if the release is decided. None where no time can be named: no traffic,
        a warning that has to fade first, or more failures by chance than ``delta`` can be told
        from.
    """
    now = verdict(evidence)
    if now.state is not VerdictState.UNDECIDED:
        return 0.0
    if now.warn or installs_per_hour <= 0.0:
        return None
    missing = clearance.installs_to_clear(
        evidence.clearance,
        evidence.rules.alpha_clear,
        treated=evidence.matured.treated,
        cluster=evidence.rules.cluster,
    )
    return None if missing is None else missing / installs_per_hour * _SECONDS_PER_HOUR


def rate_of(evidence: Evidence, cell: Cell) -> float | None:
    """Rate of the past that a look is compared with; None where it knows none, or at no look."""
    if not past.is_look(cell):
        return None
    rate = evidence.rates.get(past.place_of(cell), math.inf)
    return rate if math.isfinite(rate) else None


def is_mute(evidence: Evidence) -> bool:
    """Say whether a frozen look counts nothing, as before there was anything told or a liar."""
    return len(evidence.history) == 1 and evidence.history.height == 1


def _absorb_harm(evidence: Evidence, cell: Cell) -> Evidence:
    attributes = evidence.rules.attributes
    streams = tuple(
        absorb_stream(stream, cell, attributes) if stream.signal == cell.signal else stream
        for stream in evidence.streams
    )
    log_e = merged(evidence.rules, [(stream.log_e, stream.share) for stream in streams])
    return replace(
        evidence,
        streams=streams,
        log_e=log_e,
        max_log_e=LogE(max(evidence.max_log_e, log_e)),
    )


def merged(rules: Rules, streams: Sequence[tuple[LogE, float]]) -> LogE:
    """Merge (ln E, share) of each signal into ln of the release's harm E."""
    match rules.merging:
        case Merging.PRODUCT:
            return LogE(merge.product(streams))
        case Merging.MEAN:
            bets = [math.log(share) + log_e for log_e, share in streams if share > 0.0]
            return LogE(float(mixture.log_sum(np.array(bets), axis=0)))
        case _:
            assert_never(rules.merging)


def _absorb_clearance(evidence: Evidence, cell: Cell) -> Evidence:
    counts, cluster = Counts.of_cell(cell), evidence.rules.cluster
    after = replace(
        evidence,
        clearance=clearance.absorb(evidence.clearance, counts, cluster=cluster),
        excess=excess.absorb(evidence.excess, counts, cluster=cluster),
        matured=evidence.matured.plus(counts),
    )
    if evidence.relative is None:
        return after
    state = relative.absorb(evidence.relative, counts)
    return replace(after, relative=state, log_e_ratio=LogE(float(relative.log_e(state)[0])))


def _absorb_history(evidence: Evidence, cell: Cell) -> Evidence:
    rate = rate_of(evidence, cell)
    if rate is None:
        return evidence
    row = past.row_of(cell.signal)
    rows = [evidence.history.take([number]) for number in range(len(evidence.history))]
    rows[row] = history.absorb(
        rows[row],
        Counts.of_cell(cell),
        rate,
        cell.epoch,
        cluster=evidence.rules.cluster,
        mute=is_mute(evidence),
    )
    after = History.stacked(rows)
    return replace(evidence, history=after, log_e_history=history.merged(after))


def _is_worse(evidence: Evidence) -> bool:
    """The mean is valid where either may be right; that the past speaks too makes it rarer."""
    level = -math.log(evidence.rules.alpha_warn)
    both = float(np.logaddexp(evidence.log_e, evidence.log_e_history)) - math.log(2.0)
    return both >= level and evidence.log_e_history >= level


def _debt(streams: tuple[Stream, ...]) -> float:
    """Machines harmed beyond chance, over the signals that decide; clipped only at the end."""
    excess = math.fsum(s.treated_harmed - s.expected for s in streams if s.share > 0.0)
    # Sums of K w that make up a whole machine must not charge a second one for rounding.
    return max(0.0, round(excess, 9))
