"""What machines told: the looks by which it is compared with past good releases.

A deck has one at its cut, one whenever somebody spoke, and one before each look at a class and
before its members are released: no time without an event is left out that would have been
counted had there been one. Source: ADR 0029.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from firedoor.core.cell import TOLD_EDGES_MS, Cell, Test
from firedoor.core.signal import CHECK, CRASH, TOLD, TOLD_EARLY
from firedoor.ports import Instant
from firedoor.services.flight import Flight
from firedoor.services.hearing import Hearing
from firedoor.services.pools import Closing, Mask, Pool, Spent

EVENTS = (CRASH, CHECK)
"""Streams of what machines say."""

_AGES = tuple(pairwise((0.0, *(edge / 1000 for edge in TOLD_EDGES_MS), math.inf)))
_ROUNDING = 1e-6  # seconds


def look(
    flight: Flight, pool: Pool, hearing: Hearing, now: Instant, *, bucket_ms: int
) -> Closing | None:
    """Look at what a deck's members told; None where no signal that can be told decides."""
    decided = [signal for signal in EVENTS if flight.decides(signal)]
    if pool.cut_at is None or not decided:
        return None
    now_ms = hearing.when(now, now)
    return look_at_told(
        pool,
        spoke_ms=hearing.spoke_ms(flight.boarding.channel, pool, decided, now_ms),
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
        A late cell for each age that members have come to or were listened to at, and of those
        that spoke at it and were counted as harmed, also where nobody was. Every member has the
        same seconds, the mean of the deck, and both arms have the same share of members that
        report at all: by seconds of their own the sum would tell who is treated. None where there
        is nothing to count: nobody reports, or no time has passed.
    """
    blocks = pool.blocks(pool.told)
    listened = pool.sealed() | pool.told
    span = max(0, listened_ms - pool.told_ms)
    if not (listened & pool.beating).any() or not (span or pool.told.any()):
        return None
    # Nobody is older than the deck has been listened to, and whoever was there at the last look
    # is as old as that, whatever a clock has done since.
    youngest, oldest = span if pool.looked else 0, max(0, listened_ms - pool.began_ms)
    drawn, cards = pool.drawn()
    ages = np.clip(now_ms / 1000 - drawn, youngest / 1000, max(youngest, oldest) / 1000)
    before = pool.spent or spent(ages - span / 1000, cards, listened_ms)
    after = spent(ages, cards, listened_ms, before)
    arms = [listened & pool.treated, listened & ~pool.treated]
    signal = TOLD if pool.rungs or pool.closed else TOLD_EARLY
    reporting = [_reporting(arm, blocks, pool) for arm in arms]
    entered = [passed(members, before.entered, after.entered, math.ceil) for members in reporting]
    past = reporting[0] if signal == TOLD_EARLY else sum(reporting)
    heard = passed(past, before.listened, after.listened, math.floor)
    spoke_at = np.clip(spoke_ms - pool.drawn_ms, 0, oldest)
    age_then = np.searchsorted(TOLD_EDGES_MS, spoke_at)
    cells = []
    for age, (m1, m0, seconds) in enumerate(zip(*entered, heard, strict=True)):
        spoke = pool.told & (age_then == age)
        x1, x0 = (int((spoke & arm).sum()) for arm in arms)
        if m1 or m0 or seconds or x1 or x0:
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
                    installed=seconds,
                    age=age,
                )
            )
    return Closing(tuple(cells), np.zeros(len(pool), np.bool_), signal, spent=after)


def spent(
    ages: NDArray[np.floating],
    cards: NDArray[np.int64],
    until_ms: int,
    before: Spent | None = None,
) -> Spent:
    """How the mean member of a deck has spent its time.

    Args:
        ages: Times since cards were drawn, s, shape (n,), n > 0; below 0 there was none yet.
        cards: How many members are of each, shape (n,), each > 0.
        until_ms: How long the gate has listened, ms.
        before: What was found before: nobody becomes younger.
    """
    entered, listened = [], []
    for begin, end in _AGES:
        at_age = float(np.average(np.clip(ages, begin, end) - begin, weights=cards))
        whole = end - begin
        # An age begins after its edge and ends with the next: so do those at which somebody spoke.
        came = float(np.average(ages > begin, weights=cards)) if math.isfinite(whole) else 0.0
        entered.append(came * whole if math.isfinite(whole) else at_age)
        listened.append(at_age)
    if before is not None:
        entered, listened = (
            [max(pair) for pair in zip(*pairs, strict=True)]
            for pairs in ((entered, before.entered), (listened, before.listened))
        )
    return Spent(until_ms, tuple(entered), tuple(listened))


def passed(
    members: float,
    before: Sequence[float],
    after: Sequence[float],
    rounded: Callable[[float], int],
) -> list[int]:
    """Seconds of an arm by age, whole ones: what one look rounds, the next ones make good.

    Args:
        members: Members of the arm that are listened to, >= 0.
        before: Seconds that the mean member had spent at each age at the last look.
        after: The same now, each >= before.
        rounded: Up for what is judged, down for what it is judged by.
    """
    # Less, or more, by the error of the sums, which must not make a second.
    slack = _ROUNDING if rounded is math.floor else -_ROUNDING
    since, until = ([rounded(members * s + slack) for s in each] for each in (before, after))
    return [end - begin for begin, end in zip(since, until, strict=True)]


def _reporting(arm: Mask, blocks: list[Mask], pool: Pool) -> float:
    """Members of an arm, if as many of it reported as of its whole block do."""
    return sum(
        int((arm & block).sum()) * int((block & pool.beating).sum()) / int(block.sum())
        for block in blocks
        if block.any()
    )
