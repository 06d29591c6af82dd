"""The roster: what the gate remembers of every machine, in flat arrays.

One row per register number, about 90 bytes: a million machines fit in 90 MB and a poll costs a
few array reads. What must survive a crash is written elsewhere: places before the first byte,
the rest once a bucket. Losing the last bucket costs one re-learned gap, never a record.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from firedoor.core import silence
from firedoor.core.signal import Reports

_SECOND_SESSION = 2
_FLIPS_OF_A_CLONE = 4
_INTERLEAVED_MS = 600_000
_SPREAD_SAMPLE = 1000
_ROWS_A_CHUNK = 5_000
_T = TypeVar("_T")
_GAP_OF_CODE = np.array([0, *(silence.gap_of_code(code) for code in range(1, 256))], np.int64)


class Habit(NamedTuple):
    """What is kept of one machine over restarts.

    A tuple: see ``places.Standing``.

    Attributes:
        machine: Register number.
        first_wall: Wall clock of its first session, ms.
        last_wall: Wall clock of its last session start, ms.
        sessions: Sessions begun, count.
        gaps: Codes of the last gaps between session starts (``silence.gap_code``).
    """

    machine: int
    first_wall: int
    last_wall: int
    sessions: int
    gaps: bytes


class Roster:
    """Habits and signs of life of all machines, by register number."""

    first: NDArray[np.int64]
    start: NDArray[np.int64]
    last: NDArray[np.int64]
    deadline: NDArray[np.int64]
    address_since: NDArray[np.int64]
    sessions: NDArray[np.uint32]
    address: NDArray[np.uint32]
    other_address: NDArray[np.uint32]
    flips: NDArray[np.uint8]
    cloned: NDArray[np.uint8]
    benched: NDArray[np.uint8]
    reports: NDArray[np.uint8]
    heard: NDArray[np.uint8]
    gaps: NDArray[np.uint8]

    def __init__(self, *, heartbeat_ms: int, silence_min_ms: int, cold_ms: int) -> None:
        """Start empty.

        Args:
            heartbeat_ms: Configured heartbeat interval, ms.
            silence_min_ms: Shortest silence deadline, ms.
            cold_ms: Deadline of a stratum of which nothing is known yet, ms.
        """
        self._beat_deadline_ms = silence.heartbeat_deadline(heartbeat_ms, silence_min_ms)
        self._silence_min_ms = silence_min_ms
        self._stratum_ms = max(cold_ms, silence_min_ms)
        self._spread = 1.0
        self.usual_gap_ms = 0
        self._size = 0
        self._heard: list[int] = []
        self._changed: set[int] = set()
        self._allocate(1024)

    def __len__(self) -> int:
        """Rows allocated."""
        return self._size

    def grow(self, machine: int) -> None:
        """Make sure that register number ``machine`` has a row."""
        if machine >= self._size:
            self._allocate(max(machine + 1, self._size * 2))

    def restore(
        self,
        habits: Iterable[Habit],
        *,
        mono_ms: int,
        wall_ms: int,
        outages: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Load what the last run kept; wall-clock distances become monotonic ones.

        Args:
            habits: One a machine.
            mono_ms: Monotonic clock.
            wall_ms: Wall clock.
            outages: From when to when nobody listened, wall clock. That time is no part of a
                gap: deadlines run on our up-clock, so an outage of ours must not lengthen them.
        """
        for some in chunks(habits):
            *columns, codes = zip(*some, strict=True)
            numbers, first, last, sessions = (np.array(column, np.int64) for column in columns)
            self.grow(int(numbers.max()))
            self.first[numbers] = mono_ms - np.maximum(0, wall_ms - first)
            down = sum(np.clip(end - np.maximum(last, begin), 0, None) for begin, end in outages)
            age = np.maximum(0, wall_ms - last)
            self.start[numbers] = mono_ms - np.maximum(0, age - down)
            self.sessions[numbers] = sessions
            gaps = b"".join(each.ljust(silence.GAPS_KEPT, b"\0") for each in codes)
            self.gaps[numbers] = np.frombuffer(gaps, np.uint8).reshape(-1, silence.GAPS_KEPT)
            self._learn_all(numbers)
        self.relearn()

    def touch(self, machine: int, now: int) -> None:
        """Note a sign of life on any channel."""
        self.last[machine] = now
        if not self.heard.item(machine):
            self.heard[machine] = 1
            self._heard.append(machine)

    def begin_session(self, machine: int, now: int) -> None:
        """Note the start of a session: learn the gap and renew the deadline."""
        sessions = self.sessions.item(machine)
        if sessions:
            gap = now - self.start.item(machine)
            self.gaps[machine, sessions % silence.GAPS_KEPT] = silence.gap_code(gap)
        else:
            self.first[machine] = now
        self.sessions[machine] = sessions + 1
        self.start[machine] = now
        self._changed.add(machine)
        self._learn(machine)

    def deadline_class(self, machine: int) -> int:
        """Class of the machine's silence deadline, fixed by its past."""
        return silence.deadline_class(self._deadline_of(machine), self._silence_min_ms)

    def seasoned(self, machine: int, now: int) -> bool:
        """Say whether it is in its second session or later, a deadline after the first."""
        if self.sessions.item(machine) < _SECOND_SESSION:
            return False
        if self.cloned.item(machine) or self.benched.item(machine):
            return False
        return now - self.first.item(machine) >= self._deadline_of(machine)

    def all_seasoned(self, now: int) -> NDArray[np.bool_]:
        """The same of every row at once, shape (rows,)."""
        own = np.where(self.deadline > 0, self.deadline, self._stratum_ms)
        limit = np.where(self.reports == Reports.BEATS, self._beat_deadline_ms, own)
        enough = (self.sessions >= _SECOND_SESSION) & self.comparable()
        seasoned: NDArray[np.bool_] = enough & (now - self.first >= limit)
        return seasoned

    def comparable(self) -> NDArray[np.bool_]:
        """Rows that may be in an arm: no clones, nobody in the penalty box; shape (rows,)."""
        fit: NDArray[np.bool_] = (self.cloned | self.benched) == 0
        return fit

    def bench(self, machines: Sequence[int]) -> None:
        """Take over who is in the penalty box."""
        self.grow(max(machines, default=0))
        self.benched[:] = 0
        self.benched[list(machines)] = 1

    def seen_from(self, machine: int, address: int, now: int) -> None:
        """Note the client address (a hash). Interleaved addresses mean a cloned identity."""
        known = self.address.item(machine)
        if known == address:
            return
        if known and address == self.other_address.item(machine):
            interleaved = now - self.address_since.item(machine) < _INTERLEAVED_MS
            flips = self.flips.item(machine) + 1 if interleaved else 1
            self.flips[machine] = min(flips, _FLIPS_OF_A_CLONE)
            if flips >= _FLIPS_OF_A_CLONE:
                self.cloned[machine] = 1
        self.other_address[machine] = known
        self.address[machine] = address
        self.address_since[machine] = now

    def set_reports(self, machine: int, reports: Reports) -> None:
        """Note how a machine reports to the intake from now on."""
        self.grow(machine)
        self.reports[machine] = reports

    def drain_heard(self) -> list[int]:
        """Machines heard since the last call, each once."""
        heard, self._heard = self._heard, []
        self.heard[heard] = 0
        return heard

    def drain_habits(self, *, mono_ms: int, wall_ms: int) -> list[Habit]:
        """Habits that changed since the last call, by machine."""
        numbers = np.sort(np.fromiter(self._changed, np.int64, len(self._changed)))
        self._changed = set()
        shift, kept = wall_ms - mono_ms, silence.GAPS_KEPT
        gaps = self.gaps[numbers].tobytes()
        return [
            Habit(machine, first, last, sessions, gaps[at : at + kept])
            for machine, first, last, sessions, at in zip(
                numbers.tolist(),
                (self.first[numbers] + shift).tolist(),
                (self.start[numbers] + shift).tolist(),
                self.sessions[numbers].tolist(),
                range(0, len(gaps), kept),
                strict=True,
            )
        ]

    def relearn(self) -> None:
        """Renew what the stratum knows: the spread of gaps and the cold deadline.

        Reads a bounded sample, evenly spaced, so its cost does not grow with the fleet.
        """
        known = np.flatnonzero(self.deadline)
        if not len(known):
            return
        sample = known[:: max(1, len(known) // _SPREAD_SAMPLE)]
        gaps = [self._gaps_of(int(no)) for no in sample]
        medians = [some[len(some) // 2] for some in gaps]
        self._spread = silence.spread_of(
            [gap / median for some, median in zip(gaps, medians, strict=True) for gap in some]
        )
        self.usual_gap_ms = sorted(medians)[len(medians) // 2]
        own = np.sort(self.deadline[sample])
        self._stratum_ms = int(own[min(len(own) - 1, int(0.99 * len(own)))])

    def _deadline_of(self, machine: int) -> int:
        if self.reports.item(machine) == Reports.BEATS:
            return self._beat_deadline_ms
        return self.deadline.item(machine) or self._stratum_ms

    def _learn(self, machine: int) -> None:
        if self.sessions.item(machine) > silence.GAPS_NEEDED:
            self.deadline[machine] = silence.deadline(
                self.gaps[machine].tolist(),
                self._spread,
                cold_ms=self._stratum_ms,
                silence_min_ms=self._silence_min_ms,
            )

    def _learn_all(self, numbers: NDArray[np.int64]) -> None:
        """``_learn`` of many machines at once."""
        codes = np.sort(self.gaps[numbers], axis=1)
        known = np.count_nonzero(codes, axis=1)
        middle = silence.GAPS_KEPT - known + known // 2
        median = codes[np.arange(len(numbers)), np.minimum(middle, silence.GAPS_KEPT - 1)]
        usual = np.ceil(_GAP_OF_CODE[median] * self._spread).astype(np.int64)
        own = np.maximum(np.maximum(_GAP_OF_CODE[codes[:, -1]], usual), self._silence_min_ms)
        learned = self.sessions[numbers] > silence.GAPS_NEEDED
        self.deadline[numbers] = np.where(learned & (known >= silence.GAPS_NEEDED), own, 0)

    def _gaps_of(self, machine: int) -> Sequence[int]:
        return sorted(silence.gap_of_code(code) for code in self.gaps[machine].tolist() if code)

    def _allocate(self, size: int) -> None:
        long = (("first", "start", "last", "deadline", "address_since"), np.int64)
        word = (("sessions", "address", "other_address"), np.uint32)
        byte = (("flips", "cloned", "benched", "reports", "heard"), np.uint8)
        for names, dtype in (long, word, byte):
            for name in names:
                self._extend(name, np.zeros(size, dtype))
        self._extend("gaps", np.zeros((size, silence.GAPS_KEPT), np.uint8))
        self._size = size

    def _extend(self, name: str, fresh: NDArray[np.generic]) -> None:
        if self._size:
            fresh[: self._size] = getattr(self, name)
        setattr(self, name, fresh)


def chunks(rows: Iterable[_T]) -> Iterator[list[_T]]:
    """Rows of a store in portions that are worth a numpy call and take little memory."""
    rest = iter(rows)
    while some := list(islice(rest, _ROWS_A_CHUNK)):
        yield some
