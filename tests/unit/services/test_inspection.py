"""What a preflight found decides what boards, who waits, and what a person may overrule."""

import json
from collections.abc import Callable

import pytest
from tests.loop import AV, Loop

from firedoor.core.door import Reason, State
from firedoor.services.preflight import Check, Job, Report, Result
from firedoor.services.records import Block

RINGS = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
[[ring]]
name = "offices"
machines = { site = ["prague"] }
after = "lab"
"""


class Desk:
    """Looks at releases when the test says so; ``asked`` has what was wanted, in order."""

    def __init__(self) -> None:
        self.asked: list[Job] = []

    def want(self, channel: str, job: Callable[[], Job]) -> None:
        """Write it down."""
        assert channel == AV
        self.asked.append(job())


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def begin(start, desk):
    """Start a channel of twenty machines whose releases are looked at; nothing is known yet."""

    def started(kind: str = "clamav", **how: str) -> Loop:
        loop: Loop = start(20, kind=kind, **how)
        loop.looks = desk
        loop.start_judge()
        return loop

    return started


@pytest.fixture
def looked(begin):
    """Twenty machines and an adopted release that passed."""
    loop = begin()
    loop.period = dict.fromkeys(loop.machines, 2)  # each poll is a session of its own
    tell(loop, loop.publish("1"), Result.PASSED)
    loop.bucket(16)
    assert loop.door(1).state is State.OPEN
    return loop


def tell(loop: Loop, release: str, result: Result, said: str = "clamscan 1.4.6 says so") -> None:
    """A look at a release has ended."""
    now = loop.clock.now()
    with loop.store.step():
        report = Report.of(release, [Check(result, said)], 12, now.wall_ms)
        loop.train.inspection.take(AV, report, now)
        loop.train.consider(loop.config.channel(AV), now)
        loop.store.put_board(loop.train.board())
    loop.look()


def notes(loop: Loop) -> list[dict[str, object]]:
    bodies = (signed.entry.body for signed in loop.store.entries())
    return [dict(body) for body in bodies if "preflight" in body]


def refused(answer) -> str:
    assert answer.status != "ok"
    return str(json.loads(answer.body)["error"])


def test_a_release_boards_when_it_has_been_looked_at_and_not_before(looked, desk):
    """The first machine must not be the first to look."""
    release = looked.publish("2")
    looked.bucket(3)

    assert {job.release for job in desk.asked} == {looked.release_of(1), release}
    assert desk.asked[-1].new == looked.store.manifest(release)
    assert desk.asked[-1].old == looked.store.manifest(looked.release_of(1))
    assert looked.lane().candidate == 0

    tell(looked, release, Result.PASSED)

    assert (looked.door(2).state, looked.door(2).reason) == (State.OPENING, Reason.EVIDENCE)
    assert notes(looked)[-1]["preflight"] == {
        "result": "passed",
        "sentence": "clamscan 1.4.6 says so",
        "took_ms": 12,
    }
    assert not notes(looked)[-1]["alert"]


def test_a_release_that_failed_is_held_with_its_reason_and_reaches_nobody(looked):
    """Nobody is at risk, and a person is told why."""
    release = looked.publish("2")
    tell(looked, release, Result.FAILED, "clamscan 1.4.6 does not load it: Malformed database")
    looked.bucket(20)

    door = looked.door(2)
    assert (door.state, door.reason) == (State.HELD, Reason.PREFLIGHT)
    assert "Malformed database" in door.note
    assert looked.lane().grant is None
    assert looked.gate.places_of(AV, 2) == []
    (told,) = [note for note in notes(looked) if note["alert"]]
    assert told["release"] == release
    assert "failed: clamscan" in str(told["note"])


def test_a_release_that_nobody_could_look_at_boards_as_ever_and_says_so(looked):
    """A missing tool must neither stop a fix nor look like a test that was passed."""
    tell(looked, looked.publish("2"), Result.UNCHECKED, "clamscan is not installed here")

    assert looked.door(2).state is State.OPENING
    assert "not checked: clamscan is not installed here" in str(notes(looked)[-1]["note"])


def test_a_person_overrules_a_failed_preflight_on_the_record(looked):
    """The tool may be wrong; the door then opens by evidence, as every other."""
    release = looked.publish("2")
    tell(looked, release, Result.FAILED)

    answer = looked.order("resume", release=release, reason="a known quirk of clamscan")

    assert answer.status == "ok"
    door = looked.door(2)
    assert (door.state, door.reason, door.by) == (State.OPENING, Reason.PERSON, "Amira")
    last = [signed.entry.body for signed in looked.store.entries()][-1]
    assert (last["to"], last["note"]) == ("opening", "a known quirk of clamscan")
    looked.bucket(4)
    assert looked.gate.places_of(AV, 2)


def test_the_policy_may_want_a_second_person_to_overrule_it(begin):
    """Whoever ignores a warning should not be alone, where a site says so."""
    loop = begin(policy="expedite_needs_two = true")
    tell(loop, loop.publish("1"), Result.PASSED)
    loop.bucket(8)
    release = loop.publish("2")
    tell(loop, release, Result.FAILED)

    loop.order("resume", release=release, reason="a quirk")
    assert loop.door(2).state is State.HELD
    loop.order("approve", release=release, order=1, by="Second")
    assert loop.door(2).state is State.OPENING


def test_every_ring_is_held_and_resumes_in_its_turn(begin):
    """A later ring must not slip through as empty, nor open before its turn."""
    loop = begin(rings=RINGS)
    loop.ring = {m: "lab" for m in loop.machines if m <= 10}  # nobody in the offices
    tell(loop, loop.publish("1"), Result.PASSED)
    loop.bucket(8)
    release = loop.publish("2")
    tell(loop, release, Result.FAILED)

    doors = loop.train.lines[AV][2].doors
    assert {door.reason for door in doors.values()} == {Reason.PREFLIGHT}

    loop.order("resume", release=release, reason="a quirk")

    assert doors["lab"].state is State.OPENING
    assert doors["offices"].state is State.WAITING


def test_a_failed_release_takes_no_place_from_one_that_may_prove_good(looked):
    """Patience over or not: what cannot go anywhere must not end what can."""
    tell(looked, looked.publish("2"), Result.PASSED)
    bad = looked.publish("3")
    looked.clock.pass_ms(8 * 24 * 3_600_000)  # patience is over
    looked.bucket()
    tell(looked, bad, Result.FAILED)
    looked.bucket(2)

    assert looked.door(2).state is State.OPENING
    assert looked.store.snapshots(AV)[-1].state == "waiting"

    tell(looked, looked.publish("4"), Result.PASSED)
    looked.bucket()

    assert (looked.door(2).state, looked.door(2).reason) == (State.SUPERSEDED, Reason.NEWER)


def test_the_next_release_takes_the_place_of_one_that_failed(looked):
    """A vendor that corrects a mistake needs no person here; two mistakes block no channel."""
    for version in ("2", "3"):
        tell(looked, looked.publish(version), Result.FAILED)
    looked.bucket()

    assert (looked.door(2).state, looked.door(2).reason) == (State.SUPERSEDED, Reason.NEWER)
    assert (looked.door(3).state, looked.door(3).reason) == (State.HELD, Reason.PREFLIGHT)

    tell(looked, looked.publish("4"), Result.PASSED)
    looked.bucket()  # the gate has counted what there is

    assert looked.door(3).state is State.SUPERSEDED
    assert looked.door(4).state is State.OPENING
    assert looked.store.channel(AV).blocked is Block.NONE


def test_shadow_mode_tells_and_holds_nothing(begin):
    """Shadow mode promises that nothing is held."""
    loop = begin(policy='mode = "shadow"')
    tell(loop, loop.publish("1"), Result.PASSED)
    loop.bucket(8)

    tell(loop, loop.publish("2"), Result.FAILED)

    assert loop.door(2).state is not State.HELD
    assert notes(loop)[-1]["alert"]


def test_a_channels_first_release_that_failed_is_not_given_to_everybody(begin):
    """It would be adopted without any evidence; the next one that passes needs nobody."""
    loop = begin()
    tell(loop, loop.publish("1"), Result.FAILED)
    loop.bucket(2)

    assert loop.train.lines[AV] == {}
    assert loop.store.channel(AV).blocked is Block.PREFLIGHT

    tell(loop, loop.publish("2"), Result.PASSED)

    assert loop.door(1).reason is Reason.ADOPTED
    assert loop.store.channel(AV).blocked is Block.NONE


def test_a_person_lets_a_channels_first_release_through_all_the_same(begin):
    """It may be what all machines have already."""
    loop = begin()
    first = loop.publish("1")
    tell(loop, first, Result.FAILED)
    loop.start_judge()  # nothing of it lives in memory alone

    assert loop.order("unblock", channel=AV, reason="all machines have it").status == "ok"

    assert (loop.door(1).release, loop.door(1).reason) == (first, Reason.ADOPTED)


def test_a_judge_that_was_killed_meanwhile_asks_again(looked, desk):
    """A look that ended with its process must not keep a release waiting for ever."""
    release = looked.publish("2")
    before = len(desk.asked)
    looked.start_judge()
    looked.bucket()

    assert [job.release for job in desk.asked[before:]] == [release]


@pytest.mark.parametrize("kind", ["files", "clamav"])
def test_where_preflight_is_off_or_nothing_can_look_nobody_is_asked(begin, desk, kind):
    """Of files there is no tool to ask; an operator may switch it off for any."""
    rings = "preflight = false" if kind == "clamav" else ""  # follows the keys of the channel
    loop = begin(kind, rings=rings)
    loop.publish("1")

    assert loop.door(1).reason is Reason.ADOPTED
    assert desk.asked == []


def test_what_decides_stands_first_and_a_report_has_a_bound():
    """A note of the ledger has one, and the reason must survive it."""
    checks = [Check(Result.PASSED, "p" * 300), Check(Result.FAILED, "f" * 300)]

    report = Report.of("r", checks, 1, 2)

    assert report.result is Result.FAILED
    assert report.sentence.startswith("f" * 300 + "; p")
    assert len(report.sentence) == 400
    escape = Report.of("r", [Check(Result.FAILED, "bad\x1b[2J\nname\u202e")], 0, 0)
    assert escape.sentence == "bad [2J name "
    assert Report.of("r", [Check(Result.UNCHECKED, "no tool")], 0, 0).result is Result.UNCHECKED
    mixed = [Check(Result.UNCHECKED, "no tool"), Check(Result.PASSED, "fine")]
    assert Report.of("r", mixed, 0, 0).result is Result.PASSED
