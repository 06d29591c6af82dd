"""Rule feeds as an upstream: archives of rules by name, each with an ``.md5`` of our own making.

suricata-update looks at ``FEED.md5`` first and fetches the feed only if it differs, so the two have
to fit, always: the digest is made here, and one that the vendor publishes is only checked. And it
takes whatever is no archive for a file of rules, finds none in it, and ends well: a broken feed
would take a fleet's protection away without a word. So every feed is opened before it boards.
"""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from firedoor.adapters.upstream import index
from firedoor.adapters.upstream.index import Limits
from firedoor.adapters.upstream.repository import nothing_before, unpacked
from firedoor.core.errors import BadInput, Unavailable, Untrusted, UpstreamMoved
from firedoor.formats.suricata import count_rules, parse_md5
from firedoor.ports import BlobStore, Fetched, Listed, Source

_CHUNK: Final = 1 << 18
_MOST_UNPACKED: Final = 256 << 20
_MOST_FILES: Final = 10_000
_MD5_BYTES: Final = 4096
_RULES: Final = ".rules"
_TAR: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


class SuricataUpstream:
    """Rule feeds by their names. For one thread at a time.

    Args:
        source: The server or directory that has them.
        feeds: Their names, relative to it.
        blobs: Where they are kept; they are opened to see that there are rules in them.
        previous: A file of the last snapshot by its path, or None: what is unchanged is not
            fetched again.
        limits: How much is believed to be one channel's content.
    """

    def __init__(
        self,
        source: Source,
        feeds: Sequence[str],
        blobs: BlobStore,
        *,
        previous: Callable[[str], Fetched | None] = nothing_before,
        limits: Limits | None = None,
    ) -> None:
        self._source = source
        self._feeds = feeds
        self._blobs = blobs
        self._previous = previous
        self._known: dict[str, Fetched] = {}
        self._looked_into: set[str] = set()
        self._limits = limits or Limits()

    def index(self) -> tuple[Listed, ...]:
        """List the feeds as they are now, and their digests, sorted by path. Fetches them all.

        Raises:
            Unavailable: Upstream does not answer, or has no such feed.
            Untrusted: A feed is not what the vendor's ``.md5`` says, or has no rules.
        """
        files = [file for feed in self._feeds for file in self._feed(feed)]
        return index.in_order("the rule feeds", files, self._limits)

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """What ``index`` has brought, with what says later that it is unchanged."""
        found = self._known.get(listed.path)
        if found and found.entry.sha256 == listed.sha256 and into.claim(found.entry.sha256):
            return found
        return self._source.fetch(listed, known, into)

    def _feed(self, feed: str) -> Iterator[Listed]:
        beside = f"{feed}.md5"
        said = self._source.read(beside, _MD5_BYTES)
        try:
            known = self._known.get(feed) or self._previous(feed)
            file = self._source.fetch(Listed(feed, None, None), known, self._blobs)
        except UpstreamMoved as error:
            raise Unavailable(
                f"upstream has no {feed}", hint="correct the channel's feeds or its upstream"
            ) from error
        self._known[feed] = file
        path = Path(self._blobs.path(file.entry.sha256))
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, _md5).hexdigest()
        if said is not None and index.understood(beside, parse_md5, said) != digest:
            raise Untrusted(
                f"{feed} is not what its .md5 says",
                hint="upstream may be in the middle of an update",
            )
        if file.entry.sha256 not in self._looked_into:
            self._expect_rules(feed, path)
            self._looked_into.add(file.entry.sha256)
        text = f"{digest}\n".encode()
        sha256, size = self._blobs.put(iter((text,)))
        listed = Listed(beside, sha256, size)
        self._known[beside] = index.fetched(listed, sha256, size, "", beside)
        yield Listed(feed, file.entry.sha256, file.entry.size)
        yield listed

    def _expect_rules(self, feed: str, path: Path) -> None:
        try:
            found = sum(count_rules(rules) for rules in rules_of(feed, path))
        except (BadInput, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
            raise Untrusted(f"{feed} cannot be read: {error}", hint=_BROKEN) from error
        if not found:
            raise Untrusted(f"{feed} has no rule that is enabled", hint=_BROKEN)


_BROKEN: Final = "machines would run without it and not notice; ask the vendor"


def rules_of(feed: str, path: Path) -> Iterator[Iterator[bytes]]:
    """Files of rules in a feed, one after the other, each to be read before the next.

    Args:
        feed: Its name; the suffix says how it is packed.
        path: Its bytes.

    Raises:
        BadInput, Untrusted, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError: It cannot
            be unpacked.
    """
    if feed.endswith(_TAR):
        with tarfile.open(fileobj=_Stream(unpacked(path, feed, _MOST_UNPACKED)), mode="r|") as tar:
            for number, member in enumerate(tar):
                _expect_few(number)
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None and member.name.endswith(_RULES):
                    yield _chunks(file)
    elif feed.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _expect_few(len(infos))
            if sum(info.file_size for info in infos) > _MOST_UNPACKED:
                raise BadInput(f"it unpacks to more than {_MOST_UNPACKED} bytes")
            for info in infos:
                if info.filename.endswith(_RULES):
                    with archive.open(info) as opened:
                        yield _chunks(opened)
    else:
        with path.open("rb") as plain:
            yield _chunks(plain)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _expect_few(files: int) -> None:
    if files > _MOST_FILES:
        raise BadInput(f"it has more than {_MOST_FILES} files")


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)  # what the client compares, and proves nothing


class _Stream(io.RawIOBase):
    """Chunks as a file that is read from its beginning to its end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        part, self._rest = self._rest[:size], self._rest[size:]
        return part
