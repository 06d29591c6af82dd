"""Where blobs lie below a directory, and what there is; nothing here changes anything."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firedoor.core.errors import Unavailable
from firedoor.core.release import is_digest
from firedoor.core.units import Digest
from firedoor.services.room import STORAGE

_SHARD_DIGITS: Final = 2

_HINTS: Final = {
    errno.ENOSPC: "the disk is full: free some space, nothing was stored",
    errno.EDQUOT: "the disk quota is used up: free some space, nothing was stored",
    errno.EFBIG: "a file may not grow this large here: look at the process's limits",
    errno.EACCES: "let the user that Firedoor runs as write to this directory",
    errno.EPERM: "let the user that Firedoor runs as write to this directory",
    errno.EROFS: "the file system is read-only: mount it writable, nothing was stored",
}


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One blob.

    Attributes:
        digest: Its name.
        size: Bytes.
        needed_ms: When it was last needed: stored or claimed, Unix milliseconds.
    """

    digest: Digest
    size: int
    needed_ms: int


def stored_in(root: Path) -> Iterator[StoredBlob]:
    """All blobs below ``root``, as ``DiskBlobs.stored``; changes nothing there.

    Raises:
        Unavailable: The directories cannot be read.
    """
    for digest, place in blobs_below(root):
        with as_unavailable(root), suppress(FileNotFoundError):
            found = place.stat()
            yield StoredBlob(digest, found.st_size, found.st_mtime_ns // 1_000_000)


def disk_of(root: Path) -> tuple[int, int]:
    """Bytes that are free for this process on the disk of ``root``, and bytes in all.

    Raises:
        Unavailable: The disk cannot be asked.
    """
    with as_unavailable(root):
        disk = os.statvfs(root)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def sizes_on_disk(root: Path, digests: Iterable[Digest]) -> dict[Digest, int]:
    """Sizes in bytes of those blobs that are stored below ``root``; changes nothing there.

    Raises:
        Unavailable: The directories cannot be read.
    """
    sizes = {}
    with as_unavailable(root):
        for digest in digests:
            with suppress(FileNotFoundError):
                sizes[digest] = place_in(root, digest).stat().st_size
    return sizes


def blobs_below(root: Path) -> Iterator[tuple[Digest, Path]]:
    """Digests and places of all blobs. Raises Unavailable: a directory cannot be read."""
    with as_unavailable(root):
        shards = sorted(p for p in root.iterdir() if len(p.name) == _SHARD_DIGITS)
    for shard in shards:
        with as_unavailable(shard):
            places = sorted(shard.iterdir())
        for place in places:
            digest = Digest(shard.name + place.name)
            if is_digest(digest):
                yield digest, place


def place_in(root: Path, digest: Digest) -> Path:
    """Where a blob lies, if it is there. Raises ValueError: it is no digest."""
    check_digest(digest)
    return root / digest[:_SHARD_DIGITS] / digest[_SHARD_DIGITS:]


def check_digest(digest: Digest) -> None:
    """Raise ValueError if it is no digest."""
    if not is_digest(digest):
        raise ValueError(f"not a SHA-256 digest: {digest!r}")


@contextmanager
def as_unavailable(where: Path) -> Iterator[None]:
    """Turn faults of the disk into Unavailable, with what to do."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{STORAGE}cannot keep blobs in {where}: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, "look at the disk"),
        ) from error
