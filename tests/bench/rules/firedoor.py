"""Firedoor's judge as one more rule: sealed pools in, ``core.verdict`` out.

This is all there is between the benchmark and the judge: closings become cells, and the verdict
becomes an answer. The rules of a boarding come from ``core.terms`` and ``services.boarding``, so
what is measured is what is shipped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tests.bench.rules.rule import (
    Answer,
    Bools,
    Briefing,
    Closing,
    Interval,
    nobody,
)

from firedoor.core.cell import Cell, Test, age_of, by_stratum
from firedoor.core.evidence import past
from firedoor.core.evidence.mixture import epoch_of
from firedoor.core.evidence.past import PastBucket
from firedoor.core.signal import ANY, TOLD, TOLD_EARLY
from firedoor.core.terms import Policy, resolve
from firedoor.core.tick import Known, absorb_all, verdicts
from firedoor.core.verdict import Evidence, Rules, VerdictState, start
from firedoor.services.boarding import rules_for

_MINUTE_MS = 60_000


def shipped_rules(machines: int, policy: Policy, *, reporting: bool = True) -> Rules:
    """The rules that a release would board under in a fleet of this size.

    Args:
        machines: Active machines.
        policy: What the operator says.
        reporting: Machines send crash reports; without, silence alone decides.
    """
    terms = resolve(policy, machines)
    return rules_for(terms, reporting=machines if reporting else 0, strata=policy.strata)


def cell_of(closing: Closing, seq: int, minute: int) -> Cell:
    """A closing as a cell of the release, whatever the strata."""
    told = closing.signal in (TOLD_EARLY, TOLD)
    test = Test.CLEARANCE if closing.signal == ANY else Test.LATE if closing.late else Test.HARM
    return Cell(
        seq=seq,
        ring="everyone",
        deck=closing.deck,
        epoch=epoch_of(minute),
        test=test,
        signal=closing.signal,
        stratum="",
        treated=closing.treated,
        control=closing.control,
        treated_harmed=closing.treated_harmed,
        control_harmed=closing.control_harmed,
        installed=closing.treated if test is Test.CLEARANCE else closing.listened,
        age=closing.age if told else age_of(closing.age * _MINUTE_MS),
    )


def cells_of(closings: Iterable[Closing], seq: int, minute: int) -> list[Cell]:
    """Closings as the cells after ``seq``: one for each stratum that was hit."""
    cells: list[Cell] = []
    for closing in closings:
        whole = cell_of(closing, 0, minute)
        hit = {stratum: (x1, x0) for stratum, x1, x0 in closing.strata}
        cells += by_stratum(whole, hit) if hit else (whole,)
    return [replace(cell, seq=number) for number, cell in enumerate(cells, seq + 1)]


def past_of(releases: Iterable[Sequence[Closing]]) -> tuple[PastBucket, ...]:
    """What earlier good releases showed, as the judge would have it in the rules."""
    return past.summed(cells_of(closings, 0, 0) for closings in releases)


@dataclass(slots=True)
class Firedoor:
    """The judge on R releases, each with evidence of its own.

    Attributes:
        evidence: One state a release.
        halted: Which were found harmful; their cells no longer matter.
        cleared: Which were cleared.
        warned: Which stood above the warning level when last asked.
        holds: A release that is held as worse than past good ones is stopped as well.
        known: What was last said of each.
    """

    evidence: list[Evidence]
    halted: Bools
    cleared: Bools
    warned: Bools
    holds: bool = False
    known: list[Known | None] = field(default_factory=list)

    @classmethod
    def begin(cls, briefing: Briefing, policy: Policy, *, holds: bool = False) -> "Firedoor":
        """Board R releases; with ``holds``, after the good ones of the briefing."""
        rules = shipped_rules(briefing.treated + briefing.control, policy)
        if not holds:
            return cls.under(rules, briefing.runs)
        watch = cls.under(replace(rules, past=past_of(briefing.past)), briefing.runs)
        watch.holds = True
        return watch

    @classmethod
    def under(cls, rules: Rules, runs: int) -> "Firedoor":
        """Board releases under given rules."""
        none: list[Known | None] = [None] * runs
        return cls([start(rules)] * runs, nobody(runs), nobody(runs), nobody(runs), known=none)

    def look(self, interval: Interval) -> Answer:
        """Fold what the pools revealed; ask for a verdict where something was."""
        told = {
            run: closings
            for run, closings in enumerate(interval.closings)
            if closings and not self.halted[run]
        }
        self._judge(told, interval.end - 1)
        return Answer(self.halted.copy(), self.cleared.copy())

    def _judge(self, told: Mapping[int, Sequence[Closing]], minute: int) -> None:
        """All releases of an interval at once, with the bits of one after the other."""
        before = [self.evidence[run] for run in told]
        cells = [
            cells_of(closings, evidence.seq, minute)
            for evidence, closings in zip(before, told.values(), strict=True)
        ]
        asked: list[int] = []
        absorbed = absorb_all(list(zip(before, cells, strict=True)))
        for (run, closings), earlier, evidence in zip(told.items(), before, absorbed, strict=True):
            self.evidence[run] = evidence
            looked = any(closing.signal == ANY or closing.late for closing in closings)
            # Nothing else can change the answer, and bounds are worth a hundred cells to compute.
            if looked or self.warned[run] or evidence.max_log_e > earlier.max_log_e:
                asked.append(run)
        evidences = [self.evidence[run] for run in asked]
        said = verdicts(evidences, [self.known[run] for run in asked])
        for run, evidence, found in zip(asked, evidences, said, strict=True):
            self.known[run] = evidence, found
            self.warned[run] = found.warn
            worse = self.holds and found.worse
            self.halted[run] = worse or found.state is VerdictState.HARMFUL
            self.cleared[run] |= found.state is VerdictState.CLEARED


@dataclass(slots=True)
class Overcounting(Firedoor):
    """A judge fed with wrong books, to see whether the benchmark notices.

    Every report counts, also a machine's second and tenth, and nobody who was counted leaves the
    pool: the cards of repeated reports are no random draw.
    """

    def look(self, interval: Interval) -> Answer:
        """Judge reports, not machines."""
        for run in np.flatnonzero(~self.halted):
            x1, x0 = int(interval.crashes[run]), int(interval.control_crashes[run])
            m1, m0 = int(interval.treated[run]), int(interval.control[run])
            if x1 + x0 and x1 <= m1 and x0 <= m0:
                closing = Closing(1, "crash", m1, m0, x1, x0)
                self._judge({int(run): [closing]}, interval.end - 1)
        return Answer(self.halted.copy(), self.cleared.copy())


def hasty(rules: Rules, factor: float) -> Rules:
    """The same rules with a level they do not own up to."""
    return replace(rules, alpha_harm=rules.alpha_harm * factor)
