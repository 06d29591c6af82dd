"""What signal definitions make of a captured log: read as the intake reads it, kept nowhere."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from firedoor.core.boots import Boots, JournalState
from firedoor.core.definition import Definition, Definitions, LogSource, first_fit
from firedoor.core.errors import BadInput
from firedoor.core.signal import SignalKind, stream_of
from firedoor.core.units import MachineNo
from firedoor.formats import ndjson, osquery, otlp, otlp_json
from firedoor.formats.journal import Scanner
from firedoor.intake.journals import Told
from firedoor.intake.otlp import NAMES

_PIECE: Final = 256 * 1024
_GZIP: Final = b"\x1f\x8b"
_NS_IN_MS: Final = 1_000_000
_LARGEST: Final = 256 * 1024 * 1024


class Form(StrEnum):
    """What a file holds."""

    JOURNAL = "journal"
    OTLP = "otlp"
    OSQUERY = "osquery"
    NDJSON = "ndjson"


@dataclass(frozen=True, slots=True)
class Found:
    """A signal in a file.

    Attributes:
        machine: What the file calls the machine, as far as it says.
        time_ms: When it happened, Unix ms; None: it does not say.
        signal: Name of its definition; of NDJSON and of boots, the kind.
        kind: What happened.
        stream: The stream it counts in; empty: it is a sign of life and no harm.
        detail: What would be stored of it.
    """

    machine: str
    time_ms: int | None
    signal: str
    kind: SignalKind
    stream: str
    detail: Mapping[str, str]


@dataclass(slots=True)
class Capture:
    """A file, read.

    Attributes:
        form: What it holds.
        records: How many records it has, as far as they are counted (a journal's are not).
        found: Signals, in the order of the file.
        wrong: What could not be read, and why.
    """

    form: Form
    records: int | None = None
    found: list[Found] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def read(file: Path, form: Form | None, definitions: Definitions) -> Capture:
    """Read a captured log.

    Args:
        file: As a client would send it: a journal (``journalctl -o export``), the body of an OTLP
            request (protobuf or JSON), of a request to osquery's ``log`` or lines of its results,
            or lines of signals. Packed with gzip, if it begins so.
        form: What it holds; None: as its beginning looks.
        definitions: The table in force.

    Raises:
        BadInput: It cannot be read, or does not look like any of these.
    """
    try:
        if file.stat().st_size > _LARGEST and form is not Form.JOURNAL:
            raise BadInput(f"{file} is larger than a request may be", hint="take a part of it")
        with file.open("rb") as opened:
            packed = opened.read(2) == _GZIP
        begin = _begin(file, packed=packed)
        known = form or _form_of(begin)
        if known is Form.JOURNAL:
            return _journal(_pieces(file, packed=packed), definitions)
        return _READ[known](b"".join(_pieces(file, packed=packed)), definitions)
    except (OSError, EOFError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from None


def _begin(file: Path, *, packed: bool) -> bytes:
    return next(_pieces(file, packed=packed), b"")


def _pieces(file: Path, *, packed: bool) -> Iterator[bytes]:
    with gzip.open(file) if packed else file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece


def _form_of(begin: bytes) -> Form:
    """Guess by what stands at the beginning."""
    first = begin.lstrip()[:1]
    if begin.startswith((b"__CURSOR=", b"__REALTIME_TIMESTAMP=")):
        return Form.JOURNAL
    if first in {b"{", b"["}:
        if b'"resourceLogs"' in begin or b'"resource_logs"' in begin:
            return Form.OTLP
        osquerys = (b'"hostIdentifier"', b'"host_identifier"', b'"log_type"')
        return Form.OSQUERY if any(word in begin for word in osquerys) else Form.NDJSON
    if begin[:1] == b"\n":  # field 1 of a protobuf message
        return Form.OTLP
    raise BadInput(
        "it does not look like a journal, OTLP, osquery or NDJSON",
        hint="--format says what it is; a journal comes from journalctl -o export",
    )


def _of(row: Definition, machine: str, time_ms: int | None, fields: Mapping[str, str]) -> Found:
    kept = row.kept(fields)
    del kept["signal"]
    return Found(machine, time_ms, row.name, row.kind, stream_of(row.kind) or "", kept)


def _journal(pieces: Iterable[bytes], definitions: Definitions) -> Capture:
    rows = definitions.of(LogSource.JOURNAL)
    new = JournalState(0)
    scanner, told = Scanner(rows), Told(MachineNo(0), new, Boots(new))
    for piece in pieces:
        for entry in scanner.feed(piece):
            told.note(entry)
    for entry in scanner.end():
        told.note(entry)
    told.judge(at_end=True)
    capture = Capture(Form.JOURNAL)
    for said in told.found:
        kind, detail = SignalKind(said.kind), json.loads(said.detail)
        name = detail.pop("signal")
        found = Found("", said.realtime_ms, name, kind, stream_of(kind) or "", detail)
        capture.found.append(found)
    if scanner.passed_over:
        capture.wrong.append(f"{scanner.passed_over} entries are too long: passed over")
    return capture


def _otlp(body: bytes, definitions: Definitions) -> Capture:
    wanted = otlp.Wanted.of(definitions, NAMES)
    as_json = body.lstrip()[:1] == b"{"
    if as_json:
        otlp_json.cost(body)
    rows, capture = definitions.of(LogSource.OTLP), Capture(Form.OTLP, 0)
    for resource in (otlp_json if as_json else otlp).resources(body, wanted):
        machine = next((resource.fields[name] for name in NAMES if resource.fields.get(name)), "")
        for each in resource.records:
            capture.records = (capture.records or 0) + 1
            row = None if each.record is None else first_fit(rows, each.record.fields)
            if row is not None and each.record is not None:
                time_ms = each.record.time_ns // _NS_IN_MS or None
                capture.found.append(_of(row, machine, time_ms, each.record.fields))
    return capture


def _osquery(body: bytes, definitions: Definitions) -> Capture:
    rows, capture = definitions.of(LogSource.OSQUERY), Capture(Form.OSQUERY, 0)
    for line in osquery.results(_lines(body)):
        if isinstance(line, osquery.BadLine):
            capture.wrong.append(f"line {line.line}: {line.error}")
            continue
        for columns in line.rows:
            capture.records = (capture.records or 0) + 1
            fields = {**columns, "query": line.query}
            row = first_fit(rows, fields)
            if row is not None:
                moment = osquery.moment_ms(columns)
                time_ms = line.time_ms if moment is None else moment
                capture.found.append(_of(row, line.host, time_ms, fields))
    return capture


def _lines(body: bytes) -> list[msgspec.Raw]:
    """Lines of results: of a request to ``log``, or as osquery writes them into a file."""
    try:
        whole = msgspec.json.decode(body, type=osquery.Logging)
    except msgspec.DecodeError:
        return [msgspec.Raw(line) for line in body.splitlines() if line.strip()]
    return list(whole.data) if whole.log_type else [msgspec.Raw(body)]


def _ndjson(body: bytes, _definitions: Definitions) -> Capture:
    kinds = {kind.value: kind for kind in SignalKind}
    capture = Capture(Form.NDJSON, 0)
    for piece in ndjson.decode(body):
        capture.wrong += [f"line {bad.line}: {bad.error}" for bad in piece.malformed]
        for at, line in zip(piece.numbers, piece.lines, strict=True):
            capture.records = (capture.records or 0) + 1
            kind = kinds.get(line.kind)
            if kind is None:
                capture.wrong.append(f"line {at}: unknown kind {line.kind!r}")
                continue
            detail = json.loads(ndjson.detail_text(line) or "{}")
            text = {key: str(value) for key, value in detail.items()}
            time_ms, stream = ndjson.unix_ms(line.time), stream_of(kind) or ""
            capture.found.append(Found(line.machine, time_ms, kind.value, kind, stream, text))
    return capture


_READ: Final[Mapping[Form, Callable[[bytes, Definitions], Capture]]] = MappingProxyType(
    {Form.OTLP: _otlp, Form.OSQUERY: _osquery, Form.NDJSON: _ndjson}
)
