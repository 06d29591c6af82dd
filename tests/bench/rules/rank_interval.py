"""The rank-sum confidence interval that Kayenta's judge rests on, as read from its source.

The shift mu of the first sample is searched at which the standardised rank sum, with correction
for ties and continuity, equals a quantile of the normal law. The statistic is a step function of
mu, so the "root" is a jump, found to 1e-4 by Brent's method: where a jump lies exactly at 0 or at
the estimate, the answer depends on the path of the search, which is therefore part of the rule.

Source: kayenta-mannwhitney; Brent 1973, chapter 4 (the search).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from tests.bench.rules.rule import Floats

TOLERANCE = 1e-4
_EPS = 2.220446049250313e-16
_MOST_STEPS = 1000


@dataclass(frozen=True, slots=True)
class RankInterval:
    """Shift of the first sample against the second: its interval and its estimate."""

    low: float
    high: float
    estimate: float


def rank_interval(first: Sequence[float], second: Sequence[float], level: float) -> RankInterval:
    """Compare two samples.

    Args:
        first: The canary's points, at least one.
        second: The control's points, at least one; not all points of both may be equal.
        level: Confidence, in (0, 1).
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    low, high = float(x.min() - y.max()), float(x.max() - y.min())
    z = NormalDist().inv_cdf((1.0 - level) / 2.0)

    def end(quantile: float) -> float:
        if standardised(x, y, low) - quantile <= 0.0:
            return low
        if standardised(x, y, high) - quantile >= 0.0:
            return high
        return brent(lambda mu: standardised(x, y, mu) - quantile, low, high)

    return RankInterval(end(-z), end(z), brent(lambda mu: standardised(x, y, mu), low, high))


def standardised(x: Floats, y: Floats, mu: float) -> float:
    """Rank sum of x - mu among both samples, in standard deviations from its mean."""
    n, m = len(x), len(y)
    both = np.concatenate([x - mu, y])
    ordered = np.sort(both)
    below = np.searchsorted(ordered, both[:n], side="left")
    upto = np.searchsorted(ordered, both[:n], side="right")
    off = float((below + upto + 1).sum()) / 2.0 - n * (n + 1) / 2.0 - n * m / 2.0
    breaks = np.flatnonzero(np.diff(ordered)) + 1
    ties = np.diff(np.concatenate([[0], breaks, [n + m]])).astype(np.float64)
    spread = n * m / 12.0 * (n + m + 1 - float((ties**3 - ties).sum()) / ((n + m) * (n + m - 1)))
    return (off - 0.5 * float(np.sign(off))) / math.sqrt(spread)


def brent(f: Callable[[float], float], first: float, last: float) -> float:
    """Root of ``f`` between two points at which it has different signs.

    Steps by inverse interpolation while that shrinks the bracket, by halving otherwise.
    """
    before, f_before = first, f(first)
    best, f_best = last, f(last)
    other, f_other = before, f_before
    if f_before == 0.0:
        return before
    for _ in range(_MOST_STEPS):
        span = best - before
        if abs(f_other) < abs(f_best):
            before, best, other = best, other, best
            f_before, f_best, f_other = f_best, f_other, f_best
        tolerance = 2.0 * _EPS * abs(best) + TOLERANCE / 2.0
        half = (other - best) / 2.0
        if abs(half) <= tolerance or f_best == 0.0:
            break
        step = half
        if abs(span) >= tolerance and abs(f_before) > abs(f_best):
            trial = _interpolated((before, f_before), (best, f_best), (other, f_other))
            if trial is not None and abs(trial[0]) < abs(span * trial[1] / 2.0):
                p, q = trial
                if p < 1.5 * half * q - abs(tolerance * q) / 2.0:
                    step = p / q
        if abs(step) < tolerance:
            step = math.copysign(tolerance, step)
        before, f_before = best, f_best
        best += step
        f_best = f(best)
        if f_best * f_other > 0.0:
            other, f_other = before, f_before
    return best


def _interpolated(
    before: tuple[float, float], best: tuple[float, float], other: tuple[float, float]
) -> tuple[float, float] | None:
    """Step p/q, p >= 0, to where a line or an inverse parabola through the points is zero."""
    (a, f_a), (b, f_b), (c, f_c) = before, best, other
    ratio = f_b / f_a
    if a == c:
        p, q = (c - b) * ratio, 1.0 - ratio
    else:
        s, t = f_a / f_c, f_b / f_c
        p = ratio * ((c - b) * s * (s - t) - (b - a) * (t - 1.0))
        q = (s - 1.0) * (t - 1.0) * (ratio - 1.0)
    return (p, -q) if p > 0.0 else (-p, q)
