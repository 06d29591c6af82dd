"""The running product: vendor, ``firedoor up`` and a fleet, each in processes of their own.

Everything is started as a user starts it and spoken to over loopback; what is known of it is read
from the stores, as the console reads them, and from what the machines wrote down themselves.
"""

import contextlib
import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import create_root_key, create_signing_key, create_token
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.inbox import InboxWriter
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.register_schema import Enrolment
from firedoor.core.door import Door
from firedoor.core.errors import Unavailable
from firedoor.services.order import Order
from firedoor.simulator import journal
from firedoor.simulator.content import Defect
from firedoor.simulator.stage import CHANNEL, CONFIGURATION, end
from firedoor.simulator.vendor import publish
from firedoor.wire.files import Files

RING = "everyone"
ROLES = ("gate", "intake", "judge", "console")
BUCKET_S = 0.25
IDLE_S = 0.2
LEASE_S = 3 * BUCKET_S
PATIENCE_S = 60.0

# What the tests set beside the configuration of the stage.
_ALSO = """
[intake]
max_body = "64KiB"

[policy]
budget = {budget}

[[channel]]
name = "demo"
session_idle = "{session_idle}"
"""

# Below the ports that the system gives to clients: a machine that keeps asking for a port on
# which nobody listens could otherwise be given that very port, and answer itself.
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class Reply:
    """What the gate or the intake answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def release(self) -> str:
        """Release id that the gate says these bytes belong to, "" for none."""
        return self.headers.get("firedoor-release", "")


class Tree:
    """A vendor and the process tree, from ``with`` to its end; a fleet from ``let_live`` on."""

    def __init__(self, root: Path, *, session_idle: str = "200ms", budget: str = '"auto"') -> None:
        """Prepare; nothing is started.

        Args:
            root: An empty directory that holds everything.
            session_idle: As in the configuration.
            budget: As in the configuration.
        """
        self.root = root
        self.files = Files(root / "data")
        self.vendor_root = root / "vendor"
        self.journal = root / "journal.jsonl"
        self.log = root / "firedoor.log"
        self.ports = dict(zip((*ROLES, "vendor"), _free_ports(len(ROLES) + 1), strict=True))
        self.machines: dict[str, Enrolment] = {}
        self.fleet_says: dict[str, Any] = {}
        self._settings = {"session_idle": session_idle, "budget": budget}
        self._up: subprocess.Popen[bytes] | None = None
        self._vendor: subprocess.Popen[bytes] | None = None
        self._fleet: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self.start_vendor()
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    # The vendor.

    def publish(self, version: str, defect: Defect = "none") -> None:
        """Put a release where the vendor serves it."""
        publish(self.vendor_root, version, defect=defect)

    def start_vendor(self) -> None:
        """Serve what is published."""
        command = [sys.executable, "-m", "firedoor.simulator.vendor", "serve"]
        port = str(self.ports["vendor"])
        self._vendor = subprocess.Popen(
            [*command, str(self.vendor_root), "--port", port], stdout=subprocess.DEVNULL
        )

    def stop_vendor(self) -> None:
        """Upstream is down."""
        end(self._vendor)

    # The tree.

    def start(self) -> None:
        """Start ``firedoor up`` and wait until gate and intake answer."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            command = [sys.executable, "-m", "firedoor", "up"]
            self._up = subprocess.Popen(
                [*command, "--config", str(self.root / "firedoor.toml")],
                stdout=self._log,
                stderr=self._log,
                stdin=subprocess.DEVNULL,
            )
            while self._up.poll() is None and time.monotonic() < deadline:
                if self.healthy():
                    return
                time.sleep(0.05)
            # The sockets of a tree that was killed may still be closing: a supervisor of
            # services would start it again, and so do we.
            if time.monotonic() >= deadline:
                raise AssertionError(f"the tree does not start:\n{self.tail()}")
            time.sleep(0.1)

    def healthy(self) -> bool:
        """Say whether gate and intake answer that they are well."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            asked = [self.ask("GET", "/healthz", role=role) for role in ("gate", "intake")]
            return all(reply.status == HTTPStatus.OK for reply in asked)
        return False

    def pids(self) -> dict[str, int]:
        """Process ids of the roles that run now."""
        found = {}
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._supervisor().pid).children():
                with contextlib.suppress(psutil.NoSuchProcess, ValueError):
                    command = child.cmdline()
                    found[command[command.index("serve") + 1]] = child.pid
        return found

    def kill(self, role: str) -> bool:
        """Kill one role, as a crash would; say whether it was there."""
        pid = self.pids().get(role)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    @contextlib.contextmanager
    def down(self, role: str) -> Iterator[None]:
        """Kill a role and keep it from coming back, by holding the lock that it needs."""
        with self.files.lock(role).open("w") as lock:
            self.kill(role)
            until(lambda: _locked(lock), f"{role} is dead")
            yield
        until(lambda: role in self.pids(), f"{role} is back", self.tail)

    def kill_everything(self) -> None:
        """Kill the supervisor and all roles at once; nothing is started again."""
        supervisor = self._supervisor()
        roles = [psutil.Process(pid) for pid in self.pids().values()]
        for process in (psutil.Process(supervisor.pid), *roles):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        supervisor.wait()
        until(lambda: all(map(_is_dead, roles)), "the roles are dead")

    def tail(self) -> str:
        """The end of the tree's log, for messages."""
        return self.log.read_text(errors="replace")[-4000:]

    # The machines.

    def enrol(self, *names: str) -> list[Enrolment]:
        """Enrol machines; they do nothing yet."""
        clock = SystemClock()
        with contextlib.closing(MachineRegister(self.files.register, clock)) as register:
            made = register.enroll_many([(name, {}) for name in names], clock.now().wall_ms)
        self.machines.update((each.name, each) for each in made)
        return list(made)

    def let_live(
        self, machines: int, *, heartbeating: float = 1.0, habits: Sequence[str] = ()
    ) -> None:
        """Enrol a fleet and start it."""
        enrolled = self.enrol(*(f"m{number:03}" for number in range(machines)))
        roll = self.root / "fleet.jsonl"
        roll.write_text("".join(f"{json.dumps(self._line(each))}\n" for each in enrolled))
        command = [sys.executable, "-m", "firedoor.simulator.fleet", str(roll)]
        options = ("--heartbeat", "0.5", "--heartbeating", str(heartbeating), *habits)
        self._fleet = subprocess.Popen(
            [*command, "--journal", str(self.journal), "--duration", "600", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_fleet)
        self._reader.start()

    def installed(self, version: str) -> int:
        """Machines that have this version installed, by their own word."""
        return int(self.fleet_says.get("versions", {}).get(version, 0))

    def happenings(self, *events: str) -> list[dict[str, Any]]:
        """What the machines wrote down, of these kinds."""
        return [line for line in journal.happenings(self.journal) if line["event"] in events]

    def struck(self) -> set[str]:
        """Machines that content has bricked or crashed, by their own word."""
        return journal.struck(self.journal)

    def ask(
        self,
        method: str,
        path: str,
        *,
        machine: str = "",
        role: str = "gate",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own.

        Args:
            method: HTTP method.
            path: As it is sent.
            machine: Who asks, by Basic authentication; "" for nobody.
            role: Who is asked.
            body: What is sent.
            headers: Further request headers.
        """
        sent = dict(headers or {})
        if machine:
            known = self.machines[machine]
            token = known.read if role == "gate" else known.signal
            sent["Authorization"] = basic(machine, token)
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[role], timeout=20)
        try:
            connection.request(method, path, body=body, headers=sent)
            reply = connection.getresponse()
            told = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, told, reply.read())
        finally:
            connection.close()

    def get(self, path: str, machine: str, *, method: str = "GET", **headers: str) -> Reply:
        """Ask for a path of the channel as a machine."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(method, f"/{CHANNEL}/{path}", machine=machine, headers=named)

    # What the stores say.

    @contextlib.contextmanager
    def judge(self) -> Iterator[JudgeReader]:
        """The judge's store."""
        with contextlib.closing(JudgeReader(self.files.data)) as reader:
            yield reader

    @contextlib.contextmanager
    def gate(self) -> Iterator[GateReader]:
        """The gate's store."""
        with contextlib.closing(GateReader(self.files.data)) as reader:
            yield reader

    def door(self) -> Door:
        """The door of the newest boarding; raises Unavailable before the first."""
        with self.judge() as judge:
            boardings = judge.boardings(CHANNEL)
            if not boardings:
                raise Unavailable("no release has boarded yet")
            (door,) = judge.doors(CHANNEL, boardings[-1].number)
            return door

    def is_at(self, number: int, *states: str) -> bool:
        """Say whether the newest boarding has this number and its door one of these states."""
        with contextlib.suppress(Unavailable):
            door = self.door()
            return door.number == number and door.state in states
        return False

    def is_ready(self) -> bool:
        """Say whether every machine of the fleet may draw a card, and runs some release."""
        machines = self.fleet_says.get("machines")
        with contextlib.suppress(Unavailable), self.gate() as gate:
            free = sum(count.free for count in gate.census())
            return free == machines and not self.installed("")
        return False

    def order(self, verb: str, release: str = "", **more: Any) -> int:
        """Give an order, as a person would; return the board on which it is carried out."""
        order = Order(verb=verb, by="test", reason="a test", release=release, **more)
        with contextlib.closing(InboxWriter(self.files.data)) as inbox:
            number = inbox.put(order, int(time.time() * 1000))
        answer = until(lambda: self._answer(number), f"the order {verb} is answered")
        assert answer[0] == "ok", answer
        return int(json.loads(answer[1])["board"])

    def obey(self, verb: str, release: str = "", **more: Any) -> None:
        """Give an order, and wait until the gate acts on it."""
        board = self.order(verb, release, **more)
        until(lambda: self._obeyed(board), f"the gate acts on the order {verb}", self.tail)

    def until_open(self, number: int) -> str:
        """Wait until a boarding is the newest and open; return its release id."""
        until(lambda: self.is_at(number, "open"), f"boarding {number} is open", self.tail)
        door = self.door()
        with self.judge() as judge:
            version = judge.board().version
        until(lambda: self._obeyed(version), "the gate acts on the board")
        return door.release

    def _answer(self, number: int) -> tuple[str, str] | None:
        with self.judge() as judge:
            return judge.answer(number)

    def _obeyed(self, version: int) -> bool:
        with self.gate() as gate:
            return gate.obeyed() >= version

    def _prepare(self) -> None:
        self.files.root_key.parent.mkdir(parents=True, mode=0o700)
        create_root_key(self.files.root_key)
        create_signing_key(self.files.ledger_key)
        create_token(self.files.console_token)
        self.vendor_root.mkdir(exist_ok=True)
        (self.root / "firedoor.toml").write_text(
            CONFIGURATION.format(data=self.files.data, **self.ports)
        )
        (self.root / "config.d").mkdir(exist_ok=True)
        (self.root / "config.d" / "10-also.toml").write_text(_ALSO.format(**self._settings))
        self._log = self.log.open("ab")

    def _supervisor(self) -> "subprocess.Popen[bytes]":
        assert self._up is not None
        return self._up

    def _line(self, enrolled: Enrolment) -> dict[str, object]:
        return {
            "machine": enrolled.name,
            "gate": f"http://127.0.0.1:{self.ports['gate']}",
            "channel": CHANNEL,
            "read_token": enrolled.read,
            "intake": f"http://127.0.0.1:{self.ports['intake']}",
            "signal_token": enrolled.signal,
            "seed": 1,
        }

    def _read_fleet(self) -> None:
        assert self._fleet is not None
        assert self._fleet.stdout is not None
        for line in self._fleet.stdout:
            self.fleet_says = json.loads(line)

    def _end(self) -> None:
        end(self._fleet)
        if self._reader is not None:
            self._reader.join()
        if self._up is not None:
            roles = self.pids() if self._up.poll() is None else {}
            end(self._up)
            for pid in roles.values():
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).kill()
        end(self._vendor)
        if self._log is not None:
            self._log.close()


def until(
    happened: "Callable[[], Any]",
    what: str,
    story: Callable[[], str] = lambda: "",
    patience_s: float = PATIENCE_S,
) -> Any:
    """Wait until something is true and return it; fail with ``what`` and the story if not."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := happened():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {patience_s:.0f} s: {what}\n{story()}")


def basic(user: str, password: str) -> str:
    """An Authorization header."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def _free_ports(count: int) -> list[int]:
    free: list[int] = []
    candidates = random.Random(os.getpid() ^ time.time_ns()).sample(_PORTS, 200)
    for port in candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise AssertionError("no free ports")


def _is_dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
