"""What is fuzzed: parsers of what machines and collectors send, each with a claim that can fail.

A target takes bytes, has them read, and raises AssertionError where the parser says something that
it must not. Anything else it raises is a failure as well. ``tests/property/test_fuzz_corpus.py``
tries everything that fuzzing has kept.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from tests.journal_reference import read
from tests.journals import STARTED, STOPPED, UNIT_FAILED, Writer, exported
from tests.osquery import RECORDED
from tests.otlp import REPORTING, request, windows

from firedoor.config.definitions import shipped
from firedoor.core.definition import LogSource, first_fit
from firedoor.core.errors import BadInput, FiredoorError, Rejected, TooLarge
from firedoor.formats import journal, ndjson, osquery, otlp, otlp_json
from firedoor.formats.otlp import Wanted
from firedoor.formats.sieve import Sieve

ROWS: Final = shipped()
JOURNAL_ROWS: Final = ROWS.of(LogSource.JOURNAL)
OTLP_ROWS: Final = ROWS.of(LogSource.OTLP)
CUTS: Final = 4
MOST_HELD: Final = 2 * journal.LONGEST_ENTRY + 2 * 65_536

_WANTED: Final = Wanted.of(ROWS, ("resource.host.name",))
_UNSIEVED: Final = Wanted(_WANTED.names, _WANTED.within, Sieve((), ((),)))


def journals(data: bytes) -> None:
    """Wherever a stream is cut, the scanner finds what the slow reader finds in all of it."""
    cuts, body = data[:CUTS], data[CUTS:]
    scanner, found, begin = journal.Scanner(JOURNAL_ROWS, at_once=0), [], 0
    for cut in sorted(byte * len(body) // 256 for byte in cuts):
        found += scanner.feed(body[begin:cut])
        begin = cut
    found += scanner.feed(body[begin:]) + scanner.end()
    expected = read(JOURNAL_ROWS, body)
    assert found == expected, f"found {found}, expected {expected}"
    assert scanner.held() <= MOST_HELD, f"{scanner.held()} bytes are held"


def otlp_protobuf(data: bytes) -> None:
    """What the protocol's own classes take is taken, with the same times; no sieve hides a fit."""
    try:
        theirs: list[int] | None = [
            record.time_unix_nano or record.observed_time_unix_nano
            for resource in ExportLogsServiceRequest.FromString(data).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]
    except DecodeError:
        theirs = None
    try:
        ours = list(_outlines(otlp.resources(data, _WANTED)))
    except Rejected as error:
        # Groups, which OTLP never has, are skipped there and refused here.
        if theirs is None or isinstance(error, TooLarge) or "that OTLP does not use" in str(error):
            return
        raise AssertionError("what its own classes take is refused") from error
    if theirs is not None:
        # Of a record that is not read the time is a guess: a field that comes twice misleads it.
        assert len(ours) == len(theirs)
        for each, time_ns in zip(ours, theirs, strict=True):
            assert each.record is None or each.time_ns == time_ns
        # Groups are met in what is read only, and without a sieve all is.
        with contextlib.suppress(BadInput):
            plain = list(_outlines(otlp.resources(data, _UNSIEVED)))
            assert [_fit(each) for each in ours] == [_fit(each) for each in plain]


def otlp_as_json(data: bytes) -> None:
    """What the protocol's own classes take is taken, with as many records."""
    whole = False
    try:
        whole = isinstance(json.loads(data), dict)  # a text is nothing to them, and no error
        theirs: int | None = sum(
            len(scope.log_records)
            for resource in json_format.Parse(
                data, ExportLogsServiceRequest(), ignore_unknown_fields=True
            ).resource_logs
            for scope in resource.scope_logs
        )
    except (json_format.ParseError, UnicodeDecodeError, RecursionError, ValueError):
        theirs = None
    try:
        ours = list(_outlines(otlp_json.resources(data, _WANTED)))
    except Rejected as error:
        # To them a number may be of any length, and a text be read like an object without members.
        lax = any(why in str(error) for why in ("no number of nanoseconds", "is no object"))
        if theirs is None or not whole or lax or isinstance(error, TooLarge):
            return
        raise AssertionError("what its own classes take is refused") from error
    assert all(0 <= each.time_ns < 2**64 for each in ours)
    if theirs is not None:
        assert len(ours) == theirs


def osquery_requests(data: bytes) -> None:
    """Each line is taken or named, and whatever is taken is text."""
    with contextlib.suppress(FiredoorError):
        osquery.request(data, osquery.Enrolling)
    with contextlib.suppress(FiredoorError):
        osquery.request(data, osquery.Asking)
    for results in (_logged(data), _written(data)):
        for at, one in enumerate(results, 1):
            if isinstance(one, osquery.BadLine):
                assert (one.line, bool(one.error)) == (at, True)
                continue
            assert one.time_ms >= 0
            for row in one.rows:
                _text_only(row)
                moment = osquery.moment_ms(row)
                assert moment is None or moment >= 0
                assert len(osquery.row_key(one.query, one.time_ms, row)) == 32


def ndjson_lines(data: bytes) -> None:
    """Each line that is not blank is taken or named once; what is kept of it is an object."""
    try:
        pieces = list(ndjson.decode(data))
    except TooLarge:
        return
    numbers = sorted(
        number
        for piece in pieces
        for number in (*piece.numbers, *(bad.line for bad in piece.malformed))
    )
    texts = data.removesuffix(b"\n").split(b"\n") if data else []
    assert numbers == [at for at, text in enumerate(texts, 1) if text and not text.isspace()]
    for piece in pieces:
        for at, line in zip(piece.numbers, piece.lines, strict=True):
            (alone,) = ndjson.decode(texts[at - 1])
            assert list(alone.lines) == [line]
            assert ndjson.unix_ms(line.time) >= 0
            try:
                detail = ndjson.detail_text(line)
            except BadInput:
                continue
            assert detail is None or isinstance(json.loads(detail), dict)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "journal": journals,
    "otlp": otlp_protobuf,
    "otlp-json": otlp_as_json,
    "osquery": osquery_requests,
    "ndjson": ndjson_lines,
}


def seeds(target: str) -> dict[str, bytes]:
    """What to begin with, by name."""
    match target:
        case "journal":
            writer = Writer(1_795_000_000_000)
            writer.boots("a")
            writer.say(**UNIT_FAILED)
            writer.stop()
            writer.boots("b")
            bodies = {
                "boots": writer.text(),
                "binary": exported({"MESSAGE": exported(UNIT_FAILED), "_BOOT_ID": "a" * 32}),
                "started": exported(STARTED) + exported(STOPPED),
                "long": b"A\n" + (2**63).to_bytes(8, "little") + b"\n\n" + exported(UNIT_FAILED),
            }
            return {name: b"\x20\x60\xa0\xe0" + body for name, body in bodies.items()}
        case "otlp":
            return {name: made.SerializeToString() for name, made in _requests().items()}
        case "otlp-json":
            return {
                name: json.dumps(json_format.MessageToDict(made)).encode()
                for name, made in _requests().items()
            }
        case "osquery":
            lines = {
                name: json.loads((RECORDED / f"{name}.json").read_text())
                for name in ("windows", "linux", "status", "answers", "enroll", "asking")
            }
            return {
                name: json.dumps(
                    {"node_key": "k", "log_type": "result", "data": body}
                    if isinstance(body, list)
                    else body
                ).encode()
                for name, body in lines.items()
            }
        case _:
            line = {"machine": "a", "time": "2024-07-19T04:09:00Z", "kind": "panic", "id": "1"}
            late = {"machine": "b", "time": 1_721_362_140_000, "kind": "x", "detail": {"a": [1]}}
            both = [json.dumps(each).encode() for each in (line, late)]
            return {"two": b"\n".join(both), "bad": both[0] + b"\n\n{\n" + both[1] + b"\n"}


def _requests() -> dict[str, ExportLogsServiceRequest]:
    return {
        "windows": request(
            windows(1001, REPORTING), windows(1, "Other"), resource={"host.name": "till-17"}
        ),
        "text": request('{"bug_type":"210"}', {"a": [1, 2.5, True, b"x"]}, attributes={"k": "v"}),
    }


def _outlines(found: Iterator[otlp.Resource]) -> Iterator[otlp.Outline]:
    for each in found:
        yield from each.records


def _fit(outline: otlp.Outline) -> object:
    return None if outline.record is None else first_fit(OTLP_ROWS, outline.record.fields)


def _logged(data: bytes) -> list[osquery.Result | osquery.BadLine]:
    try:
        found = osquery.request(data, osquery.Logging)
    except FiredoorError:
        return []
    results = list(osquery.results(found.data))
    assert len(results) == len(found.data)
    return results


def _written(data: bytes) -> list[osquery.Result]:
    try:
        found = osquery.request(data, osquery.Writing)
    except FiredoorError:
        return []
    return list(osquery.written(found, 1))


def _text_only(row: Mapping[str, str]) -> None:
    values: Iterable[object] = (*row.keys(), *row.values())
    assert all(isinstance(value, str) for value in values)
