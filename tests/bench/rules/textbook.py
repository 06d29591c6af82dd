"""The test of the textbook: is the treated share of the events larger than their share of time?

One-sided exact binomial test given the total, on crashes and silences together, weighed by
machine-hours. Asked once at its horizon it keeps its level; peeked at every hour it does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tests.bench.rules.rule import HOUR, Answer, Bools, Briefing, Floats, Interval, Ints, nobody

_MOST_TERMS = 500
_TINY = 1e-300


def binomial_tail(x: Ints, n: Ints, share: Floats) -> Floats:
    """P(X >= x) for X binomial(n, share), by the continued fraction of the incomplete beta.

    Args:
        x: Successes, shape (R,), 0..n.
        n: Trials, shape (R,).
        share: Chance of success, shape (R,), in (0, 1).
    """
    inside = x > 0
    a = np.where(inside, x, 1).astype(np.float64)
    b = np.where(inside, n - x + 1, 1).astype(np.float64)
    p = np.where(inside, share, 0.5)
    # The fraction converges fast on one side of the mean only; the other side by symmetry.
    swap = p > (a + 1.0) / (a + b + 2.0)
    a, b, p = np.where(swap, b, a), np.where(swap, a, b), np.where(swap, 1.0 - p, p)
    log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
    front = np.exp(
        log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * np.log(p) + b * np.log1p(-p)
    )
    tail = front * _beta_fraction(a, b, p) / a
    return np.where(inside, np.where(swap, 1.0 - tail, tail), 1.0)


def _beta_fraction(a: Floats, b: Floats, p: Floats) -> Floats:
    """Continued fraction of the incomplete beta by Lentz' method, shape (R,)."""
    c = np.ones_like(a)
    d = 1.0 / _away_from_zero(1.0 - (a + b) * p / (a + 1.0))
    value = d.copy()
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * p / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * p / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            value = value * c * d
        if np.all(np.abs(c * d - 1.0) < 1e-12):
            break
    return value


def _away_from_zero(values: Floats) -> Floats:
    return np.where(np.abs(values) < _TINY, _TINY, values)


@dataclass(slots=True)
class ExactTest:
    """Halt iff the exact p-value is at most alpha at one of the moments it is asked."""

    alpha: float
    asked: Sequence[int] | None
    events: Ints
    at_risk: Floats
    halted: Bools

    @classmethod
    def begin(cls, briefing: Briefing, alpha: float, asked: Sequence[int] | None) -> "ExactTest":
        """Start counting.

        Args:
            briefing: The releases.
            alpha: Level.
            asked: Minutes at which it is asked; None for every full hour.
        """
        shape = (2, briefing.runs)
        return cls(alpha, asked, np.zeros(shape, np.int64), np.zeros(shape), nobody(briefing.runs))

    def look(self, interval: Interval) -> Answer:
        """Count; ask if it is time."""
        length = interval.end - interval.start
        self.events = self.events + np.stack(
            [
                interval.crashes + interval.overdue,
                interval.control_crashes + interval.control_overdue,
            ]
        )
        self.at_risk = self.at_risk + length * np.stack([interval.treated, interval.control])
        halt = clear = nobody(self.events.shape[1])
        if self.asked is None:
            due, last = interval.ends_a(HOUR), interval.end >= 48 * HOUR
        else:
            due = any(interval.start < at <= interval.end for at in self.asked)
            last = interval.end >= max(self.asked)
        if due:
            total = self.at_risk.sum(axis=0)
            able = (self.at_risk > 0).all(axis=0)
            share = np.where(able, self.at_risk[0] / np.maximum(total, 1.0), 0.5)
            tail = binomial_tail(self.events[0], self.events.sum(axis=0), share)
            halt = able & (tail <= self.alpha)
            self.halted = self.halted | halt
        if last:
            clear = ~self.halted
        return Answer(halt, clear)
