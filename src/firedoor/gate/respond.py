"""Answering one request, once it is known which file of which release the machine gets.

::

    not GET or HEAD      405
    If-Match fails       412   the client insists on bytes that we do not have for it
    it has these bytes   304   If-None-Match, else If-Modified-Since
    Range                206   one part, if If-Range agrees; 416 if there is no such part
    otherwise            200
    no (right) blob      503   never a 200 that ends early, nor bytes that rotted

Whole files go out in one of three ways, the cheapest that tells enough (``tests/bench``):

- short ones from memory, in one message;
- longer ones in pieces, one after the other, as somebody may have to know how far they went
  (``delivered``) or may stop it on the way (``still_allowed``). A server that has
  ``http.response.zerocopysend`` gets the open file, and the kernel does the rest; any other gets
  the bytes;
- by ``http.response.pathsend``, where neither is so and the server has nothing better.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import structlog

from firedoor.core.errors import Unavailable
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest
from firedoor.gate.asgi import Header, Message, Receive, Scope, Send
from firedoor.gate.blob import OpenBlob, check_blob
from firedoor.gate.conditional import NAMES, continues, holds, is_current, is_refused
from firedoor.gate.problem import send_problem
from firedoor.gate.ranges import asked_part
from firedoor.gate.soundness import Soundness
from firedoor.gate.telling import Delivered, Telling
from firedoor.ports import ClientGone

KEEP_BYTES: Final = 1024 * 1024
"""Files up to this long are sent from memory by a server without ``zerocopysend``, at half its
cost of ``pathsend``. Longer ones would crowd out too many others.
"""

COPY_BYTES: Final = 64 * 1024
"""The same for a server with it: to copy fewer costs less than to open the file."""

MEMORY_BYTES: Final = 64 * 1024 * 1024
"""All files in memory together, by default."""

PIECE_BYTES: Final = 64 * 1024
"""Bytes handed to the server at a time when a reply goes out in pieces.

The smaller, the closer ``delivered`` follows what the machine has; each piece costs some 25 us.
"""

LONG_PIECE_BYTES: Final = 256 * 1024
"""The same where nobody counts: no more than this goes out after a reply was forbidden."""

FILE_PIECE_BYTES: Final = 1024 * 1024
"""The same where the server reads the file itself, and tells how much of it the kernel took."""

RETRY_AFTER_S: Final = 10
"""When a client should ask again for a file whose blob could not be read."""

StillAllowed = Callable[[], bool]
"""Says whether the machine may still have this file."""

_HEADS: Final = 4096
_TURN_S: Final = 0.001
_ASK_AGAIN: Final = b"private, no-cache"
_FOR_EVER: Final = b"private, immutable, max-age=31536000"
_LOG: Final = structlog.get_logger()


_Key = tuple[Digest, str, str, int | None, bool]
"""Digest, media type, release, Last-Modified, immutable name."""


@dataclass(frozen=True, slots=True)
class _Heads:
    """What all replies for one file in one release have in common; built once."""

    etag: bytes
    last_modified: bytes | None
    whole: Message
    current: Message
    shared: tuple[Header, ...]
    content: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request that is not answered from memory."""

    scope: Scope
    receive: Receive
    send: Send
    entry: FileEntry
    path: str
    heads: _Heads
    delivered: Delivered | None
    still_allowed: StillAllowed | None
    zerocopy: bool
    telling: Telling


class Answerer:
    """Answers requests for files; holds the bytes of small ones in memory, least used out first."""

    def __init__(
        self,
        memory_bytes: int = MEMORY_BYTES,
        soundness: Soundness | None = None,
        telling: Telling | None = None,
    ) -> None:
        """Begin with nothing in memory.

        Args:
            memory_bytes: How much the files in memory may take together, >= 0.
            soundness: Says whether a blob is right before it is sent; None: nobody asks.
            telling: Waits for the ends of replies to arrive; None: one of its own.
        """
        self._soundness = soundness
        self._memory_bytes = memory_bytes
        self._kept: OrderedDict[Digest, Message] = OrderedDict()
        self._kept_bytes = 0
        self._telling = telling or Telling()
        self._heads: dict[_Key, _Heads] = {}

    async def answer(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        method: str,
        headers: Iterable[Header],
        entry: FileEntry,
        path: str,
        release: str,
        last_modified: int | None,
        immutable_name: bool,
        current: bool = False,
        delivered: Delivered | None = None,
        still_allowed: StillAllowed | None = None,
    ) -> None:
        """Answer one request with one file.

        Args:
            scope: Of the request; asked for the server's extensions.
            receive: Of the request; read only while a reply goes out in pieces.
            send: Of the request.
            method: Of the request: anything.
            headers: Of the request, names in lower case.
            entry: The file, as the release's manifest has it.
            path: Where its blob lies.
            release: Id of the release, told to the client.
            last_modified: When this release was assigned, Unix seconds, strictly rising over the
                releases of a channel. None: no date is sent and none is honoured.
            immutable_name: The URL names these bytes for ever (by-hash, pool), so caches may too.
            current: The client is known to have these bytes: 304, whatever it asks.
            delivered: Told, in order and as it happens, which bytes were handed over. That is
                what the server took before the client went away, except for the last piece of a
                reply: that is told when the client has acknowledged it, where the server knows
                (``ports.Arrival``), and so nothing is told whole that was broken off. An empty
                file that was sent is ``(0, 0)``. A client that names them by their entity-tag has
                got them before, and counts; HEAD, any other 304 and errors tell nothing.
            still_allowed: Asked before every piece of a file that is not sent from memory; a
                reply that is not allowed any more is broken off.
        """
        key = (entry.sha256, entry.type, release, last_modified, immutable_name)
        heads = self._heads.get(key) or self._heads_of(key, entry.size)
        if current:
            await _send_head(send, heads.current)
            return
        asked: dict[bytes, bytes] | None = None
        for name, value in headers:
            if name in NAMES:
                asked = asked or {}
                asked[name] = asked[name] + b", " + value if name in asked else value

        if method == "GET" and asked is None:
            kept = self._kept.get(entry.sha256)
            if kept is not None and (delivered is None or entry.size <= PIECE_BYTES):
                self._kept.move_to_end(entry.sha256)
                await send(heads.whole)
                await send(kept)
                if delivered is not None:
                    self._telling.tell(scope, delivered, 0, entry.size)
                return
        elif method not in {"GET", "HEAD"}:
            allowed = [(b"allow", b"GET, HEAD")]
            await send_problem(send, HTTPStatus.METHOD_NOT_ALLOWED, headers=allowed)
            return
        extensions = scope.get("extensions", ())
        zerocopy = "http.response.zerocopysend" in extensions
        exchange = _Exchange(
            scope, receive, send, entry, path, heads, delivered, still_allowed, zerocopy,
            self._telling,
        )  # fmt: skip
        try:
            if asked is not None and await _answered_by_condition(exchange, asked):
                return
            if method == "HEAD":
                check_blob(path, entry.size)
                await _send_head(send, heads.whole)
                return
            sound = self._soundness
            if sound is not None and not sound.knows(entry.sha256):
                await sound.check(entry.sha256)
            part = _asked_part(exchange, asked) if asked is not None else None
            if part is None:
                pathsend = "http.response.pathsend" in extensions
                await self._send_whole(exchange, pathsend=pathsend)
            else:
                await _send_part(exchange, part)
        except Unavailable as error:
            _LOG.error("blob-unavailable", digest=entry.sha256, reason=str(error))
            later = [(b"retry-after", b"%d" % RETRY_AFTER_S)]
            status = HTTPStatus.SERVICE_UNAVAILABLE
            await send_problem(send, status, headers=later, head=method == "HEAD")

    async def _send_whole(self, exchange: _Exchange, *, pathsend: bool) -> None:
        send, entry, delivered = exchange.send, exchange.entry, exchange.delivered
        most = COPY_BYTES if exchange.zerocopy else KEEP_BYTES
        if entry.size <= (most if delivered is None else PIECE_BYTES):
            message = await self._keep(entry, exchange.path)
            await send(exchange.heads.whole)
            await send(message)
            if delivered is not None:
                exchange.telling.tell(exchange.scope, delivered, 0, entry.size)
        elif delivered is None and exchange.still_allowed is None and pathsend:
            check_blob(exchange.path, entry.size)
            await send(exchange.heads.whole)
            await send({"type": "http.response.pathsend", "path": exchange.path})
        else:
            await _send_pieces(exchange, exchange.heads.whole, range(entry.size))

    async def _keep(self, entry: FileEntry, path: str) -> Message:
        """Bring a small file into memory; return the message that sends it."""
        with OpenBlob(path, entry.size) as blob:
            body = await blob.read(range(entry.size))
        message = {"type": "http.response.body", "body": body}
        if entry.sha256 not in self._kept and entry.size <= self._memory_bytes:
            while self._kept_bytes + entry.size > self._memory_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= len(oldest["body"])
            self._kept[entry.sha256] = message
            self._kept_bytes += entry.size
        return message

    def _heads_of(self, key: _Key, size: int) -> _Heads:
        if len(self._heads) >= _HEADS:
            self._heads.clear()
        heads = self._heads[key] = _build_heads(key, size)
        return heads


def _build_heads(key: _Key, size: int) -> _Heads:
    digest, media, release, assigned, immutable_name = key
    etag = b'"%b"' % digest.encode()
    last_modified = None if assigned is None else formatdate(assigned, usegmt=True).encode()
    shared: tuple[Header, ...] = (
        (b"etag", etag),
        (b"cache-control", _FOR_EVER if immutable_name else _ASK_AGAIN),
        (b"vary", b"Authorization"),
        (b"firedoor-release", release.encode()),
        *(((b"last-modified", last_modified),) if last_modified else ()),
    )
    content: tuple[Header, ...] = (
        (b"content-type", (media or "application/octet-stream").encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"accept-ranges", b"bytes"),
    )
    length: Header = (b"content-length", b"%d" % size)
    return _Heads(
        etag=etag,
        last_modified=last_modified,
        whole=_start(HTTPStatus.OK, (length, *content, *shared)),
        current=_start(HTTPStatus.NOT_MODIFIED, shared),
        shared=shared,
        content=content,
    )


async def _answered_by_condition(exchange: _Exchange, asked: Mapping[bytes, bytes]) -> bool:
    """Answer 412 or 304 if a condition says so. Source of the order: RFC 9110, 13.2.2."""
    heads = exchange.heads
    if is_refused(asked, heads.etag):
        length: Header = (b"content-length", b"0")
        await _send_head(
            exchange.send, _start(HTTPStatus.PRECONDITION_FAILED, (length, *heads.shared))
        )
        return True
    if is_current(asked, heads.etag, heads.last_modified):
        await _send_head(exchange.send, heads.current)
        if exchange.delivered is not None and holds(asked, heads.etag):
            # From the release before, which had the same bytes, or from another host.
            exchange.delivered(0, exchange.entry.size)
        return True
    return False


def _asked_part(exchange: _Exchange, asked: Mapping[bytes, bytes]) -> range | None:
    """The part to send (empty: there is none such), or None to send the whole file."""
    header = asked.get(b"range")
    if header is None or not continues(asked, exchange.heads.etag, exchange.heads.last_modified):
        return None
    return asked_part(header, exchange.entry.size)


async def _send_part(exchange: _Exchange, part: range) -> None:
    heads, size = exchange.heads, exchange.entry.size
    if not part:
        headers: tuple[Header, ...] = (
            (b"content-length", b"0"),
            (b"content-range", b"bytes */%d" % size),
            *heads.shared,
        )
        await _send_head(exchange.send, _start(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers))
        return
    headers = (
        (b"content-length", b"%d" % len(part)),
        (b"content-range", b"bytes %d-%d/%d" % (part.start, part.stop - 1, size)),
        *heads.content,
        *heads.shared,
    )
    await _send_pieces(exchange, _start(HTTPStatus.PARTIAL_CONTENT, headers), part)


async def _send_pieces(exchange: _Exchange, start: Message, part: range) -> None:
    """Send ``start`` and the bytes of ``part`` (not empty), piece by piece.

    Stops when the client has gone. Where it may not have the rest, or the disk fails on the way, it
    stops too: the server sees that Content-Length was not met and breaks the connection, so the
    client knows.

    Raises:
        Unavailable: The blob cannot be read; nothing was sent.
    """
    send, delivered, still_allowed = exchange.send, exchange.delivered, exchange.still_allowed
    length = LONG_PIECE_BYTES if delivered is None else PIECE_BYTES
    if exchange.zerocopy:
        length = FILE_PIECE_BYTES
    piece = part[:length]
    with OpenBlob(exchange.path, exchange.entry.size) as blob:
        message = await _message(exchange, blob, piece)
        await send(start)
        # A server's `send` need not fail when nobody listens any more, so somebody has to watch.
        gone = None if exchange.zerocopy else asyncio.ensure_future(_disconnect(exchange.receive))
        try:
            for at in range(part.start, part.stop, length):
                piece = range(at, min(at + length, part.stop))
                if still_allowed is not None and not still_allowed():
                    _LOG.info("reply-withheld", digest=exchange.entry.sha256, sent=at - part.start)
                    return
                if at > part.start:
                    if gone is not None:
                        # On a stream that was reset `send` does not wait, and the page cache
                        # does not either: without time for the server's thread to tell the
                        # watcher the whole file would be told.
                        await asyncio.sleep(_TURN_S)
                        if gone.done():
                            return
                    message = await _message(exchange, blob, piece)
                await send({**message, "more_body": piece.stop < part.stop})
                # Granian reports the end of a complete reply as a disconnect too, but only after
                # `send` has returned: one that is known by now cut the reply short.
                if gone is not None and gone.done():
                    return
                if delivered is not None:
                    _tell(exchange, delivered, piece, part)
        except Unavailable as error:
            _LOG.error("reply-cut", digest=exchange.entry.sha256, reason=str(error))
        except ClientGone as error:
            # It has begun to take this piece, and may come back for what is missing of it only.
            if delivered is not None and error.taken:
                _tell(exchange, delivered, piece[: error.taken], part)
        except OSError:
            return  # ASGI 2.4: `send` raises it when the client has gone
        finally:
            if gone is not None:
                gone.cancel()


def _tell(exchange: _Exchange, delivered: Delivered, piece: range, part: range) -> None:
    """Tell that a piece was handed over; the last one when it has arrived."""
    if piece.stop < part.stop:
        delivered(piece.start, piece.stop)
    else:
        exchange.telling.tell(exchange.scope, delivered, piece.start, piece.stop)


async def _message(exchange: _Exchange, blob: OpenBlob, piece: range) -> dict[str, object]:
    """What makes the server send the bytes of ``piece``. Raises Unavailable."""
    if not exchange.zerocopy:
        return {"type": "http.response.body", "body": await blob.read(piece)}
    await blob.bring(piece)
    return {
        "type": "http.response.zerocopysend",
        "file": blob,
        "offset": piece.start,
        "count": len(piece),
        "firedoor.counted": exchange.delivered is not None,
    }


async def _disconnect(receive: Receive) -> None:
    """Wait until the client has gone; what it sends with a GET is read and dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_head(send: Send, start: Message) -> None:
    await send(start)
    await send({"type": "http.response.body", "body": b""})


def _start(status: HTTPStatus, headers: Sequence[Header]) -> Message:
    return {"type": "http.response.start", "status": status.value, "headers": tuple(headers)}
