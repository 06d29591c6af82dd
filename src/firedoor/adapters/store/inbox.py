"""console.db: what people asked for. Written by the console alone; the judge reads it."""

from pathlib import Path

import msgspec

from firedoor.adapters.store.sqlite import (
    Schema,
    open_reader,
    open_writer,
    storage_errors,
    transaction,
)
from firedoor.services.orders import Order

NAME = "console.db"

SCHEMA = Schema(
    version=1,
    statements=(
        "CREATE TABLE request (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL)",
    ),
)

_ORDER = msgspec.json.Decoder(Order)


class InboxWriter:
    """The console's side."""

    def __init__(self, data: Path) -> None:
        """Open or create ``console.db`` in the data directory."""
        self._db = open_writer(data / NAME, SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def put(self, order: Order, at_ms: int) -> int:
        """Store an order, durably; return its number. Raises Unavailable."""
        with transaction(self._db, NAME):
            body = msgspec.json.encode(order).decode()
            row = self._db.execute("INSERT INTO request VALUES (NULL,?,?)", (at_ms, body))
            return int(row.lastrowid or 0)


class InboxReader:
    """The judge's side, read-only."""

    def __init__(self, data: Path) -> None:
        """Open ``console.db``. Raises Unavailable while the console has never run."""
        self._db = open_reader(data / NAME, SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def version(self) -> int:
        """A number that changes whenever an order has come."""
        with storage_errors(NAME):
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def after(self, number: int) -> list[tuple[int, Order]]:
        """Orders above a number, in the order they came.

        One that cannot be read, of another version's console, has a verb that nobody obeys.
        """
        sql = "SELECT id, body FROM request WHERE id > ? ORDER BY id"
        with storage_errors(NAME):
            rows = self._db.execute(sql, (number,)).fetchall()
        return [(row[0], _read(row[1])) for row in rows]


def _read(body: str) -> Order:
    try:
        return _ORDER.decode(body)
    except msgspec.DecodeError:
        return Order(verb="unreadable", by="unknown")
