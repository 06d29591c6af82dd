"""A running Firedoor as a person sees it: ``firedoor up``, and the command line beside it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.cli.desk import Said, run

HURRIED = """
data = "firedoor-data"
[time]
bucket = "200ms"
heartbeat = "1s"
silence_min = "2s"
settle = "200ms"
[gate]
listen = "127.0.0.1:{gate}"
[intake]
listen = "127.0.0.1:{intake}"
[console]
listen = "127.0.0.1:{console}"
"""
"""Beginning of a configuration whose clockwork is quick; ports are filled in."""


@dataclass(frozen=True)
class Site:
    """A running Firedoor and its vendor.

    Attributes:
        path: The configuration.
        vendor: What the vendor serves.
        channel: Its channel.
    """

    path: Path
    vendor: Path
    channel: str = "tools"

    def ask(self, *words: str) -> Said:
        """Run a command."""
        return run(*words, "--config", str(self.path))

    def act(self, *words: str) -> Said:
        """Run a command that acts, in a person's name."""
        return self.ask(*words, "--by", "Amira", "--reason", "a drill")

    def publish(self, version: str) -> str:
        """The vendor publishes and somebody asks for it; the id of the release once it boards."""
        (self.vendor / "tool.txt").write_text(version)
        return self.synced()

    def synced(self) -> str:
        """Somebody asks for what the vendor has published; its id once it boards."""
        before = self.boardings()
        asked = self.ask("channel", "sync", self.channel, "--by", "Amira")
        assert asked.code == 0, asked.err
        until(lambda: self.boardings() > before)
        return self.newest()

    def newest(self) -> str:
        """Id of the newest release."""
        return str(self.ask("release", "list", self.channel, "--json").json()[0]["id"])

    def boardings(self) -> int:
        """How many releases have boarded."""
        return len(self.ask("release", "list", self.channel, "--all", "--json").json())

    def door(self, release: str) -> tuple[str, str, int]:
        """State, reason and budget of a release's door."""
        door = self.ask("release", "show", release, "--json").json()["door"]["everyone"]
        return door["state"], door["reason"], door["budget"]


@dataclass(frozen=True)
class Office(Site):
    """A site whose ports are known.

    Attributes:
        ports: By role.
    """

    ports: dict[str, int] = field(default_factory=dict)

    @property
    def gate(self) -> str:
        """URL of the gate."""
        return f"http://127.0.0.1:{self.ports['gate']}"


def moved_into(folder: Path, channel: str, vendor: Path, **values: object) -> Office:
    """Set up a Firedoor whose clockwork is quick, with one channel; nothing runs.

    Args:
        folder: Holds all of it.
        channel: TOML of the channel; names in braces are filled in from ``values``.
        vendor: What the vendor serves; ``{upstream}`` in the text.
        values: For the text; ``name`` is the channel's.
    """
    assert run("init", str(folder)).code == 0
    ports = dict(zip(("gate", "intake", "console"), free_ports(3), strict=True))
    path = folder / "firedoor.toml"
    path.write_text((HURRIED + channel).format(**ports, **values, upstream=vendor))
    return Office(path, vendor, str(values["name"]), ports)


@contextlib.contextmanager
def adopting(office: Office) -> Iterator[None]:
    """``firedoor up``, from when its first release is adopted and the console answers."""
    with running(office.path):
        until(lambda: office.ask("release", "list", office.channel).code == 0)
        until(lambda: office.boardings() == 1)
        until(lambda: console_answers(office.ports["console"]))
        yield


def enrolled(office: Office, machine: str, **places: Path) -> None:
    """Enrol a machine and run the script on it, with its folders in place of those of a system."""
    script = office.ask("machine", "enroll", machine, "--gate", office.gate).out
    there = {f"FIREDOOR_{name.upper()}": str(path) for name, path in places.items()}
    subprocess.run(["sh"], input=script, text=True, check=True, env=os.environ | there)


def until(done: Callable[[], bool], patience_s: float = 30) -> None:
    """Wait, but not for ever."""
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextlib.contextmanager
def running(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """``firedoor up``, ended in order."""
    command = [sys.executable, "-m", "firedoor", "up", "--config", str(path)]
    with (path.parent / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def console_answers(port: int) -> bool:
    """Whether the console is there."""
    url = f"http://127.0.0.1:{port}/healthz"
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as reply:
        return int(reply.status) == 200
    return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
