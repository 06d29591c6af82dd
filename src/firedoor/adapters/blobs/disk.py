"""Blobs in a directory of the local file system.

::

    <root>/ab/cdef...      one file per blob, named by its digest: two digits, then the rest
    <root>/incoming/       being written; a name here means nothing
    <root>/quarantine/     blobs that no longer matched their name, kept for a person to look at

A blob becomes visible by a rename after its bytes are on disk, so every crash leaves either the
whole blob or a stray file in ``incoming``, which the next start or sweep removes.

The modification time of a blob says when it was last needed: when it was stored, or claimed.
"""

import errno
import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firedoor.core.errors import Unavailable, Untrusted
from firedoor.core.release import is_digest
from firedoor.core.units import Digest
from firedoor.services.room import Space

_READ_BYTES: Final = 1 << 20
_FILE_MODE: Final = 0o644
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


class DiskBlobs:
    """A blob store on a local disk. Any number of processes may share one directory.

    Only the process that fetches may discard: what is claimed or stored through this object is
    safe from a ``discard`` through this object, not from one in another process.

    Args:
        root: The directory; made if it does not exist, its parent must.

    Raises:
        Unavailable: The directory cannot be made or cleaned.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._quarantine = root / "quarantine"
        self._fate = threading.Lock()
        self._used: int | None = None
        with _as_unavailable(root):
            for directory in (root, self._incoming, self._quarantine):
                directory.mkdir(exist_ok=True)
            _sync_directory(root)
            _sync_directory(root.parent)
            self._remove_leftovers()

    def put(self, chunks: Iterator[bytes], expected: Digest | None = None) -> tuple[Digest, int]:
        """Store a stream; return its digest and size in bytes. Durable and atomic on return.

        A blob that is stored already is written anew: that costs what was paid already by
        reading the stream, and heals a blob that has rotted.

        Raises:
            Untrusted: ``expected`` is given and the bytes hash to something else; nothing stays.
            Unavailable: No space or no permission; nothing stays.
            ValueError: ``expected`` is not a digest.
        """
        if expected is not None:
            _check_digest(expected)
        file, temporary = self._open_incoming()
        try:
            hasher = hashlib.sha256()
            size = 0
            # Only our own writes are turned into Unavailable: what the stream raises is its own.
            for chunk in chunks:
                hasher.update(chunk)
                size += len(chunk)
                with _as_unavailable(self._root):
                    _write_all(file, chunk)
            digest = Digest(hasher.hexdigest())
            _check_expected(digest, size, expected)
            with _as_unavailable(self._root):
                os.fchmod(file, _FILE_MODE)
                os.fsync(file)
                self._publish(temporary, digest)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        return digest, size

    def path(self, digest: Digest) -> str:
        """Path of the blob on the local file system; does not check that it exists.

        Raises:
            ValueError: It is not a digest.
        """
        _check_digest(digest)
        # Asked on every reply of the gate: joining strings costs a tenth of joining paths.
        return f"{self._root}/{digest[:_SHARD_DIGITS]}/{digest[_SHARD_DIGITS:]}"

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is stored."""
        return self._place(digest).is_file()

    def claim(self, digest: Digest) -> bool:
        """Say whether the blob is stored; if so, it counts as needed now.

        Raises:
            Unavailable: It is stored and cannot be marked.
            ValueError: It is not a digest.
        """
        # Asked of every file of a distribution at every look: no Path is made.
        place = self.path(digest)
        with self._fate:
            try:
                os.utime(place)
            except FileNotFoundError:
                return False
            except OSError as error:
                raise Unavailable(f"cannot claim {place}: {error.strerror}") from error
        return True

    def stored(self) -> Iterator[StoredBlob]:
        """All blobs. Those that come or go meanwhile may or may not be among them.

        Raises:
            Unavailable: The directories cannot be read.
        """
        return stored_in(self._root)

    def space(self, *, count: bool = False) -> Space:
        """What is stored and what the disk has.

        All blobs are counted at the first call; then what this object stores and deletes is
        added up. A blob that is a link to a file elsewhere counts like any other.

        Args:
            count: Count all blobs again: another process may have stored some.

        Raises:
            Unavailable: The disk cannot be asked.
        """
        free, total = disk_of(self._root)
        if count or self._used is None:
            used = sum(blob.size for blob in self.stored())
            with self._fate:
                self._used = used
        return Space(self._used, free, total)

    def discard(self, digest: Digest, before_ms: int) -> bool:
        """Delete a blob that was last needed before a wall time; say whether it was deleted.

        A crash may bring it back, which costs space and nothing else.

        Args:
            digest: Of the blob.
            before_ms: Unix milliseconds.

        Raises:
            Unavailable: It cannot be deleted.
        """
        place = self._place(digest)
        # Whoever claims it has it, or learns that it is gone: there is no moment in between.
        with self._fate, _as_unavailable(self._root), suppress(FileNotFoundError):
            found = place.stat()
            if found.st_mtime_ns // 1_000_000 < before_ms:
                place.unlink()
                self._count(-found.st_size)
                return True
        return False

    def discard_rotten(self, before_ms: int) -> tuple[int, int]:
        """Delete what was put into quarantine before a wall time, and what dead writers left.

        Args:
            before_ms: Unix milliseconds.

        Returns:
            Files deleted, and their bytes.

        Raises:
            Unavailable: They cannot be deleted.
        """
        files = size = 0
        with _as_unavailable(self._quarantine):
            for place in self._quarantine.iterdir():
                found = place.stat()
                # A rename changes the change time: that is when it came here.
                if found.st_ctime_ns // 1_000_000 < before_ms:
                    place.unlink(missing_ok=True)
                    files, size = files + 1, size + found.st_size
        with _as_unavailable(self._incoming):
            more, bytes_more = self._remove_leftovers()
        return files + more, size + bytes_more

    def scrub(self, pause: Callable[[int], None] = lambda _: None) -> Iterator[Digest]:
        """Hash stored blobs one after the other; yield those that no longer match.

        A blob that does not match, or cannot be read, is in quarantine before it is yielded.
        Blobs that are stored meanwhile may or may not be looked at.

        Args:
            pause: Called with the bytes of each blob that was read; it sets the pace.

        Raises:
            Unavailable: The directories cannot be read or a blob cannot be moved.
        """
        for digest, place in _blobs(self._root):
            with suppress(FileNotFoundError):
                size = place.stat().st_size
                if not self.is_sound(digest):
                    yield digest
                pause(size)

    def is_sound(self, digest: Digest) -> bool:
        """Hash a blob; one that does not match or cannot be read is moved into quarantine.

        Any process may ask. A blob that is not there is sound: there is nothing to serve.

        Raises:
            Unavailable: It cannot be opened or moved.
            ValueError: It is not a digest.
        """
        place = self._place(digest)
        inode = _wrong_inode(place, digest)
        if inode is None:
            return True
        with _as_unavailable(place.parent):
            try:
                if place.stat().st_ino != inode:
                    return True  # Stored anew while it was read: that one is right.
                place.replace(self._quarantine / digest)
            except FileNotFoundError:
                return True  # Discarded while it was read: nobody needs it.
            _sync_directory(self._quarantine)
            _sync_directory(place.parent)
        return False

    def rotten(self) -> frozenset[Digest]:
        """What is in quarantine.

        Raises:
            Unavailable: The directory cannot be read.
        """
        with _as_unavailable(self._quarantine):
            names = os.listdir(self._quarantine)  # noqa: PTH208 - names, not a Path each
        return frozenset(Digest(name) for name in names if is_digest(name))

    def _place(self, digest: Digest) -> Path:
        return _place_in(self._root, digest)

    def _publish(self, temporary: Path, digest: Digest) -> None:
        """Make the bytes visible: on return, the name survives a crash too."""
        place = self._place(digest)
        with suppress(FileExistsError):
            place.parent.mkdir()
        # Even if another process made the shard just now: it may not have come to its own sync.
        _sync_directory(self._root)
        # A stream may take hours, and the blob be older than a sweep's patience when it is whole.
        os.utime(temporary)
        size = temporary.stat().st_size
        with self._fate:
            with suppress(FileNotFoundError):
                size -= place.stat().st_size
            temporary.replace(place)
            self._count(size)
        _sync_directory(place.parent)

    def _count(self, more: int) -> None:
        if self._used is not None:
            self._used += more

    def _open_incoming(self) -> tuple[int, Path]:
        """A new file in ``incoming``, locked so that a starting process does not remove it."""
        with _as_unavailable(self._root):
            while True:
                file, name = tempfile.mkstemp(dir=self._incoming)
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file).st_nlink:
                    return file, Path(name)
                # Another process started between the two calls and removed it: once more.
                os.close(file)

    def _remove_leftovers(self) -> tuple[int, int]:
        """Remove what a dead process left behind. A lock dies with its process, so it tells."""
        files = size = 0
        for stray in self._incoming.iterdir():
            with suppress(FileNotFoundError), stray.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                size += os.fstat(file.fileno()).st_size
                stray.unlink()
                files += 1
        return files, size


def stored_in(root: Path) -> Iterator[StoredBlob]:
    """All blobs below ``root``, as ``DiskBlobs.stored``; changes nothing there.

    Raises:
        Unavailable: The directories cannot be read.
    """
    for digest, place in _blobs(root):
        with _as_unavailable(root), suppress(FileNotFoundError):
            found = place.stat()
            yield StoredBlob(digest, found.st_size, found.st_mtime_ns // 1_000_000)


def disk_of(root: Path) -> tuple[int, int]:
    """Bytes that are free for this process on the disk of ``root``, and bytes in all.

    Raises:
        Unavailable: The disk cannot be asked.
    """
    with _as_unavailable(root):
        disk = os.statvfs(root)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def sizes_on_disk(root: Path, digests: Iterable[Digest]) -> dict[Digest, int]:
    """Sizes in bytes of those blobs that are stored below ``root``; changes nothing there.

    Raises:
        Unavailable: The directories cannot be read.
    """
    sizes = {}
    with _as_unavailable(root):
        for digest in digests:
            with suppress(FileNotFoundError):
                sizes[digest] = _place_in(root, digest).stat().st_size
    return sizes


def _blobs(root: Path) -> Iterator[tuple[Digest, Path]]:
    with _as_unavailable(root):
        shards = sorted(p for p in root.iterdir() if len(p.name) == _SHARD_DIGITS)
    for shard in shards:
        with _as_unavailable(shard):
            places = sorted(shard.iterdir())
        for place in places:
            digest = Digest(shard.name + place.name)
            if is_digest(digest):
                yield digest, place


def _wrong_inode(place: Path, digest: Digest) -> int | None:
    """The inode of a blob whose bytes are not what its name says; None where they are."""
    hasher = hashlib.sha256()
    try:
        with place.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            try:
                while chunk := file.read(_READ_BYTES):
                    hasher.update(chunk)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return inode  # The disk itself says it cannot give the bytes back.
    except FileNotFoundError:
        return None  # Gone since it was listed: nothing to move aside.
    except OSError as error:
        raise Unavailable(f"cannot read {place}: {error.strerror}") from error
    return None if hasher.hexdigest() == digest else inode


def _place_in(root: Path, digest: Digest) -> Path:
    _check_digest(digest)
    return root / digest[:_SHARD_DIGITS] / digest[_SHARD_DIGITS:]


def _check_digest(digest: Digest) -> None:
    if not is_digest(digest):
        raise ValueError(f"not a SHA-256 digest: {digest!r}")


def _check_expected(digest: Digest, size: int, expected: Digest | None) -> None:
    if expected is not None and digest != expected:
        raise Untrusted(
            f"got {size} bytes with SHA-256 {digest}, expected {expected}",
            hint="upstream serves other bytes than its list promises",
        )


def _write_all(file: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _as_unavailable(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot keep blobs in {where}: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, "look at the disk"),
        ) from error
