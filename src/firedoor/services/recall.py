"""Recall: boardings built again from what is stored, as if they had been watched all the time."""

import msgspec

from firedoor.core.board import Grant
from firedoor.core.door import State
from firedoor.core.signal import SILENCE, TOLD, TOLD_EARLY, Reports
from firedoor.ports import Instant
from firedoor.services.effects import recall_effect
from firedoor.services.flight import Flight, Silent, weigh
from firedoor.services.hearing import CURSORS, Flights, Hearing
from firedoor.services.pools import Pool, Spent
from firedoor.services.stores import JudgeRecords
from firedoor.services.waiting import survivors

_MOST_DUE = 1 << 16  # cells held in memory at a start before they are weighed


def recall(flights: Flights, store: JudgeRecords, hearing: Hearing, now: Instant) -> None:
    """Build evidence from cells, and open decks and the silent from what is on record."""
    due = 0
    for flight in flights.values():
        _recall_cells(flight, store)
        due += len(flight.due)
        if due >= _MOST_DUE:
            weigh(flights.values())
            due = 0
    weigh(flights.values())
    hearing.catch_up(flights, now)
    for (channel, number), flight in flights.items():
        if flight.effect is not None:
            recall_effect(flight.effect, store.effects(channel, number), now)
        for pool in flight.pools.values():
            # Not after the present, where a gate.db of before was restored.
            pool.told_ms = min(pool.told_ms, hearing.listened_ms)
            pool.began_ms = min(pool.began_ms, pool.told_ms)
        _remember_the_silent(flight, store, hearing, now)


def rewind(flights: Flights, store: JudgeRecords, hearing: Hearing) -> None:
    """Signals are read again from where the oldest deck began that is open or waited for."""
    for (channel, number), flight in flights.items():
        needed = flight.pools.keys() | flight.late.decks()
        for deck in store.decks(channel, number):
            if (deck.ring, deck.deck) in needed:
                # One bucket of the gate more: it tells since when the gate had been listening.
                began = (max(0, deck.heard - 1), deck.batch, deck.event)
                for name, value in zip(CURSORS, began, strict=True):
                    hearing.cursors[name] = min(hearing.cursors[name], value)


def _recall_cells(flight: Flight, store: JudgeRecords) -> None:
    channel, number = flight.boarding.channel, flight.boarding.number
    looked = set()
    for cell in store.cells(channel, number):
        flight.absorb(cell)
        if cell.signal in (TOLD_EARLY, TOLD):
            looked.add((cell.ring, cell.deck))
    for late in store.late(channel, number):
        flight.wait(late)
    for ring in flight.doors:
        survived = store.cursor(survivors(channel, number, ring))
        if survived:
            flight.late.survived[ring] = survived
    # What was late and harmed has no cell: its pool does not know its label, and looks again.
    own = {row for row, late in flight.late.late.items() if late.harmed}
    harmed = [each for each in store.harmed(channel, number) if each.place not in own]
    known = {each.place for each in harmed}
    said = {each.place for each in harmed if each.signal != SILENCE}
    for deck in store.decks(channel, number):
        flight.last_deck[deck.ring] = max(deck.deck, flight.last_deck.get(deck.ring, 0))
        if deck.closed < 0:
            continue
        grant, key = msgspec.json.decode(deck.grant, type=Grant), (deck.ring, deck.deck)
        flight.pools[key] = Pool(
            deck.ring,
            deck.deck,
            long=grant.long,
            closed=deck.classes(),
            rungs=deck.rungs(),
            harmed_rows=known,
            # Whoever spoke is looked at in the same step, but in decks of before there were looks.
            told_rows=() if key in looked else said,
            began_ms=deck.began_ms,
            told_ms=deck.told_ms,
            looked=key in looked or bool(deck.spent),
            spent=msgspec.json.decode(deck.spent, type=Spent) if deck.spent else None,
        )
        # The latest deck is the one that may be dealt; ``catch_up`` takes out what was cut.
        flight.withdraw(deck.ring)
        flight.grants[deck.ring] = grant
    for ring, door in flight.doors.items():
        if door.state is not State.OPENING:
            flight.withdraw(ring)


def _remember_the_silent(
    flight: Flight, store: JudgeRecords, hearing: Hearing, now: Instant
) -> None:
    channel, number = flight.boarding.channel, flight.boarding.number
    rows = {s.id: s for s in hearing.places_of(channel, number)}
    for harmed in store.harmed(channel, number):
        if harmed.signal != SILENCE or not harmed.treated:
            continue
        stored = rows.get(harmed.place)
        if stored is None:
            continue  # Its place was lost with a gate.db: it keeps its slot for good.
        ring = stored.place.ring
        if harmed.recovered_ms:
            flight.recovered[ring] = flight.recovered.get(ring, 0) + 1
        else:
            counted = harmed.counted_ms
            if harmed.boot != now.boot:
                counted = now.mono_ms - max(0, now.wall_ms - harmed.at_ms)
            flight.silent[harmed.place] = Silent(
                harmed.machine,
                ring,
                counted,
                stored.place.deck,
                stored.place.cls,
                stored.place.reports is Reports.BEATS,
            )
