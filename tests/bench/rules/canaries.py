"""Rules of progressive delivery: Argo Rollouts and Flagger, on a metric an operator wrote.

Both compare a measurement with a fixed limit. The limit is the operator's; here it is three times
what the treated machines would send in an hour if nothing changed, by the last 15 days.
"""

from dataclasses import dataclass

import numpy as np
from tests.bench.rules.rule import HOUR, Answer, Briefing, Floats, Interval, Ints

LIMIT = 3.0


@dataclass(slots=True)
class Hourly:
    """Crash reports of the treated, hour by hour."""

    limit: Floats
    crashes: Floats
    heard: Ints
    intervals: int = 0

    @classmethod
    def begin(cls, briefing: Briefing) -> "Hourly":
        """An hour that has not begun."""
        none = np.zeros(briefing.runs)
        return cls(LIMIT * briefing.expected_per_hour, none, none.astype(np.int64))

    def add(self, interval: Interval) -> tuple[Ints, Ints] | None:
        """Count an interval; at the end of an hour say who failed and who had no data."""
        self.crashes = self.crashes + interval.crashes
        self.heard = self.heard + interval.reporting
        if not interval.ends_a(HOUR):
            return None
        silent = self.heard == 0
        failed = (self.crashes > self.limit) & ~silent
        self.crashes, self.heard = np.zeros_like(self.crashes), np.zeros_like(self.heard)
        return failed.astype(np.int64), silent.astype(np.int64)


@dataclass(slots=True)
class Argo:
    """Abort iff more measurements failed than ``failureLimit``, or 5 in a row gave an error."""

    hourly: Hourly
    failure_limit: int
    failed: Ints
    errors: Ints
    count: int = 24
    measured: int = 0
    error_limit: int = 4

    @classmethod
    def begin(cls, briefing: Briefing, failure_limit: int) -> "Argo":
        """No measurement yet."""
        none = np.zeros(briefing.runs, np.int64)
        return cls(Hourly.begin(briefing), failure_limit, none, none)

    def look(self, interval: Interval) -> Answer:
        """One measurement an hour; successful after ``count`` of them."""
        measured = self.hourly.add(interval)
        if measured is not None:
            failed, silent = measured
            self.failed = self.failed + failed
            self.errors = np.where(silent > 0, self.errors + 1, 0)
            self.measured += 1
        halt = (self.failed > self.failure_limit) | (self.errors > self.error_limit)
        return Answer(halt, ~halt & (self.measured >= self.count))


@dataclass(slots=True)
class Flagger:
    """Roll back when as many checks as ``threshold`` failed; a check without data fails.

    The weight rises by 5 with each check that passes and is promoted beyond 50.
    """

    hourly: Hourly
    threshold: int
    failed: Ints
    passed: Ints

    @classmethod
    def begin(cls, briefing: Briefing, threshold: int) -> "Flagger":
        """No check yet."""
        none = np.zeros(briefing.runs, np.int64)
        return cls(Hourly.begin(briefing), threshold, none, none)

    def look(self, interval: Interval) -> Answer:
        """One check an hour."""
        checked = self.hourly.add(interval)
        if checked is not None:
            bad = checked[0] + checked[1]
            self.failed = self.failed + bad
            self.passed = self.passed + (1 - bad)
        halt = self.failed >= self.threshold
        return Answer(halt, ~halt & (self.passed >= 10))
