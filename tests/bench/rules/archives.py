"""Rules of archives that watch reports from the field: Ubuntu's phased updates and LVFS.

Re-implemented from their definitions: Ubuntu's error tracker (crash rate; new signatures, both
asked every six hours while a phase rises by ten points) and the LVFS (share of good reports).
"""

from dataclasses import dataclass, field

import numpy as np
from tests.bench.rules.rule import DAY, HOUR, Answer, Bools, Briefing, Floats, Interval, nobody

CHECK = 6 * HOUR
PHASES = 9
"""Checks passed between 10 % and 100 %."""


def daily_limit(daily: Floats, share: float) -> Floats:
    """Crashes a day that Ubuntu's rate check lets pass: round(mean + deviation), times phase.

    Args:
        daily: Crashes a day of the previous version, shape (R, days <= 15); missing days are 0.
        share: Share of machines the update is offered to, in (0, 1].
    """
    limit: Floats = np.round(daily.mean(axis=1) + daily.std(axis=1)) * share
    return limit


@dataclass(slots=True)
class UbuntuRate:
    """Halt iff today has 3 crashes and more than one above the limit of the day so far."""

    limit: Floats
    today: Floats
    passed: int = 0

    @classmethod
    def begin(cls, briefing: Briefing) -> "UbuntuRate":
        """Learn the limit from the previous version; its last day is dropped."""
        share = briefing.treated / (briefing.treated + briefing.control)
        daily = briefing.daily[:, :-1].astype(np.float64)
        return cls(daily_limit(daily, share), np.zeros(briefing.runs))

    def look(self, interval: Interval) -> Answer:
        """Count the day's crashes; decide every six hours."""
        if interval.start % DAY == 0:
            self.today = np.zeros_like(self.today)
        self.today = self.today + interval.crashes
        halt = clear = nobody(len(self.today))
        if interval.ends_a(CHECK):
            # At midnight the day that ends is still "today".
            minutes = (interval.end - 1) % DAY + 1
            excess = self.today - self.limit * minutes / DAY
            halt = (self.today >= 3) & (excess > 1)
            self.passed += 1
            clear = ~halt & (self.passed >= PHASES)
        return Answer(halt, clear)


@dataclass(slots=True)
class UbuntuSignature:
    """Halt iff a signature new with this version was seen on more than two machines."""

    passed: int = 0

    @classmethod
    def begin(cls, briefing: Briefing) -> "UbuntuSignature":
        """Nothing to learn: signatures come classified."""
        del briefing
        return cls()

    def look(self, interval: Interval) -> Answer:
        """Decide every six hours."""
        halt = clear = nobody(len(interval.bucket))
        if interval.ends_a(CHECK):
            halt = interval.bucket > 2
            self.passed += 1
            clear = ~halt & (self.passed >= PHASES)
        return Answer(halt, clear)


@dataclass(slots=True)
class Lvfs:
    """Demote iff 5 failures were reported and fewer than 70 % of the reports are good."""

    good: Floats
    bad: Floats
    never: Bools = field(default_factory=lambda: nobody(0))

    @classmethod
    def begin(cls, briefing: Briefing) -> "Lvfs":
        """No report yet."""
        none = np.zeros(briefing.runs)
        return cls(none, none, nobody(briefing.runs))

    def look(self, interval: Interval) -> Answer:
        """Look at every report; nothing is ever cleared, it is out already."""
        self.good = self.good + interval.finished
        self.bad = self.bad + interval.failed
        reports = np.maximum(self.good + self.bad, 1)
        halt = (self.bad >= 5) & (100 * self.good / reports < 70)
        return Answer(halt, self.never)
