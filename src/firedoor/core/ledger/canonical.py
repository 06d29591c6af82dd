"""One spelling for every value, so that equal values have equal bytes and equal hashes.

Canonical JSON: no spaces, keys in the order of their UTF-16 code units, only the escapes that
JSON demands, UTF-8. Numbers are integers that every JSON reader holds exactly; a float is
carried as text in hexadecimal form, because two printers may round one float in two ways and
a replayed verdict has to be equal to the last bit.

Source: RFC 8785 (JSON Canonicalization Scheme), of which this is the part without floats.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

from firedoor.core.errors import BadInput

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"
"""What the ledger can say."""

MAX_INTEGER: Final = 2**53 - 1
"""Above it a reader that keeps numbers as doubles (any browser) sees another number."""

MAX_DEPTH: Final = 16
"""Levels of nesting; keeps every reader's recursion bounded."""


def to_canonical(value: Json) -> bytes:
    """Spell a value canonically.

    Args:
        value: Null, booleans, integers up to ``MAX_INTEGER`` either side of zero, text without
            lone surrogates, and sequences and mappings of these, ``MAX_DEPTH`` levels at most.

    Raises:
        ValueError: The value holds something else, a float for example; the message says where.
    """
    text = json.dumps(_plain(value, "$", 0), ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def from_canonical(data: bytes) -> Json:
    """Read bytes that ``to_canonical`` wrote; tuples and dicts come back.

    Strict: a second spelling of the same value would be a second hash, so anything but the one
    canonical spelling is refused: spaces, repeated or unsorted keys, ``1.0``, ``-0``, ``NaN``.

    Raises:
        BadInput: The bytes are not canonical JSON.
    """
    try:
        value: Json = json.loads(
            data.decode(), parse_constant=_refuse_number, parse_float=_refuse_number
        )
        spelled = to_canonical(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not canonical JSON: {error}") from error
    if spelled != data:
        raise BadInput("not canonical JSON: the same value has another spelling")
    return value


def float_to_text(number: float) -> str:
    """Spell a finite float exactly, in the hexadecimal form of C99: ``0x1.8p+1`` is 3.0.

    Raises:
        ValueError: The number is infinite or not a number.
    """
    if not math.isfinite(number):
        raise ValueError(f"{number} has no place in the ledger")
    return number.hex()


def text_to_float(text: str) -> float:
    """Read what ``float_to_text`` wrote, bit for bit.

    Raises:
        BadInput: It is not the one spelling of a finite float.
    """
    try:
        number = float.fromhex(text)
        spelled = float_to_text(number)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"not a float in hexadecimal form: {text[:40]!r}") from error
    if spelled != text:
        raise BadInput(f"the float {text[:40]!r} has another spelling: {spelled!r}")
    return number


def _plain(value: object, where: str, depth: int) -> object:
    """Copy into the types ``json`` writes, keys sorted, or say what may not be written."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    match value:
        case None | bool():
            return value
        case int():
            if abs(value) > MAX_INTEGER:
                raise ValueError(f"{where} is an integer beyond 2^53 - 1: write it as text")
            return int(value)
        case float():
            raise ValueError(f"{where} is a float: write it with float_to_text")
        case str():
            _utf16(value, where)
            return str(value)
        case Mapping():
            return _plain_mapping(value, where, depth)
        case list() | tuple():
            return [_plain(item, f"{where}[{n}]", depth + 1) for n, item in enumerate(value)]
        case _:
            raise ValueError(f"{where} is a {type(value).__name__}, which JSON cannot say")


def _plain_mapping(value: Mapping[object, object], where: str, depth: int) -> dict[str, object]:
    keys: list[str] = []
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"{where} has the key {key!r}, which is not text")  # noqa: TRY004 - one kind of error for one kind of mistake
        keys.append(str(key))
    keys.sort(key=lambda key: _utf16(key, where))
    return {key: _plain(value[key], f"{where}.{key}", depth + 1) for key in keys}


def _utf16(text: str, where: str) -> bytes:
    """UTF-16 code units of a text: the sort key of RFC 8785, section 3.2.3."""
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} holds half a character (a lone surrogate)") from error


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is not an integer")
