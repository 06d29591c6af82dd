"""Signals as newline-delimited JSON: one object a line, each accepted or refused by itself.

::

    {"machine": "till-17", "time": "2024-07-19T04:09:00Z", "kind": "boot-unclean", "id": "b7e1"}
    {"machine": "till-18", "time": 1721362140000, "kind": "heartbeat"}

``time`` is RFC 3339 with an offset or Unix milliseconds. ``id`` and ``detail`` (an object) may
be missing. Members that are not known are ignored: an agent newer than this server must not
lose a crash over an additional word.

A body is decoded piece by piece. The lines of a piece are first decoded as if all were right,
which takes a third of a microsecond each; only where that fails, or the piece holds blank
lines, is it gone through again, to find and number the lines that are wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from firedoor.core.errors import BadInput, TooLarge
from firedoor.core.units import UnixMs

MAX_LINES: Final = 100_000
"""Lines in one body: what 8 MiB hold of real signals, so short rubbish cannot cost more."""

MAX_DETAIL_BYTES: Final = 4_096
MAX_ID_CHARACTERS: Final = 256

_PIECE_BYTES: Final = 256 * 1024
_LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, where RFC 3339 ends too."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class SignalLine(msgspec.Struct, frozen=True, gc=False):
    """One line as it was sent; who may say it, and what it means, is not decided here.

    Attributes:
        machine: Name of the machine the signal is about.
        time: The sender's time, see ``unix_ms``.
        kind: Any word.
        id: The sender's idempotency key, or empty.
        detail: JSON text, see ``detail_text``.
    """

    machine: str
    time: (
        Annotated[int, msgspec.Meta(ge=0, le=_LAST_MS)] | Annotated[datetime, msgspec.Meta(tz=True)]
    )
    kind: str
    id: Annotated[str, msgspec.Meta(max_length=MAX_ID_CHARACTERS)] | None = None
    detail: msgspec.Raw = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no signal.

    Attributes:
        line: Number of the line in the body, from 1.
        error: What is wrong with it, for the person who wrote the sender.
    """

    line: int
    error: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Some consecutive lines of a body, decoded.

    Attributes:
        numbers: Line numbers of ``lines``, from 1, rising, of the same length.
        lines: The lines that are signals.
        malformed: The others, blank ones left out.
    """

    numbers: Sequence[int]
    lines: Sequence[SignalLine]
    malformed: Sequence[Malformed]


def decode(body: bytes) -> Iterator[Piece]:
    """Decode a body piece by piece; a caller may do other things in between.

    Raises:
        TooLarge: More than ``MAX_LINES`` lines; raised before the first piece.
    """
    if _count_lines(body) > MAX_LINES:
        raise TooLarge(f"more than {MAX_LINES:,} lines", hint="send several requests")
    return _pieces(body)


def unix_ms(time: int | datetime) -> UnixMs:
    """A line's time in Unix milliseconds, never negative; finer parts are cut off."""
    if isinstance(time, int):
        return UnixMs(time)
    return UnixMs(max((time - _EPOCH) // _MILLISECOND, 0))


def detail_text(line: SignalLine) -> str | None:
    """The line's detail as JSON text, or None without one.

    Raises:
        BadInput: The detail is no object, or is larger than ``MAX_DETAIL_BYTES``.
    """
    raw = bytes(line.detail)
    if raw in {b"", b"null"}:
        return None
    if len(raw) > MAX_DETAIL_BYTES:
        raise BadInput(f"detail has {len(raw):,} bytes, {MAX_DETAIL_BYTES:,} are allowed")
    if not raw.startswith(b"{"):
        raise BadInput("detail is not an object")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadInput("detail is not UTF-8") from error


_decode: Final = msgspec.json.Decoder(SignalLine).decode


def _pieces(body: bytes) -> Iterator[Piece]:
    start, number = 0, 1
    while start < len(body):
        end = body.find(b"\n", start + _PIECE_BYTES) + 1 or len(body)
        texts = body[start:end].removesuffix(b"\n").split(b"\n")
        yield _decode_piece(texts, number)
        start, number = end, number + len(texts)


def _decode_piece(texts: Sequence[bytes], first: int) -> Piece:
    try:
        # Not ``decode_lines``: it reads the piece as a stream of objects, however many on a line.
        lines = [_decode(text) for text in texts]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_each(texts, first)
    return Piece(range(first, first + len(lines)), lines, ())


def _decode_each(texts: Sequence[bytes], first: int) -> Piece:
    numbers: list[int] = []
    lines: list[SignalLine] = []
    malformed: list[Malformed] = []
    for number, text in enumerate(texts, first):
        if not text or text.isspace():
            continue
        try:
            line = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            malformed.append(Malformed(number, str(error)))
        except RecursionError:
            malformed.append(Malformed(number, "nested too deeply"))
        else:
            lines.append(line)
            numbers.append(number)
    return Piece(numbers, lines, malformed)


def _count_lines(text: bytes) -> int:
    # A final newline ends the last line and does not begin another.
    return text.count(b"\n") + (text[-1:] not in {b"", b"\n"})
