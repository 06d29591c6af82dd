"""Rows: what admission remembers of each machine of a channel, in flat arrays."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_NEVER: Final = -(1 << 62)  # a time before the boot of this host is negative, too


class Rows:
    """One row per register number, about 45 bytes.

    Attributes:
        serving: Boarding number of the session, 0 before the first.
        began: When the session began, monotonic ms.
        touched: When the machine last asked, monotonic ms.
        assigned: Boarding number that it was last assigned.
        assigned_at: Since when, Unix seconds, strictly rising.
        member: Boarding number that it holds a card of.
        deck: Deck of the card.
        cls: Class of its silence deadline.
        arm: Whether the card is a treated one.
        rings: Code of its ring, 0 while unknown.
        moved: The register may have moved it to another ring.
    """

    serving: NDArray[np.uint32]
    began: NDArray[np.int64]
    touched: NDArray[np.int64]
    assigned: NDArray[np.uint32]
    assigned_at: NDArray[np.int64]
    member: NDArray[np.uint32]
    deck: NDArray[np.uint32]
    cls: NDArray[np.uint8]
    arm: NDArray[np.uint8]
    rings: NDArray[np.uint8]
    moved: NDArray[np.uint8]

    def __init__(self) -> None:
        """Start without any row."""
        self._size = 0

    def _grow(self, size: int) -> None:
        """Have ``size`` rows, which is more than before."""
        words = ("serving", "assigned", "member", "deck")
        for name in words:
            self._extend(name, np.zeros(size, np.uint32))
        for name in ("began", "assigned_at"):
            self._extend(name, np.zeros(size, np.int64))
        self._extend("touched", np.full(size, _NEVER))
        for name in ("cls", "arm", "rings", "moved"):
            self._extend(name, np.zeros(size, np.uint8))
        self._size = size

    def _extend(self, name: str, fresh: NDArray[np.generic]) -> None:
        if self._size:
            fresh[: self._size] = getattr(self, name)
        setattr(self, name, fresh)
