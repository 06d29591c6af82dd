"""Which connections can be read from or written to: an epoll of the server's own.

The event loop watches the epoll, which is one descriptor, and not each connection: to tell it of a
connection and to let it forget it cost as much as its request's head, six calls of the kernel
instead of two.
"""

import asyncio
import select
from typing import Final, Protocol

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
_EITHER: Final = select.EPOLLERR | select.EPOLLHUP


class Waiting(Protocol):
    """Who waits for a socket."""

    def readable(self) -> None:
        """There is something to read, or the end."""
        ...

    def writable(self) -> None:
        """There is room, or nobody reads any more."""
        ...


class Readiness:
    """Calls those whose sockets are ready, in the running event loop, as long as it is open."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._waiting: dict[int, tuple[Waiting, int]] = {}
        self._loop.add_reader(self._epoll.fileno(), self.tell)

    def close(self) -> None:
        """Call nobody any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._waiting.clear()

    def wait(self, descriptor: int, who: Waiting, events: int) -> None:
        """From now on wait for these of ``READ`` and ``WRITE``; for none of them: forget it."""
        known = descriptor in self._waiting
        if not events:
            if known:
                del self._waiting[descriptor]
                self._epoll.unregister(descriptor)
            return
        self._waiting[descriptor] = who, events
        (self._epoll.modify if known else self._epoll.register)(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """It is about to be closed, and nobody waits for it any more.

        The kernel takes it off the list itself when it is closed, as nothing else has it open.
        """
        self._waiting.pop(descriptor, None)

    def tell(self) -> None:
        """Call those whose sockets are ready now."""
        for descriptor, ready in self._epoll.poll(0):
            # Whoever was told before may have ended others.
            who, wanted = self._waiting.get(descriptor, (None, 0))
            if who is not None and wanted & READ and ready & (READ | _EITHER):
                who.readable()
                who, wanted = self._waiting.get(descriptor, (None, 0))
            if who is not None and wanted & WRITE and ready & (WRITE | _EITHER):
                who.writable()
