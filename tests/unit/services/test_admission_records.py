"""What is written down before a machine gets a release, and what it may get if that fails."""

import pytest
from tests.unit.services.turnstile import IDLE, grant

from firedoor.services.admission import Choice
from firedoor.services.exposures import Exposure
from firedoor.services.places import AFTERWARDS


def test_whoever_gets_a_release_for_the_first_time_is_recorded(gate):
    """With a card or without: the list of exposed machines is exact."""
    gate.board(base=1)
    first, _ = gate.poll(7)
    again, _ = gate.poll(7)
    gate.board(base=2)
    next_one, _ = gate.poll(7)

    assert [(p.number, p.deck, p.treated) for p in first.places] == [(1, AFTERWARDS, True)]
    assert again.places == ()
    assert [(p.number, p.deck) for p in next_one.places] == [(2, AFTERWARDS)]


def test_a_treated_machine_needs_no_second_record_when_its_door_opens(gate):
    """It has been on record since its card."""
    treated, control = gate.draw_all()
    gate.board(base=2)

    assert gate.poll(treated[0])[0].places == ()
    assert len(gate.poll(control[0])[0].places) == 1


@pytest.mark.parametrize("treated_cards", [1, 3])
def test_a_place_that_could_not_be_stored_leaves_the_machine_as_it_was(gate, treated_cards):
    """Served what it had, in no arm, and not on the books as exposed."""
    gate.board(base=1)
    for machine in range(1, 5):
        gate.poll(machine)
    gate.admission.drain_standing()
    gate.board(candidate=2, grant=grant(cards=4, treated=treated_cards))
    for machine in range(1, 5):
        gate.now += IDLE + 1
        choice, _ = gate.admission.begin(machine, gate.now, 5, lease=True)
        for place in choice.places:
            gate.admission.forget(place)

        assert gate.admission.fallback(machine) == 1
        # For the whole session: a disk that has room again must not change its release midway.
        assert gate.admission.current(machine, gate.now) == 1
        assert gate.admission.in_flight(machine) == 0
    assert {stand.number for stand in gate.admission.drain_standing()} <= {1}
    assert gate.census().untreated == 4


def test_what_a_machine_may_get_when_nothing_can_be_recorded(gate):
    """Only what it is on record for; of a shut release nothing."""
    gate.board(base=1)
    gate.poll(7)
    assert gate.admission.fallback(7) == 1
    gate.board(base=2)
    assert gate.admission.fallback(7) == 1  # 2 is new to it
    assert gate.admission.fallback(8) == 0  # and this one has had nothing yet
    gate.poll(7)
    gate.board(base=1, revoked=(2,))
    assert gate.admission.fallback(7) == 1  # the older one it had before
    gate.board(base=3, revoked=(2,))
    assert gate.admission.fallback(7) == 0


def test_a_pinned_older_release_is_recorded_for_whoever_never_had_it(gate):
    """Release 2 was shut with nobody in it; 3 went to all; then a person pinned 2."""
    gate.board(base=1)
    gate.poll(7)
    gate.board(base=3)
    gate.poll(7)
    gate.board(base=2, revoked=(3,))

    assert gate.admission.fallback(7) == 0
    choice, _ = gate.poll(7)
    assert [(p.number, p.deck, p.treated) for p in choice.places] == [(2, AFTERWARDS, True)]
    assert gate.admission.fallback(7) == 2
    assert gate.poll(7)[0].places == ()


@pytest.mark.parametrize("restarted", [False, True])
def test_going_back_to_what_is_on_record_needs_no_disk(gate, restarted):
    """Containment works with a full disk."""
    for base in (1, 2, 3):
        gate.board(base=base)
        gate.poll(7)
    if restarted:
        gate.admission = gate.fresh()
        gate.admission.restore([Exposure(7, 3, 0b111)], [], [])
    gate.board(base=1, revoked=(2, 3))

    assert gate.admission.fallback(7) == 1
    assert gate.poll(7)[0] == Choice(1)


def test_a_place_of_an_older_release_that_could_not_be_stored_exposes_nobody(gate):
    """Off the record nobody gets anything, also not backwards."""
    gate.board(base=3)
    gate.poll(7)
    gate.board(base=2)
    gate.now += IDLE + 1
    choice, _ = gate.admission.begin(7, gate.now, 5, lease=True)
    for place in choice.places:
        gate.admission.forget(place)

    assert gate.admission.fallback(7) == gate.admission.current(7, gate.now) == 3


def test_a_machine_that_has_no_row_yet_has_no_date(gate):
    """The first request of the newest machine may be a HEAD."""
    gate.board(base=1)

    assert gate.admission.peek(5_000) == 1
    assert gate.admission.since(5_000, 1) is None
    assert gate.admission.since(7, 1) is None


def test_what_was_shut_may_not_be_sent_any_further(gate):
    """Asked during transfers, of machines and of clients without an identity."""
    gate.board(base=2)
    gate.poll(7)
    assert gate.admission.allows(7, 2)
    assert gate.admission.allows(0, 2)
    gate.board(base=1, revoked=(2,))

    assert not gate.admission.allows(7, 2)
    assert not gate.admission.allows(0, 2)
    assert gate.admission.allows(7, 1)
