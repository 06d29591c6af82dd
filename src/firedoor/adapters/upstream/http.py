"""A vendor's download server, read over HTTP.

The address says what the index is::

    https://vendor/feed/              SHA256SUMS inside it, or else the server's directory pages
    https://vendor/feed/SHA256SUMS    this checksum list, files relative to it
    https://vendor/feed/files.json    this JSON list, files relative to it
"""

import math
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from firedoor.adapters.upstream import index
from firedoor.adapters.upstream.get import Getter, Manners, Quiet, Reply, date_of
from firedoor.adapters.upstream.index import SUMS, Limits
from firedoor.core.errors import BadConfig, Unavailable, Untrusted, UpstreamMoved
from firedoor.formats.listing import Page, Promise, parse_json, parse_page, parse_sums
from firedoor.ports import BlobStore, Clock, Fetched, Listed

_OK: Final = 200
_NOT_MODIFIED: Final = 304
_GONE: Final = frozenset({404, 410})
_DENIED: Final = frozenset({401, 403})
_STRONG_ETAG: Final = re.compile(r'"[^"]*"')

_CHECK_ADDRESS: Final = "check the address of the channel's upstream"
_ADDRESS_HINT: Final = f"it should end in '/', in '{SUMS}' or in '.json'"

# Last-Modified counts whole seconds, and common servers make their ETag from it: a file that was
# written twice within one keeps both (RFC 9110, 8.8.2.2). So a validator only counts when the
# file was older than this when it was served.
_SETTLED: Final = timedelta(seconds=2)

# Where a name says that the file itself is packed, servers may say so too (Apache's AddEncoding).
_PACKED: Final[Mapping[str, tuple[str, ...]]] = {
    "gzip": (".gz", ".tgz"),
    "x-gzip": (".gz", ".tgz"),
    "compress": (".Z",),
    "x-compress": (".Z",),
    "bzip2": (".bz2",),
    "x-bzip2": (".bz2",),
    "xz": (".xz",),
    "zstd": (".zst",),
    "br": (".br",),
}


@dataclass(frozen=True, slots=True)
class _Address:
    """What the configured address means.

    Attributes:
        base: Address of the directory that paths are relative to, with a slash at its end.
        name: Name of the list in it.
        parse: How to read the list.
        browse: Whether the server's directory pages serve where there is no list.
    """

    base: str
    name: str
    parse: Callable[[bytes], Mapping[str, Promise]]
    browse: bool

    def of(self, path: str) -> str:
        """Address of a file or directory."""
        return self.base + quote(path)


class HttpUpstream:
    """An upstream behind ``http://`` or ``https://``. ``fetch`` may be called by several threads.

    Args:
        url: Address of a directory (with a slash at its end), a ``SHA256SUMS`` or a ``.json``.
        rng: Spreads the pauses between attempts.
        clock: Measures how long to leave upstream alone, and tells when ``until_ms`` has come.
        limits: How much is believed to be one channel's content.
        manners: How long and how often to ask.
        ca_file: Certificates to trust instead of the system's, PEM; empty: the system's.
        proxy: URL of an HTTP proxy; empty: none.
        sleep: Waits for some seconds.
        until_ms: Monotonic time at which everything ends, in the middle of a reply too.
        quiet: How long upstream asked to be left alone, where that outlives this object.
        throttle: Told of bytes that came; it waits where they are more than there may be.
        at_once: Threads that may fetch at the same time, >= 1.

    Raises:
        BadConfig: The address is none of these.
    """

    def __init__(
        self,
        url: str,
        rng: random.Random,
        clock: Clock,
        *,
        limits: Limits | None = None,
        manners: Manners | None = None,
        ca_file: str = "",
        proxy: str = "",
        sleep: Callable[[float], None] = time.sleep,
        until_ms: float = math.inf,
        quiet: Quiet | None = None,
        throttle: Callable[[int], None] = lambda _: None,
        at_once: int = 1,
    ) -> None:
        self._address = _address(url)
        self._limits = limits or Limits()
        self._getter = Getter(
            rng,
            clock,
            manners or Manners(),
            ca_file=ca_file,
            proxy=proxy,
            sleep=sleep,
            until_ms=until_ms,
            quiet=quiet,
            throttle=throttle,
            at_once=at_once,
        )

    def index(self) -> tuple[Listed, ...]:
        """List the files now, sorted by path. Asks upstream every time.

        Raises:
            Unavailable: Upstream does not answer, or has no list here.
            Untrusted: The list makes no sense, or exceeds the limits.
        """
        address = self._address
        where = address.of(address.name)
        data = self._read(where)
        if data is not None:
            files = index.from_list(where, address.name, data, address.parse)
        elif address.browse:
            where = address.base
            files = self._browse()
        else:
            raise Unavailable(f"{where} is not there", hint=_CHECK_ADDRESS)
        return index.in_order(where, files, self._limits)

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """Bring one file's bytes into ``into`` and verify them against ``listed``.

        Nothing is asked where the index promises a digest that is held already. Without a
        promise, ``known`` makes the request conditional.

        Raises:
            Unavailable: Upstream does not answer, or nothing can be stored.
            Untrusted: The bytes are not what was promised, or exceed the limits.
            UpstreamMoved: The file is listed and not there.
        """
        held = index.held(listed, known, into)
        if held is not None:
            return held
        where = self._address.of(listed.path)
        conditions = {}
        if known is not None and listed.sha256 is None and into.claim(known.entry.sha256):
            if known.validator.startswith('"'):
                conditions["If-None-Match"] = known.validator
            elif known.validator and self._is_as_before(where, known):
                return known

        def take(reply: Reply) -> Fetched:
            if reply.status == _NOT_MODIFIED and known is not None and conditions:
                return known
            if reply.status in _GONE:
                raise UpstreamMoved(
                    f"{where} is listed but not there",
                    hint="upstream may be in the middle of an update, or its list is wrong",
                )
            _expect_whole_file(reply, promised=listed.sha256 is not None or listed.size is not None)
            index.check_size(where, reply.length or 0, self._limits)
            if listed.sha256 is not None and listed.size is not None:
                reply = replace(reply, chunks=self._getter.whole(reply, listed.size))
            body = _capped(reply, self._limits.max_file_bytes, "max_file_bytes")
            try:
                digest, size = into.put(body, listed.sha256)
            except Untrusted as error:
                raise Untrusted(f"{where}: {error}", hint=error.hint) from error
            return index.fetched(listed, digest, size, _validator(reply.headers), where)

        return self._getter.get(where, take, headers=conditions)

    def read(self, path: str, most: int) -> bytes | None:
        """One file as it is now, or None if there is none.

        Args:
            path: Relative to the directory of the upstream's address.
            most: Bytes; a longer file is refused.

        Raises:
            Unavailable: Upstream does not answer.
            Untrusted: The file is longer.
        """
        return self._read(self._address.of(path), most=most)

    def _read(self, where: str, *, page: bool = False, most: int = 0) -> bytes | None:
        """A list or a directory page, or None if there is none."""
        limit = most or self._limits.max_index_bytes

        def take(reply: Reply) -> bytes | None:
            if reply.status in _GONE:
                return None
            _expect_whole_file(reply, promised=False)
            kind = reply.headers.get("Content-Type", "")
            if page and "html" not in kind.lower():
                raise Untrusted(f"{where} is no directory page but {kind!r}", hint=_CHECK_ADDRESS)
            return b"".join(_capped(reply, limit, "max_index_bytes"))

        return self._getter.get(where, take)

    def _browse(self) -> list[Listed]:
        """All files the server's directory pages lead to, breadth first."""
        files: list[Listed] = []
        level = [""]
        directories = 0
        for _ in range(self._limits.max_depth):
            below: list[str] = []
            for directory in level:
                page = self._page(directory)
                files += (Listed(directory + name, None, None) for name in page.files)
                below += [f"{directory}{name}/" for name in page.directories]
                directories += len(page.directories)
                if max(len(files), directories) > self._limits.max_files:
                    raise index.too_many(self._address.base, self._limits)
            level = below
        if level:
            raise index.too_deep(self._address.base, self._limits)
        return files

    def _page(self, directory: str) -> Page:
        where = self._address.of(directory)
        data = self._read(where, page=True)
        if data is None and directory:
            raise UpstreamMoved(f"{where} is listed but not there")
        if data is None:
            raise Unavailable(f"{where} is not there", hint=_CHECK_ADDRESS)
        return index.understood(where, parse_page, data)

    def _is_as_before(self, where: str, known: Fetched) -> bool:
        """Whether a file that only has a date still has the same date and size.

        Not ``If-Modified-Since``: many servers answer 304 to a date that is merely not older,
        so a vendor who puts an older file back would never be seen to do it.
        """

        def take(reply: Reply) -> bool:
            return (
                reply.status == _OK
                and reply.headers.get("Last-Modified") == known.validator
                and reply.length == known.entry.size
            )

        return self._getter.get(where, take, method="HEAD")


def _address(url: str) -> _Address:
    """Read an upstream's address.

    Raises:
        BadConfig: It is none that is understood.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError as error:
        raise BadConfig(f"{url!r} is no address: {error}", hint=_ADDRESS_HINT) from error
    if not usable:
        raise BadConfig(f"{url!r} is no http:// or https:// address", hint=_ADDRESS_HINT)
    if parts.username is not None or parts.query or parts.fragment:
        raise BadConfig(
            f"the upstream {parts.hostname} may not have a user, a query or a fragment",
            hint="secrets do not belong into an address: it is logged and shown",
        )
    name = unquote(parts.path.rpartition("/")[2])
    base = url[: url.rindex("/") + 1]
    if not name and parts.path:
        return _Address(base, SUMS, parse_sums, browse=True)
    if name.endswith(SUMS):
        return _Address(base, name, parse_sums, browse=False)
    if name.endswith(".json"):
        return _Address(base, name, parse_json, browse=False)
    raise BadConfig(f"{url!r} does not say where its list of files is", hint=_ADDRESS_HINT)


def _expect_whole_file(reply: Reply, *, promised: bool) -> None:
    """Refuse a reply that is not the bytes of a file, or could end early unnoticed."""
    if reply.status != _OK:
        hint = "upstream wants credentials" if reply.status in _DENIED else _CHECK_ADDRESS
        raise Unavailable(f"{reply.url} answered {reply.status}", hint=hint)
    coding = reply.headers.get("Content-Encoding", "identity").lower()
    if coding != "identity" and not reply.url.endswith(_PACKED.get(coding, ())):
        raise Untrusted(
            f"{reply.url} came packed as {coding!r}, though its plain bytes were asked for",
            hint="a cache or proxy on the way may do this",
        )
    if not (promised or reply.marks_its_end):
        raise Unavailable(
            f"{reply.url} came without a length: nobody could tell if it broke off",
            hint="let the server send Content-Length, or publish a SHA256SUMS",
        )


def _capped(reply: Reply, limit: int, setting: str) -> Iterator[bytes]:
    """The body, until it is longer than the limit."""
    size = 0
    for chunk in reply.chunks:
        size += len(chunk)
        if size > limit:
            raise Untrusted(
                f"{reply.url} is larger than {limit} bytes",
                hint=f"raise {setting} if this is right",
            )
        yield chunk


def _validator(headers: Mapping[str, str]) -> str:
    """What says later that the file is unchanged: a strong ETag, else the date, else nothing."""
    etag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
    modified, sent = date_of(date), date_of(headers.get("Date", ""))
    if modified and sent and sent - modified < _SETTLED:
        return ""
    if _STRONG_ETAG.fullmatch(etag):
        return etag
    return date if modified and sent else ""
