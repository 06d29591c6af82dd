"""Silence: how long a machine may be quiet before it counts as harmed.

A machine that a release bricked sends nothing, so the gate's own request log is a harm signal.
Each machine gets a deadline ``D`` from its own past, fixed *before* its card is drawn; machines
with the same rounded deadline (a *class*) of one pool are judged together, at one moment::

    cut of the deck      + settle            close = cut + settle + D + bucket
    |--------------------|-----------------------------|
                          <------- window of D ------->
    silent = no sign of life in the window (close - D, close]

Signs of life right after the admission do not count (``settle``): a machine that dies of an
update was alive while it downloaded it. The same window is asked of both arms.

Harm may come later than that. The members of a *long* deck stay sealed after their first closing
and are looked at again after 2, 4, 8, 16 and 24 deadlines, each time for one whole deadline of
silence.

A deadline may be wrong without harm to validity: it depends on nothing that happens after the
card (cohorts.md 5); it costs power or time. Source of the rule: cohorts.md 5.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache

GAPS_KEPT = 32
"""Gaps remembered per machine. cohorts.md allows up to 99; 32 bytes a machine keep 1M in 32 MiB."""

GAPS_NEEDED = 5
"""Below this a machine's own gaps say too little and the stratum's deadline is used."""

HEARTBEATS_MISSED = 3
"""A machine with regular heartbeats is silent after this many are missing."""

COLD_PERIODS = 3
"""Before anything is known: this many of the kind's usual poll periods."""

CLASS_STEP = 1.5
"""Deadlines are rounded up to ``silence_min * CLASS_STEP ** k``, so that few classes exist."""

LAST_CLASS = 31
"""Largest class: with 5 min it is 2.7 years."""

LADDER = (1, 2, 4, 8, 16, 24)
"""In a long deck silence is looked for after so many deadlines, each time for one deadline.

Each look waits for at most half of the time that has passed, as harm may come at any age.
Source: ADR 0020.
"""

LONGEST_WATCH_MS = 7 * 24 * 3_600_000
"""No machine is locked longer than this, and signs of life are kept for a day more."""

_CODE_UNIT_MS = 16
_CODES_PER_OCTAVE = 8
_LAST_CODE = 255
_REMEMBERED = 4_096  # deadlines; there are few different ones, as gaps are rounded


def gap_code(gap_ms: int) -> int:
    """Round a gap up to an eighth of an octave and pack it into one byte.

    Args:
        gap_ms: Time between two session starts of a machine, >= 0 ms.

    Returns:
        Code in 1..255; 0 is kept for "no gap". ``gap_of_code`` of it is >= ``gap_ms``
        and < 1.1 * ``gap_ms`` between 100 ms and 1.8 years; longer gaps count as 1.8 years.
    """
    if gap_ms <= _CODE_UNIT_MS:
        return 1
    return min(_LAST_CODE, 1 + math.ceil(_CODES_PER_OCTAVE * math.log2(gap_ms / _CODE_UNIT_MS)))


@cache
def gap_of_code(code: int) -> int:
    """Give the longest gap, in ms, that has this code (1..255)."""
    octaves: float = (code - 1) / _CODES_PER_OCTAVE
    return math.ceil(_CODE_UNIT_MS * math.exp2(octaves))


def deadline(codes: Sequence[int], spread: float, *, cold_ms: int, silence_min_ms: int) -> int:
    """Silence deadline of a machine that sends no heartbeats.

    Args:
        codes: The machine's last gaps as codes, shape (k,), k >= 0; zeros are ignored.
        spread: The stratum's .99 quantile of gap / median gap, >= 1, dimensionless.
        cold_ms: Deadline of the stratum, for machines with fewer than five gaps.
        silence_min_ms: No deadline is shorter.

    Returns:
        D in ms: the largest gap or the median gap times ``spread``, whichever is longer.
    """
    known = sorted(filter(None, codes))
    if len(known) < GAPS_NEEDED:
        return max(cold_ms, silence_min_ms)
    median = gap_of_code(known[len(known) // 2])
    return max(gap_of_code(known[-1]), math.ceil(median * spread), silence_min_ms)


def heartbeat_deadline(heartbeat_ms: int, silence_min_ms: int) -> int:
    """Silence deadline, in ms, of a machine with regular heartbeats."""
    return max(HEARTBEATS_MISSED * heartbeat_ms, silence_min_ms)


@lru_cache(_REMEMBERED)
def deadline_class(deadline_ms: int, silence_min_ms: int) -> int:
    """Smallest class whose deadline is not shorter than ``deadline_ms``."""
    for k in range(LAST_CLASS):
        if class_deadline(k, silence_min_ms) >= deadline_ms:
            return k
    return LAST_CLASS


def class_deadline(k: int, silence_min_ms: int) -> int:
    """Deadline of class ``k``, in ms: ``silence_min * 1.5 ** k``, rounded up."""
    return math.ceil(silence_min_ms * math.pow(CLASS_STEP, k))


def ladder(deadline_ms: int) -> tuple[int, ...]:
    """The rungs of ``LADDER`` for machines with this deadline; the first is always there."""
    return tuple(n for n in LADDER if n == 1 or n * deadline_ms <= LONGEST_WATCH_MS)


def spread_of(ratios: Sequence[float]) -> float:
    """The .99 quantile of gap / median gap over a stratum; 1 where nothing is known."""
    if not ratios:
        return 1.0
    ordered = sorted(ratios)
    return max(1.0, ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)])
