"""Bytes an inventory takes: ``python -m tests.bench.bench_inventory [--machines N]``.

A made-up fleet of Debian servers: 500 packages each, from a pool of 3,000 names in four versions.
Two fleets: in one there are forty images in five states of patching; in the other every machine
also has three packages that it was given by hand, so that hardly two lists are the same.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from pathlib import Path

from firedoor.adapters.store.signals import SignalDatabase
from firedoor.core.units import MachineNo, UnixMs
from firedoor.intake.inventories import Inventories

AT = UnixMs(1_721_362_140_000)
POOL, PACKAGES, IMAGES, STATES, OWN = 3_000, 500, 40, 5, 3


def main() -> None:
    """Measure both fleets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=100_000)
    machines = parser.parse_args().machines
    for own in (0, OWN):
        print(json.dumps(measured(machines, own)))


def measured(machines: int, own: int) -> dict[str, object]:
    """Store a fleet's inventory; what it takes."""
    draw = random.Random(7)
    images = [draw.sample(range(POOL), PACKAGES) for _ in range(IMAGES)]
    known = Inventories()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "intake.db"
        store = SignalDatabase(path)
        empty = path.stat().st_size
        began = time.process_time()
        for number in range(1, machines + 1):
            machine, state = MachineNo(number), draw.randrange(STATES)
            names = draw.choice(images) + [POOL + draw.randrange(POOL) for _ in range(own)]
            known.take(machine, "deb_packages", [_package(n, state) for n in names], AT)
            known.take(machine, "os_version", [{"name": "Debian", "version": f"12.{state}"}], AT)
            known.take(machine, "kernel_info", [{"version": f"6.1.0-{20 + state}"}], AT)
            model = {"hardware_model": f"R6{draw.randrange(20)}0"}
            known.take(machine, "system_info", [model], AT)
            if known.full:
                store.keep_inventories(*known.drain())
        store.keep_inventories(*known.drain())
        took = time.process_time() - began
        store.close()
        size = path.stat().st_size - empty
    return {
        "machines": machines,
        "own_packages": own,
        "bytes_a_machine": round(size / machines, 1),
        "cpu_ms_a_machine": round(1_000 * took / machines, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _package(number: int, state: int) -> dict[str, str]:
    # A tenth of the packages change from one state of patching to the next.
    patched = state if number % 10 == 0 else 0
    return {"name": f"package-{number}", "version": f"1.{number % 7}-{patched}", "arch": "amd64"}


if __name__ == "__main__":
    main()
