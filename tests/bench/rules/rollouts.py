"""Rules of rollout servers that count failed installations: hawkBit, Nebraska, AWS, ECS, Autopatch.

Re-implemented from their definitions. Where a product leaves a number to its operator, the
catalogue names the one chosen here.
"""

from dataclasses import dataclass

import numpy as np
from tests.bench.rules.rule import Answer, Briefing, Interval, Ints, nobody


@dataclass(slots=True)
class Tally:
    """Installations so far, shape (R,) each, and the size of the group."""

    total: int
    finished: Ints
    failed: Ints
    overdue: Ints

    @classmethod
    def begin(cls, briefing: Briefing) -> "Tally":
        """Nothing installed yet."""
        none = np.zeros(briefing.runs, np.int64)
        return cls(briefing.treated, none, none, none)

    def add(self, interval: Interval) -> None:
        """Count an interval."""
        self.finished = self.finished + interval.finished
        self.failed = self.failed + interval.failed
        self.overdue = self.overdue + interval.overdue


@dataclass(slots=True)
class HawkBit:
    """Pause when more than half of the group failed; go on when half of it finished.

    Both are whole percent of the group's total, not of those that answered.
    """

    tally: Tally
    error: int = 50
    success: int = 50

    @classmethod
    def begin(cls, briefing: Briefing) -> "HawkBit":
        """Defaults of the server."""
        return cls(Tally.begin(briefing))

    def look(self, interval: Interval) -> Answer:
        """Look at every status."""
        self.tally.add(interval)
        total = self.tally.total
        halt = 100 * self.tally.failed > self.error * total
        return Answer(halt, ~halt & (100 * self.tally.finished >= self.success * total))


@dataclass(slots=True)
class Nebraska:
    """Stop when as many updates have timed out as may be in progress at once; one at first.

    Safe mode: the cap is 1 until a first attempt has been made; with the machines of this
    benchmark that is over before anything can time out, so it only shows in the ramp.
    """

    tally: Tally
    cap: int

    @classmethod
    def begin(cls, briefing: Briefing) -> "Nebraska":
        """The cap that lets this ring through in four hours."""
        return cls(Tally.begin(briefing), max(1, briefing.treated // 4))

    def look(self, interval: Interval) -> Answer:
        """Count time-outs."""
        self.tally.add(interval)
        halt = self.tally.overdue >= self.cap
        return Answer(halt, ~halt & (self.tally.finished >= self.tally.total - self.cap))


@dataclass(slots=True)
class AwsJob:
    """Cancel iff enough machines have executed the job and too large a share of them failed."""

    tally: Tally
    least: int = 100
    percent: float = 10.0

    @classmethod
    def begin(cls, briefing: Briefing) -> "AwsJob":
        """The service has no defaults; the catalogue names ours."""
        return cls(Tally.begin(briefing))

    def look(self, interval: Interval) -> Answer:
        """Failure type ALL: failures and time-outs."""
        self.tally.add(interval)
        bad = self.tally.failed + self.tally.overdue
        executed = bad + self.tally.finished
        halt = (executed > self.least) & (100 * bad > self.percent * executed)
        return Answer(halt, ~halt & (executed >= self.tally.total))


@dataclass(slots=True)
class EcsBreaker:
    """Fail at half the desired number of failures, but at least 3 and at most 200."""

    tally: Tally
    threshold: int

    @classmethod
    def begin(cls, briefing: Briefing) -> "EcsBreaker":
        """The desired number is the ring."""
        return cls(Tally.begin(briefing), breaker_threshold(briefing.treated))

    def look(self, interval: Interval) -> Answer:
        """Count failures to start."""
        self.tally.add(interval)
        halt = self.tally.failed >= self.threshold
        return Answer(halt, ~halt & (self.tally.finished >= self.tally.total - self.threshold))


def breaker_threshold(desired: int) -> int:
    """Failures at which the circuit breaker opens."""
    return int(min(200, max(3, -(-desired // 2))))


@dataclass(slots=True)
class Autopatch:
    """Pause iff the share of machines with a rollback signal reaches a percentage."""

    tally: Tally
    percent: float = 5.0

    @classmethod
    def begin(cls, briefing: Briefing) -> "Autopatch":
        """The percentage is the administrator's; the catalogue names ours."""
        return cls(Tally.begin(briefing))

    def look(self, interval: Interval) -> Answer:
        """A failure that was reported is what would roll a machine back."""
        self.tally.add(interval)
        halt = (100 * self.tally.failed >= self.percent * np.maximum(interval.treated, 1)) & (
            interval.treated > 0
        )
        return Answer(halt, nobody(len(halt)))


@dataclass(slots=True)
class Threshold:
    """Halt iff more than a percentage of those that answered failed; 20 answers at least.

    The rule of ring schedules in general; hawkBit's and Autopatch's are of this kind when every
    group fills before the next one begins.
    """

    tally: Tally
    percent: float
    least: int = 20

    def look(self, interval: Interval) -> Answer:
        """Count outcomes."""
        self.tally.add(interval)
        answered = self.tally.failed + self.tally.finished
        halt = (answered >= self.least) & (100 * self.tally.failed > self.percent * answered)
        return Answer(halt, nobody(len(halt)))
