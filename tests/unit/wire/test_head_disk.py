"""The disk of the ledger's head goes away while the judge runs, and a database changes in place."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.loop import AV, Loop, memory
from tests.unit.wire.test_replaced import Vault
from tests.unit.wire.test_restored import WITHIN_S, snapshot

from firedoor.adapters.store import gate
from firedoor.adapters.store.judge import JudgeReader
from firedoor.core.door import Reason, State
from firedoor.core.ledger.chain import Head
from firedoor.core.ledger.entry import leaf_hash
from firedoor.core.units import Digest
from firedoor.wire.files import Files
from firedoor.wire.head import keep_head, read_head
from firedoor.wire.mirroring import Result

BUCKET_MS = 100
# Longer than the judge waits before it looks at a missing disk again, several times over.
A_WHILE_S = 3.5


class Safe(Vault):
    """A vault whose head lies on a disk of its own, and whose judge ticks quickly."""

    def __init__(self, loop: Loop) -> None:
        """The disk is there."""
        super().__init__(loop)
        times = replace(loop.config.time, bucket_ms=BUCKET_MS)
        loop.config = replace(loop.config, time=times)
        self.disk = self.files.data.parent / "disk"
        self.disk.mkdir()
        self.files = Files(self.files.data, self.disk / "site.head")

    def unplug(self) -> None:
        """The disk goes, with the head on it."""
        self.disk.rename(self.disk.with_suffix(".gone"))

    def plug_in(self) -> None:
        """It comes back."""
        self.disk.with_suffix(".gone").rename(self.disk)

    def until(self, happened: Callable[[JudgeReader], Any], what: str) -> None:
        """Wait until the judge's store says so."""
        with closing(JudgeReader(self.files.data)) as judge:
            for _ in range(int(WITHIN_S / 0.02)):
                if happened(judge):
                    return
                time.sleep(0.02)
        raise AssertionError(f"never: {what}")

    def until_told(self, beginning: str) -> None:
        """Wait for an alert."""
        self.until(lambda judge: any(t.startswith(beginning) for t in told(judge)), beginning)

    def state(self) -> tuple[State, Reason]:
        """Where the door of release 2 is."""
        with closing(JudgeReader(self.files.data)) as judge:
            (door,) = judge.doors(AV, 2)
        return door.state, door.reason


def told(judge: JudgeReader) -> list[str]:
    """What people were told, by notes alone."""
    bodies = [s.entry.body for s in judge.entries() if s.entry.kind == "note"]
    return [str(body["note"]) for body in bodies if body["alert"]]


NOT_KEPT = "the ledger's head is not kept"
KEPT_AGAIN = "the ledger's head is kept again"


@pytest.fixture
def safe() -> Iterator[Safe]:
    """Twenty machines, release 1 adopted, 2 in flight; a judge that has kept a head."""
    with memory() as folder:
        loop = Loop(folder, 20)
        loop.settle_in()
        loop.crash(20)
        loop.bucket()
        loop.publish("2")
        loop.bucket(2)
        assert loop.door(2).state is State.OPENING
        made = Safe(loop)
        made.keep()
        made.look()
        assert made.alerts() == []
        yield made
        made.close()
        loop.close()


def test_a_head_that_cannot_be_kept_is_told_once_and_the_alert_leaves(safe: Safe) -> None:
    """An entry a second would fill the disk, and an alert that is not sent warns nobody."""
    heard: list[str] = []
    safe.alert = lambda alert: heard.append(str(alert.get("note", "")))
    safe.unplug()

    with safe.court():
        safe.until_told(NOT_KEPT)
        time.sleep(A_WHILE_S)
    with safe.court():
        safe.until(lambda judge: judge.last_index() > 0, "it is up again")
        time.sleep(A_WHILE_S / 2)

    with closing(JudgeReader(safe.files.data)) as judge:
        (only,) = told(judge)
    assert "site.head" in only
    assert only in heard


def test_the_disk_may_go_while_the_judge_runs(safe: Safe) -> None:
    """Nobody restarts the judge when a stick is pulled."""
    release = safe.loop.release_of(2)

    with safe.court():
        safe.ask("sync", channel=AV)
        safe.unplug()
        safe.ask("hold", release=release)
        safe.until_told(NOT_KEPT)
        assert safe.ask("shut", release=release)[0] == "ok"
        assert safe.ask("sync", channel=AV)[0] == "Unavailable"

    assert safe.state() == (State.SHUT, Reason.PERSON)


def test_while_the_head_is_not_kept_people_hold_and_shut_and_nothing_opens(safe: Safe) -> None:
    """A backup restored later would not be found by what is decided now."""
    loop, release = safe.loop, safe.loop.release_of(2)
    safe.unplug()

    with safe.court() as mirror, closing(JudgeReader(safe.files.data)) as judge:
        safe.until_told(NOT_KEPT)
        tick = judge.last_tick()
        decks = len(judge.decks(AV, 2))
        loop.clock.pass_ms(60_000)
        mirror.results.put(Result(AV, snapshot("3"), ""))
        assert safe.ask("hold", release=release)[0] == "ok"
        resumed, why = safe.ask("resume", release=release)
        widened = safe.ask("expedite", release=release, reason="now")[0]
        time.sleep(10 * BUCKET_MS / 1000)
        assert safe.state() == (State.HELD, Reason.PERSON)
        assert safe.ask("shut", release=release)[0] == "ok"
        lanes = [lane for board in judge.board().channels for lane in board.lanes]

    assert (resumed, widened) == ("Unavailable", "Unavailable")
    assert "site.head" in why
    assert safe.state() == (State.SHUT, Reason.PERSON)
    assert [lane.candidate for lane in lanes] == [0]
    assert len(loop.store.boardings(AV)) == 2
    assert len(loop.store.decks(AV, 2)) == decks
    # No lease: the gate enrols nobody.
    assert loop.store.last_tick() == tick


def test_harm_is_heard_while_the_head_is_not_kept(safe: Safe) -> None:
    """The machines that have the bad release cannot wait for somebody with a new disk."""
    safe.unplug()

    with safe.court():
        safe.until_told(NOT_KEPT)
        with closing(JudgeReader(safe.files.data)) as judge:
            read = judge.cursor("event")
        safe.loop.crash(*safe.loop.treated(2))
        safe.until(lambda judge: judge.cursor("event") > read, "the crashes are read")


def test_a_judge_that_may_open_nothing_still_shuts_what_harms() -> None:
    """Shutting protects whatever else is broken."""
    with memory() as folder, closing(Loop(folder, 60)) as loop:
        loop.settle_in()
        loop.deadly.add(loop.publish("2"))
        loop.bucket(2)
        assert loop.door(2).state is State.OPENING
        assert loop.treated(2)
        loop.judge.tick = partial(loop.judge.tick, opens=False)  # type: ignore[method-assign]  # as the court calls it

        loop.bucket(30)

        assert loop.door(2).state is State.SHUT


def test_a_door_that_is_cleared_waits_until_the_head_is_kept() -> None:
    """A restored backup would not know that it opened, and nothing would tell."""
    with memory() as folder, closing(Loop(folder, policy="delta = 0.5", soak="30m")) as loop:
        loop.settle_in()
        loop.publish("2")
        loop.bucket(40)
        safe = Safe(loop)
        safe.keep()
        for _ in range(60):  # The judge is down; the gate counts on.
            loop.clock.pass_ms(60_000)
            for machine in loop.machines:
                loop.poll(machine)
            loop.flush()
        safe.unplug()

        with safe.court():
            safe.until_told(NOT_KEPT)
            time.sleep(10 * BUCKET_MS / 1000)
            assert safe.state()[0] is State.OPENING
            safe.plug_in()
            safe.until(lambda _: safe.state()[0] is State.OPEN, "it opens")
        safe.close()


def test_when_the_disk_is_back_everything_goes_on(safe: Safe) -> None:
    """Nobody should have to restart anything."""
    safe.unplug()

    with safe.court() as mirror:
        safe.until_told(NOT_KEPT)
        mirror.results.put(Result(AV, snapshot("3"), ""))
        safe.plug_in()
        safe.until_told(KEPT_AGAIN)
        assert safe.ask("sync", channel=AV)[0] == "ok"
        safe.until(lambda judge: len(judge.snapshots(AV)) == 3, "release 3 is taken over")
        safe.ask("sync", channel=AV)

    last = safe.loop.store.entries()[-1].entry
    assert read_head(safe.files.ledger_head) == Head(last.index + 1, leaf_hash(last))
    assert len(safe.alerts()) == 2
    safe.unplug()
    with safe.court():
        safe.until(lambda judge: sum(t.startswith(NOT_KEPT) for t in told(judge)) == 2, "told anew")


def test_the_head_of_a_disk_that_is_back_is_compared_first(safe: Safe) -> None:
    """The ledger may have been restored while the disk was away; it must not be overwritten."""
    ahead = Head(900, Digest("ab" * 32))
    keep_head(safe.files.ledger_head, ahead)
    safe.unplug()

    with safe.court():
        safe.until_told(NOT_KEPT)
        assert safe.state()[0] is State.OPENING
        safe.plug_in()
        safe.until_told("a restored ledger ends")
        safe.until_told(KEPT_AGAIN)

    assert safe.state() == (State.HELD, Reason.RESTORED)
    assert read_head(safe.disk / "site.lost") == ahead


@pytest.mark.parametrize("kind", ["folder", "no head"])
def test_a_head_that_cannot_be_read_stops_no_shut(safe: Safe, kind: str) -> None:
    """A judge that ended over it would obey nobody, and its door would stay open."""
    path = safe.files.ledger_head
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.write_text("{}")

    with safe.court():
        safe.until_told(NOT_KEPT)
        assert safe.ask("shut", release=safe.loop.release_of(2))[0] == "ok"

    # What lies there may be a proof: nobody overwrites it.
    assert path.is_dir() if kind == "folder" else path.read_text() == "{}"


def test_an_older_copy_put_into_the_open_gate_db_is_found_by_the_running_judge(safe: Safe) -> None:
    """`.restore` of SQLite's shell leaves the file where it is: only its numbers go back."""
    data: Path = safe.files.data
    safe.copy(gate.NAME)
    safe.loop.bucket(5)

    with safe.court():
        safe.ask("sync", channel=AV)
        with (
            closing(sqlite3.connect(data / f"copy-{gate.NAME}")) as copy,
            closing(sqlite3.connect(data / gate.NAME)) as live,
        ):
            copy.backup(live)
        safe.until_told("gate.db is not the database")

    assert safe.state() == (State.HELD, Reason.RESTORED)
