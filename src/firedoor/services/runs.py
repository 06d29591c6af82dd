"""Runs: counts that a pipeline pushes while it rolls out, so that its tool may ask for a verdict.

A run is one release's counts in the order in which they came. What was asked (alpha, delta, the
signals, what the caller declares) is fixed by its first rows: a level chosen after the counts is
no level. What came once stays: an interval closes when it is sent, so the same row again changes
nothing, and another count for it is refused. An interval comes whole, with all its signals and
strata: if its strata could come one by one, those with harm might come first, and who looks in
between would stop at the worst of it. Hence a verdict of harmful is never taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from firedoor.core.errors import BadInput, TooLarge
from firedoor.formats.counts import Row, in_time
from firedoor.services.alone import Question

MOST_RUNS: Final = 100
"""Runs that are kept; the one left alone for longest makes room."""

MOST_ROWS: Final = 10_000
"""Rows of one run: a week of minutes, or a year of hours in one stratum."""

KEEP_MS: Final = 30 * 24 * 3_600_000
"""How long a run is kept after its last rows came."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        name: As the pipeline calls it.
        question: What is asked of the counts.
        rows: In the order in which they came, at least one.
        began_ms: When the first rows came, Unix milliseconds.
        fed_ms: When the last ones did.
    """

    name: str
    question: Question
    rows: tuple[Row, ...]
    began_ms: int
    fed_ms: int

    @property
    def release(self) -> str:
        """What the treated machines got."""
        return self.rows[0].release


class Runs(Protocol):
    """Where runs are kept, a bounded number for a bounded time."""

    def load(self, name: str) -> Run | None:
        """The run, or None if there is none or it is too old. Raises Unavailable."""
        ...

    def save(self, run: Run, known: int) -> None:
        """Keep a run, durably; forget what is too old or too much. Raises Unavailable.

        Args:
            run: The run.
            known: How many of its rows are kept already: those after them are added.
        """
        ...


def begin(name: str, rows: Sequence[Row], asked: Question, now_ms: int) -> Run:
    """A run of its first rows.

    Raises:
        BadInput: They are of several releases, or contradict each other.
        TooLarge: There are too many.
    """
    ordered = tuple(in_time(rows))
    _check(ordered)
    return Run(name=name, question=asked, rows=ordered, began_ms=now_ms, fed_ms=now_ms)


def feed(run: Run, rows: Sequence[Row], now_ms: int) -> Run:
    """The run with the rows that are new.

    Raises:
        BadInput: A row is of another release, of a signal that the run did not begin with, or of
            an interval that has closed with other rows.
        TooLarge: The run is full.
    """
    known = {(row.time_ms, row.signal, row.stratum): row for row in run.rows}
    closed = {row.time_ms for row in run.rows}
    signals = {row.signal for row in run.rows}
    new: list[Row] = []
    for row in in_time(rows):
        before = known.get((row.time_ms, row.signal, row.stratum))
        if before == row:
            continue
        _check_late(row, before, signals, closed=row.time_ms in closed)
        new.append(row)
    after = replace(run, rows=(*run.rows, *new), fed_ms=max(run.fed_ms, now_ms))
    _check(after.rows)
    return after


def _check_late(row: Row, before: Row | None, signals: set[str], *, closed: bool) -> None:
    if before is not None and before.release == row.release:
        raise BadInput(
            f"{row.place}: this interval came before with other counts, and they were judged",
            hint="send an interval when nothing of it can change any more",
        )
    if row.signal not in signals:
        raise BadInput(
            f"{row.place}: the run began without the signal {row.signal!r}",
            hint="begin with every signal; counts may be 0",
        )
    if closed and before is None:
        raise BadInput(
            f"{row.place}: the interval has closed without this signal and stratum",
            hint="send all signals and strata of an interval together",
        )


def _check(rows: Sequence[Row]) -> None:
    release = rows[0].release
    stranger = next((row for row in rows if row.release != release), None)
    if stranger is not None:
        raise BadInput(
            f"{stranger.place}: the run is about {release!r}, not {stranger.release!r}",
            hint="a run of its own for every release",
        )
    if len(rows) > MOST_ROWS:
        raise TooLarge(
            f"a run may have {MOST_ROWS:,} rows", hint="sum over longer intervals or fewer strata"
        )
