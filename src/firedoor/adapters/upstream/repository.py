"""What repositories of packages have in common: signatures, packed indices, one file at a path."""

import bz2
import gzip
import hashlib
import io
import lzma
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Protocol

from firedoor.core.errors import Unavailable, Untrusted
from firedoor.core.units import Digest
from firedoor.ports import Fetched, Listed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK: Final = 1 << 18
_MOST_UNPACKED: Final = 1 << 30


class Signatures(Protocol):
    """The keys that a channel believes. Raises Untrusted or Unavailable."""

    def verified(self, signed: bytes) -> bytes:
        """The text of a file that carries its own signature."""
        ...

    def verify(self, data: bytes, signature: bytes) -> None:
        """Check a signature that lies beside its file."""
        ...


def nothing_before(_path: str) -> Fetched | None:
    """A file of the last snapshot, where there is none."""
    return None


def as_read(path: str, data: bytes) -> Listed:
    """A file that was read already, with its own digest."""
    return Listed(path, Digest(hashlib.sha256(data).hexdigest()), len(data))


def one_at_each_path(files: Iterable[Listed]) -> list[Listed]:
    """The files, each path once.

    Raises:
        Untrusted: Two different files are promised at one path.
    """
    found: dict[str, Listed] = {}
    for file in files:
        if found.setdefault(file.path, file) != file:
            raise Untrusted(f"upstream promises two different files at {file.path}")
    return list(found.values())


def is_wanted(name: str, patterns: Sequence[str]) -> bool:
    """Whether a package's name fits one of some shell patterns; any does where there are none."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def unpacked(file: Path, path: str, most: int = _MOST_UNPACKED) -> Iterator[bytes]:
    """The bytes of an index, unpacked as they are read.

    Args:
        file: Where they lie.
        path: What upstream calls it; its suffix says how it is packed.
        most: Bytes; what unpacks to more is refused.

    Raises:
        Untrusted: It is damaged, or unpacks to more than any index has.
        Unavailable: It cannot be read.
    """
    total = 0
    try:
        with _opened(file, path) as opened:
            while chunk := opened.read(_CHUNK):
                total += len(chunk)
                if total > most:
                    raise Untrusted(f"{path} unpacks to more than {most} bytes")
                yield chunk
    except (EOFError, lzma.LZMAError, zlib.error, zstd.ZstdError, gzip.BadGzipFile) as error:
        raise Untrusted(f"{path} cannot be unpacked: {error}") from error
    except OSError as error:
        # bz2 says so of damaged data, too; its digest was right, so upstream made it so.
        raise Unavailable(f"{path} cannot be read: {error}") from error


def _opened(file: Path, name: str) -> io.BufferedIOBase:
    match name.rpartition(".")[2]:
        case "gz" | "tgz":
            return gzip.open(file)
        case "xz":
            return lzma.open(file)
        case "bz2":
            return bz2.open(file)
        case "zst":
            # Its own limit for the window holds: a frame that wants more than 128 MiB is refused.
            return zstd.open(file)
        case _:
            return file.open("rb")
