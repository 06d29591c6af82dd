r"""Harm evidence as rows that may be summed anywhere, in any order, as often as one likes.

A stream that lives on one judge needs 22 numbers. Where many judges share a stream, or a
database does the adding, the same evidence is kept per (stream, epoch) as sums of ln f:

    E  =  mean over both factors of  cash + sum over k of v_k sum over j of
              prior_j exp( sum over epochs l >= k of F_lj ),        F_lj = sum of ln f_j in epoch l

Floating-point sums depend on their order; these do not. Each ln f is kept as a whole number of
units of 2^-32 nats, rounded down by at least one unit, which is more than the arithmetic behind
it can be wrong. Whole numbers add exactly, so every order, grouping and sharding gives the same
bits; and a smaller factor has a smaller mean, so the guarantee is kept (in the design's terms:
one-sided quantisation costs at most 2 units, 5e-10 nats, a cell).

A row belongs to one stream and one cell. Merging is the union by (stream, cell): a row that
arrives twice, or is replayed, is the same row. Two rows that claim to be the same cell and differ
are a mistake that nobody may resolve by chance.

::

    shard 1: rows_of(cells) --+
    shard 2: rows_of(cells) --+--> merged --> summed by (stream, epoch) --> log_e

Source: evidence.md 2.5 (distributed form); the fixed point is ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.mixture import LOG_PRIOR, RATIOS, log_sum

UNIT: Final = 2.0**-32
"""What a whole number in a row stands for, nats."""

COLUMNS: Final = 2 * len(RATIOS)
"""Numbers of evidence in a row: the plain factor of each ratio, then the linear one."""

_LN_2: Final = float(np.log(2.0))
_MOST_OF_A_CELL: Final = 2.0**53  # units; up to here every whole number is a float
_MOST: Final = 1 << 62  # of a sum, so that int64 holds it; reached after 10^8 events

Key: TypeAlias = tuple[str, str]
"""(stream, cell): what makes a row the same row wherever it is."""


@dataclass(frozen=True, slots=True)
class Row:
    """Evidence of one cell for one stream; a sum of rows has the same columns.

    Attributes:
        stream: Name of the stream.
        cell: Name of the cell, unique among the cells of the stream.
        epoch: Epoch the cell closed in, >= 0.
        logs: ln f in units of 2^-32 nats, :data:`COLUMNS` whole numbers.
        treated: Treated members at risk, count >= 0.
        control: Control members at risk, count >= 0.
        treated_harmed: Of the treated, newly harmed.
        control_harmed: Of the control, newly harmed.
    """

    stream: str
    cell: str
    epoch: int
    logs: tuple[int, ...]
    treated: int
    control: int
    treated_harmed: int
    control_harmed: int


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows of one stream and epoch, added up.

    Attributes:
        cells: Number of rows, count >= 0.
        logs: As in :class:`Row`.
        treated: As in :class:`Row`.
        control: As in :class:`Row`.
        treated_harmed: As in :class:`Row`.
        control_harmed: As in :class:`Row`.
    """

    cells: int = 0
    logs: tuple[int, ...] = (0,) * COLUMNS
    treated: int = 0
    control: int = 0
    treated_harmed: int = 0
    control_harmed: int = 0

    def __add__(self, other: Self | Row) -> "Sum":
        """Add exactly. Sums of overlapping sets of rows must not be added: merge the rows."""
        return Sum(
            self.cells + (other.cells if isinstance(other, Sum) else 1),
            tuple(one + two for one, two in zip(self.logs, other.logs, strict=True)),
            self.treated + other.treated,
            self.control + other.control,
            self.treated_harmed + other.treated_harmed,
            self.control_harmed + other.control_harmed,
        )


def rows_of(
    streams: Sequence[str], cells: Sequence[str], epochs: Sequence[int], counts: Counts
) -> tuple[Row, ...]:
    """Make the rows of S closings.

    Args:
        streams: Stream of each, length S.
        cells: Cell of each, length S.
        epochs: Epoch of each, >= 0, length S.
        counts: The closings, S rows.

    Raises:
        ValueError: The lengths differ, or an epoch is negative.
    """
    if not len(streams) == len(cells) == len(epochs) == len(counts.treated):
        raise ValueError("a row has one stream, one cell, one epoch and one closing")
    if any(epoch < 0 for epoch in epochs):
        raise ValueError("epochs count from 0")
    return tuple(
        Row(stream, cell, epoch, tuple(logs), *at_risk)
        for stream, cell, epoch, logs, at_risk in zip(
            streams,
            cells,
            epochs,
            quantised(counts).tolist(),
            zip(
                counts.treated.tolist(),
                counts.control.tolist(),
                counts.treated_harmed.tolist(),
                counts.control_harmed.tolist(),
                strict=True,
            ),
            strict=True,
        )
    )


def quantised(counts: Counts) -> Ints:
    """Log factors of S closings in units of 2^-32 nats, rounded down, shape (S, COLUMNS).

    Exactly 0 where nothing is compared: without events or with an empty arm. One cell speaks
    with at most 2^21 nats for or against, more than 150 000 events have; the unit that is taken
    off pays for the e^(-2^21) by which a lower end could raise a mean.
    """
    factors = np.concatenate([harm.plain(counts), harm.linear(counts)], axis=1)
    compares = (counts.events > 0) & (counts.treated > 0) & (counts.control > 0)
    units = np.clip(np.floor(factors / UNIT) - 1.0, -_MOST_OF_A_CELL, _MOST_OF_A_CELL)
    return np.where(compares[:, None], units, 0.0).astype(np.int64)


def merged(*parts: Iterable[Row]) -> dict[Key, Row]:
    """Unite rows from anywhere; repeats are one row.

    Returns:
        The rows by (stream, cell), in that order.

    Raises:
        ValueError: Two different rows claim to be the same cell of the same stream.
    """
    found: dict[Key, Row] = {}
    for part in parts:
        for row in part:
            known = found.setdefault((row.stream, row.cell), row)
            if known != row:
                raise ValueError(f"two different rows for cell {row.cell} of {row.stream}")
    return dict(sorted(found.items()))


def summed(rows: Mapping[Key, Row]) -> dict[tuple[str, int], Sum]:
    """Add rows up by (stream, epoch), in that order."""
    sums: dict[tuple[str, int], Sum] = {}
    for row in rows.values():
        place = (row.stream, row.epoch)
        sums[place] = sums.get(place, Sum()) + row
    return dict(sorted(sums.items()))


def table(sums: Mapping[tuple[str, int], Sum], streams: Sequence[str], epochs: int) -> Ints:
    """Lay sums out for :func:`log_e`, shape (S, epochs, COLUMNS); what is missing is 0.

    Raises:
        ValueError: A sum lies beyond the last epoch, or holds more than 10^8 events.
    """
    if any(epoch >= epochs for _, epoch in sums):
        raise ValueError(f"evidence from after epoch {epochs - 1}")
    if any(abs(log) > _MOST // max(epochs, 1) for each in sums.values() for log in each.logs):
        raise ValueError("more evidence in one epoch than whole numbers can hold")
    laid = np.zeros((len(streams), epochs, COLUMNS), dtype=np.int64)
    place = {stream: number for number, stream in enumerate(streams)}
    for (stream, epoch), each in sums.items():
        if stream in place:
            laid[place[stream], epoch] = each.logs
    return laid


def log_e(logs: Ints, shares: ArrayLike) -> Floats:
    """Log of (E_plain + E_linear) / 2 of each stream, from sums.

    Args:
        logs: Sums by stream and epoch, units of 2^-32 nats, shape (S, epochs, COLUMNS).
        shares: Wealth that each epoch receives when it starts (v), shape (epochs,), >= 0 with
            a sum of at most 1; the rest is cash.

    Returns:
        Shape (S,). The same bits for the same sums; equal to
        :func:`firedoor.core.evidence.harm.log_e` up to 5e-10 nats a cell, and never above it.

    Raises:
        ValueError: The shares are not as described.
    """
    v = np.atleast_1d(np.asarray(shares, dtype=np.float64))
    cash = 1.0 - v.sum()
    if v.shape != logs.shape[1:2] or not (np.all(v >= 0.0) and cash > -len(v) * 1e-15):
        raise ValueError("one share for each epoch, none negative, in all at most 1")
    # Wealth placed in epoch k lives through epochs k, k+1, ...: exact sums from the end.
    later = np.cumsum(logs[:, ::-1], axis=1)[:, ::-1] * UNIT
    with np.errstate(divide="ignore"):
        placed, held = np.log(v), np.log(max(cash, 0.0))
    halves = []
    for factor in np.split(later, 2, axis=2):
        terms = (factor + LOG_PRIOR + placed[:, None]).reshape(len(logs), -1)
        with_cash = np.concatenate([np.full((len(logs), 1), held), terms], axis=1)
        halves.append(log_sum(with_cash, axis=1))
    both: Floats = np.logaddexp(*halves) - _LN_2
    return both
