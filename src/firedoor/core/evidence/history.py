r"""The history test: an e-process against "the treated fare no worse than past good releases".

Where a fleet is too small for a control arm, or has admitted everybody, the past is what is
left. From X harmful events in past good releases at an exposure of M, the *reference* is an
upper bound of the rate, per signal and age bucket, that errs with probability alpha_ref in all.
A closing of m1 treated machines, x1 of them harmed, then gives each bet on a rate ratio g

    ln f  =  x1 ln g  -  (g-1) m1 rate,       rate = 1.5 times the reference

whose mean is at most 1 for a true rate up to ``rate``, for Poisson counts and for independent
Bernoulli outcomes of any chances, since 1 + p (g-1) <= exp(p (g-1)). The factor 1.5 is for drift:
fleets are not as they were. The error in all is alpha + alpha_ref. Bets and starting times are
those of :mod:`firedoor.core.evidence.mixture`.

*Shared shocks.* A power cut harms treated and control alike and says nothing of the release, but
is worse than history. So a closing counts only while the control arm is not above history
itself. For the control, each bet keeps a running sum that cannot fall below 0,

    G  <-  max(0, G)  +  x0 ln g  -  (g-1) m0 rate,

and the closing is *frozen*, factor min(f, 1), if ln sum of prior exp(max(0, G)) is then at or
above ln 3: what speaks for the release counts, what speaks against it does not. Once the controls
are as quiet as the reference again, the sums of large g fall quickly and those of small g slowly,
and the freeze ends.

This closing's own controls are asked, for a shock comes all at once, and a closing may come at a
moment that somebody's harm has chosen. Neither touches validity: no factor is above f.

Where all closings come at fixed moments a frozen one may count nothing at all, factor 1 (``mute``):
f rises with x1 and "not frozen" falls with x0, so that E[f; not frozen] <= E[f] P(not frozen) if,
given the past, failures of the two arms are independent or rise together. This was the rule before
there were other closings, and what was judged by it has to be judged so again.

*Liars.* A machine that holds the release and fails on purpose would be worse than any past. Each
process has k+1 rows: row r holds, for every bet by itself, the smallest wealth that leaving out at
most r harmed treated machines can give,

    H[r]  <-  min over d <= min(r, x1) of  H[r-d] + ln f(x1-d, m1),

and the last one speaks. Valid against k liars, fixed in advance, that act on all they see: given
what they do, the honest ones are at most m1 at risk, so on the path that leaves out just the liars
f has mean at most 1 (no bet is on a ratio below 1), and no minimum over paths is above that path.
In either process a machine is an event at most once. With k > 0 no freeze is mute: a lying control
that fails whenever f would be below 1 would give what is counted a mean above 1.

The history says "worse than used to be", and not whose fault it is: it may hold a release and
never shuts one.

Source: evidence.md 2.6; ADR 0029. The running sum is Page's CUSUM (1954); the freeze by the same
closing is ours.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firedoor.core.evidence import mixture
from firedoor.core.evidence.cluster import checked_size
from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.mixture import LOG_PRIOR, LOG_RATIOS, RATIOS, Wealth, frozen, log_sum
from firedoor.core.units import LogE

DRIFT: Final = 1.5
"""How much worse than the reference a fleet may have become without anybody's fault."""

FREEZE_AT: Final = math.log(3.0)
"""ln of how strongly the control arm must speak against history before the test is frozen.

Far below what a hold takes: a shock that both arms share must freeze the test before it is held
against the release. Source: ADR 0022.
"""

_HALVINGS: Final = 200
_MOST_EXACT: Final = 100_000  # events

_Place = TypeVar("_Place", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Past:
    """What past good releases showed in one age bucket.

    Attributes:
        events: Machines harmed (X), count >= 0.
        exposure: Machines, or machine-hours, at risk (M), >= 0.
    """

    events: int
    exposure: float

    def __post_init__(self) -> None:
        """Refuse a past that cannot be."""
        if self.events < 0 or not 0.0 <= self.exposure < math.inf:
            raise ValueError(f"no past has {self.events} events in {self.exposure}")


def reference(past: Mapping[_Place, Past], alpha_ref: float) -> dict[_Place, float]:
    """Bound the rate of every place (signal, age bucket) past good releases have been through.

    Args:
        past: Counts by place.
        alpha_ref: Chance that any of the bounds is below its true rate, in (0, 1); divided
            evenly among them.

    Returns:
        Rates > 0 in the unit of the exposure; inf where nothing was ever at risk.

    Raises:
        ValueError: alpha_ref is no probability.
    """
    each = alpha_ref / max(len(past), 1)
    # A chance of nothing asks for a bound without end.
    return {place: rate_bound(seen, each) if each else math.inf for place, seen in past.items()}


def rate_bound(past: Past, alpha: float) -> float:
    """Upper bound of one rate: the largest at which so few events still have a chance of alpha.

    Returns:
        Rate > 0, inf without exposure. Exact for Poisson counts, ln(1/alpha)/M without events;
        on the safe side for independent Bernoulli outcomes (Anderson and Samuels 1967).

    Raises:
        ValueError: alpha is not in (0, 1).

    Source: Garwood 1936, the gamma form of the bound of Clopper and Pearson.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha {alpha} is not in (0, 1)")
    if past.exposure == 0.0:
        return math.inf
    enough, events = math.log(alpha), past.events
    # Chernoff: beyond X + E + sqrt(E^2 + 2 X E), E = ln(1/alpha), the chance is smaller already.
    low, high = 0.0, events - enough + math.sqrt(enough * enough - 2.0 * enough * events) + 1.0
    # Beyond, that bound is within a few thousandths of the exact one, which would have to
    # add up thousands of terms whose logarithms cancel.
    for _ in range(_HALVINGS if events <= _MOST_EXACT else 0):
        middle = (low + high) / 2.0
        if not low < middle < high:
            break
        if _log_chance_of_at_most(events, middle) > enough:
            low = middle
        else:
            high = middle
    return high / past.exposure


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """State of S history processes.

    Attributes:
        wealth: The mixture over bets and starting times, ``height`` rows for each process.
        control: Running sums of the control arm (G), shape (S, J), each >= 0.
    """

    wealth: Wealth
    control: Floats

    @property
    def height(self) -> int:
        """Liars that are spared, and one."""
        return len(self.wealth.epochs) // max(1, len(self.control))

    def __eq__(self, other: object) -> bool:
        """Equal to the last bit."""
        return (
            isinstance(other, History)
            and self.wealth == other.wealth
            and np.array_equal(self.control, other.control)
        )

    __hash__ = None  # type: ignore[assignment]  # a value made of arrays has no cheap hash

    def __len__(self) -> int:
        """S."""
        return len(self.control)

    def take(self, rows: Sequence[int] | Ints) -> Self:
        """Only some processes, numbered from 0, in this order."""
        chosen = np.asarray(rows, dtype=np.int64)
        those = (chosen[:, None] * self.height + np.arange(self.height)).reshape(-1)
        return type(self)(self.wealth.take(those), frozen(self.control[chosen]))

    @classmethod
    def stacked(cls, parts: Sequence[Self]) -> Self:
        """The processes of several states that spare as many liars, one below the other."""
        return cls(
            Wealth.stacked([part.wealth for part in parts]),
            frozen(np.concatenate([part.control for part in parts])),
        )


def start(streams: int, liars: int = 0) -> History:
    """E = 1 for each of the streams, nothing frozen; so many liars are spared in each, >= 0."""
    height = liars + 1
    control = frozen(np.zeros((streams, len(RATIOS))))
    return History(mixture.start(streams * height), control)


def absorb(
    history: History,
    counts: Counts,
    rates: ArrayLike,
    epoch: ArrayLike,
    *,
    cluster: ArrayLike = 1,
    mute: ArrayLike = False,
) -> History:
    """Take one closing of one age bucket into each of S streams.

    Args:
        history: State before, S streams.
        counts: The closings, S rows; a row without control is never frozen by itself.
        rates: Reference of the row's signal and age bucket, events per machine at risk, without
            the drift; a scalar or shape (S,), > 0. inf where there is none: the factor is 1.
        epoch: Present epoch, a scalar or shape (S,), from 0.
        cluster: Largest number of machines harmed together (c), a scalar or shape (S,): every
            count is divided by it.
        mute: A frozen closing counts nothing, a scalar or shape (S,): only for streams all of
            whose closings come at fixed moments, and that spare no liar.

    Returns:
        The state after; the argument is untouched.

    Raises:
        ValueError: A rate is 0, negative or not a number: it would make any event a proof; or a
            cluster size is below 1.
    """
    size = checked_size(cluster)[:, None]
    rate = np.broadcast_to(np.asarray(rates, dtype=np.float64), counts.treated.shape)
    if not np.all(rate > 0.0):
        raise ValueError("a reference rate is above 0, even where nothing ever happened")
    known = np.isfinite(rate)
    allowed = DRIFT * np.where(known, rate, 1.0)
    controls = log_factors(counts.control_harmed, counts.control * allowed) / size
    summed = np.maximum(history.control + np.where(known[:, None], controls, 0.0), 0.0)
    counted = known & ~_above(summed)
    left_out = np.arange(min(history.height - 1, counts.treated_harmed.max(initial=0)) + 1)
    harmed = counts.treated_harmed[:, None] - left_out
    gained = log_factors(harmed, (counts.treated * allowed)[:, None]) / size[:, None]
    still = np.where(
        np.broadcast_to(mute, known.shape)[:, None, None], 0.0, np.minimum(gained, 0.0)
    )
    kept = np.where(counted[:, None, None], gained, still)
    kept = np.where(known[:, None, None], kept, 0.0)
    kept = np.where((harmed >= 0)[:, :, None], kept, np.inf)
    epochs = np.repeat(epoch, history.height) if np.ndim(epoch) else epoch
    opened = mixture.open_through(history.wealth, epochs)
    return History(mixture.absorb_worst(opened, kept), frozen(summed))


def log_factors(events: Ints, allowed: Floats) -> Floats:
    """Log of the factors of events against the number allowed, shape (..., J), finite.

    Args:
        events: x, any shape.
        allowed: Events the reference allows on average (m times rate), >= 0, a shape that
            broadcasts to that of the events.
    """
    factors: Floats = events[..., None] * LOG_RATIOS - allowed[..., None] * (RATIOS - 1.0)
    return factors


def is_frozen(history: History) -> NDArray[np.bool_]:
    """Whether the control arm was above history in the last closing, shape (S,)."""
    return _above(history.control)


def log_e(history: History) -> Floats:
    """Log of E against "no worse than history" whatever the liars did, shape (S,), finite."""
    last = np.arange(history.height - 1, len(history.wealth.epochs), history.height)
    return mixture.log_e(history.wealth.take(last))


def merged(history: History) -> LogE:
    """Log of the mean of all E, finite: valid whatever the processes have in common."""
    each = log_e(history)
    return LogE(float(log_sum(each, axis=0)) - math.log(len(each)))


def _above(control: Floats) -> NDArray[np.bool_]:
    return np.asarray(log_sum(LOG_PRIOR + control, axis=1) >= FREEZE_AT)


def _log_chance_of_at_most(events: int, mean: float) -> float:
    """Log of P(Poisson(mean) <= events), from the likeliest term outwards."""
    top = min(events, int(mean))
    peak = top * math.log(mean) - mean - math.lgamma(top + 1.0)
    total = term = 1.0
    for x in range(top, 0, -1):
        term *= x / mean
        total += term
        if term < total * 1e-17:
            break
    term = 1.0
    for x in range(top + 1, events + 1):
        term *= mean / x
        total += term
        if term < total * 1e-17:
            break
    return peak + math.log(total)
