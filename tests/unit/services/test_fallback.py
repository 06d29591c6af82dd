"""What machines get when what they had is contained: something whose bytes are there."""

import json

import pytest
from tests.loop import AV

from firedoor.core.door import Assessed, Reason, State
from firedoor.core.errors import Unavailable


def served(loop):
    """Boarding numbers that machines which ask now are answered from."""
    loop.clock.pass_ms(3_600_000)
    return {loop.poll(machine) for machine in loop.machines}


def alerts(loop):
    notes = (signed.entry.body for signed in loop.store.entries())
    return [body["note"] for body in notes if body.get("alert")]


@pytest.fixture
def four(loop):
    """Four releases, each open after the other."""
    for version in "234":
        loop.publish(version)
        loop.bucket()
        release = loop.release_of(int(version))
        loop.order("expedite", release=release, reason="quick", all=True)
        loop.bucket()
    assert loop.lane().base == 4
    return loop


def shut(loop, number):
    answer = loop.order("shut", release=loop.release_of(number), reason="data loss")
    assert answer.status == "ok"
    (said,) = json.loads(answer.body)["doors"]
    return said


def test_a_ring_falls_back_past_releases_whose_bytes_were_swept(four):
    """The release before has nothing to give: every machine would be answered 503."""
    four.gone = {four.release_of(3), four.release_of(2)}

    said = shut(four, 4)

    assert (said["serves"], said["whole"]) == (four.release_of(1), True)
    assert four.lane().base == 1
    assert served(four) == {1}
    assert (four.door(3).state, four.door(3).reason) == (State.SUPERSEDED, Reason.MISSING)
    assert any("files of it are missing" in note for note in alerts(four))


def test_what_was_passed_over_is_passed_over_after_a_restart_and_when_its_bytes_come_back(four):
    """A ring does not rise by itself because of a restart: that would be nobody's decision."""
    four.gone = {four.release_of(3)}
    shut(four, 4)
    four.gone = set()
    four.start_judge()
    four.start_gate()
    four.bucket(2)

    assert four.lane().base == 2
    assert served(four) == {2}


def test_evidence_that_shuts_a_release_finds_its_fallback_too(four):
    """Nobody asks then, and nobody reads an answer."""
    four.gone = {four.release_of(3)}
    flight, now = four.flight(4), four.clock.now()
    with four.store.step():
        four.judge.apply(flight, "everyone", Assessed(harmful=True, sentence="12 of 20"), now)
    four.tick()
    four.look()

    assert four.door(4).reason is Reason.HARMFUL
    assert four.lane().base == 2
    assert served(four) == {2}


def test_a_ring_of_its_own_falls_back_for_itself(start):
    """The lab may have had what the others never got."""
    loop = start(20, rings='[[ring]]\nname = "lab"\nmachines = { site = ["lab"] }\n')
    loop.ring = dict.fromkeys(range(1, 6), "lab")
    loop.settle_in()
    for version in "23":
        loop.publish(version)
        loop.bucket()
        release = loop.release_of(int(version))
        loop.order("expedite", release=release, reason="quick", ring="lab", all=True)
        loop.bucket()
        loop.order("shut", release=release, reason="not for the tills", ring="everyone")
        loop.order("unblock", channel=AV, reason="go on")
    assert (loop.lane("lab").base, loop.lane().base) == (3, 1)
    loop.gone = {loop.release_of(2)}

    answer = loop.order("shut", release=loop.release_of(3), reason="nor for the lab", ring="lab")

    (said,) = json.loads(answer.body)["doors"]
    assert (said["ring"], said["serves"]) == ("lab", loop.release_of(1))
    assert (loop.lane("lab").base, loop.lane().base) == (1, 1)


def test_where_nothing_whole_is_left_what_there_is_is_served_and_a_person_is_told(four):
    """A client that misses a file keeps what it has, as it does without any answer."""
    four.gone = {four.release_of(number) for number in (1, 2, 3)}

    said = shut(four, 4)

    assert (said["serves"], said["whole"]) == (four.release_of(3), False)
    assert four.lane().base == 3
    told = [note for note in alerts(four) if "no other is whole" in note]
    assert len(told) == 1


def test_shutting_the_only_release_says_that_nothing_is_left(loop):
    """Containing is always possible; what it costs is told."""
    said = shut(loop, 1)

    assert (said["serves"], said["whole"]) == ("", False)
    assert loop.lane().base == 0
    assert any("nothing is left" in note for note in alerts(loop))


def test_what_is_served_stays_served_though_a_file_of_it_rots(four):
    """It is fetched again; a fleet that goes back for one file would be a harm of its own."""
    four.gone = {four.release_of(4)}
    four.publish("5")
    four.bucket(2)
    said = shut(four, 5)

    assert said["serves"] == four.release_of(4)
    assert said["whole"] is False
    assert four.lane().base == 4


def test_a_disk_that_does_not_answer_keeps_nobody_from_shutting(four):
    """Containment first: what is read from the disk afterwards is another matter."""

    class Broken(set[str]):
        def __contains__(self, _):
            raise Unavailable("cannot claim: Input/output error")

    four.gone = Broken()

    assert shut(four, 4)["serves"] == four.release_of(3)
    assert four.lane().base == 3


def test_a_pin_to_an_older_release_is_a_fallback_that_was_asked_for(four):
    """It is whole, or the pin is refused; nothing between is passed over."""
    answer = four.order("pin", channel=AV, release=four.release_of(2), reason="go back")

    assert answer.status == "ok"
    assert four.lane().base == 2
    assert four.door(3).reason is Reason.PINNED
