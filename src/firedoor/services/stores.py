"""Stores: where the judge and the gate keep their records.

The judge's own store and the gate's are written by one process each and read by others. The
Protocols here are what the services need of them; a step is atomic and durable.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from firedoor.core.board import Board
from firedoor.core.cell import Cell
from firedoor.core.door import Door
from firedoor.core.ledger.entry import Signed
from firedoor.core.release import Manifest
from firedoor.ports import Numbered
from firedoor.services.boarding import Boarding
from firedoor.services.late import Late
from firedoor.services.places import Census
from firedoor.services.preflight import Report
from firedoor.services.records import (
    ChannelState,
    Harmed,
    Heard,
    Seen,
    StoredCut,
    StoredDeck,
    StoredEffect,
    StoredInstall,
    StoredPlace,
    StoredRejection,
    StoredRelease,
)
from firedoor.services.supply import Refusal


class JudgeRecords(Protocol):
    """The judge's store. Every ``put`` and ``add`` belongs in a ``step``."""

    def step(self) -> AbstractContextManager[None]:
        """All or nothing; durable when left. Raises Unavailable, and then nothing was written."""
        ...

    def board(self) -> Board:
        """The newest board."""
        ...

    def cursor(self, name: str) -> int:
        """Where reading of another store goes on, 0 from the beginning."""
        ...

    def put_cursor(self, name: str, value: int) -> None:
        """Remember how far another store has been read."""
        ...

    def source(self, name: str) -> str:
        """Identity of the database of this name that has been read, "" before the first."""
        ...

    def put_source(self, name: str, identity: str) -> None:
        """Remember which database the cursors belong to."""
        ...

    def read_anew(self, cursor: str) -> None:
        """Let reading begin at the first row again, for the decks that are open too."""
        ...

    def channels(self) -> list[str]:
        """Names of all channels that have a release, also of those no longer configured."""
        ...

    def channel(self, name: str) -> ChannelState:
        """State of a channel's upstream."""
        ...

    def put_channel(self, state: ChannelState) -> None:
        """Store it."""
        ...

    def refuse(self, refusal: Refusal, at_ms: int) -> bool:
        """Note why a file was not fetched; say whether that is news."""
        ...

    def preflight(self, release: str) -> Report | None:
        """What a preflight found of a release, None while none has ended."""
        ...

    def put_preflight(self, report: Report) -> None:
        """Store it; what was found before counts no more."""
        ...

    def last_snapshot(self, channel: str) -> bytes:
        """The channel's last good snapshot in its stored form, empty before the first."""
        ...

    def put_last_snapshot(self, channel: str, snapshot: bytes) -> None:
        """Store it; nothing is written where it is the same."""
        ...

    def release(self, release: str) -> StoredRelease | None:
        """A release, or None."""
        ...

    def add_release(self, release: StoredRelease, manifest: Manifest) -> None:
        """Store a release; idempotent."""
        ...

    def renew_release(self, release: str, manifest: Manifest) -> None:
        """Upstream has renewed what does not belong to a release's identity."""
        ...

    def manifest(self, release: str) -> Manifest:
        """Its manifest; empty for an unknown one."""
        ...

    def matching(self, prefix: str) -> list[StoredRelease]:
        """Releases whose ids begin with ``prefix``, two at most."""
        ...

    def snapshots(self, channel: str) -> list[Seen]:
        """Snapshots in the order they were seen."""
        ...

    def add_snapshot(self, channel: str, release: str, seen_ms: int, state: str) -> None:
        """Note one."""
        ...

    def set_snapshot(self, seq: int, state: str) -> None:
        """Note what became of it."""
        ...

    def boardings(self, channel: str) -> list[Boarding]:
        """All boardings, oldest first."""
        ...

    def add_boarding(self, boarding: Boarding) -> None:
        """Store one."""
        ...

    def put_verdict(self, channel: str, number: int, body: str) -> None:
        """Store the newest verdict, JSON."""
        ...

    def seed(self, channel: str, number: int) -> str:
        """The revealed seed in hexadecimal, "" while it is secret."""
        ...

    def reveal(self, channel: str, number: int, seed: str) -> None:
        """Store the seed in the clear."""
        ...

    def doors(self, channel: str, number: int) -> list[Door]:
        """Doors of one boarding."""
        ...

    def put_door(self, door: Door) -> None:
        """Store a door."""
        ...

    def decks(self, channel: str, number: int) -> list[StoredDeck]:
        """Decks of one boarding."""
        ...

    def put_deck(self, channel: str, number: int, deck: StoredDeck) -> None:
        """Store a deck."""
        ...

    def close_deck(
        self,
        channel: str,
        number: int,
        ring: str,
        deck: int,
        closed: int,
        *,
        looks: str = "",
        told_ms: int = 0,
        spent: str = "",
    ) -> None:
        """Note which classes of a deck have closed (-1 for all), and how often others were seen."""
        ...

    def cells(self, channel: str, number: int, upto: int = -1) -> list[Cell]:
        """Cells of one boarding, in order."""
        ...

    def looks(self, channel: str, number: int, *, apart: bool = False) -> list[Cell]:
        """What was counted at every look at one boarding, summed by ring, signal and age."""
        ...

    def add_cell(self, channel: str, number: int, cell: Cell) -> None:
        """Append a cell."""
        ...

    def harmed(self, channel: str, number: int) -> list[Harmed]:
        """Members counted as harmed."""
        ...

    def add_harmed(self, channel: str, number: int, harmed: Harmed) -> None:
        """Note one."""
        ...

    def recover(self, place: int, at_ms: int) -> None:
        """Note that it has spoken again."""
        ...

    def forgive(self, place: int) -> None:
        """Note that a member was not harmed: it fell silent, and is waited for again."""
        ...

    def harmed_boardings(self) -> list[tuple[str, int]]:
        """Boardings that harmed anybody, or had anybody late, also of channels long gone."""
        ...

    def lose_place(self, place: int) -> None:
        """Note that this member's place is on record no more: its row may be another's."""
        ...

    def late(self, channel: str, number: int) -> list[Late]:
        """Treated members that had not installed when they were looked at, and still count."""
        ...

    def put_late(self, channel: str, number: int, late: Late) -> None:
        """Note where one stands."""
        ...

    def effects(self, channel: str, number: int) -> list[StoredEffect]:
        """Restarts by which a boarding has taken effect."""
        ...

    def add_effect(self, channel: str, number: int, effect: StoredEffect) -> None:
        """Note one."""
        ...

    def drop_effect(self, channel: str, number: int, machine: int) -> None:
        """Note that one is none any more."""
        ...

    def add_track(self, channel: str, number: int, time_ms: int, body: str) -> None:
        """Append a point to the curve."""
        ...

    def pins(self, channel: str) -> dict[str, int]:
        """Ring -> pinned boarding number."""
        ...

    def put_pin(self, channel: str, ring: str, number: int) -> None:
        """Pin a ring; 0 takes the pin away."""
        ...

    def entries(self, after: int = -1, limit: int = -1) -> list[Signed]:
        """Ledger entries above an index."""
        ...

    def last_index(self) -> int:
        """Index of the newest ledger entry, -1 for none."""
        ...

    def add_entry(self, signed: Signed) -> None:
        """Append to the ledger."""
        ...

    def put_board(self, board: Board) -> None:
        """Publish a board."""
        ...

    def put_tick(self, boot: str, mono_ms: int, wall_ms: int) -> None:
        """Renew the lease of all decks."""
        ...

    def put_answer(self, request: int, status: str, body: str) -> None:
        """Answer a request."""
        ...

    def asked(self) -> list[str]:
        """Orders that wait for a second person, oldest first, JSON."""
        ...

    def put_asked(self, number: int, body: str) -> None:
        """Let one wait."""
        ...

    def drop_asked(self, number: int) -> None:
        """It waits no more."""
        ...

    def feed(self) -> str:
        """State of the list of exploited vulnerabilities, JSON; "" before the first look."""
        ...

    def put_feed(self, body: str) -> None:
        """Store it."""
        ...

    def put_exploited(self, entries: Mapping[str, str]) -> None:
        """Replace the list: CVE identifier -> entry, JSON."""
        ...

    def named(self, release: str) -> list[tuple[str, str]]:
        """CVE identifiers that a release names, and who or what says so."""
        ...

    def add_named(self, release: str, cves: Mapping[str, str]) -> None:
        """Note what a release names: identifier -> who or what says so. The first to say stays."""
        ...

    def exploited_of(self, release: str) -> list[tuple[str, str, str]]:
        """Those that are known to be exploited: identifier, source and entry, JSON."""
        ...

    def urgent(self) -> set[str]:
        """Releases that name a vulnerability that is known to be exploited."""
        ...

    def searched(self, release: str) -> str | None:
        """None before a release was searched, "" after it was, or why it could not be."""
        ...

    def put_searched(self, release: str, error: str) -> None:
        """Note that."""
        ...

    def forget_answers(self, after: int) -> None:
        """Drop answers to requests above a number, which will be given again."""
        ...


class GateRecords(Numbered, Protocol):
    """What the judge reads of the gate."""

    def places_after(self, row: int) -> list[StoredPlace]:
        """Places above a row number, oldest first."""
        ...

    def last_place(self) -> int:
        """Row number of the newest place, 0 for none."""
        ...

    def highest_number(self, channel: str) -> int:
        """The highest boarding number that any place or cut names, 0 for none."""
        ...

    def places_of(
        self, channel: str, number: int, *, after: int = 0, limit: int = -1
    ) -> list[StoredPlace]:
        """Places of one boarding."""
        ...

    def places_of_machine(self, machine: int) -> list[StoredPlace]:
        """Places of one machine in all channels, oldest first."""
        ...

    def cuts_after(self, row: int) -> list[StoredCut]:
        """Cuts above a row number."""
        ...

    def cuts_of(self, channel: str, number: int) -> list[StoredCut]:
        """Cuts of one boarding."""
        ...

    def heard_after(self, seq: int, limit: int = 10_000) -> list[Heard]:
        """Buckets of the gate's life."""
        ...

    def installed_after(self, row: int) -> list[StoredInstall]:
        """Installs above a row number."""
        ...

    def rejections_after(self, row: int) -> list[StoredRejection]:
        """What machines threw away, above a row number."""
        ...

    def install_delays(self, channel: str, number: int) -> list[int]:
        """Times from the card to the last byte of those who drew a treated one, ms, rising."""
        ...

    def census(self) -> list[Census]:
        """The newest count of every ring."""
        ...

    def asked(self, channel: str) -> Collection[str]:
        """Packages of a channel of which a machine ever asked for any version."""
        ...

    def obeyed(self) -> int:
        """Version of the board the gate acts on."""
        ...

    def listened_ms(self) -> int:
        """How long the gate has listened, in all the runs that its records tell of, ms."""
        ...
