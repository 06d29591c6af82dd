"""Who draws a card, when a deck is cut, and the census it is dealt by."""

import pytest
from tests.unit.services.turnstile import ALL_CLASSES, DAY, HOUR, Gate, grant

from firedoor.core.board import ChannelBoard, Lane, Withdrawn
from firedoor.services.admission import ACTIVE_MS
from firedoor.services.places import AFTERWARDS, Cut

# Entry


def test_a_sealed_control_draws_no_second_card_until_its_class_has_closed(gate):
    """I4: one sealed membership; I3: both arms leave by the same rule."""
    treated, control = gate.draw_all()
    one = control[0]
    gate.board(candidate=2, grant=grant(2, cards=9, treated=8), closed=((1, 0), (2, 0)))
    assert [p for p in gate.poll(one)[0].places if p.deck] == []

    cls = int(gate.admission.cls[one])
    other_classes = ALL_CLASSES & ~(1 << cls)
    gate.board(candidate=2, grant=grant(2, cards=9, treated=8), closed=((1, other_classes), (2, 0)))
    assert [p for p in gate.poll(one)[0].places if p.deck] == []

    gate.board(candidate=2, grant=grant(2, cards=9, treated=8), closed=((1, 1 << cls), (2, 0)))
    (place,) = gate.poll(one)[0].places
    assert (place.deck, place.machine) == (2, one)
    assert gate.number(treated[0]) == 2


def test_a_treated_machine_never_draws_again_in_its_boarding(gate):
    """It has what the card could give."""
    treated, _ = gate.draw_all()
    gate.board(
        candidate=2,
        grant=grant(5, cards=9, treated=8),
        closed_below=5,
        closed=((5, 0),),
    )

    choice, _ = gate.poll(treated[0])

    assert (choice.number, choice.places) == (2, ())


def test_a_closed_deck_that_the_board_names_no_more_has_released_everybody(gate):
    """``closed_below`` stands for all of them."""
    _, control = gate.draw_all()
    gate.board(candidate=2, grant=grant(2), closed_below=2, closed=((2, 0),))

    assert [p.deck for p in gate.poll(control[0])[0].places] == [2]


def test_a_member_of_an_older_boarding_is_free_in_the_next(gate):
    """Its membership ended with the door."""
    treated, control = gate.draw_all()
    gate.board(candidate=3, grant=grant(cards=9, treated=1))

    drawn = [gate.poll(machine)[0].places for machine in (treated[0], control[0])]

    assert [[p.number for p in places if p.deck] for places in drawn] == [[3], [3]]


def test_a_machine_seen_once_draws_no_card_until_a_deadline_has_passed(gate):
    """Nothing is known of its habits, so its silence would say nothing."""
    gate.board(base=1, candidate=2, grant=grant(cards=9, treated=8))
    assert all(not p.deck for p in gate.poll(40)[0].places)
    assert all(not p.deck for p in gate.poll(40, later=60_000)[0].places)
    assert all(p.deck for p in gate.poll(40, later=300_000)[0].places if p.number == 2)
    assert int(gate.admission.member[40]) == 2


def test_a_cloned_identity_draws_no_card(gate):
    """Two machines cannot be in one arm."""
    gate.board(base=1, candidate=2, grant=grant(cards=9, treated=8))
    gate.roster.cloned[3] = 1

    assert all(not p.deck for p in gate.poll(3)[0].places)
    assert any(p.deck for p in gate.poll(4)[0].places)


def test_a_patient_is_in_no_arm_until_it_was_seen_with_something_else(gate):
    """It may still run the shut release; what it suffers now says nothing of the next."""
    gate.board(base=2)
    gate.poll(3)
    gate.board(base=1, revoked=(2,), candidate=3, grant=grant(cards=9, treated=8))

    assert [place.deck for place in gate.poll(3)[0].places] == [AFTERWARDS]
    assert [p.deck for p in gate.poll(3)[0].places if p.deck] == [1]


def test_class_and_arm_are_fixed_by_the_past_alone(gate):
    """I5: the deadline is of the time before the card, whatever the card says."""
    classes = {machine: gate.roster.deadline_class(machine) for machine in range(1, 5)}
    gate.draw_all()

    assert {m: int(gate.admission.cls[m]) for m in range(1, 5)} == classes


# Decks


def test_a_deck_is_cut_when_its_cards_are_used_up(gate):
    """And the cut travels with the place of the last card."""
    gate.board(candidate=2, grant=grant(cards=3, treated=1))
    cuts = [gate.poll(machine)[1] for machine in (1, 2, 3)]

    assert cuts[:2] == [[], []]
    assert cuts[2] == [Cut("av", 2, "everyone", 1, drawn=3, treated=1, mono_ms=gate.now)]
    assert all(not p.deck for p in gate.poll(4)[0].places)


def test_a_deck_is_cut_when_its_time_is_up_counted_from_its_first_card(gate):
    """It waits as long as it likes for the first one: an undealt deck seals nobody."""
    gate.board(candidate=2, grant=grant(cards=9, treated=8, life_ms=10_000))
    assert gate.admission.expire(gate.now + DAY) == []
    gate.now += DAY
    gate.poll(1)
    gate.poll(2)

    assert gate.admission.expire(gate.now) == []
    (cut,) = gate.admission.expire(gate.now + 10_000)
    assert (cut.deck, cut.drawn) == (1, 2)
    assert gate.admission.expire(gate.now + DAY) == []
    assert all(not p.deck for p in gate.poll(3)[0].places)


@pytest.mark.parametrize(
    "lane",
    [
        {"base": 1},
        {"base": 2},
        {"base": 1, "candidate": 2},
        {"base": 1, "candidate": 2, "grant": grant(2)},
        {"base": 1, "candidate": 3, "grant": grant(1)},
    ],
    ids=["shut", "open", "held", "next deck", "next release"],
)
def test_a_deck_is_cut_when_its_leave_is_gone(gate, lane):
    """Whatever became of the door, its deck is dealt no further."""
    gate.board(candidate=2, grant=grant(cards=9, treated=8))
    gate.poll(1)

    (cut,) = gate.board(**lane)

    assert (cut.number, cut.deck, cut.drawn) == (2, 1, 1)


def test_a_withdrawn_deck_that_was_never_dealt_is_cut_too(gate):
    """The judge waits for its cut; without one the door could never open again."""
    gone = Withdrawn(2, "everyone", grant(3, cards=9, treated=8))
    board = ChannelBoard("av", (Lane("everyone", base=1),), withdrawn=(gone,))

    (cut,) = gate.admission.apply(board, gate.now)

    assert (cut.number, cut.deck, cut.drawn, cut.treated) == (2, 3, 0, 0)
    assert gate.admission.apply(board, gate.now) == []


def test_a_withdrawn_deck_of_an_earlier_run_is_cut_with_what_is_on_record(gate):
    """The gate was killed in the middle of it, and the door was held meanwhile."""
    gate.board(candidate=2, grant=grant(cards=9, treated=8))
    drawn = [p for machine in (1, 2, 3) for p in gate.poll(machine)[0].places if p.deck]
    gate.admission = gate.fresh()
    gone = Withdrawn(2, "everyone", grant(cards=9, treated=8))
    board = ChannelBoard("av", (Lane("everyone", base=1, candidate=2),), withdrawn=(gone,))

    (cut,) = gate.admission.apply(board, gate.now, drawn)

    assert (cut.deck, cut.drawn) == (1, 3)
    assert cut.treated == sum(place.treated for place in drawn)


def test_a_deck_whose_last_card_is_on_record_without_its_cut_is_cut_at_the_next_look(gate):
    """Nobody may be asked to turn a card that is not there."""
    gate.board(candidate=2, grant=grant(cards=3, treated=1))
    drawn = [p for machine in (1, 2, 3) for p in gate.poll(machine)[0].places if p.deck]
    gate.admission = gate.fresh()
    lane = Lane("everyone", base=1, candidate=2, grant=grant(cards=3, treated=1))

    (cut,) = gate.admission.apply(ChannelBoard("av", (lane,)), gate.now, drawn)

    assert (cut.drawn, cut.treated) == (3, 1)
    assert all(not p.deck for p in gate.poll(4)[0].places)


def test_one_deck_in_each_ring_at_a_time(gate):
    """Rings run side by side, each with cards of its own."""
    rings = {1: "lab", 2: "lab"}
    gate = Gate(ring_of=lambda machine: rings.get(machine, "everyone"))
    gate.board(
        Lane("lab", base=1, candidate=2, grant=grant(1, cards=2, treated=1)),
        Lane("everyone", base=1, candidate=2, grant=grant(7, cards=9, treated=1, key="11" * 32)),
    )
    drawn = [gate.poll(machine)[0].places[0] for machine in (1, 3, 2)]

    assert [(p.ring, p.deck, p.card) for p in drawn] == [
        ("lab", 1, 0),
        ("everyone", 7, 0),
        ("lab", 1, 1),
    ]


# Census


def test_the_census_counts_each_machine_where_it_stands(gate):
    """The judge deals by these numbers."""
    gate.board(base=1)
    for machine in range(1, 13):
        gate.poll(machine)
    treated, control = gate.draw_all()
    gate.poll(40)  # seen for the first time

    count = gate.census()

    assert (count.active, count.untreated) == (13, 13 - len(treated))
    assert count.free == 13 - len(treated) - len(control) - 1


def test_clones_and_patients_are_active_and_nothing_waits_for_them(gate):
    """They can never be enrolled, so a walk that waited for them would never end."""
    gate.board(base=2)
    for machine in range(1, 6):
        gate.poll(machine)
    gate.roster.cloned[1] = 1
    gate.board(base=1, revoked=(2,))
    for machine in (1, 2, 3):
        gate.poll(machine)

    count = gate.census()

    assert (count.active, count.untreated, count.free) == (5, 2, 2)


def test_a_machine_is_active_for_seven_days(gate):
    """Longer away, and a door no longer waits for it."""
    gate.board(base=1)
    gate.poll(1)
    gate.now += ACTIVE_MS - 1
    assert gate.census().active == 1
    gate.now += 1
    assert gate.census().active == 0


def test_a_restart_right_after_a_reboot_finds_no_ring_empty(gate):
    """The monotonic clock began again; an empty ring would open to everybody at once."""
    gate.board(base=1)
    for machine in range(1, 6):
        gate.poll(machine)
    standings, wall = gate.admission.drain_standing(), 1_700_000_000_000
    habits = gate.roster.drain_habits(mono_ms=gate.now, wall_ms=wall)

    rebooted = Gate(0)
    rebooted.now = 30_000
    rebooted.roster.restore(habits, mono_ms=rebooted.now, wall_ms=wall + HOUR)
    rebooted.admission.restore([], [], standings)
    rebooted.board(base=1)

    count = rebooted.census()
    assert (count.active, count.free, count.untreated) == (5, 5, 5)


def test_polls_are_told_as_a_rate_that_a_hurried_flush_does_not_spoil(gate):
    """The board changed right after a flush: that is too short to tell a rate."""
    gate.board(base=1, candidate=2)
    gate.census()
    for machine in range(1, 11):
        gate.poll(machine, later=6_000)
    rate = gate.census().polls
    assert rate > 2
    gate.now += 100
    assert gate.census().polls == rate
