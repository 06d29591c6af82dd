"""Two channels that roll out over one another, in the stores of gate and judge."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.clocks import HandClock

from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core import valve
from firedoor.core.cell import Cell, Test
from firedoor.core.door import Door, Reason, Resume, State
from firedoor.core.signal import SILENCE, Reports
from firedoor.core.terms import Policy, resolve
from firedoor.core.units import UnixMs
from firedoor.core.valve import Deal
from firedoor.services.boarding import Boarding, rules_for
from firedoor.services.flight import Flight
from firedoor.services.judging import Judge, Pace
from firedoor.services.ledger import LedgerWriter
from firedoor.services.places import AFTERWARDS, Cut, Place
from firedoor.services.records import Harmed, StoredDeck, StoredRelease
from firedoor.services.suspects import Compared, Suspects

AV, OS = ("av", 2), ("os", 5)
RING = "everyone"
ROOT_KEY = b"k" * 32

Rule = Callable[[bool, bool], bool]
"""Whether a machine is harmed that has the first, and the second."""


class Pair:
    """Machines that draw a card in either channel, and a world that harms some of them.

    Attributes:
        labels: Release -> machine -> it is treated.
        store: The judge's.
        clock: Where time stands.
    """

    def __init__(self, folder: Path, machines: int = 400) -> None:
        """Nobody has drawn a card."""
        self.clock = HandClock()
        self.machines = range(1, machines + 1)
        self.labels: dict[tuple[str, int], dict[int, bool]] = {AV: {}, OS: {}}
        self.signals = SignalDatabase(folder / "intake.db")
        self._gate = GateWriter(folder)
        self.gate = GateReader(folder)
        self.store = JudgeStore(folder)
        self._ledger = LedgerWriter(self.store, lambda payload: hashlib.sha512(payload).digest())
        self.flights: dict[tuple[str, int], Flight] = {}
        self.judge = Judge(
            self.store,
            self.gate,
            SignalReader(folder / "intake.db"),
            self._ledger,
            Pace(60_000, 300_000, 60_000),
        )
        self.suspects = self.fresh()

    def fresh(self) -> Suspects:
        """As after a restart of the judge."""
        return Suspects(self.store, self.gate, self._ledger)

    def close(self) -> None:
        """Close all files."""
        for each in (self.signals, self._gate, self.gate, self.store):
            each.close()

    def deal(
        self, key: tuple[str, int], treated: int, *, among: Iterable[int] = (), closed: int = -1
    ) -> None:
        """Deal one deck to all machines, or to these, and cut it; -1: all its classes closed."""
        channel, number = key
        members = list(among) or list(self.machines)
        seed = valve.boarding_seed(ROOT_KEY, channel, number)
        cards = valve.arrangement(
            valve.deck_key(seed, "ab" * 32, RING, 1), Deal(treated=treated, cards=len(members))
        )
        now = self.clock.now()
        places = [
            Place(channel, number, RING, 1, card, machine, label, 0, Reports.NOTHING, now.mono_ms)
            for card, (machine, label) in enumerate(zip(members, cards, strict=True))
        ]
        cut = Cut(channel, number, RING, 1, len(members), treated, now.mono_ms)
        self._gate.commit(places, [cut], now)
        self.labels[key] = dict(zip(members, cards, strict=True))
        with self.store.step():
            deck = StoredDeck(RING, 1, "{}", now.wall_ms, 0, 0, 0, closed=0)
            self.store.put_deck(channel, number, deck)
            self.store.close_deck(channel, number, RING, 1, closed)

    def hand_out(self, key: tuple[str, int], machines: Iterable[int]) -> None:
        """These machines got the release after its door had opened, without a card."""
        now = self.clock.now()
        places = [
            Place(*key, RING, AFTERWARDS, 0, machine, True, 0, Reports.NOTHING, now.mono_ms)
            for machine in machines
        ]
        self._gate.commit(places, [], now)
        self.labels[key] |= dict.fromkeys(machines, True)

    def harm(self, rule: Rule, *counted: tuple[str, int]) -> set[int]:
        """The world harms machines; these releases count those who drew their cards."""
        self.clock.pass_ms(60_000)
        hit = {
            machine
            for machine in self.machines
            if rule(*(self.labels[key].get(machine, False) for key in (AV, OS)))
        }
        with self.store.step():
            for key in counted:
                for stored in self.gate.places_of(*key):
                    place = stored.place
                    if place.machine in hit and place.deck != AFTERWARDS:
                        row = Harmed(
                            stored.id,
                            place.machine,
                            place.treated,
                            SILENCE,
                            self.clock.now().wall_ms,
                            recovered_ms=0,
                        )
                        self.store.add_harmed(*key, row)
        return hit

    def compare(self, alpha: float = 0.01) -> Compared:
        """What the contrasts say."""
        harmed = [self.store.harmed(*key) for key in (AV, OS)]
        return self.suspects.compare(AV, OS, harmed[0], harmed[1], alpha)

    def fly(self, key: tuple[str, int], *, harmed: int, state: State = State.OPENING) -> Flight:
        """Board a release whose evidence shows so many harmed treated machines of forty."""
        channel, number = key
        terms = resolve(Policy(), len(self.machines))
        now, release = self.clock.now(), key[0].encode().hex() * 16
        boarding = Boarding(
            channel,
            number,
            release,
            1,
            now.wall_ms,
            "",
            {RING: terms},
            rules_for(terms, reporting=0),
        )
        reason = Reason.HARMFUL if state is State.SHUT else Reason.EVIDENCE
        door = Door(channel, number, RING, release, "", 20, state, reason, UnixMs(now.wall_ms))
        flight = Flight.begin(boarding, b"seed", [door])
        self.flights[key] = flight
        if harmed:
            self.close_one(key, harmed)
        with self.store.step():
            self.store.add_release(StoredRelease(release, channel, now.wall_ms, "", 0, 0), {})
            self.store.add_boarding(boarding)
            self.store.put_door(door)
        return flight

    def close_one(self, key: tuple[str, int], harmed: int) -> None:
        """Another closing: so many of forty treated machines, and none of the control."""
        flight = self.flights[key]
        seq = flight.evidence.seq + 1
        flight.absorb(Cell(seq, RING, 1, 0, Test.HARM, SILENCE, "", 40, 360, harmed, 0))

    def resume(self, key: tuple[str, int]) -> None:
        """A person lets a held release go on."""
        with self.store.step():
            order = Resume("Amira", "looked at it", fresh=0)
            self.judge.apply(self.flights[key], RING, order, self.clock.now())

    def look(self) -> None:
        """The judge looks for suspects."""
        with self.store.step():
            self.suspects.look(self.flights, self.judge.apply, self.clock.now())

    def notes(self) -> list[dict[str, Any]]:
        """Notes of the ledger."""
        entries = (signed.entry for signed in self.store.entries())
        return [dict(entry.body) for entry in entries if entry.kind == "note"]
