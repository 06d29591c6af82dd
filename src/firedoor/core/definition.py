"""Signal definitions: which records of a machine's own logs are signals, and of which kind.

A *record* is one entry of a log, whichever way it came: a journal entry, an OTLP log record, a
row that osquery sends. Its fields are text. A definition names the fields it looks at; the first
that fits, in order, says what the record means. A record that fits none means nothing.

The table is ``firedoor/config/signals.toml``; an operator's own comes before it.

Source: issue "Signals from what machines already run", 9; clients.md 5, 7, 8.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firedoor.core.signal import SignalKind

LONGEST_LOOKED_AT: Final = 4_096
"""Characters of a field that a pattern is tried on: patterns are the operator's, fields are not."""

LONGEST_KEPT: Final = 256
"""Characters of a field that are kept with a signal."""


class LogSource(StrEnum):
    """How a record reached the intake."""

    JOURNAL = "journal"
    OTLP = "otlp"
    OSQUERY = "osquery"


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field has to say.

    Attributes:
        field: Its name. In OTLP ``resource.NAME``, ``attributes.NAME`` (of a map in the body:
            ``body.NAME``), ``body``, ``severity``, ``severity_number``, ``event_name`` and
            ``scope``; in osquery ``query`` and the columns.
        values: One of these, to the letter; empty: see ``starts``.
        starts: One of these is how it begins; empty: see ``pattern``.
        pattern: Found anywhere in it; None: it need only be there.
    """

    field: str
    values: frozenset[str] = frozenset()
    starts: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Say whether a record's fields meet it."""
        value = fields.get(self.field)
        if value is None:
            return False
        if self.values:
            return value in self.values
        if self.starts:
            return value.startswith(self.starts)
        return self.pattern is None or self.pattern.search(value[:LONGEST_LOOKED_AT]) is not None


@dataclass(frozen=True, slots=True)
class Definition:
    """One row of the table.

    Attributes:
        name: Unique: what a signal of it is called in ``detail`` and in explanations.
        kind: What it says happened.
        source: Whose records it looks at.
        platform: ``linux``, ``windows``, ``macos`` or ``any``: for people.
        where: Conditions that all hold; at least one.
        unless: Conditions of which none holds.
        keep: Fields that are stored with the signal. Records carry environments and memory maps,
            so what is not named here is never stored.
        why: What it is, in a sentence.
    """

    name: str
    kind: SignalKind
    source: LogSource
    platform: str
    where: tuple[Condition, ...]
    unless: tuple[Condition, ...] = ()
    keep: tuple[str, ...] = ()
    why: str = ""

    def fits(self, fields: Mapping[str, str]) -> bool:
        """Say whether a record of its source is a signal of it."""
        return all(each.holds(fields) for each in self.where) and not any(
            each.holds(fields) for each in self.unless
        )

    def kept(self, fields: Mapping[str, str]) -> dict[str, str]:
        """What of a record is stored with the signal: its name, and the fields of the list."""
        found = {"signal": self.name}
        for name in self.keep:
            if name in fields:
                found[name] = fields[name][:LONGEST_KEPT]
        return found


@dataclass(frozen=True, slots=True)
class Definitions:
    """The table in force: definitions in the order in which they are tried."""

    rows: tuple[Definition, ...]

    def of(self, source: LogSource) -> tuple[Definition, ...]:
        """Those that look at records of one source."""
        return tuple(row for row in self.rows if row.source is source)

    def fields(self, source: LogSource) -> frozenset[str]:
        """Every field that one of them looks at or keeps: a reader need not take others in."""
        found: set[str] = set()
        for row in self.of(source):
            found.update(row.keep)
            found.update(each.field for each in (*row.where, *row.unless))
        return frozenset(found)


def first_fit(rows: Iterable[Definition], fields: Mapping[str, str]) -> Definition | None:
    """The first of these definitions that a record fits, or None."""
    return next((row for row in rows if row.fits(fields)), None)
