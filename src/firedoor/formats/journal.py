"""The systemd journal's export format, read as it streams.

::

    bytes ──▶ flatten ──▶ text ──▶ search ──▶ entries that say something

A journal is gigabytes of which a few entries matter, so no object is made of an entry or a field
until something of it is known to matter. First the binary fields are cut out (their values may
hold text that looks like entries), or written as lines where somebody asks for them; what is left
is text, in which one compiled expression made of the definitions finds candidates.

How it is read, beyond what systemd says:

- A line without ``=`` begins a binary field if it is a field's name and the eight bytes after it
  are a length below 2^32; else the line means nothing.
- Of a field that is there more than once the first counts.
- Of a binary field that somebody asks for, the first ``LONGEST_VALUE`` bytes are kept.
- An entry that is longer than ``LONGEST_ENTRY`` without its binary fields is passed over.
- A byte 0xff, which is in no text, reads as the end of a line.

Source: systemd.io, Journal Export Formats; clients.md 6.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firedoor.core.definition import (
    LONGEST_LOOKED_AT,
    Condition,
    Definition,
    first_fit,
)

LONGEST_VALUE: Final = 4 * LONGEST_LOOKED_AT
"""Bytes of a binary field that are kept."""

LONGEST_ENTRY: Final = 256 * 1024
"""Bytes of an entry, as text; systemd's own limit is a thousand times higher."""

STOPPED: Final = "d93fb3c9c24d451a97cea615ce59c00b"
"""Message of journald's last entry before it ends, in an orderly shutdown or a restart of it."""

STARTED: Final = "f77379a8490b408bbe5f6940505a777b"
"""Message of journald's first entry."""

CURSOR: Final = "__CURSOR"
REALTIME: Final = "__REALTIME_TIMESTAMP"
MONOTONIC: Final = "__MONOTONIC_TIMESTAMP"
BOOT: Final = "_BOOT_ID"
MACHINE: Final = "_MACHINE_ID"
_MESSAGE_FIELD: Final = "MESSAGE"
_MESSAGE: Final = "MESSAGE_ID"
_TRANSPORT: Final = "_TRANSPORT"

# What only journald itself can say: no program can log by this transport.
_OF_JOURNALD: Final = "driver"

_AT_ONCE: Final = 64 * 1024
_LINE_END: Final = b"\xff"
_ENTRY_END: Final = b"\n\n"
_MOST_DIGITS: Final = 18
_ZERO: Final = b"\0"
_LONGEST_NAME: Final = 64
# A name between two line ends, and a length of which four bytes are zero.
_HEADER: Final = re.compile(rb"\n([A-Z_][A-Z0-9_]{0,63})\n(.{4})\0\0\0\0", re.DOTALL)
_LONGEST_HEADER: Final = 1 + _LONGEST_NAME + 1 + 8
_BOOT_LINE: Final = b"\n_BOOT_ID="


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a journal that says something, or the first of its boot in a row.

    Attributes:
        fields: Those that somebody asks for, as text.
        means: The definition that it fits, if any.
    """

    fields: Mapping[str, str]
    means: Definition | None

    @property
    def boot(self) -> str:
        """Of which boot it is."""
        return self.fields.get(BOOT, "")

    @property
    def machine(self) -> str:
        """Which machine it says it is of."""
        return self.fields.get(MACHINE, "")

    @property
    def realtime_ms(self) -> int | None:
        """When, by the machine's clock, Unix ms; None: it does not say."""
        return _milliseconds(self.fields.get(REALTIME, ""))

    @property
    def monotonic_ms(self) -> int | None:
        """When, since the boot began, ms; None: it does not say."""
        return _milliseconds(self.fields.get(MONOTONIC, ""))

    @property
    def key(self) -> str:
        """The same wherever the entry is read again.

        The cursor also holds a file and a place in it, and a journal that was in memory at first
        is copied into another file.
        """
        cursor = self.fields.get(CURSOR, "")
        at = cursor.find("b=")
        return cursor if at < 0 else cursor[at:]

    @property
    def stops(self) -> bool:
        """Whether it is journald's last."""
        return self._of_journald(STOPPED)

    @property
    def starts(self) -> bool:
        """Whether it is journald's first."""
        return self._of_journald(STARTED)

    def _of_journald(self, message: str) -> bool:
        said = self.fields.get(_MESSAGE) == message
        return said and self.fields.get(_TRANSPORT) == _OF_JOURNALD


def asked_of(rows: Sequence[Definition]) -> frozenset[bytes]:
    """Names of the fields that somebody asks for: the definitions, or the rule of boots."""
    own = (CURSOR, REALTIME, MONOTONIC, BOOT, MACHINE, _MESSAGE, _TRANSPORT)
    found = set(own)
    for row in rows:
        found.update(row.keep)
        found.update(each.field for each in (*row.where, *row.unless))
    return frozenset(name.encode() for name in found)


class Scanner:
    """Reads one upload. Memory is bounded whatever comes: some ``LONGEST_ENTRY``.

    Attributes:
        passed_over: Entries that were too long.
    """

    def __init__(self, rows: Sequence[Definition], at_once: int = _AT_ONCE) -> None:
        """Begin at the beginning of an entry.

        Args:
            rows: Definitions of the journal, in order.
            at_once: Bytes that are collected before they are looked at.
        """
        self._at_once = at_once
        self.passed_over = 0
        self._rows = rows
        self._asked = asked_of(rows)
        anchors = _anchors(rows)
        self._anchors = re.compile(rb"\n(?:%s)" % anchors)
        self._turns = re.compile(rb"\n(?:_BOOT_ID=([^\n]*)|%s)" % anchors)
        names = b"|".join(sorted(re.escape(name) for name in self._asked))
        self._fields = re.compile(rb"\n(%s)=([^\n]*)" % names)
        self._pieces: list[bytes] = []
        self._size = 0
        # What may be the beginning of a binary field; a line end before the first line.
        self._carry = b"\n"
        # Of the binary field we are in: bytes to come, and how many of them are kept; whether
        # what follows it has been seen.
        self._left = self._room = 0
        self._asked_for = False
        self._ended = False
        self._tail = b""
        self._dropping = False
        self._boot: bytes | None = None
        self._newest = b""

    def feed(self, data: bytes) -> list[Entry]:
        """Take the next bytes in; return the entries that were completed by them and say something.

        They may come later: bytes are looked at when there are many.
        """
        self._pieces.append(data)
        self._size += len(data)
        return self._look() if self._size >= self._at_once else []

    def newest(self) -> Entry | None:
        """The last complete entry that was looked at, or None."""
        return self._read(self._newest) if self._newest else None

    def held(self) -> int:
        """Bytes that wait: for more of an entry, or to be looked at."""
        return self._size + len(self._carry) + len(self._tail) + len(self._newest)

    def end(self) -> list[Entry]:
        """Look at the rest: nothing more comes. An entry that is incomplete means nothing."""
        return self._look(last=True)

    def _look(self, *, last: bool = False) -> list[Entry]:
        data = b"".join((self._carry, *self._pieces))
        self._pieces.clear()
        self._size = 0
        return self._search(self._flatten(data, last=last))

    def _flatten(self, data: bytes, *, last: bool) -> bytes:
        """Text of the data, without binary fields; what may be the beginning of one waits."""
        # A header may lie across the end, so none is looked for that begins in the last bytes.
        limit = len(data) if last else len(data) - _LONGEST_HEADER
        out: list[bytes] = []
        at = 0
        while True:
            if self._left:
                at = self._pass_value(data, at, out)
            # Of a field that is cut out the line end goes too; it is also the one before the
            # next field's name, so the search begins with it.
            begin = at + (self._ended and not self._asked_for and data[at : at + 1] == b"\n")
            header = None
            # Text has no zero byte and a length has some: most bytes are passed over at once.
            zero = data.find(_ZERO, at)
            if zero >= 0:
                header = _HEADER.search(data, max(at, zero - _LONGEST_HEADER + 4))
            if header is None or header.start() >= limit:
                break
            self._end_value(data[at : at + 1], out)
            out.append(data[begin : header.start() + 1])
            at = header.end()
            self._begin_value(header, out)
        cut = max(at, limit)
        if cut > at:
            self._end_value(data[at : at + 1], out)
            out.append(data[begin:cut])
        self._carry = data[cut:]
        return b"".join(out)

    def _begin_value(self, header: re.Match[bytes], out: list[bytes]) -> None:
        self._left = int.from_bytes(header[2], "little")
        self._ended = not self._left
        self._asked_for = header[1] in self._asked
        self._room = LONGEST_VALUE if self._asked_for else 0
        if self._asked_for:
            out.append(b"%s=" % header[1])

    def _pass_value(self, data: bytes, at: int, out: list[bytes]) -> int:
        taken = min(self._left, len(data) - at)
        kept = min(taken, self._room)
        if kept:
            out.append(data[at : at + kept].replace(b"\n", _LINE_END))
        self._left -= taken
        self._room -= kept
        self._ended = not self._left
        return at + taken

    def _end_value(self, following: bytes, out: list[bytes]) -> None:
        """The line of a value that is kept ends, also where nothing after it says so."""
        if self._ended and self._asked_for and following != b"\n":
            out.append(b"\n")
        self._ended = False

    def _search(self, text: bytes) -> list[Entry]:
        """Entries of the text that say something; an incomplete one waits for its end."""
        text = self._tail + text
        if self._dropping:
            end = text.find(_ENTRY_END)
            if end < 0:
                self._tail = text[-1:]
                return []
            text = text[end + 1 :]
            self._dropping = False
        cut = text.rfind(_ENTRY_END) + 1
        self._tail = text[cut:]
        if len(self._tail) > LONGEST_ENTRY + 1:
            self.passed_over += 1
            self._dropping = True
            self._tail = self._tail[-1:]
        if not cut:
            return []
        return self._entries(text, cut)

    def _entries(self, text: bytes, cut: int) -> list[Entry]:
        """Of complete entries, the last of which ends at ``cut``, those that say something."""
        found: list[Entry] = []
        self._newest = text[text.rfind(_ENTRY_END, 0, cut) + 1 : cut] or self._newest
        done = 0
        for start in self._candidates(text, cut):
            if start < done:
                continue
            begin = text.rfind(_ENTRY_END, 0, start + 1) + 1
            done = text.find(_ENTRY_END, start + 1)
            entry = self._read(text[begin:done])
            if entry is None:
                continue
            boot = entry.boot.encode()
            turned = bool(boot) and boot != self._boot
            if boot:
                self._boot = boot
            if turned or entry.means or entry.stops or entry.starts:
                found.append(entry)
        return found

    def _candidates(self, text: bytes, cut: int) -> Iterator[int]:
        """Where something may be said: in order, at a line end before a line of the entry."""
        own = b"%s%s\n" % (_BOOT_LINE, self._boot or b"")
        if text.count(_BOOT_LINE, 0, cut) == text.count(own, 0, cut):
            for hit in self._anchors.finditer(text, 0, cut):
                yield hit.start()
            return
        for hit in self._turns.finditer(text, 0, cut):
            # The caller moves to the next boot while we are at it.
            if hit[1] is None or hit[1] != self._boot:
                yield hit.start()

    def _read(self, text: bytes) -> Entry | None:
        if len(text) > LONGEST_ENTRY:
            self.passed_over += 1
            return None
        fields: dict[str, str] = {}
        for line in self._fields.finditer(text):
            value = line[2].replace(_LINE_END, b"\n").decode("utf-8", "replace")
            fields.setdefault(line[1].decode(), value)
        return Entry(fields, first_fit(self._rows, fields))


def _anchors(rows: Sequence[Definition]) -> bytes:
    """Alternatives of an expression: found in every entry that fits a row, and in few others."""
    parts = [_line(_MESSAGE, value, whole=True) for value in (STOPPED, STARTED)]
    for row in rows:
        best = max(row.where, key=_rarity)
        if best.values:
            parts += [_line(best.field, value, whole=True) for value in best.values]
        elif best.starts:
            parts += [_line(best.field, value, whole=False) for value in best.starts]
        else:
            parts.append(_line(best.field, "", whole=False))
    return b"|".join(sorted(set(parts)))


def _line(field: str, value: str, *, whole: bool) -> bytes:
    said = value.encode().replace(b"\n", _LINE_END)
    return re.escape(field.encode() + b"=" + said) + (rb"(?=\n)" if whole else b"")


def _rarity(condition: Condition) -> tuple[bool, bool, int]:
    """How few entries meet a condition, and how fast they are found.

    Alternatives that all begin alike, as MESSAGE= and MESSAGE_ID= do, are found three times as
    fast as others. Of journald's own fields (_UID) most entries have the same few values.
    """
    values = condition.values or condition.starts
    told = min((len(value) for value in values), default=0)
    quick = condition.field.startswith(_MESSAGE_FIELD)
    return bool(values) and not condition.field.startswith("_"), quick, told


def _milliseconds(microseconds: str) -> int | None:
    # int() takes blanks, signs and digits of other alphabets; so many fit 64 bits.
    number = microseconds.isascii() and microseconds.isdigit()
    return int(microseconds) // 1000 if number and len(microseconds) <= _MOST_DIGITS else None
