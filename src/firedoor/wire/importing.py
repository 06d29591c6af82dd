"""Importing: what an existing mirror on this host has of a channel is taken over, not fetched.

Only files that a trusted index names are taken, and only with the bytes that it promises: the
index of the directory, if it is one that the channel believes, else that of upstream. Besides
those, what kept releases name and the store lacks: so a file that rotted comes back.
"""

import os
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from firedoor.adapters.blobs.bounded import BoundedBlobs
from firedoor.adapters.blobs.disk import DiskBlobs, Way
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.get import Quiet
from firedoor.config import ChannelConfig
from firedoor.core.errors import BadInput, FiredoorError, Unavailable, Untrusted, UpstreamMoved
from firedoor.core.units import Digest
from firedoor.ports import Clock, Listed
from firedoor.services.room import Limits
from firedoor.wire.upstreams import upstream_of

_LONGEST_MS: Final = 24 * 3_600_000
_READ_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Imported:
    """What an import brought.

    Attributes:
        index: Whose index said what there should be: ``directory`` or ``upstream``.
        why: Why it was not the directory's, or "".
        files: How files were taken, by number.
        bytes: The same in bytes.
        absent: Files that the index names and the directory does not have.
        wrong: Paths of files with other bytes than promised; they were not taken.
    """

    index: str = "directory"
    why: str = ""
    files: Counter[Way] = field(default_factory=Counter)
    bytes: Counter[Way] = field(default_factory=Counter)
    absent: int = 0
    wrong: list[str] = field(default_factory=list)


class Importer:
    """Takes over files of one directory."""

    def __init__(
        self,
        channel: ChannelConfig,
        directory: Path,
        *,
        blobs: DiskBlobs,
        limits: Limits,
        clock: Clock,
        progress: Callable[[int, int], None] = lambda _, __: None,
    ) -> None:
        """Nothing is read yet.

        Args:
            channel: Whose files they are.
            directory: What upstream has at its address, or had.
            blobs: Where they are taken to; its owner has to be this process's user.
            limits: How much may be copied.
            clock: For the adapters.
            progress: Told after each file how many are done, of how many.

        Raises:
            BadConfig: There is no such directory.
            Unavailable: It cannot be told whether there is.
        """
        self._channel = channel
        self._directory = directory
        self._blobs = blobs
        self._bounded = BoundedBlobs(blobs, limits)
        self._clock = clock
        self._progress = progress
        self._source = DirectoryUpstream(directory, clock)

    def run(self, lacking: Iterable[Listed] = ()) -> Imported:
        """Take over all that there is of the channel.

        Args:
            lacking: What kept releases name besides and the store does not have.

        Raises:
            FiredoorError: Neither the directory nor upstream has an index that can be believed,
                or nothing can be stored.
        """
        found = Imported()
        wanted = {listed.path: listed for listed in self._index(found)}
        # A release may name another file at the same path than the index does now.
        files = [*wanted.values(), *(each for each in lacking if wanted.get(each.path) != each)]
        for done, listed in enumerate(files, 1):
            self._take(listed, found)
            self._progress(done, len(files))
        return found

    def _index(self, found: Imported) -> Iterable[Listed]:
        try:
            return self._index_of(replace(self._channel, upstream=str(self._directory)))
        except FiredoorError as error:
            found.index, found.why = "upstream", str(error)
        try:
            return self._index_of(self._channel)
        except FiredoorError as error:
            raise type(error)(
                f"neither the directory ({found.why}) nor upstream ({error}) has an index of "
                f"channel {self._channel.name} that can be believed",
                hint="name the directory that holds what upstream has at its address",
            ) from error

    def _index_of(self, channel: ChannelConfig) -> Iterable[Listed]:
        rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads pauses, no secret
        until_ms = self._clock.now().mono_ms + _LONGEST_MS
        blobs, quiet = self._bounded, Quiet()
        return upstream_of(channel, rng, self._clock, blobs, until_ms=until_ms, quiet=quiet).index()

    def _take(self, listed: Listed, found: Imported) -> None:
        if listed.sha256 is not None and self._blobs.claim(listed.sha256):
            _count(found, Way.HELD, Path(self._blobs.path(listed.sha256)).stat().st_size)
            return
        try:
            file = self._source.open(listed.path)
        except UpstreamMoved:
            found.absent += 1
            return
        except Untrusted:
            found.wrong.append(listed.path)
            return
        try:
            digest = _digest_of(file)
            if listed.sha256 not in (None, digest):
                found.wrong.append(listed.path)
                return
            way = self._way(file, digest)
            _count(found, way, os.fstat(file).st_size)
        except Untrusted:
            # It was written into between being read and being copied.
            found.wrong.append(listed.path)
        except OSError as error:
            raise Unavailable(f"cannot read {listed.path}: {error.strerror}") from error
        finally:
            os.close(file)

    def _way(self, file: int, digest: Digest) -> Way:
        if self._blobs.claim(digest):
            return Way.HELD
        way = self._blobs.adopt(file, digest)
        if way is not None:
            return way
        os.lseek(file, 0, os.SEEK_SET)
        self._bounded.put(iter(lambda: os.read(file, _READ_BYTES), b""), digest)
        return Way.COPIED


def expect_owner(blobs: Path) -> None:
    """Make sure that this process's user is the one whose store it is.

    Raises:
        BadInput: It is another's; what is stored now the judge could not mark or delete.
    """
    if blobs.exists() and blobs.stat().st_uid != os.geteuid():
        raise BadInput(
            f"{blobs} belongs to another user than the one who asks",
            hint=f"run it as that user: sudo -u '#{blobs.stat().st_uid}' firedoor ..",
        )


def _digest_of(file: int) -> Digest:
    hasher = sha256()
    while chunk := os.read(file, _READ_BYTES):
        hasher.update(chunk)
    return Digest(hasher.hexdigest())


def _count(found: Imported, way: Way, size: int) -> None:
    found.files[way] += 1
    found.bytes[way] += size
