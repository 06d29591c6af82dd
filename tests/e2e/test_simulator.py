"""Vendor, fleet and a sink as real processes and sockets; nobody sees another's memory."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from firedoor.simulator.vendor import publish

MACHINES = 20
PATIENCE_S = 40.0


class Process:
    """A simulator process; its lines are read as they come, its stderr is kept."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"firedoor.simulator.{module}", *map(str, arguments)]
        self.lines: list[dict[str, Any]] = []
        self.errors = ""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read_lines),
            threading.Thread(target=self._read_errors),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()

    def say(self, text: str) -> None:
        """Write a line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def terminate(self) -> int:
        """Send SIGTERM and wait."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; all it wrote has been read then."""
        status = self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        return status

    def until(self, happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for the newest line to satisfy a condition."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            newest = self.lines[-1:]
            if newest and happened(newest[0]):
                return newest[0]
            time.sleep(0.05)
        pytest.fail(f"it did not happen in time; last seen: {self.lines[-1:]}")

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self.errors = self._process.stderr.read()


class Sink(ThreadingHTTPServer):
    """An intake that accepts everything and keeps it with the time of arrival."""

    daemon_threads = True

    def __init__(self) -> None:
        self.signals: list[tuple[float, dict[str, Any]]] = []
        self.credentials: set[str] = set()
        super().__init__(("127.0.0.1", 0), _Intake)


class _Intake(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Sink

    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        self.server.signals += [(time.time() * 1000, json.loads(line)) for line in lines]
        self.server.credentials.add(self.headers["Authorization"])
        body = json.dumps({"accepted": len(lines), "duplicates": 0, "rejected": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  named by the base
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A running intake."""
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A vendor's directory with release 1, and the URL where a process serves it."""
    tree = tmp_path / "feed"
    publish(tree, "1", size=5000)
    with Process("vendor", "serve", tree) as process:
        ready = process.until(lambda _: True)
        yield tree, f"http://127.0.0.1:{ready['port']}"
        assert process.terminate() == 0
        assert process.errors == ""


def fleet(folder: Path, url: str, sink: Sink | None = None, **options: object) -> Process:
    """Start a fleet that keeps its journal in the folder."""
    intake = f"http://127.0.0.1:{sink.server_port}" if sink else ""
    rows = (
        {"machine": f"m{number:03}", "gate": url, "intake": intake, "signal_token": "s", "seed": 1}
        for number in range(MACHINES)
    )
    (folder / "machines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    usual = {"poll": 0.2, "heartbeat": 0.3, "install": 0.02, "duration": 120, **options}
    return Process(
        "fleet",
        folder / "machines.jsonl",
        "--journal",
        folder / "journal.jsonl",
        *(f"--{name.replace('_', '-')}={value}" for name, value in usual.items()),
    )


def journal(folder: Path) -> list[dict[str, Any]]:
    """The ground truth so far."""
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def _all_have(version: str) -> Callable[[dict[str, Any]], bool]:
    return lambda row: bool(row["versions"] == {version: MACHINES})


def test_every_machine_installs_the_first_release_and_then_the_second(
    tmp_path: Path, vendor: tuple[Path, str]
) -> None:
    """What a fleet does when nobody stands between it and its vendor."""
    tree, url = vendor
    with fleet(tmp_path, url) as machines:
        machines.until(_all_have("1"))
        second = publish(tree, "2", size=5000)
        machines.until(_all_have("2"))
        assert machines.terminate() == 0

    assert machines.errors == ""
    stories: dict[str, list[str]] = {}
    for line in journal(tmp_path):
        if line.get("list") == second.list:
            stories.setdefault(line["machine"], []).append(line["event"])
    assert len(stories) == MACHINES
    # One may meet the release in mid-publication, see that, and try again.
    assert all("received" in story and story[-1] == "installed" for story in stories.values())
    assert all(story.index("received") < story.index("installed") for story in stories.values())


def test_a_bricking_release_silences_every_machine_that_installs_it(
    tmp_path: Path, vendor: tuple[Path, str], sink: Sink
) -> None:
    """Silence is all the evidence there is: no farewell, no poll, no heartbeat."""
    tree, url = vendor
    with fleet(tmp_path, url, sink) as machines:
        machines.until(lambda row: row["heartbeats"] > 2 * MACHINES)
        publish(tree, "2", defect="brick", size=5000)
        last = machines.until(lambda row: row["bricked"] == MACHINES)
        later = machines.until(lambda row: row["time"] > last["time"] + 1500)
        assert machines.terminate() == 0

    assert (later["polls"], later["heartbeats"]) == (last["polls"], last["heartbeats"])
    ends = {
        line["machine"]: line["time"] for line in journal(tmp_path) if line["event"] == "bricked"
    }
    assert len(ends) == MACHINES
    assert {signal["kind"] for _, signal in sink.signals} == {"heartbeat"}
    assert all(signal["time"] <= ends[signal["machine"]] for _, signal in sink.signals)
    assert len(sink.credentials) == MACHINES


def test_a_crashing_release_is_reported_by_machines_that_live_on(
    tmp_path: Path, vendor: tuple[Path, str], sink: Sink
) -> None:
    """Loud harm: every load ends the service, every end is a signal, the machine stays in touch."""
    tree, url = vendor
    with fleet(tmp_path, url, sink) as machines:
        machines.until(_all_have("1"))
        publish(tree, "2", defect="crash", size=5000)
        machines.until(lambda row: row["crashes"] > 3 * MACHINES)
        crashed = journal(tmp_path)
        before = machines.lines[-1]
        after = machines.until(
            lambda row: (
                row["heartbeats"] > before["heartbeats"] + MACHINES
                and row["polls"] > before["polls"] + MACHINES
            )
        )
        assert machines.terminate() == 0

    reports = Counter(
        signal["machine"]
        for _, signal in sink.signals
        if signal["kind"] in {"service-failed", "boot-unclean"}
    )
    assert after["bricked"] == 0
    assert len(reports) == MACHINES
    assert min(reports.values()) > 1
    assert {line["cause"] for line in crashed if line["event"] == "crashed"} == {"content"}


def test_a_fleet_outlives_its_vendor_and_follows_the_next_one(tmp_path: Path) -> None:
    """The gate will be killed and started again under this fleet; it must neither die nor storm."""
    tree = tmp_path / "feed"
    publish(tree, "1", size=5000)
    with Process("vendor", "serve", tree) as first:
        port = first.until(lambda _: True)["port"]
        with fleet(tmp_path, f"http://127.0.0.1:{port}") as machines:
            machines.until(_all_have("1"))
            first.terminate()
            lost = machines.until(lambda row: row["unreachable"] > MACHINES)
            publish(tree, "2", size=5000)
            with Process("vendor", "serve", tree, "--port", port) as second:
                machines.until(_all_have("2"))
                assert machines.terminate() == 0
                second.terminate()

    assert machines.errors == ""
    # A try in two intervals for each machine, and not one more for each error.
    seconds = (lost["time"] - machines.lines[0]["time"]) / 1000 + 1
    assert lost["unreachable"] < 2 * MACHINES * seconds / (0.2 * 0.7)


def test_machines_without_an_agent_send_no_signal(
    tmp_path: Path, vendor: tuple[Path, str], sink: Sink
) -> None:
    """Most machines of the world only poll; the gate must judge those too."""
    tree, url = vendor
    with fleet(tmp_path, url, sink, heartbeating=0) as machines:
        machines.until(_all_have("1"))
        publish(tree, "2", defect="crash", size=5000)
        machines.until(lambda row: row["crashes"] > MACHINES)
        assert machines.terminate() == 0

    assert sink.signals == []


def test_a_fleet_ends_on_a_word_or_when_its_time_is_up(
    tmp_path: Path, vendor: tuple[Path, str]
) -> None:
    """Nothing the demo starts may stay behind."""
    _, url = vendor
    with fleet(tmp_path, url) as told:
        told.until(lambda row: row["polled"] == MACHINES)
        told.say("what?")
        told.say('{"stop": true}')
        assert told.wait() == 0
    with fleet(tmp_path, url, duration=1) as timed:
        assert timed.wait() == 0

    assert told.errors == 'warning: not a command, only {"stop": true} is\n'
    assert timed.errors == ""


def test_a_fleet_file_that_makes_no_sense_is_a_usage_error(tmp_path: Path) -> None:
    """Exit 2 and one line that says where, not a traceback."""
    path = tmp_path / "machines.jsonl"
    path.write_text('{"machine": "a"}\n')
    with Process("fleet", path) as process:
        assert process.wait() == 2

    assert process.errors.startswith("error: machines.jsonl, line 1: ")
    assert process.errors.count("\n") == 1


def test_a_release_can_be_published_from_the_command_line(tmp_path: Path) -> None:
    """The same bytes as from Python, so that a shell script can play the vendor."""
    from_python = publish(tmp_path / "a", "9", defect="brick", size=10, seed=4)
    words = ("publish", tmp_path / "b", "9", "--defect=brick", "--size=10", "--seed=4")
    with Process("vendor", *words) as process:
        assert process.wait() == 0

    assert process.lines == [{"version": "9", "list": from_python.list}]
    assert (tmp_path / "b" / "version.json").read_text() == '{"version": "9"}\n'
