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
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from firedoor.adapters.blobs.layout import (
    StoredBlob,
    as_unavailable,
    blobs_below,
    check_digest,
    disk_of,
    place_in,
    stored_in,
)
from firedoor.core.errors import Unavailable, Untrusted
from firedoor.core.release import is_digest
from firedoor.core.units import Digest
from firedoor.services.room import Space

_READ_BYTES: Final = 1 << 20
_FILE_MODE: Final = 0o644

# Linux: make one file share the bytes of another. Source: linux/fs.h.
_FICLONE: Final = 0x40049409
_CANNOT_CLONE: Final = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM}
)
_CANNOT_LINK: Final = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT, errno.EAGAIN}
)
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class Way(StrEnum):
    """How a file that lies elsewhere became a blob."""

    HELD = "held"
    CLONED = "cloned"
    LINKED = "linked"
    COPIED = "copied"


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
        with as_unavailable(root):
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
            check_digest(expected)
        file, temporary = self._open_incoming()
        try:
            hasher = hashlib.sha256()
            size = 0
            # Only our own writes are turned into Unavailable: what the stream raises is its own.
            for chunk in chunks:
                hasher.update(chunk)
                size += len(chunk)
                with as_unavailable(self._root):
                    _write_all(file, chunk)
            digest = Digest(hasher.hexdigest())
            _check_expected(digest, size, expected)
            with as_unavailable(self._root):
                os.fchmod(file, _FILE_MODE)
                os.fsync(file)
                self._publish(temporary, digest)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        return digest, size

    def adopt(self, file: int, digest: Digest) -> Way | None:
        """Make a file that lies elsewhere a blob, without copying its bytes. Durable on return.

        A clone is a file of its own that shares the bytes on the disk until one of the two is
        written. A link is the same file under a second name: whoever writes into it writes into
        the blob. So a file is linked only if nobody but our own user may write into it.

        Args:
            file: Descriptor of a regular file, open for reading.
            digest: Of its bytes, as they have just been read.

        Returns:
            How it was done; None where the file system or the rights of the file do not allow it.

        Raises:
            Unavailable: The store cannot be written.
        """
        with as_unavailable(self._root):
            clone, temporary = self._open_incoming()
            try:
                fcntl.ioctl(clone, _FICLONE, file)
                os.fchmod(clone, _FILE_MODE)
                os.fsync(clone)
                self._publish(temporary, digest)
            except OSError as error:
                temporary.unlink(missing_ok=True)
                if error.errno not in _CANNOT_CLONE:
                    raise
            else:
                return Way.CLONED
            finally:
                os.close(clone)
            return Way.LINKED if self._link(file, temporary, digest) else None

    def _link(self, file: int, temporary: Path, digest: Digest) -> bool:
        found = os.fstat(file)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & _OTHERS_WRITE:
            return False
        incoming = os.open(self._incoming, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Whoever starts meanwhile removes what is not locked; the lock is the file's own.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # By descriptor: the name in the other directory may be another file by now. Python
            # follows the link in /proc only where it is told a directory.
            os.link(
                f"/proc/self/fd/{file}", temporary.name, dst_dir_fd=incoming, follow_symlinks=True
            )
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
            return False
        finally:
            os.close(incoming)
        try:
            os.fsync(file)
            self._publish(temporary, digest)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        # A rename to another name of the same file does nothing at all.
        temporary.unlink(missing_ok=True)
        return True

    def path(self, digest: Digest) -> str:
        """Path of the blob on the local file system; does not check that it exists.

        Raises:
            ValueError: It is not a digest.
        """
        check_digest(digest)
        # Asked on every reply of the gate: joining strings costs a tenth of joining paths.
        return f"{self._root}/{digest[:2]}/{digest[2:]}"

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
        with self._fate, as_unavailable(self._root), suppress(FileNotFoundError):
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
        with as_unavailable(self._quarantine):
            for place in self._quarantine.iterdir():
                found = place.stat()
                # A rename changes the change time: that is when it came here.
                if found.st_ctime_ns // 1_000_000 < before_ms:
                    place.unlink(missing_ok=True)
                    files, size = files + 1, size + found.st_size
        with as_unavailable(self._incoming):
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
        for digest, place in blobs_below(self._root):
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
        with as_unavailable(place.parent):
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
        with as_unavailable(self._quarantine):
            names = os.listdir(self._quarantine)  # noqa: PTH208 - names, not a Path each
        return frozenset(Digest(name) for name in names if is_digest(name))

    def _place(self, digest: Digest) -> Path:
        return place_in(self._root, digest)

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
        with as_unavailable(self._root):
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
