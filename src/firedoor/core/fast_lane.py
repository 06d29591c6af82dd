"""Fast lanes: budgets that a person has widened for a time. Source: ADR 0035."""

from dataclasses import dataclass

from firedoor.core.units import UnixMs


@dataclass(frozen=True, slots=True)
class FastLane:
    """A wider budget for a time: what a person gave, and what holds again when it ends.

    Attributes:
        slots: By how much the budget is wider, machines, >= 1.
        ends_ms: When it ends, wall clock.
        judged: What ``Door.judged`` was before.
        compared: What ``Door.compared`` was before.
    """

    slots: int
    ends_ms: UnixMs
    judged: bool = True
    compared: bool = True
