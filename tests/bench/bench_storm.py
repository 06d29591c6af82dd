"""A million machines that poll every hour, and then a storm: no error, nothing forgotten?

``python -m tests.bench.bench_storm [--machines N] [--storm PER_S] [--seconds S] [--calm S]``

A million machines are on record. Those that poll are the hard case: none has anything of the
channel yet, so each is admitted, and its place must be durable before the first byte of its reply.
They are spread evenly over the million, poll in no order, and each polls once.
They poll at a steady rate (278/s: a million an hour), and then as well at 5,000/s for a minute.
Each poll is a new connection from one of sixteen addresses, with Basic credentials of its own, and
asks for 1 KiB; none waits for another's answer.

The load comes from one process of this file, without a library, on the same cores as all of
Firedoor; what CPU it takes is told apart, and what each poll cost the gate. When the last poll is
answered, the gate is killed (SIGKILL), and every machine that was answered must have its place in
``gate.db``. Memory is the sum of the proportional set sizes of all processes, the most seen. Prints
one line of JSON; exit code 1 if a poll failed, a place is missing or the memory is above 1 GiB.
"""

import argparse
import base64
import contextlib
import errno
import gc
import json
import multiprocessing
import os
import platform
import random
import resource
import select
import signal
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from tests.bench.bench_memory import TARGET_MIB, mib_of, supervisor_mib
from tests.bench.known_fleet import fill
from tests.bench.whole_tree import Tree, files_of, running

from firedoor.adapters.store.register_schema import Enrolment

HOURLY_PER_S: Final = 278
PATIENCE_S: Final = 30.0
_SAMPLE_S: Final = 3.0
_SEED: Final = 20261123
_ADDRESSES: Final = [(f"127.0.0.{last}", 0) for last in range(2, 18)]
_ASK: Final = b"GET /bench/content.bin HTTP/1.1\r\nHost: gate\r\nAuthorization: Basic %b\r\n\r\n"
_GOOD: Final = b"HTTP/1.1 200 "
_END: Final = b"\r\n\r\n"
_SIZE: Final = 1024
_MOST_OPEN: Final = 12_000
"""As many wait for their replies at most; what is due then begins late, and took as long."""

# Linux: the port is chosen when the address of the other side is known as well.
_NO_PORT_YET: Final = 24


class Polls:
    """Polls on their way; ``took`` has how long each answered one took, by its number, s."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._gate = ("127.0.0.1", port)
        self._requests = requests
        self._poller = select.epoll()
        self._open: dict[int, _Poll] = {}
        self.took: dict[int, float] = {}
        self.failed: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """How many are on their way."""
        return len(self._open)

    def begin(self, number: int, due: float) -> None:
        """Connect and ask."""
        each = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        each.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
        each.bind(_ADDRESSES[number % len(_ADDRESSES)])
        status = each.connect_ex(self._gate)
        if status not in {0, errno.EINPROGRESS}:
            self.failed[f"not connected: {os.strerror(status)}"] += 1
            each.close()
            return
        # On loopback a connection is made at once, unless nobody accepts it.
        asked = status == 0
        if asked:
            each.send(self._requests[number])
        descriptor = each.fileno()
        self._open[descriptor] = _Poll(each, number, due, asked=asked)
        self._poller.register(descriptor, select.EPOLLIN if asked else select.EPOLLOUT)

    def go_on(self, wait_s: float) -> int:
        """Do what there is to do, waiting no longer than that; how many are still open."""
        for descriptor, _ in self._poller.poll(wait_s):
            poll = self._open[descriptor]
            try:
                if not poll.asked:
                    poll.socket.send(self._requests[poll.number])
                    poll.asked = True
                    self._poller.modify(descriptor, select.EPOLLIN)
                    continue
                piece = poll.socket.recv(4096)
            except OSError as error:
                self._end(descriptor, f"broken: {error.strerror}")
                continue
            reply = poll.held = poll.held + piece if poll.held else piece
            # The head is looked for only once there may be a whole body behind it.
            if len(reply) > _SIZE or not piece:
                good = (
                    reply.startswith(_GOOD) and len(reply) == reply.find(_END) + len(_END) + _SIZE
                )
                if good:
                    self.took[poll.number] = time.monotonic() - poll.due
                if good or not piece or not reply.startswith(_GOOD):
                    self._end(descriptor, "" if good else reply[:40].decode(errors="replace"))
        return len(self._open)

    def give_up(self) -> None:
        """Those that are open still have failed."""
        for descriptor in list(self._open):
            self._end(descriptor, "no answer in time")

    def _end(self, descriptor: int, failure: str) -> None:
        # What is closed is not waited for any more.
        self._open.pop(descriptor).socket.close()
        if failure:
            self.failed[failure] += 1


@dataclass(slots=True)
class _Poll:
    socket: socket.socket
    number: int
    due: float
    asked: bool
    held: bytes = b""


def load(port: int, tokens: Path, phases: list[tuple[float, float]], result: Path) -> None:
    """Poll in phases of (polls a second, seconds); write what became of it. A process's main."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    polls = Polls(port, [_ASK % token for token in tokens.read_bytes().split(b"\n")])
    gc.freeze()
    number, late = 0, 0.0
    starts: list[int] = []
    before_s = time.process_time()
    began = time.monotonic()
    for per_s, seconds in phases:
        starts.append(number)
        phase, first = time.monotonic(), number
        while (now := time.monotonic()) < phase + seconds:
            while number - first < (now - phase) * per_s and polls.open < _MOST_OPEN:
                due = phase + (number - first) / per_s
                late = max(late, time.monotonic() - due)
                polls.begin(number, due)
                number += 1
                if number % 64 == 0:
                    polls.go_on(0)
            polls.go_on(0.005)
    ended = time.monotonic()
    while polls.go_on(0.05) and time.monotonic() < ended + PATIENCE_S:
        pass
    polls.give_up()
    spent = time.process_time() - before_s
    result.write_text(
        json.dumps(
            {
                "starts": starts,
                "polls": number,
                "took": polls.took,
                "failed": polls.failed,
                "late_s": round(late, 2),
                "seconds": time.monotonic() - began,
                "cpu_s": spent,
            }
        )
    )


def main() -> int:
    """Fill a data directory, start the tree, let it storm; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=1_000_000)
    parser.add_argument("--storm", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--calm", type=int, default=30)
    given = parser.parse_args()
    phases = [
        (float(HOURLY_PER_S), float(given.calm)),
        (float(HOURLY_PER_S + given.storm), float(given.seconds)),
    ]
    polling = int(sum(per_s * seconds for per_s, seconds in phases)) + len(phases)
    if polling > given.machines:
        parser.error(f"each machine polls once: that takes {polling} of them")
    machines = sorted(random.Random(_SEED).sample(range(1, given.machines + 1), polling))
    unserved = set(machines)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        upstream = root / "upstream"
        upstream.mkdir()
        (upstream / "content.bin").write_bytes(os.urandom(_SIZE))
        files = files_of(root)
        tokens, result = root / "tokens", root / "result"
        shown: dict[int, bytes] = {}

        def enrolled(machine: Enrolment) -> None:
            if machine.no in unserved:
                shown[machine.no] = base64.b64encode(f"{machine.name}:{machine.read}".encode())

        fill(files, given.machines, unserved, enrolled)
        order = random.Random(_SEED).sample(machines, polling)
        tokens.write_bytes(b"\n".join(shown[number] for number in order))
        with running(root, files, upstream, patience_s=300.0) as tree:
            port = int(tree.urls["gate"].rpartition(":")[2])
            arguments = (port, tokens, phases, result)
            before = _cpu_s(tree)
            process = multiprocessing.get_context("spawn").Process(target=load, args=arguments)
            process.start()
            most_mib = 0.0
            while process.is_alive():
                process.join(_SAMPLE_S)
                most_mib = max(most_mib, sum(mib_of(pid) for pid in tree.pids.values()))
            spent = {role: round(now - before[role], 1) for role, now in _cpu_s(tree).items()}
            os.kill(tree.pids["gate"], signal.SIGKILL)
            said = json.loads(result.read_text())
            answered = {order[int(number)] for number in said["took"]}
            missing = answered - _placed(files.data / "gate.db")
    most_mib += supervisor_mib()
    figures = {
        "bench": "storm",
        "machines": given.machines,
        "polls": said["polls"],
        "failed": said["failed"],
        "answered_without_a_place": len(missing),
        "mib": round(most_mib),
        "target_mib": TARGET_MIB,
        "phases": _phases(phases, said),
        "seconds": round(said["seconds"], 1),
        "cpu_s": {**spent, "load": round(said["cpu_s"], 1)},
        "gate_us_per_poll": round(spent["gate"] / max(1, said["polls"]) * 1e6),
        "latest_begun_s": said["late_s"],
        "loadavg": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    print(json.dumps(figures))
    held = not said["failed"] and not missing and most_mib <= TARGET_MIB
    return 0 if held else 1


def _phases(phases: list[tuple[float, float]], said: dict[str, Any]) -> list[dict[str, float]]:
    """What became of the polls of each phase."""
    told = []
    for (per_s, _), first, after in zip(
        phases, said["starts"], [*said["starts"][1:], said["polls"]], strict=True
    ):
        took = sorted(t for n, t in said["took"].items() if first <= int(n) < after)
        told.append(
            {
                "per_s": per_s,
                "polls": after - first,
                "answered": len(took),
                "median_ms": round(statistics.median(took) * 1e3, 1),
                "p99_ms": round(took[len(took) * 99 // 100] * 1e3, 1),
                "longest_ms": round(took[-1] * 1e3, 1),
            }
        )
    return told


def _placed(database: Path) -> set[int]:
    """Machines that have a place in the first release."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT machine FROM place WHERE channel = 'bench'")
        return {machine for (machine,) in rows}


def _cpu_s(tree: Tree) -> dict[str, float]:
    return {role: sum(psutil.Process(pid).cpu_times()[:2]) for role, pid in tree.pids.items()}


if __name__ == "__main__":
    sys.exit(main())
