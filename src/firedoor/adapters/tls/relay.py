"""The relay: ends TLS on a listening socket, and passes the bytes on to loopback ports.

One thread and one epoll. What the client does not take stays with the sender, and what it has
acknowledged is told (``arrival``).

Whoever connects and sends nothing, or too slowly, keeps nobody out: once there are as many
connections as there may be, here or at the port that they are passed on to, a new one takes the
place of another, of the address that has most (``services.crowds``).
"""

import errno
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from firedoor.adapters.tls.arrival import Endings
from firedoor.adapters.tls.link import PIECE_BYTES, Ended, Link
from firedoor.adapters.tls.peers import INNER, Peers
from firedoor.services.crowds import Crowds

HANDSHAKE_S: Final = 20.0
"""Time for a handshake and the first byte after it."""

IDLE_S: Final = 120.0
"""A connection on which nothing moves for this long is closed, whatever it waits for."""

SLOW_S: Final = 300.0
"""A client that has not taken a piece of a reply (``PIECE_BYTES``) by then is disconnected."""

_ACCEPTS: Final = 64
_LOOK_S: Final = 0.5
_CALM_S: Final = 1.0
_TELL_S: Final = 0.05
_FRESH_S: Final = 2.0
_KIND: Final = 1 << 62
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_GONE: Final = select.EPOLLERR | select.EPOLLHUP
_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Way(NamedTuple):
    """A loopback port.

    Attributes:
        port: Its number.
        most: Connections that it takes, >= 1; more would wait there for ever.
    """

    port: int
    most: int


@dataclass(frozen=True, slots=True)
class Onward:
    """Where the bytes go.

    Attributes:
        http1: Speaks HTTP/1.1.
        http2: Speaks HTTP/2 from the first byte; None: it is not offered.
    """

    http1: Way
    http2: Way | None = None


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
        slow_s: float = SLOW_S,
    ) -> None:
        """Prepare; nothing is accepted yet.

        Args:
            listener: Bound and listening; stays the caller's. It is made non-blocking.
            onward: Where the bytes go.
            peers: Is told who calls from which port.
            context: Of the server's certificate; replaced by ``renew``.
            connections: Most that are open at once, >= 1.
            wake: Descriptor that ends ``run`` as soon as it can be read.
            slow_s: Seconds in which a client has to take a piece of a reply, > 0.
        """
        listener.setblocking(False)
        self._listener = listener
        self._onward = onward
        self._peers = peers
        self._context = context
        self._trusted: ssl.SSLContext | None = None
        self._most = connections
        self._slow_s = slow_s
        self._wake = wake
        self._epoll = select.epoll()
        self._links: dict[int, Link] = {}
        self._now = time.monotonic()
        self._served = Crowds(self._loss)
        self._ways = {way: Crowds(self._loss) for way in (onward.http1, onward.http2) if way}
        # What their clients have acknowledged was not told yet.
        self._untold: set[Link] = set()
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
        due = told = 0.0
        own = self._listener.fileno()
        while True:
            events = self._epoll.poll(min(every, _TELL_S) if self._untold else every)
            now = self._now = time.monotonic()
            for fd, what in events:
                if fd == own:
                    self._accept(now)
                elif fd in self._links:
                    self._turn(self._links[fd], fd, what, now)
                elif fd == self._wake:
                    return
            if self._untold and now >= told:
                told = now + _TELL_S
                for link in list(self._untold):
                    self._tell(link)
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
                if error.errno in _FULL:
                    self._makes_room(self._served, "")
                return
            if len(self._served) >= self._most and not self._makes_room(self._served, address[0]):
                client.close()
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(client, address[0], self._context, now)
            self._links[client.fileno()] = link
            self._served.enter(link, address[0])
            link.client_mask = _READ
            self._epoll.register(client, _READ)

    def _makes_room(self, crowds: Crowds[Link], address: str) -> bool:
        """Close one of these for another one from an address, if any may be closed for it."""
        gives = crowds.gives(address, int(self._now))
        if gives is None:
            return False
        self._close(gives)
        return True

    def _loss(self, link: Link) -> int | None:
        """How little it matters if it is closed: first who says nothing, who came now last."""
        if link.to_client or link.to_inner:
            return None
        kind = 2 if self._now - link.moved < _FRESH_S else 0 if link.inner is None else 1
        return kind * _KIND + int(link.moved * 1000)

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
        self._untold.add(link)
        self._flush(link, now)

    def _flush(self, link: Link, now: float) -> None:
        if link.flush() and link.inner is not None:
            link.moved = now
        if link.ending and not link.to_client:
            raise Ended

    def _tell(self, link: Link) -> None:
        """Tell the role what the client has, once it has all that was passed on."""
        try:
            taken = link.taken()
        except OSError:
            taken = None
        if taken is not None:
            self._untold.discard(link)
            self._peers.take(link.port, taken)

    def _connect(self, link: Link) -> None:
        way = (self._onward.http2 if link.chosen == "h2" else None) or self._onward.http1
        there, address = self._ways[way], link.peer.address
        if len(there) >= way.most and not self._makes_room(there, address):
            raise Ended
        there.enter(link, address)
        link.endings = Endings() if way is self._onward.http2 else None
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
            inner.connect((INNER, way.port))
        except BlockingIOError:
            link.connecting = True

    def _watch(self, link: Link) -> None:
        """Say which events matter now: who cannot be served is not heard either."""
        if not link.to_client:
            link.behind = None
        elif link.behind is None:
            link.behind = self._now
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
            slow = link.behind is not None and now - link.behind > self._slow_s
            if slow:
                link.forget()
            if slow or quiet > most or now > link.until:
                overdue.append(link)
        for link in overdue:
            self._close(link)

    def _close(self, link: Link) -> None:
        if link not in self._served:
            return
        self._served.leave(link)
        for there in self._ways.values():
            there.leave(link)
        del self._links[link.client.fileno()]
        if link.inner is not None:
            del self._links[link.inner.fileno()]
            if link.port:
                if link in self._untold:
                    self._tell(link)
                self._peers.remove(link.port)
        self._untold.discard(link)
        link.part()


def _check(inner: socket.socket) -> None:
    if inner.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise Ended
