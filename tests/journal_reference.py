"""The journal's export format read line by line, slowly: what the scanner has to agree with.

Written from the rules in ``firedoor/formats/journal.py``, and like it in nothing: no search, no
state between pieces, every field an object.
"""

import re
from collections.abc import Iterator, Sequence

from firedoor.core.definition import Definition, first_fit
from firedoor.formats.journal import LONGEST_ENTRY, LONGEST_VALUE, Entry, asked_of

NAME = re.compile(rb"[A-Z_][A-Z0-9_]{0,63}")
LENGTH_BYTES = 8
LONGEST_BINARY = 2**32

_Fields = list[tuple[bytes, bytes]]


def read(rows: Sequence[Definition], data: bytes) -> list[Entry]:
    """Entries that say something, and the first of every boot in a row."""
    asked = asked_of(rows)
    found, boot = [], ""
    for lines, size in _entries(data, asked):
        if size > LONGEST_ENTRY:
            continue
        fields: dict[str, str] = {}
        for name, value in lines:
            if name in asked:
                text = value.replace(b"\xff", b"\n").decode("utf-8", "replace")
                fields.setdefault(name.decode(), text)
        entry = Entry(fields, first_fit(rows, fields))
        turned = bool(entry.boot) and entry.boot != boot
        boot = entry.boot or boot
        if turned or entry.means or entry.stops or entry.starts:
            found.append(entry)
    return found


def _entries(data: bytes, asked: frozenset[bytes]) -> Iterator[tuple[_Fields, int]]:
    fields: _Fields = []
    at, size, line_begins = 0, 0, True
    while (end := data.find(b"\n", at)) >= 0:
        line, value_at = data[at:end], end + 1 + LENGTH_BYTES
        length = int.from_bytes(data[end + 1 : value_at], "little")
        if (
            line_begins
            and NAME.fullmatch(line)
            and value_at <= len(data)
            and length < LONGEST_BINARY
        ):
            at = value_at + length
            if at > len(data):
                return
            if line in asked:
                value = data[value_at:at][:LONGEST_VALUE]
                fields.append((line, value))
                size += len(b"\n%s=%s" % (line, value))
            line_begins = data[at : at + 1] == b"\n"
            at += line_begins
            continue
        if line or not line_begins:
            name, says, text = line.partition(b"=")
            if says:
                fields.append((name, text))
            size += len(b"\n%s" % line)
        else:
            yield fields, size
            fields, size = [], 0
        at, line_begins = end + 1, True
