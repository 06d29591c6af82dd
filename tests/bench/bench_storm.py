"""A million machines that poll every hour, and then a storm: no error, nothing forgotten?

``python -m tests.bench.bench_storm [--machines N] [--storm PER_S] [--seconds S] [--calm S]``

A million machines are on record. Those that poll are the hard case: none has anything of the
channel yet, so each is admitted, and its place must be durable before the first byte of its reply.
They poll at a steady rate (278/s: a million an hour), and then as well at 5,000/s for a minute.
Each poll is a new connection from one of sixteen addresses, with Basic credentials of its own, and
asks for 1 KiB; none waits for another's answer.

The load comes from one process of this file, without a library, on the same cores as all of
Firedoor; what CPU it takes is told. When the last poll is answered, the gate is killed (SIGKILL),
and every machine that was answered must have its place in ``gate.db``. Memory is the sum of the
proportional set sizes of all processes, the most seen. Prints one line of JSON; exit code 1 if a
poll failed, a place is missing or the memory is above 1 GiB.
"""

import argparse
import base64
import contextlib
import errno
import json
import multiprocessing
import os
import platform
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
_ADDRESSES: Final = [f"127.0.0.{last}" for last in range(2, 18)]
_ASK: Final = b"GET /bench/content.bin HTTP/1.1\r\nHost: gate\r\nAuthorization: Basic %b\r\n\r\n"
_SIZE: Final = 1024
_MOST_OPEN: Final = 12_000
"""As many wait for their replies at most; what is due then begins late, and took as long."""

# Linux: the port is chosen when the address of the other side is known as well.
_NO_PORT_YET: Final = 24


class Polls:
    """Polls on their way; ``took`` has how long each answered one took, by its number, s."""

    def __init__(self, port: int, tokens: list[bytes]) -> None:
        self._port = port
        self._tokens = tokens
        self._poller = select.epoll()
        self._open: dict[int, tuple[socket.socket, int, float, bytearray]] = {}
        self.took: dict[int, float] = {}
        self.failed: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """How many are on their way."""
        return len(self._open)

    def begin(self, number: int, due: float) -> None:
        """Connect and ask."""
        each = socket.socket()
        each.setblocking(False)
        each.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
        each.bind((_ADDRESSES[number % len(_ADDRESSES)], 0))
        status = each.connect_ex(("127.0.0.1", self._port))
        if status not in {0, errno.EINPROGRESS}:
            self.failed[f"not connected: {os.strerror(status)}"] += 1
            each.close()
            return
        self._open[each.fileno()] = (each, number, due, bytearray())
        self._poller.register(each, select.EPOLLOUT)

    def go_on(self, wait_s: float) -> int:
        """Do what there is to do, waiting no longer than that; how many are still open."""
        for descriptor, events in self._poller.poll(wait_s):
            each, number, due, held = self._open[descriptor]
            try:
                if events & select.EPOLLOUT and not events & select.EPOLLERR:
                    each.send(_ASK % self._tokens[number])
                    self._poller.modify(descriptor, select.EPOLLIN)
                    continue
                piece = each.recv(4096)
            except OSError as error:
                self._end(descriptor, f"broken: {error.strerror}")
                continue
            held += piece
            head, _, body = held.partition(b"\r\n\r\n")
            if len(body) == _SIZE or not piece:
                good = head.startswith(b"HTTP/1.1 200 ") and len(body) == _SIZE
                self._end(descriptor, "" if good else bytes(held[:40]).decode(errors="replace"))
                if good:
                    self.took[number] = time.monotonic() - due
        return len(self._open)

    def give_up(self) -> None:
        """Those that are open still have failed."""
        for descriptor in list(self._open):
            self._end(descriptor, "no answer in time")

    def _end(self, descriptor: int, failure: str) -> None:
        each = self._open.pop(descriptor)[0]
        self._poller.unregister(each)
        each.close()
        if failure:
            self.failed[failure] += 1


def load(port: int, tokens: Path, phases: list[tuple[float, float]], result: Path) -> None:
    """Poll in phases of (polls a second, seconds); write what became of it. A process's main."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    polls = Polls(port, tokens.read_bytes().split(b"\n"))
    number, late = 0, 0.0
    starts: list[int] = []
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
    spent = time.process_time()
    result.write_text(
        json.dumps(
            {
                "starts": starts,
                "polls": number,
                "took": polls.took,
                "failed": polls.failed,
                "late_s": round(late, 2),
                "seconds": ended - began,
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
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        upstream = root / "upstream"
        upstream.mkdir()
        (upstream / "content.bin").write_bytes(os.urandom(_SIZE))
        files = files_of(root)
        tokens, result = root / "tokens", root / "result"
        with tokens.open("wb") as lines:

            def enrolled(machine: Enrolment) -> None:
                if machine.no <= polling:
                    lines.write(base64.b64encode(f"{machine.name}:{machine.read}".encode()) + b"\n")

            fill(files, given.machines, polling, enrolled)
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
            answered = {int(number) + 1 for number in said["took"]}
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
