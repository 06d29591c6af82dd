"""The judge: once a bucket, close what is due, weigh it, move doors, deal decks.

One tick is one transaction: the cells, the verdict, the decision in the ledger, the door and the
board are durable together, and only then is anything carried out. If the store fails, the tick
leaves nothing behind and the judge is built again from what is stored; until it ticks again the
leases of all decks run out and the gate enrols nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TypeAlias

import msgspec
import numpy as np

from firedoor.core import silence, valve
from firedoor.core.board import Grant
from firedoor.core.cell import age_of
from firedoor.core.door import Assessed, Command, Door, Event, State, ended
from firedoor.core.door import step as step_door
from firedoor.core.signal import SILENCE
from firedoor.core.terms import Terms
from firedoor.core.verdict import Verdict, VerdictState
from firedoor.ports import Instant, SignalSource
from firedoor.services import past, reports, told
from firedoor.services.collectors import Collectors
from firedoor.services.effects import Effects
from firedoor.services.flight import Flight, Numbers, Silent, weigh
from firedoor.services.hearing import CURSORS, Hearing
from firedoor.services.lanes import end_lanes
from firedoor.services.ledger import LedgerWriter
from firedoor.services.outages import outage
from firedoor.services.places import Census
from firedoor.services.pools import Closing, Pool, close_class, count_events, ends_early
from firedoor.services.recall import recall, rewind
from firedoor.services.records import Harmed, StoredDeck
from firedoor.services.stalls import Teller, explained, stall
from firedoor.services.stores import GateRecords, JudgeRecords
from firedoor.services.suspects import Suspects
from firedoor.services.waiting import Waiting

LOST_AT = "lost-at"
"""Cursor: 1 ms more than the gate had listened when records were lost; 0 for never."""

_Rings: TypeAlias = dict[str, Numbers]

_OVER = (State.SHUT, State.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class Pace:
    """The judge's times, ms: ``[time]`` of the configuration."""

    bucket_ms: int
    silence_min_ms: int
    settle_ms: int


class Judge:
    """Doors, pools and evidence of all channels. One thread at a time."""

    def __init__(
        self,
        store: JudgeRecords,
        gate: GateRecords,
        signals: SignalSource,
        ledger: LedgerWriter,
        pace: Pace,
    ) -> None:
        """Nothing is read before ``load``."""
        self.store = store
        self.ledger = ledger
        self.flights: dict[tuple[str, int], Flight] = {}
        self._pace = pace
        self._teller = Teller(store, ledger)
        self._suspects = Suspects(store, gate, ledger)
        self._waiting = Waiting(store, silence_min_ms=pace.silence_min_ms, settle_ms=pace.settle_ms)
        self._effects = Effects(store)
        self._collectors = Collectors(store, signals, ledger, silence_min_ms=pace.silence_min_ms)
        self._published: dict[tuple[str, int], tuple[Verdict, _Rings]] = {}
        self._track: dict[tuple[str, int], str] = {}
        cursors = {name: store.cursor(name) for name in CURSORS}
        lost_at = store.cursor(LOST_AT) - 1
        self.hearing = Hearing(
            gate,
            signals,
            bucket_ms=pace.bucket_ms,
            cursors=cursors,
            lost_at=lost_at if lost_at >= 0 else None,
        )

    def load(self, flights: Iterable[Flight], now: Instant) -> None:
        """Watch these boardings again: undecided ones, and those with decks that did not close.

        Their evidence is built from their cells; signals are read again from where the oldest
        open deck began.
        """
        self.flights = {(f.boarding.channel, f.boarding.number): f for f in flights}
        recall(self.flights, self.store, self.hearing, now)
        rewind(self.flights, self.store, self.hearing)

    def recall(self, flight: Flight, now: Instant) -> None:
        """Build a boarding that is watched no more, as if it had been all the time.

        It is watched again as soon as an event makes its door undecided.
        """
        key = (flight.boarding.channel, flight.boarding.number)
        recall({key: flight}, self.store, self.hearing, now)

    def tick(self, now: Instant, board: int, *, opens: bool = True) -> None:
        """Read what happened, then decide, within the caller's step.

        Args:
            now: The clocks.
            board: Version of the board that holds now: a count older than it is stale.
            opens: Doors may open and decks be dealt; else they only shut and hold.
        """
        self.hearing.listen(self.flights, now)
        self._effects.look(self.flights, self.hearing, now)
        self._collectors.look(self.hearing.life, now)
        for flight in self.flights.values():
            self._close_due(flight, now)
        weigh(self.flights.values())
        self._suspects.look(self.flights, self.apply, now)
        end_lanes(self.flights.values(), self.apply, self.ledger, now)
        for flight in self.flights.values():
            found = flight.verdict()
            numbers = flight.all_numbers(found)
            self._assess(flight, found, numbers, now, board, opens=opens)
            if opens:
                self._deal(flight, found, numbers, now, board)
            self._publish(flight, flight.verdict(), numbers, now)
        for name in CURSORS:
            self.store.put_cursor(name, self.hearing.cursors[name])
        for key in [key for key, flight in self.flights.items() if not flight.watched()]:
            del self.flights[key]
            self._published.pop(key, None)
            self._track.pop(key, None)

    def apply(self, flight: Flight, ring: str, event: Event, now: Instant) -> Door:
        """Send one event to one door, within the caller's step.

        Raises:
            IllegalTransition: The door refuses it; nothing changed.
        """
        before = flight.doors[ring]
        after, commands = step_door(before, event, now.wall_ms)
        if after is before:
            return after
        flight.doors[ring] = after
        self.store.put_door(after)
        evidence = reports.snapshot(flight, flight.verdict())
        self.ledger.decide(before, after, commands, evidence, now)
        if Command.DEAL not in commands or Command.STOP in commands:
            flight.withdraw(ring)
        if after.state is State.OPEN:
            self._end_older_watches(after, now)
        if flight.watched():
            self.flights.setdefault((after.channel, after.number), flight)
        last = not ended(before.state) and all(ended(d.state) for d in flight.doors.values())
        if Command.REVEAL in commands and last and not self._is_shut(flight):
            self.reveal(flight, now)
        return after

    def reveal(self, flight: Flight, now: Instant) -> None:
        """Publish the seed of a boarding, once: anyone can audit now who was chosen."""
        channel, number = flight.boarding.channel, flight.boarding.number
        if not self.store.seed(channel, number):
            self.store.reveal(channel, number, flight.seed.hex())
            self.ledger.reveal(channel, number, flight.seed, now)

    def publish(self, flight: Flight, now: Instant) -> None:
        """Store what a boarding looks like now."""
        found = flight.verdict()
        self._publish(flight, found, flight.all_numbers(found), now)

    @staticmethod
    def _is_shut(flight: Flight) -> bool:
        return any(door.state is State.SHUT for door in flight.doors.values())

    def _close_due(self, flight: Flight, now: Instant) -> None:
        epoch = flight.epoch_at(now.wall_ms, self._pace.bucket_ms)
        # By name, not by age: the order of the cells must not tell of a restart of the judge.
        for key, pool in sorted(flight.pools.items(), key=itemgetter(0)):
            if pool.cut_ms is None or pool.cut_at is None:
                self._cut_early(flight, pool)
                continue
            age = age_of(now.since(pool.cut_at))
            decided = [signal for signal in told.EVENTS if flight.decides(signal)]
            for signal in decided:
                if not pool.unseen(signal, self.hearing.events(signal)):
                    continue
                hit = self.hearing.hit(pool, signal)
                seen = self.hearing.witnessed(flight.boarding.channel, pool, signal)
                closing = count_events(
                    pool, hit, signal=signal, epoch=epoch, age=age, witnessed=seen
                )
                if closing is not None:
                    self._take(flight, pool, closing, now)
            if len(pool) and (not pool.looked or pool.told.any()):
                self._look_at_told(flight, pool, now)
            for cls in pool.open_classes():
                rungs = self._rungs(flight, pool, cls)
                rung = pool.rungs.get(cls, 0)
                if rung >= len(rungs):
                    self._look_at_told(flight, pool, now)
                    pool.release(cls)
                    self._save_deck(flight, pool)
                    continue
                delay = flight.boarding.terms[pool.ring].install_delay_ms
                begin = self._window(pool, cls, rungs[rung], delay)
                if begin is None:
                    continue
                # All of the deck at once: before any of this look's labels are used.
                self._look_at_told(flight, pool, now)
                ready = self._waiting.ready(flight, pool, cls, begin)
                closing = close_class(
                    pool,
                    cls,
                    silent=self.hearing.life.silent(pool.machines, begin),
                    installed=ready,
                    epoch=epoch,
                    age=age,
                    shown={s: self.hearing.hit(pool, s) for s in told.EVENTS if s not in decided},
                    last=rung + 1 == len(rungs),
                )
                self._take(flight, pool, closing, now)
                if not rung:
                    self._waiting.begin(flight, pool, cls, ready, now)
            if pool.is_closed():
                # Nobody drew a card, or the last class has just been stored as closed.
                self._save_deck(flight, pool)
                del flight.pools[key]
        self._waiting.greet(flight, self.hearing.life, now)
        self._waiting.look(flight, self.hearing, now)

    def _look_at_told(self, flight: Flight, pool: Pool, now: Instant) -> None:
        bucket_ms = self._pace.bucket_ms
        closing = told.look(flight, pool, self.hearing, now, bucket_ms=bucket_ms)
        if closing is not None:
            self._take(flight, pool, closing, now)

    def _rungs(self, flight: Flight, pool: Pool, cls: int) -> tuple[int, ...]:
        """After how many deadlines a class is looked at; after the last it is released."""
        if not pool.long or flight.doors[pool.ring].state in _OVER:
            return silence.LADDER[:1]
        return silence.ladder(silence.class_deadline(cls, self._pace.silence_min_ms))

    def _cut_early(self, flight: Flight, pool: Pool) -> None:
        """End a deck whose members report harm in numbers."""
        decided = [signal for signal in told.EVENTS if flight.decides(signal)]
        channel = flight.boarding.channel
        spoke = sum(
            int((self.hearing.hit(pool, s) | self.hearing.witnessed(channel, pool, s)).sum())
            for s in decided
        )
        if ends_early(spoke, len(pool)):
            flight.withdraw(pool.ring)

    def _window(self, pool: Pool, cls: int, rung: int, delay_ms: int) -> int | None:
        """Begin of the silence window of a class that is due, or None while it is not."""
        span = silence.class_deadline(cls, self._pace.silence_min_ms)
        after = (pool.cut_ms or 0) + delay_ms + self._pace.settle_ms + (rung - 1) * span
        begin = self.hearing.life.window(after, intake=pool.beats(cls))
        due = begin is not None and self.hearing.life.until >= begin + span
        return begin if due else None

    def _take(self, flight: Flight, pool: Pool, closing: Closing, now: Instant) -> None:
        channel, number = flight.boarding.channel, flight.boarding.number
        for cell in closing.cells:
            numbered = replace(cell, seq=flight.seq + 1)
            flight.absorb(numbered)
            self.store.add_cell(channel, number, numbered)
        if seen := self._collectors.named(outage(closing.cells)):
            what, seen = f"outage:{pool.deck}", f"meets an outage: {seen}"
            self._teller.door(flight, pool.ring, now, what=what, note=seen)
        pool.take(closing)
        for member in np.flatnonzero(closing.harmed):
            row, machine = int(pool.rows[member]), int(pool.machines[member])
            treated = bool(pool.treated[member])
            self._waiting.count(flight, row)
            until, at_ms = self.hearing.life.until, now.wall_ms
            harmed = Harmed(row, machine, treated, closing.signal, at_ms, 0, now.boot, until)
            self.store.add_harmed(channel, number, harmed)
            if closing.signal == SILENCE and treated:
                cls, beating = int(pool.cls[member]), bool(pool.beating[member])
                flight.silent[row] = Silent(machine, pool.ring, until, pool.deck, cls, beating)
        if closing.signal == SILENCE or closing.spent is not None:
            self._save_deck(flight, pool)

    def _save_deck(self, flight: Flight, pool: Pool) -> None:
        channel, number = flight.boarding.channel, flight.boarding.number
        closed = -1 if pool.is_closed() else pool.closed_mask()
        self.store.close_deck(
            channel,
            number,
            pool.ring,
            pool.deck,
            closed,
            looks=pool.looks(),
            told_ms=pool.told_ms,
            spent="" if pool.spent is None else msgspec.json.encode(pool.spent).decode(),
        )

    def _assess(
        self,
        flight: Flight,
        found: Verdict,
        rings: _Rings,
        now: Instant,
        board: int,
        *,
        opens: bool,
    ) -> None:
        sentence = reports.sentence(flight, found)
        harmful = found.state is VerdictState.HARMFUL
        newest = not found.worse or past.is_newest(flight.boarding, self.store)
        for ring, door in flight.doors.items():
            terms, numbers = flight.boarding.terms[ring], rings[ring]
            ready = (
                opens
                and not found.warn
                and not flight.unresolved(ring)
                and self._soaked(flight, ring, now)
            )
            count = self.hearing.count(door.channel, ring, board=board)
            walked = count is not None and count.active > 0 and count.untreated == 0
            # Those of whom records were lost have not been admitted: only nobody knows of them.
            walked = walked and not self.hearing.forgotten(door.channel, ring)
            spent = numbers.room < 1 and not flight.unresolved(ring) and numbers.debt > 0
            spent = spent and not terms.shadow
            gone = flight.gone(ring, numbers.matured)
            back = flight.all_spoke_again(ring) or (walked and not gone)
            event = Assessed(
                harmful=harmful,
                cleared=ready and numbers.matured > 0 and _excludes(found, numbers, terms),
                walked=ready and walked and numbers.matured > 0 and not spent,
                gone=gone,
                spent=spent,
                recovered=opens and numbers.room >= 1 and back,
                worse=found.worse,
                newest=newest,
                sentence=sentence,
            )
            self.apply(flight, ring, event, now)
        if found.worse:
            past.accuse(flight, sentence, self.store, self.ledger, now)

    def _deal(
        self, flight: Flight, found: Verdict, rings: _Rings, now: Instant, board: int
    ) -> None:
        for ring, door in flight.doors.items():
            count = self.hearing.count(door.channel, ring, board=board)
            terms, numbers = flight.boarding.terms[ring], rings[ring]
            # Evidence of other rings does not open this one: somebody here has to try it first.
            tried = numbers.matured > 0 and not flight.gone(ring, numbers.matured)
            clears = _excludes(found, numbers, terms) and tried and not found.warn
            if door.state is not State.OPENING or count is None or clears:
                continue
            free_to_deal = flight.may_deal(ring)
            if terms.shadow:
                shadow = valve.shadow_deal(free=count.free, control=terms.control)
                if free_to_deal and shadow is not None:
                    self._open_deck(flight, ring, shadow, count, now)
                elif shadow is None:
                    flight.deserted.add(ring)
                continue
            quiet = not flight.unresolved(ring) and self._soaked(flight, ring, now)
            deck = valve.deal(
                room=numbers.room if free_to_deal else 0,
                free=count.free,
                untreated=count.untreated,
                active=count.active,
                control=terms.control,
                quiet=quiet and not found.warn,
                drawn=self._drawn(flight, ring, count),
                tried=valve.is_tried(installed=found.matured.installed, upper=found.harm_upper),
            )
            if deck is not None:
                self._open_deck(flight, ring, deck, count, now)
            elif free_to_deal and quiet and numbers.room >= 1 and _only_locked(count):
                # Nobody else is left to try the release.
                self._unlock(flight, ring, now)
                rings[ring] = flight.numbers(ring, found)
            elif all(pool.is_matured() or not len(pool) for pool in flight.pools_of(ring)):
                # A deck that nobody has drawn from yet may wait for a machine, but not for ever.
                warn = found.warn and free_to_deal
                why = stall(
                    count,
                    numbers,
                    terms,
                    warn=warn,
                    quiet=quiet,
                    absent=self.hearing.absent(door.channel, ring),
                    forgotten=self.hearing.forgotten(door.channel, ring),
                )
                if why is not None:
                    said = explained(
                        why, count.unknown, enrolled=count.enrolled, active=count.active
                    )
                    self._teller.door(flight, ring, now, what=why, note=f"stands still: {said}")

    def _unlock(self, flight: Flight, ring: str, now: Instant) -> None:
        """End the watch for late harm in a ring, without another look at who is silent.

        Both arms are released at once, and who is in which had no say in it. The quiet minutes are
        counted, as those with an event were.
        """
        for pool in flight.pools_of(ring):
            if not pool.rungs:
                continue
            self._look_at_told(flight, pool, now)
            for cls in list(pool.rungs):
                pool.release(cls)
            self._save_deck(flight, pool)
            if pool.is_closed():
                del flight.pools[(ring, pool.deck)]

    def _open_deck(
        self, flight: Flight, ring: str, deck: valve.Deal, count: Census, now: Instant
    ) -> None:
        life_ms = self._deck_life(count) * self._pace.bucket_ms
        long = valve.is_long(cards=deck.cards, locked=flight.locked(ring), active=count.active)
        boarding = flight.boarding
        number = flight.last_deck.get(ring, 0) + 1
        key = valve.deck_key(flight.seed, boarding.release, ring, number)
        grant = Grant(number, deck.cards, deck.treated, key.hex(), life_ms, long)
        flight.last_deck[ring] = number
        flight.grants[ring] = grant
        listened = self.hearing.listened_ms
        flight.pools[(ring, number)] = Pool(ring, number, long=long, began_ms=listened)
        body = msgspec.json.encode(grant).decode()
        heard, batch, event = (self.hearing.cursors[name] for name in CURSORS)
        self.store.put_deck(
            boarding.channel,
            boarding.number,
            StoredDeck(
                ring, number, body, now.wall_ms, heard, batch, event, 0, "", listened, listened
            ),
        )

    def _deck_life(self, count: Census) -> int:
        return valve.patience(count.polls, count.gap_ms / self._pace.bucket_ms)

    def _drawn(self, flight: Flight, ring: str, count: Census) -> float:
        """Cards that are likely to be drawn in the time in which the window should be filled."""
        newest = max((pool for pool in flight.pools_of(ring) if len(pool)), key=_deck, default=None)
        if newest is not None:
            # By the machines' deadlines, which were fixed before their cards: no label is read.
            usual = int(np.median(newest.cls))
            flight.deadlines[ring] = silence.class_deadline(usual, self._pace.silence_min_ms)
        deadline = flight.deadlines.get(ring, self._pace.silence_min_ms) / self._pace.bucket_ms
        return count.polls * valve.filling(self._deck_life(count), deadline)

    def _soaked(self, flight: Flight, ring: str, now: Instant) -> bool:
        """Nobody was admitted for the time a door is watched before it opens."""
        last = flight.last_cut.get(ring)
        boarded = now.wall_ms - flight.boarding.boarded_ms
        passed = boarded if last is None else now.since(last)
        return passed >= flight.boarding.terms[ring].soak_ms

    def _end_older_watches(self, opened: Door, now: Instant) -> None:
        """Nobody is served an older release any more: what happens now is not its doing."""
        for (channel, number), flight in self.flights.items():
            if channel == opened.channel and number < opened.number:
                self._unlock(flight, opened.ring, now)
                if flight.due:
                    self.publish(flight, now)

    def _publish(self, flight: Flight, found: Verdict, rings: _Rings, now: Instant) -> None:
        channel, number = flight.boarding.channel, flight.boarding.number
        if self._published.get((channel, number)) == (found, rings):
            return
        self._published[(channel, number)] = (found, rings)
        self.store.put_verdict(channel, number, reports.verdict_json(flight, found, rings))
        point = reports.track_point(found, rings.values())
        if self._track.get((channel, number)) != point:
            self._track[(channel, number)] = point
            self.store.add_track(channel, number, now.wall_ms, point)


def _deck(pool: Pool) -> int:
    return pool.deck


def _excludes(found: Verdict, numbers: Numbers, terms: Terms) -> bool:
    """Whether harm enough to keep a door shut is excluded, for those too who were late."""
    if not numbers.unseen:
        return found.excludes(terms.delta)
    return found.harm_upper + numbers.unseen / max(numbers.matured, 1) <= terms.delta


def _only_locked(count: Census) -> bool:
    """Whoever does not have the release yet is a member of a long deck, but for one at most."""
    return count.free < valve.SMALLEST_DECK and count.untreated > count.free
