"""The gate's HTTP/1.1 server: one thread, one event loop, files by ``sendfile``.

It serves requests that have no body (others are answered and their connection is closed), and
runs the application in the callback that read the request: nearly all replies are on the wire
before it returns. Where the application waits for something, it goes on in the callback that tells
of it. It belongs to no task, so it may not use ``asyncio.timeout``, ``wait_for`` (which is one
since Python 3.12) or ``current_task``.

Once there are as many connections as there may be, a new one takes the place of another
(``services.crowds``): nobody waits in the backlog behind those that only sit there. Where all are
being answered and no address has many, it is the backlog that waits.

The listening socket belongs to somebody else, as in ``embedded``.
"""

import asyncio
import errno
import socket
from contextlib import suppress
from email.utils import formatdate
from typing import Final

from firedoor.adapters.server.connection import NOTHING, UNSENT, Connection
from firedoor.adapters.server.limits import (
    App,
    Limits,
    allow_descriptors,
    fitting,
    limit_connections,
)
from firedoor.adapters.server.readiness import Readiness
from firedoor.services.crowds import Crowds

_AT_ONCE: Final = 1024
"""Connections that are accepted before those that are open get their turn again.

To accept one costs a tenth of an answer, and a backlog that overflows costs its clients a reset.
"""

_DESCRIPTORS: Final = 2
"""What a connection has open: its socket, and the file that a slow reader is being sent."""

_OVER: Final = 16
"""Connections beyond the limit, where all are in use and nobody has many; the rest then waits."""

_FAST_S: Final = 4
"""Seconds in which as many connections end as may be open: their places are free again soon."""

_SWEEP_S: Final = 1.0
_FULL_S: Final = 0.2
_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LIMITS: Final = Limits()


class DirectServer:
    """Serves one ASGI app on one listening TCP socket, in the running event loop."""

    def __init__(self, app: App, listener: socket.socket, limits: Limits = _LIMITS) -> None:
        """Prepare; nothing is accepted yet.

        Args:
            app: Gets ``http`` scopes only. It may send files by the extension
                ``http.response.zerocopysend``.
            listener: Bound and listening; stays open and the caller's. It is made non-blocking,
                and the connections it accepts inherit the limits set on it here.
            limits: The default suits a server with a process of its own.
        """
        limit_connections(listener)
        # Inherited too. No limit of what is unsent unless somebody counts: what is on its way are
        # pages of the file, and nobody's memory.
        if UNSENT is not None:
            listener.setsockopt(socket.IPPROTO_TCP, UNSENT, 0)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        allow_descriptors()
        self.app = app
        self.stopping = False
        self.date = b""
        self.seconds = 0
        self._listener = listener
        self.most = fitting(limits.connections, _DESCRIPTORS)
        """Connections that may be open at once."""
        self.slow_s = limits.slow_s
        self._stop_s = limits.stop_s
        self._open: Crowds[Connection] = Crowds(Connection.loss, NOTHING)
        self._ended = self._ended_before = 0
        self._accepting = False
        self._stopped = asyncio.Event()
        self._empty = asyncio.Event()

    async def serve(self) -> None:
        """Serve until ``stop``, and return ``Limits.stop_s`` after it whatever is still open.

        Replies that are still open then are cut.
        """
        self.loop = asyncio.get_running_loop()
        host, port = self._listener.getsockname()[:2]
        self.address = (host, port)
        self.readiness = Readiness()
        self._tell_time()
        sweeping = self.loop.create_task(self._sweep())
        self._accept_more()
        try:
            await self._stopped.wait()
            self._accept_no_more()
            for each in list(self._open):
                each.stop()
            if self._open:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._empty.wait(), self._stop_s)
        finally:
            self.stopping = True  # also where it was cancelled: nobody accepts any more
            self._accept_no_more()
            sweeping.cancel()
            for each in list(self._open):
                each.close()
            self.readiness.close()

    def stop(self) -> None:
        """Accept nothing more and let ``serve`` return. Only from the event loop's thread."""
        self.stopping = True
        self._stopped.set()

    def closed(self, connection: Connection) -> None:
        """Forget a connection; there is room for another."""
        self._open.leave(connection)
        self._ended += connection.given() > 0
        if not self.stopping:
            self._accept_more()
        elif not self._open:
            self._empty.set()

    def _accept_more(self) -> None:
        if not self._accepting and not self.stopping:
            self._accepting = True
            self.loop.add_reader(self._listener.fileno(), self._accept)

    def _accept_no_more(self) -> None:
        if self._accepting:
            self._accepting = False
            self.loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        # All of them before the first is answered: what waits in the backlog is lost when that is
        # full.
        for connection in self._accepted():
            connection.start()

    def _accepted(self) -> list[Connection]:
        """Those that have come, or as many as there is room for."""
        fresh: list[Connection] = []
        looked = False
        for _ in range(_AT_ONCE):
            if fresh and len(self._open) >= self.most:
                break  # they have to be heard before it is known who matters least
            if self._is_full():
                self._pause()
                break
            try:
                accepted, address = self._listener.accept()
            except BlockingIOError:
                break
            except ConnectionError:
                continue  # it has gone again
            except OSError as error:
                if error.errno in _FULL:
                    self._makes_room("")
                self._pause()
                break
            if len(self._open) >= self.most and not looked:
                looked = True  # clients that have closed theirs make room for everybody
                self.readiness.tell()
            crowded = len(self._open) >= self.most and not self._makes_room(address[0])
            if crowded and not self._may_stay(address[0]):
                accepted.close()
                continue
            accepted.setblocking(False)
            connection = Connection(self, accepted, (address[0], address[1]))
            self._open.enter(connection, address[0])
            fresh.append(connection)
            if crowded:
                self._pause()
                break
        return fresh

    def _is_full(self) -> bool:
        """Whether to accept another one would be to close it, or one that has just come."""
        if len(self._open) < self.most + _OVER or not self._open.nobody_has_many():
            return False
        gives = self._open.gives("", self.seconds)
        return gives is None or gives.is_fresh()

    def _pause(self) -> None:
        """Leave the others in the backlog until a connection has ended, or for a moment."""
        self._accept_no_more()
        self.loop.call_later(_FULL_S, self._accept_more)

    def _may_stay(self, address: str) -> bool:
        """Whether it is a crowd of machines that each want something, and not of one.

        Where connections that were answered end fast, many from one address are a site behind one
        gateway, and the backlog behind them is short: it waits.
        """
        fast = max(self._ended, self._ended_before) * _FAST_S >= self.most
        return (fast or self._open.has_few(address)) and len(self._open) < self.most + _OVER

    def _makes_room(self, address: str) -> bool:
        """Close a connection for another one from an address, if any may be closed for it."""
        gives = self._open.gives(address, self.seconds)
        if gives is None:
            return False
        gives.cut()
        return True

    async def _sweep(self) -> None:
        """Look after the connections whose time is over."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._tell_time()
            for each in list(self._open):
                if each.until < self.seconds:
                    each.due()

    def _tell_time(self) -> None:
        self.seconds += 1
        self._ended, self._ended_before = 0, self._ended
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
