"""Signals on SQLite: ``intake.db``, written by the intake alone, read by judge and gate.

A commit is one row of ``batch`` with all machines that sent a heartbeat, 4 bytes each, and one
row of ``event`` for every other signal. Regular heartbeats are nearly all of the traffic, and
nobody ever asks for a single one, so they get no row of their own.
"""

import json
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from firedoor.adapters.store import inventory
from firedoor.adapters.store.reader import Reader
from firedoor.adapters.store.sqlite import (
    Schema,
    open_writer,
    storage_errors,
    transaction,
)
from firedoor.core.boots import Boot, JournalState
from firedoor.core.signal import RESTARTS, Reports
from firedoor.core.units import MachineNo, UnixMs
from firedoor.ports import (
    Delivery,
    HeardCollector,
    Instant,
    Inventory,
    Pulse,
    SignalEvent,
    StoredBatch,
    StoredBeat,
    StoredEvent,
)

NAME: Final = "intake.db"

_JOURNAL: Final = """CREATE TABLE journal (
            machine INTEGER PRIMARY KEY,
            since INTEGER NOT NULL,
            volatile INTEGER NOT NULL,
            boots TEXT NOT NULL
        ) STRICT"""

_COLLECTOR: Final = """CREATE TABLE collector (
            name TEXT PRIMARY KEY,
            boot TEXT NOT NULL,
            mono_ms INTEGER NOT NULL,
            wall_ms INTEGER NOT NULL,
            gap_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID"""

SCHEMA: Final = Schema(
    version=4,
    statements=(
        """CREATE TABLE batch (
            seq INTEGER PRIMARY KEY,
            boot TEXT NOT NULL,
            mono_ms INTEGER NOT NULL,
            wall_ms INTEGER NOT NULL,
            heartbeats BLOB NOT NULL
        ) STRICT""",
        # No foreign key to batch: they are pruned one after the other, in many commits.
        """CREATE TABLE event (
            seq INTEGER PRIMARY KEY,
            batch INTEGER NOT NULL,
            machine INTEGER NOT NULL,
            kind TEXT NOT NULL,
            time INTEGER NOT NULL,
            key TEXT NOT NULL,
            detail TEXT,
            shift INTEGER NOT NULL DEFAULT 0,
            UNIQUE (machine, kind, key)
        ) STRICT""",
        """CREATE TABLE beat (
            seq INTEGER PRIMARY KEY,
            boot TEXT NOT NULL,
            mono_ms INTEGER NOT NULL,
            wall_ms INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE pulse (
            machine INTEGER PRIMARY KEY,
            beating INTEGER NOT NULL,
            changed INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX pulse_changed ON pulse (changed)",
        *inventory.TABLES,
        _JOURNAL,
        _COLLECTOR,
    ),
    upgrades=MappingProxyType(
        {
            1: ("ALTER TABLE event ADD COLUMN shift INTEGER NOT NULL DEFAULT 0",),
            2: (*inventory.TABLES, _JOURNAL),
            3: (_COLLECTOR,),
        }
    ),
)

# Each step of a statement gives up the interpreter lock and has to win it back from the busy
# event loop, so a step must be worth it: many rows each. 512 rows are 4,096 of at most 32,766
# parameters.
_ROWS_PER_STEP: Final = (512, 64, 8, 1)
_COLUMNS: Final = 8
_INSERT: Final = (
    "INSERT OR IGNORE INTO event (seq, batch, machine, kind, time, key, detail, shift) VALUES "
)
_INSERT_ROWS: Final = {
    rows: _INSERT + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows) for rows in _ROWS_PER_STEP
}

# The newest row always stays: numbering goes on from it after a restart.
_FIRST_KEPT: Final = {
    "batch": "SELECT coalesce((SELECT seq FROM batch WHERE wall_ms >= ? ORDER BY seq LIMIT 1),"
    " (SELECT max(seq) FROM batch), 0)",
    "beat": "SELECT coalesce((SELECT seq FROM beat WHERE wall_ms >= ? ORDER BY seq LIMIT 1),"
    " (SELECT max(seq) FROM beat), 0)",
    # An event is as old as its batch: here the value is the first batch that is kept.
    "event": "SELECT coalesce((SELECT seq FROM event WHERE batch >= ? ORDER BY seq LIMIT 1),"
    " (SELECT max(seq) FROM event), 0)",
}
_PRUNE: Final = {
    "batch": "DELETE FROM batch WHERE seq IN"
    " (SELECT seq FROM batch WHERE seq < ? ORDER BY seq LIMIT ?)",
    "beat": "DELETE FROM beat WHERE seq IN"
    " (SELECT seq FROM beat WHERE seq < ? ORDER BY seq LIMIT ?)",
    "event": "DELETE FROM event WHERE seq IN"
    " (SELECT seq FROM event WHERE seq < ? ORDER BY seq LIMIT ?)",
}
_PRUNED_PER_COMMIT: Final = 1_000


_COLLECTORS: Final = "SELECT name, gap_ms, boot, mono_ms, wall_ms FROM collector ORDER BY name"


class SignalDatabase:
    """The writer's side. There must be one per file; one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the database; create it if it is missing.

        Raises:
            BadConfig: The file has another schema version.
            Unavailable: The file cannot be opened or the disk is full.
        """
        self._file = path.name
        self._connection = open_writer(path, SCHEMA)
        # Numbered here rather than by SQLite, to tell afterwards which rows were duplicates.
        with storage_errors(self._file):
            self._last_event, self._last_batch, self._last_change = self._connection.execute(
                "SELECT coalesce((SELECT max(seq) FROM event), 0),"
                " coalesce((SELECT max(seq) FROM batch), 0),"
                " coalesce((SELECT max(changed) FROM pulse), 0)"
            ).fetchone()

    def close(self) -> None:
        """Close the database file; the object is of no use afterwards."""
        self._connection.close()

    def append(self, received: Instant, deliveries: Sequence[Delivery]) -> Sequence[int]:
        """Store deliveries as one batch, atomically; see the port."""
        batch = self._last_batch + 1
        first = self._last_event + 1
        heartbeats = set(chain.from_iterable(d.heartbeats for d in deliveries))
        events = list(chain.from_iterable(d.events for d in deliveries))
        with transaction(self._connection, self._file):
            self._connection.execute(
                "INSERT INTO batch (seq, boot, mono_ms, wall_ms, heartbeats)"
                " VALUES (?, ?, ?, ?, ?)",
                (batch, received.boot, received.mono_ms, received.wall_ms, _packed(heartbeats)),
            )
            new = self._insert(events, first, batch)
            for machine, state in chain.from_iterable(d.journals.items() for d in deliveries):
                self._connection.execute(
                    "INSERT OR REPLACE INTO journal (machine, since, volatile, boots)"
                    " VALUES (?, ?, ?, ?)",
                    (machine, state.since_ms, state.volatile, _written(state.boots)),
                )
            counts = (
                [len(d.events) for d in deliveries]
                if new == len(events)
                else self._count_new(deliveries, first)
            )
        self._last_batch = batch
        self._last_event += len(events)
        return counts

    def beat(self, at: Instant) -> None:
        """Record that the intake was listening until ``at``; see the port."""
        with transaction(self._connection, self._file):
            self._connection.execute(
                "INSERT INTO beat (boot, mono_ms, wall_ms) VALUES (?, ?, ?)",
                (at.boot, at.mono_ms, at.wall_ms),
            )

    def mark(self, machines: Sequence[MachineNo], reports: Reports) -> None:
        """Record how these machines report from now on; see the port."""
        if not machines:
            return
        change = self._last_change + 1
        with transaction(self._connection, self._file):
            self._connection.execute(
                "INSERT INTO pulse (machine, beating, changed)"
                " SELECT value, ?, ? + key FROM json_each(?) WHERE true"
                " ON CONFLICT (machine) DO UPDATE SET"
                " beating = excluded.beating, changed = excluded.changed",
                (reports.value, change, json.dumps([int(machine) for machine in machines])),
            )
        self._last_change += len(machines)

    def reporting(self) -> Mapping[MachineNo, Reports]:
        """How each machine reports that does; see the port."""
        with storage_errors(self._file):
            rows = self._connection.execute(
                "SELECT machine, beating FROM pulse WHERE beating ORDER BY machine"
            ).fetchall()
        return {MachineNo(machine): Reports(how) for machine, how in rows}

    def keep_inventories(
        self, changed: Sequence[Inventory], told: Mapping[MachineNo, Mapping[str, str]]
    ) -> None:
        """Store what machines have and tell of themselves now; see the port."""
        with transaction(self._connection, self._file):
            inventory.keep(self._connection, changed)
            inventory.keep_told(self._connection, told)

    def told(self) -> Iterator[tuple[MachineNo, Mapping[str, str]]]:
        """The attributes that each machine tells; see the port."""
        return inventory.told(self._connection, self._file)

    def collectors(self) -> Sequence[HeardCollector]:
        """Collectors that have sent anything; see the port."""
        with storage_errors(self._file):
            return [_heard(row) for row in self._connection.execute(_COLLECTORS)]

    def keep_collectors(self, heard: Sequence[HeardCollector]) -> None:
        """Record when collectors were heard; see the port."""
        rows = [
            (each.name, each.heard.boot, each.heard.mono_ms, each.heard.wall_ms, each.gap_ms)
            for each in heard
        ]
        with transaction(self._connection, self._file):
            self._connection.executemany(
                "INSERT OR REPLACE INTO collector VALUES (?, ?, ?, ?, ?)", rows
            )

    def journal(self, machine: MachineNo) -> JournalState | None:
        """What is remembered of a machine's journal; see the port."""
        with storage_errors(self._file):
            row = self._connection.execute(
                "SELECT since, volatile, boots FROM journal WHERE machine = ?", (machine,)
            ).fetchone()
        return None if row is None else JournalState(row[0], _read(row[2]), bool(row[1]))

    def prune(self, before_wall_ms: UnixMs) -> int:
        """Forget batches, their events, and beats before a wall time; see the port.

        Commits every thousand rows, so that signals need not wait for the end. A repeat of an
        event that was forgotten is a new one.
        """
        first_batch = self._first_kept("batch", before_wall_ms)
        # Events first: broken off in between, the rest is found by the same batch next time.
        self._prune("event", self._first_kept("event", first_batch))
        batches = self._prune("batch", first_batch)
        self._prune("beat", self._first_kept("beat", before_wall_ms))
        with transaction(self._connection, self._file):
            # One that was revoked is never heard again.
            sql = "DELETE FROM collector WHERE wall_ms < ?"
            self._connection.execute(sql, (before_wall_ms,))
        return batches

    def _insert(self, events: Sequence[SignalEvent], first: int, batch: int) -> int:
        new, at = 0, 0
        values: list[int | str | None] = []
        for seq, event in enumerate(events, first):
            values += (seq, batch, *event)  # its fields are in the order of the columns
        for rows in _ROWS_PER_STEP:
            while len(values) - at >= rows * _COLUMNS:
                step = values[at : at + rows * _COLUMNS]
                new += self._connection.execute(_INSERT_ROWS[rows], step).rowcount
                at += rows * _COLUMNS
        return new

    def _count_new(self, deliveries: Sequence[Delivery], first: int) -> Sequence[int]:
        row = self._connection.execute(
            "SELECT json_group_array(seq) FROM (SELECT seq FROM event WHERE seq >= ? ORDER BY seq)",
            (first,),
        ).fetchone()
        stored = json.loads(row[0])
        counts, start = [], first
        for delivery in deliveries:
            end = start + len(delivery.events)
            counts.append(bisect_left(stored, end) - bisect_left(stored, start))
            start = end
        return counts

    def _first_kept(self, table: str, bound: int) -> int:
        with storage_errors(self._file):
            return int(self._connection.execute(_FIRST_KEPT[table], (bound,)).fetchone()[0])

    def _prune(self, table: str, first_kept: int) -> int:
        total = 0
        while True:
            with transaction(self._connection, self._file):
                step = (first_kept, _PRUNED_PER_COMMIT)
                gone = self._connection.execute(_PRUNE[table], step).rowcount
            total += gone
            if gone < _PRUNED_PER_COMMIT:
                return total


class SignalReader(Reader):
    """The reader's side, for judge and gate. One thread at a time."""

    SEQUENCES = MappingProxyType({"batch": ("batch", "seq"), "event": ("event", "seq")})

    def __init__(self, path: Path) -> None:
        """Open the database of a running or stopped intake.

        Raises:
            BadConfig: The file has another schema version.
            Unavailable: The file is missing or cannot be opened.
        """
        super().__init__(path, SCHEMA)

    def batches_after(self, seq: int, limit: int) -> Sequence[StoredBatch]:
        """The next batches by position, at most ``limit``."""
        rows = self._rows(
            "SELECT seq, boot, mono_ms, wall_ms, heartbeats FROM batch"
            " WHERE seq > ? ORDER BY seq LIMIT ?",
            seq,
            limit,
        )
        return [
            StoredBatch(no, Instant(boot, mono, wall), _unpacked(heartbeats))
            for no, boot, mono, wall, heartbeats in rows
        ]

    def events_after(self, seq: int, limit: int) -> Sequence[StoredEvent]:
        """The next events by position, at most ``limit``."""
        rows = self._rows(
            "SELECT event.seq, batch, machine, kind, time, key, detail, shift,"
            " boot, mono_ms, wall_ms"
            " FROM event LEFT JOIN batch ON batch.seq = batch"
            " WHERE event.seq > ? ORDER BY event.seq LIMIT ?",
            seq,
            limit,
        )
        return [
            StoredEvent(
                seq=no,
                batch=batch,
                received=None if boot is None else Instant(boot, mono, wall),
                event=SignalEvent(machine, kind, time, key, detail, shift),
            )
            for no, batch, machine, kind, time, key, detail, shift, boot, mono, wall in rows
        ]

    def beats_after(self, seq: int) -> Sequence[StoredBeat]:
        """All later beats by position."""
        rows = self._rows(
            "SELECT seq, boot, mono_ms, wall_ms FROM beat WHERE seq > ? ORDER BY seq", seq
        )
        return [StoredBeat(no, Instant(boot, mono, wall)) for no, boot, mono, wall in rows]

    def collectors(self) -> Sequence[HeardCollector]:
        """Collectors that have sent anything; see the port."""
        return [_heard(row) for row in self._rows(_COLLECTORS)]

    def inventory(self, machine: MachineNo) -> Sequence[Inventory]:
        """Everything that one machine has, part by part."""
        return inventory.of(self._db, self._name, machine)

    def restarted(self, machine: MachineNo) -> UnixMs | None:
        """When a machine last told of a restart, of those that are kept; None: never."""
        marks = ", ".join("?" * len(RESTARTS))
        sql = f"SELECT max(time) FROM event WHERE machine = ? AND kind IN ({marks})"  # noqa: S608 - marks
        ((time,),) = self._rows(sql, machine, *(kind.value for kind in RESTARTS))
        return None if time is None else UnixMs(time)

    def volatile(self, machine: MachineNo) -> bool | None:
        """Whether a machine's journal lies in memory alone; None: it has sent none."""
        rows = self._rows("SELECT volatile FROM journal WHERE machine = ?", machine)
        return bool(rows[0][0]) if rows else None

    def told(self, machine: MachineNo) -> Mapping[str, str]:
        """The attributes that one machine tells; empty where it tells none."""
        return inventory.told_by(self._db, self._name, machine)

    def profiles(self) -> Sequence[tuple[Mapping[str, str], int]]:
        """What is told, and by how many machines."""
        return inventory.profiles(self._db, self._name)

    def pulses_after(self, changed: int) -> Sequence[Pulse]:
        """The present pulse of every machine whose pulse changed later, by change."""
        rows = self._rows(
            "SELECT changed, machine, beating FROM pulse WHERE changed > ? ORDER BY changed",
            changed,
        )
        return [Pulse(change, machine, Reports(how)) for change, machine, how in rows]


def _written(boots: Iterable[Boot]) -> str:
    return json.dumps([(each.boot, each.machine, each.stopped) for each in boots])


def _heard(row: tuple[Any, ...]) -> HeardCollector:
    return HeardCollector(row[0], Instant(*row[2:]), row[1])


def _read(text: str) -> tuple[Boot, ...]:
    return tuple(Boot(boot, machine, stopped) for boot, machine, stopped in json.loads(text))


def _packed(machines: Iterable[MachineNo]) -> bytes:
    numbers = array("I", sorted(machines))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _unpacked(blob: bytes) -> Sequence[MachineNo]:
    numbers = array("I", blob)
    if sys.byteorder == "big":
        numbers.byteswap()
    # An array of integers; MachineNo exists for the type checker alone.
    return cast("Sequence[MachineNo]", numbers)
