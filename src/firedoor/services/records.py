"""Records: what the judge and the gate keep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firedoor.ports import Instant
from firedoor.services.fetches import Fetch, Rejection
from firedoor.services.places import Census, Cut, Installed, Place, Standing
from firedoor.services.roster import Habit

WAITING: Final = "waiting"
PICKED: Final = "picked"
PICKED_BOARDED: Final = "picked, boarded"
"""States of a ``Seen``."""


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
    PREFLIGHT = "preflight failed"


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What is known of a channel's upstream.

    Attributes:
        name: Name of the channel.
        synced_ms: Last good synchronisation, wall clock, 0 for never.
        error: Why the last attempt failed, "" when it did not.
        failures: Failed attempts since the last good one.
        blocked: Why it boards only by a person, if it does.
    """

    name: str
    synced_ms: int = 0
    error: str = ""
    failures: int = 0
    blocked: Block = Block.NONE


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot in the order it was seen upstream, or a release that a person has put together.

    State: waiting, boarded, skipped, refused; of a person's ``PICKED``, then ``PICKED_BOARDED``.
    """

    seq: int
    channel: str
    release: str
    seen_ms: int
    state: str

    @property
    def waits(self) -> bool:
        """Whether it may board yet."""
        return self.state in (WAITING, PICKED)

    @property
    def is_picked(self) -> bool:
        """Whether a person has put it together: upstream never offered it."""
        return self.state in (PICKED, PICKED_BOARDED)


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
        told_ms: Until when what members told is counted: how long the gate had listened, ms. At
            first when the deck opened; 0 in decks of a version without such looks.
        began_ms: How long the gate had listened when it opened, ms, likewise.
        spent: How its members had spent their time by then, as JSON; "" before the first look.
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
    began_ms: int = 0
    spent: str = ""

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
    """A member counted as harmed.

    Attributes:
        place: Row of its place.
        machine: Register number.
        treated: It had the release.
        signal: By which it was counted.
        at_ms: When, wall clock.
        recovered_ms: When it spoke again; 0: it has not.
        boot: Of the host, in which it was counted; "" in records of earlier versions.
        counted_ms: Up to when it had been listened for, on the monotonic clock of that boot.
    """

    place: int
    machine: int
    treated: bool
    signal: str
    at_ms: int
    recovered_ms: int
    boot: str = ""
    counted_ms: int = 0


@dataclass(frozen=True, slots=True)
class StoredEffect:
    """A release has taken effect on a machine that had installed it.

    Attributes:
        machine: Register number.
        at: The restart that did it; the monotonic clock is of the boot in which it was told.
    """

    machine: int
    at: Instant


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
        asked: (channel, package, machine or 0): who asked for some version, where that is new.
        fetches: What changed of what machines got.
        rejections: What machines threw away.
        placed: Row number of a place: what it and those before it made of what their machines are
            served is in ``standings``, of this bucket or an earlier one.
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
    asked: Sequence[tuple[str, str, int]] = ()
    fetches: Sequence[Fetch] = ()
    rejections: Sequence[Rejection] = ()
    placed: int = 0


_PORTION: Final = 10_000
"""Of so many machines what is known is written at a time: some 50 ms."""


def ahead(bucket: Bucket) -> tuple[list[tuple[list[Habit], list[Standing]]], Bucket]:
    """Divide what a bucket has to tell of very many machines.

    Returns:
        What may be written before the bucket, in portions, and the rest of the bucket. All is in
        the order of machines, as it is kept.
    """
    # Of two of the same machine the later must stay the later.
    habits = sorted(bucket.habits, key=attrgetter("machine"))
    standings = sorted(bucket.standings, key=attrgetter("channel", "machine"))
    longest = max(len(habits), len(standings))
    portions = [
        (habits[at : at + _PORTION], standings[at : at + _PORTION])
        for at in range(0, longest, _PORTION)
    ]
    last_habits, last_standings = portions.pop() if portions else ([], [])
    return portions, replace(bucket, habits=last_habits, standings=last_standings)


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


@dataclass(frozen=True, slots=True)
class StoredRejection:
    """A rejection with its row number and the boot and wall clock of the sending."""

    id: int
    rejection: Rejection
    boot: str
    wall_ms: int
