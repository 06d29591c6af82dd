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
from tests.bench.known_fleet import fill
from tests.bench.whole_tree import files_of, running

TARGET_MIB = 1024


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
        fill(files, machines)
        began = time.monotonic()
        with running(root, files, upstream, patience_s=300.0) as tree:
            start_s = time.monotonic() - began
            time.sleep(5)
            sizes = {role: mib_of(pid) for role, pid in tree.pids.items()}
            # This process is the supervisor, and holds the benchmark's own data as well: the
            # supervisor alone is measured in a fresh interpreter that imports the same.
            sizes["supervisor"] = supervisor_mib()
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


def mib_of(pid: int) -> float:
    """Proportional set size of a process."""
    return float(psutil.Process(pid).memory_full_info().pss) / 2**20


def supervisor_mib() -> float:
    """That of a supervisor that has nothing else in it."""
    code = "import firedoor.cli.run, time; print(flush=True); time.sleep(60)"
    with psutil.Popen([sys.executable, "-c", code], stdout=-1) as process:
        process.stdout.readline()
        size = mib_of(process.pid)
        process.terminate()
    return size


if __name__ == "__main__":
    main()
