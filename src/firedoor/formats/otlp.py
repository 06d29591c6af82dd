"""OTLP logs as protobuf, read without a library: only what definitions ask for.

A request is resources, each with scopes, each with records (opentelemetry-proto,
``collector/logs/v1``). Its outline is walked in full, so that wrong lengths are found; a record is
read only if the sieve lets it through, and of a record only the fields that are wanted. So memory
is bounded by the body whatever it holds, and nothing recurses deeper than a wanted name has parts.

Fields are named as definitions name them: ``resource.NAME``, ``scope``, ``event_name``,
``severity``, ``severity_number``, ``attributes.NAME``, ``body``, and ``body.NAME`` of a map in the
body. Maps within maps are joined by dots, items of a list are numbered from 0.

Source: OpenTelemetry Protocol 1.x; Protocol Buffers encoding; clients.md 7; ADR 0039.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple, Self

from firedoor.core.definition import LONGEST_LOOKED_AT, Definitions, LogSource
from firedoor.core.errors import BadInput, TooLarge
from firedoor.formats.sieve import Search, Sieve

MOST_PARTS: Final = 65_536
"""Resources and scopes of a request: an honest one has records in each."""

LONGEST_NAME: Final = 256
"""Bytes of a field's name; a longer one is nobody's."""

_INSIDE: Final = ("attributes.", "body", "event_name", "severity")
"""How fields are called that are written in a record itself."""

KEY_BYTES: Final = 12

# Tags: the field's number, shifted by three, and how it is written.
_RESOURCE_LOGS: Final = 0x0A
_RESOURCE: Final = 0x0A
_RESOURCE_ATTRIBUTE: Final = 0x0A
_SCOPE_LOGS: Final = 0x12
_SCOPE: Final = 0x0A
_SCOPE_NAME: Final = 0x0A
_RECORD: Final = 0x12
_KEY: Final = 0x0A
_PAIR_VALUE: Final = 0x12
_ITEM: Final = 0x0A


class _Log(IntEnum):
    """Tags of a record."""

    TIME = 0x09
    SEVERITY_NUMBER = 0x10
    SEVERITY_TEXT = 0x1A
    BODY = 0x2A
    ATTRIBUTE = 0x32
    OBSERVED = 0x59
    EVENT_NAME = 0x62


class _Any(IntEnum):
    """Tags of a value."""

    STRING = 0x0A
    BOOL = 0x10
    INT = 0x18
    DOUBLE = 0x21
    ARRAY = 0x2A
    MAP = 0x32
    BYTES = 0x3A


_LONGEST_VARINT: Final = 10
_HALF: Final = 1 << 63
_WHOLE: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for.

    Attributes:
        names: Names of fields.
        within: Beginnings of them that end before a dot: maps that are worth opening.
        sieve: Which records to read.
    """

    names: frozenset[str]
    within: frozenset[str]
    sieve: Sieve

    @classmethod
    def of(cls, definitions: Definitions, more: Iterable[str] = ()) -> Self:
        """What the definitions for OTLP ask for, and more fields."""
        found = definitions.fields(LogSource.OTLP).union(more)
        begun = (name[:at] for name in found for at, sign in enumerate(name) if sign == ".")
        return cls(found, frozenset(begun), Sieve.of(definitions.of(LogSource.OTLP), _INSIDE))


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record that may fit a definition.

    Attributes:
        time_ns: When it happened, or else when it was seen, Unix ns; 0: it does not say.
        fields: The wanted ones of it, with those of its resource and scope.
        key: The same when the record is sent again, whenever it was seen; 24 hexadecimal digits.
    """

    time_ns: int
    fields: Mapping[str, str]
    key: str


class Outline(NamedTuple):
    """What every record shows of itself; ``record`` is None where it can fit no definition.

    Attributes:
        time_ns: See ``LogRecord``; of a record that is not read, 0 unless its time comes first.
        record: The record.
    """

    time_ns: int
    record: LogRecord | None


@dataclass(frozen=True, slots=True)
class Resource:
    """What sent some of a request's records.

    Attributes:
        fields: The wanted ones of its attributes, ``resource.NAME``.
        records: Its records; read as they are taken.
    """

    fields: Mapping[str, str]
    records: Iterator[Outline]


def resources(body: bytes, wanted: Wanted) -> Iterator[Resource]:
    """Read the body of a request.

    Args:
        body: ``ExportLogsServiceRequest`` as protobuf.
        wanted: What to take in.

    Raises:
        BadInput: It is no protobuf, while resources or records are taken.
        TooLarge: It has too many resources and scopes, as above.
    """
    search, parts = Search(wanted.sieve.words, body), 0
    for tag, at, end in _fields(body, 0, len(body)):
        found = _Reader(body, wanted, {})
        parts = _counted(parts)
        # The resource may be written after its records, and in several parts.
        for inner, start, stop in _fields(body, at, end if tag == _RESOURCE_LOGS else at):
            parts = _counted(parts)
            if inner == _RESOURCE:
                for each, first, last in _fields(body, start, stop):
                    if each == _RESOURCE_ATTRIBUTE:
                        found.pair(first, last, "resource")
        if tag == _RESOURCE_LOGS:
            yield Resource(found.into, _records(at, end, found, search))


def _counted(parts: int) -> int:
    if parts >= MOST_PARTS:
        raise TooLarge(
            f"a body may have {MOST_PARTS:,} resources and scopes",
            hint="send fewer records in a request",
        )
    return parts + 1


def _records(at: int, end: int, resource: "_Reader", search: Search) -> Iterator[Outline]:
    body, wanted = resource.body, resource.wanted
    for tag, scope_at, scope_end in _fields(body, at, end):
        if tag != _SCOPE_LOGS:
            continue
        above: Mapping[str, str] | None = None
        for inner, start, stop in _fields(body, scope_at, scope_end):
            if inner != _RECORD:
                continue
            if search.nearest < stop and search.within(start, stop):
                raw = body[start:stop]
                if wanted.sieve.may_fit(raw):
                    if above is None:
                        above = {**resource.into, **_scope(body, scope_at, scope_end)}
                    found = _record(_Reader(raw, wanted, dict(above)))
                    yield Outline(found.time_ns, found)
                    continue
            if stop - start > 8 and body[start] == _Log.TIME:  # noqa: PLR2004 - its eight bytes
                yield Outline(int.from_bytes(body[start + 1 : start + 9], "little"), None)
            else:
                yield Outline(0, None)


def _scope(body: bytes, at: int, end: int) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for tag, start, stop in _fields(body, at, end):
        if tag == _SCOPE:
            for inner, first, last in _fields(body, start, stop):
                if inner == _SCOPE_NAME:
                    found["scope"] = _text(body, first, last)
    return found


def _record(one: "_Reader") -> LogRecord:
    raw, fields, time, observed = one.body, one.into, 0, 0
    digest = blake2b(digest_size=KEY_BYTES)
    for tag, at, end in _fields(raw, 0, len(raw)):
        match tag:
            case _Log.TIME:
                time = int.from_bytes(raw[at:end], "little")
            case _Log.OBSERVED:
                observed = int.from_bytes(raw[at:end], "little")
                continue
            case _Log.SEVERITY_NUMBER:
                fields["severity_number"] = str(at)
                digest.update(b"%d " % at)
                continue
            case _Log.SEVERITY_TEXT:
                fields["severity"] = _text(raw, at, end)
            case _Log.EVENT_NAME:
                fields["event_name"] = _text(raw, at, end)
            case _Log.BODY:
                one.value(at, end, "body")
            case _Log.ATTRIBUTE:
                one.pair(at, end, "attributes")
            case _:
                continue
        digest.update(b"%d %d " % (tag, end - at))
        digest.update(raw[at:end])
    if not time:
        digest.update(b"%d" % observed)
    return LogRecord(time or observed, fields, digest.hexdigest())


class _Reader:
    """Takes wanted fields out of a message."""

    __slots__ = ("body", "into", "wanted")

    def __init__(self, body: bytes, wanted: Wanted, into: dict[str, str]) -> None:
        self.body = body
        self.wanted = wanted
        self.into = into

    def pair(self, at: int, end: int, within: str) -> None:
        """Read a name and its value."""
        body, name, value = self.body, "", (0, 0)
        for tag, start, stop in _fields(body, at, end):
            if tag == _KEY:
                name = _text(body, start, stop) if stop - start <= LONGEST_NAME else ""
            elif tag == _PAIR_VALUE:
                value = start, stop
        path = f"{within}.{name}"
        if path in self.wanted.names or path in self.wanted.within:
            self.value(*value, path)

    def value(self, at: int, end: int, path: str) -> None:
        """Read a value, and what is wanted within it."""
        body = self.body
        for tag, start, stop in _fields(body, at, end):
            match tag:
                case _Any.STRING | _Any.BYTES:
                    text = _text(body, start, stop)
                case _Any.BOOL:
                    text = "true" if start else "false"
                case _Any.INT:
                    text = str(start if start < _HALF else start - _WHOLE)
                case _Any.DOUBLE:
                    text = str(struct.unpack_from("<d", body, start)[0])
                case _Any.MAP if path in self.wanted.within:
                    for each, first, last in _fields(body, start, stop):
                        if each == _ITEM:
                            self.pair(first, last, path)
                    continue
                case _Any.ARRAY if path in self.wanted.within:
                    self._items(start, stop, path)
                    continue
                case _:
                    continue
            if path in self.wanted.names:
                self.into[path] = text

    def _items(self, at: int, end: int, path: str) -> None:
        number = 0
        for tag, start, stop in _fields(self.body, at, end):
            if tag == _ITEM:
                item = f"{path}.{number}"
                number += 1
                if item in self.wanted.names or item in self.wanted.within:
                    self.value(start, stop, item)


def _text(body: bytes, at: int, end: int) -> str:
    # A character has at most four bytes.
    return body[at : min(end, at + 4 * LONGEST_LOOKED_AT)].decode("utf-8", "replace")[
        :LONGEST_LOOKED_AT
    ]


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message: tag, and where it begins and ends; of a varint its value, and 0.

    Raises:
        BadInput: It is damaged, or has a group, which nobody sends.
    """
    while at < end:
        tag = body[at]
        at += 1
        if tag > 127:  # noqa: PLR2004 - the top bit says that more follow
            tag, at = _long(body, at, end, tag)
        wire = tag & 7
        if wire == 2:  # noqa: PLR2004 - bytes
            if at >= end:
                raise _damaged("it ends within a field")
            size = body[at]
            at += 1
            if size > 127:  # noqa: PLR2004 - as above
                size, at = _long(body, at, end, size)
            stop = at + size
            if stop > end:
                raise _damaged("a field is longer than what it is part of")
            if tag < 8:  # noqa: PLR2004 - a field's number
                raise _damaged("a field has the number 0")
            yield tag, at, stop
            at = stop
            continue
        if tag < 8:  # noqa: PLR2004 - as above
            raise _damaged("a field has the number 0")
        if wire == 0:
            value, at = _varint(body, at, end)
            yield tag, value, 0
        elif wire in (1, 5):
            stop = at + (8 if wire == 1 else 4)
            if stop > end:
                raise _damaged("it ends within a number")
            yield tag, at, stop
            at = stop
        else:
            raise _damaged(f"a field is written in a way ({wire}) that OTLP does not use")


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    if at >= end:
        raise _damaged("it ends within a number")
    first = body[at]
    return (first, at + 1) if first < 128 else _long(body, at + 1, end, first)  # noqa: PLR2004


def _long(body: bytes, at: int, end: int, first: int) -> tuple[int, int]:
    value, shift = first & 127, 7
    for more in range(at, min(end, at + _LONGEST_VARINT - 1)):
        byte = body[more]
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - the last one
            return value % _WHOLE, more + 1
        shift += 7
    raise _damaged("it ends within a number, or a number is too long")


def _damaged(why: str) -> BadInput:
    return BadInput(f"the body is no OTLP logs request: {why}", hint="look at the exporter")
