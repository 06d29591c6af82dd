"""Streams of plain counts: a large fleet in which nobody's second event matters.

For tables B and G: events of both arms are Poisson at constant exposure, minute by minute, with
or without a shared pace that nobody predicted. One deck holds everybody.
"""

from dataclasses import dataclass

import numpy as np
from tests.bench.rules.rule import DAY, HOUR, Bools, Briefing, Closing, Floats, Ints
from tests.bench.streams.stream import Closings, Counts, Stream

_HISTORY_HOURS = 360


@dataclass(frozen=True, slots=True)
class Flow:
    """One scenario.

    Attributes:
        treated: Treated machines at risk.
        control: Control machines at risk.
        rate: Events of treated machines a minute, if the release is harmless.
        ratio: Factor on that rate from the onset on.
        onset: Minute at which harm begins; what was harmed before does not count as harmed.
        minutes: Length.
        shocks: Day and night (.8) and shared bursts x 20 of 5 minutes, .002 a minute.
    """

    treated: int
    control: int
    rate: float
    ratio: float = 1.0
    onset: int = 0
    minutes: int = DAY
    shocks: bool = False

    @property
    def intervals(self) -> int:
        """T."""
        return self.minutes

    def draw(self, runs: int, chance: np.random.Generator) -> Stream:
        """Draw R runs."""
        shape = (runs, self.minutes)
        pace = self._pace(runs, chance)
        after = np.arange(self.minutes) >= self.onset
        x1 = chance.poisson(self.rate * np.where(after, self.ratio, 1.0) * pace)
        x0 = chance.poisson(self.rate * self.control / self.treated * pace)
        hourly = chance.poisson(
            self.rate * (1.0 + self.control / self.treated) * HOUR, (runs, _HISTORY_HOURS)
        )
        none = np.zeros(shape, np.int64)
        finished = none.copy()
        finished[:, 0] = self.treated
        full = np.full(shape, self.treated), np.full(shape, self.control)
        counts = Counts(
            reporting=np.ones(shape, np.bool_),
            treated=full[0],
            control=full[1],
            crashes=x1,
            control_crashes=x0,
            bucket=none,
            finished=finished,
            failed=x1,
            overdue=none,
            control_overdue=none,
        )
        return Stream(
            1,
            Briefing(runs, self.treated, self.control, hourly),
            counts,
            [self._closings(a, b) for a, b in zip(x1, x0, strict=True)],
            np.cumsum(x1 * after, axis=1),
        )

    def _pace(self, runs: int, chance: np.random.Generator) -> Floats:
        if not self.shocks:
            return np.ones((runs, self.minutes))
        minute = np.arange(self.minutes)
        pace = np.tile(1.0 + 0.8 * np.sin(2.0 * np.pi * minute / DAY), (runs, 1))
        begins = chance.random((runs, self.minutes)) < 0.002
        burst: Bools = begins.copy()
        for late in range(1, 5):
            burst[:, late:] |= begins[:, :-late]
        return np.where(burst, 20.0 * pace, pace)

    def _closings(self, x1: Ints, x0: Ints) -> Closings:
        r1, r0 = self.treated, self.control
        closings: Closings = {}
        for t in np.flatnonzero(x1 + x0).tolist():
            a, b = min(int(x1[t]), r1), min(int(x0[t]), r0)
            closings[t] = [Closing(1, "crash", r1, r0, a, b)]
            r1, r0 = r1 - a, r0 - b
        return closings
