import pytest

from firedoor.core.signal import Reports
from firedoor.core.units import MachineNo, UnixMs
from firedoor.intake.heartbeats import TELLS_MS, Heartbeats

MINUTE = 60_000
A, B = MachineNo(1), MachineNo(5_000)


@pytest.fixture
def beats():
    return Heartbeats(MINUTE)


def hear(beats, times_ms, machine=A):
    for at in times_ms:
        beats.hear({machine: at}, at, UnixMs(at))


def turns(beats, mono_ms):
    """Which machines beat and which do not report any more, since they were last marked."""
    turned = beats.turns(mono_ms)
    return turned[Reports.BEATS], turned[Reports.NOTHING]


def test_three_regular_heartbeats_make_a_machine_a_beating_one(beats):
    """From then on its silence is known after three intervals instead of hours."""
    hear(beats, [0, MINUTE])
    assert turns(beats, MINUTE) == ([], [])

    hear(beats, [2 * MINUTE])

    assert turns(beats, 2 * MINUTE) == ([A], [])


@pytest.mark.parametrize("gap", [MINUTE // 2, MINUTE, 2 * MINUTE])
def test_regular_is_anything_up_to_twice_the_interval(beats, gap):
    """Timers drift, and one lost heartbeat is nothing."""
    hear(beats, [0, gap, 2 * gap])

    assert turns(beats, 2 * gap) == ([A], [])


def test_a_longer_gap_begins_a_new_row(beats):
    """A machine that speaks now and then must not be expected every minute."""
    hear(beats, [0, MINUTE, 3 * MINUTE + 1, 4 * MINUTE])

    assert turns(beats, 4 * MINUTE) == ([], [])


def test_a_burst_says_nothing_about_regularity(beats):
    """A flushed spool of an hour would otherwise set a deadline of three minutes."""
    hear(beats, [0, 1, 2, 3, 4, 5])

    assert turns(beats, 5) == ([], [])


def test_a_machine_that_beats_faster_than_told_is_regular_too(beats):
    """Every heartbeat that comes soon after another is passed over, not the whole row."""
    hear(beats, range(0, 2 * MINUTE, MINUTE // 6))

    assert turns(beats, 2 * MINUTE) == ([A], [])


def test_three_missed_intervals_end_the_beating_and_not_a_moment_before(beats):
    """The same three intervals are its deadline for silence."""
    hear(beats, [0, MINUTE, 2 * MINUTE])
    beats.mark([A], Reports.BEATS)

    assert turns(beats, 5 * MINUTE) == ([], [])
    assert turns(beats, 5 * MINUTE + 1) == ([], [A])


def test_a_turn_is_told_until_it_was_recorded(beats):
    """If the disk was full, the next bucket tries again."""
    hear(beats, [0, MINUTE, 2 * MINUTE])

    assert turns(beats, 2 * MINUTE) == turns(beats, 2 * MINUTE) == ([A], [])
    beats.mark([A], Reports.BEATS)
    assert turns(beats, 2 * MINUTE) == ([], [])


def test_a_machine_that_ceased_has_to_earn_it_again(beats):
    """One heartbeat after an hour does not make it regular."""
    hear(beats, [0, MINUTE, 2 * MINUTE])
    beats.mark([A], Reports.BEATS)
    beats.mark([A], Reports.NOTHING)

    hear(beats, [9 * MINUTE, 10 * MINUTE])
    assert turns(beats, 10 * MINUTE) == ([], [])
    hear(beats, [11 * MINUTE])
    assert turns(beats, 11 * MINUTE) == ([A], [])


def test_our_own_outage_is_nobodys_silence(beats):
    """A full disk turned every machine away; none of them ceased to beat."""
    hear(beats, [0, MINUTE, 2 * MINUTE])
    beats.mark([A], Reports.BEATS)

    beats.forgive(60 * MINUTE)

    assert turns(beats, 63 * MINUTE) == ([], [])
    assert turns(beats, 63 * MINUTE + 1) == ([], [A])


def test_machines_that_were_beating_before_a_restart_get_time_to_be_heard(beats):
    """A restart of the intake must never look like silence."""
    beats.resume({A: Reports.BEATS, B: Reports.BEATS}, 100 * MINUTE)

    assert turns(beats, 103 * MINUTE) == ([], [])
    assert turns(beats, 103 * MINUTE + 1) == ([], [A, B])


def test_machines_are_told_apart_whatever_their_numbers(beats):
    """The arrays grow; what is known of others must survive it."""
    hear(beats, [0, MINUTE, 2 * MINUTE], A)
    beats.mark([A], Reports.BEATS)
    hear(beats, [2 * MINUTE, 3 * MINUTE, 4 * MINUTE], B)

    assert turns(beats, 4 * MINUTE) == ([B], [])
    assert (beats.last_sent(A), beats.last_sent(B)) == (2 * MINUTE, 4 * MINUTE)
    assert beats.last_sent(MachineNo(7)) == -1
    assert beats.last_sent(MachineNo(10**6)) == -1


def test_a_heartbeat_tells_how_far_a_clock_is_off(beats):
    """It is sent as it happens, so what it calls now is now."""
    beats.hear({A: 1_000, B: 70_000}, 0, UnixMs(61_000))
    assert (beats.behind(A), beats.behind(B)) == (60_000, -9_000)
    assert beats.behind(MachineNo(2)) is None
    assert beats.behind(MachineNo(9_999_999)) is None

    # Not by what is presumed of a machine that could not be heard.
    beats.mark([A], Reports.BEATS)
    beats.forgive(500_000)
    assert beats.behind(A) == 60_000


def test_whoever_tells_is_one_that_tells_for_a_week(beats):
    """What a journal said of a crash could be expected of it, and once it falls silent no more."""
    beats.tell({A, B}, 0)
    assert beats.turns(0)[Reports.TELLS] == [A, B]
    beats.mark([A, B], Reports.TELLS)
    beats.tell({B}, MINUTE)

    assert not any(beats.turns(TELLS_MS).values())
    assert beats.turns(TELLS_MS + 1)[Reports.NOTHING] == [A]


def test_heartbeats_come_before_what_is_told_and_go_without_it(beats):
    """Who stops its heartbeats and still ships its journal may still tell of a crash."""
    beats.tell([A], 0)
    beats.mark([A], Reports.TELLS)
    hear(beats, [0, MINUTE, 2 * MINUTE])
    assert beats.turns(2 * MINUTE) == {
        Reports.NOTHING: [],
        Reports.BEATS: [A],
        Reports.TELLS: [],
    }

    beats.mark([A], Reports.BEATS)

    assert beats.turns(5 * MINUTE + 1)[Reports.TELLS] == [A]
    beats.mark([A], Reports.TELLS)
    hear(beats, [6 * MINUTE, 7 * MINUTE])
    assert not any(beats.turns(7 * MINUTE).values())


def test_recording_that_a_machine_tells_does_not_end_its_row_of_heartbeats(beats):
    """An event on the way to the third heartbeat must not begin the row again."""
    hear(beats, [0, MINUTE])
    beats.tell([A], MINUTE)
    beats.mark([A], Reports.TELLS)
    hear(beats, [2 * MINUTE])

    assert beats.turns(2 * MINUTE)[Reports.BEATS] == [A]


def test_machines_that_told_before_a_restart_have_their_week(beats):
    """How long ago the last of it came is not known."""
    beats.resume({A: Reports.TELLS, B: Reports.BEATS}, 100)

    assert turns(beats, 4 * MINUTE) == ([], [B])
    beats.mark([B], Reports.NOTHING)
    assert not any(beats.turns(TELLS_MS + 100).values())
    assert turns(beats, TELLS_MS + 101) == ([], [A])
