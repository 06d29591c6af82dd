"""Every database says which one it is and how far its rows reach, for those who count on them."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.clocks import HandClock

from firedoor.adapters.store import gate, inbox, signals
from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.inbox import InboxReader, InboxWriter
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core.units import MachineNo
from firedoor.ports import Delivery, SignalEvent
from firedoor.services.order import Order
from firedoor.services.records import Bucket, Harmed


class GateFile:
    """gate.db; a row is a bucket."""

    name = gate.NAME

    def __init__(self, data: Path) -> None:
        self.data, self.clock = data, HandClock()

    def write(self) -> None:
        """Add a row, as a writer that has just started."""
        with closing(GateWriter(self.data)) as writer:
            writer.flush(Bucket("run", False, (), (), (), (), (), 1), self.clock.now())

    def reader(self) -> GateReader:
        """Open it to read."""
        return GateReader(self.data)


class IntakeFile:
    """intake.db; a row is an event in a batch of its own."""

    name = signals.NAME

    def __init__(self, data: Path) -> None:
        self.path, self.clock, self.keys = data / self.name, HandClock(), iter(range(100))

    def write(self) -> None:
        """Add a row, as a writer that has just started."""
        now = self.clock.now()
        event = SignalEvent(MachineNo(1), "panic", now.wall_ms, str(next(self.keys)), None)
        with closing(SignalDatabase(self.path)) as writer:
            writer.append(now, [Delivery((), (event,))])

    def reader(self) -> SignalReader:
        """Open it to read."""
        return SignalReader(self.path)


class ConsoleFile:
    """console.db; a row is an order."""

    name = inbox.NAME

    def __init__(self, data: Path) -> None:
        self.data = data

    def write(self) -> None:
        """Add a row, as a writer that has just started."""
        with closing(InboxWriter(self.data)) as writer:
            writer.put(Order(verb="sync", by="Amira"), 0)

    def reader(self) -> InboxReader:
        """Open it to read."""
        return InboxReader(self.data)


@pytest.fixture(params=[GateFile, IntakeFile, ConsoleFile])
def file(request, tmp_path):
    """A database of each role that the judge reads, with one row."""
    made = request.param(tmp_path)
    made.write()
    return made


def identity(file: GateFile | IntakeFile | ConsoleFile) -> str:
    with closing(file.reader()) as reader:
        return reader.identity()


def reached(file: GateFile | IntakeFile | ConsoleFile) -> list[int]:
    with closing(file.reader()) as reader:
        return list(reader.reached().values())


def remove(file: GateFile | IntakeFile | ConsoleFile, data: Path) -> None:
    for path in data.glob(f"{file.name}*"):
        path.unlink()


def test_a_database_is_the_same_one_after_a_restart(file):
    """A restart is no loss, and must not be taken for one."""
    before = identity(file)

    file.write()

    assert identity(file) == before
    assert len(before) == 32


def test_a_database_that_was_made_anew_is_another_one(file, tmp_path):
    """It looks as if nothing had ever happened; only its identity tells."""
    before = identity(file)
    remove(file, tmp_path)

    file.write()

    assert identity(file) != before


def test_the_numbers_reached_rise_with_the_rows_and_fall_with_an_older_copy(file, tmp_path):
    """A copy has the identity of what it was made of: its numbers are what gives it away."""
    before = identity(file)
    shutil.copy(tmp_path / file.name, tmp_path / "copy")
    file.write()
    higher = reached(file)
    remove(file, tmp_path)
    shutil.copy(tmp_path / "copy", tmp_path / file.name)

    assert set(higher) == {2}
    assert set(reached(file)) == {1}
    assert identity(file) == before


def test_a_database_of_an_earlier_version_gets_an_identity_when_its_writer_opens_it(file, tmp_path):
    """An upgrade asks nothing of anybody."""
    with closing(sqlite3.connect(tmp_path / file.name)) as old:
        old.execute("DROP TABLE identity")

    file.write()

    assert len(identity(file)) == 32
    assert set(reached(file)) == {2}


def test_pruning_never_takes_the_newest_sign_of_life(tmp_path):
    """Numbering would begin again below what the judge has read, and pass for an older copy."""
    file = GateFile(tmp_path)
    file.write()
    file.write()

    with closing(GateWriter(tmp_path)) as writer:
        writer.prune(file.clock.wall_ms + 1)
    file.write()

    assert reached(file) == [3]


# What the judge keeps of them


@pytest.fixture
def store(tmp_path):
    """The judge's own store."""
    opened = JudgeStore(tmp_path)
    yield opened
    opened.close()


def test_the_judge_remembers_which_database_it_has_read(store, tmp_path):
    """Beside its cursors, in the same step; and its own identity stays what it is."""
    own = store.identity()

    assert store.source("gate.db") == ""
    with store.step():
        store.put_source("gate.db", "ab" * 16)

    with closing(JudgeReader(tmp_path)) as reader:
        assert reader.source("gate.db") == "ab" * 16
        assert reader.identity() == own


def test_a_lost_place_leaves_its_row_to_another_member(store):
    """Two members of one row would stop the judge; and what was counted stays counted."""
    with store.step():
        store.add_harmed("av", 2, Harmed(7, 41, True, "silence", 10, 0))
        store.add_harmed("av", 2, Harmed(8, 42, True, "silence", 11, 0))
        store.lose_place(7)
        store.lose_place(8)
        store.add_harmed("av", 3, Harmed(7, 43, True, "silence", 12, 0))
        store.lose_place(7)

    assert [(h.place, h.machine) for h in store.harmed("av", 2)] == [(-1, 41), (-2, 42)]
    assert [(h.place, h.machine) for h in store.harmed("av", 3)] == [(-3, 43)]
    assert sorted(store.harmed_boardings()) == [("av", 2), ("av", 3)]


def test_answers_to_numbers_that_come_again_are_dropped(store):
    """The console would take an old answer for that to a new order."""
    with store.step():
        store.put_answer(4, "ok", "{}")
        store.put_answer(5, "ok", "{}")
        store.forget_answers(4)

    assert store.answer(4) is not None
    assert store.answer(5) is None
