"""What machines told: the looks by which it is compared with past good releases.

A deck has one at its cut, one whenever somebody spoke, and one before each look at a class and
before its members are released: no minute without an event is left out that would have been
counted had there been one. Source: ADR 0029.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from firedoor.core.cell import TOLD_EDGES_MS, Cell, Test
from firedoor.core.signal import CHECK, CRASH, TOLD, TOLD_EARLY
from firedoor.ports import Instant
from firedoor.services.flight import Flight
from firedoor.services.hearing import Hearing
from firedoor.services.pools import Closing, Mask, Pool

EVENTS = (CRASH, CHECK)
"""Streams of what machines say."""

_MINUTE_MS = 60_000
_ROUNDING = 1e-6  # minutes
_EDGES = (0.0, *map(float, TOLD_EDGES_MS), math.inf)


def look(
    flight: Flight, pool: Pool, hearing: Hearing, now: Instant, *, bucket_ms: int
) -> Closing | None:
    """Look at what a deck's members told; None where no signal that can be told decides."""
    if pool.cut_at is None or not any(flight.decides(signal) for signal in EVENTS):
        return None
    now_ms = hearing.when(now, now)
    return look_at_told(
        pool,
        spoke_ms=hearing.spoke_ms(flight.boarding.channel, pool, now_ms),
        listened_ms=hearing.listened_ms,
        now_ms=now_ms,
        epoch=flight.epoch_at(now.wall_ms, bucket_ms),
    )


def look_at_told(
    pool: Pool, *, spoke_ms: NDArray[np.int64], listened_ms: int, now_ms: int, epoch: int
) -> Closing | None:
    """Look at what the members of a cut pool have told since the last such look.

    Args:
        pool: A pool that has been cut, and has members.
        spoke_ms: When each member spoke, on the axis of ``drawn_ms``, shape (members,); read of
            those that did.
        listened_ms: How long the gate has listened. It stands still while Firedoor is down, and
            no step of the wall clock moves it.
        now_ms: The present on the axis of ``drawn_ms``.
        epoch: Epoch of the start-time mixture.

    Returns:
        A late cell for each age that members were at, of the minutes that they have been listened
        to at that age, and of those that spoke then and were counted as harmed for it, also where
        nobody was. Every member has the same minutes, the mean of the deck, and both arms have
        the same share of members that report at all: by minutes of their own the sum would tell
        who is treated. None where there is nothing to count: nobody reports, or no minute has
        passed.
    """
    blocks = pool.blocks(pool.told)
    listened = pool.sealed() | pool.told
    span = max(0, listened_ms - pool.told_ms)
    # A minute that has begun is counted, and taken off the next ones.
    counted = -(-span // _MINUTE_MS) * _MINUTE_MS
    if not (listened & pool.beating).any() or not (counted or pool.told.any()):
        return None
    # Whoever was there at the last look is as old as that, whatever a clock has done since.
    since = np.maximum(now_ms - pool.drawn_ms, span if pool.looked else 0) - span
    passed = minutes_by_age(since), minutes_by_age(since + counted)
    treated, control = listened & pool.treated, listened & ~pool.treated
    exposed = [exposures(_reporting(arm, blocks, pool), *passed) for arm in (treated, control)]
    age_then = np.searchsorted(TOLD_EDGES_MS, spoke_ms - pool.drawn_ms, side="right")
    signal = TOLD if pool.rungs or pool.closed else TOLD_EARLY
    cells = []
    for age, (m1, m0) in enumerate(zip(*exposed, strict=True)):
        spoke = pool.told & (age_then == age)
        x1, x0 = int((spoke & treated).sum()), int((spoke & control).sum())
        if m1 or m0 or x1 or x0:
            cells.append(
                Cell(
                    seq=0,
                    ring=pool.ring,
                    deck=pool.deck,
                    epoch=epoch,
                    test=Test.LATE,
                    signal=signal,
                    stratum="",
                    treated=max(m1, x1),
                    control=max(m0, x0),
                    treated_harmed=x1,
                    control_harmed=x0,
                    age=age,
                )
            )
    nobody = np.zeros(len(pool), np.bool_)
    return Closing(tuple(cells), nobody, signal, told_ms=pool.told_ms + counted)


def minutes_by_age(ages_ms: NDArray[np.int64]) -> list[float]:
    """Minutes that the mean member has spent in each bucket of ``told_age_of``, each >= 0.

    Args:
        ages_ms: Time since each member's card, ms, shape (members,), members > 0; below 0 it has
            none yet.
    """
    return [
        float((np.clip(ages_ms, begin, end) - begin).mean()) / _MINUTE_MS
        for begin, end in pairwise(_EDGES)
    ]


def exposures(members: float, before: Sequence[float], after: Sequence[float]) -> list[int]:
    """Minutes of an arm by age, whole ones: what one look rounds up the next ones have less.

    Args:
        members: Members of the arm that are listened to, >= 0.
        before: Minutes that the mean member had spent at each age at the last look.
        after: The same now, each >= before.
    """
    # Less the error of the sums, which must not make one minute more.
    since, until = (
        [math.ceil(members * m - _ROUNDING) for m in spent] for spent in (before, after)
    )
    return [end - begin for begin, end in zip(since, until, strict=True)]


def _reporting(arm: Mask, blocks: list[Mask], pool: Pool) -> float:
    """Members of an arm, if as many of it reported as of its whole block do."""
    return sum(
        int((arm & block).sum()) * int((block & pool.beating).sum()) / int(block.sum())
        for block in blocks
        if block.any()
    )
