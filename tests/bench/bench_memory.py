"""Memory of the whole process tree with a million known machines.

``python -m tests.bench.bench_memory [--machines N]``

Every machine is enrolled, has polled (habits, gaps and standing are on record) and sends
heartbeats; then the tree is started on that data directory and asked once. The figure is the sum
of the proportional set sizes of all its processes, the supervisor included. Prints one JSON line.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import psutil
from tests.bench.whole_tree import files_of, running

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.gate import GateWriter
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalDatabase
from firedoor.core.units import MachineNo
from firedoor.ports import Instant
from firedoor.services.places import AFTERWARDS, Place, Standing
from firedoor.services.records import Bucket
from firedoor.services.roster import Habit
from firedoor.wire.files import Files

TARGET_MIB = 1024
_CHUNK = 100_000


def main() -> None:
    """Fill a data directory, start the tree, add up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=1_000_000)
    machines = parser.parse_args().machines
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        upstream = root / "upstream"
        upstream.mkdir()
        (upstream / "content.bin").write_bytes(os.urandom(65536))
        files = files_of(root)
        _fill(files, machines)
        began = time.monotonic()
        with running(root, files, upstream, patience_s=300.0) as tree:
            start_s = time.monotonic() - began
            time.sleep(5)
            sizes = {role: _mib(pid) for role, pid in tree.pids.items()}
            # This process is the supervisor, and holds the benchmark's own data as well: the
            # supervisor alone is measured in a fresh interpreter that imports the same.
            sizes["supervisor"] = _supervisor_mib()
    print(
        json.dumps(
            {
                "bench": "memory",
                "machines": machines,
                "mib": round(sum(sizes.values())),
                "target_mib": TARGET_MIB,
                "roles_mib": {role: round(size) for role, size in sizes.items()},
                "start_s": round(start_s, 1),
                "python": platform.python_version(),
            }
        )
    )


def _fill(files: Files, machines: int) -> None:
    clock = SystemClock()
    now = clock.now()
    earlier = Instant(now.boot, now.mono_ms, now.wall_ms)
    register = MachineRegister(files.register, clock)
    gate = GateWriter(files.data)
    signals = SignalDatabase(files.signals)
    hour = 3_600_000
    for first in range(1, machines + 1, _CHUNK):
        numbers = range(first, min(first + _CHUNK, machines + 1))
        register.enroll_many([(f"machine-{n:07d}", {}) for n in numbers], now.wall_ms)
        habits = [
            Habit(n, now.wall_ms - 40 * hour, now.wall_ms - n % hour, 40, bytes([143] * 32))
            for n in numbers
        ]
        standings = [Standing("bench", n, 1, now.wall_ms // 1000 - 86_400) for n in numbers]
        places = [
            Place("bench", 1, "everyone", AFTERWARDS, 0, n, True, 0, True, 0) for n in numbers
        ]
        gate.commit(places, (), earlier)
        gate.flush(Bucket("fill", True, (), habits, standings, (), (), 0), earlier)
        signals.mark_beating([MachineNo(n) for n in numbers], beating=True)
        print(f"{numbers[-1]} machines", file=sys.stderr)
    for store in (register, gate, signals):
        store.close()


def _mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / 2**20


def _supervisor_mib() -> float:
    code = "import firedoor.cli.run, time; print(flush=True); time.sleep(60)"
    with psutil.Popen([sys.executable, "-c", code], stdout=-1) as process:
        process.stdout.readline()
        size = _mib(process.pid)
        process.terminate()
    return size


if __name__ == "__main__":
    main()
