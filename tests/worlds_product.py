"""The same books kept by the product's own objects: slow, and what the fast ones answer to.

Members, pools, closings, signs of life, accounts and verdicts are those of ``services`` and
``core.verdict``; only the stores between them are missing.
"""

import heapq
from dataclasses import dataclass
from typing import cast

import numpy as np
from tests.worlds import MINUTE, SILENCE_MIN, Bools, Ints, World
from tests.worlds_door import (
    RING,
    SETTLE,
    Fleet,
    Judged,
    Outcome,
    Plan,
    Run,
    Watch,
    boarded,
    numbered,
)

from firedoor.core import silence
from firedoor.core.cell import Cell
from firedoor.core.signal import CRASH, Reports
from firedoor.core.units import UnixMs
from firedoor.core.verdict import Rules, Verdict
from firedoor.ports import Instant
from firedoor.services.boarding import Boarding
from firedoor.services.flight import Flight, Silent
from firedoor.services.late import Late
from firedoor.services.life import Life
from firedoor.services.places import Place
from firedoor.services.pools import Closing, Pool, close_class, count_events
from firedoor.services.records import Harmed, StoredPlace
from firedoor.services.stores import JudgeRecords
from firedoor.services.waiting import Waiting

_REPORTS = ((Reports.NOTHING, Reports.NOTHING), (Reports.BEATS, Reports.TELLS))
"""Whose crashes would be reported, and whose not: of the former half send heartbeats."""


class _Unwritten:
    """The judge's records of books that are never taken up again."""

    def add_harmed(self, _channel: str, _number: int, _harmed: Harmed) -> None:
        """Forget it."""

    def put_late(self, _channel: str, _number: int, _late: Late) -> None:
        """Forget it."""

    def recover(self, _place: int, _at_ms: int) -> None:
        """Forget it."""


class Books:
    """The books of one release, kept by ``Flight``, ``Pool`` and ``Waiting``."""

    def __init__(self, fleet: Fleet, plan: Plan, rules: Rules) -> None:
        """A release has boarded."""
        boarding = Boarding("sim", 1, "release", 0, UnixMs(0), "", {RING: plan.terms}, rules)
        self.flight = Flight.begin(boarding, b"", [boarded(plan.terms)])
        self.watch = Watch()
        self._fleet = fleet
        self._life = Life(MINUTE)
        self._waiting = Waiting(
            cast("JudgeRecords", _Unwritten()), silence_min_ms=SILENCE_MIN, settle_ms=SETTLE
        )
        self._downloads: list[tuple[int, int]] = []
        self._listened = 0
        self._rows = 0
        self._long: dict[int, bool] = {}

    def open(self, deck: int, *, long: bool) -> None:
        """Leave to deal a deck was given."""
        self._long[deck] = long
        self.watch.long |= {deck} if long else set()

    def seat(self, deck: int, who: Ints, at: Ints, treated: Bools) -> None:
        """Cards were drawn: seat their members as ``Hearing`` does."""
        world = self._fleet.world
        pool = self.flight.pools.setdefault((RING, deck), Pool(RING, deck, long=self._long[deck]))
        places: list[StoredPlace] = []
        for machine, when, label in zip(who.tolist(), at.tolist(), treated.tolist(), strict=True):
            place = Place(
                channel="sim",
                number=1,
                ring=RING,
                deck=deck,
                card=len(pool) + len(places),
                machine=machine,
                treated=label,
                cls=int(world.cls[machine]),
                reports=_REPORTS[bool(world.beating[machine])][machine % 2],
                mono_ms=when,
                stratum=world.strata[int(world.stratum[machine])],
            )
            self._rows += 1
            places.append(StoredPlace(self._rows, place, "boot", when))
            if label:
                self.flight.admitted[RING] = self.flight.admitted.get(RING, 0) + 1
                heapq.heappush(self._downloads, (int(self._fleet.installed[machine]), machine))
        pool.seat(places)

    def cut(self, deck: int, at: int) -> None:
        """No more cards are drawn from this deck."""
        self.flight.pools[(RING, deck)].cut_ms = at

    def close(self, deck: int, cls: int, now: int, epoch: int) -> list[Cell]:
        """A class is due: close it, and free who may draw again."""
        self._listen(now)
        pool = self.flight.pools.get((RING, deck))
        if pool is None:
            return []
        span = self._fleet.world.deadline(cls)
        rungs = silence.ladder(span) if pool.long else silence.LADDER[:1]
        rung = pool.rungs.get(cls, 0)
        delay = self.flight.boarding.terms[RING].install_delay_ms
        after = (pool.cut_ms or 0) + delay + SETTLE + (rungs[rung] - 1) * span
        begin = self._life.window(after, intake=False)
        assert begin is not None
        assert self._life.until >= begin + span
        ready = self._waiting.ready(self.flight, pool, cls, begin)
        closing = close_class(
            pool,
            cls,
            silent=self._life.silent(pool.machines, begin),
            installed=ready,
            epoch=epoch,
            last=rung + 1 == len(rungs),
        )
        cells = self._take(pool, closing)
        for member in np.flatnonzero(closing.harmed & pool.treated):
            machine, beating = int(pool.machines[member]), bool(pool.beating[member])
            silent = Silent(machine, RING, self._life.until, deck, cls, beating)
            self.flight.silent[int(pool.rows[member])] = silent
        if not rung:
            self._waiting.begin(self.flight, pool, cls, ready, _clocks(now))
            found = self.flight.late.late.values()
            self.watch.late |= {late.machine for late in found if not late.counted}
        if cls in pool.closed:
            self._fleet.sealed[pool.machines[pool.cls == cls]] = False
        if pool.is_closed():
            del self.flight.pools[(RING, deck)]
        return cells

    def events(self, deck: int, now: int, epoch: int) -> list[Cell]:
        """Crashes that were reported until now."""
        pool = self.flight.pools.get((RING, deck))
        if pool is None:
            return []
        who = pool.machines.astype(np.int64)
        hit = self._fleet.world.next_crash(who, pool.drawn_ms) <= now
        closing = count_events(pool, hit, signal=CRASH, epoch=epoch)
        return [] if closing is None else self._take(pool, closing)

    def numbers(self, judged: Judged, now: int) -> tuple[int, float]:
        """Room and debt, as the judge's."""
        del judged  # the verdict is the flight's own
        self._listen(now)
        self._waiting.greet(self.flight, self._life, _clocks(now))
        self._waiting.look(self.flight, _Ears(self._fleet.world, self._life), _clocks(now))
        numbers = self.flight.numbers(RING, self.flight.verdict())
        return numbers.room, numbers.debt

    def all_spoke_again(self) -> bool:
        """Every treated machine that was counted as harmed was only silent for a while."""
        return self.flight.all_spoke_again(RING)

    def unresolved(self) -> bool:
        """Somebody is in flight."""
        return self.flight.unresolved(RING)

    def locked(self) -> int:
        """Members of long decks that may not draw another card."""
        return self.flight.locked(RING)

    def unlock(self) -> None:
        """End the watch for late harm."""
        self.watch.unlocked += 1
        for pool in self.flight.pools_of(RING):
            if pool.long:
                self._fleet.sealed[pool.machines[np.isin(pool.cls, list(pool.rungs))]] = False
                del self.flight.pools[(RING, pool.deck)]

    def _take(self, pool: Pool, closing: Closing) -> list[Cell]:
        cells = numbered(closing.cells, self.flight.evidence.seq)
        for cell in cells:
            self.flight.absorb(cell)
        pool.take(closing)
        for member in np.flatnonzero(closing.harmed):
            self._waiting.count(self.flight, int(pool.rows[member]))
        return cells

    def _listen(self, now: int) -> None:
        """Bring the signs of life up to date, bucket by bucket."""
        world = self._fleet.world
        while self._listened <= now:
            first, last = np.searchsorted(
                world.at, [self._listened - MINUTE, self._listened], side="right"
            )
            at, who = world.at[first:last], world.who[first:last]
            alive = who[at <= self._fleet.dead_from[who]].astype(np.uint32)
            self._life.heard_by_gate("run", self._listened, alive, final=False)
            self._life.intake_listened(self._listened)
            while self._downloads and self._downloads[0][0] <= self._listened:
                got, machine = heapq.heappop(self._downloads)
                self.flight.installed[machine] = got
            self._listened += MINUTE


@dataclass(frozen=True, slots=True)
class _Ears:
    """What the world has said until now."""

    world: World
    life: Life

    def told_since(self, machine: int, mono_ms: int, now: Instant) -> list[str]:
        """Whether it has crashed."""
        told = int(self.world.next_crash(np.array([machine]), mono_ms)[0])
        return [CRASH] if told <= now.mono_ms else []


def _clocks(now: int) -> Instant:
    return Instant("boot", now, UnixMs(now))


def judge_alone(books: Books, run: Run) -> Outcome:
    """Play one run, judged by the product."""
    try:
        next(run)
        while True:
            found = books.flight.verdict()
            run.send(_judged(found))
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def _judged(found: Verdict) -> Judged:
    return Judged(found.harm_upper, found.log_e_harm, found.max_log_e_harm)
