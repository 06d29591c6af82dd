"""Server-sent events: the ledger as it grows, and a nudge whenever anything visible changed.

Three kinds of events go over the wire::

    id: 41                     one entry of the ledger, as in /api/decisions;
    event: decision            its id is the ledger index, so a client that comes back with
    data: {"index":41,...}     Last-Event-ID misses nothing

    event: change              something the page shows is different now; no id
    data: {"version":97}

    : still here               a comment, so that proxies and clients know the line is alive

A viewer that reads slowly holds up nobody: it has a cursor into the ledger instead of a queue.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from firedoor.console.model import DecisionView
from firedoor.console.reading import ReadModel
from firedoor.core.errors import Unavailable

_PAGE = 100


class Live:
    """Watches the read model while anybody looks on.

    Args:
        read: What to watch.
        poll_s: How often ``version`` is read, seconds > 0.
        heartbeat_s: Longest silence on a stream, seconds > 0.
        viewers: How many streams may be open at once.
    """

    def __init__(
        self,
        read: ReadModel,
        *,
        poll_s: float = 0.5,
        heartbeat_s: float = 15.0,
        viewers: int = 64,
    ) -> None:
        self._read = read
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._limit = viewers
        self._viewers = 0
        self._closing = False
        self._watch: asyncio.Task[None] | None = None
        self._pulse = asyncio.Event()

    @property
    def viewers(self) -> int:
        """Streams open now."""
        return self._viewers

    def close(self) -> None:
        """End every stream now. New ones are refused. May be called twice."""
        self._closing = True
        self._pulse.set()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def open(self, after: int | None) -> AsyncIterator[bytes]:
        """Open a stream.

        Args:
            after: Ledger index the viewer has seen last; None: whatever comes from now on.

        Raises:
            Unavailable: Too many viewers, or the console is going down.
        """
        if self._closing or self._viewers >= self._limit:
            raise Unavailable(f"{self._viewers} of {self._limit} live views are taken")
        return self._events(self._read.last_index() if after is None else after)

    async def _events(self, cursor: int) -> AsyncIterator[bytes]:
        if self._viewers >= self._limit:
            return
        self._viewers += 1
        if self._watch is None:
            self._watch = asyncio.create_task(self._poll())
        shown: int | None = None
        try:
            yield b"retry: 1000\n\n"
            while not self._closing:
                # Taken before reading, so that a change while we read wakes the wait below.
                pulse = self._pulse
                version = self._read.version()
                if version != shown:
                    shown = version
                    # Page by page, so that a viewer far behind costs no memory.
                    while page := self._read.decisions(cursor, _PAGE):
                        for decision in page:
                            cursor = decision.index
                            yield _event(decision)
                    yield b'event: change\ndata: {"version":%d}\n\n' % version
                try:
                    await asyncio.wait_for(pulse.wait(), self._heartbeat_s)
                except TimeoutError:
                    yield b": still here\n\n"
        except Unavailable:
            return  # the viewer comes back by itself
        finally:
            self._viewers -= 1
            if self._viewers == 0 and self._watch is not None:
                self._watch.cancel()
                self._watch = None

    async def _poll(self) -> None:
        seen = self._read.version()
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                version = self._read.version()
            except Unavailable:
                continue
            if version != seen:
                seen = version
                self._pulse.set()
                self._pulse = asyncio.Event()


def _event(decision: DecisionView) -> bytes:
    data = msgspec.json.encode(decision)
    return b"id: %d\nevent: decision\ndata: %b\n\n" % (decision.index, data)
