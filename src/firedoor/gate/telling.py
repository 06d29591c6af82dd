"""When it is told that a client has the end of a reply: once it has acknowledged it.

A server's `send` returns when the bytes are in memory of its own, the relay's or the kernel's: up
to a megabyte that may never arrive. Smaller files would be told whole though their download was
broken off in the middle.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from firedoor.gate.asgi import Scope
from firedoor.ports import ARRIVAL, Arrival

Delivered = Callable[[int, int], None]
"""Called with (start, end): the bytes of the file at [start, end) were handed over."""

_FIRST_S: Final = 0.002
_SLOWEST_S: Final = 0.25
_PATIENCE_S: Final = 600.0

_MOST: Final = 256
"""Replies of one connection that are waited for. Who asks ahead for more, and reads nothing, has
what comes after them not told."""

_Ends = deque[tuple[int, Callable[[], None]]]


class Telling:
    """Waits for what clients acknowledge, beside the replies: the next one is not held up."""

    def __init__(self) -> None:
        """Nothing is waited for."""
        self._ends: dict[Arrival, _Ends] = {}
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many replies have an end that may arrive still."""
        return sum(map(len, self._ends.values()))

    def tell(self, scope: Scope, delivered: Delivered, start: int, end: int) -> None:
        """Tell these bytes, which end a reply, when they have arrived.

        At once where the server does not know; never, if they have not when the connection ends.
        """
        arrival: Arrival | None = scope.get(ARRIVAL)
        if arrival is None or arrival.taken() >= (given := arrival.given()):
            delivered(start, end)
            return

        ends = self._ends.get(arrival)
        if ends is None:
            ends = self._ends[arrival] = deque()
            waiting = asyncio.get_running_loop().create_task(self._wait(arrival, ends))
            self._waiting.add(waiting)
            waiting.add_done_callback(self._waiting.discard)
        if len(ends) < _MOST:
            ends.append((given, partial(delivered, start, end)))

    async def _wait(self, arrival: Arrival, ends: _Ends) -> None:
        """Tell the ends of one connection's replies in their order, each once it has arrived."""
        try:
            while ends:
                given, told = ends[0]
                if not await _arrived(arrival, given):
                    return  # nor does what was given after it
                ends.popleft()
                told()
        finally:
            del self._ends[arrival]


async def _arrived(arrival: Arrival, given: int) -> bool:
    """Whether the client acknowledges so much, within the time for it."""
    pause, waited = _FIRST_S, 0.0
    while waited < _PATIENCE_S:
        over = arrival.over()  # before the last look
        if arrival.taken() >= given:
            return True
        if over:
            return False
        await asyncio.sleep(pause)
        waited += pause
        pause = min(_SLOWEST_S, 1.5 * pause)
    return False
