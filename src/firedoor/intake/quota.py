"""Quota: how many events of one kind a machine may have stored in a minute.

A machine that says the same thing again and again is harmed once, which its first event has
told. The others would be of use to nobody but whoever wants to fill the disk with its token.
"""

from typing import Final

from firedoor.core.signal import SignalKind
from firedoor.core.units import MachineNo

EVENTS_A_MINUTE: Final = 60
"""Events of one machine and kind that are stored in a minute; below 256."""

_MINUTE_MS: Final = 60_000
_REMEMBERED: Final = 200_000
_PLACE: Final = {kind.value: place for place, kind in enumerate(SignalKind)}
_GROWTH: Final = 1_024


class Quota:
    """Events of the running minute, counted by machine and kind: a byte each.

    The minute is that of receipt: the sender chooses every other time. What is sent again within
    it is counted once, or a sender whose answer was 503, or was lost, would be refused when it
    tries again. Not safe for threads.
    """

    def __init__(self) -> None:
        """Begin with nothing taken."""
        self._minute = 0
        self._taken = bytearray()
        # Hashes for a third of the memory; what collides is let through, and costs nothing.
        self._counted: set[int] = set()

    def turn(self, mono_ms: int) -> None:
        """Begin anew if another minute has begun.

        Args:
            mono_ms: Now, monotonic.
        """
        minute = mono_ms // _MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._taken = bytearray(len(self._taken))
            self._counted.clear()

    def take(self, machine: MachineNo, kind: str, key: str) -> bool:
        """Count an event unless it was counted; False if it would be one too many."""
        event = hash((machine, kind, key))
        if event in self._counted:
            return True
        at = machine * len(_PLACE) + _PLACE[kind]
        missing = at + 1 - len(self._taken)
        if missing > 0:
            # Doubling, so that a register filled one by one is not copied each time.
            self._taken.extend(bytes(max(missing, len(self._taken), _GROWTH)))
        if self._taken[at] >= EVENTS_A_MINUTE:
            return False
        self._taken[at] += 1
        # Beyond this many a repeat counts, as any other event does.
        if len(self._counted) < _REMEMBERED:
            self._counted.add(event)
        return True
