"""Life: when each machine was last heard, and since when Firedoor has listened."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firedoor.services.pools import Mask


class Life:
    """When each machine was last heard, and since when Firedoor has listened without a break.

    All times are monotonic milliseconds of the present boot; nothing of an earlier boot is kept,
    so no window ever spans a reboot of the host, a crash of the gate or a pause of the intake:
    it begins again after them, and a restart never looks like harm.
    """

    def __init__(self, bucket_ms: int) -> None:
        """Start with nothing heard; ``bucket_ms`` is the interval of the listeners' records."""
        self._bucket_ms = bucket_ms
        self._last: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._gate = _Uptime(3 * bucket_ms)
        self._intake = _Uptime(3 * bucket_ms)

    @property
    def until(self) -> int:
        """Everything that the gate heard until this moment is known, ms; -1 before anything."""
        return self._gate.until

    def heard_by_gate(
        self, run: str, mono_ms: int, machines: NDArray[np.uint32], *, final: bool
    ) -> None:
        """Take over one bucket of the gate."""
        self._gate.extend(run, mono_ms, final=final)
        self._heard(machines, mono_ms)

    def heard_by_intake(self, mono_ms: int, machines: Sequence[int]) -> None:
        """Take over one batch of signals."""
        self._heard(np.asarray(machines, np.uint32), mono_ms)

    def intake_listened(self, mono_ms: int) -> None:
        """Take over one record of the intake's own life."""
        # What the intake acknowledged is durable, so only a pause breaks its stretch.
        self._intake.extend("", mono_ms, final=True)

    def last(self, machine: int) -> int:
        """When this machine was last heard, 0 for never in this boot."""
        return int(self._last[machine]) if machine < len(self._last) else 0

    def silent(self, machines: NDArray[np.uint32], since: int) -> Mask:
        """Which of these machines were not heard after ``since``."""
        if len(machines):
            self._reach(int(machines.max()))
        quiet: Mask = self._last[machines] <= since
        return quiet

    def window(self, after: int, *, intake: bool) -> int | None:
        """Where the silence window of a pool begins.

        Args:
            after: Earliest begin, ms: the cut and the time to settle.
            intake: Heartbeats count for these members, so the intake must have listened too.

        Returns:
            Monotonic ms; later than ``after`` when a listener was away; None while one is.
            One bucket is added, since a sign of life is known to the bucket only.
        """
        since = [self._gate.since]
        if intake:
            if self._intake.until < self.until - 3 * self._bucket_ms:
                return None
            since.append(self._intake.since)
        if min(since) < 0:
            return None
        return max(after, *since) + self._bucket_ms

    def _heard(self, machines: NDArray[np.uint32], mono_ms: int) -> None:
        if not len(machines):
            return
        self._reach(int(machines.max()))
        self._last[machines] = np.maximum(self._last[machines], mono_ms)

    def _reach(self, machine: int) -> None:
        if machine >= len(self._last):
            more = max(machine + 1, 2 * len(self._last)) - len(self._last)
            self._last = np.pad(self._last, (0, more))


class _Uptime:
    """The present unbroken stretch in which one process listened."""

    def __init__(self, slack_ms: int) -> None:
        self._slack_ms = slack_ms
        self._run = ""
        self._final = False
        self.since = -1
        self.until = -1

    def extend(self, run: str, mono_ms: int, *, final: bool) -> None:
        late = self.until < 0 or mono_ms - self.until > self._slack_ms
        # Another run after one that was killed: what it heard in its last bucket is lost.
        broken = run != self._run and not self._final
        if late or broken:
            self.since = mono_ms
        self._run, self._final = run, final
        self.until = max(self.until, mono_ms)
