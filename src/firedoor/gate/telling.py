"""When it is told that a client has the end of a reply: once it has acknowledged it.

A server's `send` returns when the bytes are in memory of its own, the relay's or the kernel's: up
to a megabyte that may never arrive. Smaller files would be told whole though their download was
broken off in the middle.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from firedoor.gate.asgi import Scope
from firedoor.ports import ARRIVAL, Arrival

Delivered = Callable[[int, int], None]
"""Called with (start, end): the bytes of the file at [start, end) were handed over."""

_FIRST_S: Final = 0.002
_SLOWEST_S: Final = 0.25
_PATIENCE_S: Final = 600.0


class Telling:
    """Waits for what clients acknowledge, beside the replies: the next one is not held up."""

    def __init__(self) -> None:
        """Nothing is waited for."""
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many replies have an end that may arrive still."""
        return len(self._waiting)

    def tell(self, scope: Scope, delivered: Delivered, start: int, end: int) -> None:
        """Tell these bytes, which end a reply, when they have arrived.

        At once where the server does not know; never, if they have not when the connection ends.
        """
        arrival: Arrival | None = scope.get(ARRIVAL)
        if arrival is None or arrival.taken() >= (given := arrival.given()):
            delivered(start, end)
            return

        async def wait() -> None:
            if await _arrived(arrival, given):
                delivered(start, end)

        waiting = asyncio.get_running_loop().create_task(wait())
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)


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
