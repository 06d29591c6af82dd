"""One connection of ``DirectServer``: heads are read, replies are written, one after the other."""

import asyncio
import os
import socket
import types
from collections.abc import Awaitable, Generator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Protocol

from firedoor.adapters.server.limits import IDLE_MS, UNSENT_BYTES, App
from firedoor.formats.request import END, MOST, Request, read_request
from firedoor.ports import ClientGone

READ_BYTES: Final = 16 * 1024
"""Bytes taken from a connection at a time."""

LINGER_S: Final = 2
"""How long a client may go on sending what nobody reads, so that it gets to see its reply."""

Message = Mapping[str, Any]
"""One event of a request or reply (ASGI). Some are shared, so nobody may change one."""

_IDLE_S: Final = IDLE_MS // 1000
_FIELDS_KEPT: Final = 1024
_FOR_EVER: Final = 1 << 62
_ASGI: Final = {"version": "3.0", "spec_version": "2.4"}
_EXTENSIONS: Final[dict[str, dict[str, object]]] = {"http.response.zerocopysend": {}}
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT.value, HTTPStatus.NOT_MODIFIED.value})
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
        stopping: No further request is to be read.
    """

    app: App
    loop: asyncio.AbstractEventLoop
    address: tuple[str, int]
    date: bytes
    seconds: int
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


class _Part:
    """What is left to send of a part of a file."""

    __slots__ = ("at", "fd", "own", "stop")

    def __init__(self, fd: int, at: int, count: int) -> None:
        self.fd, self.at, self.stop, self.own = fd, at, at + count, False

    def keep(self) -> None:
        """Outlive the descriptor of who wants it sent."""
        self.fd, self.own = os.dup(self.fd), True

    def close(self) -> None:
        """Nothing more is sent."""
        if self.own:
            os.close(self.fd)


class Connection:
    """A client. ``until`` is the second of the server at which it has been idle for too long."""

    __slots__ = (
        "_begun",
        "_body_left",
        "_body_told",
        "_bytes",
        "_client",
        "_complete",
        "_counted",
        "_due",
        "_fd",
        "_file",
        "_gone",
        "_head_only",
        "_keep",
        "_loop",
        "_reading",
        "_room",
        "_server",
        "_socket",
        "_start",
        "_state",
        "_task",
        "_unread",
        "_writing",
        "until",
    )

    def __init__(self, server: Server, accepted: socket.socket, client: tuple[str, int]) -> None:
        """Take over an accepted socket, non-blocking; ``start`` begins to read."""
        self._server = server
        self._loop = server.loop
        self._socket = accepted
        self._fd = accepted.fileno()
        self._client = client
        self._state = _State.READING
        self._unread = b""
        self._reading = self._writing = False
        self._bytes: Sequence[bytes | memoryview] = ()
        self._file: _Part | None = None
        self._room: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._start: Message | None = None
        self._keep = self._head_only = self._counted = False
        self._begun = self._complete = self._body_told = self._due = False
        self._body_left = 0
        self.until = server.seconds + _IDLE_S

    def start(self) -> None:
        """Begin to read."""
        self._reading = True
        self._loop.add_reader(self._fd, self._readable)

    def stop(self) -> None:
        """Close it, once what it was asked is answered.

        What has come and was not read yet was asked as well.
        """
        if self._state is _State.READING:
            (self._next if self._due else self._readable)()
        if self._state is _State.READING:
            self.close()

    def close(self) -> None:
        """End it at once; whoever waits for it is told."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._read_no_more()
        self._write_no_more()
        self._socket.close()
        if self._file is not None:
            self._file.close()
        self._bytes, self._file = (), None
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self._server.closed(self)

    # Reading.

    def _readable(self) -> None:
        if self._state is _State.ANSWERING or self._state is _State.FLUSHING:
            self._read_no_more()  # one after the other
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

    def _read_no_more(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

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
            return
        end += len(END)
        request = read_request(unread[begin:end])
        self._unread = unread[end:]
        if request is None:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        self._state = _State.ANSWERING
        self.until = _FOR_EVER
        self._keep = request.keep
        self._head_only = request.method == "HEAD"
        self._run(self._server.app(self._scope(request), self._receive, self._send))

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
        }

    # Running the application.

    def _run(self, answering: Awaitable[None]) -> None:
        steps = answering.__await__()
        try:
            waits_for = next(steps)
        except StopIteration:
            self._answered()
        except Exception as error:  # noqa: BLE001 - the server's loop: it tells, and goes on
            self._failed(error)
        else:
            self._task = self._loop.create_task(_go_on(steps, waits_for))
            self._task.add_done_callback(self._task_done)

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        error = ClientGone() if task.cancelled() else task.exception()
        if error is None:
            self._answered()
        else:
            self._failed(error)

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
            self.until = self._server.seconds + _IDLE_S
            if not self._reading:
                self.start()
            if self._unread:
                # Not at once: others have waited for as long.
                self._due = True
                self._loop.call_soon(self._next)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what no application can answer, and end."""
        line, date = _STATUS_LINES[status.value], self._server.date
        with suppress(OSError):
            self._socket.send(b"%b%bconnection: close\r\ncontent-length: 0\r\n\r\n" % (line, date))
        self._end()

    def _end(self) -> None:
        """Say that nothing more comes, and read on for a moment.

        Closing while something unread has arrived would take the reply away from the client.
        """
        self._state = _State.LINGERING
        self.until = self._server.seconds + LINGER_S
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        if not self._reading:
            self.start()

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
            file = _Part(message["file"].fileno(), message["offset"], count)
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
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)
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
        fields, length = (_kept if isinstance(headers, tuple) else _spelled)(headers)
        if self._head_only or status in _WITHOUT_BODY:
            length = 0
        elif length is None and whole is not None:
            length = whole
            fields += b"content-length: %d\r\n" % whole
        elif length is None:
            raise RuntimeError("the reply does not say how long it is")
        self._keep = self._keep and not self._server.stopping
        end = b"\r\n" if self._keep else b"connection: close\r\n\r\n"
        self._begun, self._body_left = True, length
        return b"".join((_STATUS_LINES[status], self._server.date, fields, end))

    # Writing.

    def _pump(self) -> bool:
        """Write what the kernel takes; whether nothing is left (or nobody to write it to)."""
        try:
            if self._bytes:
                flags = 0 if self._file is None else _MORE
                sent = self._socket.sendmsg(self._bytes, (), flags)
                self._bytes = _after(self._bytes, sent)
                if self._bytes:
                    return False
            while self._file is not None:
                file = self._file
                sent = os.sendfile(self._fd, file.fd, file.at, file.stop - file.at)
                if not sent:
                    raise OSError("the file has become shorter")  # noqa: TRY301
                file.at += sent
                if file.at == file.stop:
                    file.close()
                    self._file = None
        except BlockingIOError:
            return False
        except OSError:
            self.close()
        return True

    def _count(self, counted: bool) -> None:  # noqa: FBT001 - what is to hold from now on
        self._counted = counted
        if UNSENT is not None:
            unsent = UNSENT_BYTES if counted else 0  # 0: whatever the kernel likes
            self._socket.setsockopt(socket.IPPROTO_TCP, UNSENT, unsent)

    def _writable(self) -> None:
        if not self._bytes and self._file is None:
            self._write_no_more()  # what comes next has not come yet
        elif self._pump():
            if self._state is _State.FLUSHING:
                self._answered()
            elif self._room is not None and not self._room.done():
                self._room.set_result(None)

    def _write_no_more(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)


def _spelled(headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, int | None]:
    """The header fields of a reply as they are sent, and its Content-Length, if it has one."""
    length = None
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
    fields = b"".join(b"%b: %b\r\n" % header for header in headers)
    if fields.count(b"\n") != len(headers) or fields.count(b"\r") != len(headers):
        raise RuntimeError("a header of the reply has a line break in it")
    return fields, length


_kept: Final = lru_cache(_FIELDS_KEPT)(_spelled)


def _after(pieces: Sequence[bytes | memoryview], sent: int) -> Sequence[bytes | memoryview]:
    """What is left of some pieces of which so many bytes were sent."""
    left = []
    for piece in pieces:
        if sent < len(piece):
            left.append(memoryview(piece)[sent:])
        sent = max(0, sent - len(piece))
    return left


@types.coroutine
def _go_on(steps: Generator[Any, None, None], waits_for: object) -> Generator[Any, None, None]:
    """The rest of a coroutine whose first step has been taken, for a task."""
    while True:
        try:
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - passed on to where it is waited for
                waits_for = steps.throw(error)
            else:
                waits_for = next(steps)
        except StopIteration:
            return
