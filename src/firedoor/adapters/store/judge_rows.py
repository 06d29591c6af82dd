"""Rows of judge.db as what they stand for."""

from collections.abc import Sequence
from typing import Any

from firedoor.core.cell import Cell, Test
from firedoor.services.late import Late, Wait


def late_of(row: tuple[Any, ...]) -> Late:
    """A late machine, from the columns that say so."""
    place, machine, ring, deck, cls, beating, boot, since_ms, counted, wait = row
    return Late(
        place, machine, ring, deck, cls, bool(beating), boot, since_ms, bool(counted), Wait(wait)
    )


def cell_of(row: Sequence[object]) -> Cell:
    """A cell, from a whole row."""
    ring, deck, epoch, test, signal, stratum, *counts = row[3:]
    seq = row[2]
    return Cell(seq, ring, deck, epoch, Test(test), signal, stratum, *counts)  # type: ignore[arg-type]  # a row of our own table
