"""The stage: a vendor, the whole process tree and a fleet, each in processes of their own.

Everything talks HTTP over loopback; what the stage knows of the doors it asks the console's API,
and what it knows of the machines they said themselves. The demonstration and the tests use it.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import urllib3

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import create_root_key, create_signing_key, create_token
from firedoor.adapters.store.register import MachineRegister
from firedoor.config import load
from firedoor.core.errors import Unavailable
from firedoor.simulator.content import Defect
from firedoor.simulator.enrolment import Enrolment
from firedoor.simulator.journal import struck
from firedoor.simulator.vendor import Published, publish
from firedoor.wire import supervisor
from firedoor.wire.files import Files

CHANNEL = "demo"

# 60 s buckets become 0.25 s, a silence deadline of 5 minutes 2 s: about 200 times faster.
CONFIGURATION = """
data = "{data}"

[time]
bucket = "250ms"
heartbeat = "500ms"
silence_min = "2s"
settle = "400ms"

[gate]
listen = "127.0.0.1:{gate}"

[intake]
listen = "127.0.0.1:{intake}"

[console]
listen = "127.0.0.1:{console}"

[policy]
soak = "1s"

[[channel]]
name = "demo"
kind = "files"
upstream = "http://127.0.0.1:{vendor}/"
poll = "1s"
session_idle = "200ms"
"""

POLL_S = 0.8
HEARTBEAT_S = 0.5
_FLEET_LIVES_S = 3600
_ANSWER_S = 5.0
_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen; each is the first to try, 0 for any free one."""

    gate: int = 8080
    intake: int = 8081
    console: int = 8082


class Stage:
    """Everything that a rehearsal on loopback needs. Use as a context manager."""

    def __init__(
        self,
        root: Path,
        *,
        machines: int,
        seed: int = 0,
        heartbeating: float = 1.0,
        ports: Ports | None = None,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            root: An empty directory that holds everything.
            machines: Size of the fleet, >= 1.
            seed: Seed of the machines' habits.
            heartbeating: Share of machines that send heartbeats, in [0, 1].
            ports: Where to listen first.
        """
        self.root = root
        self.machines = machines
        self.files = Files(root / "data")
        self.journal = root / "machines.jsonl"
        self._seed = seed
        self._heartbeating = heartbeating
        self._ports = ports or Ports()
        self._vendor: subprocess.Popen[str] | None = None
        self._fleet: subprocess.Popen[str] | None = None
        self._tree: threading.Thread | None = None
        self._stop = threading.Event()
        self._log: IO[bytes] | None = None
        self._counts: Mapping[str, Any] = {}
        self._http = urllib3.PoolManager(timeout=_ANSWER_S, retries=False)
        self.urls: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Publish a first release and start vendor and tree; the fleet waits for ``let_live``."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything."""
        self.close()

    def publish(self, version: str, defect: Defect = "none") -> Published:
        """The vendor publishes a release."""
        return publish(self.root / "vendor", version, defect=defect, seed=self._seed)

    def let_live(self) -> None:
        """Enrol the machines and start them."""
        clock = SystemClock()
        register = MachineRegister(self.files.register, clock)
        names: list[tuple[str, dict[str, str]]] = [
            (f"machine-{number:04d}", {}) for number in range(1, self.machines + 1)
        ]
        enrolled = register.enroll_many(names, clock.now().wall_ms)
        register.close()
        lines = [
            Enrolment(
                machine=each.name,
                gate=self.urls["gate"],
                channel=CHANNEL,
                read_token=each.read,
                intake=self.urls["intake"],
                signal_token=each.signal,
                seed=self._seed,
            )
            for each in enrolled
        ]
        roll = self.root / "fleet.jsonl"
        roll.touch(mode=0o600)
        roll.write_bytes(b"\n".join(_encode(line) for line in lines))
        self._fleet = self._spawn(
            "firedoor.simulator.fleet",
            str(roll),
            "--journal",
            str(self.journal),
            "--poll",
            str(POLL_S),
            "--heartbeat",
            str(HEARTBEAT_S),
            "--heartbeating",
            str(self._heartbeating),
            "--duration",
            str(_FLEET_LIVES_S),
        )
        threading.Thread(target=self._read_fleet, daemon=True).start()

    def counts(self) -> Mapping[str, Any]:
        """What the fleet last said of itself; empty before its first line."""
        return self._counts

    def installed(self, version: str) -> int:
        """Machines that have this version installed, by their own word."""
        return int(self._counts.get("versions", {}).get(version, 0))

    def struck(self) -> int:
        """Machines that the content they installed has bricked or crashed, by their own word."""
        return len(struck(self.journal))

    def releases(self) -> list[dict[str, Any]]:
        """Boardings of the channel, newest first, as the console's API gives them.

        Raises:
            Unavailable: The console does not answer yet.
        """
        try:
            url = f"{self.urls['console']}/api/channels/{CHANNEL}/releases"
            reply = self._http.request("GET", url)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the console does not answer: {type(error).__name__}") from error
        if reply.status != 200:  # noqa: PLR2004 - HTTP's own number
            raise Unavailable(f"the console answered {reply.status}")
        found = reply.json()
        return list(found["releases"] if isinstance(found, dict) else found)

    def close(self) -> None:
        """End fleet, tree and vendor, in this order, and wait for them."""
        end(self._fleet)
        self._stop.set()
        if self._tree is not None:
            self._tree.join()
        end(self._vendor)
        if self._log is not None:
            self._log.close()

    def _start(self) -> None:
        self.publish("1.0")
        self._vendor = self._spawn("firedoor.simulator.vendor", "serve", str(self.root / "vendor"))
        if self._vendor.stdout is None:
            raise Unavailable("the vendor has no output")
        port = json.loads(self._vendor.stdout.readline())["port"]
        self.files.root_key.parent.mkdir(parents=True, mode=0o700)
        create_root_key(self.files.root_key)
        create_signing_key(self.files.ledger_key)
        create_token(self.files.console_token)
        path = self.root / "firedoor.toml"
        path.write_text(
            CONFIGURATION.format(
                data=self.files.data,
                vendor=port,
                gate=self._ports.gate,
                intake=self._ports.intake,
                console=self._ports.console,
            )
        )
        config = load(path)
        held = supervisor.sockets(config, search=True)
        self.urls = {
            role: f"http://127.0.0.1:{sock.getsockname()[1]}" for role, sock in held.items()
        }
        self._log = (self.root / "firedoor.log").open("ab")
        self._tree = threading.Thread(
            target=supervisor.up,
            args=(path, config, held),
            kwargs={"stop": self._stop, "log": self._log},
        )
        self._tree.start()

    def _spawn(self, module: str, *arguments: str) -> "subprocess.Popen[str]":
        # A group of its own: Ctrl-C reaches the stage alone, which ends the others in order.
        return subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _read_fleet(self) -> None:
        if self._fleet is None or self._fleet.stdout is None:
            return
        for line in self._fleet.stdout:
            self._counts = json.loads(line)


def end(process: "subprocess.Popen[Any] | None") -> None:
    """Ask a process to end and wait for it; kill it if it does not."""
    if process is None:
        return
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _encode(line: Enrolment) -> bytes:
    return json.dumps({name: getattr(line, name) for name in line.__struct_fields__}).encode()
