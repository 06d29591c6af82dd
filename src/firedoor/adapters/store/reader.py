"""What every reader of another process's database can tell."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from firedoor.adapters.store.sqlite import Schema, identity_of, open_reader, storage_errors


class Reader:
    """Read-only. One thread at a time.

    Attributes:
        SEQUENCES: Cursor name -> table and column of the row numbers that others remember.
    """

    SEQUENCES: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def __init__(self, path: Path, schema: Schema) -> None:
        """Open a database. Raises Unavailable while its writer has never run."""
        self._name = path.name
        self._db: sqlite3.Connection = open_reader(path, schema)

    def close(self) -> None:
        """Close the database; the object is of no use afterwards."""
        self._db.close()

    def version(self) -> int:
        """A number that changes whenever the writer has written something."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def identity(self) -> str:
        """Which database this is: another one after the file was deleted or restored."""
        return identity_of(self._db, self._name)

    def reached(self) -> Mapping[str, int]:
        """Highest row number of each sequence that others read by number, 0 for no row."""
        return {
            cursor: int(self._rows(f"SELECT coalesce(max({column}), 0) FROM {table}")[0][0])  # noqa: S608 - names of our own tables
            for cursor, (table, column) in self.SEQUENCES.items()
        }

    def _rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        with storage_errors(self._name):
            return self._db.execute(sql, arguments).fetchall()
