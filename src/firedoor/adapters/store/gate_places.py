"""Places in gate.db: appended while machines wait, sorted by machine once a bucket (ADR 0037).

A machine that polls is anywhere in what is kept by machine: to change one row there writes a page
of 4 KiB, and then again when the log is taken over into the file. So while it waits, its place is
only appended, and whatever is kept by machine follows at the next flush, in the order of machines.
``by_machine_upto`` is the row up to which it has followed; what lies behind it (``fresh_place``) is
read from ``place`` itself.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from firedoor.ports import Instant
from firedoor.services.places import Place, Standing

OF_MACHINE: Final = """
    SELECT * FROM place WHERE id IN (SELECT place FROM place_by_machine WHERE machine = ?1)
    UNION ALL SELECT * FROM fresh_place WHERE machine = ?1 ORDER BY id"""
"""Places of one machine, oldest first."""

_LET_IN: Final = """
    SELECT p.channel, p.machine, p.number, p.wall_ms / 1000, s.number, s.since_s
    FROM fresh_place AS p LEFT JOIN standing AS s USING (channel, machine) WHERE p.treated """
LET_IN_ON_CHANNEL: Final = _LET_IN + "AND p.channel = ? ORDER BY p.id"
LET_IN_OF_MACHINE: Final = _LET_IN + "AND p.machine = ? ORDER BY p.id"
"""Who was let into what since the last flush, for ``let_in``."""

# What the present bucket has brought, in memory: which machine has been treated in what.
_RECENT: Final = """CREATE TEMP TABLE recent (
    machine INTEGER NOT NULL, channel TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (machine, channel, number)) WITHOUT ROWID"""
_NOTE_RECENT: Final = """CREATE TEMP TRIGGER note_recent AFTER INSERT ON main.place
    WHEN NEW.treated BEGIN
    INSERT OR IGNORE INTO recent VALUES (NEW.machine, NEW.channel, NEW.number); END"""
_FILL_RECENT: Final = """INSERT OR IGNORE INTO recent
    SELECT machine, channel, number FROM fresh_place WHERE treated"""

_ROWS: Final = 50
"""Places of one statement. Between two statements the writer's thread waits for its turn among the
others of the process, which with a row each takes longer than to write it."""


def _append(rows: int) -> str:
    """The statement that appends so many places: a place's fields, boot and wall clock each."""
    # A machine is treated once a boarding. The gate's memory of that does not reach back for ever,
    # so what it offers again without a card (deck 0) is dropped here.
    values = ", ".join(["(?,?,?,?,?,?,?,?,?,?,?,?,?)"] * rows)
    return f"""INSERT INTO place SELECT NULL, column1, column2, column3, column4, column5, column6,
            column7, column8, column9, column12, column10, column13, column11
        FROM (VALUES {values}) AS new WHERE column4 != 0 OR NOT EXISTS (
            SELECT 1 FROM recent
            WHERE machine = new.column6 AND channel = new.column1 AND number = new.column2
            UNION ALL
            SELECT 1 FROM place_by_machine AS b CROSS JOIN place ON id = b.place  -- in this order
            WHERE b.machine = new.column6
            AND channel = new.column1 AND number = new.column2 AND treated)"""  # noqa: S608 - question marks


_APPEND_ONE: Final = _append(1)
_APPEND_ROWS: Final = _append(_ROWS)


def open_places(db: sqlite3.Connection) -> int:
    """Prepare a writer's connection; the row number of the last place, 0 for none."""
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(_RECENT)
    db.execute(_NOTE_RECENT)
    db.execute(_FILL_RECENT)
    return last_place(db)


def append_places(db: sqlite3.Connection, places: Sequence[Place], at: Instant) -> None:
    """Append places, within the caller's transaction and in their order."""
    rows = [(*place, at.boot, at.wall_ms) for place in places]
    # One statement does not see what it appends itself.
    distinct = len({(p.machine, p.channel, p.number) for p in places}) == len(places)
    together = len(rows) // _ROWS * _ROWS if distinct else 0
    for at_row in range(0, together, _ROWS):
        db.execute(_APPEND_ROWS, tuple(chain.from_iterable(rows[at_row : at_row + _ROWS])))
    db.executemany(_APPEND_ONE, rows[together:])


def last_place(db: sqlite3.Connection) -> int:
    """Row number of the newest place, 0 for none."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM place").fetchone()[0])


def let_in(rows: Iterable[tuple[str, int, int, int, int | None, int]]) -> dict[int, Standing]:
    """What machines are served since they were let into something, whatever ``standing`` says.

    Args:
        rows: Of ``LET_IN_ON_CHANNEL``, or those on one channel of ``LET_IN_OF_MACHINE``.

    Returns:
        Machine -> the last; when it was let in is later than what it had before.
    """
    last: dict[int, Standing] = {}
    for channel, machine, number, at_s, had, had_since_s in rows:
        before = last.get(machine)
        if before is None and had is not None:
            before = Standing(channel, machine, had, had_since_s)
        if before is None or before.number != number:
            since_s = at_s if before is None else max(at_s, before.since_s + 1)
            before = Standing(channel, machine, number, since_s)
        last[machine] = before
    return last


def follow_places(db: sqlite3.Connection, upto: int) -> None:
    """Keep places by machine too, within the caller's transaction.

    Args:
        db: A writer's.
        upto: Row number of the last one that follows. What its machines and those before it were
            served by it is in ``standing``.
    """
    db.execute(
        "INSERT OR IGNORE INTO place_by_machine "
        "SELECT machine, id FROM fresh_place WHERE id <= ? ORDER BY machine, id",
        (upto,),
    )
    db.execute(
        "INSERT OR REPLACE INTO by_machine_upto "
        "SELECT 1, max(?, coalesce(max(place), 0)) FROM by_machine_upto",
        (upto,),
    )
    db.execute("DELETE FROM recent")
    db.execute(_FILL_RECENT)
