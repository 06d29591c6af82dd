"""One connection of ``DirectServer``: heads are read, replies are written, one after the other."""

import asyncio
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol

from firedoor.adapters.server.limits import IDLE_MS, SLOW_BYTES, UNSENT_BYTES, App
from firedoor.adapters.server.readiness import READ, WRITE, Readiness
from firedoor.adapters.server.reply import STATUS_LINES, WITHOUT_BODY, Part, after, kept, spelled
from firedoor.formats.request import BARE_END, END, MOST, MOST_FIELDS, Request, read_request
from firedoor.ports import ARRIVAL, ClientGone

READ_BYTES: Final = 16 * 1024
"""Bytes taken from a connection at a time."""

LINGER_S: Final = 2
"""How long a client may go on sending what nobody reads, so that it gets to see its reply."""

Message = Mapping[str, Any]
"""One event of a request or reply (ASGI). Some are shared, so nobody may change one."""

_IDLE_S: Final = IDLE_MS // 1000
_FRESH_S: Final = 2
_INT: Final = struct.Struct("=i")
_AT_ONCE: Final = struct.pack("=ii", 1, 0)
_FOR_EVER: Final = 1 << 62
NOTHING: Final = 2 * _FOR_EVER
"""A ``loss`` below this is of a client that has not asked anything whole."""

_ASGI: Final = {"version": "3.0", "spec_version": "2.4"}
_EXTENSIONS: Final[dict[str, dict[str, object]]] = {"http.response.zerocopysend": {}}
UNSENT: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)
"""The socket option that limits what waits in the kernel, where there is one."""

# Linux: what follows at once goes into the same segment.
_MORE: Final = getattr(socket, "MSG_MORE", 0)


class Server(Protocol):
    """What a connection asks of its server.

    Attributes:
        app: The application.
        loop: The event loop.
        address: Host and port of the listening socket.
        date: The header that tells the time, with its end of line.
        seconds: Since the server began.
        slow_s: Seconds in which a client has to take ``SLOW_BYTES`` of a reply.
        readiness: Tells connections that they can go on.
        stopping: No further request is to be read.
    """

    app: App
    loop: asyncio.AbstractEventLoop
    address: tuple[str, int]
    date: bytes
    seconds: int
    slow_s: int
    readiness: Readiness
    stopping: bool

    def closed(self, connection: "Connection") -> None:
        """A connection has ended."""
        ...


class _State(Enum):
    READING = 0
    ANSWERING = 1
    FLUSHING = 2
    LINGERING = 3
    CLOSED = 4


class Connection:
    """A client. ``until`` is the second of the server at which it has been idle for too long."""

    __slots__ = (
        "_begun", "_body_left", "_body_told", "_bytes", "_client", "_complete", "_counted", "_due",
        "_fd", "_file", "_gone", "_head_only", "_keep", "_last", "_loop", "_mark", "_readiness",
        "_room", "_sent", "_server", "_socket", "_start", "_state", "_unread", "_waits_for",
        "until",
    )  # fmt: skip

    def __init__(self, server: Server, accepted: socket.socket, client: tuple[str, int]) -> None:
        """Take over an accepted socket, non-blocking; ``start`` begins to read."""
        self._server = server
        self._loop = server.loop
        self._socket = accepted
        self._fd = accepted.fileno()
        self._client = client
        self._state = _State.READING
        self._unread = b""
        self._readiness = server.readiness
        self._waits_for = 0
        self._bytes: Sequence[bytes | memoryview] = ()
        self._file: Part | None = None
        self._room: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._start: Message | None = None
        self._keep = self._head_only = self._counted = False
        self._begun = self._complete = self._body_told = self._due = False
        self._body_left = self._sent = self._last = 0
        self._mark: int | None = None
        self.until = server.seconds + _IDLE_S

    def start(self) -> None:
        """Begin to read: nearly all send with their connection what they ask."""
        self.readable()
        if self._state is _State.READING:
            self._wait(READ)

    def stop(self) -> None:
        """Close it, once what it was asked is answered.

        What has come and was not read yet was asked as well.
        """
        if self._state is _State.READING:
            (self._next if self._due else self.readable)()
        if self._state is _State.READING:
            self.close()

    def due(self) -> None:
        """``until`` is over: end it, unless its client is still being sent something in time."""
        taken = self.taken()
        behind = taken < self._sent or bool(self._bytes) or self._file is not None
        if behind and self._mark is not None and taken - self._mark < SLOW_BYTES:
            self.cut()
        elif behind or self._state is _State.ANSWERING:
            self._watch()
        else:
            self.close()

    def cut(self) -> None:
        """End it at once, and have the kernel forget what it still holds for the client."""
        if self._state is not _State.CLOSED:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.close()

    def is_fresh(self) -> bool:
        """Whether it has come, or was answered, only now."""
        return self.until > self._server.seconds + _IDLE_S - _FRESH_S

    def loss(self) -> int | None:
        """How little it matters, from 0 on, if it is closed to make room; None: it is in use.

        Who has said nothing goes first, then who has not said all, then who was answered before;
        each in the order in which its time ends. Who has come or was answered only now, last.
        """
        answered = self._sent > 0
        if self._state is _State.ANSWERING or self._state is _State.FLUSHING or self._due:
            return None
        if answered and self.taken() < self._sent:
            return None  # the kernel has all of it, and the client not
        kind = 3 if self.is_fresh() else 2 if answered else 1 if self._unread else 0
        return kind * _FOR_EVER + self.until

    def close(self) -> None:
        """End it at once; whoever waits for it is told."""
        if self._state is _State.CLOSED:
            return
        self._last = self.taken()
        self._state = _State.CLOSED
        self._waits_for = 0
        self._readiness.forget(self._fd)
        self._socket.close()
        if self._file is not None:
            self._file.close()
        self._bytes, self._file, self._unread = (), None, b""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self._server.closed(self)

    # What the client has (``ports.Arrival``), in bytes since the connection began.

    def given(self) -> int:
        """Bytes that the kernel was given, and those that wait for room there."""
        file = self._file
        waiting = sum(map(len, self._bytes)) + (0 if file is None else file.stop - file.at)
        return self._sent + waiting

    def taken(self) -> int:
        """Bytes that the client has acknowledged, or the kernel taken where it does not say."""
        if self._state is _State.CLOSED:
            return self._last
        try:
            (left,) = _INT.unpack(fcntl.ioctl(self._fd, termios.TIOCOUTQ, bytes(_INT.size)))
        except OSError:
            return self._sent
        return self._sent - int(left)

    def over(self) -> bool:
        """Whether it is closed."""
        return self._state is _State.CLOSED

    # Reading.

    def readable(self) -> None:
        """Take what has come, and answer it if it is a request."""
        if self._state is _State.ANSWERING or self._state is _State.FLUSHING:
            self._wait_no_more(READ)  # one after the other
            return
        if self._due:
            return  # what was read before comes first, or a client that asks ahead fills memory
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif self._state is _State.READING:
            self._unread = self._unread + data if self._unread else data
            self._next()

    def _wait(self, event: int) -> None:
        if not self._waits_for & event:
            self._waits_for |= event
            self._readiness.wait(self._fd, self, self._waits_for)

    def _wait_no_more(self, events: int) -> None:
        if self._waits_for & events:
            self._waits_for &= ~events
            self._readiness.wait(self._fd, self, self._waits_for)

    def _next(self) -> None:
        """Answer the next request, if all of its head has come."""
        self._due = False
        if self._state is not _State.READING:
            return
        unread = self._unread
        # RFC 9112, 2.2: some clients end what they sent before with an empty line too many.
        begin = 2 if unread.startswith(b"\r\n") else 0
        end = unread.find(END, begin, begin + MOST)
        if end < 0:
            if len(unread) >= begin + MOST:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            elif BARE_END in unread:
                self._refuse(HTTPStatus.BAD_REQUEST)
            return
        if unread.count(b"\n", begin, end) > MOST_FIELDS:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        end += len(END)
        request = read_request(unread[begin:end])
        self._unread = unread[end:]
        if request is None:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        self._state = _State.ANSWERING
        self._mark = None
        self.until = _FOR_EVER
        self._keep = request.keep
        self._head_only = request.method == "HEAD"
        answering = self._server.app(self._scope(request), self._receive, self._send)
        self._go_on(answering.__await__())

    def _scope(self, request: Request) -> dict[str, object]:
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": request.version,
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.raw_path,
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": self._client,
            "server": self._server.address,
            "extensions": _EXTENSIONS,
            ARRIVAL: self,
        }

    # Running the application.

    def _go_on(self, steps: Generator[Any, Any, None], _: object = None) -> None:
        """Run the application until it waits for something, and again when that has come."""
        try:
            waits_for = steps.send(None)
        except StopIteration:
            self._answered()
        except asyncio.CancelledError:
            self._failed(ClientGone())
        except Exception as error:  # noqa: BLE001 - the server's loop: it tells, and goes on
            self._failed(error)
        else:
            # What a task does; but one of each request costs more than to read its head.
            if waits_for is None:
                self._loop.call_soon(self._go_on, steps)
            else:
                waits_for._asyncio_future_blocking = False  # noqa: SLF001 - others may wait for it too
                waits_for.add_done_callback(partial(self._go_on, steps))

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, ClientGone):
            said = {"message": "an application of the HTTP server failed", "exception": error}
            self._loop.call_exception_handler(said)
            if self._state is _State.ANSWERING and not self._begun:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
                return
        self.close()

    def _answered(self) -> None:
        if self._state is not _State.ANSWERING and self._state is not _State.FLUSHING:
            return
        if not self._complete or self._body_left:
            self.close()  # the client sees that its reply ends too early
        elif self._bytes or self._file is not None:
            self._state = _State.FLUSHING
        elif not self._keep or self._server.stopping:
            self._end()
        else:
            self._state = _State.READING
            self._start = None
            self._begun = self._complete = self._body_told = False
            self._mark = None
            self.until = self._server.seconds + _IDLE_S
            self._wait(READ)
            if self._unread:
                # Not at once: others have waited for as long.
                self._due = True
                self._loop.call_soon(self._next)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what no application can answer, and end."""
        line, date = STATUS_LINES[status.value], self._server.date
        with suppress(OSError):
            self._socket.send(b"%b%bconnection: close\r\ncontent-length: 0\r\n\r\n" % (line, date))
        self._end()

    def _end(self) -> None:
        """Say that nothing more comes, and read on for a moment.

        Closing while something unread has arrived would take the reply away from the client.
        """
        self._state = _State.LINGERING
        self._mark = None
        self.until = self._server.seconds + LINGER_S
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._wait(READ)

    # What the application calls.

    async def _receive(self) -> Message:
        """The empty body; after that, nothing until the client has gone."""
        if not self._body_told:
            self._body_told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._state is _State.ANSWERING:
            if self._gone is None:
                self._gone = self._loop.create_future()
            await asyncio.shield(self._gone)
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        """Write a part of the reply.

        Returns when the kernel has taken all of it; for the last part at once, unless the message
        has ``firedoor.counted``. Then no more than ``UNSENT_BYTES`` of it are not on their way.
        """
        if self._state is not _State.ANSWERING:
            raise ClientGone
        if message["type"] == "http.response.start":
            self._start = message
            return
        more = message.get("more_body", False)
        counted = message.get("firedoor.counted", False)
        body, file = message.get("body", b""), None
        if self._head_only:
            body = b""  # some applications answer it like GET, and leave the rest to the server
        count = len(body)
        if message["type"] == "http.response.zerocopysend" and not self._head_only:
            count = message["count"]
            file = Part(message["file"].fileno(), message["offset"], count)
        head = b"" if self._begun else self._begin(self._start, None if more else count)
        if self._complete or count > self._body_left:
            raise RuntimeError("the reply is longer than its Content-Length")
        self._body_left -= count
        self._complete = not more
        if counted is not self._counted:
            self._count(counted)
        # A piece of nothing would cost a call of the kernel.
        self._bytes, self._file = (head, body) if body else (head,) if head else (), file
        if not self._pump():
            await self._rest(wait=more or counted)
        if self._closed():
            raise ClientGone(0 if file is None else file.at - message["offset"])

    async def _rest(self, *, wait: bool) -> None:
        """Have what is left written when there is room."""
        if self._mark is None:
            self._watch()
        self._wait(WRITE)
        # Whose file it is may close it as soon as `send` has returned, however it returns; another
        # file could have its number then.
        if wait:
            self._room = self._loop.create_future()
            try:
                await self._room
            finally:
                if self._file is not None:
                    self.close()
        elif self._file is not None:
            try:
                self._file.keep()
            except OSError:
                self.close()

    def _closed(self) -> bool:
        return self._state is _State.CLOSED

    def _begin(self, start: Message | None, whole: int | None) -> bytes:
        """The head of the reply, whose body is ``whole`` bytes long as far as this is known."""
        if start is None:
            raise RuntimeError("the reply has no beginning")
        status = start["status"]
        headers = start["headers"]
        # A tuple is shared by the replies for a file, and so kept; a client may be in a list.
        fields, length = (kept if isinstance(headers, tuple) else spelled)(headers)
        if self._head_only or status in WITHOUT_BODY:
            length = 0
        elif length is None and whole is not None:
            length = whole
            fields += b"content-length: %d\r\n" % whole
        elif length is None:
            raise RuntimeError("the reply does not say how long it is")
        self._keep = self._keep and not self._server.stopping
        end = b"\r\n" if self._keep else b"connection: close\r\n\r\n"
        self._begun, self._body_left = True, length
        return b"".join((STATUS_LINES[status], self._server.date, fields, end))

    # Writing.

    def _pump(self) -> bool:
        """Write what the kernel takes; whether nothing is left (or nobody to write it to)."""
        try:
            if self._bytes:
                flags = 0 if self._file is None else _MORE
                sent = self._socket.sendmsg(self._bytes, (), flags)
                self._sent += sent
                self._bytes = after(self._bytes, sent)
                if self._bytes:
                    return False
            while self._file is not None:
                file = self._file
                sent = os.sendfile(self._fd, file.fd, file.at, file.stop - file.at)
                if not sent:
                    raise OSError("the file has become shorter")  # noqa: TRY301
                file.at += sent
                self._sent += sent
                if file.at == file.stop:
                    file.close()
                    self._file = None
        except BlockingIOError:
            return False
        except OSError:
            self.close()
        return True

    def _watch(self) -> None:
        """From now on the client has to take some of the reply in time."""
        self._mark = self.taken()
        self.until = self._server.seconds + self._server.slow_s

    def _count(self, counted: bool) -> None:  # noqa: FBT001 - what is to hold from now on
        self._counted = counted
        if UNSENT is not None:
            unsent = UNSENT_BYTES if counted else 0  # 0: whatever the kernel likes
            self._socket.setsockopt(socket.IPPROTO_TCP, UNSENT, unsent)

    def writable(self) -> None:
        """Write on."""
        if not self._bytes and self._file is None:
            self._wait_no_more(WRITE)  # what comes next has not come yet
        elif self._pump():
            if self._state is _State.FLUSHING:
                self._answered()
            elif self._room is not None and not self._room.done():
                self._room.set_result(None)
