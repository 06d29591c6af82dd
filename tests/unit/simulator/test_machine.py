"""One machine against a real vendor and a real sink, in the situations a fleet rarely meets."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firedoor.core.units import Digest
from firedoor.simulator.content import LIST
from firedoor.simulator.enrolment import Enrolment, Habits
from firedoor.simulator.journal import Event, Happening
from firedoor.simulator.machine import Machine
from firedoor.simulator.vendor import Vendor, publish

QUICK = Habits(poll_s=0.03, heartbeat_s=0.03, install_s=0.001)
PATIENCE_S = 20.0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The vendor's directory."""
    return tmp_path / "feed"


@pytest.fixture
def vendor(tree: Path) -> Iterator[str]:
    """URL of a vendor that serves the tree."""
    tree.mkdir()
    with Vendor(tree) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Sink:
    """An intake that answers with the given statuses, then with 200, and keeps what it read."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.signals: list[tuple[int, dict[str, object]]] = []
        self.connections = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
                status = self._statuses.pop(0) if self._statuses else 200
                lines = (await reader.readexactly(length)).splitlines()
                self.signals += [(status, json.loads(line)) for line in lines]
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _live(
    url: str,
    until: Callable[[list[Happening]], bool],
    *,
    habits: Habits = QUICK,
    sink: _Sink | None = None,
    after: Callable[[Happening], None] = lambda _: None,
) -> list[Happening]:
    """Let a machine live until its story satisfies ``until``; ``after`` meddles at each event."""
    story: list[Happening] = []

    async def run() -> None:
        enough = asyncio.Event()

        def tell(happening: Happening) -> None:
            story.append(happening)
            after(happening)
            if until(story):
                enough.set()

        listener = await asyncio.start_server((sink or _Sink()).answer, "127.0.0.1", 0)
        async with listener:
            intake = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}" if sink else ""
            enrolment = Enrolment(machine="m", gate=url, intake=intake, seed=1)
            shelf: dict[Digest, bytes] = {}
            machine = Machine(enrolment, habits, tell=tell, now_ms=lambda: 1000, shelf=shelf)
            life = asyncio.create_task(machine.run())
            async with asyncio.timeout(PATIENCE_S):
                await enough.wait()
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    asyncio.run(run())
    return story


def _events(story: list[Happening], *wanted: Event) -> list[Event]:
    return [happening.event for happening in story if happening.event in wanted]


def _count(event: Event, times: int) -> Callable[[list[Happening]], bool]:
    return lambda story: len(_events(story, event)) >= times


def test_a_machine_receives_before_it_installs_and_says_which_list_it_was(
    tree: Path, vendor: str
) -> None:
    """The journal is the truth against which the gate's own list of the exposed is held."""
    release = publish(tree, "1", size=100)

    story = _live(vendor, _count(Event.INSTALLED, 1))

    told = [h for h in story if h.event not in {Event.POLLED, Event.STARTED}]
    assert [h.event for h in told] == [Event.OFFERED, Event.RECEIVED, Event.INSTALLED]
    assert {h.list for h in told} == {release.list}
    assert told[-1].version == "1"


def test_a_file_that_is_not_what_the_list_said_is_never_installed(tree: Path, vendor: str) -> None:
    """A machine that would load a mix of two releases could not show that the gate serves none."""
    publish(tree, "1", size=100)
    (tree / "version.json").write_text("{}")

    story = _live(vendor, _count(Event.TORN, 3))

    assert _events(story, Event.INSTALLED) == []


def test_a_machine_that_was_refused_a_file_tries_the_whole_release_again(
    tree: Path, vendor: str
) -> None:
    """A contained release is refused in the middle of a session; the machine must recover."""
    publish(tree, "1", size=100)
    hidden = tree / "rules" / "rules-0004.txt"
    kept = hidden.read_bytes()
    hidden.unlink()

    def put_back(happening: Happening) -> None:
        if happening.event is Event.REFUSED:
            hidden.write_bytes(kept)

    story = _live(vendor, _count(Event.INSTALLED, 1), after=put_back)

    refused = next(h for h in story if h.event is Event.REFUSED)
    assert (refused.path, refused.cause) == ("rules/rules-0004.txt", "404")
    assert story[-1].version == "1"


def test_a_machine_follows_its_server_back_to_an_older_release(tree: Path, vendor: str) -> None:
    """That is what makes "revert" possible for plain files."""
    publish(tree, "1", size=100)
    later = iter(("2", "1"))

    def go_on(happening: Happening) -> None:
        if happening.event is Event.INSTALLED and (version := next(later, None)):
            publish(tree, version, size=100)

    story = _live(vendor, _count(Event.INSTALLED, 3), after=go_on)

    assert [h.version for h in story if h.event is Event.INSTALLED] == ["1", "2", "1"]


def test_a_brick_is_the_last_thing_that_is_heard_of_a_machine(tree: Path, vendor: str) -> None:
    """A farewell would be evidence that no real boot loop ever gives."""
    publish(tree, "1", defect="brick", size=100)
    sink = _Sink()

    story = _live(vendor, _count(Event.BRICKED, 1), sink=sink)

    assert story[-1].event is Event.BRICKED
    assert {signal["kind"] for _, signal in sink.signals} <= {"heartbeat"}


def test_a_service_that_ends_on_its_content_ends_again_at_every_start(
    tree: Path, vendor: str
) -> None:
    """The content is still there after a restart, and so is the harm; the machine itself lives."""
    publish(tree, "1", defect="crash", size=100)

    story = _live(vendor, _count(Event.CRASHED, 3))

    assert {h.cause for h in story if h.event is Event.CRASHED} == {"content"}
    polls_after = _events(story[story.index(_first(story, Event.CRASHED)) :], Event.POLLED)
    assert len(polls_after) > 1


def test_a_crash_is_reported_until_it_is_acknowledged_and_with_one_id(
    tree: Path, vendor: str
) -> None:
    """Answered means durable, so unanswered means: say it again, and be counted once."""
    publish(tree, "1", defect="crash", size=100)
    sink = _Sink(*[503] * 40)

    # Some heartbeats more than the one that was acknowledged: it must not be said again.
    _live(vendor, _count(Event.HEARD, 5), sink=sink)

    reports = [(status, s) for status, s in sink.signals if s["kind"] != "heartbeat"]
    first = reports[0][1]
    assert first["kind"] in {"service-failed", "boot-unclean"}
    assert first["machine"] == "m"
    assert [status for status, signal in reports if signal == first].count(503) > 1
    assert (200, first) in reports
    assert sum(status == 200 and signal == first for status, signal in reports) == 1


def test_an_absent_machine_is_silent_and_comes_back(tree: Path, vendor: str) -> None:
    """Innocent silence must exist, or a judge that shuts on any silence would look good."""
    publish(tree, "1", size=100)
    often = replace(QUICK, absences_per_hour=3600.0, absence_s=1.5)
    sink = _Sink()

    def heard_again(story: list[Happening]) -> bool:
        return bool(_events(story, Event.RETURNED)) and story[-1].event is Event.HEARD

    story = _live(vendor, heard_again, habits=often, sink=sink)

    away = story.index(_first(story, Event.ABSENT))
    back = story.index(_first(story, Event.RETURNED))
    # One answer each may have been on its way; in that time there would have been a dozen.
    assert len(_events(story[away:back], Event.POLLED, Event.HEARD)) <= 2
    assert sink.connections > 1


def test_an_innocent_crash_is_told_apart_from_one_by_content(tree: Path, vendor: str) -> None:
    """The ground truth must know what the judge may not."""
    publish(tree, "1", size=100)
    often = replace(QUICK, crashes_per_hour=36_000.0)

    story = _live(vendor, _count(Event.CRASHED, 2), habits=often)

    assert {h.cause for h in story if h.event is Event.CRASHED} == {"chance"}


def test_a_server_that_makes_no_sense_is_a_refusal_and_not_a_fault(tree: Path, vendor: str) -> None:
    """One broken answer must not end a fleet."""
    (tree / LIST).write_text("<html>maintenance</html>")

    story = _live(vendor, _count(Event.REFUSED, 2))

    assert _events(story, Event.OFFERED) == []


def test_the_same_seed_chooses_the_same_machines_to_have_an_agent() -> None:
    """A run that cannot be repeated cannot be explained."""

    def agents(seed: int) -> list[bool]:
        return [
            machine._agent is not None  # noqa: SLF001  # before it reports nothing else shows it
            for machine in (
                Machine(
                    Enrolment(machine=f"m{n}", gate="http://x", intake="http://x", seed=seed),
                    replace(QUICK, heartbeating=0.5),
                    tell=lambda _: None,
                    now_ms=lambda: 0,
                    shelf={},
                )
                for n in range(200)
            )
        ]

    assert agents(1) == agents(1)
    assert agents(1) != agents(2)
    assert 60 < sum(agents(1)) < 140


def _first(story: list[Happening], event: Event) -> Happening:
    return next(happening for happening in story if happening.event is event)
