"""Files behind TLS as a process of its own: real server, real relay, one directory, no doors.

``python -m tests.tls_process DIRECTORY AUTHORITY CONNECTIONS`` serves like
``tests.answer_process``, with the server's certificate in the folder AUTHORITY, so many connections
of HTTP/1.1 and a quarter of HTTP/2; ``/whoami`` tells what the application is told.
"""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop
from tests.answer_process import Files
from tests.children import Child, running

from firedoor.adapters.server import Limits
from firedoor.config import TlsConfig
from firedoor.ports import CERTIFICATE
from firedoor.wire.transport import Sockets, Transport


def answering_tls(
    root: Path, authority: Path, connections: int = 12_288
) -> contextlib.AbstractContextManager[Child]:
    """Run the process; yield it and its port, and end it."""
    return running("tests.tls_process", str(root), str(authority), str(connections))


async def _serve(root: Path, authority: Path, connections: int) -> None:
    files = Files(root)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/whoami":
            await files(scope, receive, send)
            return
        shown = scope.get(CERTIFICATE)
        told = {"client": scope["client"][0], "version": scope["http_version"]}
        body = json.dumps(told | {"name": shown.name if shown else None}).encode()
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    tls = TlsConfig(authority / "server.pem", authority / "server.key", authority / "ca.pem", None)
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        limits = Limits(connections, stop_s=1.0)
        transport = Transport(app, Sockets(listener), tls, http2=True, limits=limits, direct=True)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, transport.stop)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)  # noqa: T201 - for answering_tls()
        await transport.serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
