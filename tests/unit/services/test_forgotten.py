"""A ring of which the gate knows nobody: it is empty only if nobody can be in it."""

import pytest
from tests.loop import AV, Loop
from tests.unit.services.rehearsal import at, until

from firedoor.core.door import Reason, State
from firedoor.core.terms import Policy, resolve
from firedoor.services.flight import Numbers
from firedoor.services.judging import LOST_AT
from firedoor.services.places import Census
from firedoor.services.stalls import Stall, explained, missed, stall

DAY = 24 * 3_600_000
LAB = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
"""


def alerts(loop: Loop) -> list[str]:
    """What people were told in notes."""
    bodies = [s.entry.body for s in loop.store.entries() if s.entry.kind == "note"]
    return [str(body["note"]) for body in bodies if body["alert"]]


def asleep(loop: Loop) -> Loop:
    """Release 1 is adopted, and no machine has polled yet."""
    loop.dead = set(loop.machines)
    loop.publish("1")
    loop.bucket()
    return loop


def lose(loop: Loop) -> None:
    """The judge was told just now that records were lost."""
    with loop.store.step():
        loop.store.put_cursor(LOST_AT, loop.gate.listened_ms() + 1)
    loop.start_judge()


# The first days


def test_a_ring_of_enrolled_machines_that_have_not_polled_yet_is_not_empty(start):
    """On the first days a fleet that polls seldom looks like no fleet at all."""
    loop = asleep(start(20))

    loop.publish("2")
    loop.bucket(3)

    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)


def test_a_door_that_waits_for_enrolled_machines_tells_a_person_once(start):
    """Nobody would guess why nothing happens."""
    loop = asleep(start(20))
    loop.publish("2")
    loop.bucket(3)
    loop.start_judge()
    loop.bucket(3)

    (told,) = alerts(loop)
    assert "ring everyone stands still: 20 machines of this ring are enrolled, none has" in told


def test_machines_have_the_soak_to_poll_before_a_person_is_called(start):
    """An alert for what mends itself is an alert that nobody reads."""
    loop = asleep(start(20, soak="1h"))
    loop.publish("2")
    loop.bucket(30)
    assert alerts(loop) == []

    loop.bucket(40)

    assert len(alerts(loop)) == 1


def test_the_door_goes_on_as_soon_as_machines_poll(start):
    """The alert asks for no more than that."""
    loop = asleep(start(20))
    loop.publish("2")
    loop.bucket(3)

    loop.dead = set()
    until(loop, 2, State.OPEN, most=200)

    assert at(loop, 2)[1] in (Reason.CLEARED, Reason.WALKED)


def test_enrolled_machines_that_never_poll_block_nobody_for_ever(start):
    """After seven days of listening they are taken for gone, and a person hears of it."""
    loop = asleep(start(20))
    loop.clock.pass_ms(7 * DAY)
    loop.bucket()

    loop.publish("2")

    assert at(loop, 2) == (State.OPEN, Reason.EMPTY)
    (told,) = alerts(loop)
    assert told == missed("everyone", 2, 20)


def test_days_in_which_nobody_listened_do_not_count(start):
    """A host that was down for a week has not heard that nobody is there."""
    loop = asleep(start(20))
    loop.clock.pass_ms(8 * DAY)
    loop.start_gate()
    loop.bucket()

    loop.publish("2")

    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)


def test_a_ring_in_which_nobody_is_enrolled_opens_and_tells_nobody(start):
    """A new installation mirrors before its first machine."""
    loop = start(0)
    loop.publish("1")
    loop.bucket()

    loop.publish("2")

    assert at(loop, 2) == (State.OPEN, Reason.EMPTY)
    assert alerts(loop) == []


def test_a_ring_that_was_not_heard_yet_does_not_follow_the_lab_untried(start):
    """Two machines of a lab came back first; three of the next ring were on their way."""
    loop = start(5, rings=LAB)
    loop.ring = {1: "lab", 2: "lab"}
    loop.dead = {3, 4, 5}
    loop.settle_in()
    loop.publish("2")
    until(loop, 2, State.OPEN, ring="lab", most=200)
    loop.bucket(5)

    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)


# Records that were lost


def test_terms_are_made_for_the_fleet_that_is_enrolled(start):
    """What clears two machines must not clear two hundred of which two have polled."""
    loop = start(200)
    loop.dead = set(range(3, 201))
    loop.settle_in()

    loop.publish("2")

    assert loop.flight(2).boarding.terms["everyone"].active_machines == 200


def test_after_a_loss_a_door_is_not_walked_past_the_machines_that_were_forgotten(start):
    """Everybody the gate knows has tried it, and it knows two of twenty."""
    loop = start(20)
    loop.dead = set(range(3, 21))
    loop.settle_in()
    lose(loop)
    loop.publish("2")
    loop.bucket(60)

    assert sorted(loop.treated(2)) == [1, 2]
    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)
    assert "20 machines of this ring are enrolled, 2 have polled yet" in alerts(loop)[0]

    loop.clock.pass_ms(7 * DAY)
    loop.bucket(3)
    assert at(loop, 2) == (State.OPEN, Reason.WALKED)


def test_seven_days_begin_anew_when_records_are_lost(start):
    """A gate.db that reaches back for months may have lost the machines of last week."""
    loop = asleep(start(20))
    loop.clock.pass_ms(7 * DAY)
    loop.bucket()
    lose(loop)

    loop.publish("2")

    assert loop.judge.hearing.absent(AV, "everyone") == 20
    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)


# What is said


@pytest.mark.parametrize(
    ("counts", "how", "why"),
    [
        ({"active": 0}, {"absent": 20}, Stall.ABSENT),
        ({"active": 0}, {"absent": 20, "quiet": False}, None),
        ({"active": 0, "unknown": 3}, {"absent": 20}, Stall.UNKNOWN),
        ({"active": 0}, {}, Stall.DESERTED),
        ({"active": 2, "untreated": 1}, {"absent": 18, "forgotten": 18}, None),
        ({"active": 2}, {"absent": 18, "forgotten": 18}, Stall.ABSENT),
        ({"active": 2}, {"absent": 18}, None),  # it opens as walked
    ],
)
def test_a_door_that_waits_for_machines_nobody_knows_says_so(counts, how, why):
    """Who may come, and who is gone, are different things to do something about."""
    of = {"free": 0, "polls": 0.0, "untreated": 0, "gap_ms": 0, **counts}
    numbers = Numbers(
        admitted=2, control=0, in_flight=0, matured=2, harmed=0, budget=2, window=2, debt=0, room=2
    )
    asked = {"quiet": True, **how}

    found = stall(
        Census("av", "everyone", **of), numbers, resolve(Policy(), 20), warn=False, **asked
    )

    assert found is why


def test_one_machine_is_told_of_as_one():
    """A sentence that is wrong in its grammar is doubted in its facts."""
    assert explained(Stall.ABSENT, 0, enrolled=1).startswith("1 machine of this ring is enrolled")
    assert "the machine that is enrolled in it has not polled" in missed("lab", 2, 1)
