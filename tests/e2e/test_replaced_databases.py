"""Files are deleted and restored under the running product: nothing is passed over in silence."""

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from tests.tree import Tree, until

from firedoor.core.door import Door, Reason, State
from firedoor.core.errors import Unavailable
from firedoor.simulator.stage import CHANNEL

MACHINES = 30

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def tree(tmp_path) -> Iterator[Tree]:
    """A fleet that runs release 1, and cards of release 2 that have been drawn.

    A budget of a few machines: the door stays on its way for as long as a test needs it.
    """
    tree = Tree(tmp_path, budget="4")
    tree.publish("1.0")
    with tree:
        tree.let_live(MACHINES, heartbeating=0.5)
        until(tree.is_ready, "the fleet is ready", tree.tail)
        tree.publish("2.0")
        until(lambda: tree.is_at(2, "opening"), "it boards", tree.tail)
        until(lambda: cards(tree), "cards are drawn", tree.tail)
        yield tree


def cards(tree: Tree) -> list[tuple[int, int]]:
    """Deck and card of every draw of release 2 that is on record."""
    with tree.gate() as gate:
        places = [stored.place for stored in gate.places_of(CHANNEL, 2)]
    return [(place.deck, place.card) for place in places if place.deck]


def remove(tree: Tree, name: str) -> None:
    """Delete a database with what SQLite keeps beside it."""
    for path in tree.files.data.glob(f"{name}*"):
        path.unlink()


def alerts(tree: Tree) -> list[str]:
    """What people were told, beyond doors that moved."""
    with tree.judge() as judge:
        bodies = [signed.entry.body for signed in judge.entries() if signed.entry.kind == "note"]
    return [str(body["note"]) for body in bodies if body["alert"]]


def is_told(tree: Tree, name: str) -> bool:
    """Say whether people were told that this database is another one."""
    with contextlib.suppress(Unavailable):
        return any(alert.startswith(f"{name} is not the database") for alert in alerts(tree))
    return False


def is_held(door: Door) -> bool:
    """Say whether a door waits for a person because records were lost."""
    return (door.state, door.reason) == (State.HELD, Reason.RESTORED)


def until_all_answer(tree: Tree) -> None:
    """Wait until every role has come back."""
    until(lambda: len(tree.pids()) == 4 and tree.healthy(), "all roles are back", tree.tail)


def test_without_gate_db_the_door_is_held_and_its_deck_is_not_dealt_again(tree):
    """Who drew the first cards is forgotten: the next ones may not go to others."""
    drawn = set(cards(tree))
    tree.kill_everything()
    remove(tree, "gate.db")
    tree.start()

    until(lambda: is_told(tree, "gate.db"), "people are told", tree.tail)
    polls = tree.fleet_says["polls"]
    until(lambda: tree.fleet_says["polls"] > polls + MACHINES, "machines are served", tree.tail)

    assert drawn
    assert is_held(tree.door())
    assert cards(tree) == []
    with tree.judge() as judge:
        assert judge.channel(CHANNEL).blocked
    # A person looked, and the door goes on with cards of decks that nobody has seen.
    tree.obey("resume", tree.door().release)
    until(lambda: cards(tree), "cards are drawn again", tree.tail)
    assert not set(cards(tree)) & drawn
    assert len(alerts(tree)) == 1


def test_an_older_gate_db_is_found_before_it_grows_past_what_was_read(tree):
    """A copy of a moment ago has the identity of the lost one and nearly its numbers."""
    with (
        contextlib.closing(sqlite3.connect(tree.files.data / "gate.db")) as now,
        contextlib.closing(sqlite3.connect(tree.root / "copy.db")) as copy,
    ):
        now.backup(copy)
    with tree.judge() as judge:
        then = judge.cursor("heard")
    until(lambda: _heard(tree) > then + 4, "the judge has read on", tree.tail)
    tree.kill_everything()
    assert tree.door().state is State.OPENING
    remove(tree, "gate.db")
    shutil.copy(tree.root / "copy.db", tree.files.data / "gate.db")

    tree.start()

    until(lambda: is_told(tree, "gate.db"), "people are told", tree.tail)
    assert is_held(tree.door())


def test_intake_db_deleted_under_the_running_tree_loses_no_later_signal(tree):
    """An intake that wrote on into a deleted file would acknowledge what nobody ever reads."""
    observer = tree.enrol("observer")[0]
    before = tree.pids()

    remove(tree, "intake.db")
    until(lambda: is_told(tree, "intake.db"), "people are told", tree.tail)
    until_all_answer(tree)
    signal = {"machine": "observer", "time": 1, "kind": "check-failed", "id": "afterwards"}
    reply = tree.ask(
        "POST",
        "/v1/signals",
        role="intake",
        machine=observer.name,
        body=json.dumps(signal).encode(),
    )

    assert not set(before.values()) & set(tree.pids().values())
    assert reply.status == HTTPStatus.OK
    until(lambda: _read_events(tree) == 1, "the judge has read it", tree.tail)
    assert not is_held(tree.door())


def test_console_db_deleted_under_the_running_tree_answers_no_order_with_an_old_answer(tree):
    """Order number 1 of the new one was answered long ago: "ok", to something else."""
    tree.obey("sync", channel=CHANNEL)
    remove(tree, "console.db")
    until(lambda: is_told(tree, "console.db"), "people are told", tree.tail)
    until_all_answer(tree)

    tree.obey("hold", tree.door().release)

    assert tree.door().state is State.HELD


def test_a_gate_obeys_the_boards_of_a_restored_judge_db(tree):
    """Their numbers begin again below those it obeyed; it must not wait for higher ones."""
    with (
        contextlib.closing(sqlite3.connect(tree.files.data / "judge.db")) as now,
        contextlib.closing(sqlite3.connect(tree.root / "copy.db")) as copy,
    ):
        now.backup(copy)
    release = tree.door().release
    for verb in ("hold", "resume", "hold"):
        tree.obey(verb, release)
    tree.kill_everything()
    remove(tree, "judge.db")
    shutil.copy(tree.root / "copy.db", tree.files.data / "judge.db")
    tree.start()

    until(lambda: any("restored ledger" in alert for alert in alerts(tree)), "people are told")
    tree.obey("shut", release)

    assert tree.door().state is State.SHUT
    with tree.judge() as judge, tree.gate() as gate:
        assert gate.obeyed() == judge.board().version


def _heard(tree: Tree) -> int:
    with tree.judge() as judge:
        return judge.cursor("heard")


def _read_events(tree: Tree) -> int:
    with contextlib.suppress(Unavailable), tree.judge() as judge:
        return judge.cursor("event")
    return -1
