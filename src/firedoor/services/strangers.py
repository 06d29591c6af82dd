"""Strangers: how many clients without an identity read a channel. A count, and no names.

Nobody is told apart by this: behind one address there may be one client or a thousand. It only
keeps a channel that nobody known reads from being taken for a channel that nobody reads.
"""

from typing import Final

REMEMBERED: Final = 100_000
"""The newest so many are told apart; a count that reaches this means "at least"."""


class Strangers:
    """Addresses of clients without an identity on one channel, as hashes, in memory only."""

    def __init__(self, window_ms: int, most: int = REMEMBERED) -> None:
        """Nobody has asked yet.

        Args:
            window_ms: How long one counts after its last request, ms.
            most: Addresses remembered, >= 1.
        """
        self._window_ms = window_ms
        self._most = most
        self._seen: dict[int, int] = {}
        self._last: int | None = None
        self._before = 0
        self._until = 0

    def note(self, address: str, now: int) -> None:
        """A client without an identity asked; ``now`` is the monotonic clock, ms."""
        # Salted anew in each process: what is kept cannot be turned back into an address later.
        key = hash(address)
        # Taken out first, so that the dict stays in the order of the last requests.
        self._seen.pop(key, None)
        self._seen[key] = self._last = now
        if len(self._seen) > self._most:
            del self._seen[next(iter(self._seen))]

    def restore(self, count: int, last_ms: int) -> None:
        """Take over the count of the last run: those clients may ask again any moment.

        Args:
            count: How many there were, >= 0.
            last_ms: When the last of them asked, on this run's monotonic clock.
        """
        if count:
            self._before, self._last, self._until = count, last_ms, last_ms + self._window_ms

    def count(self, now: int) -> int:
        """How many asked within the window.

        Until a window after the last run's end it is at least what that run had counted.
        """
        while self._seen and now - self._seen[oldest := next(iter(self._seen))] > self._window_ms:
            del self._seen[oldest]
        return max(len(self._seen), self._before if now <= self._until else 0)

    def last(self) -> int | None:
        """When the last one asked, on the monotonic clock, or None."""
        return self._last
