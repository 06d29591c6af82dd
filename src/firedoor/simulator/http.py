"""The machines' HTTP/1.1 client: one kept-alive connection, one request at a time, little else.

A simulated fleet shares its processors with the system it tests, so a request must cost some tens
of microseconds: a protocol on the event loop, heads composed once, no objects that nobody reads.
It speaks what plain updaters speak: Content-Length, chunked, replies that end with the
connection, Basic credentials; no redirects, no TLS, no cookies, no content encodings.
"""

import asyncio
import base64
from collections.abc import Callable
from typing import cast
from urllib.parse import quote, urlsplit

from firedoor.core.errors import BadConfig, TooLarge, Unavailable
from firedoor.simulator.reply import Reply, ReplyReader

TIMEOUT_S = 10.0
BODY_BYTES = 64 * 1024 * 1024

_SAFE_IN_PATH = "/:@!$&'()*+,;=~"


class Client:
    """One machine's way to one server.

    A connection that the server closed while it was idle is replaced, and the request repeated
    once: everything a machine sends may be repeated (it reads, or it posts signals with an id).

    Args:
        url: ``http://host[:port][/prefix]``; the prefix is put before every path.
        user: Name for Basic credentials.
        password: Token; without one no credentials are sent.
        timeout_s: Longest wait for a whole exchange, seconds > 0.
        limit: Largest body accepted, bytes.

    Raises:
        BadConfig: The URL is not plain HTTP with a host.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        timeout_s: float = TIMEOUT_S,
        limit: int = BODY_BYTES,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise BadConfig("a simulated machine speaks plain http to a named host")
        self._host, self._port = parts.hostname, parts.port or 80
        self._prefix = parts.path.rstrip("/")
        self._timeout_s, self._limit = timeout_s, limit
        self._head = f" HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        if password:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._head += f"Authorization: Basic {pair}\r\n"
        self._connection: _Connection | None = None
        self._closed = False
        self._drops = 0

    async def get(
        self, path: str, *, etag: str = "", on_body: Callable[[Reply], None] | None = None
    ) -> Reply:
        """Read a path, or learn that it is still what ``etag`` names.

        Args:
            path: Not percent-encoded, begins with "/".
            etag: Validator for If-None-Match, with its quotes; empty for none.
            on_body: Told once, when the first byte of the body is here, with status and headers
                (``body`` is still empty): the moment of exposure.

        Returns:
            The reply, of whatever status.

        Raises:
            Unavailable: No connection, a senseless or broken reply, or none in time.
            TooLarge: The body is over the limit.
        """
        condition = f"If-None-Match: {etag}\r\n" if etag else ""
        target = self._prefix + quote(path, safe=_SAFE_IN_PATH)
        return await self._exchange(f"GET {target}{self._head}{condition}\r\n".encode(), on_body)

    async def post(self, path: str, body: bytes, content_type: str) -> Reply:
        """Send a body; returns and raises as `get`."""
        head = (
            f"POST {self._prefix}{path}{self._head}"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return await self._exchange(head.encode() + body, None)

    def drop(self) -> None:
        """Let the connection go without a word, with what is under way on it.

        The next request makes a new one.
        """
        self._drops += 1
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def close(self) -> None:
        """Drop, for ever: later requests are `Unavailable`."""
        self._closed = True
        self.drop()

    async def _exchange(self, request: bytes, on_body: Callable[[Reply], None] | None) -> Reply:
        if self._closed:
            raise Unavailable("switched off")
        drops = self._drops
        try:
            async with asyncio.timeout(self._timeout_s):
                kept = self._connection
                if kept is not None and kept.is_idle:
                    try:
                        return await kept.exchange(request, on_body)
                    except _ClosedUnanswered:
                        self._connection = None
                return await (await self._connect(drops)).exchange(request, on_body)
        except OSError as error:  # TimeoutError and ConnectionError are among its kinds
            self.drop()
            reason = str(error) or type(error).__name__
            raise Unavailable(f"{self._host}:{self._port}: {reason}") from error

    async def _connect(self, drops: int) -> "_Connection":
        if self._connection is not None:
            self._connection.abort()
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._limit), self._host, self._port
        )
        if drops != self._drops:  # since the request began: it was dropped, too
            connection.abort()
            raise ConnectionAbortedError("dropped while connecting")
        self._connection = connection
        return connection


class _ClosedUnanswered(ConnectionError):
    """The server closed before the first byte of a reply: it may never have read the request."""


class _Connection(asyncio.Protocol):
    """A connection and at most one exchange on it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._transport: asyncio.Transport | None = None
        self._reader: ReplyReader | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._answering = False

    @property
    def is_idle(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None and self._reply is None

    async def exchange(self, request: bytes, on_body: Callable[[Reply], None] | None) -> Reply:
        """Send a request, wait for its reply."""
        if self._transport is None or self._reply is not None:
            raise _ClosedUnanswered("the connection is closed")
        self._reader = ReplyReader(self._limit, on_body)
        self._reply = asyncio.get_running_loop().create_future()
        self._answering = False
        self._transport.write(request)
        return await self._reply

    def abort(self) -> None:
        """Close at once; whoever waits is told."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._fail(ConnectionAbortedError("switched off"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream protocol is given no other kind; uvloop's does not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self.abort()  # speaks without being asked
            return
        self._answering = True
        try:
            reply = self._reader.feed(data)
        except (OSError, TooLarge) as error:
            self._fail(error)
            self.abort()
            return
        if reply is not None:
            self._finish(self._reader, reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._reader is None:
            return
        if not self._answering:
            self._fail(_ClosedUnanswered("the connection was closed before the reply"))
            return
        try:
            reply = self._reader.end() if exc is None else None
        except ConnectionError as error:
            self._fail(error)
            return
        if reply is None:
            self._fail(exc or ConnectionResetError("reset"))
        else:
            self._finish(self._reader, reply)

    def _finish(self, reader: ReplyReader, reply: Reply) -> None:
        waiting, self._reply, self._reader = self._reply, None, None
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)
        if not reader.keeps_alive:
            self.abort()

    def _fail(self, error: Exception) -> None:
        waiting, self._reply, self._reader = self._reply, None, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
