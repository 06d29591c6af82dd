"""What a person has put together boards before what upstream offers, and that after it."""

import pytest
from tests.loop import AV
from tests.unit.services.rehearsal import at, until

from firedoor.core.door import Reason, State

FIX = {"av.db": "1", "fix": "1"}


def states(loop):
    return [seen.state for seen in loop.store.snapshots(AV)]


def test_it_takes_the_place_of_what_is_in_flight_without_its_patience(start):
    """The release in flight has the fix as well, and thirty other things."""
    loop = start(60)
    loop.settle_in()
    loop.publish("2")
    loop.bucket()
    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)

    picked = loop.pick(FIX)
    loop.bucket()

    assert at(loop, 2) == (State.SUPERSEDED, Reason.NEWER)
    assert at(loop, 3) == (State.OPENING, Reason.EVIDENCE)
    assert loop.release_of(3) == picked
    assert states(loop) == ["boarded", "boarded", "picked, boarded"]


def test_what_upstream_offers_boards_again_once_it_is_open(start):
    """Nobody has to remember it: the next look at upstream finds that it is not what is served."""
    loop = start(60)
    loop.settle_in()
    rest = loop.publish("2")
    loop.bucket()
    loop.pick(FIX)
    loop.bucket()
    loop.publish("2")
    assert states(loop)[-2:] == ["picked, boarded", "waiting"]

    until(loop, 3, State.OPEN)
    loop.bucket()

    assert loop.release_of(4) == rest
    assert at(loop, 4) == (State.OPENING, Reason.EVIDENCE)


@pytest.mark.parametrize("order", ["before", "after"])
def test_it_boards_before_a_newer_snapshot_whichever_came_first(start, order):
    """While it cannot board yet, a look at upstream must not push it aside."""
    loop = start(60)
    loop.settle_in()
    first = loop.release_of(1)
    loop.order("pin", channel=AV, release=first)
    if order == "before":
        loop.publish("2")
    picked = loop.pick(FIX)
    if order == "after":
        loop.publish("2")
    loop.bucket()
    assert set(loop.train.lines[AV]) == {1}

    loop.order("unpin", channel=AV)
    loop.bucket()

    assert loop.release_of(2) == picked
    assert "picked, boarded" in states(loop)


@pytest.mark.parametrize("cause", ["person", "harm"])
def test_it_waits_while_the_one_in_flight_is_held_for_cause(start, cause):
    """That one would board again after it, and nobody would remember why it was held."""
    loop = start(60, policy="budget = 2\nalpha_harm = 0.000000001")
    loop.settle_in()
    bad = loop.publish("2")
    if cause == "person":
        loop.order("hold", release=bad, reason="looks wrong")
    else:
        loop.deadly.add(bad)
        until(loop, 2, State.HELD)
    loop.pick(FIX)
    loop.bucket(3)
    assert at(loop, 2)[0] is State.HELD
    assert states(loop)[-1] == "picked"

    loop.order("shut", release=bad, reason="it is")
    loop.bucket()

    assert loop.release_of(3) == loop.store.snapshots(AV)[-1].release


def test_what_was_shut_does_not_board_because_a_person_puts_it_together_again(start):
    """The same bytes are the same release."""
    loop = start(60)
    loop.settle_in()
    bad = loop.publish("2")
    loop.order("shut", release=bad, reason="it kills")

    again = loop.pick({"av.db": "2", "README.txt": "always the same"})
    loop.bucket()

    assert again == bad
    assert states(loop)[-1] == "refused"
    assert set(loop.train.lines[AV]) == {1, 2}


def test_a_pick_whose_files_cannot_be_had_holds_up_nothing(start):
    """Upstream has deleted them: the next fix must not wait for it for ever."""
    loop = start(60)
    loop.settle_in()
    loop.pick(FIX, whole=False)
    loop.bucket(2)
    assert set(loop.train.lines[AV]) == {1}

    newest = loop.publish("2")
    loop.bucket(2)
    assert loop.release_of(2) == newest
    until(loop, 2, State.OPEN)
    loop.bucket()

    assert states(loop)[1:] == ["skipped", "boarded"]
    assert any("which was picked, is of what machines had" in note for note in loop.notes())


def test_a_pick_boards_once_its_files_have_come(start):
    """It takes the place of what boarded meanwhile, unless machines have that by now."""
    loop = start(60)
    loop.settle_in()
    picked = loop.pick(FIX, whole=False)
    loop.publish("2")
    loop.bucket(2)
    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)

    loop.lacking.clear()
    loop.bucket(2)

    assert loop.release_of(3) == picked


def test_after_a_pin_ends_the_pick_that_was_in_flight_boards_again(start):
    """It is what upstream never offers a second time."""
    loop = start(60)
    loop.settle_in()
    picked = loop.pick(FIX)
    loop.bucket()
    assert loop.release_of(2) == picked
    loop.order("pin", channel=AV, release=loop.release_of(1))
    loop.bucket()
    loop.order("unpin", channel=AV)
    loop.bucket()
    assert loop.release_of(3) == picked
