"""OTLP logs as JSON: the same as ``formats.otlp``, from the mapping that OTLP has for JSON.

Whole numbers are written as text or as numbers, names of fields in ``lowerCamelCase``; some
senders keep the names of the protobuf file, which are taken too.

Source: OpenTelemetry Protocol 1.x, JSON Protobuf Encoding; clients.md 7.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from firedoor.core.definition import LONGEST_LOOKED_AT
from firedoor.core.errors import BadInput, TooLarge
from firedoor.formats.otlp import KEY_BYTES, LONGEST_NAME, LogRecord, Outline, Resource, Wanted

BYTES_A_VALUE: Final = 64
"""Memory that a value of JSON takes, at most, beyond its own text."""

MOST_VALUES: Final = 750_000

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode
_LONGEST_NUMBER: Final = 20
_MOST_NS: Final = 1 << 64
_OBSERVED: Final = ("observedTimeUnixNano", "observed_time_unix_nano")
_SCALARS: Final = ("stringValue", "boolValue", "intValue", "doubleValue", "bytesValue")


def cost(body: bytes) -> int:
    """Bytes of memory that reading a body takes.

    Raises:
        TooLarge: It has more values than are read at once.
    """
    values = body.count(b",") + body.count(b"{") + body.count(b"[")
    if values > MOST_VALUES:
        raise TooLarge(
            f"a body may have {MOST_VALUES:,} values", hint="send fewer records in a request"
        )
    return BYTES_A_VALUE * values


def resources(body: bytes, wanted: Wanted) -> Iterator[Resource]:
    """Read the body of a request; see ``cost`` before.

    Args:
        body: ``ExportLogsServiceRequest`` as JSON.
        wanted: Fields to take in.

    Raises:
        BadInput: It is no such request, while resources or records are taken.
    """
    try:
        found = _decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise BadInput(f"the body is no JSON: {error}", hint="look at the exporter") from None
    for one in _listed(_object(found, "the body"), "resourceLogs"):
        fields: dict[str, str] = {}
        for pair in _listed(_object(_get(one, "resource"), "resource"), "attributes"):
            _pair(pair, "resource", wanted, fields)
        yield Resource(fields, _records(one, fields, wanted))


def _records(
    one: Mapping[str, Any], resource: Mapping[str, str], wanted: Wanted
) -> Iterator[Outline]:
    for scoped in _listed(one, "scopeLogs"):
        scope = _object(_get(scoped, "scope"), "scope").get("name")
        above = {**resource, **({"scope": _short(scope)} if isinstance(scope, str) else {})}
        for each in _listed(scoped, "logRecords"):
            found = _record(each, above, wanted)
            yield Outline(found.time_ns, found)


def _record(one: Mapping[str, Any], above: Mapping[str, str], wanted: Wanted) -> LogRecord:
    fields = dict(above)
    for name, path in (
        ("severityText", "severity"),
        ("severityNumber", "severity_number"),
        ("eventName", "event_name"),
    ):
        said = _get(one, name)
        if isinstance(said, str | int):
            fields[path] = _short(str(said))
    _value(_object(_get(one, "body"), "body"), "body", wanted, fields)
    for pair in _listed(one, "attributes"):
        _pair(pair, "attributes", wanted, fields)
    time = _nanoseconds(_get(one, "timeUnixNano"))
    observed = _nanoseconds(_get(one, _OBSERVED[0]))
    told = {name: said for name, said in one.items() if name not in _OBSERVED}
    key = blake2b(_encode(told), digest_size=KEY_BYTES)
    if not time:
        key.update(b"%d" % observed)
    return LogRecord(time or observed, fields, key.hexdigest())


def _pair(pair: Mapping[str, Any], within: str, wanted: Wanted, into: dict[str, str]) -> None:
    name = pair.get("key")
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        return
    path = f"{within}.{name}"
    if path in wanted.names or path in wanted.within:
        _value(_object(pair.get("value"), "value"), path, wanted, into)


def _value(value: Mapping[str, Any], path: str, wanted: Wanted, into: dict[str, str]) -> None:
    if path in wanted.names:
        for name in _SCALARS:
            said = _get(value, name)
            if said is not None:
                into[path] = _shown(name, said)
    if path in wanted.within:
        for pair in _listed(_object(_get(value, "kvlistValue"), "kvlistValue"), "values"):
            _pair(pair, path, wanted, into)
        for at, item in enumerate(
            _listed(_object(_get(value, "arrayValue"), "arrayValue"), "values")
        ):
            inner = f"{path}.{at}"
            if inner in wanted.names or inner in wanted.within:
                _value(item, inner, wanted, into)


def _shown(name: str, said: Any) -> str:
    match said:
        case bool():
            return "true" if said else "false"
        case str() if name == "bytesValue":
            try:
                return _short(b64decode(said).decode("utf-8", "replace"))
            except (Base64Error, ValueError):
                raise BadInput("a bytesValue is no base64", hint="look at the exporter") from None
        case str():
            return _short(said)
        case int() | float():
            # As protobuf has it: 5 is 5.0 where the value is a double.
            return str(float(said) if name == "doubleValue" and abs(said) < _MOST_NS else said)
        case _:
            raise BadInput(f"a {name} is neither text nor a number", hint="look at the exporter")


def _nanoseconds(said: Any) -> int:
    if said is None:
        return 0
    if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) <= _LONGEST_NUMBER:
        said = int(said)
    if isinstance(said, int) and 0 <= said < _MOST_NS:
        return said
    raise BadInput("a time is no number of nanoseconds since 1970", hint="look at the exporter")


def _get(one: Mapping[str, Any], name: str) -> Any:
    if name in one:
        return one[name]
    # The name in the protobuf file.
    return one.get("".join("_" + sign.lower() if sign.isupper() else sign for sign in name))


def _listed(one: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    found = _get(one, name)
    if found is None:
        return
    if not isinstance(found, list):
        raise BadInput(f"{name} is no list", hint="look at the exporter")
    for each in found:
        yield _object(each, f"an item of {name}")


def _object(found: Any, name: str) -> Mapping[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadInput(f"{name} is no object", hint="look at the exporter")
    return found


def _short(text: str) -> str:
    return text[:LONGEST_LOOKED_AT]
