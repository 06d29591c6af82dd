"""Cells: what a closing of a pool counted, in four integers (and the installed).

A *pool* is the membership of one sealed deck: machines that drew a card, treated or control.
When something about sealed members becomes known it is counted once, as a cell, and the
members it reveals leave the pool. Cells are append-only, summable rows: the whole verdict is
a fold over them in the order of ``seq``.

Source: cohorts.md 1.3 (closing), evidence.md 2.1 (cells).
"""

from dataclasses import dataclass
from enum import StrEnum


class Test(StrEnum):
    """Which of the two questions a cell answers."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    HARM = "harm"
    """Against "no worse than control": one cell per pool, signal and tick with new events."""
    CLEARANCE = "clearance"
    """Against "worse by at least delta": one cell per matured class, one outcome per machine."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One closing.

    Attributes:
        seq: Position in the release's own sequence of cells, from 1, without gaps.
        ring: Ring of the pool.
        deck: Number of the deck, from 1, within the release and ring.
        epoch: Epoch of the start-time mixture the closing falls in, >= 0, never falling.
        test: Harm or clearance.
        signal: Stream the events belong to (``silence``, ``crash``, ``check``);
            ``any`` for clearance, which counts the first critical harm of any watched signal.
        stratum: Stratum of the members; ``""`` while strata are pooled.
        treated: Harm: sealed treated members just before this closing (R1).
            Clearance: all treated members of the matured class (m1). Count >= 0.
        control: The same for control members (R0, m0). Count >= 0.
        treated_harmed: Of the treated, those with a new first event (x1), <= treated.
        control_harmed: Of the control, likewise (x0), <= control.
        installed: Clearance only: treated members that are known to have installed, <= treated.
            0 for harm cells.
    """

    seq: int
    ring: str
    deck: int
    epoch: int
    test: Test
    signal: str
    stratum: str
    treated: int
    control: int
    treated_harmed: int
    control_harmed: int
    installed: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that cannot be: they would be a mistake of the caller."""
        if not 0 <= self.treated_harmed <= self.treated:
            raise ValueError(f"treated_harmed {self.treated_harmed} of treated {self.treated}")
        if not 0 <= self.control_harmed <= self.control:
            raise ValueError(f"control_harmed {self.control_harmed} of control {self.control}")
        if not 0 <= self.installed <= self.treated:
            raise ValueError(f"installed {self.installed} of treated {self.treated}")
