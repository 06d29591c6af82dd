"""Collectors: when each of them sent something, and how long it usually is silent.

A collector that falls silent takes the signals of all its machines with it, of every site and
model. So the intake notes when each was heard, and the judge says which of them has stopped.
"""

from collections.abc import Sequence
from typing import Final

from firedoor.ports import HeardCollector, Identity, Instant

HOURS_KEPT: Final = 7 * 24
"""Of each collector its longest gap of each of so many hours is kept: the longest of these is
usual. By time and not by number: a collector may send in batches, with hours between them."""

_HOUR_MS: Final = 3_600_000
_LEAST_GAP_MS: Final = 1_000
"""Requests of one moment are one sign of life."""


class Collectors:
    """When collectors were heard. For one event loop."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._heard: dict[str, Instant] = {}
        self._gaps: dict[str, dict[int, int]] = {}
        self._changed: set[str] = set()

    def resume(self, known: Sequence[HeardCollector]) -> None:
        """Take over what was stored; time in which nobody listened is no gap of a collector's."""
        for each in known:
            self._gaps[each.name] = {each.heard.wall_ms // _HOUR_MS: each.gap_ms}

    def hear(self, identity: Identity, received: Instant) -> None:
        """Note that somebody sent something; machines are nobody here."""
        if identity.machine is not None:
            return
        before = self._heard.get(identity.name)
        gap_ms = 0 if before is None else received.since(before)
        if before is not None and gap_ms < _LEAST_GAP_MS:
            return
        gaps, hour = self._gaps.setdefault(identity.name, {}), received.wall_ms // _HOUR_MS
        if before is not None:
            gaps[hour] = max(gap_ms, gaps.get(hour, 0))
            if len(gaps) > HOURS_KEPT:
                del gaps[min(gaps)]
        self._heard[identity.name] = received
        self._changed.add(identity.name)

    def drain(self) -> Sequence[HeardCollector]:
        """Those that were heard since the last call."""
        changed, self._changed = sorted(self._changed), set()
        return [
            HeardCollector(name, self._heard[name], max(self._gaps[name].values(), default=0))
            for name in changed
        ]
