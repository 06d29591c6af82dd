"""An end to every request, whatever the other side sends.

A socket's own timeout starts anew with every byte, and ``http.client`` reads status lines, header
fields and chunk sizes to their end before anybody is asked. So a vendor that sends a byte now and
then, or one ``100 Continue`` after the other, is only stopped from outside: by another thread that
shuts the connection down.
"""

import socket
import threading
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any, Final, Self

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class Watch:
    """While it is entered, it knows this thread's connections, and ends them when time is up.

    Only connections of pools from ``POOLS`` are known. Whoever reads must look at ``over`` before
    an end of the bytes is believed: a connection that is shut down looks like one that ended.

    Args:
        within_s: How long the request may take, seconds, > 0.
    """

    def __init__(self, within_s: float) -> None:
        self.within_s = within_s
        self._over = False
        self._held: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(within_s, self._end)
        # A process that ends must not wait for the slowest of its vendors.
        self._timer.daemon = True
        self._token: Token[Watch | None] | None = None

    @property
    def over(self) -> bool:
        """Whether the time was up before the watch ended."""
        return self._over

    def __enter__(self) -> Self:
        self._token = _WATCH.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._token is not None:
            _WATCH.reset(self._token)
        with self._lock:
            for held in self._held:
                held.close()
            self._held.clear()

    def hold(self, connected: socket.socket) -> None:
        """Know a connection from now on; if time is up already, shut it down.

        Raises:
            OSError: It is closed, or the process has no file descriptor left.
        """
        # A copy of our own: TLS takes the socket over, and http.client lets go of it as soon as
        # it knows that the body ends with the connection. Shutting down a copy shuts all of them.
        copy = socket.fromfd(connected.fileno(), connected.family, connected.type)
        with self._lock:
            self._held.append(copy)
            if self._over:
                _shut_down(copy)

    def _end(self) -> None:
        with self._lock:
            self._over = True
            for held in self._held:
                _shut_down(held)


def _shut_down(connected: socket.socket) -> None:
    with suppress(OSError):  # The other side was faster.
        connected.shutdown(socket.SHUT_RDWR)


_WATCH: Final[ContextVar[Watch | None]] = ContextVar("watch", default=None)


class _Watched(HTTPConnection):
    """Shows its sockets to the watch: new ones before TLS and proxy, old ones when used again."""

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        try:
            _hold(connected)
        except OSError:
            connected.close()
            raise
        return connected

    def request(self, *args: Any, **options: Any) -> None:
        if self.sock is not None:
            _hold(self.sock)
        super().request(*args, **options)


class _WatchedSafe(_Watched, HTTPSConnection):
    """The same under TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _SafePool(HTTPSConnectionPool):
    ConnectionCls = _WatchedSafe


POOLS: Final = {"http": _Pool, "https": _SafePool}
"""Pools whose connections a ``Watch`` knows, as ``PoolManager.pool_classes_by_scheme``."""


def _hold(connected: socket.socket) -> None:
    watch = _WATCH.get()
    if watch is not None:
        watch.hold(connected)
