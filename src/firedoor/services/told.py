"""What machines told: the looks by which it is compared with past good releases.

A deck has one at its cut, one whenever somebody spoke, and one before each look at a class and
before its members are released: no minute without an event is left out that would have been
counted had there been one. Source: ADR 0029.
"""

import math

import numpy as np

from firedoor.core.cell import Cell, Test, age_of
from firedoor.core.signal import CHECK, CRASH, TOLD, TOLD_EARLY
from firedoor.ports import Instant
from firedoor.services.flight import Flight
from firedoor.services.hearing import Hearing
from firedoor.services.pools import Closing, Mask, Pool

EVENTS = (CRASH, CHECK)
"""Streams of what machines say."""

_MINUTE_MS = 60_000
_ROUNDING = 1e-6  # minutes


def look(
    flight: Flight, pool: Pool, hearing: Hearing, now: Instant, *, bucket_ms: int
) -> Closing | None:
    """Look at what a deck's members told; None where no signal that can be told decides."""
    if pool.cut_at is None or not any(flight.decides(signal) for signal in EVENTS):
        return None
    return look_at_told(
        pool,
        listened_ms=hearing.listened_ms,
        now_ms=hearing.when(now, now),
        epoch=flight.epoch_at(now.wall_ms, bucket_ms),
        age=age_of(now.since(pool.cut_at)),
    )


def look_at_told(
    pool: Pool, *, listened_ms: int, now_ms: int, epoch: int, age: int = 0
) -> Closing | None:
    """Look at what the members of a cut pool have told since the last such look.

    Args:
        pool: A pool that has been cut, and has members.
        listened_ms: How long the gate has listened. It stands still while Firedoor is down, and
            no step of the wall clock moves it.
        now_ms: The present on the axis of ``drawn_ms``.
        epoch: Epoch of the start-time mixture.
        age: Bucket of the time since the cut.

    Returns:
        A late cell of the minutes that the members have been listened to, and of those that were
        counted as harmed for what they said, also where nobody was. Every member has the same
        minutes, the mean since the cards were drawn, and both arms have the same share of members
        that report at all: by minutes of their own the sum would tell who is treated.
        None where there is nothing to count: nobody reports, or no minute has passed.
    """
    blocks = pool.blocks(pool.told)
    listened = pool.sealed() | pool.told
    span = listened_ms - pool.told_ms
    if not pool.looked:
        span = min(span, now_ms - round(float(pool.drawn_ms.mean())))
    # A minute that has begun is counted, and taken off the next ones; who spoke has one at least.
    minutes = max(-(-span // _MINUTE_MS), int(pool.told.any()))
    if not (listened & pool.beating).any() or minutes <= 0:
        return None
    treated, control = listened & pool.treated, listened & ~pool.treated
    early = not pool.rungs and not pool.closed
    cell = Cell(
        seq=0,
        ring=pool.ring,
        deck=pool.deck,
        epoch=epoch,
        test=Test.LATE,
        signal=TOLD_EARLY if early else TOLD,
        stratum="",
        treated=_listened(minutes, treated, blocks, pool),
        control=_listened(minutes, control, blocks, pool),
        treated_harmed=int((treated & pool.told).sum()),
        control_harmed=int((control & pool.told).sum()),
        age=age,
    )
    until = listened_ms - span + minutes * _MINUTE_MS
    return Closing((cell,), np.zeros(len(pool), np.bool_), cell.signal, told_ms=until)


def _listened(minutes: int, arm: Mask, blocks: list[Mask], pool: Pool) -> int:
    """Minutes of an arm, as if as many of it reported as of its whole block do."""
    shared = sum(
        int((arm & block).sum()) * int((block & pool.beating).sum()) / int(block.sum())
        for block in blocks
        if block.any()
    )
    # Less a rounding of the sum, which must not make one minute more.
    return max(math.ceil(minutes * shared - _ROUNDING), int((arm & pool.told).sum()))
