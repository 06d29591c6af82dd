"""A limit for what all upstreams together send in a second."""

import threading
import time
from collections.abc import Callable
from typing import Final

from firedoor.ports import Clock

_BURST_MS: Final = 250.0
"""What of the time so far was not used up counts for so long: a piece of a file is 64 KiB."""


class Throttle:
    """Lets bytes through at a rate. Safe for threads: those who wait share what there is."""

    def __init__(
        self, rate: int, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Begin with nothing on its way.

        Args:
            rate: Bytes a second, > 0.
            clock: Measures what has passed.
            sleep: Waits for some seconds.
        """
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_ms = 0.0

    def __call__(self, size: int) -> None:
        """Wait until so many bytes more may have come."""
        with self._lock:
            now = self._clock.monotonic_ms()
            self._free_ms = max(self._free_ms, now - _BURST_MS) + 1000 * size / self._rate
            wait_ms = self._free_ms - now
        if wait_ms > 0:
            # The sender waits as well, as soon as the buffers on the way are full.
            self._sleep(wait_ms / 1000)
