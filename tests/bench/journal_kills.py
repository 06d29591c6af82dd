"""Kill the intake again and again while real clients upload journals; every failure counts once.

``python -m tests.bench.journal_kills [--kills N]``, from ``make soak``. Four machines take turns:
each time one's journal has grown by a failure and 2,000 other entries, its client sends it, and the
intake is killed at a random moment. A client that was cut off is started again, as its unit does.
Ends with 1 if a failure is missing or is there twice.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from tests.intake_process import REGISTER, SIGNALS, running
from tests.journals import UNIT_FAILED, Writer, journal_file, upload

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.units import UnixMs

MACHINES = 4
OTHERS = 2_000
LATEST_S = 0.25


class Till:
    """A machine whose journal grows."""

    def __init__(self, folder: Path, number: int, token: str) -> None:
        """Begin its journal a minute ago."""
        self._file = folder / f"{number}.journal"
        self._cursor = folder / f"{number}.cursor"
        self._token = token
        self._journal = Writer(time.time_ns() // 1_000_000 - 60_000, step_ms=1)
        self._journal.boots("a")

    def fails(self, unit: str) -> None:
        """A unit fails, and much else is logged."""
        self._journal.say(**UNIT_FAILED | {"UNIT": unit})
        for _ in range(OTHERS):
            self._journal.say(MESSAGE=b"two\nlines")
        journal_file(self._journal.text(), self._file)
        self._journal.entries.clear()

    def sends(self, port: int) -> bool:
        """Send what there is; whether it was acknowledged."""
        url = f"http://127.0.0.1:{port}/m/{self._token}"
        return upload(url, self._file, self._cursor).returncode == 0


def killed(data: Path, till: Till, after_s: float) -> bool:
    """Let a client send to an intake that is killed meanwhile; whether it was acknowledged."""
    with running(data) as (process, port):
        killing = threading.Timer(after_s, os.kill, (process.pid, signal.SIGKILL))
        killing.start()
        acknowledged = till.sends(port)
        killing.join()
        process.wait()
    return acknowledged


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    given = parser.parse_args()
    dice, acknowledged = random.Random(7), 0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        register = MachineRegister(data / REGISTER, SystemClock())
        made = register.enroll_many([(f"till-{n}", {}) for n in range(MACHINES)], UnixMs(1))
        register.close()
        tills = [Till(data, number, each.signal) for number, each in enumerate(made)]
        for number in range(given.kills):
            till = tills[number % MACHINES]
            till.fails(f"unit-{number}.service")
            if killed(data, till, dice.random() * LATEST_S):
                acknowledged += 1
            else:
                with running(data) as (_, port):
                    assert till.sends(port)
        reader = SignalReader(data / SIGNALS)
        stored = [json.loads(each.event.detail or "{}") for each in reader.events_after(0, 10**6)]
        reader.close()
    counts = Counter(detail["UNIT"] for detail in stored)
    twice = sum(count > 1 for count in counts.values())
    print(
        json.dumps(
            {
                "kills": given.kills,
                "acknowledged_before": acknowledged,
                "failures": len(counts),
                "twice": twice,
            }
        )
    )
    sys.exit(int(twice > 0 or len(counts) != given.kills))


if __name__ == "__main__":
    main()
