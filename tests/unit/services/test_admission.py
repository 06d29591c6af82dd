"""Who gets which release, and who draws a card."""

import dataclasses

import pytest

from firedoor.core.board import ChannelBoard, Grant, Lane, Withdrawn
from firedoor.services.admission import ACTIVE_MS, Admission, Choice
from firedoor.services.exposures import Exposure
from firedoor.services.places import AFTERWARDS, Cut, Place, Standing
from firedoor.services.roster import Roster

HOUR = 3_600_000
DAY = 24 * HOUR
IDLE, MOST = 2_000, 60_000
ALL_CLASSES = (1 << 32) - 1


def grant(deck=1, *, cards=4, treated=1, key="00" * 32, life_ms=HOUR):
    return Grant(deck, cards, treated, key, life_ms)


class Gate:
    """An admission with machines that have been known for long, and a clock."""

    def __init__(self, machines=20, *, ring_of=lambda _: "everyone"):
        self.now = 100 * DAY
        self.ring_of = ring_of
        self.roster = Roster(heartbeat_ms=60_000, silence_min_ms=300_000, cold_ms=0)
        for machine in range(1, machines + 1):
            self.season(machine)
        self.admission = self.fresh()

    def fresh(self):
        """A new run that remembers nothing."""
        return Admission("av", self.roster, self.ring_of, idle_ms=IDLE, max_ms=MOST)

    def season(self, machine):
        """Two sessions, long ago and an hour ago."""
        self.roster.grow(machine)
        self.roster.begin_session(machine, self.now - 10 * HOUR)
        self.roster.begin_session(machine, self.now - HOUR)

    def board(self, *lanes, **lane):
        """The judge publishes; returns the cuts."""
        lanes = lanes or (Lane("everyone", **{"base": 1, **lane}),)
        return self.admission.apply(ChannelBoard("av", lanes), self.now)

    def poll(self, machine, *, later=IDLE + 1, lease=True):
        """Begin a session and make what it needs durable; returns the choice."""
        self.now += later
        choice, cuts = self.admission.begin(machine, self.now, self.now // 1000, lease=lease)
        for place in choice.places:
            self.admission.settle(place)
        return choice, cuts

    def number(self, machine, **how):
        """What a session gets."""
        return self.poll(machine, **how)[0].number

    def census(self, ring="everyone"):
        """The count of one ring."""
        (count,) = [c for c in self.admission.census(self.now, 60_000) if c.ring == ring]
        return count

    def draw_all(self, cards=4, **lane):
        """A whole deck is dealt to machines 1.. ; returns (treated, control)."""
        self.board(candidate=2, grant=grant(cards=cards), **lane)
        drawn = [self.poll(machine)[0].places[0] for machine in range(1, cards + 1)]
        self.board(candidate=2, closed=((1, 0),))
        return (
            [place.machine for place in drawn if place.treated],
            [place.machine for place in drawn if not place.treated],
        )


@pytest.fixture
def gate():
    return Gate()


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


# Records


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
