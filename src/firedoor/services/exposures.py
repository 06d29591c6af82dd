"""Exposures: which releases of a channel a machine is on record for, in 16 bytes a machine.

A high-water mark is not enough: after a pin or a shut release a machine goes back to an older
one, and that needs a record just when it never had that one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TRAIL = 62
"""So many boardings back from the highest, a machine's exposures are remembered one by one."""

_BITS = (1 << TRAIL) - 1


class Exposure(NamedTuple):
    """Which boardings of a channel a machine has a treated place in.

    A tuple: see ``places.Standing``.

    Attributes:
        machine: Register number.
        number: The highest.
        trail: Bit k says that ``number - k`` is on record too, k < ``TRAIL``.
    """

    machine: int
    number: int
    trail: int = 1


class Exposures:
    """Those of all machines of one channel, by register number."""

    def __init__(self) -> None:
        """No machine has a row yet."""
        self._highest = np.zeros(0, np.uint32)
        self._trail = np.zeros(0, np.int64)
        self._older = np.zeros(0, np.uint32)

    def grow(self, size: int) -> None:
        """Make sure that all register numbers below ``size`` have a row."""
        more = (0, size - len(self._trail))
        self._highest = np.pad(self._highest, more)
        self._trail = np.pad(self._trail, more)
        self._older = np.pad(self._older, more)

    def restore(self, *known: Exposure) -> None:
        """Load what is on record of machines that have a row, each once."""
        machines, numbers, trails = (
            np.array(column, np.int64) for column in zip(*known, strict=True)
        )
        self._highest[machines] = numbers
        self._trail[machines] = trails

    def add(self, machine: int, number: int) -> None:
        """Remember a treated place that is durable."""
        ahead = number - self._highest.item(machine)
        trail = self._trail.item(machine)
        if ahead > 0:
            self._trail[machine] = (trail << min(ahead, TRAIL)) & _BITS | 1
            self._highest[machine] = number
        elif -ahead < TRAIL:
            self._trail[machine] = trail | 1 << -ahead
        else:
            self._older[machine] = number

    def highest(self, machine: int) -> int:
        """The highest boarding it was exposed to, 0 for none."""
        return self._highest.item(machine)

    def holders(self, number: int) -> NDArray[np.bool_]:
        """Machines that surely have a treated place in a boarding, as far as the trail goes."""
        back = self._highest.astype(np.int64) - number
        near = (back >= 0) & (back < TRAIL)
        found: NDArray[np.bool_] = near & (self._trail >> np.where(near, back, 0) & 1 > 0)
        return found

    def has(self, machine: int, number: int) -> bool:
        """Say whether the machine surely has a treated place in a boarding.

        What lies before the trail may be forgotten. Then a second record is offered, and the
        store drops it.
        """
        back = self._highest.item(machine) - number
        if back >= TRAIL:
            return self._older.item(machine) == number
        return back >= 0 and bool(self._trail.item(machine) >> back & 1)
