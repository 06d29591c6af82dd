"""One door in a simulated world: the judge's tick, with the product's valve, evidence and door.

``opening`` is the loop of ``services.judging`` without stores: close what is due, weigh it, send
``Assessed`` to ``core.door``, deal by ``core.valve``. It is a generator that yields the cells of
a tick and is sent what the evidence makes of them; ``worlds_judge`` runs many doors at once, so
that ``core.evidence`` works on one row per door. Pools and their closings are the product's;
accounts, signs of life and evidence are kept twice: here by arrays (fast), in ``worlds_product``
by the product's own objects (slow), and a test says that both write the same cells.
"""

import heapq
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
from tests.worlds import MINUTE, NEVER, SILENCE_MIN, Bools, Ints, World

from firedoor.core import silence, valve
from firedoor.core.cell import Cell, Test
from firedoor.core.door import Assessed, Boarded, Door, Reason, State, step
from firedoor.core.evidence.mixture import epoch_of
from firedoor.core.terms import Terms
from firedoor.core.units import UnixMs

RING = "everyone"
SETTLE = 5_000
_LOOK_AGAIN = 10  # ticks without a closing after which somebody may have joined or soaked

Deal: TypeAlias = valve.Deal
Dealer: TypeAlias = Callable[[int, Deal], Bools]
"""Deck number and deck -> labels, shape (cards,)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the evidence says after a tick: U, ln E now, and the largest it has been."""

    upper: float = 1.0
    log_e: float = 0.0
    max_log_e: float = 0.0


@dataclass(slots=True)
class Watch:
    """What a run was like that looks for late harm.

    Attributes:
        long: Numbers of the long decks.
        late: Treated machines that were looked at before they had installed.
        unlocked: Times that the watch ended early, since only its members were left.
        wide: Decks with fewer controls than nine for each treated, so that they fill in time.
    """

    long: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)
    unlocked: int = 0
    wide: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of a release.

    Attributes:
        state: State of its door at the end.
        reason: Reason of that.
        ended: When the door last moved, ms.
        admitted: Machines that got it by a card.
        harmed: Machines that it harmed, whether or not anybody counted them.
        everybody: No active machine is without it.
        max_log_e: Largest ln E.
        lowest_upper: Smallest U.
        final: The last judgement.
        cells: All cells, in order.
        rooms: Room at every deal: what the valve decided.
        watch: Its long decks, and who was late.
    """

    state: State
    reason: Reason
    ended: int
    admitted: int
    harmed: int
    everybody: bool
    max_log_e: float
    lowest_upper: float
    final: Judged
    cells: list[Cell] = field(default_factory=list)
    rooms: list[int] = field(default_factory=list)
    watch: Watch = field(default_factory=Watch)


class Book(Protocol):
    """Who is in which pool."""

    watch: Watch

    def open(self, deck: int, *, long: bool) -> None:
        """Leave to deal a deck was given."""

    def seat(self, deck: int, who: Ints, at: Ints, treated: Bools) -> None:
        """Cards were drawn."""

    def cut(self, deck: int, at: int) -> None:
        """No more cards are drawn from this deck."""

    def close(self, deck: int, cls: int, now: int, epoch: int) -> list[Cell]:
        """A class is due."""

    def events(self, deck: int, now: int, epoch: int) -> list[Cell]:
        """Crashes that were reported until now."""

    def numbers(self, judged: Judged, now: int) -> tuple[int, float]:
        """Room and debt."""

    def all_spoke_again(self) -> bool:
        """Every treated machine that was counted as harmed was only silent for a while."""

    def unresolved(self) -> bool:
        """Somebody is in flight."""

    def locked(self) -> int:
        """Members of long decks that may not draw another card."""

    def unlock(self) -> None:
        """End the watch for late harm."""


Run: TypeAlias = Generator[list[Cell], Judged, Outcome]


@dataclass(slots=True)
class Fleet:
    """What has happened to the machines of one run.

    Every array has shape (N,), but for ``newest``: the members of the deck that was cut last.
    """

    world: World
    treated: Bools
    sealed: Bools
    dead_from: Ints
    installed: Ints
    newest: Ints

    @classmethod
    def of(cls, world: World) -> "Fleet":
        """Nobody has a card."""
        none = np.zeros(world.machines, np.bool_)
        never = np.full(world.machines, NEVER)
        nobody = np.zeros(0, np.int64)
        return cls(world, none, none.copy(), never, never.copy(), nobody)

    def heard(self, who: Ints, begin: int, until: int) -> Bools:
        """Who polled in (begin, until] and was alive."""
        spoke = self.world.next_poll(who, begin)
        alive: Bools = (spoke <= until) & (spoke <= self.dead_from[who])
        return alive


@dataclass(frozen=True, slots=True)
class Plan:
    """How one run is played.

    Attributes:
        terms: As resolved for the fleet.
        harm: Chance that an install silences its machine for good (h), from [0, 1].
        stops: Whether the door moves. Without, the judge goes on looking for ever, as the
            guarantee says one may.
        debt: Whether a harmed machine keeps its slot. Only a counter-example switches it off.
        ladder: Whether decks may be long.
        fuse: A harmed machine dies this many of its deadlines after the install.
    """

    terms: Terms
    harm: float = 0.0
    stops: bool = True
    debt: bool = True
    ladder: bool = True
    fuse: float = 0.0


def epoch_at(now: int) -> int:
    """Epoch of the start-time mixture: ``Flight.epoch_at`` at one-minute buckets."""
    buckets = now // MINUTE
    return epoch_of(buckets)


def boarded(terms: Terms) -> Door:
    """A door that has just begun to open."""
    door = Door(
        channel="sim",
        number=1,
        ring=RING,
        release="release",
        previous="before",
        budget=terms.budget,
        state=State.WAITING,
        reason=Reason.EARLIER_RING,
        since_ms=UnixMs(0),
    )
    return step(door, Boarded(), UnixMs(0))[0]


def shuffler(chance: np.random.Generator) -> Dealer:
    """Deal by a generator: fast, and the same law as the keyed hash of ``core.valve``."""

    def dealt(_deck: int, deal: Deal) -> Bools:
        cards = np.zeros(deal.cards, np.bool_)
        cards[: deal.treated] = True
        return chance.permutation(cards)

    return dealt


def keyed(seed: bytes) -> Dealer:
    """Deal as the product does."""
    return lambda deck, deal: np.array(
        valve.arrangement(valve.deck_key(seed, "release", RING, deck), deal)
    )


def opening(
    fleet: Fleet, book: Book, plan: Plan, dealer: Dealer, chance: np.random.Generator
) -> Run:
    """Play one release from its boarding to the end of the world, or of its door."""
    world, terms = fleet.world, plan.terms
    door = boarded(terms)
    due: list[tuple[int, int, int]] = []
    cells: list[Cell] = []
    judged, lowest = Judged(), 1.0
    rooms: list[int] = []
    # Where machines are late, any tick may be that of a look at one of them.
    again, far = (1, 1) if world.lag.any() else (_LOOK_AGAIN, world.end // MINUTE)
    deck, last_cut, tick = 0, 0, 0
    table: _Table | None = None
    while tick * MINUTE < world.end:
        now = tick * MINUTE
        if fresh := _close_due(book, due, now):
            cells += fresh
            judged = yield fresh
            lowest = min(lowest, judged.upper)
        room, debt = book.numbers(judged, now)
        # Machines that have not joined are not active yet; those that left stay so for days.
        here = world.seasoned <= now
        untreated = int((here & ~fleet.treated).sum())
        settled = table is None and not book.unresolved()
        warn = judged.log_e >= -math.log(terms.alpha_warn)
        quiet = settled and not warn and now - last_cut >= terms.soak_ms
        if plan.stops:
            spent = room < 1 and settled and debt > 0
            found = Assessed(
                harmful=judged.max_log_e >= -math.log(terms.alpha_harm),
                cleared=quiet and bool(deck) and judged.upper <= terms.delta,
                walked=quiet and bool(deck) and untreated == 0 and not spent,
                spent=spent,
                recovered=room >= 1 and book.all_spoke_again(),
            )
            door, _ = step(door, found, UnixMs(now))
        elif quiet and untreated == 0:
            break
        if _is_over(door, fleet, settled=settled):
            break
        if table is None and door.state is State.OPENING and judged.upper > terms.delta:
            table = _deal(
                fleet, book, plan, dealer, _Ask(deck + 1, room, now, quiet, judged.upper, cells)
            )
            if table is not None:
                deck += 1
                rooms.append(room)
            elif settled and now - last_cut >= terms.soak_ms and room >= 1:
                _unlock(fleet, book, now)
        until = min(due[0][0] if due else tick + again, tick + far, world.end // MINUTE)
        until = max(tick + 1, until)
        if table is None:
            tick = min(until, tick + again)
            continue
        cut = table.draw(fleet, book, plan, chance, (now, until * MINUTE))
        if cut is None:
            tick = until
            continue
        last_cut, tick = cut, -(-cut // MINUTE)
        book.cut(deck, cut)
        for when, cls in table.closings(fleet, cut, terms.install_delay_ms):
            heapq.heappush(due, (when, deck, cls))
        table = None
    return Outcome(
        state=door.state,
        reason=door.reason,
        ended=door.since_ms,
        admitted=int(fleet.treated.sum()),
        harmed=int((fleet.dead_from < NEVER).sum()),
        everybody=bool(fleet.treated[world.seasoned <= tick * MINUTE].all()),
        max_log_e=judged.max_log_e,
        lowest_upper=lowest,
        final=judged,
        cells=cells,
        rooms=rooms,
        watch=book.watch,
    )


def _is_over(door: Door, fleet: Fleet, *, settled: bool) -> bool:
    """Nothing will happen any more: who is dead will not speak again and free a held door."""
    if door.state is State.HELD:
        return settled and bool((fleet.dead_from < NEVER).any())
    return door.state in (State.OPEN, State.SHUT)


def _close_due(book: Book, due: list[tuple[int, int, int]], now: int) -> list[Cell]:
    """Close what is due: deck by deck, crashes before silence, short deadlines first."""
    cells: list[Cell] = []
    while due and due[0][0] * MINUTE <= now:
        _, deck, cls = heapq.heappop(due)
        if cls < 0:
            cells += book.events(deck, now, epoch_at(now))
        else:
            cells += book.close(deck, cls, now, epoch_at(now))
    return cells


@dataclass(frozen=True, slots=True)
class _Ask:
    """What the valve is asked with: number of the deck, room, time, and all that is known."""

    deck: int
    room: int
    at: int
    quiet: bool
    upper: float
    cells: list[Cell]

    def tried(self) -> bool:
        """Harm as large as is not excluded would have been proved: more than half may try it."""
        matured = sum(cell.installed for cell in self.cells if cell.test is Test.CLEARANCE)
        return valve.is_tried(installed=matured, upper=self.upper)


def _deal(fleet: Fleet, book: Book, plan: Plan, dealer: Dealer, ask: _Ask) -> "_Table | None":
    """Open the next deck as the judge would, if there is one."""
    world = fleet.world
    here = world.seasoned <= ask.at
    free = here & ~fleet.treated & ~fleet.sealed
    active = int(here.sum())
    first, last = np.searchsorted(world.at, [ask.at - MINUTE, ask.at], side="right")
    polls = float(free[world.who[first:last]].sum())
    life = valve.patience(polls, world.gap / MINUTE)
    dealt = partial(
        valve.deal,
        room=ask.room,
        free=int(free.sum()),
        untreated=int((here & ~fleet.treated).sum()),
        active=active,
        control=plan.terms.control,
        quiet=ask.quiet,
    )
    deal = plain = dealt()
    if plain is not None and plain.cards > plain.treated + valve.LEAST_CONTROLS:
        drawn = polls * valve.filling(life, _usual(fleet) / MINUTE)
        deal = dealt(drawn=drawn, tried=ask.tried())
    if deal is None:
        return None
    book.watch.wide += deal != plain
    long = valve.is_long(cards=deal.cards, locked=book.locked(), active=active) and plan.ladder
    book.open(ask.deck, long=long)
    return _Table(ask.deck, dealer(ask.deck, deal), life * MINUTE, long)


def _usual(fleet: Fleet) -> int:
    """Usual deadline of the members of the newest deck, ms."""
    if not len(fleet.newest):
        return SILENCE_MIN
    return fleet.world.deadline(int(np.median(fleet.world.cls[fleet.newest])))


def _unlock(fleet: Fleet, book: Book, now: int) -> None:
    """If only locked machines are left to try the release, let them go."""
    untreated = (fleet.world.seasoned <= now) & ~fleet.treated
    free = int((untreated & ~fleet.sealed).sum())
    if free < valve.SMALLEST_DECK and int(untreated.sum()) > free:
        book.unlock()


@dataclass(slots=True)
class _Table:
    """A deck from which machines draw."""

    deck: int
    cards: Bools
    life: int
    long: bool
    opened: int = -1
    who: list[Ints] = field(default_factory=list)
    at: list[Ints] = field(default_factory=list)
    drawn: int = 0

    def draw(
        self,
        fleet: Fleet,
        book: Book,
        plan: Plan,
        chance: np.random.Generator,
        span: tuple[int, int],
    ) -> int | None:
        """Let the polls of a span take cards in their order; give the time of the cut, if any."""
        world = fleet.world
        begin, end = span
        if self.opened >= 0:
            end = min(end, self.opened + self.life)
        first = int(np.searchsorted(world.at, begin, side="right"))
        last = int(np.searchsorted(world.at, end, side="right"))
        while first < last and self.drawn < len(self.cards):
            upto = min(last, first + 512)
            at, who = world.at[first:upto], world.who[first:upto]
            able = ~fleet.treated[who] & ~fleet.sealed[who] & (world.seasoned[who] <= at)
            able &= at <= fleet.dead_from[who]
            at, who = at[able], who[able]
            once = np.sort(np.unique(who, return_index=True)[1])[: len(self.cards) - self.drawn]
            at, who = at[once], who[once]
            if len(who) and self.opened < 0:
                self.opened = int(at[0])
                end = min(end, self.opened + self.life)
                last = int(np.searchsorted(world.at, end, side="right"))
            in_time = at <= end
            self._seat(fleet, book, plan, chance, (who[in_time], at[in_time]))
            first = upto
        if self.drawn == len(self.cards):
            return int(self.at[-1][-1])
        if self.opened >= 0 and end >= self.opened + self.life:
            return self.opened + self.life
        return None

    def closings(self, fleet: Fleet, cut: int, delay: int) -> Iterator[tuple[int, int]]:
        """(tick, class) of everything that will be due; class -1 stands for reported crashes."""
        world, who = fleet.world, np.concatenate(self.who)
        fleet.newest = who
        for cls in np.unique(world.cls[who]).tolist():
            span = world.deadline(cls)
            for rung in silence.ladder(span) if self.long else silence.LADDER[:1]:
                begin = cut + delay + SETTLE + (rung - 1) * span + MINUTE
                yield -(-(begin + span) // MINUTE), cls
        first = world.next_crash(who, np.concatenate(self.at))
        for when in np.unique(np.maximum(first[world.beating[who]], cut)).tolist():
            if when < world.end:
                yield -(-when // MINUTE), -1

    def _seat(
        self,
        fleet: Fleet,
        book: Book,
        plan: Plan,
        chance: np.random.Generator,
        cards: tuple[Ints, Ints],
    ) -> None:
        who, at = cards
        if not len(who):
            return
        treated = self.cards[self.drawn : self.drawn + len(who)]
        fleet.sealed[who] = True
        fleet.treated[who[treated]] = True
        fleet.installed[who[treated]] = fleet.world.installs(who[treated], at[treated])
        if plan.harm > 0.0:
            hurt = treated & (chance.random(len(who)) < plan.harm)
            spans = np.array([fleet.world.deadline(int(c)) for c in fleet.world.cls[who[hurt]]])
            died = fleet.installed[who[hurt]] + (plan.fuse * spans).astype(np.int64)
            fleet.dead_from[who[hurt]] = np.minimum(died, NEVER)
        book.seat(self.deck, who, at, treated)
        self.who.append(who)
        self.at.append(at)
        self.drawn += len(who)


def numbered(cells: Iterable[Cell], after: int) -> list[Cell]:
    """Give cells their place in the release's sequence."""
    return [replace(cell, seq=after + k) for k, cell in enumerate(cells, start=1)]
