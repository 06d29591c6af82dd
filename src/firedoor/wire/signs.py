"""Signs of life as the console tells them: when a machine was last heard, and what it said.

The judge keeps the exact account, per boot and for those it judges; this one is for people, on
the wall clock, and for every machine. It begins a bounded stretch before where the judge has
read to, so that a console that starts late does not read a week of heartbeats first.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.signal import Reports, SignalKind, stream_of
from firedoor.ports import Numbered

STRETCH: Final = 5_000
"""Buckets and batches that are read back at the start."""

EVENTS_BACK: Final = 20_000
"""Events that are read back at the start: they tell what harm was, in the sender's own word."""

_ROWS_A_LOOK: Final = 20_000
_MACHINES_KEPT: Final = 50_000
_HARMS_KEPT: Final = 64
_BACK: Final = {"heard": STRETCH, "batch": STRETCH, "event": EVENTS_BACK}


class Signs:
    """Reads what is new each time it is asked to ``listen``. One thread at a time."""

    def __init__(self, bucket_ms: int) -> None:
        """Nothing has been heard; ``bucket_ms`` is the interval of the gate's records."""
        self._bucket_ms = bucket_ms
        self._last: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._cursors: dict[str, int] = {}
        self._pulse = 0
        self._reports: dict[int, Reports] = {}
        self._harms: dict[int, list[tuple[int, str]]] = {}

    def listen(
        self, judge: JudgeReader | None, gate: GateReader | None, signals: SignalReader | None
    ) -> None:
        """Take over what gate and intake have recorded since; a bounded part of it at once."""
        if gate is not None:
            heard = gate.heard_after(self._from(judge, gate, "heard"), _ROWS_A_LOOK)
            for bucket in heard:
                # Heard at some moment of the bucket: at its beginning, as far as anyone knows.
                self._hear(bucket.machines, bucket.at.wall_ms - self._bucket_ms)
            if heard:
                self._cursors["heard"] = heard[-1].seq
        if signals is not None:
            self._listen_to_intake(judge, signals)

    def last_ms(self, machine: int) -> int:
        """Wall clock of the last sign of life in the stretch that was read, 0 for none.

        It may be a bucket early, never late.
        """
        return int(self._last[machine]) if machine < len(self._last) else 0

    def reports(self, machine: int) -> Reports:
        """How it reports to the intake."""
        return self._reports.get(machine, Reports.NOTHING)

    def harm_kind(self, machine: int, stream: str, after_ms: int, upto_ms: int) -> str:
        """Kind of the first signal of a stream in (after_ms, upto_ms], else the stream's name."""
        said = (
            kind
            for at_ms, kind in self._harms.get(machine, ())
            if after_ms < at_ms <= upto_ms and stream_of(SignalKind(kind)) == stream
        )
        return next(said, stream)

    def _listen_to_intake(self, judge: JudgeReader | None, signals: SignalReader) -> None:
        events = signals.events_after(self._from(judge, signals, "event"), _ROWS_A_LOOK)
        for stored in events:
            event = stored.event
            at_ms = event.time_ms if stored.received is None else stored.received.wall_ms
            self._hear([event.machine], at_ms)
            if stream_of(SignalKind(event.kind)) is not None:
                self._note_harm(event.machine, event.kind, at_ms)
        if events:
            self._cursors["event"] = events[-1].seq
        batches = signals.batches_after(self._from(judge, signals, "batch"), _ROWS_A_LOOK)
        for batch in batches:
            self._hear(batch.heartbeats, batch.received.wall_ms)
        if batches:
            self._cursors["batch"] = batches[-1].seq
        for pulse in signals.pulses_after(self._pulse):
            self._pulse = pulse.changed
            self._reports[pulse.machine] = pulse.reports

    def _note_harm(self, machine: int, kind: str, at_ms: int) -> None:
        said = self._harms.setdefault(machine, [])
        said.append((at_ms, kind))
        del said[:-_HARMS_KEPT]
        if len(self._harms) > _MACHINES_KEPT:
            del self._harms[next(iter(self._harms))]

    def _from(self, judge: JudgeReader | None, source: Numbered, name: str) -> int:
        if name not in self._cursors:
            # A database that was replaced may end before where the judge has read to.
            read = 0 if judge is None else min(judge.cursor(name), source.reached()[name])
            self._cursors[name] = max(0, read - _BACK[name])
        return self._cursors[name]

    def _hear(self, machines: Iterable[int], at_ms: int) -> None:
        numbers = np.asarray(machines, np.uint32)
        if not len(numbers):
            return
        highest = int(numbers.max())
        if highest >= len(self._last):
            grown = np.zeros(max(highest + 1, 2 * len(self._last)), np.int64)
            grown[: len(self._last)] = self._last
            self._last = grown
        # A wall clock that was set back must not make a machine look older than it is.
        self._last[numbers] = np.maximum(self._last[numbers], at_ms)
