"""A fast lane: a wider budget for a time, on one person's word or on two people's."""

import json
from collections.abc import Mapping

import pytest
from tests.loop import AV, Loop
from tests.unit.services.rehearsal import at, until

from firedoor.core.door import Door, Expedite, LaneOver, Reason, Resume, State, step
from firedoor.core.fast_lane import FastLane
from firedoor.core.units import UnixMs
from firedoor.services.order import Answer
from firedoor.services.seconds import WAITS_MS
from firedoor.wire.decisions import described
from firedoor.wire.replay import replay

HOUR = 3_600_000
TWO = "expedite_needs_two = true"


@pytest.fixture
def flying(start):
    """Sixty machines; release 2 is being tried on a few, and opens after half an hour at least."""
    loop = start(60, policy="budget = 3\ndelta = 0.001", soak="30m")
    loop.settle_in()
    loop.publish("2")
    return loop


@pytest.fixture
def strict(start):
    """Likewise, where a door is widened by two people."""
    loop = start(40, policy=f"budget = 3\n{TWO}")
    loop.settle_in()
    loop.publish("2")
    return loop


def widen(loop: Loop, **fields: object) -> Answer:
    """Amira puts thirty more machines at risk."""
    order = {"release": loop.release_of(2), "reason": "under attack", "budget": 30}
    return loop.order("expedite", **(order | fields))


def sentences(loop: Loop) -> list[str]:
    """The ledger in sentences."""
    return [described(signed.entry, lambda *_: "").sentence for signed in loop.store.entries()]


def told(loop: Loop, words: str) -> list[Mapping[str, object]]:
    """Alerts with these words in them."""
    bodies = [signed.entry.body for signed in loop.store.entries()]
    return [b for b in bodies if b.get("alert") and words in str(b.get("note"))]


# The time limit


def test_a_fast_lane_ends_by_itself_and_the_door_goes_on_under_the_usual_budget(flying):
    """Whoever widened a budget in a hurry has gone to bed when it should be narrowed again."""
    assert widen(flying, lasts_ms=20 * 60_000).status == "ok"
    flying.bucket(19)
    assert (flying.door(2).budget, at(flying, 2)) == (33, (State.OPENING, Reason.EXPEDITED))

    flying.bucket(1)

    assert (flying.door(2).budget, flying.door(2).lane) == (3, None)
    assert at(flying, 2) == (State.OPENING, Reason.EVIDENCE)
    until(flying, 2, State.OPEN, most=200)


def test_the_end_of_a_fast_lane_is_told_once_and_withdraws_its_deck(start):
    """A deck that was dealt for thirty would let thirty in after the end."""
    loop = start(40, policy="budget = 3")
    loop.period = dict.fromkeys(loop.machines, 30)
    loop.settle_in(240)
    loop.publish("2")
    widen(loop, lasts_ms=2 * 60_000)
    loop.bucket(1)
    grant = loop.lane().grant
    assert grant is not None
    assert grant.treated > 3

    loop.bucket(1)
    narrow = loop.lane().grant
    loop.bucket(5)

    assert loop.door(2).budget == 3
    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)
    assert narrow is None or narrow.treated <= 3
    (widened,) = (s for s in sentences(loop) if "widened" in s)
    assert widened.startswith("Amira widened the harm budget to 33, until 2024-07-19 ")
    (alert,) = told(loop, "fast lane")
    assert (alert["release"], alert["ring"]) == (loop.release_of(2), "everyone")
    assert "3 again, 30 fewer" in str(alert["note"])
    assert any("its fast lane is over: the harm budget is 3 again" in s for s in sentences(loop))
    assert replay(loop.store, loop.gate).difference is None


def test_a_lane_ends_while_its_door_is_held_and_the_door_stays_held(flying):
    """Resumed a day later, it must not find slots that somebody gave for an hour."""
    widen(flying, lasts_ms=10 * 60_000)
    flying.order("hold", release=flying.release_of(2), reason="two sites call")
    held = flying.door(2)

    flying.bucket(11)

    door = flying.door(2)
    assert (door.state, door.reason, door.by, door.note) == (
        State.HELD, Reason.PERSON, held.by, held.note,
    )  # fmt: skip
    assert door.budget == 3
    assert any("it stays held" in sentence for sentence in sentences(flying))


def test_a_shut_release_that_a_lane_let_through_is_shut_again_when_it_ends(start):
    """A verdict is overridden for as long as somebody said, and not for ever."""
    loop = start(60, policy="budget = 8\ncontrol = 0.5")
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.SHUT)
    widen(loop, budget=4, lasts_ms=HOUR)
    loop.bucket(30)
    assert loop.door(2).state is not State.SHUT
    assert not loop.door(2).judged

    loop.bucket(40)

    assert at(loop, 2) == (State.SHUT, Reason.HARMFUL)
    assert (loop.door(2).judged, loop.door(2).budget) == (True, 8)
    assert replay(loop.store, loop.gate).difference is None


def test_the_end_of_a_lane_brings_no_hold_back_that_a_person_ended_for_good():
    """Inside of a lane or not: whoever resumes what history held has resumed it."""
    lane = FastLane(30, UnixMs(9))
    held = Door(
        "av", 2, "everyone", "b", "a", 33, State.HELD, Reason.WORSE, UnixMs(0), lane=lane
    )  # fmt: skip

    resumed, _ = step(held, Resume("Amira", "seen it", 0), UnixMs(1))
    hurried, _ = step(held, Expedite("Amira", "x", 5, UnixMs(9)), UnixMs(1))

    assert not step(resumed, LaneOver(), UnixMs(9))[0].compared
    assert step(hurried, LaneOver(), UnixMs(9))[0].compared
    assert not hurried.compared


def test_a_lane_survives_a_restart_of_the_judge(flying):
    """It is a promise about the wall clock, and restarts do not stop that."""
    widen(flying, lasts_ms=HOUR)
    before: Door = flying.door(2)

    flying.start_judge()

    assert flying.door(2) == before
    assert flying.door(2).lane is not None


def test_a_second_lane_adds_slots_and_both_end_when_it_does(flying):
    """Who prolongs a lane prolongs all of it; two ends nobody would keep in mind."""
    widen(flying, lasts_ms=HOUR)
    widen(flying, budget=10, lasts_ms=2 * HOUR)

    lane = flying.door(2).lane

    assert lane is not None
    assert (lane.slots, lane.ends_ms) == (40, flying.clock.now().wall_ms + 2 * HOUR)
    assert flying.door(2).budget == 43


def test_a_budget_without_a_time_stays_when_a_lane_ends(flying):
    """The slots that were given for good are not the lane's."""
    widen(flying, budget=5)
    widen(flying, lasts_ms=60_000)
    flying.order("hold", release=flying.release_of(2), reason="wait")

    flying.bucket(2)

    assert flying.door(2).budget == 8


def test_a_door_that_ends_takes_its_lane_with_it(flying):
    """A later attempt at a shut release begins with the usual budget."""
    widen(flying, lasts_ms=60_000)
    flying.order("shut", release=flying.release_of(2), reason="vendor says so")

    assert (flying.door(2).budget, flying.door(2).lane) == (3, None)
    flying.bucket(2)
    assert not told(flying, "fast lane")


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"lasts_ms": 59_999}, "--for 4h"),
        ({"lasts_ms": 31 * 24 * HOUR}, "--for 4h"),
        ({"lasts_ms": HOUR, "all": True, "budget": None}, "--budget N"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused(flying, fields, hint):
    """Above all "everybody, for an hour": nobody can take back what all have."""
    before = flying.door(2)

    answer = widen(flying, **fields)

    assert answer.status == "BadInput"
    assert hint in answer.body
    assert flying.door(2) == before


# The second person


def waits(answer: Answer) -> int:
    """Number of the order that waits."""
    return int(json.loads(answer.body)["waits"]["order"])


def test_an_order_waits_for_a_second_person_and_is_carried_out_in_both_names(strict):
    """Each of the two asks from a terminal of their own."""
    before = strict.door(2)
    number = waits(widen(strict))
    assert strict.door(2) == before
    assert told(strict, f"firedoor release approve {strict.release_of(2)[:12]} {number}")

    answer = strict.order("approve", release=strict.release_of(2), order=number, by="Bela")

    assert answer.status == "ok"
    assert (strict.door(2).by, strict.door(2).budget) == ("Amira and Bela", before.budget + 30)
    again = strict.order("approve", release=strict.release_of(2), order=number, by="Bela")
    assert again.status == "NotFound"
    assert strict.door(2).budget == before.budget + 30


@pytest.mark.parametrize("by", ["Amira", " aMIRA "])
def test_nobody_approves_their_own_order(strict, by):
    """Two people are two names."""
    number = waits(widen(strict))

    answer = strict.order("approve", release=strict.release_of(2), order=number, by=by)

    assert answer.status == "NotAllowed"
    assert strict.door(2).budget == 3


def test_an_order_that_nobody_approves_lapses_and_that_is_told(strict):
    """What was urgent an hour ago is another question now."""
    number = waits(widen(strict))
    strict.clock.pass_ms(WAITS_MS)

    late = strict.order("approve", release=strict.release_of(2), order=number, by="Bela")
    with strict.store.step():
        strict.orders.expire(strict.clock.now())
        strict.orders.expire(strict.clock.now())

    assert late.status == "NotFound"
    assert len(told(strict, "so it has lapsed")) == 1
    assert strict.store.asked() == []


def test_an_order_lapses_when_the_door_has_moved_meanwhile(strict):
    """To hurry a release that is being tried is not to let through one that was shut since."""
    number = waits(widen(strict))
    strict.order("shut", release=strict.release_of(2), reason="it bricks")

    answer = strict.order("approve", release=strict.release_of(2), order=number, by="Bela")

    assert answer.status == "IllegalTransition"
    assert at(strict, 2) == (State.SHUT, Reason.PERSON)


def test_an_approval_names_one_order_of_one_release(strict):
    """Whoever approves number one has read number one."""
    first = waits(widen(strict, budget=5))
    second = waits(widen(strict, budget=30, lasts_ms=HOUR))
    assert (first, second) == (1, 2)
    wrong = strict.order("approve", release=strict.release_of(1), order=first, by="Bela")
    assert wrong.status == "NotFound"

    strict.order("approve", release=strict.release_of(2), order=first, by="Bela", reason="agreed")

    assert strict.door(2).budget == 8
    assert any("order 1 approved by Bela: agreed" in note for note in strict.notes())


def test_orders_do_not_wait_without_number(strict):
    """A script that repeats itself must not send an alert for each time all night."""
    assert [widen(strict).status for _ in range(51)] == ["ok"] * 50 + ["NotAllowed"]
    assert len(strict.store.asked()) == 50


def test_where_one_person_is_enough_nothing_waits(flying):
    """The policy's default."""
    assert "waits" not in widen(flying).body
    assert flying.store.asked() == []


def test_a_waiting_order_survives_a_restart(strict):
    """The second person may come after the power cut."""
    number = waits(widen(strict))
    strict.start_judge()

    answer = strict.order("approve", release=strict.release_of(2), order=number, by="Bela")

    assert answer.status == "ok"
    assert strict.train.lines[AV][2].doors["everyone"].budget == 33
