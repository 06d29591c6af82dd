"""What boards, when, and what every ring is served (decisions.md 2 and 7)."""

import pytest
from tests.loop import AV, MINUTE
from tests.unit.services.rehearsal import at, until

from firedoor.core.door import Reason, State
from firedoor.core.ledger.entry import MAX_LEAF_BYTES, leaf_bytes

RINGS = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
[[ring]]
name = "shops"
machines = { site = ["shops"] }
after = "lab"
budget = 2
"""


def snapshots(loop):
    return [seen.state for seen in loop.store.snapshots(AV)]


# Boarding


def test_the_first_snapshot_is_adopted_without_a_claim(start):
    """Firedoor begins where the fleet is."""
    loop = start(5)
    loop.publish("1")

    assert at(loop, 1) == (State.OPEN, Reason.ADOPTED)
    assert loop.lane().base == 1
    assert loop.store.cells(AV, 1) == []
    assert snapshots(loop) == ["boarded"]


def test_what_boards_is_committed_to_before_the_first_card(loop):
    """The seed's hash is in the ledger; the seed is not."""
    loop.publish("2")
    (entry,) = [s.entry for s in loop.store.entries() if s.entry.body.get("number") == 2]

    assert entry.kind == "boarded"
    assert entry.body["seed_commitment"] == loop.train.lines[AV][2].boarding.commitment
    assert loop.store.seed(AV, 2) == ""
    assert loop.flight(2).seed.hex().encode() not in leaf_bytes(entry)


def test_nothing_boards_before_a_gate_has_counted_the_rings(start):
    """A ring that nobody has counted looks empty, and an empty ring opens to everybody."""
    loop = start(5)
    loop.publish("1")
    loop.publish("2")
    assert set(loop.train.lines[AV]) == {1}
    loop.bucket()
    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)


def test_a_ring_without_machines_opens_at_once(start):
    """Nobody to ask and nobody to harm."""
    loop = start(0)
    loop.publish("1")
    loop.bucket(2)
    loop.publish("2")
    loop.bucket()

    assert at(loop, 2) == (State.OPEN, Reason.EMPTY)
    assert loop.lane().base == 2


def test_the_same_content_seen_again_is_no_new_snapshot(loop):
    """Upstream re-signed it; there is nothing to prove."""
    loop.publish("1")

    assert snapshots(loop) == ["boarded"]
    assert set(loop.train.lines[AV]) == {1}


def test_a_newer_snapshot_waits_while_one_is_in_flight_and_those_between_are_skipped(loop):
    """One release in flight per channel; then the newest."""
    loop.publish("2")
    loop.publish("3")
    loop.publish("4")
    assert snapshots(loop) == ["boarded", "boarded", "waiting", "waiting"]
    until(loop, 2, State.OPEN)
    loop.bucket()

    assert snapshots(loop) == ["boarded", "boarded", "skipped", "boarded"]
    assert loop.train.lines[AV][3].boarding.release == loop.store.snapshots(AV)[-1].release


def test_what_upstream_takes_back_ends_withdrawn(loop):
    """The vendor has thought better of it: content that is open is content that is known."""
    loop.publish("2")
    loop.bucket(2)
    loop.publish("1")

    assert at(loop, 2) == (State.SUPERSEDED, Reason.WITHDRAWN)
    assert loop.lane().base == 1 and loop.lane().candidate == 0
    assert snapshots(loop) == ["boarded", "boarded", "boarded"]


def test_upstream_going_back_and_forth_leaves_the_flight_alone(loop):
    """What is in flight again the newest is not a new release."""
    loop.publish("2")
    loop.publish("3")
    loop.publish("2")

    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)
    assert set(loop.train.lines[AV]) == {1, 2}
    assert snapshots(loop) == ["boarded", "boarded", "skipped", "boarded"]


def test_the_content_of_a_shut_release_never_boards_by_itself(loop):
    """A mirror that flaps must not bring the bad one back."""
    bad = loop.publish("2")
    loop.order("shut", release=bad)
    loop.publish("3")
    loop.bucket()
    loop.publish("2")
    loop.bucket()

    assert snapshots(loop)[-1] == "refused"
    assert set(loop.train.lines[AV]) == {1, 2, 3}
    assert any("does not board by itself" in note for note in loop.notes())


def test_old_content_that_was_not_shut_boards_anew(loop):
    """New number, new seed, nothing remembered of what was believed of it."""
    loop.publish("2")
    until(loop, 2, State.OPEN)
    loop.publish("1")
    loop.bucket()

    assert at(loop, 3) == (State.OPENING, Reason.EVIDENCE)
    assert loop.flight(3).seed != loop.flight(1).seed
    assert loop.verdict(3).harm_upper == 1.0


# When a newer one may take over


def test_an_undecided_release_gives_way_after_patience(start):
    """A fleet that cannot decide must not miss the next fix for ever."""
    loop = start(12, policy='patience = "30m"')
    loop.settle_in()
    loop.period = dict.fromkeys(loop.machines, 1000)  # everybody is away: nothing is decided
    loop.publish("2")
    loop.publish("3")
    loop.bucket(29)
    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)
    loop.bucket(2)

    assert at(loop, 2) == (State.SUPERSEDED, Reason.NEWER)
    assert at(loop, 3) == (State.OPENING, Reason.EVIDENCE)


def test_a_release_that_evidence_holds_gives_way_at_once(loop):
    """Whatever comes next is more likely to be the remedy."""
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.HELD)
    assert at(loop, 2)[1] is Reason.BUDGET_SPENT
    loop.deadly.clear()
    loop.publish("3")
    loop.bucket()

    assert at(loop, 2) == (State.SUPERSEDED, Reason.NEWER)
    assert at(loop, 3) == (State.OPENING, Reason.EVIDENCE)


def test_a_release_that_a_person_holds_gives_way_to_nobody(start):
    """They have asked for time; patience is no answer."""
    loop = start(20, policy='patience = "10m"')
    loop.settle_in()
    loop.order("hold", release=loop.publish("2"))
    loop.publish("3")
    loop.bucket(40)

    assert at(loop, 2) == (State.HELD, Reason.PERSON)
    assert snapshots(loop)[-1] == "waiting"


def test_a_shut_release_gives_way_at_once(loop):
    """The train has ended."""
    loop.publish("2")
    loop.publish("3")
    loop.order("shut", release=loop.release_of(2))
    loop.bucket()

    assert at(loop, 3) == (State.OPENING, Reason.EVIDENCE)


def test_two_bad_ends_in_a_row_wait_for_a_person(loop):
    """Then something is wrong that no third release will mend."""
    for version in ("2", "3"):
        release = loop.publish(version)
        loop.bucket()
        loop.order("shut", release=release)
    loop.publish("4")
    loop.bucket(3)
    assert set(loop.train.lines[AV]) == {1, 2, 3}
    assert loop.store.channel(AV).blocked
    alerts = [s.entry.body for s in loop.store.entries() if s.entry.body.get("alert")]
    assert "two releases in a row" in str(alerts[-1]["note"])

    assert loop.order("unblock", channel=AV, reason="the vendor was called").status == "ok"

    assert at(loop, 4) == (State.OPENING, Reason.EVIDENCE)
    loop.bucket(2)
    assert not loop.store.channel(AV).blocked


def test_a_second_held_release_is_not_run_over_by_the_third(loop):
    """Superseding it would be its bad end, and the second in a row."""
    loop.order("shut", release=loop.publish("2"))
    loop.deadly.add(loop.publish("3"))
    loop.bucket()
    until(loop, 3, State.HELD)
    loop.publish("4")
    loop.bucket()

    assert at(loop, 3)[0] is State.HELD
    assert loop.store.channel(AV).blocked
    loop.order("unblock", channel=AV)
    assert at(loop, 3) == (State.SUPERSEDED, Reason.NEWER)
    assert 4 in loop.train.lines[AV]


def test_one_good_end_forgets_the_bad_one_before(loop):
    """Two in a row means in a row."""
    loop.order("shut", release=loop.publish("2"))
    loop.publish("3")
    loop.bucket()
    until(loop, 3, State.OPEN)
    loop.publish("4")
    loop.bucket()
    loop.order("shut", release=loop.release_of(4))
    loop.publish("5")
    loop.bucket()

    assert not loop.store.channel(AV).blocked
    assert at(loop, 5) == (State.OPENING, Reason.EVIDENCE)


# Pins


def test_a_pin_stops_boarding_until_it_is_taken_away(loop):
    """The operator has said what this ring gets."""
    first = loop.release_of(1)
    assert loop.order("pin", channel=AV, release=first).status == "ok"
    loop.publish("2")
    loop.bucket(3)
    assert set(loop.train.lines[AV]) == {1}
    assert snapshots(loop)[-1] == "waiting"

    assert loop.order("unpin", channel=AV).status == "ok"

    assert at(loop, 2) == (State.OPENING, Reason.EVIDENCE)


def test_pinning_an_older_release_is_a_revert(loop):
    """What is left behind is contained; the machines get the old one back."""
    loop.publish("2")
    until(loop, 2, State.OPEN)
    loop.bucket()
    loop.publish("3")
    loop.bucket(2)
    loop.order("pin", channel=AV, release=loop.release_of(1), reason="go back")

    assert at(loop, 1) == (State.OPEN, Reason.PINNED)
    assert at(loop, 2) == at(loop, 3) == (State.SUPERSEDED, Reason.PINNED)
    assert loop.lane().base == 1
    assert loop.lane().candidate == 0
    assert loop.lane().revoked == (2, 3)
    assert {loop.poll(machine) for machine in loop.machines} == {1}


def test_pinning_a_release_in_flight_opens_it_to_everybody(loop):
    """Evidence or not, on the record; nothing is contained."""
    loop.publish("2")
    loop.bucket(2)
    loop.order("pin", channel=AV, release=loop.release_of(2), reason="zero day")
    loop.bucket()

    assert at(loop, 2) == (State.OPEN, Reason.PINNED)
    assert at(loop, 1) == (State.OPEN, Reason.ADOPTED)
    assert loop.lane() == loop.lane().__class__("everyone", base=2)
    assert {loop.poll(machine) for machine in loop.machines} == {2}


# Lanes


def test_a_shut_release_is_revoked_and_the_one_before_is_served(loop):
    """Contain: nobody new, and those who have it are answered from the old one."""
    loop.publish("2")
    loop.bucket(2)
    treated = loop.treated(2)
    assert treated
    loop.order("shut", release=loop.release_of(2))

    assert (loop.lane().base, loop.lane().candidate, loop.lane().revoked) == (1, 0, (2,))
    assert {loop.poll(machine) for machine in treated} == {1}


def test_late_harm_goes_back_to_what_was_open_before(loop):
    """An open release that is shut leaves the last good one."""
    loop.publish("2")
    until(loop, 2, State.OPEN)
    loop.publish("3")
    until(loop, 3, State.OPEN)
    loop.order("shut", release=loop.release_of(3))

    assert (loop.lane().base, loop.lane().revoked) == (2, (3,))


def test_what_is_superseded_is_not_revoked(loop):
    """Nothing is known against it."""
    loop.publish("2")
    loop.bucket(2)
    loop.publish("1")

    assert loop.lane().revoked == ()


# Rings


@pytest.fixture
def ringed(start):
    loop = start(24, rings=RINGS)
    loop.ring = {m: "lab" if m <= 8 else "shops" for m in loop.machines if m <= 16}
    loop.settle_in()
    return loop


def test_a_ring_waits_for_the_one_before_it_and_everyone_for_all(ringed):
    """Business order: lab, then shops, then the rest."""
    ringed.publish("2")
    assert at(ringed, 2, "lab") == (State.OPENING, Reason.EVIDENCE)
    assert at(ringed, 2, "shops") == at(ringed, 2) == (State.WAITING, Reason.EARLIER_RING)
    assert ringed.lane("shops").candidate == 0

    until(ringed, 2, State.OPEN, ring="lab")
    ringed.bucket()
    assert at(ringed, 2, "shops") == (State.OPENING, Reason.EVIDENCE)
    assert at(ringed, 2) == (State.WAITING, Reason.EARLIER_RING)
    assert ringed.lane("lab").base == 2
    assert ringed.lane("shops").base == ringed.lane().base == 1

    until(ringed, 2, State.OPEN, ring="shops", most=150)
    ringed.bucket()
    assert at(ringed, 2)[0] in (State.OPENING, State.OPEN)


def test_each_ring_has_the_budget_of_its_own_terms(ringed):
    """Nothing is borrowed between rings."""
    ringed.publish("2")

    assert [ringed.door(2, ring).budget for ring in ("lab", "shops", "everyone")] == [1, 2, 1]


def test_a_ring_that_emptied_opens_when_its_turn_comes(start):
    """A waiting ring without a machine must not stop the rings after it."""
    loop = start(12, rings=RINGS)
    loop.ring = dict.fromkeys(loop.machines, "lab")
    loop.settle_in()
    loop.publish("2")
    until(loop, 2, State.OPEN, ring="lab")
    loop.bucket(3)

    assert at(loop, 2, "shops") == at(loop, 2) == (State.OPEN, Reason.EMPTY)


def test_harm_in_one_ring_shuts_the_release_in_all(start):
    """E is one number per release."""
    ringed = start(60, rings=RINGS)
    ringed.ring = {m: "lab" if m <= 40 else "shops" for m in ringed.machines if m <= 50}
    ringed.settle_in()
    ringed.deadly.add(ringed.publish("2"))
    until(ringed, 2, State.SHUT, ring="lab")

    assert {at(ringed, 2, ring) for ring in ("lab", "shops", "everyone")} == {
        (State.SHUT, Reason.HARMFUL)
    }


def test_what_killed_all_of_the_first_ring_does_not_go_on_to_the_next(ringed):
    """Nobody of the ring is left to compare with; the next ring is not there to find out."""
    ringed.deadly.add(ringed.publish("2"))
    ringed.order("expedite", release=ringed.release_of(2), reason="x", budget=20, ring="lab")
    until(ringed, 2, State.HELD, ring="lab")

    assert at(ringed, 2, "lab") == (State.HELD, Reason.BUDGET_SPENT)
    assert {m for m in ringed.dead if m > 8} == set()


def test_a_held_waiting_ring_waits_on_when_it_is_resumed(ringed):
    """Resume must not jump the queue."""
    ringed.publish("2")
    ringed.order("hold", release=ringed.release_of(2))
    assert at(ringed, 2, "shops") == (State.HELD, Reason.PERSON)
    ringed.order("resume", release=ringed.release_of(2))

    assert at(ringed, 2, "lab") == (State.OPENING, Reason.PERSON)
    assert at(ringed, 2, "shops") == (State.WAITING, Reason.EARLIER_RING)


def test_rings_that_came_and_went_in_the_configuration_stop_nothing(start):
    """The file was edited while a release was in flight; the judge must start all the same."""
    before = start(12, rings=RINGS)
    before.ring = {m: "lab" for m in before.machines if m <= 4}
    before.settle_in()
    before.publish("2")
    after = start(12, rings=RINGS.replace('"lab"', '"office"'))
    before.config = after.config.__class__(
        **{
            name: getattr(before.config if name == "data" else after.config, name)
            for name in after.config.__dataclass_fields__
        }
    )
    before.ring = {m: "office" for m in before.machines if m <= 4}
    before.start_judge()
    before.start_gate()
    before.bucket(3)

    # Machines of a new ring get what ring everyone gets; the lost ring waits for nobody.
    assert before.lane("office").base == 1
    assert before.poll(1) == 1
    refusal = before.order("shut", release=before.release_of(2), ring="office")
    assert refusal.status == "NotFound"
    assert before.order("shut", release=before.release_of(2)).status == "ok"
    before.bucket()
    assert before.lane("office").revoked == (2,)


# Upstream


def test_a_failing_upstream_is_noted_once_and_changes_nothing(loop):
    """The last good release goes on being served, and people can see why nothing comes."""
    for _ in range(3):
        with loop.store.step():
            loop.train.failed(AV, "connection refused", loop.clock.now())
    state = loop.store.channel(AV)

    assert (state.error, state.failures) == ("connection refused", 3)
    assert sum("connection refused" in note for note in loop.notes()) == 1
    loop.publish("2")
    assert (loop.store.channel(AV).error, loop.store.channel(AV).failures) == ("", 0)


@pytest.mark.parametrize("error", ["x" * 100_000, "half a \ud800 character", "ü" * 10_000])
def test_no_error_of_a_vendor_is_too_strange_for_the_ledger(loop, error):
    """A judge that cannot write down what it was told cannot judge."""
    with loop.store.step():
        loop.train.failed(AV, error, loop.clock.now())

    assert len(leaf_bytes(loop.store.entries()[-1].entry)) < MAX_LEAF_BYTES


def test_the_board_rises_by_one_with_every_change_and_only_then(loop):
    """The gate compares versions, not contents."""
    before = loop.store.board()
    loop.bucket(3)
    assert loop.store.board() == before
    loop.publish("2")

    assert loop.store.board().version == before.version + 1


def test_time_that_passes_in_one_boot_is_not_told_by_the_wall_clock(start):
    """A clock set forward by a day must not open a door."""
    loop = start(12, soak="24h")
    loop.settle_in()
    loop.publish("2")
    loop.bucket(20)
    assert loop.numbers(2).matured > 0
    loop.clock.wall_ms += 30 * 24 * 60 * MINUTE
    before = [s.entry for s in loop.store.entries() if s.entry.kind == "door"]
    loop.bucket(3)

    assert [s.entry for s in loop.store.entries() if s.entry.kind == "door"] == before
