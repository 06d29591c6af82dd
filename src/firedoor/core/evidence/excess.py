r"""The excess test: an e-process against "worse than control by at most delta", and its bound.

The mirror image of clearance. Counts are the same, one outcome per machine of a matured class;
a bet b > 0 on harm beyond the tolerance gets

    ln f  =  x1 ln(1 + b)  +  x0 ln(1 - b m1/m0)  -  b delta m1,      b < m0/m1

from a class of m1 treated and m0 control machines of which x1 and x0 were harmed. Under "the
excess is at most delta" its mean is at most 1 for every base rate, even one that drifts, for
Poisson and for independent Bernoulli outcomes: ln E[f] <= b (m1 p1 - m1 p0 - delta m1) <= 0.

No bet depends on which delta is asked about, so one state answers for every delta at once:

    ln E(delta) = ln mean over k of exp(intercept_k - slope_k delta)
    L           = the delta at which E has fallen to 1/alpha:  P(excess < L ever) <= alpha

E(delta) is the harm test with an additive tolerance, and L says how much worse a release is
known to be: the number for the console beside a shut door.

delta counts harmed machines per *treated* machine, and not per machine known to have installed:
a machine that an install bricked never says that it installed. If every bricked machine were
missing from the exposure, L would have no upper limit. Since not every treated machine installs,
L is also a lower bound of the excess per installed machine, and stays below the U of clearance:
were the same b used in every class, then ln f(b) would be concave in b and 0 at b = 0, so it
could not be positive both at some b (L above delta) and at some -beta (U below delta). Bets that
differ from class to class may cross on odd data; who shows both shows min(L, U).

Assumption: given the past, machines are harmed independently of each other within a class. Where
harm comes in clusters of known size, see ``cluster`` of :func:`absorb`.

Source: evidence.md 2.2 (factor, proof), 2.3 (tolerance, lower bound).
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

BETS: Final = frozen(np.array([1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0]))
"""b of each bet, shape (8,): small ones sharpen the bound, large ones raise it from 0 early.

b grows fastest where the true harm is 1 + b times the tolerance asked about.
"""

_LOG_WEIGHT: Final = -math.log(len(BETS))
_LARGEST_SHARE: Final = 0.98  # of m0/m1, where a single harmed control machine would end the bet
_HALVINGS: Final = 50  # of [0, 1]: to 1e-15
_MARGIN: Final = 1e-6  # far above the rounding of a log E


@dataclass(frozen=True, slots=True, eq=False)
class Excess:
    """State of S excess processes.

    Attributes:
        intercepts: ln of each bet's wealth at delta = 0, shape (S, 8).
        slopes: What each loses per unit of delta, shape (S, 8), machines >= 0.
    """

    intercepts: Floats
    slopes: Floats

    def __eq__(self, other: object) -> bool:
        """Equal to the last bit."""
        return (
            isinstance(other, Excess)
            and np.array_equal(self.intercepts, other.intercepts)
            and np.array_equal(self.slopes, other.slopes)
        )

    __hash__ = None  # type: ignore[assignment]  # a value made of arrays has no cheap hash

    def take(self, rows: Sequence[int] | Ints) -> Self:
        """Only some processes, numbered from 0, in this order."""
        return type(self)(frozen(self.intercepts[rows]), frozen(self.slopes[rows]))

    @classmethod
    def stacked(cls, parts: Sequence[Self]) -> Self:
        """The processes of several states, one below the other."""
        return cls(
            frozen(np.concatenate([part.intercepts for part in parts])),
            frozen(np.concatenate([part.slopes for part in parts])),
        )


def start(streams: int) -> Excess:
    """Nothing has matured: E = 1 and L = 0."""
    nothing = frozen(np.zeros((streams, len(BETS))))
    return Excess(nothing, nothing)


def absorb(excess: Excess, counts: Counts, *, cluster: ArrayLike = 1) -> Excess:
    """Take one matured class into each of S streams.

    Args:
        excess: State before, S streams.
        counts: The classes, S rows; ``installed`` is not read. A row with an empty arm has the
            factor 1: without control there is no excess to speak of.
        cluster: Largest number of machines harmed together (c), whole, >= 1, a scalar or shape
            (S,). Every count is divided by it.

    Returns:
        The state after; the argument is untouched.

    Raises:
        ValueError: A cluster size below 1.
    """
    size = checked_size(cluster)[:, None]
    m1 = counts.treated[:, None].astype(np.float64)
    room = counts.control[:, None] / np.maximum(m1, 1.0)
    bets = np.where(m1 > 0.0, np.minimum(BETS, _LARGEST_SHARE * room), 0.0)
    gained = np.log1p(bets) * counts.treated_harmed[:, None]
    # Where there is no control the bet is 0, and so is its product with any odds.
    odds = m1 / np.maximum(counts.control[:, None], 1)
    gained += np.log1p(-bets * odds) * counts.control_harmed[:, None]
    return Excess(
        frozen(excess.intercepts + gained / size),
        frozen(excess.slopes + bets * m1 / size),
    )


def log_e(excess: Excess, delta: Floats | float) -> Floats:
    """Log of E(delta) against "at most delta worse": large means worse than that.

    Args:
        excess: State of S streams.
        delta: Tolerated excess, harmed per treated machine, >= 0, a scalar or shape (S,).

    Returns:
        Shape (S,), finite; falling in delta.

    Raises:
        ValueError: A tolerance is negative or not finite.
    """
    asked = np.atleast_1d(np.asarray(delta, dtype=np.float64))[:, None]
    if not np.all((asked >= 0.0) & np.isfinite(asked)):
        raise ValueError("a tolerance is a number of harmed machines per machine, >= 0")
    return log_sum(_LOG_WEIGHT + excess.intercepts - excess.slopes * asked, axis=1)


def lower(excess: Excess, alpha: float) -> Floats:
    """L: excess harmed per treated machine that is proved, shape (S,), in [0, 1).

    Args:
        excess: State of S streams.
        alpha: Chance that the bound is ever above the true excess, in (0, 1).

    Returns:
        The lower end of the last bracket of a bisection: never above the root, and 0 as long as
        not even "no worse" can be refuted.

    Raises:
        ValueError: alpha is not in (0, 1).

    Source: evidence.md 2.3.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha {alpha} is not in (0, 1)")
    enough = -math.log(alpha)
    found = np.zeros(len(excess.slopes))
    # E falls with delta: where not even 0 is refuted, no halving would find anything.
    rows = np.flatnonzero(log_e(excess, 0.0) >= enough - _MARGIN)
    if not len(rows):
        return found
    asked = excess.take(rows)
    low, high = np.zeros(len(rows)), np.ones(len(rows))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        proved = log_e(asked, middle) >= enough
        low = np.where(proved, middle, low)
        high = np.where(proved, high, middle)
    found[rows] = low
    return found
