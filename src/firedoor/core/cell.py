"""Cells: what a closing of a pool counted, in four integers (and the installed).

A *pool* is the membership of one sealed deck: machines that drew a card, treated or control.
When something about sealed members becomes known it is counted once, as a cell, and the
members it reveals leave the pool. Cells are append-only, summable rows: the whole verdict is
a fold over them in the order of ``seq``.

Source: cohorts.md 1.3 (closing), evidence.md 2.1 (cells).
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MOST_STRATA: Final = 256
"""One closing makes no more harm cells than this; strata with fewer events share one."""

MOST_MACHINES: Final = 2**53
"""Up to here every count is a float; what claims more is no count of machines."""

_MINUTE_MS: Final = 60_000
AGE_EDGES_MS: Final = tuple(_MINUTE_MS * minutes for minutes in (5, 15, 60, 240, 1440))
"""Where the buckets of a cell's age end; the last has no end."""

TOLD_EDGES_MS: Final = tuple(_MINUTE_MS * minutes for minutes in (1, 4, 16, 64, 256))
"""The same for what was told, since the cards were drawn: what fails as it installs does so in the
first minute."""


class Test(StrEnum):
    """Which of the two questions a cell answers."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    HARM = "harm"
    """Against "no worse than control": one cell per pool, signal and tick with new events."""
    CLEARANCE = "clearance"
    """Against "worse by at least delta": one cell per matured class, one outcome per machine."""
    LATE = "late"
    """Against "worse than past good releases" alone: a later look at a matured class, or what a
    pool has told since its last look."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One closing.

    Attributes:
        seq: Position in the release's own sequence of cells, from 1, without gaps.
        ring: Ring of the pool.
        deck: Number of the deck, from 1, within the release and ring.
        epoch: Epoch of the start-time mixture the closing falls in, >= 0, never falling.
        test: Harm, clearance or late.
        signal: Stream the events belong to (``silence``, ``crash``, ``check``);
            ``any`` for clearance, which counts the first critical harm of any watched signal;
            ``silence``, ``told-early`` or ``told`` for late.
        stratum: Stratum of the harmed members (``core.stratum``); ``""`` where nothing is known
            of them, where strata are pooled, and for clearance and late.
        treated: Harm: sealed treated members of the whole pool just before this cell (R1).
            Clearance: all treated members of the matured class (m1). Late: those of them that
            are sealed still; of what was told, seconds at this age of those of them that have
            come to it since the last look: all that the age has, at once. Count >= 0.
        control: The same for control members (R0, m0). Count >= 0.
        treated_harmed: Of the treated, those with a new first event (x1), <= treated.
        control_harmed: Of the control, likewise (x0), <= control.
        installed: Clearance: treated members that are known to have installed, <= treated. Of
            what was told: seconds that members were really listened to since the last look, of
            the arms that are the past (``evidence.past``), >= 0. 0 for other cells.
        age: Bucket of the time since the deck was cut: 0 to 5 min, 15 min, 1 h, 4 h, 24 h, or
            longer; 0..5. Of what was told: time since the cards were drawn, 0 to 1 min, 4 min,
            16 min, 64 min, 256 min, or longer. No factor looks at it: it is for history and for
            people.
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
    age: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that cannot be: they would be a mistake of the caller."""
        if self.treated > MOST_MACHINES or self.control > MOST_MACHINES:
            raise ValueError(f"no arm has {max(self.treated, self.control)} machines")
        if self.epoch < 0:
            raise ValueError(f"epoch {self.epoch}")
        if not 0 <= self.treated_harmed <= self.treated:
            raise ValueError(f"treated_harmed {self.treated_harmed} of treated {self.treated}")
        if not 0 <= self.control_harmed <= self.control:
            raise ValueError(f"control_harmed {self.control_harmed} of control {self.control}")
        if self.installed < 0 or (self.installed > self.treated and self.test is not Test.LATE):
            raise ValueError(f"installed {self.installed} of treated {self.treated}")
        if not 0 <= self.age <= len(AGE_EDGES_MS):
            raise ValueError(f"age {self.age}")


def age_of(elapsed_ms: int) -> int:
    """Bucket of a time since the cut, ms >= 0."""
    return bisect_right(AGE_EDGES_MS, elapsed_ms)


def by_stratum(whole: Cell, harmed: Mapping[str, tuple[int, int]]) -> tuple[Cell, ...]:
    """Split the harm of one closing by stratum.

    Who was harmed is fixed by the world; only the cards are chance. So the harmed of one stratum
    are a random draw from the whole sealed pool, whatever the stratum, and once their cards are
    known those of the next are a random draw from the rest: each cell carries the pool's totals
    just before it, and the product of their factors is a factor like that of the whole.

    Args:
        whole: The closing without strata: one harm cell over all members that were harmed.
        harmed: Stratum -> (treated, control) harmed; together they are those of ``whole``.

    Returns:
        A cell for each stratum with harm, in the order of its text. Where there are more than
        ``MOST_STRATA``, those with the fewest events share a cell with the stratum ``""``: how
        many were harmed in a stratum is known before their cards are.

    Raises:
        ValueError: The strata do not add up to the whole.

    Source: cohorts.md 2 (lemma); ADR 0013.
    """
    hit = {stratum: counts for stratum, counts in harmed.items() if any(counts)}
    if len(hit) > MOST_STRATA:
        ranked = sorted(hit, key=lambda stratum: (stratum == "", -sum(hit[stratum]), stratum))
        rest = [hit[stratum] for stratum in ranked[MOST_STRATA - 1 :]]
        hit = {stratum: hit[stratum] for stratum in ranked[: MOST_STRATA - 1]}
        hit[""] = (sum(x1 for x1, _ in rest), sum(x0 for _, x0 in rest))
    cells = []
    treated, control = whole.treated, whole.control
    for stratum, (x1, x0) in sorted(hit.items()):
        cells.append(
            replace(
                whole,
                stratum=stratum,
                treated=treated,
                control=control,
                treated_harmed=x1,
                control_harmed=x0,
            )
        )
        treated, control = treated - x1, control - x0
    left = (whole.treated - whole.treated_harmed, whole.control - whole.control_harmed)
    if (treated, control) != left:
        raise ValueError(f"strata add up to {(treated, control)} left at risk, not {left}")
    return tuple(cells)
