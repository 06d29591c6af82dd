"""The judge in its court: whole rehearsals, what is counted, slots, and what is published."""

import json

import pytest
from tests.loop import AV, MINUTE
from tests.unit.services.rehearsal import clear_cells, harm_cells, slow_fleet, until

from firedoor.core import silence
from firedoor.core.door import Reason, State
from firedoor.core.verdict import VerdictState
from firedoor.services.pools import ends_early

# Whole rehearsals


@pytest.mark.parametrize("machines", [1, 2, 3, 10, 20, 60])
def test_a_good_release_reaches_everybody(start, machines):
    """Also where there is nobody to compare with."""
    loop = start(machines)
    loop.settle_in()
    loop.publish("2")
    until(loop, 2, State.OPEN, most=250)
    loop.bucket()

    assert loop.door(2).reason in (Reason.CLEARED, Reason.WALKED)
    assert {loop.poll(machine) for machine in loop.machines} == {2}
    assert not loop.door(2).was_held


@pytest.mark.parametrize(("machines", "most"), [(10, 1), (20, 2), (60, 5)])
def test_a_release_that_kills_everything_stands_still_after_the_budget(start, machines, most):
    """The promise: about B machines, then nobody more, whether or not it can be proved."""
    loop = start(machines)
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.HELD, State.SHUT)
    loop.bucket(60)

    assert len(loop.dead) <= most
    assert loop.door(2).state in (State.HELD, State.SHUT)


def test_harm_that_is_proved_shuts_the_door_and_says_by_which_numbers(start):
    """The sentence is what a person reads at night."""
    loop = start(60)
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.SHUT)

    move = loop.moves(2)[-1]
    assert move["reason"] == "harmful"
    assert str(move["note"]).startswith("harm is proved: silence: 5 treated and 0 control")
    assert loop.verdict(2).state is VerdictState.HARMFUL
    evidence = move["evidence"]
    assert evidence["cells"] == len(loop.store.cells(AV, 2))
    assert evidence["cells_digest"] == loop.flight(2).digest


def test_a_death_in_both_arms_is_nobodys_fault(start):
    """A site loses power: treated and control go silent together."""
    loop = start(60)
    loop.settle_in()
    loop.publish("2")
    loop.bucket(3)
    assert len(loop.treated(2)) == 5
    loop.dead |= set(loop.machines[::2])
    loop.bucket(25)

    (cell,) = harm_cells(loop, 2)
    assert cell.control_harmed > 0
    assert loop.door(2).state is State.OPENING
    assert loop.verdict(2).log_e_harm < 2


# Counting


def test_every_member_of_a_deck_matures_exactly_once(start):
    """One outcome a machine; the audit after the end adds them up."""
    loop = start(30)
    loop.period = {m: 1 + m % 3 * 4 for m in loop.machines}  # three classes
    loop.settle_in(9 * 7)
    loop.publish("2")
    loop.bucket(60)
    closed = {deck.deck for deck in loop.store.decks(AV, 2) if deck.closed == -1}
    assert closed

    for deck in closed:
        members = [p.place for p in loop.places(2) if p.place.deck == deck]
        cells = [cell for cell in clear_cells(loop, 2) if cell.deck == deck]
        assert len(cells) == len({member.cls for member in members})
        assert sum(cell.treated for cell in cells) == sum(m.treated for m in members)
        assert sum(cell.treated + cell.control for cell in cells) == len(members)


def test_a_class_closes_a_deadline_and_a_bucket_after_the_cut_has_settled(loop):
    """The same moment for both arms, read off the clock and nothing else (I8)."""
    loop.publish("2")
    loop.bucket()
    while not loop.flight(2).last_cut:
        loop.bucket()
    cut = loop.flight(2).last_cut["everyone"].mono_ms
    while not clear_cells(loop, 2):
        loop.bucket()

    places = [p.place for p in loop.places(2) if p.place.deck == 1]
    (cls,) = {place.cls for place in places}
    span = silence.class_deadline(cls, 5 * MINUTE)
    assert loop.clock.mono_ms == cut + MINUTE + MINUTE + span


def test_a_crash_is_counted_at_the_next_tick_and_the_silence_after_it_is_not(start):
    """Cohorts.md 6, test 12, over the whole loop."""
    loop = start(60)
    loop.beat(loop.machines)
    loop.settle_in()
    loop.publish("2")
    loop.bucket(3)
    victim = loop.treated(2)[0]
    loop.crash(victim)
    loop.dead.add(victim)
    loop.bucket()
    (cell,) = harm_cells(loop, 2, "crash")
    assert (cell.treated, cell.treated_harmed, cell.control_harmed) == (5, 1, 0)
    loop.bucket(20)

    assert harm_cells(loop, 2) == []
    assert [h.signal for h in loop.store.harmed(AV, 2)] == ["crash"]
    assert sum(c.treated_harmed for c in clear_cells(loop, 2)) == 1


def test_a_crash_before_the_card_is_no_harm_of_the_release(start):
    """It happened to a machine that had not been touched."""
    loop = start(60)
    loop.beat(loop.machines)
    loop.settle_in()
    loop.crash(*loop.machines)
    loop.publish("2")
    loop.bucket(10)

    assert loop.treated(2)
    assert harm_cells(loop, 2, "crash") == []


def test_a_crash_before_the_card_that_is_told_after_it_is_no_harm_of_the_release(start):
    """Who uploads a journal for the first time tells of months; who was cut off tells late."""
    loop = start(60)
    loop.beat(loop.machines)
    loop.settle_in()
    loop.publish("2")
    while not loop.treated(2):
        loop.bucket()
    loop.crash(*loop.machines, ago_ms=24 * 3_600_000)
    loop.bucket()
    assert harm_cells(loop, 2, "crash") == []

    # A newer one of the same machine counts, also after an older one was told in between.
    victim = loop.treated(2)[0]
    loop.crash(victim)
    loop.crash(victim, ago_ms=24 * 3_600_000, kind="coredump")
    loop.bucket(3)
    assert sum(cell.treated_harmed for cell in harm_cells(loop, 2, "crash")) == 1


def test_a_crash_between_the_card_and_the_cut_counts_when_the_deck_is_cut(start):
    """Before the cut the pool is not whole (I6)."""
    loop = start(40)
    slow_fleet(loop)
    loop.beat(loop.machines)
    loop.bucket()
    loop.period = {m: 1 if m <= 5 else 50 for m in loop.machines}
    loop.publish("2")
    loop.bucket(2)
    drawn = [p.place.machine for p in loop.places(2) if p.place.deck]
    assert 0 < len(drawn) < 40
    assert not loop.flight(2).last_cut
    loop.clock.pass_ms(1)
    loop.crash(*drawn[:2])
    loop.bucket(2)
    assert harm_cells(loop, 2, "crash") == []
    loop.period = {}
    loop.bucket(2)

    (cell,) = harm_cells(loop, 2, "crash")
    assert cell.treated_harmed + cell.control_harmed == 2


def test_a_deck_whose_members_crash_in_numbers_ends_early(start):
    """What they tell counts after the cut only: it must not wait for the slow ones."""
    loop = start(40)
    slow_fleet(loop)
    loop.beat(loop.machines)
    loop.bucket()
    loop.period = {m: 1 if m <= 5 else 50 for m in loop.machines}
    loop.publish("2")
    loop.bucket(2)
    drawn = [p.place.machine for p in loop.places(2) if p.place.deck]
    assert 3 <= len(drawn) < 40
    assert not loop.flight(2).last_cut
    loop.clock.pass_ms(1)
    loop.crash(*drawn)
    loop.bucket(3)

    (cell,) = harm_cells(loop, 2, "crash")
    assert cell.treated_harmed + cell.control_harmed == len(drawn)


@pytest.mark.parametrize(
    ("told", "drawn", "ends"), [(2, 4, False), (3, 4, True), (3, 300, True), (3, 301, False)]
)
def test_three_reports_end_a_deck_and_one_in_a_hundred_of_a_large_one(told, drawn, ends):
    """Some machines always crash: in a large deck three of them are no news."""
    assert ends_early(told, drawn) is ends


def test_where_too_few_report_a_crash_is_shown_and_decides_nothing(start):
    """Four agents are no watch; and what they tell must not hide a silence."""
    loop = start(60)
    loop.beat(loop.machines[:4])
    loop.settle_in()
    loop.publish("2")
    loop.bucket(3)
    drawn = {p.place.machine for p in loop.places(2) if p.place.deck} & set(loop.machines[:4])
    assert drawn
    loop.crash(*loop.machines[:4])
    loop.dead |= drawn
    loop.bucket()
    assert loop.store.cells(AV, 2) == []  # nothing is told of sealed machines
    loop.bucket(20)

    harmed = loop.store.harmed(AV, 2)
    assert {(h.machine, h.signal) for h in harmed} == {(m, "silence") for m in drawn}
    (shown,) = harm_cells(loop, 2, "crash")
    assert shown.treated_harmed + shown.control_harmed == len(drawn)
    assert loop.numbers(2).harmed == sum(h.treated for h in harmed)


# Slots


def test_a_silent_machine_that_speaks_again_frees_its_slot_and_keeps_its_cell(loop):
    """Evidence is not rewritten; the window is about machines that are still harmed."""
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.HELD)
    assert loop.numbers(2).room == 0
    cells, dead = loop.store.cells(AV, 2), sorted(loop.dead)
    loop.deadly.clear()
    loop.dead.clear()
    loop.bucket(2)

    # All that were harmed spoke again: the door goes on by itself, from opening.
    assert loop.door(2).state is State.OPENING
    assert loop.moves(2)[-1]["from"] == "held"
    assert loop.store.cells(AV, 2)[: len(cells)] == cells
    harmed = loop.store.harmed(AV, 2)
    assert sorted(h.machine for h in harmed if h.recovered_ms) == dead
    assert loop.numbers(2).debt == 0


def test_a_spent_door_stays_held_while_anybody_is_still_silent(start):
    """No other harm, says the table: half of the dead coming back is no all-clear."""
    loop = start(20)
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.HELD)
    assert len(loop.dead) == 2
    loop.deadly.clear()
    loop.dead.pop()
    loop.bucket(5)

    assert loop.numbers(2).room == 1
    assert loop.door(2).state is State.HELD


def test_resume_after_a_spent_budget_gives_the_budget_once_more(start):
    """The harmed keep their slots."""
    loop = start(20)
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.HELD)
    loop.order("resume", release=loop.release_of(2), reason="try again")

    found = loop.numbers(2)
    assert (found.budget, found.room) == (4, 2)


# What is published


def test_the_stored_verdict_is_that_of_the_stored_cells(start):
    """Whoever looks at the numbers can recompute them."""
    loop = start(30)
    loop.settle_in()
    loop.publish("2")
    for minute in range(40):
        if minute == 6:
            loop.dead |= set(loop.machines[::7])
        loop.bucket()
        stored = json.loads(loop.store.last_verdict(AV, 2))
        assert stored["verdict"]["seq"] == len(loop.store.cells(AV, 2))
        assert stored["cells_digest"] == loop.flight(2).digest
        streams = {s["signal"]: s for s in stored["verdict"]["streams"]}
        assert streams["silence"]["control_harmed"] == sum(
            cell.control_harmed for cell in harm_cells(loop, 2)
        )


def test_the_seed_stays_secret_while_a_card_may_be_dealt_and_is_told_once(start):
    """Whoever knew it could aim; whoever never learns it cannot audit."""
    loop = start(30)
    loop.settle_in()
    loop.publish("2")
    for _ in range(100):
        if loop.door(2).state is State.OPEN:
            break
        assert loop.store.seed(AV, 2) == ""
        loop.bucket()
    assert loop.store.seed(AV, 2) == loop.flight(2).seed.hex()
    loop.order("shut", release=loop.release_of(2))
    loop.bucket(20)

    told = [s.entry for s in loop.store.entries() if s.entry.kind == "seed-revealed"]
    assert [entry.body["number"] for entry in told].count(2) == 1
