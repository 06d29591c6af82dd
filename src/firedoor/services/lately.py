"""Lately left: releases whose names machines may still ask for, from an index that they read.

A machine upgrades hours or days after it read an index; what it names has to be there. So where a
kind of client has names that mean the same bytes for ever, those of a release are served, and
their bytes kept, for three days after the last ring left it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from firedoor.core.door import Door, State, ended

KEPT_MS: Final = 3 * 24 * 3_600_000


def lately(doors: Mapping[int, Sequence[Door]], now_ms: int) -> set[int]:
    """Boarding numbers that a ring is served, or was within the last three days.

    Args:
        doors: Boarding number -> its doors; all boardings of a time, so that none is taken for
            served because its successor is not known.
        now_ms: Wall clock.
    """
    found = set()
    for number, mine in doors.items():
        left = [_left(number, door, doors) for door in mine]
        if any(at is None or now_ms - at < KEPT_MS for at in left):
            found.add(number)
    return found


def _left(number: int, door: Door, doors: Mapping[int, Sequence[Door]]) -> int | None:
    """When nobody was given a boarding any more through this door; None while somebody is."""
    if not ended(door.state):
        return None
    if door.state is not State.OPEN:
        return door.since_ms
    later = [
        each.since_ms
        for other, some in doors.items()
        if other > number
        for each in some
        if each.ring == door.ring and each.state is State.OPEN
    ]
    return min(later, default=None)
