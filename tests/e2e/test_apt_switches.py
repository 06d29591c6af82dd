"""Doors that move while apt is in the middle: no mix of two releases, and no error on the machine.

``FIREDOOR_SWITCHES=100`` switches a hundred times; without it a few are enough.
"""

import http.client
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.apt_fleet import Fleet, up
from tests.debian import Apt
from tests.office import until

SWITCHES = int(os.environ.get("FIREDOOR_SWITCHES", "6"))
PAIR = ("tool", "twin")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 20 * SWITCHES)]


class Relay:
    """Stands between a machine and the gate, and stops one request until it is told to go on."""

    def __init__(self, gate: int) -> None:
        """Nothing is stopped yet."""
        self.stop_at = ""
        self.stopped = threading.Event()
        self.go = threading.Event()
        self.answers: list[tuple[int, str]] = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if relay.stop_at and relay.stop_at in self.path:
                    relay.stop_at = ""
                    relay.stopped.set()
                    assert relay.go.wait(60)
                onward = http.client.HTTPConnection("127.0.0.1", gate, timeout=60)
                onward.request("GET", self.path, headers=dict(self.headers.items()))
                reply = onward.getresponse()
                body = reply.read()
                onward.close()
                relay.answers.append((reply.status, self.path))
                self.send_response(reply.status)
                for name, value in reply.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def during(self, apt: Apt, stop_at: str, *words: str) -> "Paused":
        """Run apt-get until it asks for a name with ``stop_at`` in it."""
        self.stopped.clear()
        self.go.clear()
        self.stop_at = stop_at
        return Paused(self, apt, words)


class Paused:
    """apt-get in the middle of its work."""

    def __init__(self, relay: Relay, apt: Apt, words: tuple[str, ...]) -> None:
        """Begin."""
        self._relay = relay
        self._said: list[tuple[int, str, str]] = []
        self._thread = threading.Thread(target=self._run, args=(apt, words))
        self._thread.start()
        assert relay.stopped.wait(60), "apt never asked for it"

    def _run(self, apt: Apt, words: tuple[str, ...]) -> None:
        done = apt.run(*words)
        self._said.append((done.returncode, done.stderr, done.stdout))

    def finish(self) -> None:
        """Let it go on; it must end as if nothing had happened."""
        self._relay.go.set()
        self._thread.join(90)
        ((code, errors, out),) = self._said
        assert (code, errors) == (0, ""), out


class Publisher:
    """A vendor whose two packages always have the same version."""

    def __init__(self, fleet: Fleet) -> None:
        """Version 1 is there."""
        self.fleet = fleet
        self.version = 0

    def switch(self) -> str:
        """Publish the next version and open its door for everybody; returns the version."""
        fleet, before = self.fleet, str(self.version)
        self.version += 1
        for name in PAIR:
            if (name, before) in fleet.archive.packages:
                fleet.archive.remove(name, before)
            fleet.archive.add(name, str(self.version))
        fleet.archive.publish()
        # Not by their number: only the last fifty are listed.
        last = fleet.site.newest()
        assert fleet.site.ask("channel", "sync", "debian", "--by", "Amira").code == 0
        until(lambda: fleet.site.newest() != last)
        release = fleet.site.newest()
        assert fleet.site.act("release", "expedite", release, "--all").code == 0
        until(lambda: fleet.site.door(release)[0] == "open")
        return str(self.version)


@pytest.mark.parametrize(
    ("idle_s", "rounds"),
    [(0.2, max(1, SWITCHES // 2)), (8.0, 1)],
    ids=["session over", "session goes on"],
)
def test_a_door_that_moves_in_the_middle_of_an_update_is_not_seen_by_apt(
    tmp_path: Path, idle_s: float, rounds: int
) -> None:
    """Neither between an index and its parts, nor between two packages of one upgrade."""
    fleet = Fleet(tmp_path)
    config = fleet.site.path.read_text()
    longer = f'session_idle = "{idle_s * 1000:.0f}ms"'
    fleet.site.path.write_text(config.replace('session_idle = "200ms"', longer))
    relay = Relay(fleet.ports["gate"])
    with up(fleet), relay.running():
        publisher = Publisher(fleet)
        publisher.switch()
        apt = fleet.machine("web-1", gate=relay.url)
        assert apt.run("install", *PAIR).returncode == 0
        publisher.switch()
        relay.answers.clear()
        in_the_middle, versions = 0, {apt.has("tool")}
        for _ in range(rounds):
            time.sleep(1.5 * idle_s)  # the last session is over
            # The machine has read InRelease of one release when the next one opens.
            update = relay.during(apt, "/by-hash/", "update")
            publisher.switch()
            update.finish()
            # The machine has one package of a release when the next one opens.
            upgrade = relay.during(apt, "twin_", "upgrade")
            publisher.switch()
            upgrade.finish()
            in_the_middle += 2
            tool, twin = (apt.has(name) for name in PAIR)
            assert tool == twin
            versions.add(tool)

        assert len(versions) == rounds + 1
        assert [answer for answer in relay.answers if answer[0] >= 400] == []
        assert in_the_middle == 2 * rounds
