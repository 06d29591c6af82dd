"""What the gate remembers of machines: habits, signs of life, clones."""

import pytest

from firedoor.core import silence
from firedoor.core.signal import Reports
from firedoor.services.roster import Habit, Roster

MINUTE = 60_000
MIN_MS = 5 * MINUTE
COLD = 180 * MINUTE


@pytest.fixture
def roster():
    return Roster(heartbeat_ms=MINUTE, silence_min_ms=MIN_MS, cold_ms=COLD)


def live(roster, machine, gaps, start=1_000_000):
    """Sessions of one machine, that many minutes apart; returns when the last one began."""
    now = start
    roster.grow(machine)
    roster.begin_session(machine, now)
    for gap in gaps:
        now += gap * MINUTE
        roster.begin_session(machine, now)
    return now


def test_a_machine_is_seasoned_in_its_second_session_a_deadline_after_the_first(roster):
    """Before, nobody can say what its silence would mean."""
    now = live(roster, 1, [])
    assert not roster.seasoned(1, now + COLD)
    roster.begin_session(1, now + MINUTE)
    assert not roster.seasoned(1, now + COLD - 1)
    assert roster.seasoned(1, now + COLD)


def test_the_vectorised_answer_is_the_single_one(roster):
    """The census and the draw must not disagree about who is free."""
    live(roster, 1, [])
    live(roster, 2, [200])
    live(roster, 3, [60] * 8)
    live(roster, 4, [60] * 8)
    live(roster, 5, [1])
    roster.cloned[4] = 1
    roster.set_reports(5, Reports.BEATS)
    for now in (1_000_000, 1_000_000 + MIN_MS, 1_000_000 + COLD, 1_000_000 + 10 * COLD):
        every = roster.all_seasoned(now)
        assert [bool(every[m]) for m in range(8)] == [roster.seasoned(m, now) for m in range(8)]


def test_the_deadline_follows_the_machines_own_gaps_from_the_fifth_on(roster):
    """Four gaps borrow the stratum's deadline, five are its own."""
    live(roster, 1, [60] * 4)
    live(roster, 2, [60] * 5)
    live(roster, 3, [60, 60, 60, 100, 60])

    def deadline(machine):
        return silence.class_deadline(roster.deadline_class(machine), MIN_MS)

    assert deadline(1) >= COLD
    assert 60 * MINUTE <= deadline(2) <= 1.1 * 1.5 * 60 * MINUTE
    assert deadline(3) >= 100 * MINUTE


def test_old_gaps_are_forgotten_after_32(roster):
    """A machine that was moved to another site gets the deadline of its new life."""
    live(roster, 1, [600] * 6 + [10] * silence.GAPS_KEPT)

    assert silence.class_deadline(roster.deadline_class(1), MIN_MS) <= 1.1 * 1.5 * 10 * MINUTE


def test_a_beating_machine_has_the_deadline_of_its_heartbeats(roster):
    """It is heard each minute, however rarely it polls."""
    live(roster, 1, [600] * 8)
    assert roster.deadline_class(1) > 0
    roster.set_reports(1, Reports.BEATS)
    assert roster.deadline_class(1) == 0
    roster.set_reports(1, Reports.NOTHING)
    assert roster.deadline_class(1) > 0


def test_newcomers_borrow_what_the_fleet_has_shown(roster):
    """The cold deadline is a guess; the .99 quantile of known machines is not."""
    for machine in range(1, 50):
        live(roster, machine, [10] * 8)
    before = roster.deadline_class(60)
    roster.relearn()

    assert roster.deadline_class(60) < before
    assert roster.usual_gap_ms == silence.gap_of_code(silence.gap_code(10 * MINUTE))


def test_the_spread_of_the_fleet_lengthens_everybodys_deadline(roster):
    """One gap in a hundred is much longer than the median: its machine must not be called dead."""
    for machine in range(1, 50):
        live(roster, machine, [10, 10, 10, 10, 10, 10, 80])
    roster.relearn()
    live(roster, 60, [10] * 6)

    assert silence.class_deadline(roster.deadline_class(60), MIN_MS) >= 80 * MINUTE


def test_a_sign_of_life_is_told_once_a_bucket(roster):
    """The judge needs to know that it was heard, not how often."""
    roster.touch(3, 10)
    roster.touch(1, 20)
    roster.touch(3, 30)

    assert roster.drain_heard() == [3, 1]
    assert roster.drain_heard() == []
    roster.touch(3, 40)
    assert roster.drain_heard() == [3]


def test_habits_come_back_as_they_were_on_another_clock(roster):
    """The monotonic clock of the next boot begins anew; the wall clock bridges it."""
    now = live(roster, 7, [60] * 9)
    (habit,) = roster.drain_habits(mono_ms=now, wall_ms=1_700_000_000_000)
    assert roster.drain_habits(mono_ms=now, wall_ms=1_700_000_000_000) == []

    later = Roster(heartbeat_ms=MINUTE, silence_min_ms=MIN_MS, cold_ms=COLD)
    later.restore([habit], mono_ms=5_000, wall_ms=1_700_000_000_000 + MINUTE)

    assert later.deadline_class(7) == roster.deadline_class(7)
    assert int(later.start[7]) == 5_000 - MINUTE
    assert later.seasoned(7, 5_000)
    assert (habit.sessions, int(later.sessions[7])) == (10, 10)


def test_a_wall_clock_that_went_back_makes_no_machine_younger_than_now(roster):
    """Negative ages would make deadlines of the future."""
    habit = Habit(1, first_wall=2_000, last_wall=2_000, sessions=2, gaps=bytes(32))
    roster.restore([habit], mono_ms=100, wall_ms=1_000)

    assert (int(roster.first[1]), int(roster.start[1])) == (100, 100)


def test_learning_many_at_once_is_learning_one_by_one(roster):
    """A restart must not change anybody's deadline."""
    chances = [[60] * 4, [60] * 5, [5, 9, 100, 3, 60, 60], [10] * 40, [1] * 31, [1440] * 6, []]
    for machine, gaps in enumerate(chances, 1):
        live(roster, machine, gaps)
    habits = roster.drain_habits(mono_ms=10**10, wall_ms=10**12)
    later = Roster(heartbeat_ms=MINUTE, silence_min_ms=MIN_MS, cold_ms=COLD)
    later.restore(habits, mono_ms=10**10, wall_ms=10**12)

    machines = range(1, len(chances) + 1)
    assert [int(later.deadline[m]) for m in machines] == [int(roster.deadline[m]) for m in machines]


def test_two_addresses_in_turn_within_minutes_are_a_clone(roster):
    """One identity on two machines: no arm can hold it."""
    for n in range(12):
        roster.seen_from(1, 100 + n % 2, n * MINUTE)

    assert roster.cloned[1]


@pytest.mark.parametrize(
    ("addresses", "apart"),
    [([100, 101] * 10, 11 * MINUTE), ([100] * 20, MINUTE), (list(range(100, 120)), MINUTE)],
    ids=["home and office", "one", "a new one each time"],
)
def test_a_machine_that_moves_is_no_clone(roster, addresses, apart):
    """A laptop changes networks; a DHCP lease ends."""
    for n, address in enumerate(addresses):
        roster.seen_from(1, address, n * apart)

    assert not roster.cloned[1]


def test_a_large_register_number_gets_a_row(roster):
    """Numbers are dense, but the gate may meet the millionth machine first."""
    roster.grow(1_000_000)
    roster.touch(1_000_000, 5)

    assert len(roster) > 1_000_000
    assert roster.drain_heard() == [1_000_000]
