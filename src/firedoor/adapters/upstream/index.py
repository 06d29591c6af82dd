"""What every upstream does alike: turn a list of files into what the mirror asks for.

A list that promises digests is part of what it lists: clients of a ``files`` channel read
``SHA256SUMS`` too, and must find the one that belongs to the release they are given.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from firedoor.core.errors import BadInput, Unavailable, Untrusted
from firedoor.core.release import FileEntry, check_path, media_type
from firedoor.core.units import Digest
from firedoor.formats.listing import Promise
from firedoor.ports import BlobStore, Clock, Fetched, Listed

_S = TypeVar("_S")
_T = TypeVar("_T")

SUMS: Final = "SHA256SUMS"
"""Name of a checksum list; in a directory, the list that is believed before any other."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an upstream is believed to be one channel's content.

    Attributes:
        max_file_bytes: A larger file is refused.
        max_index_bytes: A larger list or directory page is refused.
        max_files: A list of more files, or more directories, is refused.
        max_depth: Directories nested deeper are refused, >= 1 (1: no sub-directories).
    """

    max_file_bytes: int = 8 << 30
    max_index_bytes: int = 32 << 20
    max_files: int = 100_000
    max_depth: int = 16


def from_list(
    where: str, name: str, data: bytes, parse: Callable[[bytes], Mapping[str, Promise]]
) -> list[Listed]:
    """The files a list names, and the list itself under ``name`` with its own digest.

    Raises:
        Untrusted: The list is malformed.
    """
    listed = [
        Listed(path, promise.sha256, promise.size)
        for path, promise in understood(where, parse, data).items()
        # A list cannot know its own digest: if it names itself, it does so from before.
        if path != name
    ]
    listed.append(Listed(name, Digest(hashlib.sha256(data).hexdigest()), len(data)))
    return listed


def understood(where: str, parse: Callable[[_S], _T], data: _S) -> _T:
    """Parse what upstream sent; what is wrong with it is upstream's fault, not the caller's."""
    try:
        return parse(data)
    except BadInput as error:
        raise Untrusted(
            f"cannot read the list of files at {where}: {error}",
            hint=error.hint or "look at it with a browser; it may be an error or login page",
        ) from error


def in_order(where: str, files: Sequence[Listed], limits: Limits) -> tuple[Listed, ...]:
    """The files sorted by path, if there are not too many and none is promised too large."""
    if len(files) > limits.max_files:
        raise too_many(where, limits)
    for listed in files:
        understood(where, check_path, listed.path)
        check_size(f"{listed.path} of {where}", listed.size or 0, limits)
    return tuple(sorted(files, key=lambda listed: listed.path))


def too_many(where: str, limits: Limits) -> Untrusted:
    """The error for an upstream that never ends."""
    return Untrusted(
        f"{where} has more than {limits.max_files} files or directories",
        hint="point the channel at a smaller part of it, or at a list of files",
    )


def too_deep(where: str, limits: Limits) -> Untrusted:
    """The error for directories that may be nested for ever."""
    return Untrusted(
        f"{where} is nested deeper than {limits.max_depth} directories",
        hint="a link may lead back to one of its parents",
    )


def check_size(what: str, size: int, limits: Limits) -> None:
    """Refuse a file that is larger than the limit.

    Raises:
        Untrusted: It is.
    """
    if size > limits.max_file_bytes:
        raise Untrusted(
            f"{what} is larger than {limits.max_file_bytes} bytes",
            hint="raise max_file_bytes if this is right",
        )


def check_time(where: str, clock: Clock, until_ms: float) -> None:
    """Refuse to go on when the time for a look at an upstream is over.

    Raises:
        Unavailable: It is.
    """
    if clock.now().mono_ms >= until_ms:
        raise Unavailable(
            f"{where} was not read: all of upstream took too long",
            hint="look how fast the vendor answers, or point the channel at a smaller part of it",
        )


def held(listed: Listed, known: Fetched | None, blobs: BlobStore) -> Fetched | None:
    """What needs no asking: the promised bytes are here, from before or from elsewhere.

    Returns:
        The file, or None where nothing is promised or the bytes are not held.

    Raises:
        Unavailable: The bytes are here and cannot be looked at.
        Untrusted: The list promises a size that bytes of this digest do not have.
    """
    if listed.sha256 is None or not blobs.claim(listed.sha256):
        return None
    if known is not None and known.entry.sha256 == listed.sha256:
        return known
    try:
        size = Path(blobs.path(listed.sha256)).stat().st_size
    except FileNotFoundError:
        return None  # A scrub has put it aside just now.
    except OSError as error:
        raise Unavailable(f"cannot look at a blob of {listed.path}: {error.strerror}") from error
    return fetched(listed, listed.sha256, size, "", listed.path)


def fetched(listed: Listed, digest: Digest, size: int, validator: str, where: str) -> Fetched:
    """What was stored, if it is as long as promised.

    Raises:
        Untrusted: The list promises another size.
    """
    if listed.size is not None and listed.size != size:
        raise Untrusted(
            f"{where} has {size} bytes, its list promises {listed.size}",
            hint="upstream may be in the middle of an update",
        )
    return Fetched(FileEntry(digest, size, media_type(listed.path)), validator)
