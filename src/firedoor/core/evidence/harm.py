r"""The harm test: an e-process against "the treated fare no worse than the control".

One closing reveals K = x1 + x0 newly harmed members of a pool that held R1 treated and R0 control
ones. Cards were dealt at random, so if harm does not depend on the card, the K cards are a
random draw from the pool's: x1 is hypergeometric, whatever the failure rate, whatever the
correlation between machines. Each bet on a rate ratio g divides what it saw by what it expected:

    exact     ln f  =  x1 ln g  -  ln E[g^X],    X hypergeometric(R1 + R0, R1, K)
    binomial  ln f  =  x1 ln g  -  ln E[g^X],    X binomial(K, w)
    linear    ln f  =  ln(1 + y (g-1))  -  ln(1 + w (g-1)),     y = x1 / K

with w = R1 / (R1 + R0). *exact* is the likelihood ratio of Fisher's noncentral hypergeometric
law and has mean exactly 1. The hypergeometric is smaller than the binomial in convex order and
g^x is convex, so *binomial* has mean at most 1: the cheaper bound. *linear* has mean exactly 1
as soon as E[y] = w, and since it is bounded in K, a burst cannot fake evidence in it and a
shared outage cannot drown it. With K = 1 all three are the same.

E = (E_plain + E_linear) / 2, each with its own wealth; plain is exact, or binomial where exact
would be long. A closing without events, or with one arm empty, has the factor 1.

Assumption: sealed decks (cohorts.md 2). Without random admission *plain* also needs machines
that fail independently within a cell.

Source: cohorts.md 1.5 and 2 (factors, theorem), evidence.md 2.2 to 2.4; Hoeffding 1963 for the
convex order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firedoor.core.evidence import mixture
from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.mixture import LOG_RATIOS, RATIOS, Wealth, log_sum

EXACT_SUPPORT: Final = 1024
"""Longest support of the hypergeometric for which the exact factor is computed.

The cost of a row grows with its support, and a thousand events in one closing need no sharper
factor. The choice looks at K, R1 and R0 only, which are known before x1: it keeps the mean of
the factor at most 1.
"""

_LONGEST_SERIES: Final = 48  # harmed treated machines: 10^6 to this power is still a number
_TERMS: Final = 1 << 20  # largest number of terms held at once: 8 MiB an array
_CACHED: Final = 1 << 15  # of those that are gone through again and again: 256 KiB

_LN_2: Final = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class Harm:
    """State of S harm processes: the wealth of both factors, which start in the same epochs."""

    plain: Wealth
    linear: Wealth


class Factors(NamedTuple):
    """ln of the factors of S closings, shape (S, d, J): row d leaves d harmed treated ones out.

    Where fewer were harmed than a row leaves out it is infinite: nobody's worst case.
    """

    plain: Floats
    linear: Floats


def start(streams: int) -> Harm:
    """E = 1 for each of the streams."""
    return Harm(mixture.start(streams), mixture.start(streams))


def absorb(harm: Harm, counts: Counts, epoch: ArrayLike) -> Harm:
    """Take one closing into each of S streams.

    Args:
        harm: State before, S streams.
        counts: The closings, S rows. A row without events or with an empty arm changes nothing
            but the epoch.
        epoch: Present epoch, a scalar or shape (S,), from 0.

    Returns:
        The state after; the argument is untouched.
    """
    return Harm(
        mixture.absorb(mixture.open_through(harm.plain, epoch), plain(counts)),
        mixture.absorb(mixture.open_through(harm.linear, epoch), linear(counts)),
    )


def absorb_sparing(harm: Harm, counts: Counts, epoch: ArrayLike) -> Harm:
    r"""Take one closing into each of S streams, as if its worst witnesses had kept silent.

    A machine that plays dead once it holds the new release can fake harm. Up to k such liars,
    fixed in advance, may act on their cards, on everything seen so far, and together. Row r of
    the state holds, for every bet by itself, the smallest wealth that leaving out at most r
    harmed treated machines can give:

        H[r]  <-  min over d <= min(r, x1) of  H[r-d] + ln f(x1-d, R1-d; x0, R0-(k-d))

    A liar that has not spoken yet may sit among the controls, where it never speaks; R0 without
    k-d of them (but never fewer than were harmed) makes up for that.

    Valid: take the machines that do not lie. Given all labels of the liars, the others' cards
    are still uniform, over R1-a treated and R0-b control ones with a >= d, b <= k-d. E[g^X] and w
    grow with R1 and fall with R0, so on the path that leaves out exactly the machines that lied,
    f is at most a factor of mean 1. The minimum over all paths is at most that path's wealth,
    and it is found step by step because the wealth after a step is increasing in the wealth
    before it. With k = 0 this is :func:`absorb`.

    Args:
        harm: State with k+1 rows for each stream, those of one stream together.
        counts: The closings, S rows.
        epoch: Present epoch, a scalar or shape (S,), from 0.

    Returns:
        The state after. A stream's last row is its evidence that survives k liars.

    Source: the minimum over who to leave out is ours; the idea of answering for the worst f
    reports is that of evidence.md 5.2.
    """
    rows = len(harm.plain.epochs) // len(counts.treated)
    return absorb_factors(harm, sparing_factors(counts, rows - 1), epoch)


def sparing_factors(counts: Counts, liars: int) -> Factors:
    """The factors of S closings, for states of ``liars`` + 1 rows; see ``absorb_sparing``.

    Every stream that takes a closing multiplies by the same ones.
    """
    most = int(counts.treated_harmed.max(initial=0))
    possible = np.arange(min(liars, most) + 1) <= counts.treated_harmed[:, None]
    closing, left_out = np.nonzero(possible)
    x0 = counts.control_harmed[closing]
    spared = Counts.of(
        treated=counts.treated[closing] - left_out,
        control=np.maximum(counts.control[closing] - (liars - left_out), x0),
        treated_harmed=counts.treated_harmed[closing] - left_out,
        control_harmed=x0,
    )
    factors = Factors(*(np.full((*possible.shape, len(RATIOS)), np.inf) for _ in range(2)))
    factors.plain[possible], factors.linear[possible] = plain(spared), linear(spared)
    return factors


def absorb_factors(harm: Harm, factors: Factors, epoch: ArrayLike) -> Harm:
    """Take a closing, whose factors are known, into each stream; see ``absorb_sparing``."""
    rows = len(harm.plain.epochs) // len(factors.plain)
    epochs = np.repeat(epoch, rows) if np.ndim(epoch) else epoch
    return Harm(
        mixture.absorb_worst(mixture.open_through(harm.plain, epochs), factors.plain),
        mixture.absorb_worst(mixture.open_through(harm.linear, epochs), factors.linear),
    )


def log_e(harm: Harm) -> Floats:
    """Log of (E_plain + E_linear) / 2 of each stream, shape (S,)."""
    return halved(mixture.log_e(harm.plain), mixture.log_e(harm.linear))


def halved(plain: Floats, linear: Floats) -> Floats:
    """Log of (E_plain + E_linear) / 2 from the logs of both, of any shape."""
    return np.logaddexp(plain, linear) - _LN_2


def plain(counts: Counts) -> Floats:
    """Log of the exact factor, or of the binomial where exact would be long; shape (S, J)."""
    return _where_compared(counts, _plain)


def linear(counts: Counts) -> Floats:
    """Log of the linear factor, shape (S, J): one closing is one observation."""
    return _where_compared(counts, _linear)


def binomial(counts: Counts) -> Floats:
    """Log of the binomial factor, shape (S, J): mean at most 1, at a cost that knows no K."""
    gained: Floats = counts.treated_harmed[:, None] * LOG_RATIOS
    return gained - counts.events[:, None] * _log_expected(counts)


def _where_compared(counts: Counts, factors: Callable[[Counts], Floats]) -> Floats:
    """Factors of the rows that have events and both arms; exactly 0 elsewhere; shape (S, J).

    Most streams see no event in a tick, and what is not computed takes no time.
    """
    rows = np.flatnonzero((counts.events > 0) & (counts.treated > 0) & (counts.control > 0))
    if len(rows) == len(counts.treated):
        return factors(counts)
    spread = np.zeros((len(counts.treated), len(RATIOS)))
    spread[rows] = factors(counts.take(rows))
    return spread


def _plain(counts: Counts) -> Floats:
    factors = binomial(counts)
    most, support = np.minimum(counts.events, counts.treated), _support(counts)
    # With one event the binomial factor is the exact one.
    several = counts.events > 1
    short = several & (most < _LONGEST_SERIES)
    long = several & ~short & (support <= EXACT_SUPPORT)
    for rows, width in _batches(short, most, room=lambda _: _CACHED):
        factors[rows] = _by_moments(counts, rows, width)
    for rows, width in _batches(long, support, room=lambda width: _TERMS // width):
        factors[rows] = _by_terms(counts, rows, width)
    return factors


def _batches(
    chosen: NDArray[np.bool_], lengths: Ints, *, room: Callable[[int], int]
) -> Iterator[tuple[Ints, int]]:
    """Rows of about the same length that fit into memory together, and the length to pad to.

    Padded is to three significant bits: a row's arithmetic depends on nothing but the row.
    """
    unit = 1 << np.maximum(np.log2(np.maximum(lengths, 1)).astype(np.int64) - 2, 0)
    widths = -(-lengths // unit) * unit
    for width in np.unique(widths[chosen]).tolist():
        rows = np.flatnonzero(chosen & (widths == width))
        step = max(1, room(width) // len(RATIOS))
        for first in range(0, len(rows), step):
            yield rows[first : first + step], width


def _linear(counts: Counts) -> Floats:
    share = counts.treated_harmed / counts.events
    factors: Floats = np.log1p(share[:, None] * (RATIOS - 1.0)) - _log_expected(counts)
    return factors


def _log_expected(counts: Counts) -> Floats:
    """ln(1 + w (g-1)): what a bet on g expects of one event; shape (S, J)."""
    at_risk = np.maximum(counts.treated + counts.control, 1)
    expected: Floats = np.log1p((counts.treated / at_risk)[:, None] * (RATIOS - 1.0))
    return expected


def _support(counts: Counts) -> Ints:
    """Number of values x1 can take given K, R1 and R0, shape (S,), >= 1."""
    lowest = np.maximum(0, counts.events - counts.control)
    support: Ints = np.minimum(counts.events, counts.treated) - lowest + 1
    return support


def _by_moments(counts: Counts, rows: Ints, width: int) -> Floats:
    r"""Exact factors of some rows with at most ``width`` events among the treated, shape (rows, J).

    The factorial moments of the hypergeometric are products, and with u = g - 1 > 0 every term of

        E[g^X]  =  sum over i of E[binomial(X, i)] u^i
                =  1 + c_1 u (1 + c_2 u (1 + ...)),   c_i = (K-i+1)(R1-i+1) / (i (R1+R0-i+1))

    is positive: nothing cancels, nothing is normalised, no exponential is taken. c_i = 0 past the
    end, so padding changes no bit. Below 48 events even 10^6 to their power is a number.
    """
    R1, K = counts.treated[rows], counts.events[rows]
    total = R1 + counts.control[rows]
    u = RATIOS - 1.0
    nested = np.ones((len(rows), len(RATIOS)))
    for i in range(width, 0, -1):
        left = np.maximum((K - i + 1) * (R1 - i + 1), 0) * (i <= K)
        c = left / (i * np.maximum(total - i + 1, 1))
        nested *= c[:, None] * u
        if i > 1:
            nested += 1.0
    factors: Floats = counts.treated_harmed[rows][:, None] * LOG_RATIOS - np.log1p(nested)
    return factors


def _by_terms(counts: Counts, rows: Ints, width: int) -> Floats:
    """Exact factors of some rows whose support fits into ``width`` terms, shape (rows, J).

    Terms come from the ratio of neighbouring probabilities, P(x+1)/P(x) = (R1-x)(K-x) /
    ((x+1)(R0-K+x+1)), so no factorial is needed; dividing by their own sum makes the mean 1 up
    to rounding. x is counted from its lowest value, which cancels where there is no choice.
    """
    R1, R0 = counts.treated[rows], counts.control[rows]
    K, x1 = counts.events[rows], counts.treated_harmed[rows]
    lowest = np.maximum(0, K - R0)
    x = lowest[:, None] + np.arange(width - 1)
    inside = x < np.minimum(K, R1)[:, None]
    up = (R1[:, None] - x) * (K[:, None] - x)
    down = (x + 1) * ((R0 - K)[:, None] + x + 1)
    with np.errstate(divide="ignore"):
        steps = np.log(np.where(inside, up, 0) / np.where(inside, down, 1))
    log_p = np.zeros((len(rows), width))
    np.cumsum(steps, axis=1, out=log_p[:, 1:])
    tilted = log_p[:, :, None] + np.arange(width)[:, None] * LOG_RATIOS
    expected = log_sum(tilted, axis=1) - log_sum(log_p, axis=1)[:, None]
    factors: Floats = (x1 - lowest)[:, None] * LOG_RATIOS - expected
    return factors
