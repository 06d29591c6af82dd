"""What is remembered of machines' journals, in the store that the intake writes."""

import sqlite3
from contextlib import closing

import pytest

from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core.boots import Boot, JournalState
from firedoor.core.errors import Unavailable
from firedoor.core.units import MachineNo, UnixMs
from firedoor.ports import Delivery, Instant, SignalEvent

AT = Instant("boot-1", 600_000, UnixMs(1_721_362_140_000))
TILL = MachineNo(7)
STATE = JournalState(5, (Boot("a", "m", stopped=True), Boot("b", "m")), volatile=True)

# As version 2 created it, with one event.
SECOND = [
    """CREATE TABLE batch (seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
        wall_ms INTEGER NOT NULL, heartbeats BLOB NOT NULL) STRICT""",
    """CREATE TABLE event (seq INTEGER PRIMARY KEY, batch INTEGER NOT NULL,
        machine INTEGER NOT NULL, kind TEXT NOT NULL, time INTEGER NOT NULL, key TEXT NOT NULL,
        detail TEXT, shift INTEGER NOT NULL DEFAULT 0, UNIQUE (machine, kind, key)) STRICT""",
    """CREATE TABLE beat (seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
        wall_ms INTEGER NOT NULL) STRICT""",
    """CREATE TABLE pulse (machine INTEGER PRIMARY KEY, beating INTEGER NOT NULL,
        changed INTEGER NOT NULL) STRICT""",
    "CREATE INDEX pulse_changed ON pulse (changed)",
    "INSERT INTO batch VALUES (1, 'boot-1', 1, 2, x'')",
    "INSERT INTO event VALUES (1, 1, 7, 'panic', 3, 'k', NULL, 4)",
    "PRAGMA user_version = 2",
]


def test_what_is_remembered_of_a_journal_is_there_after_a_restart(tmp_path):
    """It says how the boot before ended, which the machine does not say twice."""
    with closing(SignalDatabase(tmp_path / "intake.db")) as store:
        assert store.journal(TILL) is None
        store.append(AT, [Delivery((), (), {TILL: JournalState(5)})])
        store.append(AT, [Delivery((), (), {TILL: STATE})])
    with closing(SignalDatabase(tmp_path / "intake.db")) as store:
        assert store.journal(TILL) == STATE
        assert store.journal(MachineNo(8)) is None


def test_signals_and_what_is_remembered_of_them_are_stored_together_or_not_at_all(tmp_path):
    """A boot that is known and whose signal is lost would never be told of again."""
    with closing(SignalDatabase(tmp_path / "intake.db")) as store:
        store.append(AT, [Delivery((), (), {TILL: JournalState(5)})])
        full = SignalEvent(TILL, "panic", UnixMs(1), "k", "x" * 1_000_000)
        store._connection.execute("PRAGMA max_page_count = 20")  # noqa: SLF001 - a full disk
        with pytest.raises(Unavailable):
            store.append(AT, [Delivery((), (full,), {TILL: STATE})])
        assert store.journal(TILL) == JournalState(5)


def test_a_database_of_version_2_is_brought_up_by_its_writer_alone(tmp_path):
    """Nothing that was acknowledged is lost by an upgrade; who reads waits for who writes."""
    path = tmp_path / "intake.db"
    with closing(sqlite3.connect(path)) as old:
        for statement in SECOND:
            old.execute(statement)
        old.commit()

    with pytest.raises(Unavailable):
        SignalReader(path)
    with closing(SignalDatabase(path)) as store, closing(SignalReader(path)) as reader:
        [stored] = reader.events_after(0, 10)
        assert (stored.event.key, stored.event.shift_ms) == ("k", 4)
        store.append(AT, [Delivery((), (), {TILL: STATE})])
        assert store.journal(TILL) == STATE
