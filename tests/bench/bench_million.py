"""A million machines that each send a signal a minute, for ten minutes: is anything lost?

``python -m tests.bench.bench_million [--machines N] [--minutes M]``

A million machines are on record, and the whole process tree runs. A hundred collectors post what
ten thousand machines each have to say: each machine's heartbeat once a minute, spread evenly over
it, and from one machine in a thousand a minute an event instead, a crash or a clean boot. At the
same time machines poll the gate, 278 a second (a million an hour) and draw cards of a release in
flight, so the judge has decks to close. What the intake acknowledged is compared with what
``intake.db`` holds; what a tick takes is seen from outside, from the moment the judge looks at its
clock until the tick is durable. Memory is the sum of the proportional set sizes of all processes,
the most seen. Prints one line of JSON; exit code 1 if a signal is missing, a request was refused, a
tick took more than a second or the memory is above 1.5 GiB.
"""

import argparse
import base64
import contextlib
import http.client
import json
import multiprocessing
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from numpy.typing import NDArray
from tests.bench import bench_storm
from tests.bench.bench_memory import mib_of, supervisor_mib
from tests.bench.known_fleet import fill
from tests.bench.whole_tree import Tree, files_of, running

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.inbox import InboxWriter
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.register_schema import Enrolment
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.units import UnixMs
from firedoor.services.order import Order

COLLECTORS: Final = 100
A_MINUTE_S: Final = 60.0
LINES: Final = 1_000
TARGET_MIB: Final = 1_536
LONGEST_TICK_S: Final = 1.0
EVENTS: Final = 1_000
"""Of so many signals one is an event."""

_SEED: Final = 20261123
_SAMPLE_S: Final = 3.0
_KINDS: Final = ("boot-clean", "panic")


def send(port: int, tokens: list[str], machines: int, minutes: int, result: Path) -> None:
    """Post for all collectors, on time; write what became of it. A process's main."""
    dice = random.Random(_SEED)
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(4)]
    said: dict[str, Any] = {"sent": 0, "accepted": 0, "refused": [], "late_s": 0.0}
    events: list[str] = []
    began, took = time.monotonic(), []
    for minute in range(minutes):
        for first in range(0, machines, LINES):
            due = began + (minute + first / machines) * A_MINUTE_S
            time.sleep(max(0.0, due - time.monotonic()))
            said["late_s"] = max(said["late_s"], time.monotonic() - due)
            now = time.time_ns() // 1_000_000
            lines = [
                b'{"machine":"machine-%07d","time":%d,"kind":"heartbeat"}' % (number, now)
                for number in range(first + 1, min(first + LINES, machines) + 1)
            ]
            if dice.random() < len(lines) / EVENTS:
                number, kind = (
                    dice.randrange(first + 1, first + len(lines) + 1),
                    dice.choice(_KINDS),
                )
                event = f"{minute}-{number}"
                events.append(event)
                lines[number - first - 1] = json.dumps(
                    {"machine": f"machine-{number:07d}", "time": now, "kind": kind, "id": event}
                ).encode()
            token = tokens[first * COLLECTORS // machines]
            connection = connections[(first // LINES) % len(connections)]
            headers = {"Authorization": f"Bearer {token}"}
            before = time.monotonic()
            connection.request("POST", "/v1/signals", b"\n".join(lines), headers)
            reply = connection.getresponse()
            answer = json.loads(reply.read())
            took.append(time.monotonic() - before)
            said["sent"] += len(lines)
            if reply.status != http.HTTPStatus.OK or answer["rejected"]:
                said["refused"].append(str(answer)[:200])
            else:
                said["accepted"] += answer["accepted"]
    took.sort()
    said |= {
        "events": events,
        "median_ms": round(statistics.median(took) * 1e3, 1),
        "p99_ms": round(took[len(took) * 99 // 100] * 1e3, 1),
        "longest_ms": round(took[-1] * 1e3, 1),
        "cpu_s": round(time.process_time(), 1),
        "seconds": round(time.monotonic() - began, 1),
    }
    result.write_text(json.dumps(said))


class Ticks(threading.Thread):
    """Watches the judge's ticks from outside."""

    def __init__(self, data: Path) -> None:
        """Nothing is watched before ``start``."""
        super().__init__()
        self._data = data
        self.stop = threading.Event()
        self.took_s: list[float] = []

    def run(self) -> None:
        """Note how long after its reading of the clock each tick is durable."""
        with contextlib.closing(JudgeReader(self._data)) as judge:
            last = judge.last_tick()
            while not self.stop.wait(0.01):
                tick = judge.last_tick()
                if tick is not None and tick != last:
                    last = tick
                    self.took_s.append(time.monotonic() - tick[1] / 1000)


class Fleet:
    """A data directory that knows all machines, and what those need that speak and poll."""

    def __init__(self, root: Path, machines: int, polling: int) -> None:
        """Fill it; ``polling`` machines will poll, in no order."""
        self.machines = machines
        self.upstream = root / "upstream"
        self.upstream.mkdir()
        self.release()
        self.files = files_of(root)
        self.tokens = root / "tokens"
        order = random.Random(_SEED).sample(range(1, machines + 1), polling)
        wanted, shown = set(order), dict[int, bytes]()

        def enrolled(machine: Enrolment) -> None:
            if machine.no in wanted:
                shown[machine.no] = base64.b64encode(f"{machine.name}:{machine.read}".encode())

        fill(self.files, machines, (), enrolled)
        self.tokens.write_bytes(b"\n".join(shown[number] for number in order))
        register = MachineRegister(self.files.register, SystemClock())
        names = [f"site-{number}" for number in range(COLLECTORS)]
        self.collectors = [register.enroll_collector(n, ["machine-*"], UnixMs(1)) for n in names]
        register.close()

    def release(self) -> None:
        """The vendor publishes."""
        (self.upstream / "content.bin").write_bytes(os.urandom(1_024))

    def look(self) -> None:
        """Have Firedoor look at the vendor's at once."""
        order = Order(verb="sync", by="bench", channel="bench")
        with contextlib.closing(InboxWriter(self.files.data)) as inbox:
            inbox.put(order, time.time_ns() // 1_000_000)


def speak(fleet: Fleet, tree: Tree, minutes: int, root: Path) -> dict[str, Any]:
    """Let everybody send and poll; what was seen."""
    ports = {role: int(url.rpartition(":")[2]) for role, url in tree.urls.items()}
    said, polled = root / "said", root / "polled"
    spawn = multiprocessing.get_context("spawn").Process
    sending = spawn(
        target=send, args=(ports["intake"], fleet.collectors, fleet.machines, minutes, said)
    )
    phases = [(fleet.machines / 3_600, minutes * A_MINUTE_S)]
    polling = spawn(target=bench_storm.load, args=(ports["gate"], fleet.tokens, phases, polled))
    before, ticks = _cpu_s(tree), Ticks(fleet.files.data)
    for each in (sending, polling, ticks):
        each.start()
    most: dict[str, float] = {}
    while sending.is_alive():
        sending.join(_SAMPLE_S)
        sizes = {role: mib_of(pid) for role, pid in tree.pids.items()}
        if sum(sizes.values()) > sum(most.values()):
            most = sizes
    polling.join()
    ticks.stop.set()
    ticks.join()
    return {
        **json.loads(said.read_text()),
        "polled": json.loads(polled.read_text()),
        "roles_mib": most,
        "ticks_s": ticks.took_s or [float("inf")],
        "spent": {role: round(now - before[role], 1) for role, now in _cpu_s(tree).items()},
    }


def main() -> int:
    """Fill a data directory, start the tree, let everybody speak; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=int, default=10)
    given = parser.parse_args()
    polling = min(given.machines, int(given.machines * given.minutes / A_MINUTE_S) + 2)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        fleet = Fleet(root, given.machines, polling)
        with running(root, fleet.files, fleet.upstream, patience_s=300.0) as tree:
            fleet.release()
            fleet.look()
            said = speak(fleet, tree, given.minutes, root)
            with contextlib.closing(JudgeReader(fleet.files.data)) as judge:
                boarded = len(judge.boardings("bench"))
        missing = set(said["events"]) - _events(fleet.files.signals)
        heard = _heard(fleet.files.signals, given.machines)
        for event in said["events"]:
            heard[int(event.partition("-")[2])] += 1
        short = int((heard[1:] != given.minutes).sum())
    mib = sum(said["roles_mib"].values()) + supervisor_mib()
    slowest, poll = max(said["ticks_s"]), said["polled"]
    figures = {
        "bench": "million",
        "machines": given.machines,
        "signals": said["sent"],
        "accepted": said["accepted"],
        "refused": said["refused"][:3],
        "events": len(said["events"]),
        "events_missing": len(missing),
        "signals_stored": int(heard.sum()),
        "machines_of_which_one_is_missing": short,
        "request_ms": [said["median_ms"], said["p99_ms"], said["longest_ms"]],
        "latest_s": round(said["late_s"], 2),
        "ticks": len(said["ticks_s"]),
        "tick_ms": [round(statistics.median(said["ticks_s"]) * 1e3), round(slowest * 1e3)],
        "boardings": boarded,
        "polls": poll["polls"],
        "polls_failed": poll["failed"],
        "mib": round(mib),
        "roles_mib": {role: round(size) for role, size in said["roles_mib"].items()},
        "target_mib": TARGET_MIB,
        "seconds": said["seconds"],
        "cpu_s": {**said["spent"], "senders": said["cpu_s"], "pollers": round(poll["cpu_s"], 1)},
        "loadavg": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    print(json.dumps(figures))
    whole = said["accepted"] == said["sent"] == int(heard.sum()) and not (missing or short)
    held = whole and slowest <= LONGEST_TICK_S and mib <= TARGET_MIB and not poll["failed"]
    return 0 if held else 1


def _events(database: Path) -> set[str]:
    """Keys of all events that are stored."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM event")}


def _heard(database: Path, machines: int) -> NDArray[np.int64]:
    """Heartbeats that are stored of each machine, by its number; shape (machines + 1,)."""
    reader, seq, found = SignalReader(database), 0, np.zeros(machines + 1, np.int64)
    while page := reader.batches_after(seq, 1_000):
        seq = page[-1].seq
        for batch in page:
            # No batch names a machine twice.
            found[np.asarray(batch.heartbeats, np.uint32)] += 1
    reader.close()
    return found


def _cpu_s(tree: Tree) -> dict[str, float]:
    return {role: sum(psutil.Process(pid).cpu_times()[:2]) for role, pid in tree.pids.items()}


if __name__ == "__main__":
    sys.exit(main())
