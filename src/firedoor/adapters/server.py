"""The HTTP server: granian's embedded server on a socket that somebody else bound.

The listening socket belongs to the parent process and survives restarts of what serves it
(README.md section 3, promise 6), so this module never binds, and never closes what it was given.

Granian's embedded mode has no public way to hand it a socket: ``_Granian`` overrides the one
private method that makes it. Nothing else here depends on granian's insides.
"""

import os
import resource
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server as Embedded

BACKLOG: Final = 4096
"""Connections that may wait while a restart or a burst keeps the server from accepting."""

MAX_HEAD_BYTES: Final = 64 * 1024
"""Limit of a request's head, and of what the server buffers of a reply before it waits."""

IDLE_MS: Final = 30_000
"""A connection on which no complete head of a request arrives for this long is closed."""

UNSENT_BYTES: Final = 64 * 1024
"""What the kernel takes of a reply beyond what is on the wire.

Without this limit loopback and fast networks take some 4 MB before a sender waits, and the gate
would believe that a machine has a file of which it read ten kilobytes.
"""

STALL_MS: Final = 120_000
"""A peer that acknowledges or reads nothing of a reply for this long is disconnected."""

STREAMS: Final = 100
"""Requests that one HTTP/2 connection may have open."""

WINDOW_BYTES: Final = 64 * 1024
"""What a client may send on an HTTP/2 connection before it is read."""

_SPARE_DESCRIPTORS: Final = 128
"""Descriptors kept free for databases, blobs and logs."""

_MOST_DESCRIPTORS: Final = 65_536
"""As far as a process raises its own limit; some systems allow a billion."""

# Granian reports what an app forgot to catch, and nothing else at this level; stdout is for data.
_STDERR: Final = {
    "class": "logging.StreamHandler",
    "formatter": "generic",
    "stream": "ext://sys.stderr",
}
_LOGGING: Final = {"handlers": {"console": _STDERR, "access": _STDERR}}

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application: scope, receive, send."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server may use.

    Attributes:
        connections: Open connections, idle ones too, >= 1. More wait in the backlog; where the
            process may not open as many descriptors, it is as many as fit. The soft limit of
            descriptors is raised to the hard one before.
        stop_s: Seconds that open requests may go on after ``stop``, > 0.
    """

    connections: int = 12_288
    stop_s: float = 2.0


_LIMITS: Final = Limits()


class HttpServer:
    """Serves one ASGI app on one listening TCP socket, in the running event loop."""

    def __init__(
        self,
        app: App,
        listener: socket.socket,
        limits: Limits = _LIMITS,
        *,
        http2: bool = False,
    ) -> None:
        """Prepare; nothing is accepted yet.

        Args:
            app: Gets ``http`` scopes only: no lifespan, no websockets.
            listener: Bound and listening; stays open and the caller's. It is made non-blocking,
                and the connections it accepts inherit the limits set on it here.
            limits: The default suits a server with a process of its own.
            http2: Speak HTTP/2 from the first byte on, and nothing else; else HTTP/1.1.
        """
        limit_connections(listener)
        _allow_descriptors()
        self._granian = _Granian(app, listener, limits, http2=http2)

    async def serve(self) -> None:
        """Serve until ``stop``, and return ``Limits.stop_s`` after it whatever is still open.

        Replies that are still open then are cut when the event loop ends.

        Raises:
            RuntimeError: The server ended by itself.
        """
        try:
            await self._granian.serve()
        except TimeoutError:
            # Its own way to say that requests were open after the time for stopping.
            if not self._granian.interrupt_signal:
                raise
        if not self._granian.interrupt_signal:
            raise RuntimeError("the HTTP server ended by itself")

    def stop(self) -> None:
        """Accept nothing more and let ``serve`` return. Only from the event loop's thread."""
        self._granian.stop()  # type: ignore[no-untyped-call]  # granian has no types here


def limit_connections(listener: socket.socket) -> None:
    """Make a listening socket non-blocking, and bound what is on its way to those it accepts."""
    listener.setblocking(False)
    # Linux has both; elsewhere a reply is counted as delivered a few megabytes too early.
    for name, value in (("TCP_NOTSENT_LOWAT", UNSENT_BYTES), ("TCP_USER_TIMEOUT", STALL_MS)):
        option = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


class _Granian(Embedded):
    def __init__(self, app: App, listener: socket.socket, limits: Limits, *, http2: bool) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http2 if http2 else HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=_fitting(limits.connections),
            http1_settings=HTTP1Settings(
                header_read_timeout=IDLE_MS, max_buffer_size=MAX_HEAD_BYTES
            ),
            http2_settings=HTTP2Settings(
                max_concurrent_streams=STREAMS,
                max_headers_size=MAX_HEAD_BYTES,
                max_send_buffer_size=MAX_HEAD_BYTES,
                initial_connection_window_size=WINDOW_BYTES,
                initial_stream_window_size=WINDOW_BYTES,
            ),
            log_level=LogLevels.error,
            log_dictconfig=_LOGGING,
        )
        self._listener = listener
        # The embedded server takes no such argument, but obeys it as its siblings do.
        self.workers_kill_timeout: Any = limits.stop_s

    def _init_shared_socket(self) -> None:
        # Granian closes the descriptor it is given, so it gets one of its own.
        descriptor = os.dup(self._listener.fileno())
        # Its stub file has forgotten the arguments.
        holder: Any = SocketHolder(descriptor, False, BACKLOG)  # type: ignore[call-arg]
        self._sfd: Any = descriptor
        self._shd: Any = holder
        self._ssp: Any = None


def _allow_descriptors() -> None:
    # Shells and service managers start processes with a soft limit of 1,024, which fewer slow
    # clients than that would use up; whoever set the hard limit allows as many.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _fitting(connections: int) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, soft - _SPARE_DESCRIPTORS))
