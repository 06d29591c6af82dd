"""A rule in the style of Gandalf (NSDI 2020); its constants are not public, these are ours.

An anomaly is sought in the fault counts of all machines (a daily Holt-Winters forecast, three
deviations of its past errors), laid at a rollout's door if the machines it touched are hit out of
proportion, in windows of 1, 24 and 72 hours; two of the three windows must agree.
"""

from dataclasses import dataclass, field

import numpy as np
from tests.bench.rules.rule import HOUR, Answer, Bools, Briefing, Floats, Interval, Ints, nobody

LEVEL, SEASON = 0.1, 0.2
"""Smoothing of the level and of the hours of the day."""

DEVIATIONS = 3.0
RATIO = 3.0
LEAST = 3
WINDOWS = (1, 24, 72)
VOTES = 2
CLEAR_AFTER = 24 * HOUR


@dataclass(slots=True)
class Forecast:
    """Holt-Winters with a season of 24 hours and no trend, shape (R,) and (R, 24)."""

    level: Floats
    season: Floats
    deviation: Floats

    @classmethod
    def of(cls, hourly: Ints) -> "Forecast":
        """Run over the past; remember how wrong it was."""
        past = hourly.astype(np.float64)
        level = past[:, :24].mean(axis=1)
        season = past[:, :24] - level[:, None]
        self = cls(level, season, np.zeros(len(past)))
        errors = [self.absorb(past[:, hour], hour) for hour in range(24, past.shape[1])]
        self.deviation = np.maximum(np.std(errors, axis=0), 0.5)
        return self

    def absorb(self, seen: Floats, hour: int) -> Floats:
        """Take an hour; say by how much it exceeded the forecast."""
        slot = hour % 24
        error: Floats = seen - np.maximum(self.level + self.season[:, slot], 0.0)
        self.level = self.level + LEVEL * error
        self.season[:, slot] += SEASON * error
        return error


@dataclass(slots=True)
class GandalfStyle:
    """Anomaly, correlation with the rollout, votes of three windows."""

    forecast: Forecast
    seen: Ints
    hours: list[tuple[Ints, Bools, Floats]] = field(default_factory=list)

    @classmethod
    def begin(cls, briefing: Briefing) -> "GandalfStyle":
        """Learn the forecast from the previous version."""
        return cls(Forecast.of(briefing.hourly), np.zeros((2, briefing.runs), np.int64))

    def look(self, interval: Interval) -> Answer:
        """Once an hour."""
        faults = np.stack([interval.crashes, interval.control_crashes])
        self.seen = self.seen + faults
        runs = self.seen.shape[1]
        if not interval.ends_a(HOUR):
            return Answer(nobody(runs), nobody(runs))
        error = self.forecast.absorb(
            self.seen.sum(axis=0).astype(np.float64), interval.end // HOUR - 1
        )
        exposed = np.stack([interval.treated, interval.control]).astype(np.float64)
        self.hours.append((self.seen, error > DEVIATIONS * self.forecast.deviation, exposed))
        self.seen = np.zeros_like(self.seen)
        votes = np.zeros(runs, np.int64)
        for window in WINDOWS:
            recent = self.hours[-window:]
            x1, x0 = np.sum([seen for seen, _, _ in recent], axis=0)
            m1, m0 = np.sum([at_risk for _, _, at_risk in recent], axis=0)
            odd = np.any([anomaly for _, anomaly, _ in recent], axis=0)
            votes += odd & (x1 >= LEAST) & (x1 * m0 > RATIO * (x0 + 0.5) * m1)
        halt = votes >= VOTES
        return Answer(halt, ~halt & (interval.end >= CLEAR_AFTER))
