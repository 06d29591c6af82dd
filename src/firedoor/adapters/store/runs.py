"""Runs of the judge alone, in console.db. Written and read by the console.

Their tables are no part of the schema that the judge's process checks: it reads requests alone,
and a console.db of before there were runs is as good as any.
"""

import threading
from pathlib import Path
from typing import Final

import msgspec

from firedoor.adapters.store.inbox import NAME, SCHEMA
from firedoor.adapters.store.sqlite import open_writer, storage_errors, transaction
from firedoor.formats.counts import Row
from firedoor.ports import Clock
from firedoor.services.alone import Question
from firedoor.services.parts import Parts
from firedoor.services.runs import KEEP_MS, MOST_RUNS, Run

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS run (
        name TEXT PRIMARY KEY, release TEXT NOT NULL, question TEXT NOT NULL,
        began_ms INTEGER NOT NULL, fed_ms INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS run_row (
        run TEXT NOT NULL REFERENCES run ON DELETE CASCADE, seq INTEGER NOT NULL,
        time_ms INTEGER NOT NULL, signal TEXT NOT NULL, stratum TEXT NOT NULL,
        treated INTEGER NOT NULL, control INTEGER NOT NULL, treated_harmed INTEGER NOT NULL,
        control_harmed INTEGER NOT NULL, installed INTEGER NOT NULL,
        PRIMARY KEY (run, seq)
    ) WITHOUT ROWID""",
)
_ADDED: Final = (
    ("run", "parts", "ALTER TABLE run ADD COLUMN parts TEXT NOT NULL DEFAULT 'null'"),
    ("run_row", "part", "ALTER TABLE run_row ADD COLUMN part TEXT NOT NULL DEFAULT ''"),
)
"""Columns that a console.db of before there were parts has not."""

_QUESTION: Final = msgspec.json.Decoder(Question | None)
_PARTS: Final = msgspec.json.Decoder(Parts | None)


class RunStore:
    """Implements ``Runs``. May be used from any thread, by several at once."""

    def __init__(
        self, data: Path, clock: Clock, *, most_runs: int = MOST_RUNS, keep_ms: int = KEEP_MS
    ) -> None:
        """Open or create ``console.db`` in the data directory.

        Args:
            data: The data directory.
            clock: For what is too old.
            most_runs: Runs that are kept.
            keep_ms: How long, after the last rows came.
        """
        self._db = open_writer(data / NAME, SCHEMA)
        self._clock = clock
        self._most_runs = most_runs
        self._keep_ms = keep_ms
        self._one = threading.Lock()
        with storage_errors(NAME):
            for statement in _TABLES:
                self._db.execute(statement)
            for table, column, statement in _ADDED:
                there = self._db.execute("SELECT name FROM pragma_table_info(?)", (table,))
                if (column,) not in there.fetchall():
                    self._db.execute(statement)

    def close(self) -> None:
        """Close the database."""
        with self._one:
            self._db.close()

    def load(self, name: str) -> Run | None:
        """See ``Runs``."""
        with self._one, storage_errors(NAME):
            head = self._db.execute(
                "SELECT release, question, began_ms, fed_ms, parts FROM run"
                " WHERE name = ? AND fed_ms > ?",
                (name, self._oldest()),
            ).fetchone()
            if head is None:
                return None
            release, asked, began_ms, fed_ms, parts = head
            rows = self._db.execute(
                "SELECT time_ms, signal, stratum, treated, control, treated_harmed,"
                " control_harmed, installed, '', part FROM run_row WHERE run = ? ORDER BY seq",
                (name,),
            ).fetchall()
        return Run(
            name=name,
            question=_QUESTION.decode(asked),
            rows=tuple(Row(row[0], release, *row[1:]) for row in rows),
            began_ms=began_ms,
            fed_ms=fed_ms,
            parts=_PARTS.decode(parts),
        )

    def save(self, run: Run, known: int) -> None:
        """See ``Runs``."""
        added = [
            (
                *(run.name, seq, row.time_ms, row.signal, row.stratum, row.treated, row.control),
                *(row.treated_harmed, row.control_harmed, row.installed, row.part),
            )
            for seq, row in enumerate(run.rows[known:], known)
        ]
        asked = msgspec.json.encode(run.question).decode()
        parts = msgspec.json.encode(run.parts).decode()
        with self._one, transaction(self._db, NAME):
            self._db.execute("DELETE FROM run WHERE fed_ms <= ?", (self._oldest(),))
            self._db.execute(
                "INSERT INTO run (name, release, question, began_ms, fed_ms, parts)"
                " VALUES (?,?,?,?,?,?) ON CONFLICT (name) DO UPDATE"
                " SET fed_ms = excluded.fed_ms, question = excluded.question",
                (run.name, run.release, asked, run.began_ms, run.fed_ms, parts),
            )
            self._db.executemany(
                "INSERT INTO run_row (run, seq, time_ms, signal, stratum, treated, control,"
                " treated_harmed, control_harmed, installed, part)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                added,
            )
            self._db.execute(
                "DELETE FROM run WHERE name NOT IN"
                " (SELECT name FROM run ORDER BY fed_ms DESC, name LIMIT ?)",
                (self._most_runs,),
            )

    def _oldest(self) -> int:
        return self._clock.now().wall_ms - self._keep_ms
