"""Counts from a CSV file to cells: how anybody's intervals become evidence.

Columns: ``time, release, signal, stratum, treated, control, treated_harmed, control_harmed`` and,
if known, ``installed``. A row is one interval of one signal in one stratum: machines at risk at
its begin, and those of them that came to a first harm within it.

Harm: every row is one closing. Clearance asks for one outcome per machine, so the rows of one
interval and stratum are taken together, on the careful side: the treated are harmed by every
signal (the sum), the control by the one that shows most (the maximum). Its bound is therefore per
machine *and interval*: intervals as long as a machine is followed make it a bound per machine.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from firedoor.core.cell import Cell, Test
from firedoor.core.errors import BadInput
from firedoor.core.signal import ANY

COLUMNS: Final = (
    "time",
    "release",
    "signal",
    "stratum",
    "treated",
    "control",
    "treated_harmed",
    "control_harmed",
)

_INSTALLED: Final = "installed"
_COUNT: Final = re.compile(r"[0-9]{1,12}")
_HOUR_MS: Final = 3_600_000
_DAY_HOURS: Final = 24
_MOST_TOLD: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One interval of one signal in one stratum.

    Attributes:
        time_ms: Begin of the interval, Unix milliseconds.
        release: What the treated machines got.
        signal: Kind of harm.
        stratum: Like machines, "" where they are not told apart.
        treated: Treated machines at risk, count >= 0.
        control: Control machines at risk, count >= 0.
        treated_harmed: Of the treated, those with a first harm, <= treated.
        control_harmed: Of the control, likewise, <= control.
        installed: Of the treated, those that have the release, <= treated.
    """

    time_ms: int
    release: str
    signal: str
    stratum: str
    treated: int
    control: int
    treated_harmed: int
    control_harmed: int
    installed: int


def read_rows(lines: Iterable[str]) -> list[Row]:
    """Read counts.

    Args:
        lines: A CSV file with a line of headings, in any order.

    Raises:
        BadInput: A column is missing or unknown, or rows make no sense; each is named by its
            line, the first ten of them.
    """
    reader = csv.DictReader(lines, restkey="", strict=True)
    problems: list[str] = []
    rows: list[Row] = []
    try:
        _check_headings(reader.fieldnames or ())
        for fields in reader:
            try:
                rows.append(_row(fields))
            except ValueError as error:
                problems.append(f"line {reader.line_num}: {error}")
    except csv.Error as error:
        # The outer reader counts a row when it has all of it.
        problems.append(f"line {reader.reader.line_num}: {error}")
    if problems:
        shown = problems[:_MOST_TOLD]
        more = len(problems) - len(shown)
        raise BadInput(
            "\n".join([*shown, *([f"and {more} more"] if more else [])]),
            hint="times are RFC 3339 or Unix milliseconds, counts are whole numbers",
        )
    if not rows:
        raise BadInput("there are no counts: no row follows the headings")
    return rows


def by_release(rows: Iterable[Row]) -> Mapping[str, Sequence[Row]]:
    """Rows of each release in the order of time; releases in the order they are first named."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.release, []).append(row)
    return {release: sorted(own, key=lambda row: row.time_ms) for release, own in found.items()}


def cells(rows: Sequence[Row]) -> Iterator[Cell]:
    """The cells of one release.

    Args:
        rows: Its rows in the order of time, at least one.
    """
    begin, seq = rows[0].time_ms, 0
    for deck, (time_ms, interval) in enumerate(groupby(rows, key=lambda row: row.time_ms), 1):
        together = list(interval)
        epoch = _epoch(time_ms - begin)
        for row in together:
            seq += 1
            yield _harm(row, seq, deck, epoch)
        for stratum in dict.fromkeys(row.stratum for row in together):
            seq += 1
            yield _clearance([r for r in together if r.stratum == stratum], seq, deck, epoch)


def fleet(rows: Iterable[Row]) -> int:
    """Machines of the largest interval: what the file shows of the fleet's size, count >= 0."""
    sizes: dict[int, dict[str, int]] = {}
    for row in rows:
        strata = sizes.setdefault(row.time_ms, {})
        strata[row.stratum] = max(strata.get(row.stratum, 0), row.treated + row.control)
    return max(sum(strata.values()) for strata in sizes.values())


def _check_headings(names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    unknown = [name for name in names if name not in (*COLUMNS, _INSTALLED)]
    if missing or unknown:
        wrong = f"column {missing[0]} is missing" if missing else f"unknown column {unknown[0]!r}"
        raise BadInput(f"line 1: {wrong}", hint=f"columns: {','.join(COLUMNS)}[,{_INSTALLED}]")
    if len(set(names)) < len(names):
        raise BadInput("line 1: a column stands twice")


def _row(fields: Mapping[str, str | list[str] | None]) -> Row:
    # With as many fields as headings every value is a text.
    values = {name: value for name, value in fields.items() if isinstance(value, str)}
    if len(values) < len(fields):
        raise ValueError("it has more or fewer fields than there are headings")
    for name in ("release", "signal"):
        if not values[name].strip():
            raise ValueError(f"{name} is empty")
    treated, control = _count(values, "treated"), _count(values, "control")
    row = Row(
        time_ms=_time(values["time"]),
        release=values["release"].strip(),
        signal=values["signal"].strip(),
        stratum=values["stratum"].strip(),
        treated=treated,
        control=control,
        treated_harmed=_count(values, "treated_harmed"),
        control_harmed=_count(values, "control_harmed"),
        installed=_count(values, _INSTALLED) if _INSTALLED in values else treated,
    )
    for name, part, whole in (
        ("treated_harmed", row.treated_harmed, treated),
        ("control_harmed", row.control_harmed, control),
        (_INSTALLED, row.installed, treated),
    ):
        if part > whole:
            raise ValueError(f"{name} is {part}, of {whole} machines")
    return row


def _count(values: Mapping[str, str], name: str) -> int:
    text = values[name].strip()
    if _COUNT.fullmatch(text) is None:
        raise ValueError(f"{name} is {text[:20]!r}, which is no count")
    return int(text)


def _time(text: str) -> int:
    text = text.strip()
    if _COUNT.fullmatch(text) or (text.isascii() and text.isdigit()):
        return int(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"time {text[:40]!r} is neither RFC 3339 nor Unix milliseconds") from None
    if when.tzinfo is None:
        raise ValueError(f"time {text[:40]!r} has no zone; write Z for UTC")
    return round(when.timestamp() * 1000)


def _epoch(since_ms: int) -> int:
    """Epoch of the start-time mixture: hours on the first day, then days, as in the gate."""
    hours = since_ms // _HOUR_MS
    return hours if hours < _DAY_HOURS else _DAY_HOURS - 1 + hours // _DAY_HOURS


def _harm(row: Row, seq: int, deck: int, epoch: int) -> Cell:
    return Cell(
        seq=seq,
        ring="",
        deck=deck,
        epoch=epoch,
        test=Test.HARM,
        signal=row.signal,
        stratum=row.stratum,
        treated=row.treated,
        control=row.control,
        treated_harmed=row.treated_harmed,
        control_harmed=row.control_harmed,
    )


def _clearance(rows: Sequence[Row], seq: int, deck: int, epoch: int) -> Cell:
    treated = max(row.treated for row in rows)
    return Cell(
        seq=seq,
        ring="",
        deck=deck,
        epoch=epoch,
        test=Test.CLEARANCE,
        signal=ANY,
        stratum=rows[0].stratum,
        treated=treated,
        control=max(row.control for row in rows),
        treated_harmed=min(treated, sum(row.treated_harmed for row in rows)),
        control_harmed=max(row.control_harmed for row in rows),
        installed=min(row.installed for row in rows),
    )
