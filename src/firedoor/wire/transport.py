"""What a role listens on: plain HTTP, TLS, or both while machines are being moved."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from firedoor.adapters.server import (
    BACKLOG,
    App,
    DirectServer,
    HttpServer,
    Limits,
    limit_connections,
)
from firedoor.adapters.tls.context import TlsFiles
from firedoor.adapters.tls.front import TlsFront
from firedoor.adapters.tls.relay import Way
from firedoor.config.model import TlsConfig

PLAIN: Final = "-plain"
"""What the name of a role's second socket ends with."""

_DRAIN_S: Final = 2.0
_PATIENCE: Final = 3
_log = structlog.get_logger()

_Server = DirectServer | HttpServer


@dataclass(frozen=True, slots=True)
class Sockets:
    """The listening sockets of one role.

    Attributes:
        main: The one of ``listen``: TLS where the role has a certificate.
        plain: The one of ``listen_plain``, or None.
    """

    main: socket.socket
    plain: socket.socket | None = None

    @classmethod
    def of(cls, role: str, held: Mapping[str, socket.socket]) -> "Sockets":
        """A role's own among those of all roles."""
        return cls(held[role], held.get(role + PLAIN))


class Transport:
    """Serves one ASGI app on the sockets of its role, like ``HttpServer``."""

    def __init__(
        self,
        app: App,
        sockets: Sockets,
        tls: TlsConfig | None,
        *,
        http2: bool,
        limits: Limits,
        direct: bool = False,
    ) -> None:
        """Prepare; nothing is accepted yet.

        Args:
            app: The application. Behind TLS its scope says whose certificate was shown
                (``ports.CERTIFICATE``).
            sockets: Bound and listening; stay the caller's.
            tls: Certificate and key; None: everything is plain.
            http2: Whether HTTP/2 is offered where there is TLS.
            limits: Of each server.
            direct: HTTP/1.1 is spoken by ``DirectServer``: no request has a body, and most
                replies are files.

        Raises:
            BadConfig: The certificate or its key cannot be used.
        """
        self._front: TlsFront | None = None
        self._stopping = asyncio.Event()
        self._limits = limits
        first = DirectServer if direct else HttpServer
        self._plain: list[_Server] = []
        self._inner: list[_Server] = []
        self._ports: list[int] = []
        self._own: list[socket.socket] = []
        if tls is None:
            self._plain.append(first(app, sockets.main, limits))
            return
        limit_connections(sockets.main)
        files = TlsFiles(tls.certificate, tls.key, tls.client_ca)
        self._front = TlsFront(files, sockets.main, stop_s=_DRAIN_S)
        behind = self._front.behind(app)
        # What the relay takes comes in pieces as large as all that a slow client has to take.
        patient = replace(limits, slow_s=_PATIENCE * limits.slow_s)
        self._inner.append(first(behind, self._inner_port(), patient))
        if http2:
            small = _part(limits)
            self._inner.append(HttpServer(behind, self._inner_port(), small, http2=True))
        if sockets.plain is not None:
            self._plain.append(first(app, sockets.plain, _part(limits)))

    async def serve(self) -> None:
        """Serve until ``stop``, and return soon after it.

        Raises:
            RuntimeError: A server or the relay ended by itself.
        """
        serving = [asyncio.create_task(one.serve()) for one in (*self._plain, *self._inner)]
        relaying: asyncio.Task[int] | None = None
        try:
            if self._front is not None:
                mosts = [server.most for server in self._inner]
                await self._front.start([*map(Way, self._ports, mosts)])
                relaying = asyncio.create_task(self._front.ended())
            stopping = asyncio.create_task(self._stopping.wait())
            watched = [*serving, stopping, *([relaying] if relaying else [])]
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            for server in self._plain:
                server.stop()
            if relaying is not None:
                await self._end_relay(relaying)
            for server in self._inner:
                server.stop()
            await asyncio.gather(*serving)
        finally:
            if self._front is not None:
                self._front.kill()
            for own in self._own:
                own.close()
        if not self._stopping.is_set():
            raise RuntimeError("the TLS relay ended by itself")

    def stop(self) -> None:
        """Accept nothing more and let ``serve`` return. Only from the event loop's thread."""
        self._stopping.set()

    def _inner_port(self) -> socket.socket:
        """A loopback port that the relay asks."""
        own = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._own.append(own)
        self._ports.append(own.getsockname()[1])
        return own

    async def _end_relay(self, relaying: "asyncio.Task[int]") -> None:
        """Let it finish what is open: what is behind it must not stop before."""
        if self._front is None:
            return
        self._front.stop()
        done, _ = await asyncio.wait([relaying], timeout=_DRAIN_S + 1)
        if not done:
            _log.warning("relay_killed")
            self._front.kill()
            await relaying


def _part(limits: Limits) -> Limits:
    """A share of the descriptors: all three servers are in one process."""
    return replace(limits, connections=limits.connections // 4)
