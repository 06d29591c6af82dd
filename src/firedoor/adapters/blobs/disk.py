"""Blobs in a directory of the local file system.

::

    <root>/ab/cdef...      one file per blob, named by its digest: two digits, then the rest
    <root>/incoming/       being written; a name here means nothing
    <root>/quarantine/     blobs that no longer matched their name, kept for a person to look at

A blob becomes visible by a rename after its bytes are on disk, so every crash leaves either the
whole blob or a stray file in ``incoming``, which the next start removes.
"""

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from firedoor.core.errors import Unavailable, Untrusted
from firedoor.core.release import is_digest
from firedoor.core.units import Digest

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


class DiskBlobs:
    """A blob store on a local disk. Any number of processes may share one directory.

    Args:
        root: The directory; made if it does not exist, its parent must.

    Raises:
        Unavailable: The directory cannot be made or cleaned.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._quarantine = root / "quarantine"
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

    def scrub(self) -> Iterator[Digest]:
        """Hash stored blobs one after the other; yield those that no longer match.

        A blob that does not match, or cannot be read, is in quarantine before it is yielded.
        The caller sets the pace: between two ``next`` nothing happens. Blobs that are stored
        meanwhile may or may not be looked at.

        Raises:
            Unavailable: The directories cannot be read or a blob cannot be moved.
        """
        with _as_unavailable(self._root):
            shards = sorted(p for p in self._root.iterdir() if len(p.name) == _SHARD_DIGITS)
        for shard in shards:
            with _as_unavailable(shard):
                places = sorted(shard.iterdir())
            for place in places:
                digest = Digest(shard.name + place.name)
                if is_digest(digest) and not self._is_right(place, digest):
                    with _as_unavailable(shard):
                        place.replace(self._quarantine / digest)
                        _sync_directory(self._quarantine)
                        _sync_directory(shard)
                    yield digest

    def _place(self, digest: Digest) -> Path:
        return Path(self.path(digest))

    def _publish(self, temporary: Path, digest: Digest) -> None:
        """Make the bytes visible: on return, the name survives a crash too."""
        place = self._place(digest)
        with suppress(FileExistsError):
            place.parent.mkdir()
        # Even if another process made the shard just now: it may not have come to its own sync.
        _sync_directory(self._root)
        temporary.replace(place)
        _sync_directory(place.parent)

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

    def _remove_leftovers(self) -> None:
        """Remove what a dead process left behind. A lock dies with its process, so it tells."""
        for stray in self._incoming.iterdir():
            with suppress(FileNotFoundError), stray.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                stray.unlink()

    @staticmethod
    def _is_right(place: Path, digest: Digest) -> bool:
        hasher = hashlib.sha256()
        try:
            with place.open("rb") as file:
                while chunk := file.read(_READ_BYTES):
                    hasher.update(chunk)
        except FileNotFoundError:
            return True  # Gone since it was listed: nothing to move aside.
        except OSError as error:
            if error.errno != errno.EIO:
                raise Unavailable(f"cannot read {place}: {error.strerror}") from error
            return False  # The disk itself says it cannot give the bytes back.
        return hasher.hexdigest() == digest


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
