"""What every role's process does: hold its role alone, serve until told to stop, notice orphans."""

import asyncio
import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

from firedoor.core.errors import Unavailable

PRUNE_EVERY_S = 3600.0
RETENTION_MS = 8 * 24 * 3_600_000
"""Signs of life are kept for eight days: longer than any deck waits for its last class."""

_ORPHAN_EVERY_S = 0.5


class Server(Protocol):
    """What answers requests."""

    async def serve(self) -> None:
        """Serve until ``stop``."""
        ...

    def stop(self) -> None:
        """Accept nothing more. Only from the event loop's thread."""
        ...


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a role's lock.

    Raises:
        Unavailable: Another process has this role in this data directory.
    """
    with path.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(
                f"another process holds {path.name} in {path.parent}",
                hint="stop it, or use another --data directory",
            ) from None
        yield


async def serve(
    server: Server,
    parent: int,
    *,
    before_stop: Callable[[], None] = lambda: None,
    died: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT, the parent's end or ``died``.

    Args:
        server: What is served.
        parent: Process id of the supervisor, 0 when there is none.
        before_stop: Called before open requests are given their last seconds.
        died: Set by a part that cannot go on.
    """
    stop = died or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def stop_if_orphan() -> None:
        # A supervisor that was killed cannot end its children; they notice it themselves.
        if parent and os.getppid() != parent:
            stop.set()

    serving = asyncio.create_task(server.serve())
    orphaned = asyncio.create_task(every(_ORPHAN_EVERY_S, stop_if_orphan))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    before_stop()
    server.stop()
    orphaned.cancel()
    stopping.cancel()
    await serving


async def every(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do ``work`` again and again, first after ``seconds``; a store that fails is tried again."""
    while True:
        await asyncio.sleep(seconds)
        with contextlib.suppress(Unavailable):
            await work()


def stop_by_signal(parent: int) -> threading.Event:
    """The same for a process without an event loop: set by SIGTERM, SIGINT or the parent's end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def watch() -> None:
        while parent and not stop.wait(_ORPHAN_EVERY_S):
            if os.getppid() != parent:
                stop.set()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
    return stop
