"""Signal definitions as TOML: ``[[signal]]`` tables to values of the core."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from firedoor.core.definition import Condition, Definition, Definitions, LogSource
from firedoor.core.errors import BadInput
from firedoor.core.signal import SignalKind

_KEYS: Final = {"name", "kind", "source", "platform", "where", "unless", "keep", "why"}
_PLATFORMS: Final = ("linux", "windows", "macos", "any")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)


def definitions(text: str) -> Definitions:
    """Read a table of definitions.

    Raises:
        BadInput: It is no TOML, or says something it may not: which table, and what would do.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"no TOML: {error}") from None
    for key in found:
        if key != "signal":
            raise BadInput(f"unknown table {key!r}", hint="definitions are [[signal]] tables")
    rows = found.get("signal", [])
    if not isinstance(rows, list):
        raise BadInput("signal is one table", hint="write [[signal]] with two brackets")
    read = tuple(_row(at, row) for at, row in enumerate(rows, 1))
    names = [row.name for row in read]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two signals are called {name!r}")
    return Definitions(read)


def joined(own: Definitions, shipped: Definitions) -> Definitions:
    """An operator's definitions before those that are shipped; of one name, the operator's."""
    names = {row.name for row in own.rows}
    return Definitions((*own.rows, *(row for row in shipped.rows if row.name not in names)))


def _row(at: int, row: Any) -> Definition:
    if not isinstance(row, dict):
        raise BadInput(f"signal {at} is no table", hint="write [[signal]] above it")
    name = row.get("name")
    where = f"signal {name!r}" if isinstance(name, str) else f"signal {at}"
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise BadInput(f"{where} needs a name", hint="small letters, digits and -, at most 64")
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise BadInput(f"{where}: unknown key {unknown[0]!r}", hint=", ".join(sorted(_KEYS)))
    return Definition(
        name=name,
        kind=SignalKind(_one_of(where, row, "kind", [kind.value for kind in SignalKind])),
        source=LogSource(_one_of(where, row, "source", [source.value for source in LogSource])),
        platform=_one_of(where, row, "platform", _PLATFORMS, "any"),
        where=_conditions(where, row, "where", least=1),
        unless=_conditions(where, row, "unless", least=0),
        keep=_names(where, row.get("keep", [])),
        why=_text(where, row.get("why", "")),
    )


def _one_of(
    where: str,
    row: Mapping[str, Any],
    key: str,
    known: "list[str] | tuple[str, ...]",
    default: str | None = None,
) -> str:
    value = row.get(key, default)
    if not isinstance(value, str) or value not in known:
        raise BadInput(f"{where}: {key} is {value!r}", hint="one of " + ", ".join(known))
    return value


def _conditions(
    where: str, row: Mapping[str, Any], key: str, *, least: int
) -> tuple[Condition, ...]:
    table = row.get(key, {})
    if not isinstance(table, dict) or len(table) < least:
        raise BadInput(f"{where}: {key} names no field", hint=f'{key} = {{ FIELD = "value" }}')
    return tuple(_condition(where, field, value) for field, value in table.items())


def _condition(where: str, field: str, value: Any) -> Condition:
    match value:
        case str():
            return Condition(field, frozenset((value,)))
        case list() if value and all(isinstance(each, str) for each in value):
            return Condition(field, frozenset(value))
        case {"starts": [_, *_] as starts, **rest} if not rest and all(
            isinstance(each, str) and each for each in starts
        ):
            return Condition(field, starts=tuple(starts))
        case {"matches": str(pattern), **rest} if not rest:
            try:
                return Condition(field, pattern=re.compile(pattern))
            except re.error as error:
                raise BadInput(f"{where}: {field} has no regular expression: {error}") from None
        case {"present": True, **rest} if not rest:
            return Condition(field)
        case _:
            raise BadInput(
                f"{where}: {field} cannot be {value!r}",
                hint='"value", ["one", "or other"], { starts = ["one"] },'
                ' { matches = "expression" }, { present = true }',
            )


def _names(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadInput(f"{where}: keep is no list of fields", hint='keep = ["FIELD"]')
    return tuple(value)


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{where}: why is no text")
    return value
