r"""Wealth spread over bets and over starting times.

A stream bets against its null with several *rate ratios* at once, because nobody knows how
harmful a release is, and starts anew in every *epoch*, because nobody knows when the harm
begins. Epoch 0 receives the share 1 - c of the stream's wealth and epoch k = 1, 2, ... the share
c / (k (k+1)), split over the ratios by the prior; what no epoch has received yet is cash:

    shares of epochs 0..n-1  sum to  1 - c/n             cash after n >= 1 epochs  =  c/n
    E  =  cash  +  sum over j of exp(H_j)

H_j is the log wealth on ratio j. Wealth placed later on the same ratio shares its future
factors, so starting times need no state of their own. E is a weighted mean of e-processes with
weights that sum to one, hence an e-process under any dependence between them; harm that starts
with the release costs ln(1/(1-c)) nats against a test that knew the hour, harm that starts in
epoch k >= 1 costs ln(k (k+1) / c).

Everything is in logarithms: a single control event against the ratio 10^6 divides by a million.

Source: evidence.md 2.3 (ratios, prior), 2.5 (starting times); the recursion is that of
Shiryaev and Roberts with summable weights, as in e-detectors (Shin, Ramdas, Rinaldo 2022); the
shares are those of ADR 0012.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from firedoor.core.evidence.counts import Floats, Ints


def frozen(array: Floats) -> Floats:
    """Make an array read-only: what a state holds is a value."""
    array.flags.writeable = False
    return array


RATIOS: Final = frozen(np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1e3, 1e6]))
"""Rate ratios g_j that are bet on, shape (J,). All above 1, or the bet would point the wrong way.

10^6 stands for a brick: harm that control machines never show.
"""

PRIOR: Final = frozen(np.array([0.10, 0.10, 0.12, 0.10, 0.10, 0.10, 0.08, 0.08, 0.07, 0.15]))
"""Share of the wealth on each ratio, shape (J,), sum 1."""

LATE: Final = 0.25
"""c: share of the wealth kept for harm that does not start with the release, in (0, 1)."""

_EPOCH: Final = 60  # buckets
_DAY: Final = 1440  # buckets; ends the even epochs
_LOG_GROWTH: Final = math.log(1.03)

LOG_RATIOS: Final = frozen(np.log(RATIOS))
LOG_PRIOR: Final = frozen(np.log(PRIOR))


@dataclass(frozen=True, slots=True, eq=False)
class Wealth:
    """State of S mixtures.

    Attributes:
        placed: ln of the wealth on each ratio (H), shape (S, J); -inf before the first epoch.
        epochs: Epochs that have received their share, shape (S,), count >= 0.
    """

    placed: Floats
    epochs: Ints

    def __eq__(self, other: object) -> bool:
        """Equal to the last bit."""
        return (
            isinstance(other, Wealth)
            and np.array_equal(self.placed, other.placed)
            and np.array_equal(self.epochs, other.epochs)
        )

    __hash__ = None  # type: ignore[assignment]  # a value made of arrays has no cheap hash

    def take(self, rows: Sequence[int] | Ints) -> Self:
        """Only some mixtures, numbered from 0, in this order."""
        epochs = self.epochs[rows]
        epochs.flags.writeable = False
        return type(self)(frozen(self.placed[rows]), epochs)

    @classmethod
    def stacked(cls, parts: Sequence[Self]) -> Self:
        """The mixtures of several states, one below the other."""
        epochs = np.concatenate([part.epochs for part in parts])
        epochs.flags.writeable = False
        return cls(frozen(np.concatenate([part.placed for part in parts])), epochs)


def epoch_of(buckets: int) -> int:
    """Number of the epoch that a bucket lies in, from 0.

    Sixty buckets each on the first 1,440 (hours of the first day, at the usual 60 s), then each
    3 % of the time that has passed: harm waits for the next epoch no longer than that share of
    its own age, and a week has 90 epochs.

    Args:
        buckets: Whole buckets since the release boarded, count >= 0.

    Source: the open benchmark. With daily epochs harm that began at hour 33 waited for hour 48:
    57 machines instead of 18 (docs/explanation/benchmark.md, table G).
    """
    if buckets < _DAY:
        return buckets // _EPOCH
    return _DAY // _EPOCH + math.floor(math.log(buckets / _DAY) / _LOG_GROWTH)


def start(streams: int) -> Wealth:
    """All cash, nothing placed: E = 1 for each of the streams."""
    epochs = np.zeros(streams, dtype=np.int64)
    epochs.flags.writeable = False
    return Wealth(frozen(np.full((streams, len(RATIOS)), -np.inf)), epochs)


def open_through(wealth: Wealth, epoch: ArrayLike) -> Wealth:
    """Place the shares of all epochs up to and including this one that have none yet.

    Epochs pass whether or not anything closes in them, so many may be due at once; their
    shares telescope and are placed in one step.

    Args:
        wealth: State of S streams.
        epoch: Number of the present epoch, from 0: a scalar or shape (S,). An epoch that is
            open already stays as it is.

    Returns:
        The state from which this epoch's factors are absorbed. E is unchanged.
    """
    due = np.maximum(np.asarray(epoch, dtype=np.int64) + 1, wealth.epochs)
    if np.array_equal(due, wealth.epochs):
        return wealth
    opened, before = due.astype(np.float64), wealth.epochs.astype(np.float64)
    # LATE/before - LATE/opened, without the cancellation of late epochs; all but LATE/opened
    # where nothing had been placed.
    later = LATE * (opened - before) / (np.maximum(before, 1.0) * opened)
    with np.errstate(divide="ignore"):
        share = np.log(np.where(before == 0.0, 1.0 - LATE / opened, later))
    placed = _log_add(wealth.placed, share[:, None] + LOG_PRIOR)
    due.flags.writeable = False
    return Wealth(frozen(placed), due)


def absorb(wealth: Wealth, log_factors: Floats) -> Wealth:
    """Multiply the wealth on each ratio by its factor.

    Args:
        wealth: State of S streams.
        log_factors: ln of the factors, shape (S, J), finite. The mean of each factor given the
            past must be at most 1 under the null; this is all that validity needs.
    """
    return Wealth(frozen(wealth.placed + log_factors), wealth.epochs)


def absorb_worst(wealth: Wealth, log_factors: Floats) -> Wealth:
    """Let each bet of S streams go on from the least that leaving out up to k events can give.

    Args:
        wealth: State with k+1 rows for each stream, those of one stream together: row r has left
            out at most r events so far.
        log_factors: ln of the factors, shape (S, d, J), d <= k+1: of [:, i] with i events left out
            now. inf where there are not so many.

    Returns:
        The state in which row r of each stream is the smallest of row r-i times factor i, over
        all i.
    """
    streams, depth, bets = log_factors.shape
    before = wealth.placed.reshape(streams, -1, bets)
    worst = before + log_factors[:, :1]
    rows = before.shape[1]
    for d in range(1, depth):
        spared = before[:, : rows - d] + log_factors[:, d : d + 1]
        np.minimum(worst[:, d:], spared, out=worst[:, d:])
    return Wealth(frozen(worst.reshape(-1, bets)), wealth.epochs)


def log_e(wealth: Wealth) -> Floats:
    """Log of E of each stream, shape (S,), finite."""
    opened = wealth.epochs.astype(np.float64)
    cash = np.log(np.where(opened == 0.0, 1.0, LATE / np.maximum(opened, 1.0)))
    # A maximum is exact in any order, and six times as fast along the long axis.
    top = np.maximum(np.ascontiguousarray(wealth.placed.T).max(axis=0), cash)
    total = np.exp(wealth.placed - top[:, None]).sum(axis=1) + np.exp(cash - top)
    summed: Floats = np.log(total) + top
    return summed


def log_sum(logs: Floats, *, axis: int) -> Floats:
    """Log of the sum of exp(logs) along an axis; each sum needs a finite term."""
    top: Floats = logs.max(axis=axis, keepdims=True)
    total: Floats = np.log(np.exp(logs - top).sum(axis=axis)) + np.squeeze(top, axis=axis)
    return total


def _log_add(one: Floats, other: Floats) -> Floats:
    """Log of exp(one) + exp(other), other finite: what np.logaddexp says at a third of the time."""
    added: Floats = np.maximum(one, other) + np.log1p(np.exp(-np.abs(one - other)))
    return added
