"""The books of one door kept by arrays: the product's pools and closings, accounts by counting."""

import heapq
from dataclasses import dataclass

import numpy as np
from tests.worlds import MINUTE, NEVER, Bools, Ints
from tests.worlds_door import RING, SETTLE, Fleet, Judged, Plan, Watch, numbered

from firedoor.core import silence, valve
from firedoor.core.cell import Cell, Test
from firedoor.core.signal import CRASH
from firedoor.services.late import Wait
from firedoor.services.pools import Closing, Mask, Pool, close_class, count_events


@dataclass(slots=True)
class _Late:
    """A treated machine that was looked at before it had installed.

    Attributes:
        since: When it began to wait, ms.
        counted: It was counted as silent, and spoke again.
        wait: Where it stands.
        due: Until then nothing changes, ms.
    """

    since: int
    counted: bool = False
    wait: Wait = Wait.WAITING
    due: int = 0


class Tally:
    """The books: the product's pools and closings, their accounts by counting."""

    def __init__(self, fleet: Fleet, plan: Plan) -> None:
        """No pool yet."""
        self.watch = Watch()
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
        self._silent: dict[int, int] = {}
        self._returns: list[tuple[int, int]] = []
        self._late: dict[int, _Late] = {}
        self._seq = 0

    def open(self, deck: int, *, long: bool) -> None:
        """Leave to deal a deck was given."""
        self._long[deck] = long
        self.watch.long |= {deck} if long else set()

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
        pool.beating = pool.telling = self._fleet.world.beating[who]
        pool.strata = list(self._fleet.world.strata)
        pool.stratum = self._fleet.world.stratum[who].astype(np.int32)
        pool.harmed, pool.told = np.zeros((2, len(who)), np.bool_)
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
        after = (pool.cut_ms or 0) + self._plan.terms.install_delay_ms + SETTLE
        after += (rungs[rung] - 1) * span
        begin = (after + MINUTE) // MINUTE * MINUTE
        ready = self._fleet.installed[who] <= after + MINUTE - SETTLE
        mature = pool.cls == cls
        # Of the others nobody asks.
        silent = np.zeros(len(pool), np.bool_)
        silent[mature] = ~self._fleet.heard(who[mature], begin, now)
        if not rung:
            self._in_flight -= int((mature & pool.treated & ~pool.harmed).sum())
        last = rung + 1 == len(rungs)
        closing = close_class(pool, cls, silent=silent, installed=ready, epoch=epoch, last=last)
        cells = self._take(pool, closing)
        self._fell_silent(who[closing.harmed & pool.treated], now)
        if not rung:
            for machine in self._unready(pool, mature, after + MINUTE - SETTLE):
                self._late[machine] = _Late(pool.cut_ms or 0)
                self.watch.late.add(machine)
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
        while self._returns and self._returns[0][0] <= now:
            at, machine = heapq.heappop(self._returns)
            if self._silent.get(machine) == at:
                del self._silent[machine]
                self._recovered += 1
                if now <= self._got(machine, now) + SETTLE:
                    self._late[machine] = _Late(now, counted=True)
        for machine, late in list(self._late.items()):
            if late.due <= now:
                self._look(machine, late, now)
        waits = [late.wait for late in self._late.values()]
        dormant = waits.count(Wait.DORMANT)
        window = valve.window(self._plan.terms.budget, judged.upper)
        debt = max(0.0, self._excess - self._recovered) if self._plan.debt else 0.0
        room = valve.room(
            budget=self._plan.terms.budget,
            upper=judged.upper,
            in_flight=self._in_flight
            + waits.count(Wait.WAITING)
            + waits.count(Wait.WOKEN)
            + max(0, dormant - window),
            debt=debt,
        )
        return room, debt

    def all_spoke_again(self) -> bool:
        """Every treated machine that was counted as harmed was only silent for a while."""
        return self._harmed == self._recovered

    def unresolved(self) -> bool:
        """Somebody is in flight."""
        if any(late.wait is Wait.WAITING for late in self._late.values()):
            return True
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
        self.watch.unlocked += 1
        for deck, pool in list(self._pools.items()):
            if pool.long:
                self._fleet.sealed[pool.machines[np.isin(pool.cls, list(pool.rungs))]] = False
                del self._pools[deck]

    def _unready(self, pool: Pool, mature: Mask, until: int) -> list[int]:
        """Treated machines of a class that had not installed by then, and are not harmed."""
        who = pool.machines[mature & pool.treated & ~pool.harmed].astype(np.int64)
        late: list[int] = who[self._fleet.installed[who] > until].tolist()
        return late

    def _got(self, machine: int, now: int) -> int:
        """When a machine had all bytes, as far as is known; ``NEVER`` before."""
        got = int(self._fleet.installed[machine])
        return got if got <= now else NEVER

    def _fell_silent(self, who: Ints, now: int) -> None:
        """Treated machines were counted as silent: note when each will speak again."""
        spoke = self._fleet.world.next_poll(who, now)
        spoke[spoke > self._fleet.dead_from[who]] = NEVER
        for machine, at in zip(who.tolist(), (-(-spoke // MINUTE) * MINUTE).tolist(), strict=True):
            self._silent[machine] = at
            heapq.heappush(self._returns, (at, machine))

    def _look(self, machine: int, late: _Late, now: int) -> None:
        """See where a late machine stands now; harmed after its install it is debt in full."""
        terms, got = self._plan.terms, self._got(machine, now)
        span = self._fleet.world.deadline(int(self._fleet.world.cls[machine]))
        if got == NEVER:
            patience = terms.install_delay_ms + terms.install_wait_for(span)
            asleep = late.since + MINUTE + patience
            late.wait = Wait.DORMANT if now >= asleep else late.wait
            late.due = self._got(machine, NEVER)
            late.due = late.due if now >= asleep else min(late.due, asleep)
            return
        who, begin = np.array([machine]), got + SETTLE + MINUTE
        told = int(self._fleet.world.next_crash(who, got)[0])
        late.wait = Wait.WAITING if late.wait is Wait.WAITING else Wait.WOKEN
        late.due = min(begin + span, told)
        if now < late.due:
            return
        if now < told:
            if self._fleet.heard(who, begin // MINUTE * MINUTE, now)[0]:
                del self._late[machine]
                return
            self._fell_silent(who, now)
        if late.counted:
            self._recovered -= 1
            del self._late[machine]
        else:
            late.wait, late.due = Wait.TOLD if told <= now else Wait.HARMED, NEVER
            self._excess += 1.0
            self._harmed += 1

    def _count(self, machine: int) -> None:
        """The evidence counts a late machine: it is no debt of its own any more."""
        late = self._late.pop(machine, None)
        spoke = self._silent.pop(machine, None) is None if late is not None else False
        if late is not None and late.wait in (Wait.HARMED, Wait.TOLD):
            if late.wait is Wait.HARMED and spoke:
                self._recovered -= 1
            self._excess -= 1.0
            self._harmed -= 1

    def _take(self, pool: Pool, closing: Closing) -> list[Cell]:
        pool.take(closing)
        for machine in pool.machines[closing.harmed & pool.treated].tolist():
            self._count(machine)
        cells = numbered(closing.cells, self._seq)
        self._seq += len(cells)
        for cell in cells:
            if cell.test is Test.HARM:
                self._harmed += cell.treated_harmed
                self._excess += valve.beyond_chance(
                    treated=cell.treated,
                    control=cell.control,
                    treated_harmed=cell.treated_harmed,
                    control_harmed=cell.control_harmed,
                )
        return cells


class Blind(Tally):
    """Books in which those who wait are drawn apart from the cards.

    Rooms have the law that they have in the product, and tell nothing of a label.
    """

    def __init__(self, fleet: Fleet, plan: Plan, chance: np.random.Generator) -> None:
        """No pool yet."""
        super().__init__(fleet, plan)
        self._chance = chance
        self._would: dict[int, int] = {}

    def _unready(self, pool: Pool, mature: Mask, until: int) -> list[int]:
        """As many of the class as are treated, of both arms, and those of them that were late."""
        treated = int((mature & pool.treated).sum())
        some = self._chance.choice(np.flatnonzero(mature), treated, replace=False)
        some = some[~pool.harmed[some]]
        who = pool.machines[some].astype(np.int64)
        would = self._fleet.world.installs(who, pool.drawn_ms[some])
        self._would.update(zip(who.tolist(), would.tolist(), strict=True))
        late: list[int] = who[would > until].tolist()
        return late

    def _got(self, machine: int, now: int) -> int:
        got = self._would.get(machine, int(self._fleet.installed[machine]))
        return got if got <= now else NEVER

    def _take(self, pool: Pool, closing: Closing) -> list[Cell]:
        for machine in pool.machines[closing.harmed & ~pool.treated].tolist():
            self._count(machine)
        return super()._take(pool, closing)
