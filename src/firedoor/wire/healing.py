"""Healing: what the disk gives back changed is told, and fetched again where that is possible.

The quarantine is the list of what is to be done: whoever finds a blob that does not match its name
moves it there, the daily reading here and the gate before it serves one. So nothing has to be sent
between processes, and a crash forgets nothing.
"""

import random
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.upstream.get import Quiet
from firedoor.config import Config
from firedoor.core.errors import FiredoorError, Unavailable
from firedoor.core.units import Digest
from firedoor.ports import Clock, Listed
from firedoor.wire.files import Files
from firedoor.wire.housekeeping import kept_releases
from firedoor.wire.sources import Sources
from firedoor.wire.upstreams import source_of

_LOOK_S: Final = 5.0
_FIRST_READING_S: Final = 600.0
_READ_EVERY_S: Final = 24 * 3600.0
_BYTES_A_SECOND: Final = 64 << 20
_FETCH_MS: Final = 3_600_000
_log = structlog.get_logger()


class Tell(Protocol):
    """Puts something on the record."""

    def __call__(self, channel: str, text: str, *, alert: bool) -> None:
        """Tell a text that concerns a channel, or "" for all."""
        ...


@dataclass(frozen=True, slots=True)
class _Named:
    """Where a kept release names a blob."""

    channel: str
    release: str
    path: str
    size: int


class Healer:
    """Looks after what is in quarantine. One thread, in the process that mirrors."""

    def __init__(
        self, config: Config, files: Files, blobs: DiskBlobs, clock: Clock, tell: Tell
    ) -> None:
        """Nothing is opened before the first blob is found."""
        self._config = config
        self._sources = Sources(files, clock)
        self._blobs = blobs
        self._clock = clock
        self._tell = tell
        self._seen: frozenset[Digest] = frozenset()

    def close(self) -> None:
        """Close what was opened."""
        self._sources.close()

    def look(self, *, again: bool = False) -> int:
        """Fetch what came into quarantine since the last look; say how many were fetched.

        Args:
            again: Also what could not be fetched before.

        Raises:
            Unavailable: The quarantine or a store cannot be read.
        """
        rotten = self._blobs.rotten()
        fresh = rotten if again else rotten - self._seen
        missing = {digest for digest in fresh if not self._blobs.has(digest)}
        if missing:
            named = self._named(missing)
            healed = [self._heal(digest, named[digest]) for digest in sorted(named)]
        else:
            healed = []
        self._seen = rotten
        return sum(healed)

    def _heal(self, digest: Digest, names: list[_Named]) -> bool:
        error = ""
        for name in names:
            try:
                self._fetch(name, digest)
            except FiredoorError as refused:
                error = str(refused)
            else:
                break
        healed = self._blobs.has(digest)
        name = names[-1]
        _log.error("blob_rotted", digest=digest, path=name.path, fetched=healed, error=error)
        found = f"storage: {name.path} of release {name.release[:12]} had changed on the disk"
        moved = f"the changed file is in blobs/quarantine/{digest[:12]}..; look at the disk (dmesg)"
        if healed:
            text = f"{found} and was fetched again; {moved}"
        else:
            text = (
                f"{found} and cannot be fetched again ({error[:200]}); machines that ask for it "
                "get 503. Bring it back with firedoor channel import from a directory that has "
                f"it, or pin another release; {moved}"
            )
        # Told again each day while it is missing would be noise: the second time only the log says.
        if digest not in self._seen:
            self._tell(name.channel, text, alert=True)
        return healed

    def _fetch(self, name: _Named, digest: Digest) -> None:
        channel = next((each for each in self._config.channels if each.name == name.channel), None)
        if channel is None:
            raise Unavailable(f"channel {name.channel} is not configured any more")
        rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads pauses, no secret
        until_ms = self._clock.now().mono_ms + _FETCH_MS
        source = source_of(channel, rng, self._clock, until_ms=until_ms, quiet=Quiet())
        source.fetch(Listed(name.path, digest, name.size), None, self._blobs)

    def _named(self, wanted: set[Digest]) -> dict[Digest, list[_Named]]:
        """Where kept releases name these; what none names is nobody's loss."""
        found: dict[Digest, list[_Named]] = {}
        with self._sources.snapshot() as judge:
            if judge is None:
                return {}
            now_ms = self._clock.now().wall_ms
            for channel in judge.channels():
                kept = kept_releases(judge, self._sources.gate, self._config, channel, now_ms)
                for release in kept:
                    for path, entry in judge.manifest(release).items():
                        if entry.sha256 in wanted:
                            name = _Named(channel, release, path, entry.size)
                            found.setdefault(entry.sha256, []).append(name)
        return found


def keep_sound(healer: Healer, blobs: DiskBlobs, stop: threading.Event) -> None:
    """Read every blob once a day, and look after what is found, by whomever, until told to stop."""
    try:
        reading = _reading(blobs, stop)
        daily = False
        while not stop.wait(_LOOK_S):
            try:
                daily = next(reading)
                healer.look(again=daily)
            except Unavailable as error:
                _log.warning("reading_again_stopped", error=str(error))
                reading = _reading(blobs, stop)
    finally:
        healer.close()


def _reading(blobs: DiskBlobs, stop: threading.Event) -> Iterator[bool]:
    """Read when it is time; each step is a look, and says whether a reading has just ended."""
    looks = round(_FIRST_READING_S / _LOOK_S)
    while True:
        for _ in range(looks):
            yield False
        for _ in blobs.scrub(lambda size: _rest(size, stop)):
            yield False
        yield True
        looks = round(_READ_EVERY_S / _LOOK_S)


def _rest(size: int, stop: threading.Event) -> None:
    # The disk has machines to serve; it is read at a pace that leaves it time for them.
    stop.wait(size / _BYTES_A_SECOND)
