"""The gate's answering of files as a process of its own: real server, one directory, no doors.

``python -m tests.answer_process DIRECTORY`` serves on a free loopback port and prints
``{"port": N}`` when it is ready; SIGTERM ends it.

``/NAME`` is a file of the directory, ``/watched/NAME`` the same for a machine whose bytes are
counted, ``/dated/NAME`` with a Last-Modified, ``/by-hash/NAME`` under an immutable name.
``/deliveries`` tells what was delivered: ``[[name, start, end], ...]``, once it is known of all
replies, ``/finished`` how many of the watched ones the server has taken.
"""

import asyncio
import contextlib
import hashlib
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop
from tests.children import Child, running

from firedoor.adapters.server import BACKLOG, DirectServer, Limits
from firedoor.core.release import FileEntry, media_type
from firedoor.core.units import Digest
from firedoor.gate.respond import Answerer
from firedoor.gate.telling import Telling

RELEASE = "7e" * 32
ASSIGNED_S = 1_795_332_390
"""Sun, 22 Nov 2026 07:26:30 GMT."""


class Files:
    """The application."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._telling = Telling()
        self._answerer = Answerer(telling=self._telling)
        self._finished = self._begun = 0
        self._deliveries: list[tuple[str, int, int]] = []
        self._entries = {
            file.name: FileEntry(
                Digest(hashlib.sha256(file.read_bytes()).hexdigest()),
                file.stat().st_size,
                media_type(file.name),
            )
            for file in root.iterdir()
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        mode, _, name = scope["path"][1:].rpartition("/")
        if name == "deliveries":
            await self._known()
            await _say(send, self._deliveries)
            return
        if name == "finished":
            await _say(send, self._finished)
            return

        def delivered(start: int, end: int) -> None:
            self._deliveries.append((name, start, end))

        self._begun += 1
        try:
            await self._answerer.answer(
                scope,
                receive,
                send,
                method=scope["method"],
                headers=scope["headers"],
                entry=self._entries[name],
                path=f"{self._root}/{name}",
                release=RELEASE,
                last_modified=ASSIGNED_S if mode == "dated" else None,
                immutable_name=mode == "by-hash",
                delivered=delivered if mode == "watched" else None,
            )
        finally:
            self._begun -= 1

        self._finished += mode == "watched"

    async def _known(self) -> None:
        """Wait until it is known of every reply whether it has arrived, for ten seconds at most."""
        for _ in range(1000):
            # A client may have the last bytes before its reply is told to have ended.
            if not self._begun and not self._telling.open:
                return
            await asyncio.sleep(0.01)


async def _say(send: Any, what: object) -> None:
    body = json.dumps(what).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


def answering(root: Path, *prefix: str) -> contextlib.AbstractContextManager[Child]:
    """Run the process, after the words of ``prefix``; yield it and its port, and end it."""
    return running("tests.answer_process", str(root), prefix=prefix)


async def _serve(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        server = DirectServer(Files(root), listener, Limits(stop_s=1.0))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)  # noqa: T201 - for answering()
        await server.serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1])))
