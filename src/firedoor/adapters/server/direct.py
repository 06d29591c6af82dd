"""The gate's HTTP/1.1 server: one thread, one event loop, files by ``sendfile``.

It serves requests that have no body (others are answered and their connection is closed), and
runs the application in the callback that read the request: nearly all replies are on the wire
before it returns. What the application may not do, as its first steps belong to no task, is to
use ``asyncio.timeout`` or ``current_task`` before it has waited for something.

The listening socket belongs to somebody else, as in ``embedded``.
"""

import asyncio
import socket
from contextlib import suppress
from email.utils import formatdate
from typing import Final

from firedoor.adapters.server.connection import UNSENT, Connection
from firedoor.adapters.server.limits import (
    App,
    Limits,
    allow_descriptors,
    fitting,
    limit_connections,
)

_AT_ONCE: Final = 1024
"""Connections that are accepted before those that are open get their turn again.

To accept one costs a tenth of an answer, and a backlog that overflows costs its clients a reset.
"""

_DESCRIPTORS: Final = 2
"""What a connection has open: its socket, and the file that a slow reader is being sent."""

_SWEEP_S: Final = 1.0
_FULL_S: Final = 0.2
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
        self._most = fitting(limits.connections, _DESCRIPTORS)
        self._stop_s = limits.stop_s
        self._open: set[Connection] = set()
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

    def stop(self) -> None:
        """Accept nothing more and let ``serve`` return. Only from the event loop's thread."""
        self.stopping = True
        self._stopped.set()

    def closed(self, connection: Connection) -> None:
        """Forget a connection; there is room for another."""
        self._open.discard(connection)
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
        for _ in range(_AT_ONCE):
            if len(self._open) >= self._most:
                self._accept_no_more()  # the others wait in the backlog
                return
            try:
                accepted, address = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # it has gone again
            except OSError:
                # No descriptor or memory is left: somebody has to go first.
                self._accept_no_more()
                self.loop.call_later(_FULL_S, self._accept_more)
                return
            accepted.setblocking(False)
            connection = Connection(self, accepted, (address[0], address[1]))
            self._open.add(connection)
            connection.start()

    async def _sweep(self) -> None:
        """Tell the time, and close the connections that have been idle for too long."""
        while True:
            self.seconds += 1
            self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
            for each in list(self._open):
                if each.until < self.seconds:
                    each.close()
            await asyncio.sleep(_SWEEP_S)
