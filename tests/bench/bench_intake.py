"""Signals per second through the real intake: HTTP in, rows on disk out.

``python -m tests.bench.bench_intake [--signals N] [--connections C] [--repeat R]``

A collector posts batches of 1,000 NDJSON lines over loopback to the real process, which answers
when they are durable. The figure that counts is the CPU time of the server process, threads of
server and store included: the client of this benchmark works on another core. What the server
says it accepted is compared with what the database holds.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil
from tests.intake_process import REGISTER, SIGNALS, running

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.units import UnixMs

LINES = 1_000
MACHINES = 100_000
MIXES = {"5 % events": 0.05, "heartbeats only": 0.0, "events only": 1.0}
EVENT_KINDS = ("boot-clean", "boot-unclean", "service-failed", "check-failed")


def bodies(count: int, events: float, start_ms: int, dice: random.Random) -> Iterator[bytes]:
    """Batches as a collector sends them: every machine in turn, in both forms of time."""
    number = 0
    for _ in range(count):
        lines = []
        for _ in range(LINES):
            number += 1
            machine = f"host-{number % MACHINES:06d}"
            time_ms = start_ms + number
            if dice.random() < events:
                kind = dice.choice(EVENT_KINDS)
                lines.append(
                    f'{{"machine":"{machine}","time":{time_ms},"kind":"{kind}",'
                    f'"id":"{dice.getrandbits(64):016x}","detail":{{"unit":"sensor.service"}}}}'
                )
            else:
                lines.append(f'{{"machine":"{machine}","time":{time_ms},"kind":"heartbeat"}}')
        yield "\n".join(lines).encode()


async def post_all(port: int, token: str, batches: Sequence[bytes], connections: int) -> int:
    """Post all batches over some connections; return how many signals were accepted."""
    waiting = iter(batches)
    accepted = 0

    async def one_connection() -> None:
        nonlocal accepted
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            writer.write(
                b"POST /v1/signals HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer %s\r\n"
                b"content-length: %d\r\n\r\n" % (token.encode(), len(body))
            )
            writer.write(body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            answer = json.loads(await reader.readexactly(length))
            accepted += answer["accepted"]
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one_connection() for _ in range(connections)))
    return accepted


def measure(signals: int, connections: int, events: float) -> dict[str, float]:
    """Run one mix against a fresh server and a fresh database."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        register = MachineRegister(data / REGISTER, SystemClock())
        now = UnixMs(time.time_ns() // 1_000_000)
        register.enroll_many(((f"host-{i:06d}", {}) for i in range(MACHINES)), now)
        token = register.enroll_collector("bench", ["host-*"], now)
        register.close()
        dice = random.Random(20240719)
        # One batch for each machine first: a collector's names are looked up once in its life.
        warm = list(bodies(MACHINES // LINES, 0.0, now - 2_000_000, dice))
        batches = list(bodies(signals // LINES, events, now - 1_000_000, dice))
        with running(data) as (process, port):
            asyncio.run(post_all(port, token, warm, connections))
            server = psutil.Process(process.pid)
            before, start = server.cpu_times(), time.perf_counter()
            accepted = asyncio.run(post_all(port, token, batches, connections))
            wall, after = time.perf_counter() - start, server.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        reader = SignalReader(data / SIGNALS)
        commits = len(reader.batches_after(0, 10**9))
        stored = len(reader.events_after(0, 10**9))
        reader.close()
        assert accepted == len(batches) * LINES
        assert stored <= accepted
        return {
            "signals": accepted,
            "events": stored,
            "commits": commits,
            "cpu_us_per_signal": round(cpu / accepted * 1e6, 2),
            "signals_per_core_second": round(accepted / cpu),
            "signals_per_second": round(accepted / wall),
        }


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--signals", type=int, default=500_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    results = {
        mix: [measure(given.signals, given.connections, events) for _ in range(given.repeat)]
        for mix, events in MIXES.items()
    }
    print(
        json.dumps(
            {
                "bench": "intake",
                "lines": LINES,
                "machines": MACHINES,
                "connections": given.connections,
                "results": {
                    mix: sorted(runs, key=lambda run: run["cpu_us_per_signal"])[len(runs) // 2]
                    for mix, runs in results.items()
                },
                "versions": {
                    "python": platform.python_version(),
                    "sqlite": sqlite3.sqlite_version,
                    **{name: version(name) for name in ("granian", "msgspec", "numpy", "uvloop")},
                },
                "cores": os.cpu_count(),
            }
        )
    )


if __name__ == "__main__":
    main()
