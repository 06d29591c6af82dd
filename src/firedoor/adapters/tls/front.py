"""A role's HTTP server behind TLS: the relay's process, and what it relays to."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog

from firedoor.adapters.tls.arrival import Arrivals
from firedoor.adapters.tls.context import TlsFiles, make_context
from firedoor.adapters.tls.peers import INNER, Peers
from firedoor.adapters.tls.relay import Way
from firedoor.ports import CERTIFICATE

CONNECTIONS: Final = 16_384
"""Connections of clients that are open at once, where there are descriptors for them."""

_App = Callable[[Any, Any, Any], Awaitable[None]]
_log = structlog.get_logger()


class TlsFront:
    """The relay's process. ``start`` it when the loopback ports listen."""

    def __init__(self, files: TlsFiles, listener: socket.socket, *, stop_s: float) -> None:
        """Read the files once, so that what is wrong with them is found here.

        Args:
            files: The server's certificate and key.
            listener: Bound and listening; stays the caller's.
            stop_s: Seconds that open connections may go on after ``stop``.

        Raises:
            BadConfig: The files cannot be used.
        """
        make_context(files, http2=True)
        self._files = files
        self._listener = listener
        self._stop_s = stop_s
        self._peers = Peers()
        self._process: asyncio.subprocess.Process | None = None

    def behind(self, app: _App) -> _App:
        """The same application, told who is at the other end of the relay; it alone may ask."""
        find, arrivals = self._peers.find, Arrivals(self._peers)

        def answer(scope: MutableMapping[str, Any], receive: Any, send: Any) -> Awaitable[None]:
            host, port = scope["client"]
            # The table knows ports only, and another user of this host can have the same port of
            # another address: 127.0.0.2, or one of a network card.
            peer = find(int(port)) if host == INNER else None
            if peer is None:
                return _refuse(send)
            scope["client"] = (peer.address, 0)
            scope["scheme"] = "https"
            scope[CERTIFICATE] = peer.certificate
            return app(scope, receive, arrivals.tell(scope, int(port), send))

        return answer

    async def start(self, ways: Sequence[Way]) -> None:
        """Begin to accept, and relay to these loopback ports: HTTP/1.1, and HTTP/2 if offered."""
        listener, peers = self._listener.fileno(), self._peers.fd
        files = self._files
        said = {
            "listener": listener,
            "ways": ways,
            "peers": peers,
            "certificate": str(files.certificate),
            "key": str(files.key),
            "client_ca": str(files.client_ca) if files.client_ca else None,
            "connections": CONNECTIONS,
            "stop_s": self._stop_s,
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "firedoor.adapters.tls",
            json.dumps(said),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(listener, peers),
            start_new_session=True,
            env=_environment(),
        )

    async def ended(self) -> int:
        """Log what the process says until it ends; its status."""
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("it was not started")
        async for line in self._process.stdout:
            said = json.loads(line)
            tell = _log.error if "error" in said else _log.info
            tell(said.pop("event"), **said)
        return await self._process.wait()

    def stop(self) -> None:
        """Accept nothing more; the process ends by itself."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


async def _refuse(send: Any) -> None:
    """Somebody on this host has found the relay's way in."""
    body = b"this port is for the TLS relay only\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    status = HTTPStatus.FORBIDDEN.value
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _environment() -> dict[str, str]:
    # The same modules as this process has, wherever it found them.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
