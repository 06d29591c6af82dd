"""gate.db is deleted while the machines are away: the next release waits for them."""

from collections.abc import Iterator
from functools import partial

import pytest
from tests.tree import Tree, until

from firedoor.core.door import Reason, State
from firedoor.simulator.stage import CHANNEL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def tree(tmp_path) -> Iterator[Tree]:
    """Three machines that have polled, and will not for a while."""
    tree = Tree(tmp_path)
    tree.publish("1.0")
    with tree:
        until(lambda: tree.is_at(1, "open"), "release 1 is adopted", tree.tail)
        tree.enrol("a", "b", "c")
        for machine in ("a", "b", "c"):
            until(partial(polls, tree, machine), "the board is read", tree.tail)
        until(lambda: active(tree) == 3, "they are counted", tree.tail)
        yield tree


def polls(tree: Tree, machine: str) -> bool:
    """Ask for a file; say whether the gate serves the channel already."""
    return tree.get("manifest.json", machine).status in (200, 404)


def active(tree: Tree) -> int:
    """Machines that the gate knows to have polled."""
    with tree.gate() as gate:
        return sum(count.active for count in gate.census())


def enrolled(tree: Tree) -> int:
    """Machines that the gate knows to be enrolled."""
    with tree.gate() as gate:
        return sum(count.enrolled for count in gate.census())


def is_blocked(tree: Tree) -> bool:
    """Say whether the channel waits for a person."""
    with tree.judge() as judge:
        return bool(judge.channel(CHANNEL).blocked)


def test_a_release_after_the_loss_is_given_to_nobody_before_somebody_tried_it(tree):
    """It was once given to every machine that came back, without evidence or alert."""
    tree.kill_everything()
    for path in tree.files.data.glob("gate.db*"):
        path.unlink()
    tree.start()
    until(lambda: is_blocked(tree), "the loss is found", tree.tail)
    until(lambda: enrolled(tree) == 3, "the register is counted", tree.tail)
    assert active(tree) == 0

    tree.obey("unblock", channel=CHANNEL)
    tree.publish("2.0")
    until(lambda: tree.is_at(2, "opening", "open"), "it boards", tree.tail)

    door = tree.door()
    assert (door.state, door.reason) == (State.OPENING, Reason.EVIDENCE)
    until(lambda: told(tree), "a person is told", tree.tail)
    assert "3 machines of this ring are enrolled, none has polled yet" in told(tree)


def told(tree: Tree) -> str:
    """What people were told of doors that stand."""
    with tree.judge() as judge:
        bodies = [signed.entry.body for signed in judge.entries() if signed.entry.kind == "note"]
    notes = (str(body["note"]) for body in bodies if body["alert"])
    return next((note for note in notes if "stands still" in note), "")
