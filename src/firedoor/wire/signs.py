"""Signs of life as the console tells them: when a machine was last heard, and what it said.

The judge keeps the exact account, per boot and for those it judges; this one is for people, on
the wall clock, and for every machine. It begins a bounded stretch before where the judge has
read to, so that a console that starts late does not read a week of heartbeats first.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.signal import SignalKind, stream_of

STRETCH: Final = 5_000
"""Rows of each kind that are read back at the start, and at most in one look."""

_EVENTS_KEPT: Final = 50_000


class Signs:
    """Reads what is new each time it is asked to ``listen``. One thread at a time."""

    def __init__(self) -> None:
        """Nothing has been heard."""
        self._last: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._cursors: dict[str, int] = {}
        self._pulse = 0
        self._beating: set[int] = set()
        self._harms: deque[tuple[int, str, int]] = deque(maxlen=_EVENTS_KEPT)

    def listen(
        self, judge: JudgeReader | None, gate: GateReader | None, signals: SignalReader | None
    ) -> None:
        """Take over what gate and intake have recorded since; at most ``STRETCH`` rows of each."""
        if gate is not None:
            heard = gate.heard_after(self._from(judge, "heard"), STRETCH)
            for bucket in heard:
                self._hear(bucket.machines, bucket.at.wall_ms)
            if heard:
                self._cursors["heard"] = heard[-1].seq
        if signals is not None:
            self._listen_to_intake(judge, signals)

    def last_ms(self, machine: int) -> int | None:
        """Wall clock of the last sign of life in the stretch that was read, or None."""
        last = int(self._last[machine]) if machine < len(self._last) else 0
        return last or None

    def beats(self, machine: int) -> bool:
        """Say whether its regular heartbeats reach the intake."""
        return machine in self._beating

    def harm_kind(self, machine: int, stream: str, after_ms: int, upto_ms: int) -> str:
        """Kind of the first signal of a stream in (after_ms, upto_ms], else the stream's name."""
        for no, kind, at_ms in self._harms:
            if (
                no == machine
                and after_ms < at_ms <= upto_ms
                and stream_of(SignalKind(kind)) == stream
            ):
                return kind
        return stream

    def _listen_to_intake(self, judge: JudgeReader | None, signals: SignalReader) -> None:
        events = signals.events_after(self._from(judge, "event"), STRETCH)
        for stored in events:
            event = stored.event
            at_ms = event.time_ms if stored.received is None else stored.received.wall_ms
            self._hear([event.machine], at_ms)
            if stream_of(SignalKind(event.kind)) is not None:
                self._harms.append((event.machine, event.kind, at_ms))
        if events:
            self._cursors["event"] = events[-1].seq
        batches = signals.batches_after(self._from(judge, "batch"), STRETCH)
        for batch in batches:
            self._hear(batch.heartbeats, batch.received.wall_ms)
        if batches:
            self._cursors["batch"] = batches[-1].seq
        for pulse in signals.pulses_after(self._pulse):
            self._pulse = pulse.changed
            (self._beating.add if pulse.beating else self._beating.discard)(pulse.machine)

    def _from(self, judge: JudgeReader | None, name: str) -> int:
        if name not in self._cursors:
            read = 0 if judge is None else judge.cursor(name)
            self._cursors[name] = max(0, read - STRETCH)
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
