"""What every halting rule is shown, and what it may answer.

A rule watches R releases at once, interval by interval, and never sees an interval before it is
over. It is given everything that a rule of its kind could be given and takes what its definition
names; whatever a rule's real input leaves out (a report that was never sent) is left out here.

::

    Rule.begin(briefing) -> Watch -- look(interval) --> Answer(halt, clear)   once per interval
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

HOUR = 60
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Closing:
    """What a sealed pool revealed at one moment; counts as in ``core.cell.Cell``.

    Attributes:
        deck: Number of the deck.
        signal: ``crash`` or ``silence``; ``any`` for one outcome a machine at maturity.
        treated: Sealed treated members just before (or all, at maturity).
        control: The same of control members.
        treated_harmed: Of the treated, newly harmed.
        control_harmed: Of the control, newly harmed.
        late: A later look at all that are sealed still, for the comparison with the past.
        age: Minutes since the cut; of what was told the bucket of the time since the cards.
        listened: Of what was told, seconds that the past counts.
        strata: (stratum, treated, control) of those who were harmed; empty where nothing is
            known of them.
    """

    deck: int
    signal: str
    treated: int
    control: int
    treated_harmed: int
    control_harmed: int
    late: bool = False
    age: int = 0
    listened: int = 0
    strata: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Briefing:
    """What is known of R releases before the first interval.

    Attributes:
        runs: R.
        treated: Machines that will get the release in this ring.
        control: Machines that keep the previous one meanwhile.
        hourly: Crash reports an hour of the previous version on all these machines, over the
            last 15 days, oldest first, shape (R, 360).
        past: What earlier good releases revealed in the same ring, one sequence each, in order.
    """

    runs: int
    treated: int
    control: int
    hourly: Ints
    past: Sequence[Sequence[Closing]] = ()

    @property
    def daily(self) -> Ints:
        """Crash reports a day of the previous version, oldest first, shape (R, 15)."""
        daily: Ints = self.hourly.reshape(self.runs, -1, 24).sum(axis=2)
        return daily

    @property
    def expected_per_hour(self) -> Floats:
        """Crash reports an hour that the treated would send if nothing changed, shape (R,)."""
        share = self.treated / (self.treated + self.control)
        expected: Floats = self.hourly.mean(axis=1) * share
        return expected


@dataclass(frozen=True, slots=True)
class Interval:
    """What became known in one interval; every array has shape (R,).

    Attributes:
        start: Minutes since boarding.
        end: Minutes since boarding.
        reporting: The collector delivered something.
        treated: Machines that hold the release.
        control: Machines watched beside them.
        crashes: Crash reports of treated machines; a machine may send many.
        control_crashes: The same of control machines.
        bucket: Most treated machines, so far, that crashed with one signature that the previous
            version never had.
        finished: Treated machines that reported a successful installation.
        failed: Treated machines that reported their first failure.
        overdue: Treated machines that were found silent at their deadline.
        control_overdue: The same of control machines.
        closings: What sealed pools revealed, in order, one sequence a run.
    """

    start: int
    end: int
    reporting: Bools
    treated: Ints
    control: Ints
    crashes: Ints
    control_crashes: Ints
    bucket: Ints
    finished: Ints
    failed: Ints
    overdue: Ints
    control_overdue: Ints
    closings: Sequence[Sequence[Closing]]

    def ends_a(self, period: int) -> bool:
        """Whether a period of so many minutes ends with this interval."""
        return self.end // period > self.start // period


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule says after an interval, shape (R,) each.

    Attributes:
        halt: Nobody new gets the release.
        clear: Everybody may get it.
    """

    halt: Bools
    clear: Bools


class Watch(Protocol):
    """One rule at work on R releases."""

    def look(self, interval: Interval) -> Answer:
        """Take the next interval; the harness keeps the first halt and the first clearance."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the field.

    Attributes:
        key: Number in the catalogue of rules, and name of the row in every table.
        says: What it does, with its parameters and who set them.
        begin: Start watching.
        ours: A setting of Firedoor's judge.
    """

    key: str
    says: str
    begin: Callable[[Briefing], Watch]
    ours: bool = False


def nobody(runs: int) -> Bools:
    """A no for every run."""
    return np.zeros(runs, np.bool_)
