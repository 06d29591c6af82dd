"""The judge alone: counts of anybody's machines judged, without a gate.

The gate deals cards, so it knows that chance chose who was treated. Whoever brings counts may
have chosen otherwise, and no count tells. So every finding says on what its error rates rest:
on the caller's word, on an assumption nobody checked, or on the weaker one of ``together``.

Clearance is about machines, and rows are about machines in an interval: an excess of half a per
cent a minute is an excess of most machines a day. So clearance asks for how many intervals N a
machine is followed, and excludes an excess of delta/N in each of them: first harms within N
intervals exceed the control's by no more than the sum of what the intervals exceed it by,

    prod (1 - p0_t)  -  prod (1 - p1_t)   <=   sum over t of max(0, p1_t - p0_t)

where intervals in which machines are counted that are followed no more thin out nothing
(``services.following``); and it waits until so many intervals have been seen in which both arms
were at risk, for harm that comes late comes within them; what was counted before anybody was
treated is no following.
Who names a delta and no N has named the delta of one interval. Who names neither is not cleared.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from firedoor.core.cell import Test
from firedoor.core.errors import BadInput
from firedoor.core.evidence import clearance, relative, series
from firedoor.core.terms import Policy, resolve
from firedoor.core.verdict import VerdictState
from firedoor.formats.counts import Row, cells, first_interval, fleet
from firedoor.services.following import thinning
from firedoor.services.sites import check_machines, count_sites, of_sites

DECLARED: Final = "declared"
"""What a caller says whose cohorts were drawn by lot."""

MACHINES: Final = "machines"
SITES: Final = "sites"
"""What rows may be counted in."""

ALPHA_WARN: Final = 0.05

MOST_INTERVALS: Final = 1_000_000
"""Of a follow-up: as many as rows are read."""

_BY_WORD: Final = (
    "that chance chose who was treated, machine by machine, is the caller's word; the error rates "
    "hold if it is true, that of cleared also needs machines that fail independently of each other"
)
_UNKNOWN: Final = (
    "the judge cannot know whether chance chose who was treated and who control; if it did not, "
    "no verdict here is guaranteed unless both are alike and machines fail independently of each "
    "other within an interval"
)
_TOGETHER: Final = (
    "the judge cannot know whether chance chose who was treated and who control; machines may "
    "fail together, so an interval counts as one observation and nothing is cleared; the error "
    "rate of harmful holds if the treated would get no more than their share of the first harms"
)
_CLUSTERS: Final = (
    "; up to {count} machines may be harmed by one accident, and every count is divided by that"
)
_DEALT_CLUSTERS: Final = (
    "; up to {count} machines may be harmed by one accident, and what clears is divided by that; "
    "harmful is not, for lots that were drawn machine by machine need no such number"
)
_NO_FOLLOW_UP: Final = (
    "; nobody said for how many intervals a machine is followed (--follow-up, follow_up, "
    "followUp) or which delta holds for one interval, so no delta clears it"
)
_SITES: Final = (
    "the judge cannot know whether chance chose the sites; a site counts once for each signal, "
    "nothing is cleared, and the error rate of harmful holds if treated sites would get no more "
    "than their share of the first harms of sites"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of counts, fixed before the first of them is looked at.

    Attributes:
        alpha_harm: Chance that a harmless release is ever called harmful, in (0, 1).
        alpha_warn: The same for the warning that keeps a release from being cleared, in (0, 1).
        alpha_clear: Chance that the upper bound is ever too low, in (0, 1).
        delta: Excess harm per machine over ``follow_up`` intervals that clearance excludes, in
            (0, 1).
        machines: The fleet the numbers above were made for, count >= 0.
        randomised: Whether the caller declares that chance chose who was treated, machine by
            machine.
        together: Whether machines may fail together, so that a row is one observation.
        sites: Whether the stratum is a site and whole sites were chosen: sites are counted.
        ratio: Odds ratio of harm whose exclusion clears as well, > 1, or None.
        cluster: Most machines that one accident harms together, >= 1.
        follow_up: Intervals for which a machine is followed, >= 1; 0 if nobody said it, and then
            no delta clears.
    """

    alpha_harm: float
    alpha_warn: float
    alpha_clear: float
    delta: float
    machines: int
    randomised: bool = False
    together: bool = False
    sites: bool = False
    ratio: float | None = None
    cluster: int = 1
    follow_up: int = 0

    def __post_init__(self) -> None:
        """Refuse what no proof covers."""
        if not 0 <= self.follow_up <= MOST_INTERVALS:
            raise BadInput(f"a machine is followed for 1 to {MOST_INTERVALS:,} intervals")
        single = not (self.together or self.sites)
        if self.cluster > 1 and not single:
            raise BadInput(
                "clusters of a known size are asked for where none is known",
                hint="leave out either the cluster or what says that machines fail together "
                "(together) or that sites are counted (units)",
            )
        if self.ratio is not None and (self.cluster > 1 or not single):
            raise BadInput(
                "a ratio is only known where machines fail one by one",
                hint="leave out either the ratio or what says otherwise (cluster, together, "
                "units of sites)",
            )

    @property
    def assumes(self) -> str:
        """What the error rates rest on, a sentence."""
        if self.sites:
            return _SITES
        if self.together:
            return _TOGETHER
        assumed = _BY_WORD if self.randomised else _UNKNOWN
        if self.cluster > 1:
            clusters = _DEALT_CLUSTERS if self.randomised else _CLUSTERS
            assumed += clusters.format(count=self.cluster)
        return assumed + ("" if self.follow_up else _NO_FOLLOW_UP)

    @property
    def delta_of_interval(self) -> float:
        """Excess harm per machine in one interval that clearance excludes, in (0, 1)."""
        return self.delta / max(1, self.follow_up)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks before it is known of how many machines; ranges as in ``Question``.

    Attributes:
        alpha_harm: None: by the size of the fleet.
        alpha_clear: Chance that the upper bound is ever too low.
        delta: None: by the size of the fleet.
        randomised: Whether the caller declares that chance chose the treated.
        together: Whether machines may fail together.
        sites: Whether sites are counted.
        ratio: Odds ratio of harm whose exclusion clears as well, or None.
        cluster: Most machines that one accident harms together.
        follow_up: Intervals for which a machine is followed; None: nobody said.
    """

    alpha_harm: float | None = None
    alpha_clear: float = Policy().alpha_clear
    delta: float | None = None
    randomised: bool = False
    together: bool = False
    sites: bool = False
    ratio: float | None = None
    cluster: int = 1
    follow_up: int | None = None

    def of(self, machines: int) -> Question:
        """The question for a fleet of this size (machines, or sites), count >= 0.

        Raises:
            BadInput: No proof covers what is asked.
        """
        policy = Policy(
            alpha_harm=self.alpha_harm,
            alpha_clear=self.alpha_clear,
            delta=self.delta,
            ratio=self.ratio,
            cluster=self.cluster,
        )
        return question(
            policy,
            machines,
            randomised=self.randomised,
            together=self.together,
            sites=self.sites,
            follow_up=self.follow_up,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What the counts of one release say.

    Attributes:
        question: What was asked.
        state: Undecided, cleared or harmful.
        log_e_harm: ln E against "no worse than control", now.
        max_log_e_harm: The largest it has been; ``harmful`` goes by this one.
        log_e_clear: ln E against "worse by at least delta".
        harm_upper: Upper bound on the excess harmed per machine over the question's follow-up, in
            (0, 1]; where nobody named one, in one interval.
        series: Streams and totals.
        log_e_ratio: ln E against odds of harm that are ``ratio`` times the control's; 0 without.
    """

    question: Question
    state: VerdictState
    log_e_harm: float
    max_log_e_harm: float
    log_e_clear: float
    harm_upper: float
    series: series.Series
    log_e_ratio: float = 0.0


def question(
    policy: Policy,
    machines: int,
    *,
    randomised: bool = False,
    together: bool = False,
    sites: bool = False,
    follow_up: int | None = None,
) -> Question:
    """Turn a policy into numbers for a fleet of this size (machines, or sites), count >= 0.

    Raises:
        BadInput: No proof covers what is asked, or the follow-up is no number of intervals.
    """
    terms = resolve(policy, machines)
    if follow_up is not None and follow_up < 1:
        raise BadInput(f"a machine is followed for 1 interval or more, not {follow_up}")
    return Question(
        alpha_harm=terms.alpha_harm,
        alpha_warn=max(ALPHA_WARN, terms.alpha_harm),
        alpha_clear=terms.alpha_clear,
        delta=terms.delta,
        machines=machines,
        randomised=randomised,
        together=together,
        sites=sites,
        ratio=policy.ratio,
        cluster=policy.cluster,
        follow_up=follow_up or (0 if policy.delta is None else 1),
    )


def machines_of(rows: Sequence[Row], *, sites: bool) -> int:
    """Machines, or sites, that a question about these rows is made for, count >= 0.

    Only the first interval is looked at: a fleet that grows must not move a line somebody looked
    at, or harmful would be taken back.
    """
    first = first_interval(rows)
    return count_sites(first) if sites else fleet(first)


def judge(rows: Sequence[Row], asked: Question) -> Finding:
    """Judge one release; every signal gets the same share of the wealth.

    One that comes later than the first interval gets its share from then on, out of what the
    others have: the same rows and further ones never take harmful back.

    Args:
        rows: Its rows in the order in which they became known, at least one, each once.
        asked: What is asked.

    Raises:
        BadInput: Sites are asked for, and the rows are not of sites; or machines are, and no
            stratum ever had both arms at once.
    """
    intervals = len({row.time_ms for row in rows if row.treated and row.control})
    if asked.sites:
        rows = of_sites(rows)
    else:
        check_machines(rows)
    single = not (asked.together or asked.sites)
    comes: dict[str, int] = {}
    for number, (_, interval) in enumerate(groupby(rows, key=attrgetter("time_ms")), 1):
        for row in interval:
            comes.setdefault(row.signal, number)
    first = [signal for signal, number in comes.items() if number == 1]
    found = series.fold(
        dict.fromkeys(first, 1.0 / len(first)),
        asked.delta_of_interval,
        cells(rows),
        together=not single,
        ratio=asked.ratio,
        cluster=asked.cluster,
        dealt=asked.randomised,
        later={signal: number for signal, number in comes.items() if number > 1},
    )
    log_e_ratio = 0.0 if found.relative is None else float(relative.log_e(found.relative)[0])
    alike = asked.ratio is not None and log_e_ratio >= -math.log(asked.alpha_clear)
    thinned = _thinned(rows, asked)
    upper = thinned * float(clearance.upper(found.clearance, asked.alpha_clear)[0])
    warn = found.log_e >= -math.log(asked.alpha_warn)
    if found.max_log_e >= -math.log(asked.alpha_harm):
        state = VerdictState.HARMFUL
    elif (
        ((asked.follow_up and upper <= asked.delta_of_interval) or alike)
        and not warn
        and single
        and intervals >= max(1, asked.follow_up)
    ):
        state = VerdictState.CLEARED
    else:
        state = VerdictState.UNDECIDED
    return Finding(
        question=asked,
        state=state,
        log_e_harm=found.log_e,
        max_log_e_harm=found.max_log_e,
        log_e_clear=float(clearance.log_e(found.clearance, asked.delta_of_interval / thinned)[0]),
        # Where machines fail together the bound would be too low.
        harm_upper=min(1.0, upper * max(1, asked.follow_up)) if single else 1.0,
        series=found,
        log_e_ratio=log_e_ratio,
    )


def _thinned(rows: Sequence[Row], asked: Question) -> float:
    """By how much those at risk outnumber those that are followed; 1 for one interval."""
    if asked.follow_up <= 1 or asked.together or asked.sites:
        return 1.0
    classes = (cell for cell in cells(rows) if cell.test is Test.CLEARANCE and cell.control)
    return thinning(classes, asked.follow_up)
