"""What people ask of doors, and what they are answered."""

import json

import pytest
from tests.loop import AV

from firedoor.core.door import Reason, State
from firedoor.services.orders import VERBS

RINGS = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
"""


def body(answer):
    return json.loads(answer.body)


def at(loop, number, ring="everyone"):
    door = loop.door(number, ring)
    return door.state, door.reason


@pytest.fixture
def flying(loop):
    """A second release is in flight."""
    loop.publish("2")
    loop.bucket()
    return loop


# Every verb


def test_hold_stops_the_deck_and_resume_lets_another_be_dealt(flying):
    """What is in flight matures meanwhile."""
    bad = flying.release_of(2)
    assert flying.lane().grant is not None
    answer = flying.order("hold", release=bad, reason="calls are coming in")

    assert body(answer)["doors"] == [{"ring": "everyone", "state": "held", "reason": "person"}]
    assert flying.lane().candidate == 2 and flying.lane().grant is None
    flying.bucket(3)
    assert flying.lane().grant is None
    assert flying.order("resume", release=bad).status == "ok"
    flying.bucket(2)
    assert {stored.place.deck for stored in flying.places(2)} == {2}
    assert (flying.moves(2)[0]["by"], flying.moves(2)[0]["note"]) == (
        "Amira",
        "calls are coming in",
    )


def test_a_deck_that_was_withdrawn_before_its_first_card_keeps_nobody_waiting(flying):
    """The door must be able to open after the hold."""
    assert flying.places(2) == []
    flying.order("hold", release=flying.release_of(2))
    flying.order("resume", release=flying.release_of(2))
    for _ in range(80):
        flying.bucket()
        if flying.door(2).state is State.OPEN:
            break

    assert at(flying, 2)[0] is State.OPEN


def test_a_held_door_deals_nothing_after_a_restart_of_the_judge(flying):
    """The grant lay in the files; the hold is newer."""
    flying.order("hold", release=flying.release_of(2))
    flying.start_judge()
    flying.bucket(3)

    assert flying.lane().grant is None
    assert flying.places(2) == []


def test_shut_contains_at_once(flying):
    """A person does not need evidence."""
    answer = flying.order("shut", release=flying.release_of(2), reason="tills are down")

    assert body(answer)["doors"][0]["state"] == "shut"
    assert flying.lane().revoked == (2,)
    alert = [s.entry.body for s in flying.store.entries() if s.entry.body.get("alert")][-1]
    assert (alert["to"], alert["by"], alert["note"]) == ("shut", "Amira", "tills are down")


def test_expedite_with_a_budget_widens_the_window_and_leaves_the_judge_in_charge(flying):
    """More machines at risk, on the record."""
    before = flying.door(2).budget
    flying.order("expedite", release=flying.release_of(2), reason="zero day", budget=7)

    assert at(flying, 2) == (State.OPENING, Reason.EXPEDITED)
    assert flying.door(2).budget == before + 7
    assert flying.door(2).judged
    assert flying.numbers(2).window == before + 7


def test_expedite_all_opens_the_door(flying):
    """A named person lets everybody through."""
    flying.order("expedite", release=flying.release_of(2), reason="zero day", all=True)

    assert at(flying, 2) == (State.OPEN, Reason.EXPEDITED)
    assert flying.lane().base == 2


def test_a_shut_release_that_is_expedited_is_watched_and_dealt_again(flying):
    """The judge had stopped looking at it."""
    release = flying.release_of(2)
    flying.order("shut", release=release)
    flying.bucket(3)
    assert (AV, 2) not in flying.judge.flights
    answer = flying.order("expedite", release=release, reason="it was the network", budget=4)
    assert answer.status == "ok"
    flying.bucket(3)

    assert at(flying, 2) == (State.OPENING, Reason.EXPEDITED)
    assert len(flying.treated(2)) > 0
    assert not flying.door(2).judged


def test_an_expedited_release_remembers_whom_it_has_harmed(loop):
    """Its window counts them: they keep their slots."""
    loop.deadly.add(loop.publish("2"))
    for _ in range(40):
        loop.bucket()
        if loop.door(2).state in (State.HELD, State.SHUT):
            break
    harmed = loop.numbers(2).harmed
    assert harmed
    loop.order("shut", release=loop.release_of(2)) if loop.door(2).state is State.HELD else None
    loop.bucket(2)
    loop.deadly.clear()
    loop.order("expedite", release=loop.release_of(2), reason="x", budget=1)

    found = loop.numbers(2)
    assert (found.harmed, found.admitted) == (harmed, len(loop.treated(2)))
    assert found.room <= found.window - harmed + 1


def test_an_order_for_an_ended_release_does_not_forget_its_numbers(loop):
    """Late harm: people look at what it was admitted to."""
    loop.publish("2")
    for _ in range(60):
        loop.bucket()
        if loop.door(2).state is State.OPEN:
            break
    before = json.loads(loop.store.last_verdict(AV, 2))["rings"]["everyone"]["admitted"]
    assert before > 0
    loop.bucket(3)
    loop.order("shut", release=loop.release_of(2))

    assert json.loads(loop.store.last_verdict(AV, 2))["rings"]["everyone"]["admitted"] == before


def test_sync_asks_the_mirror(loop):
    """Now, not in ten minutes."""
    assert loop.order("sync", channel=AV).status == "ok"
    assert loop.synced == [AV]


def test_unblock_is_on_the_record(loop):
    """Somebody took it upon themselves."""
    assert loop.order("unblock", channel=AV, reason="vendor was called").status == "ok"
    assert loop.notes()[-1] == "boarding resumed by Amira: vendor was called"


def test_unpin_needs_a_pin(loop):
    """A typing error must not look like a success."""
    assert loop.order("unpin", channel=AV).status == "NotFound"
    loop.order("pin", channel=AV, release=loop.release_of(1))
    assert loop.store.pins(AV) == {"everyone": 1}
    assert loop.order("unpin", channel=AV, ring="everyone").status == "ok"
    assert loop.store.pins(AV) == {}
    assert "unpinned by Amira" in loop.notes()[-1]


# Refusals


@pytest.mark.parametrize("verb", ["hold", "resume", "shut", "expedite"])
def test_a_release_that_never_boarded_is_not_found(flying, verb):
    """Nothing was changed, and the answer says so."""
    answer = flying.order(verb, release="f" * 64, reason="x", budget=1)

    assert answer.status == "NotFound"
    assert body(answer)["hint"]


@pytest.mark.parametrize(
    ("verb", "wrong"),
    [
        *((verb, {"ring": "nowhere"}) for verb in ("hold", "shut", "pin")),
        *((verb, {"channel": "nowhere"}) for verb in ("pin", "unpin", "sync", "unblock")),
        ("pin", {"release": "f" * 64}),
        ("unpin", {"ring": "nowhere"}),
    ],
)
def test_a_ring_or_channel_that_does_not_exist_is_not_found(flying, verb, wrong):
    """Typing errors are the most frequent orders of a bad night."""
    before = flying.store.last_index(), flying.store.board()
    fields = {"release": flying.release_of(2), "channel": AV, **wrong}

    assert flying.order(verb, **fields).status == "NotFound"
    assert (flying.store.last_index(), flying.store.board()) == before


def test_nobody_orders_anonymously(flying):
    """Whoever acts answers for it."""
    answer = flying.order("shut", release=flying.release_of(2), by="  ")

    assert answer.status == "BadInput"
    assert at(flying, 2)[0] is State.OPENING


def test_an_unknown_verb_is_told_the_known_ones(flying):
    """Of an older console, for example."""
    answer = flying.order("rollback", release=flying.release_of(2))

    assert answer.status == "BadInput"
    assert all(verb in body(answer)["hint"] for verb in VERBS)


@pytest.mark.parametrize("field", ["reason", "by", "approved_by"])
def test_words_without_end_are_refused(flying, field):
    """An entry of the ledger has bounds."""
    assert flying.order("shut", release=flying.release_of(2), **{field: "x" * 501}).status == (
        "BadInput"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "", "budget": 3},
        {"reason": "x"},
        {"reason": "x", "budget": 3, "all": True},
        {"reason": "x", "budget": 0},
        {"reason": "x", "budget": -5},
    ],
    ids=["no reason", "nothing asked", "both asked", "nobody", "fewer than nobody"],
)
def test_expedite_says_why_and_how_far(flying, fields):
    """Either a number or everybody, and a reason."""
    before = flying.door(2)

    assert flying.order("expedite", release=flying.release_of(2), **fields).status == "BadInput"
    assert flying.door(2) == before


def test_what_a_door_does_not_accept_is_refused_with_its_state(flying):
    """The order is stale: somebody else was faster."""
    answer = flying.order("resume", release=flying.release_of(2))

    assert answer.status == "IllegalTransition"
    assert "opening" in body(answer)["error"]


def test_an_overtaken_release_cannot_be_expedited(flying):
    """What is newer would be served all the same, and the answer would be a lie."""
    old = flying.release_of(2)
    flying.order("shut", release=old)
    flying.publish("3")
    flying.bucket()
    assert at(flying, 3)[0] is State.OPENING
    answer = flying.order("expedite", release=old, reason="x", all=True)

    assert answer.status == "IllegalTransition"
    assert "pin" in body(answer)["hint"]
    assert at(flying, 2)[0] is State.SHUT


# Two people


@pytest.fixture
def careful(start):
    loop = start(20, policy="expedite_needs_two = true")
    loop.settle_in()
    loop.publish("2")
    loop.bucket()
    return loop


@pytest.mark.parametrize("second", ["  ", "Amira", " amira "])
def test_nobody_is_their_own_second_person(careful, second):
    """Also not in lower case."""
    answer = careful.order(
        "expedite", release=careful.release_of(2), reason="x", budget=1, approved_by=second
    )

    assert answer.status == "NotAllowed"
    assert at(careful, 2) == (State.OPENING, Reason.EVIDENCE)


def test_two_people_are_both_on_the_record(careful):
    """Their names stand with the door."""
    answer = careful.order(
        "expedite", release=careful.release_of(2), reason="x", budget=1, approved_by="Bo"
    )

    assert answer.status == "ok"
    assert careful.door(2).by == "Amira and Bo"


@pytest.mark.parametrize("verb", ["hold", "shut"])
def test_protecting_takes_one_person(careful, verb):
    """Only widening is hard."""
    assert careful.order(verb, release=careful.release_of(2)).status == "ok"


# Several rings


@pytest.fixture
def ringed(start):
    loop = start(16, rings=RINGS)
    loop.ring = {m: "lab" for m in loop.machines if m <= 8}
    loop.settle_in()
    loop.publish("2")
    loop.bucket()
    return loop


def test_an_order_without_a_ring_moves_all_it_applies_to(ringed):
    """The lab is opening, everyone waits: a hold stops both, a second one is refused."""
    answer = ringed.order("hold", release=ringed.release_of(2))
    assert [door["ring"] for door in body(answer)["doors"]] == ["lab", "everyone"]
    assert ringed.order("hold", release=ringed.release_of(2)).status == "IllegalTransition"
    assert ringed.order("resume", release=ringed.release_of(2), ring="lab").status == "ok"

    answer = ringed.order("hold", release=ringed.release_of(2))

    assert [door["ring"] for door in body(answer)["doors"]] == ["lab"]


def test_an_order_for_one_ring_moves_one_ring(ringed):
    """The lab's trouble is not the shops'."""
    ringed.order("shut", release=ringed.release_of(2), ring="lab")

    assert at(ringed, 2, "lab") == (State.SHUT, Reason.PERSON)
    assert at(ringed, 2)[0] is State.WAITING
    assert ringed.lane("lab").revoked == (2,)
    assert ringed.lane().revoked == ()


def test_a_pin_of_one_ring_leaves_the_others(ringed):
    """Exactly this ring gets exactly this release."""
    ringed.order("pin", channel=AV, release=ringed.release_of(2), ring="lab")

    assert ringed.store.pins(AV) == {"lab": 2}
    assert ringed.lane("lab").base == 2
    assert ringed.lane().base == 1
