r"""Wealth spread over bets and over starting times.

A stream bets against its null with several *rate ratios* at once, because nobody knows how
harmful a release is, and starts anew in every *epoch*, because nobody knows when the harm
begins. Epoch k = 0, 1, 2, ... receives the share 1 / ((k+1)(k+2)) of the stream's wealth, split
over the ratios by the prior; what no epoch has received yet is cash:

    shares of epochs 0..n-1  sum to  1 - 1/(n+1)         cash after n epochs  =  1/(n+1)
    E  =  cash  +  sum over j of exp(H_j)

H_j is the log wealth on ratio j. Wealth placed later on the same ratio shares its future
factors, so starting times need no state of their own. E is a weighted mean of e-processes with
weights that sum to one, hence an e-process under any dependence between them; harm that starts
in epoch k costs ln((k+1)(k+2)) nats against a test that knew the hour.

Everything is in logarithms: a single control event against the ratio 10^6 divides by a million.

Source: evidence.md 2.3 (ratios, prior), 2.5 (starting times); the recursion is that of
Shiryaev and Roberts with summable weights, as in e-detectors (Shin, Ramdas, Rinaldo 2022).
"""

from dataclasses import dataclass
from typing import Final

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
    # 1/(before+1) - 1/(opened+1), without the cancellation of late epochs.
    with np.errstate(divide="ignore"):
        share = np.log((opened - before) / ((before + 1.0) * (opened + 1.0)))
    placed = np.logaddexp(wealth.placed, share[:, None] + LOG_PRIOR)
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


def log_e(wealth: Wealth) -> Floats:
    """Log of E of each stream, shape (S,), finite."""
    cash = -np.log1p(wealth.epochs.astype(np.float64))
    return log_sum(np.concatenate([cash[:, None], wealth.placed], axis=1), axis=1)


def log_sum(logs: Floats, *, axis: int) -> Floats:
    """Log of the sum of exp(logs) along an axis; each sum needs a finite term."""
    top: Floats = logs.max(axis=axis, keepdims=True)
    total: Floats = np.log(np.exp(logs - top).sum(axis=axis)) + np.squeeze(top, axis=axis)
    return total
