"""The whole loop with real processes: vendor, mirror, gate, machines, signals, judge, door."""

import pytest
from tests.tree import RING, Tree, until

from firedoor.core.signal import CRASH, SILENCE
from firedoor.simulator.stage import CHANNEL

MACHINES = 60
# README.md section 5: a release that harms all it reaches harms about B machines, then stands.
MOST_HARMED = 1.6

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture
def tree(tmp_path):
    """A tree that has adopted release 1.0."""
    tree = Tree(tmp_path)
    tree.publish("1.0")
    with tree:
        yield tree


def harm_by_signal(tree: Tree) -> dict[str, int]:
    """Treated machines that the judge counted as harmed by the newest boarding."""
    with tree.judge() as judge:
        number = judge.boardings(CHANNEL)[-1].number
        harmed = [each.signal for each in judge.harmed(CHANNEL, number) if each.treated]
    return {signal: harmed.count(signal) for signal in harmed}


def test_a_good_release_reaches_every_machine_a_few_at_first(tree):
    """What all the rest is for; and nobody gets it before its machines were enrolled."""
    tree.let_live(MACHINES, heartbeating=0.5)
    until(tree.is_ready, "the fleet is ready", tree.tail)

    tree.publish("2.0")
    until(lambda: tree.is_at(2, "open"), "2.0 is open", tree.tail, patience_s=90)

    until(lambda: tree.installed("2.0") == MACHINES, "2.0 is everywhere", tree.tail)
    door = tree.door()
    assert door.reason == "cleared"
    with tree.gate() as gate:
        decks = [p.place for p in gate.places_of(CHANNEL, 2) if p.place.deck]
    first = [place for place in decks if place.deck == 1]
    assert sum(place.treated for place in first) <= door.budget
    # The first deck had controls, drawn at random from those that polled meanwhile.
    assert any(not place.treated for place in first)
    assert tree.struck() == set()
    assert tree.happenings("torn") == []


@pytest.mark.parametrize("heartbeating", [0.0, 1.0], ids=["polls-only", "heartbeats"])
def test_a_brick_is_stopped_by_silence_alone(tree, heartbeating):
    """A bricked machine reports nothing; that it does not poll again has to be enough."""
    tree.let_live(MACHINES, heartbeating=heartbeating)
    until(tree.is_ready, "the fleet is ready", tree.tail)

    tree.publish("2.0", defect="brick")
    until(lambda: tree.is_at(2, "shut", "held"), "the brick is stopped", tree.tail)

    struck = tree.struck()
    door = tree.door()
    assert 0 < len(struck) <= MOST_HARMED * door.budget
    assert harm_by_signal(tree) == {SILENCE: len(struck)}
    # Nobody is let in any more, and the others run what they ran.
    until(lambda: tree.installed("1.0") == MACHINES - len(struck), "the others are well")
    with tree.gate() as gate:
        reached = {p.place.machine for p in gate.places_of(CHANNEL, 2) if p.place.treated}
    assert reached == {tree.machines[name].no for name in struck}


def test_a_crashing_release_is_stopped_by_the_crashes_it_causes(tree):
    """The machines live on and go on polling: only what their agents say gives it away."""
    tree.let_live(MACHINES, heartbeating=1.0)
    until(tree.is_ready, "the fleet is ready", tree.tail)

    tree.publish("2.0", defect="crash")
    until(lambda: tree.is_at(2, "shut", "held"), "the crashes stop it", tree.tail)

    door = tree.door()
    assert 0 < len(tree.struck()) <= MOST_HARMED * door.budget
    assert set(harm_by_signal(tree)) == {CRASH}
    # Contained: the machines that got it are served what they had before.
    with tree.judge() as judge:
        (channel,) = judge.board().channels
    (lane,) = channel.lanes
    assert (lane.ring, lane.base, lane.revoked) == (RING, 1, (2,))
    until(lambda: tree.installed("1.0") == MACHINES, "all machines are back at 1.0", tree.tail)
