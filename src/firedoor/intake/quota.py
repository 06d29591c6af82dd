"""Quota: how many events of one kind a machine may have stored in a minute.

A machine that says the same thing again and again is harmed once, which its first event has
told. The others would be of use to nobody but whoever wants to fill the disk with its token.
"""

from collections.abc import Iterable
from typing import Final

from firedoor.core.signal import SignalKind
from firedoor.core.units import MachineNo
from firedoor.ports import SignalEvent

EVENTS_A_MINUTE: Final = 60
"""Events of one machine and kind that are stored in a minute; below 256."""

_MINUTE_MS: Final = 60_000
_PLACE: Final = {kind.value: place for place, kind in enumerate(SignalKind)}
_GROWTH: Final = 1_024


class Quota:
    """Events of the running minute, counted by machine and kind: a byte each.

    The minute is that of receipt: the sender chooses every other time. Not safe for threads.
    """

    def __init__(self) -> None:
        """Begin with nothing taken."""
        self._minute = 0
        self._taken = bytearray()

    def turn(self, mono_ms: int) -> None:
        """Begin anew if another minute has begun.

        Args:
            mono_ms: Now, monotonic.
        """
        minute = mono_ms // _MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._taken = bytearray(len(self._taken))

    def take(self, machine: MachineNo, kind: str) -> bool:
        """Count one more event; False, and nothing is counted, if that were too many."""
        at = machine * len(_PLACE) + _PLACE[kind]
        missing = at + 1 - len(self._taken)
        if missing > 0:
            # Doubling, so that a register filled one by one is not copied each time.
            self._taken.extend(bytes(max(missing, len(self._taken), _GROWTH)))
        if self._taken[at] >= EVENTS_A_MINUTE:
            return False
        self._taken[at] += 1
        return True

    def give_back(self, events: Iterable[SignalEvent]) -> None:
        """Uncount events that were not stored after all; of an earlier minute, as far as any are.

        Else a sender whose answer was 503, or was lost, would be refused when it tries again.
        """
        for event in events:
            at = event.machine * len(_PLACE) + _PLACE[event.kind]
            if self._taken[at]:
                self._taken[at] -= 1
