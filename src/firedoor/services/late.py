"""Late: what the judge remembers of machines that were looked at before they installed."""

from dataclasses import dataclass, field
from enum import StrEnum


class Wait(StrEnum):
    """Where a machine that was late stands.

    Who is woken was dormant and has installed: it takes a slot, but a door need not wait for it,
    or those that wake one after the other would keep it shut for days. Harmed is by silence, told
    by its own word.
    """

    WAITING = "waiting"
    DORMANT = "dormant"
    WOKEN = "woken"
    HARMED = "harmed"
    TOLD = "told"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Late:
    """A treated machine that was looked at before it could have installed.

    Attributes:
        row: Row of its place.
        machine: Register number.
        ring: Its ring.
        deck: Its deck.
        cls: Class of its silence deadline.
        beating: Its regular heartbeats reach the intake.
        boot: Boot of the host in which it began to wait.
        since_ms: Monotonic time of that.
        counted: It was counted as silent, and spoke again: the evidence has it already.
        wait: Where it stands.
    """

    row: int
    machine: int
    ring: str
    deck: int
    cls: int
    beating: bool
    boot: str
    since_ms: int
    counted: bool = False
    wait: Wait = Wait.WAITING

    @property
    def harmed(self) -> bool:
        """It is a debt of its own, without a control."""
        return self.wait in (Wait.HARMED, Wait.TOLD)


@dataclass(slots=True)
class Latecomers:
    """The late machines of one boarding, by the row of their place.

    Attributes:
        late: Those whose end is not known, or that were harmed.
        survived: By ring, those that were heard a deadline after it took effect.
    """

    late: dict[int, Late] = field(default_factory=dict)
    survived: dict[str, int] = field(default_factory=dict)
    _counts: dict[tuple[str, Wait], int] = field(default_factory=dict)

    def put(self, late: Late) -> None:
        """Add one, or note where it stands now; one that is over is forgotten."""
        before = self.late.pop(late.row, None)
        if before is not None:
            self._counts[before.ring, before.wait] -= 1
        if late.wait is Wait.OVER:
            self.survived[late.ring] = self.survived.get(late.ring, 0) + (not late.counted)
        else:
            self.late[late.row] = late
            key = late.ring, late.wait
            self._counts[key] = self._counts.get(key, 0) + 1

    def decks(self) -> set[tuple[str, int]]:
        """(Ring, deck) of those that wait: what was heard since they were cut is still needed."""
        waits = (Wait.WAITING, Wait.WOKEN)
        return {(each.ring, each.deck) for each in self.late.values() if each.wait in waits}

    def count(self, ring: str, wait: Wait) -> int:
        """Machines of a ring that stand there."""
        return self._counts.get((ring, wait), 0)
