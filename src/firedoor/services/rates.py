"""Rates: how many sessions free machines begin in a bucket, smoothed, by ring."""

from collections.abc import Iterable


class Rates:
    """Those of one channel."""

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._polls: dict[str, int] = {}
        self._rates: dict[str, float] = {}
        self._counted_ms = 0

    def note(self, ring: str) -> None:
        """A free machine of the ring began a session."""
        self._polls[ring] = self._polls.get(ring, 0) + 1

    def smooth(self, rings: Iterable[str], now: int, bucket_ms: int) -> None:
        """A bucket ended; ``now`` is the monotonic clock, ms."""
        elapsed = now - self._counted_ms
        if elapsed < bucket_ms // 2:
            # A flush in between, because the board changed: too short to tell a rate.
            return
        for ring in rings:
            rate = self._polls.pop(ring, 0) * bucket_ms / elapsed
            self._rates[ring] = (self._rates.get(ring, rate) + rate) / 2
        self._counted_ms = now

    def of(self, ring: str) -> float:
        """Sessions a bucket."""
        return self._rates.get(ring, 0.0)
