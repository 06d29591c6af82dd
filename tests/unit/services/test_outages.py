"""What an outage of ours leaves behind in the gate's memory, and what it must not."""

import pytest
from tests.clocks import HandClock

from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.core.board import ChannelBoard, Lane
from firedoor.core.ring import EVERYONE
from firedoor.core.signal import Reports
from firedoor.services.admission import Admission
from firedoor.services.exposures import Exposure
from firedoor.services.places import AFTERWARDS, Place, Standing
from firedoor.services.records import Bucket
from firedoor.services.roster import Habit, Roster

SILENCE_MIN_MS = 2_000
PERIOD_MS = 1_000
IDLE_MS = 200
HOUR_MS = 3_600_000


def roster_of(sessions: int, now: int) -> tuple[Roster, Habit]:
    """A roster in which machine 1 began a session each period, the last one now; and its habit."""
    roster = _roster()
    for age in reversed(range(sessions)):
        roster.begin_session(1, now - age * PERIOD_MS)
    (habit,) = roster.drain_habits(mono_ms=now, wall_ms=now)
    return roster, habit


def test_an_outage_of_ours_does_not_lengthen_a_machines_deadline():
    """Deadlines run on our up-clock: after an hour's outage a brick is found as soon as before."""
    now = 10 * HOUR_MS
    before, habit = roster_of(12, now)
    # Down for half an hour, up for a moment in which it did not poll, down again.
    outages = [(now + 100, now + HOUR_MS // 2), (now + HOUR_MS // 2 + 100, now + HOUR_MS)]
    after = _roster()

    back = now + HOUR_MS
    after.restore([habit], mono_ms=back, wall_ms=back, outages=outages)
    after.begin_session(1, back + PERIOD_MS)

    assert after.deadline_class(1) == before.deadline_class(1) == 0


def test_a_gap_of_the_machines_own_is_learned_over_a_restart():
    """A machine that slept through our restart is slow, and must not be taken for dead."""
    now = 10 * HOUR_MS
    _, habit = roster_of(12, now)
    after = _roster()

    back = now + HOUR_MS
    after.restore([habit], mono_ms=back, wall_ms=back, outages=[(back - 1_000, back)])
    after.begin_session(1, back)

    assert after.deadline_class(1) > 0


@pytest.fixture
def admission():
    """A gate that was started again while machine 1 may be reading release 1; 2 is open now."""
    admission = Admission(
        "demo", _roster(), lambda _: EVERYONE, lambda _: "", idle_ms=IDLE_MS, max_ms=60_000
    )
    admission.restore([Exposure(1, 1)], [], [Standing("demo", 1, 1, 7)])
    admission.apply(ChannelBoard("demo", (Lane(EVERYONE, base=2),)), now=0)
    return admission


def test_a_session_goes_on_with_its_release_over_a_restart(admission):
    """Promise 1: the next request may be one in the middle of a release."""
    admission.wake({1, 2}, now=5_000)

    assert admission.current(1, 5_000 + IDLE_MS) == 1
    admission.touch(1, 5_000 + IDLE_MS)
    assert admission.current(1, 5_000 + 2 * IDLE_MS) == 1


def test_a_machine_that_was_not_reading_gets_what_is_open_now(admission):
    """The benefit of the doubt lasts for one idle time."""
    admission.wake({1, 2}, now=5_000)

    assert admission.current(1, 5_000 + IDLE_MS + 1) == 0


def test_a_session_does_not_go_on_with_what_cannot_be_served(admission):
    """Better another release than none."""
    admission.wake({2}, now=5_000)

    assert admission.current(1, 5_000) == 0


def test_a_session_does_not_go_on_with_a_release_that_was_shut_meanwhile(admission):
    """Containment goes before everything."""
    admission.wake({1, 2}, now=5_000)
    shut = ChannelBoard("demo", (Lane(EVERYONE, base=2, revoked=(1,)),))
    admission.apply(shut, now=5_000)

    assert admission.current(1, 5_000) == 0


def test_a_machine_that_cannot_be_recorded_keeps_one_release_for_the_session(admission):
    """A disk that has room again must not change a machine's release in mid-session."""
    choice, _ = admission.begin(1, 9_000, 9, lease=True)
    for place in choice.places:
        admission.forget(place)

    assert choice.number == 2
    assert admission.current(1, 9_000 + IDLE_MS) == admission.fallback(1) == 1


def test_who_is_let_into_a_release_is_assigned_it_in_the_same_step(tmp_path):
    """A crash right after must not leave a gate that remembers the release before."""
    writer, clock = GateWriter(tmp_path), HandClock()
    reader = GateReader(tmp_path)

    writer.commit([_place(1)], [], clock.now())
    writer.commit([_place(2)], [], clock.now())

    (standing,) = reader.standings("demo")
    assert (standing.machine, standing.number) == (1, 2)
    # Two assignments within one second: the second date is the later one nevertheless.
    assert standing.since_s == clock.wall_ms // 1000 + 1
    reader.close()
    writer.close()


def test_the_runs_of_a_gate_are_told_apart(tmp_path):
    """Between the end of one and the beginning of the next nobody listened."""
    writer, clock = GateWriter(tmp_path), HandClock()
    reader = GateReader(tmp_path)
    begin = clock.wall_ms

    for run in ("first", "first", "second"):
        writer.flush(Bucket(run, False, [], [], [], [], [], board=0), clock.now())
        clock.pass_ms(1_000)

    assert reader.runs() == [(begin, begin + 1_000), (begin + 2_000, begin + 2_000)]
    reader.close()
    writer.close()


def _roster() -> Roster:
    return Roster(heartbeat_ms=500, silence_min_ms=SILENCE_MIN_MS, cold_ms=SILENCE_MIN_MS)


def _place(number: int) -> Place:
    return Place(
        channel="demo",
        number=number,
        ring=EVERYONE,
        deck=AFTERWARDS,
        card=0,
        machine=1,
        treated=True,
        cls=0,
        reports=Reports.NOTHING,
        mono_ms=0,
    )
