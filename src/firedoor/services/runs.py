"""Runs: counts that a pipeline pushes while it rolls out, so that its tool may ask for a verdict.

A run is one release's counts in the order in which they came. What was asked (alpha, delta, the
signals, what the caller declares) is fixed by its first rows: a level chosen after the counts is
no level. What came once stays: an interval closes when it is sent, so the same row again changes
nothing, and another count for it is refused. An interval comes whole, with all its signals and
strata: if its strata could come one by one, those with harm might come first, and who looks in
between would stop at the worst of it. Hence a verdict of harmful is never taken back. Collectors
that cannot wait for each other each push a part of it (``services.parts``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from firedoor.core.errors import BadInput, TooLarge
from firedoor.formats.counts import Row, in_time
from firedoor.services import parts as of_parts
from firedoor.services.alone import Question, machines_of
from firedoor.services.parts import Parts

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
        question: What is asked of the counts; None as long as no interval has all its parts.
        rows: In the order in which they came, at least one.
        began_ms: When the first rows came, Unix milliseconds.
        fed_ms: When the last ones did.
        parts: Whose parts the rows are, None where they come whole.
    """

    name: str
    question: Question | None
    rows: tuple[Row, ...]
    began_ms: int
    fed_ms: int
    parts: Parts | None = None

    @property
    def release(self) -> str:
        """What the treated machines got."""
        return self.rows[0].release

    @property
    def weighed(self) -> Sequence[Row]:
        """The rows that may be judged, in the order in which they are."""
        return self.rows if self.parts is None else of_parts.weighed(self.rows, self.parts)


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


def begin_in_parts(name: str, rows: Sequence[Row], parts: Parts, part: str, now_ms: int) -> Run:
    """A run of the first rows of one of its parts.

    Raises:
        BadInput: As in :func:`begin`; or there is no such part, or no proof covers what is asked.
        TooLarge: There are too many.
    """
    parts.asked.of(0)  # What is refused of any fleet is refused now, not when all parts are there.
    ordered = tuple(replace(row, part=part) for row in in_time(rows))
    of_parts.check((), ordered, part, parts)
    _check(ordered)
    return _asking(Run(name, None, ordered, began_ms=now_ms, fed_ms=now_ms, parts=parts))


def feed(run: Run, rows: Sequence[Row], now_ms: int, part: str = "") -> Run:
    """The run with the rows that are new.

    Args:
        run: The run.
        rows: What came, in any order.
        now_ms: Now, Unix milliseconds.
        part: Whose counts they are, "" where intervals come whole.

    Raises:
        BadInput: A row is of another release, of a signal that the run did not begin with, or of
            an interval that has closed with other rows; or the part is none of the run's.
        TooLarge: The run is full.
    """
    own = [row for row in run.rows if row.part == part]
    known = {(row.time_ms, row.signal, row.stratum): row for row in own}
    closed = {row.time_ms for row in own}
    signals = {row.signal for row in run.rows}
    new: list[Row] = []
    for row in (replace(row, part=part) for row in in_time(rows)):
        before = known.get((row.time_ms, row.signal, row.stratum))
        if before == row:
            continue
        _check_late(row, before, signals, closed=row.time_ms in closed)
        new.append(row)
    if run.parts is not None:
        of_parts.check(run.rows, new, part, run.parts)
    after = replace(run, rows=(*run.rows, *new), fed_ms=max(run.fed_ms, now_ms))
    _check(after.rows)
    return _asking(after)


def _asking(run: Run) -> Run:
    """The run with its question, as soon as an interval shows of how many machines."""
    if run.parts is None or run.question is not None:
        return run
    rows, asked = run.weighed, run.parts.asked
    return replace(run, question=asked.of(machines_of(rows, sites=asked.sites))) if rows else run


def _check_late(row: Row, before: Row | None, signals: set[str], *, closed: bool) -> None:
    if before is not None and before.release == row.release:
        raise BadInput(
            f"{row.place}: this interval came before with other counts, and those stand",
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
