"""Counts of anybody's intervals, from CSV, JSON or a table: how they become rows, and rows cells.

Columns: ``time, release, signal, stratum, treated, control, treated_harmed, control_harmed`` and,
if known, ``installed``. A row is one interval of one signal in one stratum: machines at risk at
its begin, and those of them that came to a first harm within it.

Harm: every row is one closing. Clearance asks for one outcome per machine, so the rows of one
interval and stratum are taken together, on the careful side: the treated are harmed by every
signal (the sum), the control by the one that shows most (the maximum). Its bound is therefore per
machine *and interval*; ``services.alone`` makes it one per machine, where it is said for how many
intervals a machine is followed.

Strata are disjoint, and the same for every signal: a machine that stands in two strata of one
interval would be two, and clearance would see half of its harm. A total beside parts, of the same
signal or of another, is the one such mistake that rows show, and it is refused.

A row that comes twice is counted once; two rows that say different things of one interval, signal
and stratum are a mistake that only their author can repair. Rows are the state: exports of several
collectors are united as sets, put in one order (time, stratum, signal) and folded from the first,
so any sharding, order and repetition gives the same numbers.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Final

from firedoor.core.cell import Cell, Test
from firedoor.core.errors import BadInput, TooLarge
from firedoor.core.evidence.mixture import epoch_of
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
INSTALLED: Final = "installed"

MOST_ROWS: Final = 1_000_000
"""Rows that are read; more would want sums over longer intervals, not more memory."""

MOST_SIGNALS: Final = 64
"""Signals of one release: each takes an equal share of the wealth, and none could have less."""

_MOST_MS: Final = 253_402_300_800_000  # the end of the year 9999
_MOST_MACHINES: Final = 10**12
_LONGEST_NAME: Final = 200
_COUNT: Final = re.compile(r"[0-9]{1,12}")
_DIGITS: Final = re.compile(r"[0-9]{1,15}")
_MINUTE_MS: Final = 60_000
_MOST_TOLD: Final = 10
_HINT: Final = "times are RFC 3339 or Unix milliseconds, counts are whole numbers"


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
        place: Where it was read, for complaints: ``line 7``.
        part: Which collector counted, "" where one counts all.
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
    place: str = field(default="", compare=False)
    part: str = ""


def read_rows(lines: Iterable[str]) -> list[Row]:
    """Read counts.

    Args:
        lines: A CSV file with a line of headings, in any order.

    Raises:
        BadInput: A column is missing or unknown, or rows make no sense; each is named by its
            line, the first ten of them.
        TooLarge: There are more than ``MOST_ROWS`` rows.
    """
    reader = csv.DictReader(lines, restkey="", strict=True)
    problems: list[str] = []
    rows: list[Row] = []
    try:
        _check_headings(reader.fieldnames or (), "line 1: ")
        for fields in reader:
            try:
                rows.append(_row(_whole_line(fields), f"line {reader.line_num}"))
            except ValueError as error:
                problems.append(f"line {reader.line_num}: {error}")
            _check_number(len(rows) + len(problems))
    except csv.Error as error:
        # The outer reader counts a row when it has all of it.
        problems.append(f"line {reader.reader.line_num}: {error}")
    return _found(rows, problems)


def read_records(names: Sequence[str], records: Iterable[Sequence[object]]) -> list[Row]:
    """Read counts from a table whose values have types of their own.

    Args:
        names: Its columns, in any order.
        records: Its rows; a time is a text, whole milliseconds or a datetime with a zone.

    Raises:
        BadInput: As in :func:`read_rows`; rows are named by their number, from 1.
        TooLarge: There are more than ``MOST_ROWS`` rows.
    """
    _check_headings(names, "")
    fields = (dict(zip(names, record, strict=True)) for record in records)
    return _numbered(fields)


def read_objects(objects: Iterable[Mapping[str, object]]) -> list[Row]:
    """Read counts from objects with the columns as keys; errors as in :func:`read_records`."""
    return _numbered(objects)


def united(parts: Iterable[Sequence[Row]]) -> list[Row]:
    """Rows of several exports in one list, where a row says which it came from.

    Exports may overlap, come in any order, and be given twice: :func:`by_release` puts the rows
    in the same order and keeps each once.

    Raises:
        TooLarge: There are more than ``MOST_ROWS`` rows.
    """
    rows: list[Row] = []
    for part in parts:
        rows += part
        _check_number(len(rows))
    return rows


def by_release(rows: Iterable[Row]) -> Mapping[str, Sequence[Row]]:
    """Rows of each release in the order of time; releases in the order in which they began.

    The same rows give the same order, however they were divided over exports and however often
    each came; so they give the same verdict, to the last bit.

    Raises:
        BadInput: Two rows say different things of the same, or there are too many signals.
    """
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.release, []).append(row)
    ordered = {release: in_time(own) for release, own in found.items()}
    return dict(sorted(ordered.items(), key=lambda item: (item[1][0].time_ms, item[0])))


def in_time(rows: Iterable[Row], *, mixed: bool = False) -> list[Row]:
    """Rows of one release by time, stratum and signal, each once; raises as :func:`by_release`.

    With ``mixed`` one signal may be a total where another has parts; who asks for that clears
    nothing.
    """
    ordered = sorted(rows, key=lambda row: (row.time_ms, row.stratum, row.signal))
    kept: list[Row] = []
    for _, interval in groupby(ordered, key=lambda row: row.time_ms):
        seen: dict[tuple[str, str], Row] = {}
        wholes: dict[str, Row] = {}
        for row in interval:
            # In this order the row without a stratum stands before the named ones.
            about = row.signal if mixed else ""
            whole = wholes.get(about)
            if not row.stratum:
                wholes.setdefault(about, row)
            elif whole is not None:
                raise BadInput(
                    f"{row.place}: {whole.place} has no stratum at the same time, so it counts "
                    "these machines, too",
                    hint="leave the total out, and give every signal the same strata; strata may "
                    "not share machines",
                )
            first = seen.setdefault((row.signal, row.stratum), row)
            if first is row:
                kept.append(row)
            elif first != row:
                raise BadInput(
                    f"{row.place}: {first.place} gives other counts of the same time, signal "
                    "and stratum"
                )
    signals = {row.signal for row in kept}
    if len(signals) > MOST_SIGNALS:
        raise BadInput(f"a release has {len(signals)} signals; {MOST_SIGNALS} are judged together")
    return kept


def first_interval(rows: Sequence[Row]) -> list[Row]:
    """The rows that fix what is asked: later ones must not move a line somebody looked at."""
    begin = min(row.time_ms for row in rows)
    return [row for row in rows if row.time_ms == begin]


def cells(rows: Sequence[Row]) -> Iterator[Cell]:
    """The cells of one release; those of one interval have the same ``deck``.

    Args:
        rows: Its rows in the order in which they became known, at least one. Rows of one
            interval and stratum stand together.
    """
    begin, seq, epoch = rows[0].time_ms, 0, 0
    for deck, (time_ms, interval) in enumerate(groupby(rows, key=lambda row: row.time_ms), 1):
        together = list(interval)
        # A stratum that reports late is evidence of now; epochs never fall.
        epoch = max(epoch, _epoch(max(0, time_ms - begin)))
        for row in together:
            seq += 1
            yield _harm(row, seq, deck, epoch)
        strata: dict[str, list[Row]] = {}
        for row in together:
            strata.setdefault(row.stratum, []).append(row)
        for own in strata.values():
            seq += 1
            yield _clearance(own, seq, deck, epoch)


def written(time_ms: int) -> str:
    """The begin of an interval for a person, in UTC."""
    when = datetime.fromtimestamp(time_ms / 1000, UTC)
    precision = "milliseconds" if time_ms % 1000 else "seconds"
    return when.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def fleet(rows: Iterable[Row]) -> int:
    """Machines of the largest interval: what the file shows of the fleet's size, count >= 0."""
    sizes: dict[int, dict[str, int]] = {}
    for row in rows:
        strata = sizes.setdefault(row.time_ms, {})
        strata[row.stratum] = max(strata.get(row.stratum, 0), row.treated + row.control)
    return max(sum(strata.values()) for strata in sizes.values())


def _numbered(records: Iterable[Mapping[str, object]]) -> list[Row]:
    rows: list[Row] = []
    problems: list[str] = []
    for number, fields in enumerate(records, 1):
        try:
            _check_keys(fields)
            rows.append(_row(fields, f"row {number}"))
        except ValueError as error:
            problems.append(f"row {number}: {error}")
        _check_number(number)
    return _found(rows, problems)


def _found(rows: list[Row], problems: Sequence[str]) -> list[Row]:
    if problems:
        shown = problems[:_MOST_TOLD]
        more = len(problems) - len(shown)
        raise BadInput("\n".join([*shown, *([f"and {more} more"] if more else [])]), hint=_HINT)
    if not rows:
        raise BadInput("there are no counts: no row follows the headings")
    return rows


def _check_number(rows: int) -> None:
    if rows > MOST_ROWS:
        raise TooLarge(
            f"there are more than {MOST_ROWS:,} rows",
            hint="sum over longer intervals: a row may cover an hour as well as a minute",
        )


def _check_headings(names: Sequence[str], place: str) -> None:
    missing = [name for name in COLUMNS if name not in names]
    unknown = [name for name in names if name not in (*COLUMNS, INSTALLED)]
    if missing or unknown:
        wrong = f"column {missing[0]} is missing" if missing else f"unknown column {unknown[0]!r}"
        raise BadInput(f"{place}{wrong}", hint=f"columns: {','.join(COLUMNS)}[,{INSTALLED}]")
    if len(set(names)) < len(names):
        raise BadInput(f"{place}a column stands twice")


def _check_keys(fields: Mapping[str, object]) -> None:
    for name in COLUMNS:
        # Who does not tell machines apart need not say so in every row.
        if name not in fields and name != "stratum":
            raise ValueError(f"{name} is missing")
    for name in fields:
        if name not in COLUMNS and name != INSTALLED:
            raise ValueError(f"unknown column {name[:40]!r}")


def _whole_line(fields: Mapping[str, str | list[str] | None]) -> Mapping[str, object]:
    # With as many fields as headings every value is a text.
    if not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("it has more or fewer fields than there are headings")
    return fields


def _row(fields: Mapping[str, object], place: str) -> Row:
    for name in ("release", "signal"):
        if not _text(fields, name):
            raise ValueError(f"{name} is empty")
    treated, control = _count(fields, "treated"), _count(fields, "control")
    known = fields.get(INSTALLED) is not None
    row = Row(
        time_ms=_time(fields["time"]),
        release=_text(fields, "release"),
        signal=_text(fields, "signal"),
        stratum=_text(fields, "stratum"),
        treated=treated,
        control=control,
        treated_harmed=_count(fields, "treated_harmed"),
        control_harmed=_count(fields, "control_harmed"),
        installed=_count(fields, INSTALLED) if known else treated,
        place=place,
    )
    for name, part, whole in (
        ("treated_harmed", row.treated_harmed, treated),
        ("control_harmed", row.control_harmed, control),
        (INSTALLED, row.installed, treated),
    ):
        if part > whole:
            raise ValueError(f"{name} is {part}, of {whole} machines")
    return row


def _text(fields: Mapping[str, object], name: str) -> str:
    match fields.get(name):
        case None:
            return ""
        case str() as text if len(text) <= _LONGEST_NAME:
            return text.strip()
        case str():
            raise ValueError(f"{name} has more than {_LONGEST_NAME} characters")
        case int() as number if abs(number) < _MOST_MACHINES:
            return str(number)
        case other:
            raise ValueError(f"{name} is {_shown(other)}, which is no text")


def _count(fields: Mapping[str, object], name: str) -> int:
    match fields[name]:
        case str() as text if _COUNT.fullmatch(text.strip()):
            return int(text)
        case str() as text:
            raise ValueError(f"{name} is {text.strip()[:20]!r}, which is no count")
        case bool() | None:
            pass
        # A table that once had gaps keeps its whole numbers as floating ones.
        case int() | float() | Decimal() as number if 0 <= number < _MOST_MACHINES:
            if number == int(number):
                return int(number)
        case _:
            pass
    raise ValueError(f"{name} is {_shown(fields[name])}, which is no count")


def _time(value: object) -> int:
    match value:
        case bool():
            pass
        case int() as ms:
            return _in_range(ms)
        case datetime() as when if when.tzinfo is not None:
            return _in_range(round(when.timestamp() * 1000))
        case datetime() as when:
            raise ValueError(f"time {when.isoformat()!r} has no zone; store it as UTC")
        case str() as text:
            return _in_range(_written_time(text.strip()))
        case _:
            pass
    raise ValueError(f"time {_shown(value)} is neither RFC 3339 nor Unix milliseconds")


def _written_time(text: str) -> int:
    if _DIGITS.fullmatch(text):
        return int(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"time {text[:40]!r} is neither RFC 3339 nor Unix milliseconds") from None
    if when.tzinfo is None:
        raise ValueError(f"time {text[:40]!r} has no zone; write Z for UTC")
    return round(when.timestamp() * 1000)


def _in_range(ms: int) -> int:
    if not 0 <= ms < _MOST_MS:
        raise ValueError(f"time {ms} does not lie between the years 1970 and 9999")
    return ms


def _shown(value: object) -> str:
    return "missing" if value is None else str(value)[:20]


def _epoch(since_ms: int) -> int:
    """Epoch of the start-time mixture: as in a gate whose buckets are a minute."""
    return epoch_of(since_ms // _MINUTE_MS)


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
