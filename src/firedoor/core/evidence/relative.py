r"""Relative clearance: an e-process against "harmed at least rho times as often as the control".

Where failures are common, a tolerance in machines per thousand makes no sense, but "not half as
many again" does. The null is H: odds of the treated >= rho times those of the control; a bet on
a multiple g < 1 of rho wins when fewer of the harmed are treated than H claims. Given that K
members of R1 treated and R0 control ones were newly harmed, the boundary of H makes x1 Fisher's
noncentral hypergeometric with odds ratio rho, and

    plain    ln f  =  x1 ln g  -  ln E[g^X]
    linear   ln f  =  ln(1 + y (g-1))  -  ln(1 + E[Y] (g-1)),     y = x1 / K,  Y = X / K

have mean 1 there, and less above it, because both fall in x1 and a larger odds ratio makes x1
larger. Where the harmed would be Poisson counts instead, x1 is binomial with

    w  =  rho R1 / (rho R1 + R0)

and has a larger mean; *plain* divides by the larger of both expectations, so it is valid for
either. E = (E_plain + E_linear) / 2, each a mean over the grid of g.

A rate that is rho times as large has odds at least rho times as large, so H covers rates too.
Above 2 % events among those at risk the factor is 1. That looks at K only, which is known before
x1, and keeps depletion out: among unequal machines the frail are harmed first, and what is left
of a treated arm would look better than it is.

Unlike "no worse than control" this null is not made true by dealing cards: within a cell the
machines must fail independently given the past, or be counted in clusters or sites.

Source: evidence.md 2.7 (grid, the rule of 2 %). The exact forms are those of cohorts.md 1.5 with
an odds ratio; the larger expectation is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.mixture import frozen, log_sum

MULTIPLES: Final = frozen(np.array([0.9, 0.75, 0.6, 0.5, 0.33, 0.2]))
"""g of each bet, shape (6,), of equal wealth: by how much the truth is below rho."""

MOST_EVENTS: Final = 0.02
"""Share of those at risk beyond which a closing is not counted."""

LONGEST_SUPPORT: Final = 1024
"""Most events of a closing that is counted; the cost grows with it. Split larger ones."""

_LOG_MULTIPLES: Final = frozen(np.log(MULTIPLES))
_LOG_WEIGHT: Final = -math.log(2.0 * len(MULTIPLES))
_TERMS: Final = 1 << 20  # largest number of terms held at once: 8 MiB an array


@dataclass(frozen=True, slots=True, eq=False)
class Relative:
    """State of S relative clearance processes.

    Attributes:
        rho: Odds ratio to be excluded, >= 1.
        plain: ln of the wealth of each bet on the plain factor, shape (S, 6).
        linear: The same on the linear factor, shape (S, 6).
    """

    rho: float
    plain: Floats
    linear: Floats

    def __eq__(self, other: object) -> bool:
        """Equal to the last bit."""
        return (
            isinstance(other, Relative)
            and self.rho == other.rho
            and np.array_equal(self.plain, other.plain)
            and np.array_equal(self.linear, other.linear)
        )

    __hash__ = None  # type: ignore[assignment]  # a value made of arrays has no cheap hash

    def take(self, rows: Sequence[int] | Ints) -> Self:
        """Only some processes, numbered from 0, in this order."""
        return type(self)(self.rho, frozen(self.plain[rows]), frozen(self.linear[rows]))

    @classmethod
    def stacked(cls, parts: Sequence[Self]) -> Self:
        """The processes of several states, one below the other; all of the same rho."""
        return cls(
            parts[0].rho,
            frozen(np.concatenate([part.plain for part in parts])),
            frozen(np.concatenate([part.linear for part in parts])),
        )


def start(streams: int, rho: float) -> Relative:
    """No event yet: E = 1.

    Raises:
        ValueError: ``rho`` is below 1 or not finite. At 1 only a release that heals is cleared.
    """
    if not 1.0 <= rho < math.inf:
        raise ValueError(f"rho {rho} is no odds ratio of harm")
    nothing = frozen(np.zeros((streams, len(MULTIPLES))))
    return Relative(rho, nothing, nothing)


def absorb(relative: Relative, counts: Counts) -> Relative:
    """Take one closing into each of S streams.

    Args:
        relative: State before, S streams.
        counts: The closings, S rows; ``installed`` is not read. Rows without events, with an
            empty arm, or with too many events change nothing.

    Returns:
        The state after; the argument is untouched.
    """
    plain, linear = log_factors(counts, relative.rho)
    return Relative(relative.rho, frozen(relative.plain + plain), frozen(relative.linear + linear))


def log_e(relative: Relative) -> Floats:
    """Log of E against "at least rho times as harmful", shape (S,): large means safe."""
    return log_sum(_LOG_WEIGHT + np.concatenate([relative.plain, relative.linear], axis=1), axis=1)


def log_factors(counts: Counts, rho: float) -> tuple[Floats, Floats]:
    """Log of the plain and the linear factors, each of shape (S, 6)."""
    plain = np.zeros((len(counts.treated), len(MULTIPLES)))
    linear = np.zeros_like(plain)
    events = counts.events
    at_risk = counts.treated + counts.control
    counted = (
        (events > 0)
        & (events <= MOST_EVENTS * at_risk)
        & (events < LONGEST_SUPPORT)
        & (counts.treated > 0)
        & (counts.control > 0)
    )
    # Rows are padded to a power of two: a row's arithmetic then depends on nothing but the row.
    widths = 1 << np.ceil(np.log2(events + 1)).astype(np.int64)
    for width in np.unique(widths[counted]):
        rows = np.flatnonzero(counted & (widths == width))
        step = max(1, _TERMS // (int(width) * len(MULTIPLES)))
        for first in range(0, len(rows), step):
            chunk = rows[first : first + step]
            plain[chunk], linear[chunk] = _factors(counts, chunk, int(width), rho)
    return plain, linear


def _factors(counts: Counts, rows: Ints, width: int, rho: float) -> tuple[Floats, Floats]:
    """Factors of some rows with at most ``width`` - 1 events, each of shape (rows, 6)."""
    m1, m0 = counts.treated[rows], counts.control[rows]
    events, x1 = counts.events[rows], counts.treated_harmed[rows]
    log_p = _log_chances(m1, m0, events, width, math.log(rho))
    share = rho * m1 / (rho * m1 + m0)
    exact = log_sum(log_p[:, :, None] + np.arange(width)[:, None] * _LOG_MULTIPLES, axis=1)
    poisson = events[:, None] * np.log1p(share[:, None] * (MULTIPLES - 1.0))
    plain = x1[:, None] * _LOG_MULTIPLES - np.maximum(exact, poisson)

    mean = (np.exp(log_p) * np.arange(width)).sum(axis=1) / events
    linear = np.log1p((x1 / events)[:, None] * (MULTIPLES - 1.0))
    linear -= np.log1p(mean[:, None] * (MULTIPLES - 1.0))
    return plain, linear


def _log_chances(m1: Ints, m0: Ints, events: Ints, width: int, log_rho: float) -> Floats:
    """Log of P(X = x) for x in 0..width-1 at the odds ratio rho, shape (rows, width).

    Terms come from the ratio of neighbours, P(x+1)/P(x) = rho (R1-x)(K-x) / ((x+1)(R0-K+x+1)).
    K is at most 2 % of those at risk, but may still exceed the controls: x begins where the
    controls suffice.
    """
    x = np.arange(width - 1)
    lowest, highest = np.maximum(0, events - m0), np.minimum(events, m1)
    inside = (x >= lowest[:, None]) & (x < highest[:, None])
    up = np.where(inside, (m1[:, None] - x) * (events[:, None] - x), 1)
    down = np.where(inside, (x + 1) * ((m0 - events)[:, None] + x + 1), 1)
    steps = np.where(inside, np.log(up) - np.log(down) + log_rho, 0.0)
    log_p = np.zeros((len(events), width))
    np.cumsum(steps, axis=1, out=log_p[:, 1:])
    x = np.arange(width)
    log_p[(x < lowest[:, None]) | (x > highest[:, None])] = -np.inf
    chances: Floats = log_p - log_sum(log_p, axis=1)[:, None]
    return chances
