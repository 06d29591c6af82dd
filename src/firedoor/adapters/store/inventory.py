"""Inventories in ``intake.db``: each list once, each item once, and who has which list.

Lists and items are counted by those that use them, and go when nobody does, so that a machine
that tells a new list every minute leaves no more behind than its last one.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from firedoor.adapters.store.register_schema import canonical
from firedoor.adapters.store.sqlite import storage_errors
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.inventory import Part, pack, unpack
from firedoor.ports import Inventory

TABLES: Final = (
    """CREATE TABLE item (
        no INTEGER PRIMARY KEY,
        text TEXT NOT NULL UNIQUE,
        used INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE stock (
        no INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        items BLOB NOT NULL,
        used INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE inventory (
        machine INTEGER NOT NULL,
        part INTEGER NOT NULL,
        stock INTEGER NOT NULL,
        since_s INTEGER NOT NULL,
        PRIMARY KEY (machine, part)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE profile (
        no INTEGER PRIMARY KEY,
        text TEXT NOT NULL UNIQUE,
        used INTEGER NOT NULL
    ) STRICT""",
    "CREATE TABLE told (machine INTEGER PRIMARY KEY, profile INTEGER NOT NULL) STRICT",
)

_PARTS: Final = tuple(Part)
_CODE: Final = {part: code for code, part in enumerate(_PARTS)}
_NAMES_A_STEP: Final = 500
_TEXTS_PARSED: Final = 4_096


def keep(connection: sqlite3.Connection, changed: Iterable[Inventory]) -> None:
    """Store what machines have now; the caller has begun a transaction."""
    for one in changed:
        key = (one.machine, _CODE[one.part])
        before = connection.execute(
            "SELECT stock FROM inventory WHERE machine = ? AND part = ?", key
        ).fetchone()
        stock = _stock_of(connection, one.digest, one.items)
        if before is not None and before[0] == stock:
            continue
        connection.execute("UPDATE stock SET used = used + 1 WHERE no = ?", (stock,))
        connection.execute(
            "INSERT OR REPLACE INTO inventory (machine, part, stock, since_s) VALUES (?, ?, ?, ?)",
            (*key, stock, one.since_ms // 1000),
        )
        if before is not None:
            _leave(connection, before[0])


def keep_told(connection: sqlite3.Connection, told: Mapping[MachineNo, Mapping[str, str]]) -> None:
    """Store the attributes that machines tell; the caller has begun a transaction."""
    for machine, attributes in told.items():
        before = connection.execute(
            "SELECT profile FROM told WHERE machine = ?", (machine,)
        ).fetchone()
        profile = connection.execute(
            "INSERT INTO profile (text, used) VALUES (?, 1)"
            " ON CONFLICT (text) DO UPDATE SET used = used + 1 RETURNING no",
            (canonical(attributes),),
        ).fetchone()[0]
        connection.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (machine, profile))
        if before is not None:
            connection.execute("UPDATE profile SET used = used - 1 WHERE no = ?", before)
            connection.execute("DELETE FROM profile WHERE no = ? AND used = 0", before)


def told(
    connection: sqlite3.Connection, file: str
) -> Iterator[tuple[MachineNo, Mapping[str, str]]]:
    """The attributes that each machine tells; what many have in common is one mapping."""
    parsed = lru_cache(_TEXTS_PARSED)(json.loads)
    with storage_errors(file):
        for machine, text in connection.execute(
            "SELECT machine, text FROM told JOIN profile ON no = profile"
        ):
            yield MachineNo(machine), parsed(text)


def told_by(connection: sqlite3.Connection, file: str, machine: MachineNo) -> Mapping[str, str]:
    """The attributes that one machine tells; empty where it tells none."""
    with storage_errors(file):
        row = connection.execute(
            "SELECT text FROM told JOIN profile ON no = profile WHERE machine = ?", (machine,)
        ).fetchone()
    return {} if row is None else json.loads(row[0])


def profiles(connection: sqlite3.Connection, file: str) -> Sequence[tuple[Mapping[str, str], int]]:
    """What is told, and by how many machines."""
    with storage_errors(file):
        rows = connection.execute("SELECT text, used FROM profile ORDER BY no").fetchall()
    return [(json.loads(text), used) for text, used in rows]


def of(connection: sqlite3.Connection, file: str, machine: MachineNo) -> Sequence[Inventory]:
    """Everything that one machine has, part by part."""
    with storage_errors(file):
        rows = connection.execute(
            "SELECT part, digest, items, since_s FROM inventory JOIN stock ON no = stock"
            " WHERE machine = ? ORDER BY part",
            (machine,),
        ).fetchall()
        return [
            Inventory(
                machine,
                _PARTS[part],
                digest,
                tuple(sorted(_texts(connection, unpack(items)).values())),
                UnixMs(since_s * 1000),
            )
            for part, digest, items, since_s in rows
        ]


def _stock_of(connection: sqlite3.Connection, digest: bytes, items: Sequence[str]) -> int:
    row = connection.execute("SELECT no FROM stock WHERE digest = ?", (digest,)).fetchone()
    if row is not None:
        return int(row[0])
    connection.executemany(
        "INSERT INTO item (text, used) VALUES (?, 1)"
        " ON CONFLICT (text) DO UPDATE SET used = used + 1",
        ((text,) for text in items),
    )
    numbers = [
        connection.execute("SELECT no FROM item WHERE text = ?", (text,)).fetchone()[0]
        for text in items
    ]
    made = connection.execute(
        "INSERT INTO stock (digest, items, used) VALUES (?, ?, 0)", (digest, pack(numbers))
    )
    return int(made.lastrowid or 0)


def _leave(connection: sqlite3.Connection, stock: int) -> None:
    connection.execute("UPDATE stock SET used = used - 1 WHERE no = ?", (stock,))
    gone = connection.execute(
        "DELETE FROM stock WHERE no = ? AND used = 0 RETURNING items", (stock,)
    ).fetchone()
    if gone is not None:
        numbers = [(number,) for number in unpack(gone[0])]
        connection.executemany("UPDATE item SET used = used - 1 WHERE no = ?", numbers)
        connection.executemany("DELETE FROM item WHERE no = ? AND used = 0", numbers)


def _texts(connection: sqlite3.Connection, numbers: Sequence[int]) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for at in range(0, len(numbers), _NAMES_A_STEP):
        step = numbers[at : at + _NAMES_A_STEP]
        marks = ", ".join("?" * len(step))
        rows = connection.execute(f"SELECT no, text FROM item WHERE no IN ({marks})", step)  # noqa: S608 - marks
        found.update(rows)
    return found
