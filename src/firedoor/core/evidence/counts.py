"""Counts of closings, one row per stream: the only thing the evidence ever looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firedoor.core.cell import Cell

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """One closing for each of S streams; every array has shape (S,), machines, read-only.

    Attributes:
        treated: Treated members at risk (R1, m1), >= 0.
        control: Control members at risk (R0, m0), >= 0.
        treated_harmed: Of the treated, those newly harmed (x1), in 0..treated.
        control_harmed: Of the control, those newly harmed (x0), in 0..control.
        installed: Of the treated, those known to have installed, in 0..treated.
    """

    treated: Ints
    control: Ints
    treated_harmed: Ints
    control_harmed: Ints
    installed: Ints

    @classmethod
    def of(
        cls,
        treated: ArrayLike,
        control: ArrayLike,
        treated_harmed: ArrayLike,
        control_harmed: ArrayLike,
        installed: ArrayLike = 0,
    ) -> Self:
        """Check counts and bring them to one shape.

        Args:
            treated: Whole numbers, a scalar or shape (S,); the others broadcast against it.
            control: Likewise.
            treated_harmed: Likewise.
            control_harmed: Likewise.
            installed: Likewise.

        Raises:
            ValueError: A count is no whole number, is negative, or exceeds those at risk.
                Such counts are a mistake of the caller, and evidence made of them is none.
        """
        given = (treated, control, treated_harmed, control_harmed, installed)
        rows = np.broadcast_arrays(*(np.atleast_1d(_whole(values)) for values in given))
        m1, m0, x1, x0, got = (_frozen(row) for row in rows)
        for part, whole, name in (
            (x1, m1, "treated_harmed"),
            (x0, m0, "control_harmed"),
            (got, m1, "installed"),
        ):
            if np.any((part < 0) | (part > whole)):
                raise ValueError(f"{name} must lie between 0 and the machines at risk")
        return cls(m1, m0, x1, x0, got)

    @classmethod
    def of_cell(cls, cell: Cell) -> Self:
        """One row from one cell, whose counts are checked already."""
        return cls(
            *(
                _frozen(np.array([count], dtype=np.int64))
                for count in (
                    cell.treated,
                    cell.control,
                    cell.treated_harmed,
                    cell.control_harmed,
                    cell.installed,
                )
            )
        )

    @classmethod
    def of_cells(cls, cells: Sequence[Cell]) -> Self:
        """One row for each cell."""
        table = np.array(
            [
                (c.treated, c.control, c.treated_harmed, c.control_harmed, c.installed)
                for c in cells
            ],
            dtype=np.int64,
        ).reshape(-1, 5)
        return cls(*(_frozen(column) for column in table.T))

    def take(self, rows: Ints) -> Self:
        """Only some rows, numbered from 0, in this order."""
        kept = (
            column[rows]
            for column in (
                self.treated,
                self.control,
                self.treated_harmed,
                self.control_harmed,
                self.installed,
            )
        )
        return type(self)(*(_frozen(column) for column in kept))

    @property
    def events(self) -> Ints:
        """Newly harmed members of both arms (K), shape (S,)."""
        return self.treated_harmed + self.control_harmed


@dataclass(frozen=True, slots=True)
class Matured:
    """Totals of the clearance cells, one outcome per machine, counts >= 0.

    Attributes:
        treated: Treated machines of matured classes.
        control: Control machines of matured classes.
        treated_harmed: Of the treated, harmed.
        control_harmed: Of the control, harmed.
        installed: Of the treated, known to have installed (M1).
    """

    treated: int = 0
    control: int = 0
    treated_harmed: int = 0
    control_harmed: int = 0
    installed: int = 0

    def plus(self, counts: Counts) -> Self:
        """Add matured classes, one in each row."""
        return type(self)(
            self.treated + int(counts.treated.sum()),
            self.control + int(counts.control.sum()),
            self.treated_harmed + int(counts.treated_harmed.sum()),
            self.control_harmed + int(counts.control_harmed.sum()),
            self.installed + int(counts.installed.sum()),
        )


def _whole(values: ArrayLike) -> Ints:
    array = np.asarray(values)
    # Also keeps NaN out: a whole number cannot be one.
    if array.dtype.kind not in "iu":
        raise ValueError(f"counts are whole numbers, not {array.dtype}")
    return array.astype(np.int64)


def _frozen(row: Ints) -> Ints:
    owned = np.array(row, dtype=np.int64)
    owned.flags.writeable = False
    return owned
