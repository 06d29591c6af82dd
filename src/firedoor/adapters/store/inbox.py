"""console.db: what people asked for. Written by the console alone; the judge reads it."""

from pathlib import Path
from types import MappingProxyType

import msgspec

from firedoor.adapters.store.reader import Reader
from firedoor.adapters.store.sqlite import Schema, open_writer, transaction
from firedoor.services.order import Order

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

    def number_above(self, number: int) -> None:
        """Let orders be numbered above those that another ``console.db`` has used.

        A number is an order's name: under one that was answered already, the console would take
        the old answer for its own. Raises Unavailable.
        """
        with transaction(self._db, NAME):
            # SQLite counts on from the highest row. Nobody reads this one: the judge is past it.
            self._db.execute("INSERT OR IGNORE INTO request VALUES (?, 0, '')", (number,))


class InboxReader(Reader):
    """The judge's side, read-only."""

    SEQUENCES = MappingProxyType({"request": ("request", "id")})

    def __init__(self, data: Path) -> None:
        """Open ``console.db``. Raises Unavailable while the console has never run."""
        super().__init__(data / NAME, SCHEMA)

    def after(self, number: int) -> list[tuple[int, Order]]:
        """Orders above a number, in the order they came.

        One that cannot be read, of another version's console, has a verb that nobody obeys.
        """
        sql = "SELECT id, body FROM request WHERE id > ? ORDER BY id"
        return [(row[0], _read(row[1])) for row in self._rows(sql, number)]


def _read(body: str) -> Order:
    try:
        return _ORDER.decode(body)
    except msgspec.DecodeError:
        return Order(verb="unreadable", by="unknown")
