"""Room: how much more may be stored, and what people are told before there is none.

Two borders count, whichever is nearer: the budget for all blobs, and what has to stay free on the
disk they lie on. New releases stop there. What machines wait for, and what heals a release that
they already have, may take half of what has to stay free; the rest is for the databases, without
which nobody could be served anything.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_CLOSE: Final = 0.8
_LEFT: Final = 0.75
_AUTO_RESERVE: Final = 1 << 30
_AUTO_SHARE: Final = 20
_REMEDY: Final = (
    "lower keep of a channel, take fewer packages or remove a channel; firedoor channel show NAME "
    "says what each holds"
)


STORAGE: Final = "storage: "
"""Begins what is told of our own disk, and is no fault of a vendor."""


class Level(IntEnum):
    """How near the border is."""

    FINE = 0
    CLOSE = 1
    FULL = 2


@dataclass(frozen=True, slots=True)
class Space:
    """What is stored and what the disk has, bytes >= 0.

    Attributes:
        used: All blobs together.
        free: Of the disk, for this process.
        total: The disk.
    """

    used: int
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows.

    Attributes:
        budget: All blobs together, bytes > 0; None: what the disk has.
        reserve: What has to stay free on the disk, bytes > 0; None: a twentieth of it, a GiB at
            most.
    """

    budget: int | None = None
    reserve: int | None = None

    def reserved(self, space: Space) -> int:
        """What has to stay free on this disk, bytes."""
        if self.reserve is not None:
            return self.reserve
        return min(_AUTO_RESERVE, space.total // _AUTO_SHARE)

    def room(self, space: Space, *, urgent: bool = False) -> int:
        """Bytes that may still be stored; none or less: nothing may.

        Args:
            space: What there is.
            urgent: Machines wait for it, or it heals what they have.
        """
        if urgent:
            return space.free - self.reserved(space) // 2
        left = space.free - self.reserved(space)
        return left if self.budget is None else min(left, self.budget - space.used)

    def refusal(self, space: Space, *, urgent: bool = False) -> str:
        """Why nothing more is stored, and what to do."""
        left = space.free - self.reserved(space)
        if not urgent and self.budget is not None and self.budget - space.used <= left:
            used = self._of_budget(space)
            return f"nothing new is stored: {used}; raise storage.budget, or {_REMEDY}"
        return (
            f"nothing new is stored: {spelled(space.free)} are free on the disk of the data "
            f"directory, and {spelled(self.reserved(space))} have to stay free; free some space, "
            f"or {_REMEDY}"
        )

    def lacking(self, space: Space, needed: int) -> str:
        """Why that much is not fetched at all, and what to do."""
        return (
            f"it needs {spelled(needed)} and there is room for "
            f"{spelled(max(0, self.room(space)))}: {self._standing(space)}; {self._more()}, "
            f"or {_REMEDY}"
        )

    def level(self, space: Space, before: Level = Level.FINE) -> Level:
        """How near the border is; with what was told before, so that it does not flutter."""
        if self.room(space) <= 0:
            return Level.FULL
        border = _CLOSE if before is Level.FINE else _LEFT
        budgeted = self.budget is not None and space.used >= border * self.budget
        # Free space is shared with all else on the disk: its border is twice what stays free.
        wide = 2 if before is Level.FINE else 2.5
        return Level.CLOSE if budgeted or space.free < wide * self.reserved(space) else Level.FINE

    def told(self, level: Level, space: Space) -> str:
        """The sentence of an alert that a level was reached."""
        match level:
            case Level.FULL:
                return (
                    f"{STORAGE}{self.refusal(space)}. New releases are not mirrored until then; "
                    "what there is goes on being served"
                )
            case Level.CLOSE:
                return (
                    f"storage is running out: {self._standing(space)}; when it is used up, "
                    f"new releases are not mirrored. To do: {self._more()}, or {_REMEDY}"
                )
            case Level.FINE:
                return f"storage has room again: {self._standing(space)}"

    def _more(self) -> str:
        free = "free some space on the disk"
        return free if self.budget is None else f"raise storage.budget or {free}"

    def _standing(self, space: Space) -> str:
        free, stay = spelled(space.free), spelled(self.reserved(space))
        disk = f"{free} free on the disk, of which {stay} have to stay free"
        return disk if self.budget is None else f"{self._of_budget(space)}, {disk}"

    def _of_budget(self, space: Space) -> str:
        budget = self.budget or 1
        share = 100 * space.used // budget
        return f"{spelled(space.used)} of storage.budget {spelled(budget)} are used ({share} %)"

    def sentence(self, space: Space) -> str:
        """What is used and free, for somebody who looks."""
        return f"{spelled(space.used)} stored; {self._standing(space)}"


def spelled(size_bytes: int) -> str:
    """Bytes for people."""
    amount, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and units[1:]:  # noqa: PLR2004 - the step of the units
        amount, units = amount / 1024, units[1:]
    return f"{amount:.3g} {units[0]}" if units[0] != "B" else f"{size_bytes} B"
