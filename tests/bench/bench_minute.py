"""A million machines that send a heartbeat every minute: nothing lost, the judge in time?

``python -m tests.bench.bench_minute [--machines N] [--seconds S] [--harm N]``

The whole tree on a fleet that is on record. A collector sends the heartbeats of all machines, one
each a minute (16,667 a second), in requests of 1,000 lines that are due one after the other,
whatever becomes of those before; among them a few hundred crashes of machines picked by chance.
At the same time all machines poll as if once an hour (278 a second), and a release is in flight:
who polls draws a card.

Looked at afterwards: every line was accepted; ``intake.db`` has as many heartbeats of each machine
as were sent, and each crash once; the judge has read all of it. A tick is timed from outside: from
the moment that the judge wrote into it to the moment that others can read it. Memory is the sum of
the proportional set sizes of all processes, the most seen.
Prints one line of JSON; exit code 1 if anything is lost, a tick took more than 1 s, or memory is
above 1,536 MiB.
"""

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import platform
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from tests.bench.bench_memory import mib_of, supervisor_mib
from tests.bench.bench_storm import load
from tests.bench.known_fleet import fill
from tests.bench.whole_tree import Tree, files_of, running

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.register_schema import Enrolment
from firedoor.adapters.store.signals import SignalReader
from firedoor.wire.files import Files

TARGET_MIB: Final = 1536
TARGET_TICK_MS: Final = 1_000
LINES: Final = 1_000
CONNECTIONS: Final = 4
MINUTE_S: Final = 60
HOUR_S: Final = 3_600
_BUCKET_S: Final = 60.0
_SAMPLE_S: Final = 10.0
_LOOK_S: Final = 0.01
_PATIENCE_S: Final = 60.0
_PAGE: Final = 100
_SEED: Final = 20261123
_SIZE: Final = 1024


def send(port: int, token: str, plan: tuple[int, int, int], result: Path) -> None:
    """Send what (machines, seconds, crashes) say; write what became of it. A process's main."""
    machines, seconds, crashes = plan
    requests = machines * seconds // MINUTE_S // LINES
    dice = random.Random(_SEED)
    crashing = dict(enumerate(np.linspace(0, requests - 1, crashes).astype(int).tolist()))
    at: dict[int, list[int]] = {}
    for number, request in crashing.items():
        at.setdefault(request, []).append(number)
    said: dict[str, Any] = {"accepted": 0, "rejected": 0, "again": 0, "sent": 0, "took": []}
    began = time.monotonic() + 1.0

    def body(request: int) -> bytes:
        now = time.time_ns() // 1_000_000
        first = request * LINES % machines
        lines = [
            f'{{"machine":"machine-{no % machines + 1:07d}","time":{now},"kind":"heartbeat"}}'
            for no in range(first, first + LINES)
        ]
        lines += [
            f'{{"machine":"machine-{dice.randint(1, machines):07d}","time":{now},"kind":"panic",'
            f'"id":"crash-{number}"}}'
            for number in at.get(request, ())
        ]
        said["sent"] += len(lines)
        return "\n".join(lines).encode()

    async def post(ask: bytes, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
        reader, writer = streams
        writer.write(
            b"POST /v1/signals HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer %s\r\n"
            b"content-length: %d\r\n\r\n" % (token.encode(), len(ask))
        )
        writer.write(ask)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            return False
        said["accepted"] += answer["accepted"]
        said["rejected"] += len(answer["rejected"])
        return True

    async def connection(waiting: Iterator[int]) -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        for request in waiting:
            due = began + request * LINES * MINUTE_S / machines
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            ask = body(request)
            while not await post(ask, streams):
                said["again"] += 1
                await asyncio.sleep(1)
            said["took"].append(time.monotonic() - due)
        streams[1].close()

    async def all_of_them() -> None:
        waiting = iter(range(requests))
        await asyncio.gather(*(connection(waiting) for _ in range(CONNECTIONS)))

    before = time.process_time()
    asyncio.run(all_of_them())
    said["cpu_s"] = time.process_time() - before
    said["seconds"] = time.monotonic() - began
    result.write_text(json.dumps(said))


class Ticks:
    """Watches the judge's ticks until ``stop``; ``took`` has how long each took, ms."""

    def __init__(self, data: Path) -> None:
        """Begin to watch."""
        self.took: list[int] = []
        self._data = data
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        store, clock = JudgeReader(self._data), SystemClock()
        last = store.last_tick()
        while not self._over.wait(_LOOK_S):
            tick = store.last_tick()
            if tick is not None and tick != last:
                last = tick
                self.took.append(clock.monotonic_ms() - tick[1])
        store.close()


def stored(path: Path, machines: int) -> tuple[list[int], dict[str, int], int, int]:
    """What the intake has on disk.

    Returns:
        How many machines have n heartbeats, by n from 0; how often each crash is there, by its
        key; the last batch; the last event.
    """
    counts = np.zeros(machines + 2, np.int64)
    keys: dict[str, int] = {}
    reader = SignalReader(path)
    batch = event = 0
    while batches := reader.batches_after(batch, _PAGE):
        for each in batches:
            counts[np.asarray(each.heartbeats, np.int64)] += 1
            batch = each.seq
    while events := reader.events_after(event, _PAGE):
        for one in events:
            keys[one.event.key] = keys.get(one.event.key, 0) + 1
            event = one.seq
    reader.close()
    return np.bincount(counts[1 : machines + 1]).tolist(), keys, batch, event


def main() -> int:
    """Fill a data directory, start the tree, load it for ten minutes; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--harm", type=int, default=300)
    given = parser.parse_args()
    if given.machines % LINES or given.seconds % MINUTE_S:
        parser.error("whole requests of 1,000 machines and whole minutes")
    polling = given.machines * given.seconds // HOUR_S + 2
    pollers = random.Random(_SEED).sample(range(1, given.machines + 1), polling)
    wanted, shown = set(pollers), dict[int, bytes]()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        upstream, tokens = root / "upstream", root / "tokens"
        upstream.mkdir()
        (upstream / "content.bin").write_bytes(os.urandom(_SIZE))
        files = files_of(root)

        def enrolled(machine: Enrolment) -> None:
            if machine.no in wanted:
                shown[machine.no] = base64.b64encode(f"{machine.name}:{machine.read}".encode())

        fill(files, given.machines, enrolled=enrolled)
        tokens.write_bytes(b"\n".join(shown[number] for number in pollers))
        register = MachineRegister(files.register, SystemClock())
        token = register.enroll_collector("all", ["machine-*"], SystemClock().now().wall_ms)
        register.close()
        with running(root, files, upstream, patience_s=300.0, channel='poll = "10s"\n') as tree:
            (upstream / "content.bin").write_bytes(os.urandom(_SIZE))
            figures = _loaded(given, tree, files, token, tokens)
    figures |= {"loadavg": round(os.getloadavg()[0], 1), "python": platform.python_version()}
    held = figures.pop("held")
    print(json.dumps(figures))
    return 0 if held else 1


def _loaded(
    given: argparse.Namespace, tree: Tree, files: Files, token: str, tokens: Path
) -> dict[str, Any]:
    """Load the running tree; what was seen."""
    ports = {role: int(url.rpartition(":")[2]) for role, url in tree.urls.items()}
    polls, signals = tokens.with_name("polls"), tokens.with_name("signals")
    plan = (given.machines, given.seconds, given.harm)
    phases = [(given.machines / HOUR_S, float(given.seconds))]
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=load, args=(ports["gate"], tokens, phases, polls)),
        spawn.Process(target=send, args=(ports["intake"], token, plan, signals)),
    ]
    cpu, most, ticks = _cpu_s(tree), dict[str, float](), Ticks(files.data)
    for each in processes:
        each.start()
    while any(each.is_alive() for each in processes):
        time.sleep(_SAMPLE_S)
        now = {role: mib_of(pid) for role, pid in tree.pids.items()}
        most = max(most, now, key=lambda sizes: sum(sizes.values()))
    spent = {role: round(now - cpu[role], 1) for role, now in _cpu_s(tree).items()}
    most["supervisor"] = supervisor_mib()
    said, polled = json.loads(signals.read_text()), json.loads(polls.read_text())
    beats, crashes, batch, event = stored(files.signals, given.machines)
    read = _read_by_judge(files.data, batch, event)
    ticks.stop()
    expected = [0] * (given.seconds // MINUTE_S) + [given.machines]
    took = sorted(said["took"])
    whole = (
        beats == expected
        and len(crashes) == given.harm
        and set(crashes.values()) <= {1}
        and said["accepted"] == said["sent"]
        and read
    )
    mib = sum(most.values())
    return {
        "bench": "minute",
        "machines": given.machines,
        "signals": said["sent"],
        "signals_per_s": round(said["sent"] / said["seconds"]),
        "accepted": said["accepted"],
        "rejected": said["rejected"],
        "sent_again": said["again"],
        "heartbeats_lost": given.machines * (len(expected) - 1)
        - sum(n * count for n, count in enumerate(beats)),
        "crashes": len(crashes),
        "read_by_judge": read,
        "request_ms": {
            "median": round(statistics.median(took) * 1e3, 1),
            "p99": round(took[len(took) * 99 // 100] * 1e3, 1),
            "longest": round(took[-1] * 1e3),
        },
        "batches": batch,
        "polls": {"answered": len(polled["took"]), "failed": polled["failed"]},
        "flight": _flight(files.data),
        "tick_ms": ticks.took,
        "target_tick_ms": TARGET_TICK_MS,
        "mib": round(mib),
        "target_mib": TARGET_MIB,
        "roles_mib": {role: round(size) for role, size in most.items()},
        "cpu_s": {**spent, "signals": round(said["cpu_s"], 1), "polls": round(polled["cpu_s"], 1)},
        "held": whole
        and not polled["failed"]
        and max(ticks.took) <= TARGET_TICK_MS
        and mib <= TARGET_MIB,
    }


def _read_by_judge(data: Path, batch: int, event: int) -> bool:
    """Whether the judge has read as far as that, at its next tick but one at the latest."""
    store, until = JudgeReader(data), time.monotonic() + 2 * _BUCKET_S + _PATIENCE_S
    try:
        while time.monotonic() < until:
            if store.cursor("batch") >= batch and store.cursor("event") >= event:
                return True
            time.sleep(1)
        return False
    finally:
        store.close()


def _flight(data: Path) -> dict[str, Any]:
    """The newest boarding: its number, its doors' states, cards drawn and treated ones of them."""
    judge, gate = JudgeReader(data), GateReader(data)
    number = max(each.number for each in judge.boardings("bench"))
    cards = [each.place for each in gate.places_of("bench", number) if each.place.deck]
    found = {
        "number": number,
        "doors": [each.state.value for each in judge.doors("bench", number)],
        "cards": len(cards),
        "treated": sum(each.treated for each in cards),
        "cells": len(judge.cells("bench", number)),
        "harmed": len(judge.harmed("bench", number)),
    }
    judge.close()
    gate.close()
    return found


def _cpu_s(tree: Tree) -> dict[str, float]:
    return {role: sum(psutil.Process(pid).cpu_times()[:2]) for role, pid in tree.pids.items()}


if __name__ == "__main__":
    sys.exit(main())
