"""Housekeeping beside the judge: blobs that nobody needs any more go.

A blob goes when two sweeps in a row found no release that needs it, and nobody stored or claimed
it for a day: a release that has just left the board may still be on its way to a machine, and a
look at an upstream holds files that no release names yet. Two sweeps, because clocks jump and
databases are moved aside for a minute. Nothing is remembered on disk, so a crash loses nothing.
"""

import threading
from dataclasses import dataclass
from typing import Final

import structlog

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.store.gate import NAME as GATE_DB
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.sqlite import storage_errors
from firedoor.config import Config
from firedoor.config.keys import KEEP
from firedoor.core.errors import Unavailable
from firedoor.core.units import Digest
from firedoor.ports import Clock
from firedoor.services.lately import lately
from firedoor.services.retention import History, kept
from firedoor.wire.files import Files
from firedoor.wire.sources import Sources

SWEEP_EVERY_S: Final = 6 * 3600.0
"""Seconds from one sweep to the next."""

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_ROTTEN_KEPT_MS: Final = 30 * _DAY_MS
_STANDING_MS: Final = 30 * _DAY_MS
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did.

    Attributes:
        blobs: Blobs deleted.
        freed: Their bytes.
        kept: Blobs that are left, whether or not somebody needs them.
        kept_bytes: Their bytes.
        unused: Of those: nobody needs them, and they go when they have rested.
        rotten: Blobs in quarantine and half-written files deleted.
    """

    blobs: int
    freed: int
    kept: int
    kept_bytes: int
    unused: int
    rotten: int


class Sweeper:
    """Deletes blobs that nobody needs. One thread, in the process that mirrors."""

    def __init__(
        self,
        config: Config,
        files: Files,
        blobs: DiskBlobs,
        clock: Clock,
        *,
        rest_ms: int | None = None,
    ) -> None:
        """Nothing is opened before the first sweep.

        Args:
            config: Which channels there are, and how much of them is kept.
            files: Where the stores are.
            blobs: What is swept.
            clock: Tells how long a blob was not needed.
            rest_ms: So long a blob must not have been needed, ms; None: ``rest_of`` says.
        """
        self._config = config
        self._sources = Sources(files, clock)
        self._blobs = blobs
        self._clock = clock
        self._unused: frozenset[Digest] = frozenset()
        self._rest_ms = rest_of(config) if rest_ms is None else rest_ms

    def close(self) -> None:
        """Close what was opened."""
        self._sources.close()

    def sweep(self) -> Swept | None:
        """Mark what is needed, delete what was needed neither now nor the last time.

        Returns:
            What was done; None where it is not known yet what is needed.

        Raises:
            Unavailable: A store or the disk fails; what was deleted until then was not needed.
        """
        needed = self._needed()
        if needed is None:
            return None
        now_ms = self._clock.now().wall_ms
        unused: set[Digest] = set()
        blobs = freed = left = left_bytes = 0
        for blob in self._blobs.stored():
            if blob.digest in needed:
                # An hour or two of a day are not worth a write to the disk for each blob.
                if now_ms - blob.needed_ms > _HOUR_MS:
                    self._blobs.claim(blob.digest)
            elif blob.digest in self._unused and self._blobs.discard(
                blob.digest, now_ms - self._rest_ms
            ):
                blobs, freed = blobs + 1, freed + blob.size
                continue
            else:
                unused.add(blob.digest)
            left, left_bytes = left + 1, left_bytes + blob.size
        self._unused = frozenset(unused)
        self._blobs.space(count=True)
        rotten, rotten_bytes = self._blobs.discard_rotten(now_ms - _ROTTEN_KEPT_MS)
        return Swept(blobs, freed + rotten_bytes, left, left_bytes, len(unused), rotten)

    def _needed(self) -> set[Digest] | None:
        gate = self._sources.gate
        needed: set[Digest] = set()
        with self._sources.snapshot() as judge:
            if judge is None or gate is None:
                return None
            now_ms = self._clock.now().wall_ms
            for channel in judge.channels():
                for release in kept_releases(judge, gate, self._config, channel, now_ms):
                    needed.update(entry.sha256 for entry in judge.manifest(release).values())
        return needed


def rest_of(config: Config) -> int:
    """How long a blob must not have been needed before it is deleted, ms.

    Longer than any look holds a file that no release names, and any session a release.
    """
    return _DAY_MS + max((channel.session_max_ms for channel in config.channels), default=0)


def kept_releases(
    judge: JudgeReader,
    gate: GateReader | None,
    config: Config,
    channel: str,
    now_ms: int,
    *,
    old_names: bool = True,
) -> frozenset[str]:
    """Ids of the releases of a channel whose bytes are kept.

    Args:
        judge: What boarded.
        gate: Who stands on what; None before its first run.
        config: How many past releases are kept.
        channel: Its name; it need not be configured any more.
        now_ms: Wall clock.
        old_names: Also those whose names machines may still ask for.

    Raises:
        Unavailable: A store cannot be read.
    """
    mine = next((each for each in config.channels if each.name == channel), None)
    keep = KEEP.default if mine is None else mine.keep
    boardings = judge.boardings(channel)
    doors = {b.number: judge.doors(channel, b.number) for b in boardings}
    history = History(
        boardings=boardings,
        doors=doors,
        snapshots=judge.snapshots(channel),
        pinned=set(judge.pins(channel).values()),
        board=next((each for each in judge.board().channels if each.name == channel), None),
        standing=() if gate is None else _standing(gate, channel, now_ms),
        lately=lately(doors, now_ms) if old_names and mine and mine.traits.immutable else (),
    )
    return kept(history, keep)


def keep_swept(sweeper: Sweeper, stop: threading.Event, *, every_s: float = SWEEP_EVERY_S) -> None:
    """Sweep now and then until told to stop. The first time only tells what is unused."""
    try:
        while not stop.is_set():
            try:
                swept = sweeper.sweep()
            except Unavailable as error:
                _log.warning("sweep_stopped", error=str(error))
            else:
                if swept is not None:
                    _log.info(
                        "blobs_swept",
                        blobs=swept.blobs,
                        bytes_freed=swept.freed,
                        left=swept.kept,
                        bytes_left=swept.kept_bytes,
                        unused=swept.unused,
                        rotten=swept.rotten,
                    )
            stop.wait(every_s)
    finally:
        sweeper.close()


def _standing(gate: GateReader, channel: str, now_ms: int) -> set[int]:
    """Boarding numbers that machines seen lately were last served.

    A machine that left for good must not keep its release for ever.
    """
    since_ms = now_ms - _STANDING_MS
    with storage_errors(GATE_DB):
        lately = {habit.machine for habit in gate.habits() if habit.last_wall >= since_ms}
        return {stand.number for stand in gate.standings(channel) if stand.machine in lately}
