"""A judge that finds another database where the one lay that it has read."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.loop import AV, Loop, memory
from tests.unit.wire.test_restored import Bench

from firedoor.adapters.store import gate, inbox, signals
from firedoor.adapters.store.inbox import InboxReader, InboxWriter
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.door import Reason, State
from firedoor.core.errors import BadConfig, Unavailable
from firedoor.core.ledger.chain import Head
from firedoor.core.units import Digest
from firedoor.services.order import Order
from firedoor.wire.databases import prepare
from firedoor.wire.files import Files
from firedoor.wire.head import keep_head, read_head
from firedoor.wire.lease import LeasedBoard
from firedoor.wire.restored import Custody, Findings


class Vault(Bench):
    """A bench whose databases can be lost, each alone."""

    def copy(self, name: str) -> None:
        """Back up one database."""
        with (
            closing(sqlite3.connect(self.files.data / name)) as now,
            closing(sqlite3.connect(self.files.data / f"copy-{name}")) as copy,
        ):
            now.backup(copy)

    def lose(self, name: str, *, announced: bool = True) -> None:
        """Put the copy in the place of a database, or nothing where there is no copy.

        Args:
            name: Its file.
            announced: ``firedoor up`` looks at the files before the writers come back.
        """
        self.loop.let_go()
        self.inbox.close()
        for path in self.files.data.glob(f"{name}*"):
            path.unlink()
        if (copy := self.files.data / f"copy-{name}").exists():
            shutil.copy(copy, self.files.data / name)
        if announced:
            prepare(self.files)
        self.loop.take_up()
        self.inbox = InboxWriter(self.files.data)

    def look(self) -> None:
        """Let the judge come up and take a step."""
        with self.court():
            self.ask("sync", channel=AV)

    def alerts(self) -> list[str]:
        """What people were told, by notes alone."""
        bodies = [s.entry.body for s in self.loop.store.entries() if s.entry.kind == "note"]
        return [str(body["note"]) for body in bodies if body["alert"]]

    def is_blocked(self) -> bool:
        """Whether the channel boards nothing by itself."""
        return bool(self.loop.store.channel(AV).blocked)


@pytest.fixture
def vault() -> Iterator[Vault]:
    """Twenty machines, release 1 adopted, 2 in flight; a judge that has read everything."""
    with memory() as folder:
        loop = Loop(folder, 20)
        loop.settle_in()
        loop.crash(20)
        loop.bucket()
        made = Vault(loop)
        loop.publish("2")
        loop.bucket(2)
        assert loop.door(2).state is State.OPENING
        assert loop.treated(2)
        made.look()
        yield made
        made.close()
        loop.close()


def reason(vault: Vault) -> tuple[State, Reason]:
    (door,) = vault.loop.store.doors(AV, 2)
    return door.state, door.reason


# gate.db


@pytest.mark.parametrize("kept", [False, True])
def test_without_the_gates_records_nothing_in_flight_goes_on_by_itself(vault, kept):
    """Who drew the last cards is not known, whether the file is new or an older copy."""
    if kept:
        vault.copy(gate.NAME)
        vault.loop.bucket(2)
    vault.lose(gate.NAME)

    vault.look()

    assert reason(vault) == (State.HELD, Reason.RESTORED)
    assert vault.is_blocked()
    (alert,) = vault.alerts()
    assert alert.startswith("gate.db is not the database that was read before")


def test_a_loss_is_told_once(vault):
    """An alert at every restart would teach people to look away."""
    vault.lose(gate.NAME)
    vault.look()

    vault.look()

    assert len(vault.alerts()) == 1


def test_an_ordinary_restart_loses_nothing(vault):
    """Every start of every day passes here."""
    for name in (gate.NAME, signals.NAME, inbox.NAME):
        vault.copy(name)
        vault.lose(name)

    vault.look()

    assert reason(vault)[0] is State.OPENING
    assert vault.alerts() == []


def test_an_older_copy_that_nobody_announced_is_found_by_its_numbers(vault):
    """Its writer may have been started alone, and the identity is the one of the original."""
    vault.copy(gate.NAME)
    vault.loop.bucket(5)
    vault.lose(gate.NAME, announced=False)

    vault.look()

    assert reason(vault) == (State.HELD, Reason.RESTORED)


def test_a_gate_whose_records_the_judge_does_not_know_gets_no_lease(vault):
    """It would deal the first cards of a deck a second time: the harm budget, twice."""
    data = vault.files.data
    tick = vault.loop.store.last_tick()
    with closing(LeasedBoard(data, vault.loop.gate.identity())) as board:
        assert board.last_tick() == tick
    vault.lose(gate.NAME)

    with closing(LeasedBoard(data, vault.loop.gate.identity())) as board:
        unread = board.last_tick()
        vault.look()
        read = board.last_tick()

    assert unread is None
    assert read is not None


def test_the_lease_of_the_lost_records_ends_with_them(vault):
    """In the step that accepts the new ones the old lease must not come back to life."""
    loop, data = vault.loop, vault.files.data
    assert loop.store.last_tick()[0]
    vault.lose(gate.NAME)
    with closing(SignalReader(vault.files.signals)) as intake, closing(InboxReader(data)) as orders:
        custody = Custody(vault.files, loop.store, loop.gate, intake, orders)
        with loop.store.step():
            custody.begin_anew(custody.look())
        left = custody.look()

    assert loop.store.last_tick() == ("", 0, 0)
    assert left == Findings()


def test_machines_harmed_before_the_loss_stay_counted_and_stop_nobody(vault):
    """Their rows are given again: the judge must neither trip over them nor forget the harm."""
    loop = vault.loop
    loop.deadly.add(loop.release_of(2))
    loop.bucket(14)
    before = loop.store.harmed(AV, 2)
    assert any(each.treated for each in before)
    vault.lose(gate.NAME)

    vault.look()

    after = loop.store.harmed(AV, 2)
    assert sorted(h.machine for h in after) == sorted(h.machine for h in before)
    assert all(h.place < 0 for h in after)
    loop.start_judge()
    assert loop.flight(2).harmed["everyone"] == sum(h.treated for h in before)


# intake.db


def test_a_new_intake_is_read_from_its_beginning(vault):
    """Its first event has number 1, and a judge that has read a thousand would pass it over."""
    loop = vault.loop
    loop.crash(*loop.machines)
    loop.bucket()
    vault.look()
    assert loop.store.cursor("event") == 21
    vault.lose(signals.NAME)
    loop.crash(1, 2, 3)

    vault.look()

    assert loop.store.cursor("event") == 3
    assert reason(vault)[0] is not State.HELD
    (alert,) = vault.alerts()
    assert alert.startswith("intake.db is not the database that was read before")


def test_decks_that_are_open_read_a_new_intake_from_its_beginning_too(vault):
    """They remember where to begin again after a restart, in numbers of the lost one."""
    loop = vault.loop
    assert {(deck.batch, deck.event) for deck in loop.store.decks(AV, 2)} == {(1, 1)}
    vault.lose(signals.NAME)

    vault.look()

    assert {(deck.batch, deck.event) for deck in loop.store.decks(AV, 2)} == {(0, 0)}


# console.db


def test_an_order_to_a_new_console_gets_its_own_answer(vault):
    """Its number would be one that was answered long ago, with "ok"."""
    release = vault.loop.release_of(2)
    vault.lose(inbox.NAME)
    vault.look()

    with vault.court():
        status, _ = vault.ask("hold", release=release)

    assert status == "ok"
    assert reason(vault) == (State.HELD, Reason.PERSON)
    assert any(alert.startswith("console.db is not") for alert in vault.alerts())


def test_of_orders_in_another_console_only_what_protects_is_carried_out(vault):
    """Nobody can say when they were given, or what was decided since."""
    vault.lose(inbox.NAME)
    relaxing = vault.inbox.put(Order(verb="expedite", by="Amira", release="x", all=True), 0)
    protecting = vault.inbox.put(
        Order(verb="shut", by="Amira", release=vault.loop.release_of(2)), 0
    )

    with vault.court():
        relaxed, protected = vault.answer(relaxing), vault.answer(protecting)

    assert relaxed[0] == "Unavailable"
    assert protected[0] == "ok"
    assert reason(vault)[0] is State.SHUT


# judge.db


def test_boards_of_a_restored_judge_are_numbered_above_what_the_gate_obeys(vault):
    """Else a count of the lost board looks fresh, and a new board like one it has already."""
    loop = vault.loop
    vault.back_up()
    before = loop.store.board().version
    loop.order("shut", release=loop.release_of(2))
    loop.publish("3")
    loop.bucket(4)
    obeyed = loop.gate.obeyed()
    assert obeyed > before
    vault.restore()

    vault.look()

    assert loop.store.board().version > obeyed


# ledger.head


def elsewhere(vault: Vault) -> Path:
    """From now on the head is kept on another disk."""
    disk = vault.files.data.parent / "another-disk"
    disk.mkdir()
    vault.files = Files(vault.files.data, disk / "site.head")
    return disk


def test_every_lost_head_is_kept(vault):
    """Each is the only proof of the entries that it names."""
    heads = [Head(900, Digest("ab" * 32)), Head(800, Digest("cd" * 32))]
    for head in heads:
        keep_head(vault.files.ledger_head, head)
        vault.look()

    assert read_head(vault.files.data / "ledger.lost") == heads[0]
    assert read_head(vault.files.data / "ledger.lost.2") == heads[1]


def test_a_head_on_another_disk_shows_that_everything_else_was_restored(vault):
    """Ledger and head agree in a copy of both; the disk that was not restored tells."""
    disk = elsewhere(vault)
    vault.look()
    vault.back_up()
    vault.loop.order("hold", release=vault.loop.release_of(2))
    vault.look()
    kept = read_head(disk / "site.head")
    vault.restore()

    vault.look()

    assert not vault.files.own_head.exists()
    assert kept is not None
    assert any(f"of {kept.size} entries" in alert for alert in vault.alerts())
    assert read_head(disk / "site.lost") == kept
    assert vault.is_blocked()


def test_a_head_that_moves_to_another_disk_is_compared_on_the_way(vault):
    """The change of a key is no moment at which a loss may pass."""
    vault.look()
    head = read_head(vault.files.own_head)
    assert head is not None
    keep_head(vault.files.own_head, replace(head, size=head.size + 50))
    elsewhere(vault)

    vault.look()

    assert any(f"of {head.size + 50} entries" in alert for alert in vault.alerts())


def test_a_head_that_should_lie_on_another_disk_and_does_not_is_told(vault):
    """An empty mount point must not pass for a first start."""
    disk = elsewhere(vault)
    vault.look()
    (disk / "site.head").unlink()

    vault.look()

    (alert,) = vault.alerts()
    assert alert.startswith("there is a ledger and no head")
    assert read_head(disk / "site.head") is not None


def test_a_head_that_cannot_be_read_is_no_missing_one(tmp_path):
    """A folder under that name, or a file that is no head: somebody has to look."""
    (tmp_path / "broken").write_text("{}")

    with pytest.raises(Unavailable):
        read_head(tmp_path)
    with pytest.raises(BadConfig):
        read_head(tmp_path / "broken")


def test_the_judge_knows_its_sources_after_one_look(vault):
    """What was never read cannot be found replaced."""
    with closing(JudgeReader(vault.files.data)) as judge:
        known = judge.source(gate.NAME)

    assert known == vault.loop.gate.identity()
