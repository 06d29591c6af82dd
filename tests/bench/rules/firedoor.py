"""Firedoor's judge as one more rule: sealed pools in, ``core.verdict`` out.

This is all there is between the benchmark and the judge: closings become cells, and the verdict
becomes an answer. The rules of a boarding come from ``core.terms`` and ``services.boarding``, so
what is measured is what is shipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tests.bench.rules.rule import (
    Answer,
    Bools,
    Briefing,
    Closing,
    Interval,
    nobody,
)

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence.mixture import epoch_of
from firedoor.core.signal import ANY
from firedoor.core.terms import Policy, resolve
from firedoor.core.verdict import Evidence, Rules, VerdictState, absorb, start, verdict
from firedoor.services.boarding import rules_for


def shipped_rules(machines: int, policy: Policy, *, reporting: bool = True) -> Rules:
    """The rules that a release would board under in a fleet of this size.

    Args:
        machines: Active machines.
        policy: What the operator says.
        reporting: Machines send crash reports; without, silence alone decides.
    """
    return rules_for(resolve(policy, machines), reporting=machines if reporting else 0)


def cell_of(closing: Closing, seq: int, minute: int) -> Cell:
    """A closing as a cell of the release."""
    test = Test.CLEARANCE if closing.signal == ANY else Test.HARM
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
        installed=closing.treated if test is Test.CLEARANCE else 0,
    )


@dataclass(slots=True)
class Firedoor:
    """The judge on R releases, each with evidence of its own.

    Attributes:
        evidence: One state a release.
        halted: Which were found harmful; their cells no longer matter.
        cleared: Which were cleared.
        warned: Which stood above the warning level when last asked.
    """

    evidence: list[Evidence]
    halted: Bools
    cleared: Bools
    warned: Bools

    @classmethod
    def begin(cls, briefing: Briefing, policy: Policy) -> "Firedoor":
        """Board R releases."""
        rules = shipped_rules(briefing.treated + briefing.control, policy)
        return cls.under(rules, briefing.runs)

    @classmethod
    def under(cls, rules: Rules, runs: int) -> "Firedoor":
        """Board releases under given rules."""
        return cls([start(rules)] * runs, nobody(runs), nobody(runs), nobody(runs))

    def look(self, interval: Interval) -> Answer:
        """Fold what the pools revealed; ask for a verdict where something was."""
        for run, closings in enumerate(interval.closings):
            if closings and not self.halted[run]:
                self._judge(run, closings, interval.end - 1)
        return Answer(self.halted.copy(), self.cleared.copy())

    def _judge(self, run: int, closings: Sequence[Closing], minute: int) -> None:
        before = evidence = self.evidence[run]
        for closing in closings:
            evidence = absorb(evidence, cell_of(closing, evidence.seq + 1, minute))
        self.evidence[run] = evidence
        matured = any(closing.signal == ANY for closing in closings)
        # Nothing else can change the answer, and the bound is worth a hundred cells to compute.
        if not (matured or self.warned[run] or evidence.max_log_e > before.max_log_e):
            return
        found = verdict(evidence)
        self.warned[run] = found.warn
        self.halted[run] = found.state is VerdictState.HARMFUL
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
                self._judge(int(run), [closing], interval.end - 1)
        return Answer(self.halted.copy(), self.cleared.copy())


def hasty(rules: Rules, factor: float) -> Rules:
    """The same rules with a level they do not own up to."""
    return replace(rules, alpha_harm=rules.alpha_harm * factor)
