"""Records: what the judge and the gate keep, and the stores they keep them in.

The judge's own store and the gate's are written by one process each and read by others. The
Protocols here are what the services need of them; a step is atomic and durable.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firedoor.core.board import Board
from firedoor.core.cell import Cell
from firedoor.core.door import Door
from firedoor.core.ledger.entry import Signed
from firedoor.core.release import Manifest
from firedoor.ports import Instant, Numbered
from firedoor.services.boarding import Boarding
from firedoor.services.late import Late
from firedoor.services.places import Census, Cut, Installed, Place, Standing
from firedoor.services.roster import Habit


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release as stored, without its manifest.

    Attributes:
        id: Release id.
        channel: Its channel.
        created_ms: When it was first mirrored, wall clock.
        listing: Path of the file that lists the others (``SHA256SUMS``, ..), or "".
        size: Bytes of all files.
        files: Number of files.
    """

    id: str
    channel: str
    created_ms: int
    listing: str
    size: int
    files: int


class Block(StrEnum):
    """Why a channel boards only by a person; false where it is not blocked."""

    NONE = ""
    BAD_ENDS = "bad ends"
    GATE_LOST = "gate records lost"
    LEDGER_LOST = "ledger lost"


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What is known of a channel's upstream.

    Attributes:
        name: Name of the channel.
        snapshot: The last good snapshot, as its own JSON, "" before the first.
        synced_ms: Last good synchronisation, wall clock, 0 for never.
        error: Why the last attempt failed, "" when it did not.
        failures: Failed attempts since the last good one.
        blocked: Why it boards only by a person, if it does.
    """

    name: str
    snapshot: str = ""
    synced_ms: int = 0
    error: str = ""
    failures: int = 0
    blocked: Block = Block.NONE


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot in the order it was seen upstream; state: waiting, boarded, skipped, refused."""

    seq: int
    channel: str
    release: str
    seen_ms: int
    state: str


@dataclass(frozen=True, slots=True)
class StoredDeck:
    """A deck: its grant and where reading of signals has to begin to judge it again.

    Attributes:
        ring: Ring.
        deck: Number.
        grant: The grant as JSON.
        opened_ms: Wall clock.
        heard: Last bucket of the gate before it opened.
        batch: Last batch of signals before it opened.
        event: Last event before it opened.
        closed: Bit mask of closed classes; -1 when the whole pool has closed.
        looks: How often each class that has matured and not closed was looked at: a digit for
            each class from 0 on, as far as there is one.
        told_ms: When it was last looked at what members told, wall clock; 0 for never.
    """

    ring: str
    deck: int
    grant: str
    opened_ms: int
    heard: int
    batch: int
    event: int
    closed: int
    looks: str = ""
    told_ms: int = 0

    @property
    def matured(self) -> int:
        """Bit mask of classes that have matured and not closed."""
        return sum(1 << cls for cls in self.rungs())

    def classes(self) -> set[int]:
        """Classes that have closed, of a pool that has not closed as a whole."""
        return _classes(self.closed)

    def rungs(self) -> dict[int, int]:
        """How often each matured class was looked at."""
        return {cls: int(looks) for cls, looks in enumerate(self.looks) if looks != "0"}


def _classes(mask: int) -> set[int]:
    return {cls for cls in range(mask.bit_length()) if mask >> cls & 1}


@dataclass(frozen=True, slots=True)
class Harmed:
    """A member counted as harmed."""

    place: int
    machine: int
    treated: bool
    signal: str
    at_ms: int
    recovered_ms: int


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """One point of a boarding's curve; ``body`` is JSON."""

    seq: int
    time_ms: int
    body: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the gate writes once a bucket, in one transaction.

    Attributes:
        run: Identity of this run of the gate process.
        final: The last flush of a run that ends in order: nothing heard is missing.
        heard: Machines heard since the last flush.
        habits: Habits that changed.
        standings: Machines that were assigned something else.
        installed: Treated machines that got all bytes of a changed file.
        census: Counts per ring.
        board: Version of the board the gate obeys.
        rings: (channel, ring) of all rings that there are: counts of others are dropped. Empty
            where that is not known.
    """

    run: str
    final: bool
    heard: Sequence[int]
    habits: Sequence[Habit]
    standings: Sequence[Standing]
    installed: Sequence[Installed]
    census: Sequence[Census]
    board: int
    rings: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """One bucket of the gate's life: it listened until ``at`` and heard these machines."""

    seq: int
    run: str
    final: bool
    at: Instant
    machines: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """A place with its row number and the boot and wall clock it was drawn at."""

    id: int
    place: Place
    boot: str
    wall_ms: int


@dataclass(frozen=True, slots=True)
class StoredCut:
    """A cut with its row number and the boot and wall clock it was made at."""

    id: int
    cut: Cut
    boot: str
    wall_ms: int


@dataclass(frozen=True, slots=True)
class StoredInstall:
    """An install with its row number, and the boot and wall clock it was written down at."""

    id: int
    install: Installed
    boot: str
    wall_ms: int


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
    ) -> None:
        """Note which classes of a deck have closed (-1 for all), and how often others were seen."""
        ...

    def cells(self, channel: str, number: int, upto: int = -1) -> list[Cell]:
        """Cells of one boarding, in order."""
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

    def install_delays(self, channel: str, number: int) -> list[int]:
        """Times from the card to the last byte of those who drew a treated one, ms, rising."""
        ...

    def census(self) -> list[Census]:
        """The newest count of every ring."""
        ...

    def obeyed(self) -> int:
        """Version of the board the gate acts on."""
        ...

    def listened_ms(self) -> int:
        """How long the gate has listened, in all the runs that its records tell of, ms."""
        ...
