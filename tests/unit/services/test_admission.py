"""Sessions, the time of an assignment, and the ring a machine is in."""

import dataclasses

from tests.unit.services.turnstile import DAY, IDLE, MOST, Gate, grant

from firedoor.core.board import ChannelBoard, Lane
from firedoor.services.exposures import Exposure
from firedoor.services.places import AFTERWARDS, Cut, Place, Standing

# Sessions


def test_a_session_keeps_its_release_while_the_door_moves(gate):
    """No mix: what began with one release ends with it."""
    gate.board(base=1)
    assert gate.number(5) == 1
    gate.board(base=2)

    for _ in range(20):
        gate.now += IDLE
        assert gate.admission.current(5, gate.now) == 1
        gate.admission.touch(5, gate.now)


def test_a_session_ends_when_the_machine_asked_nothing_for_the_idle_time(gate):
    """The next request begins another, and may get another release."""
    gate.board(base=1)
    gate.poll(5)

    assert gate.admission.current(5, gate.now + IDLE) == 1
    assert gate.admission.current(5, gate.now + IDLE + 1) == 0


def test_a_session_is_over_after_the_longest_time_however_busy_it_is(gate):
    """A machine that never pauses must not keep an old release for ever."""
    gate.board(base=1)
    gate.poll(5)
    began = gate.now
    while gate.now - began < MOST:
        gate.now += 1_000
        assert gate.admission.current(5, gate.now) == 1
        gate.admission.touch(5, gate.now)

    assert gate.admission.current(5, gate.now + 1_000) == 0


def test_a_machine_that_never_pauses_is_known_after_its_second_session(gate):
    """Otherwise it could be enrolled by no release, and every walk would wait for it."""
    gate.board(base=1)
    gate.now += 1
    for second in range(400):
        gate.now += 1_000
        if gate.admission.current(40, gate.now):
            gate.admission.touch(40, gate.now)
        else:
            gate.admission.begin(40, gate.now, second, lease=True)

    assert gate.roster.sessions[40] > 2
    assert gate.roster.seasoned(40, gate.now)


def test_a_revoked_release_ends_its_sessions_at_once(gate):
    """Contain is immediate: not at the end of the download, now."""
    gate.board(base=2)
    gate.poll(5)
    assert gate.admission.current(5, gate.now) == 2

    gate.board(base=1, revoked=(2,))

    assert gate.admission.current(5, gate.now) == 0
    assert gate.number(5, later=0) == 1


def test_a_superseded_release_is_read_to_its_end(gate):
    """Nothing is wrong with it; only something newer has come."""
    treated, _ = gate.draw_all()
    gate.poll(treated[0])
    gate.board(base=1, candidate=3)

    assert gate.admission.current(treated[0], gate.now) == 2
    assert gate.number(treated[0]) == 1


def test_head_admits_nobody_and_tells_what_a_get_would_get_without_a_card(gate):
    """A probe is no session."""
    gate.board(base=1, candidate=2, grant=grant(cards=3, treated=2))

    assert [gate.admission.peek(machine) for machine in (*range(1, 20), 5_000)] == [1] * 20
    assert gate.census().untreated == 0  # nobody has begun a session here yet
    treated, _ = gate.draw_all()
    assert gate.admission.peek(treated[0]) == 2


def test_without_a_lease_nobody_new_is_enrolled_and_everybody_is_served(gate):
    """The judge may be dead: fail static."""
    treated, control = gate.draw_all()
    gate.board(candidate=2, grant=grant(2, cards=10, treated=5), closed=((1, 0), (2, 0)))

    assert gate.number(treated[0], lease=False) == 2
    assert gate.number(control[0], lease=False) == 1
    for machine in (10, 11, 12):
        choice, _ = gate.poll(machine, lease=False)
        assert choice.number == 1
        assert all(place.deck == AFTERWARDS for place in choice.places)


def test_before_anything_is_open_there_is_nothing_to_serve(gate):
    """Not even to a machine whose ring the board does not know."""
    assert gate.poll(3) == gate.poll(4)
    assert gate.number(3) == 0
    gate.board(Lane("lab", base=1))
    assert gate.number(3) == 0
    assert gate.admission.anonymous("everyone") == 0
    assert gate.admission.anonymous("lab") == 1


# Assignment times


def test_the_time_of_assignment_rises_strictly_with_every_change(gate):
    """Last-Modified is compared for equality: no two contents of one machine may share it."""
    seen = []
    for base in (1, 2, 1, 3, 1):
        gate.board(base=base)
        # Everything within one second, and then the wall clock is set back by a day.
        choice, _ = gate.admission.begin(7, gate.now, 1_000 if base < 3 else 5, lease=True)
        assert choice.number == base
        seen.append(gate.admission.since(7, base))
        gate.now += IDLE + 1

    assert seen == sorted(set(seen))


def test_an_unchanged_assignment_keeps_its_time(gate):
    """Otherwise every poll would be a download."""
    gate.board(base=1)
    gate.poll(7)
    first = gate.admission.since(7, 1)
    gate.poll(7, later=DAY)

    assert gate.admission.since(7, 1) == first


def test_standings_are_told_once_and_come_back_after_a_restart(gate):
    """What a machine was last served, and since when, outlives the process."""
    gate.board(base=1)
    gate.poll(7)
    (stand,) = gate.admission.drain_standing()
    assert gate.admission.drain_standing() == []

    gate.admission = gate.fresh()
    gate.admission.restore([], [], [stand])
    gate.board(base=1)
    gate.poll(7)

    assert stand == Standing("av", 7, 1, gate.admission.since(7, 1))


# Rings


def test_a_changed_attribute_moves_a_machine_at_its_next_session(gate):
    """Until then it is counted where it was: a ring must not look empty for a moment."""
    rings = {1: "everyone"}
    gate = Gate(ring_of=lambda machine: rings.get(machine, "everyone"))
    lanes = Lane("lab", base=1), Lane("everyone", base=2)
    gate.board(*lanes)
    assert gate.number(1) == 2
    rings[1] = "lab"
    assert gate.number(1) == 2  # nobody has said that the register changed

    gate.admission.forget_rings()
    assert (gate.census("everyone").active, gate.census("lab").active) == (1, 0)
    assert gate.number(1) == 1
    assert (gate.census("everyone").active, gate.census("lab").active) == (0, 1)


def test_a_machine_in_flight_changes_its_ring_only_when_its_door_has_ended(gate):
    """Its pool is counted in the ring it was enrolled in."""
    rings = dict.fromkeys(range(1, 20), "everyone")
    gate = Gate(ring_of=rings.__getitem__)
    lane = Lane("everyone", base=1, candidate=2, grant=grant(cards=2, treated=1))
    gate.board(Lane("lab", base=1), lane)
    places = [gate.poll(machine)[0].places[0] for machine in (1, 2)]
    (treated,) = [place.machine for place in places if place.treated]
    rings[treated] = "lab"
    gate.admission.forget_rings()
    assert gate.number(treated) == 2

    # Also a restart in between must not move it.
    gate.admission = gate.fresh()
    board = ChannelBoard("av", (Lane("lab", base=1), dataclasses.replace(lane, grant=None)))
    gate.admission.apply(board, gate.now, places)
    assert gate.number(treated) == 2

    gate.board(Lane("lab", base=1), Lane("everyone", base=3))
    assert gate.number(treated) == 1


def test_members_on_record_are_seated_again_after_a_restart(gate):
    """Sealed stays sealed, treated stays treated: the files say so, not the process."""
    gate.board(base=1)
    gate.board(candidate=2, grant=grant(cards=4, treated=1))
    places: list[Place] = [gate.poll(machine)[0].places[0] for machine in (1, 2, 3, 4)]
    (treated,) = [place.machine for place in places if place.treated]
    gate.admission = gate.fresh()
    cut = Cut("av", 2, "everyone", 1, 4, 1, gate.now)
    gate.admission.restore([Exposure(p.machine, p.number) for p in places if p.treated], [cut], [])
    lane = Lane(
        "everyone", base=1, candidate=2, grant=grant(2, cards=9, treated=8), closed=((1, 0), (2, 0))
    )
    gate.admission.apply(ChannelBoard("av", (lane,)), gate.now, places)

    drawn = [gate.poll(machine)[0].places for machine in (1, 2, 3, 4)]

    assert [[p.deck for p in some if p.deck] for some in drawn] == [[]] * 4
    assert gate.number(treated) == 2
