"""Kayenta's NetflixACAJudge-v1.0 as read, on one critical metric: crash reports an hour.

High iff the lower end of a 98 % rank-sum interval exceeds a quarter of the absolute estimate and
the canary's mean is at least the control's. One critical metric that is High scores 0: halt.
Standalone Kayenta judges a growing window again and again; both ways are in the catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from tests.bench.rules.rank_interval import rank_interval
from tests.bench.rules.rule import HOUR, Answer, Bools, Briefing, Floats, Interval, Ints, nobody

LEVEL = 0.98
TOLERANCE = 0.25
EFFECT = 1.0


def is_high(canary: Sequence[float], control: Sequence[float]) -> bool:
    """Whether a metric that may not increase is classified High.

    Args:
        canary: One point a time step; steps without data are left out by the caller.
        control: The same of the control.
    """
    if not canary or not control or tuple(canary) == tuple(control):
        return False
    # Ranks do not know the order of the points, so a sorted pair can be remembered.
    return _is_high(tuple(sorted(canary)), tuple(sorted(control)))


@lru_cache(maxsize=1 << 17)
def _is_high(canary: tuple[float, ...], control: tuple[float, ...]) -> bool:
    # Two constants are an error of the judge ("all observations are tied"), not a High.
    if canary[0] == canary[-1] and control[0] == control[-1]:
        return False
    # The mean ratio; 0/0 and x/0 never fail the effect's limit.
    if sum(control) > 0.0 and np.mean(canary) / np.mean(control) < EFFECT:
        return False
    found = rank_interval(canary, control, LEVEL)
    return found.low > TOLERANCE * abs(found.estimate)


@dataclass(slots=True)
class Kayenta:
    """Judge the window so far every ``every`` minutes, until ``lifetime``."""

    every: int
    treated: int
    control: int
    halted: Bools
    lifetime: int = 48 * HOUR
    hour: list[Ints] = field(default_factory=list)
    points: list[tuple[Floats, Floats, Ints]] = field(default_factory=list)

    @classmethod
    def begin(cls, briefing: Briefing, every: int) -> "Kayenta":
        """An empty window."""
        return cls(every, briefing.treated, briefing.control, nobody(briefing.runs))

    def look(self, interval: Interval) -> Answer:
        """Collect a point an hour and arm."""
        self.hour.append(np.stack([interval.crashes, interval.control_crashes, interval.reporting]))
        if interval.ends_a(HOUR):
            crashes, control, heard = np.sum(self.hour, axis=0)
            self.points.append((crashes / self.treated, control / self.control, heard))
            self.hour = []
        over = interval.end >= self.lifetime
        halt = nobody(len(self.halted))
        if self.points and interval.end <= self.lifetime and interval.ends_a(self.every):
            canary, control, heard = (np.stack(part) for part in zip(*self.points, strict=True))
            for run in np.flatnonzero(~self.halted):
                kept = heard[:, run] > 0
                halt[run] = is_high(canary[kept, run].tolist(), control[kept, run].tolist())
            self.halted |= halt
        return Answer(halt, ~self.halted & over)
