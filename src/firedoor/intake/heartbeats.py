"""Heartbeats: which were seen before, which machines send them regularly, and which only tell.

State is a few arrays over the register's dense machine numbers, so a bucket's look at a million
machines is a handful of vector operations. All of it may be lost: after a restart repeated
heartbeats count as new, and machines that were beating are given time to be heard again.

Not safe for threads: used on the event loop alone.
"""

from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from firedoor.core.signal import Reports
from firedoor.core.units import MachineNo, UnixMs

TELLS_MS: Final = 7 * 24 * 3_600_000
"""For so long after something came of a machine it is one whose logs come."""

_REGULAR: Final = 3
"""Heartbeats in a row that make a machine a beating one, and intervals missed that end it."""

# Twice the gap to it still fits 64 bits.
_LONG_AGO: Final = -(2**60)
_UNKNOWN: Final = -(2**62)
_GROWTH: Final = 1_024


class Heartbeats:
    """What is remembered of every machine's heartbeats.

    Attributes:
        interval_ms: The interval machines are told to send heartbeats in.
    """

    def __init__(self, interval_ms: int) -> None:
        """Remember nothing yet.

        Args:
            interval_ms: The interval machines are told to send heartbeats in, > 0.
        """
        self.interval_ms = interval_ms
        self._sent: array[int] = array("q")
        self._behind = np.empty(0, np.int64)
        self._heard = np.empty(0, np.int64)
        self._counted = np.empty(0, np.int64)
        self._row = np.empty(0, np.int8)
        self._told = np.empty(0, np.int64)
        self._reports = np.empty(0, np.uint8)

    def last_sent(self, machine: MachineNo) -> int:
        """Time (as sent, Unix ms) in the machine's last heartbeat, or -1."""
        return self._sent[machine] if machine < len(self._sent) else -1

    def behind(self, machine: MachineNo) -> int | None:
        """By how much the machine's clock was behind ours at its last heartbeat, ms; or None."""
        known = self._behind[machine] if machine < len(self._behind) else _UNKNOWN
        return None if known == _UNKNOWN else int(known)

    def hear(self, sent: Mapping[MachineNo, int], mono_ms: int, wall_ms: UnixMs) -> None:
        """Take note of heartbeats once they are durable.

        A heartbeat counts towards regularity if it came half to two intervals after the last
        that counted. One that came sooner is a burst, a spool being flushed, and says nothing
        about regularity; one that came later begins a new row.

        Args:
            sent: Each machine's time, Unix ms, as sent.
            mono_ms: When they came, monotonic, never falling.
            wall_ms: The same, Unix ms.
        """
        if not sent:
            return
        self._reach(max(sent))
        machines = np.fromiter(sent, np.int64, len(sent))
        times = np.fromiter(sent.values(), np.int64, len(sent))
        # A view for this moment only: an array that is looked at cannot grow.
        np.frombuffer(self._sent, np.int64)[machines] = times
        self._behind[machines] = wall_ms - times
        gap = mono_ms - self._counted[machines]
        counts = 2 * gap >= self.interval_ms
        row = np.where(gap <= 2 * self.interval_ms, self._row[machines] + 1, 1)
        self._row[machines] = np.where(counts, np.minimum(row, _REGULAR), self._row[machines])
        self._counted[machines[counts]] = mono_ms
        self._heard[machines] = mono_ms

    def tell(self, machines: Collection[MachineNo], mono_ms: int) -> None:
        """Take note that something came of these machines: what they tell reaches us.

        Args:
            machines: Of a journal, of logs, or of an event.
            mono_ms: When it came, monotonic, never falling.
        """
        if machines:
            self._reach(max(machines))
            self._told[np.fromiter(machines, np.int64, len(machines))] = mono_ms

    def turns(self, mono_ms: int) -> Mapping[Reports, Sequence[MachineNo]]:
        """Which machines report otherwise than they were last marked, and how they do now.

        Args:
            mono_ms: Now, monotonic.
        """
        fresh = mono_ms - self._heard <= _REGULAR * self.interval_ms
        beats = fresh & ((self._reports == Reports.BEATS) | (self._row >= _REGULAR))
        tells = mono_ms - self._told <= TELLS_MS
        present = np.where(beats, Reports.BEATS, np.where(tells, Reports.TELLS, Reports.NOTHING))
        turned = present != self._reports
        return {how: _numbers(turned & (present == how)) for how in Reports}

    def mark(self, machines: Sequence[MachineNo], reports: Reports) -> None:
        """Take note that these were recorded to report so."""
        if not machines:
            return
        if reports is not Reports.BEATS:
            ceased = self._reports[machines] == Reports.BEATS
            self._row[np.asarray(machines)[ceased]] = 0
        self._reports[machines] = reports

    def resume(self, reporting: Mapping[MachineNo, Reports], mono_ms: int) -> None:
        """Take over how machines reported when the intake stopped, as if heard now."""
        if not reporting:
            return
        self._reach(max(reporting))
        machines = np.fromiter(reporting, np.int64, len(reporting))
        self._reports[machines] = np.fromiter(reporting.values(), np.uint8, len(reporting))
        beating = self._reports == Reports.BEATS
        self._row[beating] = _REGULAR
        self._heard[beating] = self._counted[beating] = mono_ms
        self._told[self._reports == Reports.TELLS] = mono_ms

    def forgive(self, mono_ms: int) -> None:
        """After an outage of our own: count beating machines as heard now.

        They could not be heard, so their silence so far says nothing about them.
        """
        beating = self._reports == Reports.BEATS
        self._heard[beating] = mono_ms
        self._counted[beating] = mono_ms

    def _reach(self, machine: int) -> None:
        missing = machine + 1 - len(self._sent)
        if missing <= 0:
            return
        # Doubling, so that a register filled one by one is not copied each time.
        missing = max(missing, len(self._sent), _GROWTH)
        self._sent.extend([-1] * missing)
        self._behind = np.append(self._behind, np.full(missing, _UNKNOWN))
        self._heard = np.append(self._heard, np.full(missing, _LONG_AGO))
        self._counted = np.append(self._counted, np.full(missing, _LONG_AGO))
        self._row = np.append(self._row, np.zeros(missing, np.int8))
        self._told = np.append(self._told, np.full(missing, _LONG_AGO))
        self._reports = np.append(self._reports, np.zeros(missing, np.uint8))


def _numbers(mask: npt.NDArray[np.bool_]) -> Sequence[MachineNo]:
    return [MachineNo(number) for number in np.flatnonzero(mask).tolist()]
