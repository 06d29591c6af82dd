"""Records that were deleted or restored: what the judge forgets, holds and tells then.

What is lost cannot be had back. What can be had is that nobody takes the rest for the whole: no
door goes on by itself over a gap, no row is passed over because its number was read before, and
the ledger says what is not known any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firedoor.adapters.store import gate as gate_store
from firedoor.adapters.store import inbox as inbox_store
from firedoor.adapters.store import signals as signal_store
from firedoor.core.errors import BadConfig, Unavailable
from firedoor.core.ledger.chain import Head
from firedoor.core.ledger.entry import leaf_hash
from firedoor.ports import Numbered
from firedoor.services.judging import LOST_AT
from firedoor.services.records import Block
from firedoor.services.stores import GateRecords, JudgeRecords
from firedoor.wire.files import Files
from firedoor.wire.head import read_head

_ANOTHER: Final = "is not the database that was read before: it was deleted, replaced or restored"

LOST: Final[Mapping[str, str]] = {
    gate_store.NAME: (
        "who was let into which release, and when each machine was heard, is not known beyond "
        "what it says, and the list of exposed machines is incomplete; every door in flight is "
        "held, and nothing boards before a person resumes the channel"
    ),
    signal_store.NAME: (
        "signals that only the other one held are not known any more and will never be counted; "
        "it is read from its beginning, and what was counted is not counted again"
    ),
    inbox_store.NAME: (
        "orders that had no answer yet are lost; of those in it that were not answered, only "
        "holds and shuts are carried out"
    ),
}
"""Name of a database -> what is not known when it was replaced, and what was done."""

NO_HEAD: Final = (
    "there is a ledger and no head where [ledger] head of the configuration says: whether records "
    "were restored from a backup cannot be told; one is kept there from now on"
)

UNKEPT: Final = (
    "the ledger's head is not kept ({why}): until it can be, nothing opens and nothing boards; "
    "doors still shut and are still held, by evidence and by people, and no other order is obeyed"
)

KEPT_AGAIN: Final = "the ledger's head is kept again, and doors open again"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that the ledger says of it.

    Attributes:
        text: For people.
        database: Name of the database that is another one, "" if it is about none.
    """

    text: str
    database: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is not as the judge left it.

    Attributes:
        replaced: Names of databases that are not those it has read.
        lost: A head that the ledger does not reach, or None.
        lost_at: Where that head lies.
        headless: There should be a head, and there is none.
        unread: Why nobody can tell what head is kept, "" if it could be read.
    """

    replaced: tuple[str, ...] = ()
    lost: Head | None = None
    lost_at: Path | None = None
    headless: bool = False
    unread: str = ""

    def notes(self, size: int, since_ms: int) -> list[Note]:
        """What the ledger says of it.

        Args:
            size: Entries in the ledger.
            since_ms: Wall clock of the last of them.
        """
        said = [Note(f"{name} {_ANOTHER}; {LOST[name]}", name) for name in self.replaced]
        if self.lost is not None:
            said.insert(
                0,
                Note(
                    f"a restored ledger ends at {size} of {self.lost.size} entries; "
                    f"the list of exposed machines is incomplete since {since_ms}"
                ),
            )
        if self.headless:
            said.append(Note(NO_HEAD))
        return said

    @property
    def must_hold(self) -> bool:
        """Nothing in flight may go on by itself."""
        return self.lost is not None or gate_store.NAME in self.replaced

    @property
    def block(self) -> Block:
        """Why nothing boards by itself, if ``must_hold``."""
        if self.lost is not None:
            return Block.LEDGER_LOST
        return Block.GATE_LOST if self.must_hold else Block.NONE

    @property
    def orders_are_old(self) -> bool:
        """Orders that wait may have been answered before, or are another judge's."""
        return self.lost is not None or inbox_store.NAME in self.replaced


class Custody:
    """Compares what lies in the data directory with what the judge remembers of it."""

    def __init__(
        self,
        files: Files,
        store: JudgeRecords,
        gate: GateRecords,
        signals: Numbered,
        orders: Numbered,
    ) -> None:
        """Nothing is read yet."""
        self._files = files
        self._store = store
        self._gate = gate
        self._sources: Mapping[str, Numbered] = {
            gate_store.NAME: gate,
            signal_store.NAME: signals,
            inbox_store.NAME: orders,
        }

    def replaced(self) -> tuple[str, ...]:
        """Names of the databases that are not those that were read. Raises Unavailable."""
        return tuple(name for name, source in self._sources.items() if self._is_another(name))

    def look(self) -> Findings:
        """Compare everything. Raises Unavailable."""
        paths = dict.fromkeys((self._files.ledger_head, self._files.own_head))
        try:
            heads = [(path, head) for path in paths if (head := read_head(path)) is not None]
        except (Unavailable, BadConfig) as error:
            # What protects must not wait for whoever looks at the file.
            return Findings(replaced=self.replaced(), unread=str(error))
        path, kept = heads[0] if heads else (None, None)
        gone = kept is not None and not self._holds(kept)
        # Where the folder is missing, so is the disk: its head is compared when it is back.
        there = self._files.ledger_head.parent.is_dir()
        elsewhere = there and self._files.ledger_head != self._files.own_head
        return Findings(
            replaced=self.replaced(),
            lost=kept if gone else None,
            lost_at=path if gone else None,
            headless=kept is None and elsewhere and self._store.last_index() >= 0,
        )

    def decks(self) -> list[tuple[str, int, str, int]]:
        """What was dealt of boardings that may be dealt more: see ``LedgerWriter.lose``."""
        dealt: dict[tuple[str, int, str], int] = {}
        for channel in self._store.channels():
            for boarding in self._store.boardings(channel):
                if not self._store.seed(channel, boarding.number):
                    for deck in self._store.decks(channel, boarding.number):
                        key = channel, boarding.number, deck.ring
                        dealt[key] = max(deck.deck, dealt.get(key, 0))
        return [(*key, last) for key, last in dealt.items()]

    def begin_anew(self, found: Findings) -> None:
        """Forget what was read of the replaced databases, within the caller's step.

        Call it before a judge is built, which begins to read where the store says.
        """
        if found.must_hold:
            # Machines that the lost records told of have seven days of listening to come back.
            self._store.put_cursor(LOST_AT, self._gate.listened_ms() + 1)
        for name in found.replaced:
            match name:
                case gate_store.NAME:
                    self._store.read_anew("heard")
                    self._lose_places()
                    # No lease: the gate must not deal from decks of which it forgot the cards.
                    self._store.put_tick("", 0, 0)
                case signal_store.NAME:
                    self._store.read_anew("batch")
                    self._store.read_anew("event")
                case _:
                    last = self._sources[name].reached()["request"]
                    self._store.put_cursor("request", min(self._store.cursor("request"), last))
                    self._store.forget_answers(last)
        for name, source in self._sources.items():
            identity = source.identity()
            if self._store.source(name) != identity:
                self._store.put_source(name, identity)

    def _is_another(self, name: str) -> bool:
        source, known = self._sources[name], self._store.source(name)
        if known and known != source.identity():
            return True
        return any(self._store.cursor(cursor) > row for cursor, row in source.reached().items())

    def _holds(self, kept: Head) -> bool:
        """Whether the ledger still has the entry that the kept head names."""
        entry = self._store.entries(after=kept.size - 2, limit=1)
        return not kept.size or bool(entry and leaf_hash(entry[0].entry) == kept.last)

    def _lose_places(self) -> None:
        """Harmed and late members are told by the row of their place: it may be another's."""
        for channel, number in self._store.harmed_boardings():
            known = {p.id: p.place.machine for p in self._gate.places_of(channel, number)}
            harmed = {(each.place, each.machine) for each in self._store.harmed(channel, number)}
            late = {(each.row, each.machine) for each in self._store.late(channel, number)}
            for place, machine in sorted(harmed | late):
                if place > 0 and known.get(place) != machine:
                    self._store.lose_place(place)
