"""Collectors: when each of them sent something, and how long it usually is silent.

A collector that falls silent takes the signals of all its machines with it, of every site and
model. So the intake notes when each was heard, and the judge says which of them has stopped.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from firedoor.ports import HeardCollector, Identity, Instant

GAPS_KEPT: Final = 16
"""Of each collector: its longest of these is what is usual."""

_LEAST_GAP_MS: Final = 1_000
"""Requests of one moment are one sign of life."""


class Collectors:
    """When collectors were heard. For one event loop."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._heard: dict[str, Instant] = {}
        self._gaps: dict[str, deque[int]] = {}
        self._changed: set[str] = set()

    def resume(self, known: Sequence[HeardCollector]) -> None:
        """Take over what was stored; time in which nobody listened is no gap of a collector's."""
        for each in known:
            self._gaps[each.name] = deque([each.gap_ms] if each.gap_ms else (), GAPS_KEPT)

    def hear(self, identity: Identity, received: Instant) -> None:
        """Note that somebody sent something; machines are nobody here."""
        if identity.machine is not None:
            return
        before = self._heard.get(identity.name)
        gap_ms = 0 if before is None else received.since(before)
        if before is not None and gap_ms < _LEAST_GAP_MS:
            return
        gaps = self._gaps.setdefault(identity.name, deque(maxlen=GAPS_KEPT))
        if before is not None:
            gaps.append(gap_ms)
        self._heard[identity.name] = received
        self._changed.add(identity.name)

    def drain(self) -> Sequence[HeardCollector]:
        """Those that were heard since the last call."""
        changed, self._changed = sorted(self._changed), set()
        return [
            HeardCollector(name, self._heard[name], max(self._gaps[name], default=0))
            for name in changed
        ]
