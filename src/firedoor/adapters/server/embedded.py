"""The HTTP server: granian's embedded server on a socket that somebody else bound.

The listening socket belongs to the parent process and survives restarts of what serves it
(README.md section 3, promise 6), so this module never binds, and never closes what it was given.

Granian's embedded mode has no public way to hand it a socket: ``_Granian`` overrides the one
private method that makes it. Nothing else here depends on granian's insides.
"""

import os
import socket
from typing import Any, Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server as Embedded

from firedoor.adapters.server.limits import (
    BACKLOG,
    IDLE_MS,
    MAX_HEAD_BYTES,
    App,
    Limits,
    allow_descriptors,
    fitting,
    limit_connections,
)

STREAMS: Final = 100
"""Requests that one HTTP/2 connection may have open."""

WINDOW_BYTES: Final = 64 * 1024
"""What a client may send on an HTTP/2 connection before it is read."""

# Granian reports what an app forgot to catch, and nothing else at this level; stdout is for data.
_STDERR: Final = {
    "class": "logging.StreamHandler",
    "formatter": "generic",
    "stream": "ext://sys.stderr",
}
_LOGGING: Final = {"handlers": {"console": _STDERR, "access": _STDERR}}

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
        allow_descriptors()
        self.most = fitting(limits.connections)
        """Connections that are served at once; more wait in the backlog."""
        self._granian = _Granian(app, listener, limits, self.most, http2=http2)

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


class _Granian(Embedded):
    def __init__(
        self, app: App, listener: socket.socket, limits: Limits, most: int, *, http2: bool
    ) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http2 if http2 else HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=most,
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
