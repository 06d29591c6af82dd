"""A data directory that knows a large fleet: enrolled, heard for weeks, and served before."""

import sys
from collections.abc import Callable, Container

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.gate import GateWriter
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.register_schema import Enrolment
from firedoor.adapters.store.signals import SignalDatabase
from firedoor.core.signal import Reports
from firedoor.core.units import MachineNo
from firedoor.ports import Instant
from firedoor.services.places import AFTERWARDS, Place, Standing
from firedoor.services.records import Bucket
from firedoor.services.roster import Habit
from firedoor.wire.files import Files

_CHUNK = 100_000
_HOUR_MS = 3_600_000


def fill(
    files: Files,
    machines: int,
    unserved: Container[int] = (),
    enrolled: Callable[[Enrolment], None] = lambda _: None,
) -> None:
    """Write what gate, intake and register have on record of a fleet.

    Args:
        files: Of an empty data directory.
        machines: How many are enrolled, poll every hour and send heartbeats.
        unserved: Those of them, by number from 1, that have nothing of the channel yet.
        enrolled: Told every one.
    """
    clock = SystemClock()
    now = clock.now()
    earlier = Instant(now.boot, now.mono_ms, now.wall_ms)
    register = MachineRegister(files.register, clock)
    gate = GateWriter(files.data)
    signals = SignalDatabase(files.signals)
    for first in range(1, machines + 1, _CHUNK):
        numbers = range(first, min(first + _CHUNK, machines + 1))
        names: list[tuple[str, dict[str, str]]] = [(f"machine-{n:07d}", {}) for n in numbers]
        for each in register.enroll_many(names, now.wall_ms):
            enrolled(each)
        habits = [
            Habit(
                n,
                now.wall_ms - 40 * _HOUR_MS,
                now.wall_ms - n % _HOUR_MS,
                40,
                bytes([143] * 32),
            )
            for n in numbers
        ]
        served = [n for n in numbers if n not in unserved]
        standings = [Standing("bench", n, 1, now.wall_ms // 1000 - 86_400) for n in served]
        places = [
            Place("bench", 1, "everyone", AFTERWARDS, 0, n, True, 0, Reports.BEATS, 0)
            for n in served
        ]
        gate.commit(places, (), earlier)
        gate.flush(Bucket("fill", True, (), habits, standings, (), (), 0), earlier)
        signals.mark([MachineNo(n) for n in numbers], Reports.BEATS)
        print(f"{numbers[-1]} machines", file=sys.stderr)
    for store in (register, gate, signals):
        store.close()
