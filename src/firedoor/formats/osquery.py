"""osquery's remote API: what its ``tls`` plugins send, as values.

::

    enroll             {"enroll_secret", "host_identifier", "platform_type", "host_details"}
    config             {"node_key"}
    log                {"node_key", "log_type": "result" | "status", "data": [line, ..]}
    distributed/read   {"node_key"}
    distributed/write  {"node_key", "queries": {name: [row, ..]}, "statuses": {name: code}}

A result line has ``name``, ``hostIdentifier``, ``unixTime`` (a number or digits), and one of
``columns`` with ``action`` (added, removed; snapshot where osquery logs snapshots as events),
``snapshot`` (a list of rows) and ``diffResults`` (lists of rows, added and removed). Values are
text; numbers where ``logger_numerics`` is on.

A request is decoded line by line: osquery sends the same lines again until they are taken, so one
that makes no sense must not keep the others back for ever.

Source: osquery's own sources (plugins/remote/enroll, plugins/logger/tls_logger.cpp,
osquery/core/query.cpp, osquery/distributed); clients.md 8.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec

from firedoor.core.errors import BadInput, TooLarge

MAX_COST: Final = 48 * 1024 * 1024
"""Bytes that a decoded body may take: what 8 MiB of packages do. Rubbish takes thirty times its
own size, which short lines of a few machines could make gigabytes of."""

_OBJECT_COST: Final = 256
_MEMBER_COST: Final = 64

MAX_COLUMNS: Final = 256
MAX_ROWS: Final = 20_000
"""Rows of one result: what takes no longer than others can wait."""

_LAST_S: Final = 253_402_300_799
_SHOWN: Final = 200

_Scalar = str | int | float | bool | None
_Columns = dict[str, _Scalar]
_Text = str | int


class Enrolling(msgspec.Struct, frozen=True):
    """A request to ``enroll``.

    Attributes:
        enroll_secret: What the machine was given.
        host_identifier: What osquery calls it.
    """

    enroll_secret: str = ""
    host_identifier: str = ""


class Asking(msgspec.Struct, frozen=True):
    """A request to ``config`` or ``distributed/read``.

    Attributes:
        node_key: What ``enroll`` answered.
    """

    node_key: str = ""


class Logging(msgspec.Struct, frozen=True):
    """A request to ``log``.

    Attributes:
        node_key: What ``enroll`` answered.
        log_type: ``result``, or ``status``: what osquery says of itself.
        data: Lines as they were sent.
    """

    node_key: str = ""
    log_type: str = ""
    data: list[msgspec.Raw] = []


class Writing(msgspec.Struct, frozen=True):
    """A request to ``distributed/write``.

    Attributes:
        node_key: What ``enroll`` answered.
        queries: Rows by query.
        statuses: 0 for each query that was done.
    """

    node_key: str = ""
    queries: dict[str, list[_Columns]] = {}
    statuses: dict[str, _Text] = {}


class _Changes(msgspec.Struct, frozen=True):
    added: list[_Columns] = []
    removed: list[_Columns] = []


class _Line(msgspec.Struct, frozen=True, rename="camel"):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    unix_time: _Text
    host_identifier: str = ""
    action: str = ""
    columns: _Columns | None = None
    snapshot: list[_Columns] | None = None
    diff_results: _Changes | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What one line tells.

    Attributes:
        query: Name of the query.
        host: What osquery calls the machine.
        time_ms: When the query ran, by the machine's clock, Unix ms.
        rows: What is so now, or has come to be: columns as text.
        whole: Whether ``rows`` is everything there is, a snapshot, and not what has changed.
    """

    query: str
    host: str
    time_ms: int
    rows: Sequence[Mapping[str, str]]
    whole: bool


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not taken.

    Attributes:
        line: Its number in the request, from 1.
        error: Why.
    """

    line: int
    error: str


_Request = TypeVar("_Request", Enrolling, Asking, Logging, Writing)


def cost(body: bytes) -> int:
    """About how many bytes a body takes once it is decoded; counted, before anything is.

    Raises:
        TooLarge: More than any osquery sends.
    """
    found = _OBJECT_COST * body.count(b"{") + _MEMBER_COST * body.count(b",")
    if found > MAX_COST:
        raise TooLarge("more objects than a body may hold", hint="lower logger_tls_max_lines")
    return found


def request(body: bytes, kind: type[_Request]) -> _Request:
    """Decode a request's body; ``cost`` says before what that takes.

    Raises:
        BadInput: It is not what osquery sends.
    """
    try:
        found = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"no request of osquery's: {str(error)[:_SHOWN]}") from None
    except RecursionError:
        raise BadInput("no request of osquery's: nested too deeply") from None
    return found


def results(data: Sequence[msgspec.Raw]) -> Iterator[Result | BadLine]:
    """Decode the lines of a log of results, one by one.

    What a line says was removed is left out: no row of ours means anything by its going.
    """
    for at, raw in enumerate(data, 1):
        try:
            yield _result(_decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, BadInput) as error:
            yield BadLine(at, str(error)[:_SHOWN])
        except RecursionError:
            yield BadLine(at, "nested too deeply")


def written(sent: Writing, time_ms: int) -> Iterator[Result]:
    """What a machine answers to what it was asked; of no host, as an answer names none.

    Args:
        sent: Its answer.
        time_ms: Now: an answer says no time.

    Raises:
        BadInput: A result has too many rows or columns.
    """
    for name, rows in sent.queries.items():
        if str(sent.statuses.get(name, 0)) == "0":
            yield Result(name, "", time_ms, _rows(rows), whole=True)


def moment_ms(columns: Mapping[str, str]) -> int | None:
    """When a row says that it happened, Unix ms; None where it has no such column.

    ``datetime`` of the tables of events: RFC 3339, or ``2024-07-19 04:09:00 UTC``.
    """
    said = columns.get("datetime", "")
    if not said:
        return None
    try:
        found = datetime.fromisoformat(said.removesuffix(" UTC"))
    except ValueError:
        return None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return max(int(aware.timestamp() * 1000), 0)


def row_key(query: str, time_ms: int, columns: Mapping[str, str]) -> str:
    """A key that is the same whenever the row is sent again, and of no other row."""
    # As JSON, where no value can pass for the end of another.
    text = _JSON.encode([query, time_ms, sorted(columns.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_JSON: Final = json.JSONEncoder(separators=(",", ":"))
_decode: Final = msgspec.json.Decoder(_Line).decode


def _result(line: _Line) -> Result:
    rows: list[_Columns] = []
    whole = False
    if line.snapshot is not None:
        rows, whole = line.snapshot, True
    elif line.diff_results is not None:
        rows = line.diff_results.added
    elif line.columns is not None and line.action in ("added", "snapshot"):
        rows = [line.columns]
    elif line.action != "removed":
        raise BadInput("a result has columns and an action, a snapshot, or diffResults")
    time_ms = _seconds(line.unix_time) * 1000
    return Result(line.name, line.host_identifier, time_ms, _rows(rows), whole)


def _seconds(said: _Text) -> int:
    if isinstance(said, str):
        if not (said.isascii() and said.isdigit()) or len(said) > len(str(_LAST_S)):
            raise BadInput("unixTime is no number of seconds")
        said = int(said)
    if not 0 <= said <= _LAST_S:
        raise BadInput("unixTime is no number of seconds")
    return said


def _rows(rows: Sequence[_Columns]) -> Sequence[Mapping[str, str]]:
    if len(rows) > MAX_ROWS:
        raise BadInput(f"a result with more than {MAX_ROWS:,} rows")
    return [_texts(row) for row in rows]


def _texts(row: _Columns) -> Mapping[str, str]:
    if len(row) > MAX_COLUMNS:
        raise BadInput(f"a row with more than {MAX_COLUMNS} columns")
    return {name: _text(value) for name, value in row.items() if value is not None}


def _text(value: _Scalar) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return value if isinstance(value, str) else str(value)
