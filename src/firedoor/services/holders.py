"""Holders: machines that are known to have what a release changes, and so try it first.

Whoever does not have a changed package installs nothing of a release, and says nothing about it.
So the cards go to those who have fetched some version of it before, as long as there are any who
may draw one. Both arms are drawn from them alike, and who they are is known before the card; the
others draw when the holders are through, as everybody does where nobody is known to hold.
Source: ADR 0025.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firedoor.core.board import Lane
from firedoor.core.valve import SMALLEST_DECK

_GAPS: Final = 2
_UNKNOWN_GAP_MS: Final = 24 * 3_600_000


class Holders:
    """Those of one channel, of the release in flight."""

    def __init__(self) -> None:
        """Nobody is known to hold anything."""
        self._known: dict[int, NDArray[np.int64]] = {}
        self._first: dict[str, NDArray[np.bool_]] = {}

    def put(self, number: int, machines: Iterable[int]) -> None:
        """Note who has what a boarding changes; boardings before it are forgotten."""
        self._known = {number: np.array(sorted(set(machines)), np.int64)}
        self._first = {}

    def may_draw(self, machine: int, ring: str) -> bool:
        """Say whether it is a machine's turn."""
        first = self._first.get(ring)
        return first is None or (machine < len(first) and bool(first.item(machine)))

    def count(
        self, lane: Lane, free: NDArray[np.bool_], quiet: NDArray[np.int64], gap_ms: int
    ) -> NDArray[np.bool_]:
        """Find out whose turn it is in a ring, once a bucket.

        Args:
            lane: The ring.
            free: Machines that may draw a card by all other rules: no sealed label is in it.
            quiet: Time since each machine's last request, ms.
            gap_ms: Usual time between two sessions, 0 while unknown. Who was away for longer
                than two of them is not waited for.

        Returns:
            Those whose turn it is.
        """
        known = self._known.get(lane.candidate)
        if not lane.candidate or known is None or lane.shadow:
            self._first.pop(lane.ring, None)
            return free
        mine = np.zeros_like(free)
        mine[known[known < len(free)]] = True
        mine &= free
        here = mine & (quiet < _GAPS * (gap_ms or _UNKNOWN_GAP_MS))
        if int(here.sum()) < SMALLEST_DECK:
            self._first.pop(lane.ring, None)
            return free
        self._first[lane.ring] = mine
        return mine
