r"""The clearance test: an e-process against "worse than control by at least delta".

Counts are one outcome per machine, closed at maturity: harmed, or heard of unharmed; silence is
harm, or a crash that stops the reporting would clear itself. A bet beta in (0, 1) on safety gets

    ln f  =  x1 ln(1 - beta)  +  x0 ln(1 + beta m1/m0)  +  beta delta I

from a class of m1 treated and m0 control machines of which x1 and x0 were harmed and I of the
treated had installed. delta is excess harmed machines per installed machine. Under "the excess
is at least delta" the mean of f is at most 1 for every base rate, even one that drifts, for
Poisson and for independent Bernoulli outcomes: ln E[f] <= beta (delta I - m1 p1 + m1 p0) <= 0.
Without controls the middle term is missing, which is still valid because p0 >= 0.

Seven bets are mixed. Six are fixed and hold half the wealth; the seventh holds the other half
and is set anew for each class from *earlier* classes only, so that it grows fastest at the
delta the policy asks about, if treated and control behave alike. No bet depends on which delta
is asked about, so one state answers for every delta at once:

    ln E(delta) = ln sum over k of  weight_k exp(intercept_k + slope_k delta)
    U           = the delta at which E reaches 1/alpha:  P(excess > U ever) <= alpha

and "U <= delta" is the very same event as "E(delta) >= 1/alpha". The window of the valve and
the clearance of the door are thus one number and cost one alpha.

Assumption: given the past, machines are harmed independently of each other within a class, or in
clusters of known size; installed machines in flight are like those that have matured (random
admission).

Source: evidence.md 2.2 (factor, proof), 2.7 (bets, the half mixture). The common bound for all
delta is ours: evidence.md uses the six fixed bets for U and the half mixture for the fixed delta.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from firedoor.core.evidence.cluster import checked_size
from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.mixture import frozen, log_sum

FIXED_BETS: Final = frozen(np.array([1 / 64, 1 / 16, 1 / 4, 0.5, 0.8, 0.98]))
"""beta of the bets that never change, shape (6,): large ones clear fast, small ones bear harm."""

LOG_WEIGHTS: Final = frozen(np.log([1 / 12] * 6 + [1 / 2]))
"""Log of the wealth each bet starts with, shape (7,): the fixed bets, then the aimed one."""

_LARGEST_BET: Final = 0.98  # at 1 a single harmed machine would end the bet
_HALVINGS: Final = 50  # of [0, 1]: to 1e-15
_MARGIN: Final = 1e-6  # far above the rounding of a log E


@dataclass(frozen=True, slots=True, eq=False)
class Clearance:
    """State of S clearance processes.

    Attributes:
        delta: What the seventh bet is aimed at, in (0, 1), excess harmed per installed machine.
        intercepts: ln of each bet's wealth at delta = 0, shape (S, 7).
        slopes: Growth of that per unit of delta, shape (S, 7), machines >= 0.
        control: Control machines matured, shape (S,), count >= 0.
        control_harmed: Of those, harmed, shape (S,).
    """

    delta: float
    intercepts: Floats
    slopes: Floats
    control: Ints
    control_harmed: Ints

    def __eq__(self, other: object) -> bool:
        """Equal to the last bit."""
        return (
            isinstance(other, Clearance)
            and self.delta == other.delta
            and np.array_equal(self.intercepts, other.intercepts)
            and np.array_equal(self.slopes, other.slopes)
            and np.array_equal(self.control, other.control)
            and np.array_equal(self.control_harmed, other.control_harmed)
        )

    __hash__ = None  # type: ignore[assignment]  # a value made of arrays has no cheap hash

    def take(self, rows: Sequence[int] | Ints) -> Self:
        """Only some processes, numbered from 0, in this order."""
        control, control_harmed = self.control[rows], self.control_harmed[rows]
        control.flags.writeable = control_harmed.flags.writeable = False
        return type(self)(
            self.delta,
            frozen(self.intercepts[rows]),
            frozen(self.slopes[rows]),
            control,
            control_harmed,
        )

    @classmethod
    def stacked(cls, parts: Sequence[Self]) -> Self:
        """The processes of several states, one below the other; all aimed at the same delta."""
        control = np.concatenate([part.control for part in parts])
        control_harmed = np.concatenate([part.control_harmed for part in parts])
        control.flags.writeable = control_harmed.flags.writeable = False
        return cls(
            parts[0].delta,
            frozen(np.concatenate([part.intercepts for part in parts])),
            frozen(np.concatenate([part.slopes for part in parts])),
            control,
            control_harmed,
        )


def start(streams: int, delta: float) -> Clearance:
    """Nothing has matured: E = 1 and U = 1.

    Raises:
        ValueError: ``delta`` is outside (0, 1).
    """
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta {delta} is not in (0, 1)")
    nothing = np.zeros((streams, len(LOG_WEIGHTS)))
    none = np.zeros(streams, dtype=np.int64)
    nothing.flags.writeable = none.flags.writeable = False
    return Clearance(delta, nothing, nothing, none, none)


def absorb(clearance: Clearance, counts: Counts, *, cluster: ArrayLike = 1) -> Clearance:
    """Take one matured class into each of S streams.

    Args:
        clearance: State before, S streams.
        counts: The classes, S rows. A row without treated machines only teaches the base rate.
        cluster: Largest number of machines harmed together (c), whole, >= 1, a scalar or shape
            (S,). Every count is divided by it, see :mod:`firedoor.core.evidence.cluster`.

    Returns:
        The state after; the argument is untouched.

    Raises:
        ValueError: A cluster size below 1.
    """
    size = checked_size(cluster)[:, None]
    ratio = counts.treated / np.maximum(counts.control, 1)
    bets = np.concatenate(
        [np.broadcast_to(FIXED_BETS, (len(ratio), 6)), aimed_bet(clearance, counts)[:, None]],
        axis=1,
    )
    gained = log_factors(bets, counts.treated_harmed, counts.control_harmed, ratio)
    control = clearance.control + counts.control
    control_harmed = clearance.control_harmed + counts.control_harmed
    control.flags.writeable = control_harmed.flags.writeable = False
    return Clearance(
        clearance.delta,
        frozen(clearance.intercepts + gained / size),
        frozen(clearance.slopes + bets * counts.installed[:, None] / size),
        control,
        control_harmed,
    )


def log_factors(bets: Floats, treated_harmed: Ints, control_harmed: Ints, ratio: Floats) -> Floats:
    """Log of the factors at delta = 0, shape (S, bets).

    Args:
        bets: beta, shape (S, bets), in [0, 1).
        treated_harmed: x1, shape (S,).
        control_harmed: x0, shape (S,); 0 where there is no control.
        ratio: m1/m0, shape (S,), >= 0.
    """
    factors: Floats = np.log1p(-bets) * treated_harmed[:, None].astype(np.float64)
    factors += np.log1p(bets * ratio[:, None]) * control_harmed[:, None].astype(np.float64)
    return factors


def aimed_bet(clearance: Clearance, counts: Counts) -> Floats:
    r"""The bet that grows fastest at the policy's delta, were treated and control alike.

    With l the base rate it maximises  l ln(1-b) + (l/r) ln(1+b r) + b delta,  r = m1/m0, hence

        -delta m1 b^2  +  (delta (m1-m0) - l (m1+m0)) b  +  delta m0  =  0

    l is guessed from earlier classes, (X0 + 1/2) / (M0 + 5/delta), so the bet is predictable;
    of this class it reads the exposures only.

    Returns:
        beta, shape (S,), in [0, 0.98].

    Source: evidence.md 2.7.
    """
    delta = clearance.delta
    base = (clearance.control_harmed + 0.5) / (clearance.control + 5.0 / delta)
    # A row without treated machines has no bet to lose; 1 keeps the division defined.
    m1, m0 = np.maximum(counts.treated, 1).astype(np.float64), counts.control
    a, b, c = -delta * m1, delta * (m1 - m0) - base * (m1 + m0), delta * m0
    root = np.sqrt(b * b - 4.0 * a * c)
    # Of the two forms of the positive root, the one that does not cancel.
    rising = b >= 0.0
    bet = np.where(rising, (b + root) / (-2.0 * a), 2.0 * c / np.where(rising, 1.0, root - b))
    return np.clip(bet, 0.0, _LARGEST_BET)


def log_e(clearance: Clearance, delta: Floats | float) -> Floats:
    """Log of E(delta) for a delta of any size, a scalar or shape (S,); result of shape (S,).

    Raises:
        ValueError: A delta is not finite.
    """
    asked = np.atleast_1d(np.asarray(delta, dtype=np.float64))[:, None]
    if not np.isfinite(asked).all():
        raise ValueError("delta is a number of harmed machines per installed machine")
    return log_sum(LOG_WEIGHTS + clearance.intercepts + clearance.slopes * asked, axis=1)


def upper(clearance: Clearance, alpha: float) -> Floats:
    """U: excess harmed per installed machine that can be excluded, shape (S,), in (0, 1].

    Args:
        clearance: State of S streams.
        alpha: Chance that the bound is ever below the true excess, in (0, 1).

    Returns:
        The upper end of the last bracket of a bisection: never below the root, never 0 (the
        window is a budget divided by it), and 1 until something can be excluded.

    Raises:
        ValueError: alpha is not in (0, 1).

    Source: evidence.md 2.7, 2.9.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha {alpha} is not in (0, 1)")
    enough = -math.log(alpha)
    found = np.ones(len(clearance.control))
    # E grows with delta: where not even 1 is excluded, as long as little has matured, no halving
    # would find anything. Most boardings in flight are there at most ticks.
    rows = np.flatnonzero(log_e(clearance, 1.0) >= enough - _MARGIN)
    if not len(rows):
        return found
    asked = clearance.take(rows)
    low, high = np.zeros(len(rows)), np.ones(len(rows))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        excluded = log_e(asked, middle) >= enough
        high = np.where(excluded, middle, high)
        low = np.where(excluded, low, middle)
    # The loop never asks about 1 itself: nothing can be harmed more often than always.
    found[rows] = high
    return found


def installs_to_clear(
    clearance: Clearance, alpha: float, *, treated: int, cluster: int = 1
) -> float | None:
    """Installs still missing until the policy's delta can be excluded, at the present base rate.

    Supposes that from here on treated and control are harmed alike, at the rate the controls
    showed, in the proportion of treated to control seen so far.

    Args:
        clearance: State of one stream.
        alpha: As in :func:`upper`.
        treated: Treated machines matured so far, count >= 0.
        cluster: As in :func:`absorb`.

    Returns:
        Machines >= 0, 0 if nothing is missing, None if no number of installs would do because
        the base rate outweighs delta.

    Source: growth rates of the bets of evidence.md 2.7.
    """
    enough = -math.log(alpha)
    if log_e(clearance, clearance.delta)[0] >= enough:
        return 0.0
    m1, m0 = max(treated, 1), int(clearance.control[0])
    expected = Counts.of(treated=m1, control=m0, treated_harmed=0, control_harmed=0)
    bets = np.append(FIXED_BETS, aimed_bet(clearance, expected))
    base = clearance.control_harmed[0] / max(m0, 1)
    per_install = base * np.log1p(-bets) + clearance.delta * bets
    per_install += base * m0 / m1 * np.log1p(bets * m1 / max(m0, 1))
    per_install /= cluster
    growing = per_install > 0.0
    if not growing.any():
        return None
    now = LOG_WEIGHTS + clearance.intercepts[0] + clearance.slopes[0] * clearance.delta
    # A sum of exponentials is convex: below the level now, it crosses once, and no later than
    # its fastest term alone would.
    with np.errstate(over="ignore"):
        low, high = 0.0, float(((enough - now[growing]) / per_install[growing]).min())
    if math.isinf(high):
        return None  # A delta so small that no number of machines is large enough.
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        reached = log_sum(now + per_install * middle, axis=0) >= enough
        low, high = (low, middle) if reached else (middle, high)
    return high
