"""The books of one door kept by arrays: the product's pools and closings, accounts by counting."""

import heapq

import numpy as np
from tests.worlds import MINUTE, Bools, Ints
from tests.worlds_door import RING, SETTLE, Fleet, Judged, Plan, numbered

from firedoor.core import silence, valve
from firedoor.core.cell import Cell, Test
from firedoor.core.signal import CRASH
from firedoor.services.pools import Closing, Pool, close_class, count_events


class Tally:
    """The books: the product's pools and closings, their accounts by counting."""

    def __init__(self, fleet: Fleet, plan: Plan) -> None:
        """No pool yet."""
        self._fleet = fleet
        self._plan = plan
        self._pools: dict[int, Pool] = {}
        self._long: dict[int, bool] = {}
        self._present: dict[int, set[int]] = {}
        self._drawn: dict[int, list[tuple[Ints, Ints, Bools]]] = {}
        self._in_flight = 0
        self._excess = 0.0
        self._harmed = 0
        self._recovered = 0
        self._returns: list[int] = []
        self._seq = 0

    def open(self, deck: int, *, long: bool) -> None:
        """Leave to deal a deck was given."""
        self._long[deck] = long

    def seat(self, deck: int, who: Ints, at: Ints, treated: Bools) -> None:
        """Cards were drawn."""
        self._drawn.setdefault(deck, []).append((who, at, treated))
        self._in_flight += int(treated.sum())

    def cut(self, deck: int, at: int) -> None:
        """No more cards are drawn from this deck: its pool is whole."""
        rows = self._drawn.pop(deck)
        who, when, treated = (np.concatenate(part) for part in zip(*rows, strict=True))
        pool = self._pools[deck] = Pool(RING, deck, long=self._long[deck])
        # ``Pool.seat`` would fill these columns from one object a member.
        pool.rows = np.arange(len(who))
        pool.machines, pool.drawn_ms, pool.treated = who.astype(np.uint32), when, treated
        pool.cls = self._fleet.world.cls[who].astype(np.uint8)
        pool.beating = self._fleet.world.beating[who]
        pool.strata = list(self._fleet.world.strata)
        pool.stratum = self._fleet.world.stratum[who].astype(np.int32)
        pool.harmed = np.zeros(len(who), np.bool_)
        pool.cut_ms = at
        self._present[deck] = set(np.unique(pool.cls).tolist())

    def close(self, deck: int, cls: int, now: int, epoch: int) -> list[Cell]:
        """A class is due: close it, and free its members."""
        pool = self._pools.get(deck)
        if pool is None:
            return []  # Nobody was left to try the release, and the watch ended.
        who = pool.machines.astype(np.int64)
        span = self._fleet.world.deadline(cls)
        rungs = silence.ladder(span) if pool.long else silence.LADDER[:1]
        rung = pool.rungs.get(cls, 0)
        # Signs of life are known to the bucket they ended in.
        after = (pool.cut_ms or 0) + SETTLE + (rungs[rung] - 1) * span
        begin = (after + MINUTE) // MINUTE * MINUTE
        everybody = np.ones(len(pool), np.bool_)
        mature = pool.cls == cls
        # Of the others nobody asks.
        silent = np.zeros(len(pool), np.bool_)
        silent[mature] = ~self._fleet.heard(who[mature], begin, now)
        if not rung:
            self._in_flight -= int((mature & pool.treated & ~pool.harmed).sum())
        last = rung + 1 == len(rungs)
        closing = close_class(pool, cls, silent=silent, installed=everybody, epoch=epoch, last=last)
        cells = self._take(pool, closing)
        dead = who[closing.harmed & pool.treated]
        spoke = self._fleet.world.next_poll(dead, now)
        for back in spoke[spoke <= self._fleet.dead_from[dead]].tolist():
            heapq.heappush(self._returns, -(-back // MINUTE) * MINUTE)
        if last:
            self._fleet.sealed[who[mature]] = False
        if self._present[deck] <= pool.closed:
            del self._pools[deck]
        return cells

    def events(self, deck: int, now: int, epoch: int) -> list[Cell]:
        """Crashes that were reported until now."""
        pool = self._pools.get(deck)
        if pool is None:
            return []
        who = pool.machines.astype(np.int64)
        hit = self._fleet.world.next_crash(who, pool.drawn_ms) <= now
        closing = count_events(pool, hit, signal=CRASH, epoch=epoch)
        if closing is None:
            return []
        self._in_flight -= int((closing.harmed & pool.treated & pool.blocks()[0]).sum())
        return self._take(pool, closing)

    def numbers(self, judged: Judged, now: int) -> tuple[int, float]:
        """Room and debt; machines that spoke again have freed their slots."""
        while self._returns and self._returns[0] <= now:
            heapq.heappop(self._returns)
            self._recovered += 1
        debt = max(0.0, self._excess - self._recovered) if self._plan.debt else 0.0
        room = valve.room(
            budget=self._plan.terms.budget,
            upper=judged.upper,
            in_flight=self._in_flight,
            debt=debt,
        )
        return room, debt

    def all_spoke_again(self) -> bool:
        """Every treated machine that was counted as harmed was only silent for a while."""
        return self._harmed == self._recovered

    def unresolved(self) -> bool:
        """Somebody is in flight."""
        # ``Pool.is_matured`` would look at every member again after every closing.
        return not all(
            self._present[deck] <= pool.closed | pool.rungs.keys()
            for deck, pool in self._pools.items()
        )

    def locked(self) -> int:
        """Members of long decks that may not draw another card."""
        return sum(pool.locked() for pool in self._pools.values() if pool.long)

    def unlock(self) -> None:
        """End the watch for late harm."""
        for deck, pool in list(self._pools.items()):
            if pool.long:
                self._fleet.sealed[pool.machines[np.isin(pool.cls, list(pool.rungs))]] = False
                del self._pools[deck]

    def _take(self, pool: Pool, closing: Closing) -> list[Cell]:
        pool.take(closing)
        cells = numbered(closing.cells, self._seq)
        self._seq += len(cells)
        for cell in cells:
            if cell.test is Test.HARM:
                events = cell.treated_harmed + cell.control_harmed
                share = cell.treated / (cell.treated + cell.control) if cell.control else 0.0
                self._harmed += cell.treated_harmed
                self._excess += cell.treated_harmed - events * share
        return cells
