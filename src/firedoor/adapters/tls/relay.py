"""The relay: ends TLS on a listening socket, and passes the bytes on to loopback ports.

One thread and one epoll. What the client does not take stays with the sender, so the gate's count
of delivered bytes runs ahead of the client little further than without TLS.

Whoever connects and sends nothing, or too slowly, keeps nobody out: once there are as many
connections as there may be, a new one takes the place of the one that was served least recently.
"""

import errno
import select
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from firedoor.adapters.tls.link import PIECE_BYTES, Ended, Link
from firedoor.adapters.tls.peers import INNER, Peers

HANDSHAKE_S: Final = 20.0
"""Time for a handshake and the first byte after it."""

IDLE_S: Final = 120.0
"""A connection on which nothing moves for this long is closed, whatever it waits for."""

_ACCEPTS: Final = 64
_LOOK_S: Final = 0.5
_CALM_S: Final = 1.0
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_GONE: Final = select.EPOLLERR | select.EPOLLHUP
_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class Onward:
    """Where the bytes go.

    Attributes:
        http1: Loopback port that speaks HTTP/1.1.
        http2: Loopback port that speaks HTTP/2 from the first byte; None: it is not offered.
    """

    http1: int
    http2: int | None = None


class Relay:
    """Relays until it is told to stop. One thread."""

    def __init__(
        self,
        listener: socket.socket,
        onward: Onward,
        peers: Peers,
        context: ssl.SSLContext,
        *,
        connections: int,
        wake: int | None = None,
    ) -> None:
        """Prepare; nothing is accepted yet.

        Args:
            listener: Bound and listening; stays the caller's. It is made non-blocking.
            onward: Where the bytes go.
            peers: Is told who calls from which port.
            context: Of the server's certificate; replaced by ``renew``.
            connections: Most that are open at once, >= 1.
            wake: Descriptor that ends ``run`` as soon as it can be read.
        """
        listener.setblocking(False)
        self._listener = listener
        self._onward = onward
        self._peers = peers
        self._context = context
        self._trusted: ssl.SSLContext | None = None
        self._most = connections
        self._wake = wake
        self._epoll = select.epoll()
        self._links: dict[int, Link] = {}
        # In the order in which they were last sent something; who never was stands first.
        self._served: OrderedDict[Link, None] = OrderedDict()
        self._scratch = memoryview(bytearray(PIECE_BYTES))

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._served)

    def renew(self, context: ssl.SSLContext, *, distrust: bool = False) -> None:
        """Use another certificate for the connections to come; the open ones go on.

        Args:
            context: The new one.
            distrust: Other client certificates are believed from now on: connections that rest
                on one are closed as soon as nothing moves on them.
        """
        self._context = context
        if distrust:
            self._trusted = context

    def run(self, stop: Callable[[], bool], look: Callable[[], None] = lambda: None) -> None:
        """Relay until ``stop`` says so, or ``wake`` can be read.

        Args:
            stop: Asked twice a second.
            look: Called before.
        """
        self._epoll.register(self._listener, _READ)
        if self._wake is not None:
            self._epoll.register(self._wake, _READ)
        self._turn_until(stop, look, _LOOK_S)
        if self._wake is not None:
            self._epoll.unregister(self._wake)
        self._epoll.unregister(self._listener)

    def drain(self, seconds: float) -> None:
        """Accept nothing more; let the open connections end, for so long at most."""
        end = time.monotonic() + seconds
        self._turn_until(lambda: not self._served or time.monotonic() >= end, lambda: None, 0.05)
        for link in list(self._served):
            self._close(link)
        self._epoll.close()

    def _turn_until(self, stop: Callable[[], bool], look: Callable[[], None], every: float) -> None:
        due = 0.0
        own = self._listener.fileno()
        while True:
            events = self._epoll.poll(every)
            now = time.monotonic()
            for fd, what in events:
                if fd == own:
                    self._accept(now)
                elif fd in self._links:
                    self._turn(self._links[fd], fd, what, now)
                elif fd == self._wake:
                    return
            if now >= due:
                due = now + every
                self._close_overdue(now)
                look()
                if stop():
                    return

    def _accept(self, now: float) -> None:
        for _ in range(_ACCEPTS):
            try:
                client, address = self._listener.accept()
            except OSError as error:
                # Nobody any more; or no room, which would wake us again at once.
                if error.errno in _FULL and self._served:
                    self._close(next(iter(self._served)))
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._served) >= self._most:
                self._close(next(iter(self._served)))
            link = Link(client, address[0], self._context, now)
            self._links[client.fileno()] = link
            self._served[link] = None
            link.client_mask = _READ
            self._epoll.register(client, _READ)

    def _turn(self, link: Link, fd: int, what: int, now: float) -> None:
        """Move what can be moved after an event, and wait for the rest."""
        try:
            if link.inner is not None and fd == link.inner.fileno():
                if link.connecting:
                    _check(link.inner)
                    link.connecting = False
                if link.to_inner:
                    link.pass_on()
                if not link.to_client:
                    if what & ~_WRITE:
                        self._down(link, link.inner, now)
                elif what & _GONE:
                    # It would be told again and again, while the client takes what there is.
                    self._epoll.unregister(link.inner)
                    link.ending = True
            else:
                if what & _WRITE:
                    self._flush(link, now)
                if what & (_READ | _GONE):
                    self._up(link, now)
            self._watch(link)
        except (Ended, OSError, ValueError):
            # ssl.SSLError is an OSError. Whatever it was, this connection is over.
            self._close(link)

    def _up(self, link: Link, now: float) -> None:
        try:
            said = link.hear(self._scratch)
        finally:
            if link.to_client:
                link.flush()
        # Before anything was said it is a handshake, whose time is measured from its beginning.
        if said:
            link.moved = now
            if link.inner is None:
                self._connect(link)
            link.pass_on(said)

    def _down(self, link: Link, inner: socket.socket, now: float) -> None:
        try:
            length = inner.recv_into(self._scratch)
        except BlockingIOError:
            return
        if not length:
            raise Ended
        link.tell(self._scratch[:length])
        self._flush(link, now)

    def _flush(self, link: Link, now: float) -> None:
        if link.flush() and link.inner is not None:
            link.moved = now
            self._served.move_to_end(link)
        if link.ending and not link.to_client:
            raise Ended

    def _connect(self, link: Link) -> None:
        second = self._onward.http2 if link.chosen == "h2" else None
        link.inner = inner = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        inner.setblocking(False)
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Before it is connected, as the window is agreed on then.
        inner.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE_BYTES)
        self._links[inner.fileno()] = link
        self._epoll.register(inner, 0)
        inner.bind((INNER, 0))
        link.port = inner.getsockname()[1]
        self._peers.enter(link.port, link.peer)
        try:
            inner.connect((INNER, self._onward.http1 if second is None else second))
        except BlockingIOError:
            link.connecting = True

    def _watch(self, link: Link) -> None:
        """Say which events matter now: who cannot be served is not heard either."""
        mask = (0 if link.to_inner else _READ) | (_WRITE if link.to_client else 0)
        if mask != link.client_mask:
            self._epoll.modify(link.client, mask)
            link.client_mask = mask
        if link.inner is not None and not link.ending:
            waits = link.to_inner or link.connecting
            mask = (0 if link.to_client else _READ) | (_WRITE if waits else 0)
            if mask != link.inner_mask:
                self._epoll.modify(link.inner, mask)
                link.inner_mask = mask

    def _close_overdue(self, now: float) -> None:
        overdue = []
        for link in self._served:
            quiet = now - link.moved
            known = link.peer.certificate is not None
            strict = self._trusted is not None and known and link.context is not self._trusted
            most = HANDSHAKE_S if link.inner is None else _CALM_S if strict else IDLE_S
            if quiet > most or now > link.until:
                overdue.append(link)
        for link in overdue:
            self._close(link)

    def _close(self, link: Link) -> None:
        if link not in self._served:
            return
        del self._served[link]
        del self._links[link.client.fileno()]
        if link.inner is not None:
            del self._links[link.inner.fileno()]
            if link.port:
                self._peers.remove(link.port)
        link.part()


def _check(inner: socket.socket) -> None:
    if inner.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise Ended
