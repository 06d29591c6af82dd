"""Where content comes from and where it is kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from firedoor.core.release import FileEntry
from firedoor.core.units import Digest


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the upstream's index names it.

    Attributes:
        path: Relative POSIX path without ``..``, never empty.
        sha256: Digest the index promises, or None where the index has none.
        size: Size in bytes the index promises, or None.
        deferred: It need not be fetched before somebody asks for it; digest and size are promised.
    """

    path: str
    sha256: Digest | None
    size: int | None
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch put into the blob store.

    Attributes:
        entry: Digest and size of the bytes now stored, and their media type.
        validator: What lets the adapter that made it tell later that the file is unchanged
            (``ETag``, ``Last-Modified``, times of a file); ``""`` where nothing proves that.
    """

    entry: FileEntry
    validator: str


class Upstream(Protocol):
    """A vendor's content, read-only. Raises Unavailable, Untrusted or UpstreamMoved."""

    def index(self) -> Sequence[Listed]:
        """List the files now, sorted by path. Never served from a cache of our own."""
        ...

    def fetch(self, listed: Listed, known: Fetched | None, into: "BlobStore") -> Fetched:
        """Bring one file's bytes into ``into`` and verify them against ``listed``.

        With ``known`` the request is conditional: when upstream says "not modified" and the
        blob is still held, ``known`` is returned and no body travels. Where ``listed`` promises
        a digest that is held, nothing is asked at all; where it promises another, ``known``
        counts for nothing.
        """
        ...


class Source(Protocol):
    """A vendor's server or directory, by paths. Raises Unavailable, Untrusted or UpstreamMoved."""

    def read(self, path: str, most: int) -> bytes | None:
        """One file as it is now, or None if there is none; never served from a cache of our own.

        Args:
            path: As in ``Listed``.
            most: Bytes; a longer file is refused.
        """
        ...

    def fetch(self, listed: Listed, known: Fetched | None, into: "BlobStore") -> Fetched:
        """As in ``Upstream``."""
        ...


class BlobStore(Protocol):
    """Bytes by digest. A blob that is visible is complete, durable and right."""

    def put(self, chunks: Iterator[bytes], expected: Digest | None = None) -> tuple[Digest, int]:
        """Store a stream; return its digest and size in bytes. Durable and atomic on return.

        Raises:
            Untrusted: ``expected`` is given and the bytes hash to something else; nothing stays.
            Unavailable: No space or no permission; nothing stays.
        """
        ...

    def path(self, digest: Digest) -> str:
        """Path of the blob on the local file system; does not check that it exists."""
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is stored."""
        ...

    def claim(self, digest: Digest) -> bool:
        """Say whether the blob is stored; if so, it is not swept for a day at least.

        Whoever relies on a blob that no stored release names yet has to claim it.
        """
        ...

    def scrub(self) -> Iterator[Digest]:
        """Hash stored blobs one after the other; yield those that no longer match.

        A blob that does not match is moved aside, so ``has`` becomes False.
        """
        ...
