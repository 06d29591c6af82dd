"""What went wrong on the train once, and must not again: pins, two persons, bad ends, seeds."""

import json
from dataclasses import replace

import pytest
from tests.loop import AV, MINUTE, Loop
from tests.unit.services.rehearsal import at, until

from firedoor.config import from_text
from firedoor.core import valve
from firedoor.core.door import Reason, State
from firedoor.core.signal import TOLD_EARLY
from firedoor.core.units import MachineNo
from firedoor.ports import Delivery, SignalEvent
from firedoor.services import hearing
from firedoor.services.order import Answer

LAB = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
"""
TWO = "expedite_needs_two = true"


def said(answer: Answer) -> str:
    """An answer's words."""
    return answer.status + " " + answer.body


def reconfigured(loop: Loop, rings: str = "") -> None:
    """The file is edited and everything starts again; all machines are in ring everyone."""
    text = f'data = "data"\n[[channel]]\nname = "av"\nkind = "files"\nupstream = "/srv/av"\n{rings}'
    edited = from_text(text, base=loop.config.data.parent)
    loop.config = replace(loop.config, rings=edited.rings)
    loop.ring = {}
    loop.start_judge()
    loop.start_gate()


@pytest.fixture
def ringed(start):
    """Eight machines in a lab, twelve elsewhere; a first release is adopted."""
    loop = start(20, rings=LAB)
    loop.ring = {m: "lab" for m in loop.machines if m <= 8}
    loop.settle_in()
    return loop


# Budgets


@pytest.mark.parametrize(("budget", "status"), [(1_000_000, "ok"), (1_000_001, "BadInput")])
def test_a_budget_has_a_largest_value(loop, budget, status):
    """A number with too many digits must end in a refusal, not in the ledger."""
    loop.publish("2")
    before = loop.door(2)

    answer = loop.order("expedite", release=loop.release_of(2), reason="zero day", budget=budget)

    assert answer.status == status
    assert (loop.door(2) == before) is (status == "BadInput")


# Pins


def test_the_pin_of_a_ring_that_left_the_configuration_can_be_taken_away(ringed):
    """Nobody can name that ring any more; its pin must not stay for ever."""
    ringed.order("pin", channel=AV, release=ringed.release_of(1), ring="lab")
    reconfigured(ringed)
    assert set(ringed.store.pins(AV)) == {"lab"}

    answer = ringed.order("unpin", channel=AV, ring="lab")

    assert answer.status == "ok"
    assert not ringed.store.pins(AV)
    assert ringed.order("unpin", channel=AV, ring="lab").status == "NotFound"


def test_the_pin_of_a_ring_that_left_stops_no_boarding(ringed):
    """A ring without machines cannot keep the fix from all others."""
    ringed.order("pin", channel=AV, release=ringed.release_of(1), ring="lab")
    ringed.publish("2")
    ringed.bucket(2)
    assert set(ringed.train.lines[AV]) == {1}

    reconfigured(ringed)
    ringed.bucket(2)

    assert at(ringed, 2) == (State.OPENING, Reason.EVIDENCE)


def test_a_pin_passes_over_rings_that_left(ringed):
    """The release boarded when there was a lab; there is nobody to pin there now."""
    reconfigured(ringed)

    answer = ringed.order("pin", channel=AV, release=ringed.release_of(1), reason="audit")

    assert [door["ring"] for door in json.loads(answer.body)["doors"]] == ["everyone"]
    assert set(ringed.store.pins(AV)) == {"everyone"}


def test_after_a_pin_back_and_its_end_what_upstream_offers_boards_again(loop):
    """It had boarded already, and without a second look the fleet would stay behind for ever."""
    second = loop.publish("2")
    until(loop, 2, State.OPEN)
    loop.order("pin", channel=AV, release=loop.release_of(1), reason="go back")
    loop.bucket(2)
    assert loop.lane().base == 1

    loop.order("unpin", channel=AV, reason="it was the network")
    loop.bucket()

    assert loop.release_of(3) == second
    assert at(loop, 3) == (State.OPENING, Reason.EVIDENCE)


def test_the_end_of_a_pin_does_not_board_what_is_served_already(loop):
    """Nothing changed while it was pinned, so there is nothing to prove."""
    loop.order("pin", channel=AV, release=loop.release_of(1), reason="audit")
    loop.order("unpin", channel=AV)
    loop.bucket(2)

    assert set(loop.train.lines[AV]) == {1}


# Two persons


@pytest.fixture
def strict(start):
    """A policy that wants two persons for whatever evidence did not open."""
    loop = start(20, policy=TWO)
    loop.settle_in()
    return loop


def test_a_pin_to_what_no_evidence_opened_needs_a_second_person(strict):
    """Otherwise a pin would be an expedite that one person can do."""
    second = strict.publish("2")
    alone = strict.order("pin", channel=AV, release=second, reason="zero day")
    same = strict.order("pin", channel=AV, release=second, reason="zero day", approved_by=" amira")
    assert "waits" in alone.body
    assert same.status == "NotAllowed"
    assert not strict.store.pins(AV)
    assert strict.door(2).state is State.OPENING

    both = strict.order("pin", channel=AV, release=second, reason="zero day", approved_by="Bela")

    assert both.status == "ok"
    assert (strict.door(2).reason, strict.door(2).by) == (Reason.PINNED, "Amira and Bela")


def test_a_pin_back_to_what_is_open_is_a_revert_and_needs_one_person(strict):
    """Protecting is easy, relaxing is hard."""
    strict.publish("2")

    assert strict.order("pin", channel=AV, release=strict.release_of(1)).status == "ok"


def test_going_on_after_a_spent_budget_needs_a_second_person(strict):
    """Fresh slots are more machines at risk, whatever the verb is called."""
    bad = strict.publish("2")
    strict.deadly.add(bad)
    until(strict, 2, State.HELD)
    assert strict.door(2).reason is Reason.BUDGET_SPENT
    before = strict.door(2)

    assert "waits" in strict.order("resume", release=bad).body
    assert strict.door(2) == before
    assert strict.order("resume", release=bad, approved_by="Bela").status == "ok"
    assert strict.door(2).budget > before.budget


def test_going_on_after_a_persons_own_hold_needs_one_person(strict):
    """No slot is added: the door goes on with the budget it had."""
    release = strict.publish("2")
    strict.order("hold", release=release)

    assert strict.order("resume", release=release).status == "ok"


# Bad ends


def shut(loop: Loop, version: str) -> None:
    """A release boards and a person shuts it."""
    release = loop.publish(version)
    loop.bucket()
    assert loop.order("shut", release=release).status == "ok"
    loop.bucket()


def test_a_persons_hold_is_no_bad_end(loop):
    """They have asked for time; the release is accused of nothing."""
    shut(loop, "2")
    release = loop.publish("3")
    loop.bucket()
    loop.order("hold", release=release)
    loop.bucket(3)

    assert not loop.store.channel(AV).blocked


def test_a_held_release_that_was_pinned_away_is_no_bad_end(loop):
    """A person has looked and decided; there is nothing left to wait for."""
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.HELD)
    loop.order("pin", channel=AV, release=loop.release_of(1), reason="go back")
    assert at(loop, 2) == (State.SUPERSEDED, Reason.PINNED)
    third = loop.publish("3")
    loop.order("unpin", channel=AV)
    loop.bucket()
    loop.order("shut", release=third)
    loop.bucket()

    assert at(loop, 3) == (State.SHUT, Reason.PERSON)
    assert not loop.store.channel(AV).blocked


def test_a_person_who_lets_the_channel_go_on_starts_the_count_again(loop):
    """The next bad end is the first of two; else one more would stop the channel every time."""
    shut(loop, "2")
    shut(loop, "3")
    assert loop.store.channel(AV).blocked
    loop.order("unblock", channel=AV)

    shut(loop, "4")
    assert not loop.store.channel(AV).blocked
    shut(loop, "5")
    assert loop.store.channel(AV).blocked


def test_a_later_opening_clears_the_block(loop):
    """Of two bad ends in a row one is none any more, and nobody has to say so twice."""
    shut(loop, "2")
    shut(loop, "3")
    assert loop.store.channel(AV).blocked

    release = loop.release_of(3)
    assert loop.order("expedite", release=release, reason="not it", all=True).status == "ok"
    loop.bucket()

    assert not loop.store.channel(AV).blocked
    loop.publish("4")
    loop.bucket()
    assert at(loop, 4) == (State.OPENING, Reason.EVIDENCE)


# Seeds


def test_a_shut_release_keeps_its_seed_until_a_newer_one_boards(loop):
    """A person may still expedite it, and whoever knew the seed would know who is next."""
    release = loop.publish("2")
    loop.bucket(2)
    loop.order("shut", release=release)
    loop.bucket(3)
    assert loop.store.seed(AV, 2) == ""

    loop.publish("3")
    loop.bucket()

    seed = loop.store.seed(AV, 2)
    boarding = loop.train.lines[AV][2].boarding
    assert valve.seed_commitment(bytes.fromhex(seed)) == boarding.commitment
    assert loop.store.seed(AV, 3) == ""


def test_no_card_is_dealt_from_a_seed_that_is_public(loop):
    """Who would be treated next is no secret then; everybody or nobody is what is left."""
    release = loop.publish("2")
    loop.bucket(2)
    loop.order("shut", release=release)
    loop.publish("3")
    loop.bucket()
    loop.order("shut", release=loop.release_of(3))
    loop.bucket()

    refused = loop.order("expedite", release=release, reason="it was the network", budget=3)

    assert refused.status == "IllegalTransition"
    assert "seed" in refused.body
    assert loop.door(2).state is State.SHUT


def test_a_shut_release_that_everybody_gets_tells_its_seed_with_the_next_boarding(loop):
    """No card is left to deal, so the audit of who was chosen must become possible."""
    release = loop.publish("2")
    loop.bucket(2)
    loop.order("shut", release=release)
    loop.order("expedite", release=release, reason="it was the network", all=True)
    loop.bucket()
    loop.publish("3")
    loop.bucket()

    assert at(loop, 3) == (State.OPENING, Reason.EVIDENCE)
    seed = bytes.fromhex(loop.store.seed(AV, 2))
    assert valve.seed_commitment(seed) == loop.train.lines[AV][2].boarding.commitment
    told = [s.entry.body for s in loop.store.entries() if s.entry.kind == "seed-revealed"]
    assert [body["number"] for body in told].count(2) == 1


# Rings that leave


def test_a_ring_that_leaves_in_flight_ends_withdrawn(ringed):
    """Nobody is in it any more, so nothing could ever decide its door: the train would stand."""
    ringed.publish("2")
    ringed.bucket(2)
    assert at(ringed, 2, "lab")[0] is State.OPENING

    reconfigured(ringed)
    ringed.bucket()

    assert at(ringed, 2, "lab") == (State.SUPERSEDED, Reason.WITHDRAWN)
    assert "configuration" in ringed.door(2, "lab").note
    until(ringed, 2, State.OPEN)


# Clocks and floods


def crashed(loop: Loop, number: int) -> int:
    """How many treated machines of a boarding are counted as crashed."""
    return sum(s.treated_harmed for s in loop.verdict(number).streams if s.signal == "crash")


def test_a_wall_clock_set_back_after_the_draw_loses_no_crash(start):
    """A crash dated before the card it followed is harm all the same."""
    loop = start(60)
    loop.beat(loop.machines)
    loop.settle_in()
    loop.publish("2")
    loop.bucket(3)
    victim = loop.treated(2)[0]

    loop.clock.wall_ms -= 3 * 60 * MINUTE
    loop.crash(victim)
    loop.bucket()

    assert [(h.machine, h.signal) for h in loop.store.harmed(AV, 2)] == [(victim, "crash")]


def test_a_wall_clock_set_back_before_the_draw_accuses_nobody(start):
    """The release cannot have done what happened before it came."""
    loop = start(60)
    loop.beat(loop.machines)
    loop.settle_in()
    loop.crash(*loop.machines)
    loop.bucket()
    loop.clock.wall_ms -= 3 * 60 * MINUTE
    loop.publish("2")
    loop.bucket(5)

    assert loop.treated(2)
    assert loop.store.harmed(AV, 2) == []


def test_a_flood_of_signals_keeps_no_tick_from_ending_and_no_window_closes_meanwhile(
    start, monkeypatch
):
    """A machine gone mad must not stop the judge, nor may what is unread count as silence."""
    # The same pages with fewer rows: a flood that is quick to write.
    monkeypatch.setattr(hearing, "_ROWS_A_READ", 10)
    monkeypatch.setattr(hearing, "_PAGES_A_TICK", 20)
    a_tick = 10 * 20
    loop = start(60)
    loop.beat(loop.machines)
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    loop.bucket(3)
    victims = loop.treated(2)
    assert victims
    read = loop.judge.hearing.cursors["event"]

    flood(loop, machine=99, events=12 * a_tick)
    loop.bucket(11)

    assert loop.judge.hearing.cursors["event"] == read + 11 * a_tick
    assert all(cell.signal == TOLD_EARLY for cell in loop.store.cells(AV, 2))
    loop.bucket(12)
    assert {h.machine for h in loop.store.harmed(AV, 2)} >= set(victims)
    assert not {h.machine for h in loop.store.harmed(AV, 2)} - loop.dead


def flood(loop: Loop, *, machine: int, events: int) -> None:
    """One machine sends more than anybody can read in a tick."""
    now = loop.clock.now()
    some = [
        SignalEvent(MachineNo(machine), "check-failed", now.wall_ms, f"flood-{n}", None)
        for n in range(events)
    ]
    loop.signals.append(now, [Delivery((), some)])


# A door that stands still


def test_a_door_that_neither_opens_nor_shuts_by_itself_tells_a_person_once(start):
    """Above the warning, below proof and nobody left to try: only a person can end that."""
    loop = start(20, policy="control = 0.5")
    loop.settle_in()
    loop.publish("2")
    loop.order("expedite", release=loop.release_of(2), reason="zero day", budget=15)
    loop.bucket(2)
    loop.dead = set(loop.treated(2)[:7])
    loop.bucket(40)
    assert loop.verdict(2).warn
    assert at(loop, 2) == (State.OPENING, Reason.EXPEDITED)

    loop.start_judge()
    loop.bucket(5)

    told = [s.entry.body for s in loop.store.entries() if "stands still" in str(s.entry.body)]
    assert [(body["channel"], body["alert"]) for body in told] == [(AV, True)]
    assert "release 2 in ring everyone" in str(told[0]["note"])


def test_a_door_that_only_waits_for_its_machines_is_not_said_to_stand_still(start):
    """An alert that comes with every release is an alert that nobody reads."""
    loop = start(20, policy="control = 0.5")
    loop.settle_in()
    loop.publish("2")
    loop.order("expedite", release=loop.release_of(2), reason="zero day", budget=15)
    until(loop, 2, State.OPEN)

    assert not any("stands still" in note for note in loop.notes())
