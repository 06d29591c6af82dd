"""A directory of the local file system as an upstream: an rsync target, a mount, a test.

Whoever can write into the directory decides what machines get, but must not be able to make
Firedoor read anything outside it: links are followed only to regular files and directories
inside, and anything else is refused rather than skipped.
"""

import errno
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from firedoor.adapters.upstream import index
from firedoor.adapters.upstream.index import SUMS, Limits
from firedoor.core.errors import BadConfig, Unavailable, Untrusted, UpstreamMoved
from firedoor.formats.listing import parse_sums
from firedoor.ports import BlobStore, Clock, Fetched, Listed

_CHUNK_BYTES: Final = 1 << 20

# File times tick more coarsely than files can be written (milliseconds here, a second or two on
# some network mounts): a stamp only counts when the file was older than this when it was read.
_SETTLED_MS: Final = 2_000

_READ_HINT: Final = "let the user that Firedoor runs as read the directory"
_HINTS: Final = {
    errno.EACCES: _READ_HINT,
    errno.EPERM: _READ_HINT,
    errno.ENAMETOOLONG: "the file system knows no names this long: correct the upstream",
}

# What stat says where no file is. Anything else is a fault that may pass: of a mount, of rights.
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class DirectoryUpstream:
    """An upstream in a directory. A ``SHA256SUMS`` in it is believed before the directory.

    Args:
        root: The directory.
        clock: Tells how old a file is, and when ``until_ms`` has come.
        limits: How much is believed to be one channel's content.
        until_ms: Monotonic time after which nothing more is read.

    Raises:
        BadConfig: There is no such directory.
        Unavailable: It cannot be told whether there is.
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        *,
        limits: Limits | None = None,
        until_ms: float = math.inf,
    ) -> None:
        if not _leads_to_directory(root):
            raise BadConfig(f"{root} is not a directory", hint="make it, or correct the upstream")
        self._given = root
        self._root = _real(root)
        self._limits = limits or Limits()
        self._clock = clock
        self._until_ms = until_ms

    def index(self) -> tuple[Listed, ...]:
        """List the files now, sorted by path.

        Raises:
            Unavailable: The directory cannot be read, or time is up.
            Untrusted: It holds something that is not a file or directory inside it, a checksum
                list that makes no sense, or more than the limits allow.
        """
        # Resolved anew, and only here: publishers swap a link like "current" to change everything
        # at once, and the files that follow have to come from the directory that was listed.
        self._root = _real(self._given)
        sums = self._root / SUMS
        where = str(self._root)
        if _is_there(sums):
            data = b"".join(self._read(sums, self._limits.max_index_bytes))
            files = index.from_list(str(sums), SUMS, data, parse_sums)
        else:
            files = self._walk()
        return index.in_order(where, files, self._limits)

    def read(self, path: str, most: int) -> bytes | None:
        """One file as it is now, or None if there is none.

        Args:
            path: Relative to the directory.
            most: Bytes; a longer file is refused.

        Raises:
            Unavailable: The file cannot be read, or time is up.
            Untrusted: It is longer, or no regular file inside the directory.
            UpstreamMoved: It changed while it was read.
        """
        place = self._root / path
        return b"".join(self._read(place, most)) if _is_there(place) else None

    def open(self, path: str) -> int:
        """A descriptor of a regular file inside the directory, for reading; the caller closes it.

        Raises:
            Unavailable: It cannot be opened.
            Untrusted: It is no regular file inside the directory.
            UpstreamMoved: There is none.
        """
        return self._open(self._root / path)

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """Bring one file's bytes into ``into`` and verify them against ``listed``.

        Nothing is read where the index promises a digest that is held already, or where the
        file's size, times and inode are those of ``known``.

        Raises:
            Unavailable: The file cannot be read, or nothing can be stored, or time is up.
            Untrusted: The bytes are not what was promised, or exceed the limits.
            UpstreamMoved: The file is listed and not there, or changed while it was read.
        """
        self._expect_time()
        held = index.held(listed, known, into)
        if held is not None:
            return held
        place = self._root / listed.path
        stamp = self._stamp(place)
        if (
            known is not None
            and listed.sha256 is None
            and known.validator == stamp
            and stamp
            and into.claim(known.entry.sha256)
        ):
            return known
        try:
            digest, size = into.put(self._read(place, self._limits.max_file_bytes), listed.sha256)
        except Untrusted as error:
            raise Untrusted(f"{place}: {error}", hint=error.hint) from error
        return index.fetched(listed, digest, size, stamp, str(place))

    def _walk(self) -> list[Listed]:
        files: list[Listed] = []
        level = [""]
        directories = 0
        for _ in range(self._limits.max_depth):
            below: list[str] = []
            for directory in level:
                for name in self._names(directory):
                    path = directory + name
                    if self._is_directory(self._root / path):
                        below.append(f"{path}/")
                        directories += 1
                    else:
                        files.append(Listed(path, None, None))
                if max(len(files), directories) > self._limits.max_files:
                    raise index.too_many(str(self._root), self._limits)
            level = below
        if level:
            raise index.too_deep(str(self._root), self._limits)
        return files

    def _names(self, directory: str) -> list[str]:
        self._expect_time()
        place = self._root / directory
        with _faults_of(place):
            return os.listdir(place)  # noqa: PTH208 - names, not a Path each

    def _is_directory(self, place: Path) -> bool:
        """Whether it is a directory; refuse all that is neither directory nor file."""
        real = self._inside(place)
        with _faults_of(place):
            mode = real.stat().st_mode
        if stat.S_ISDIR(mode):
            return True
        _expect_regular(place, mode)
        return False

    def _inside(self, place: Path) -> Path:
        """Where a path really leads, if it stays inside."""
        try:
            real = place.resolve(strict=True)
        except FileNotFoundError as error:
            with _faults_of(place):
                linked = place.is_symlink()
            raise (_broken_link(place) if linked else _moved(place)) from error
        except RuntimeError as error:  # Python 3.11 and 3.12 say so of a link to itself.
            raise _broken_link(place) from error
        except OSError as error:
            loops = error.errno == errno.ELOOP
            raise (_broken_link(place) if loops else _unreadable(place, error)) from error
        if not real.is_relative_to(self._root):
            raise Untrusted(
                f"{place} is a link that leaves {self._root}",
                hint="copy what it points to into the directory",
            )
        return real

    def _open(self, place: Path) -> int:
        real = self._inside(place)
        with _faults_of(place):
            # Between resolve and open the last name may be swapped for a link or a pipe: neither
            # is followed nor waited for.
            file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _expect_regular(place, os.fstat(file).st_mode)
            except (OSError, Untrusted):
                os.close(file)
                raise
        return file

    def _read(self, place: Path, limit: int) -> Iterator[bytes]:
        """The bytes of a file that does not change while it is read."""
        file = self._open(place)
        try:
            before = _identity(os.fstat(file))
            size = 0
            while chunk := os.read(file, _CHUNK_BYTES):
                self._expect_time()
                size += len(chunk)
                if size > limit:
                    raise Untrusted(
                        f"{place} is larger than {limit} bytes", hint="raise the limit if right"
                    )
                yield chunk
            if _identity(os.fstat(file)) != before:
                raise UpstreamMoved(f"{place} changed while it was read")
        except OSError as error:
            raise _unreadable(place, error) from error
        finally:
            os.close(file)

    def _stamp(self, place: Path) -> str:
        """What says later that the file is unchanged; empty while it is too new to tell."""
        file = self._open(place)
        try:
            with _faults_of(place):
                found = os.fstat(file)
        finally:
            os.close(file)
        newest_ms = max(found.st_mtime_ns, found.st_ctime_ns) // 1_000_000
        settled = self._clock.now().wall_ms - newest_ms >= _SETTLED_MS
        return _identity(found) if settled else ""

    def _expect_time(self) -> None:
        index.check_time(str(self._root), self._clock, self._until_ms)


def _leads_to_directory(place: Path) -> bool:
    try:
        return stat.S_ISDIR(place.stat().st_mode)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise _unreadable(place, error) from error


def _is_there(place: Path) -> bool:
    """Whether there is a name, even of a broken link. Not ``lexists``: it calls any fault a no."""
    try:
        place.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(place, error) from error
    return True


def _real(root: Path) -> Path:
    try:
        return root.resolve()
    except RuntimeError as error:  # Python 3.11 and 3.12 say so of a link to itself.
        raise _broken_link(root) from error
    except OSError as error:
        raise _unreadable(root, error) from error


@contextmanager
def _faults_of(place: Path) -> Iterator[None]:
    """Turn what the system says of a place into the project's errors."""
    try:
        yield
    except FileNotFoundError as error:
        raise _moved(place) from error
    except OSError as error:
        raise _unreadable(place, error) from error


def _identity(found: os.stat_result) -> str:
    # The change time cannot be set back by whoever writes the file; the others can.
    times = f"{found.st_mtime_ns}-{found.st_ctime_ns}"
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{times}"


def _expect_regular(place: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise Untrusted(
            f"{place} is neither a file nor a directory",
            hint="devices, pipes and sockets have no place in an upstream",
        )


def _broken_link(place: Path) -> Untrusted:
    return Untrusted(f"{place} is a link that leads nowhere", hint="remove it, or its cause")


def _moved(place: Path) -> UpstreamMoved:
    return UpstreamMoved(
        f"{place} is listed but not there", hint="the directory may be in the middle of an update"
    )


def _unreadable(place: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"cannot read {place}: {error.strerror or error}",
        hint=_HINTS.get(error.errno or 0, "look at the mount or the disk it is on"),
    )
