"""Journals: what ``systemd-journal-upload`` sends, read as it comes in.

A body is one run along the journal up to its end; on a busy machine it may take days. So what is
found is made durable while it comes, and what it says of boots at the end. The client goes back to
where its last answered body ended: whatever it sends again has the same keys.

No entry is ever answered by an error. The client would send it again, for ever.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from firedoor.core.boots import Boots, JournalState
from firedoor.core.definition import Definition, LogSource
from firedoor.core.errors import NotAllowed, Unavailable
from firedoor.core.signal import SignalKind
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.journal import Entry, Scanner
from firedoor.intake.body import ClientLeft, Receive, next_piece
from firedoor.intake.clocks import OLDEST_MS, TOLERATED_MS
from firedoor.intake.reception import Reception
from firedoor.intake.recording import as_text
from firedoor.intake.sorting import Sorted
from firedoor.ports import Identity, Instant, SignalEvent

ALLOWANCE_MS: Final = 10 * 60_000
"""What happened so long before a machine's first upload still counts."""

MAX_UPLOADS: Final = 512
"""Uploads that are read at once. Each holds some hundred kilobytes while it lasts."""

_QUIET_S: Final = 300.0
"""How long a client may be silent in the middle of a body."""

_COMMIT_MS: Final = 5_000
_COMMIT_FOUND: Final = 256

_BOOT: Final = {
    True: SignalKind.BOOT_CLEAN,
    False: SignalKind.BOOT_UNCLEAN,
    None: SignalKind.BOOTED,
}

_SURE: Final = 3
"""Uploads whose last entries show how far a clock is behind: of one it may just be an old entry."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Said:
    """What an entry says happened, before it is clear when that was."""

    kind: str
    key: str
    detail: str
    boot: str
    realtime_ms: int | None
    monotonic_ms: int | None


@dataclass(slots=True)
class _Lag:
    """By how much a machine's last entries were behind our clock: how often in a row, the least."""

    times: int = 0
    least_ms: int = 0


@dataclass(slots=True)
class Upload:
    """One body: what is read of it, and what it says happened.

    Attributes:
        machine: Whose journal it is.
        scanner: Reads it.
        boots: Reads along.
        found: What it says, in its order; boots when they are judged.
        excess: Signals beyond the machine's quota.
    """

    machine: MachineNo
    scanner: Scanner
    boots: Boots
    found: list[Said] = field(default_factory=list)
    excess: int = 0

    def note(self, entries: list[Entry]) -> None:
        """Take note of entries that say something."""
        for entry in entries:
            if entry.boot:
                self.boots.turn(entry.boot, entry.machine, entry.realtime_ms, entry.monotonic_ms)
                if entry.stops or entry.starts:
                    self.boots.stopped(entry.boot, stopped=entry.stops)
            if entry.means is not None:
                self.found.append(_said(entry, entry.means))

    def judge(self, *, at_end: bool) -> None:
        """Say of the boots that can be judged by now how the one before ended."""
        for turn, clean in self.boots.judged(at_end=at_end):
            kind = _BOOT[clean]
            before = {"before": turn.before} if turn.before else {}
            detail = as_text({"signal": kind.value, "boot": turn.boot} | before)
            self.found.append(
                Said(kind.value, turn.boot, detail, turn.boot, turn.realtime_ms, turn.monotonic_ms)
            )


class Journals:
    """Takes uploads. For one event loop."""

    def __init__(
        self,
        reception: Reception,
    ) -> None:
        """Prepare for its definitions."""
        self._reception = reception
        self._rows = reception.definitions.of(LogSource.JOURNAL)
        self._open = 0
        self._lags: dict[MachineNo, _Lag] = {}

    async def take(self, identity: Identity, receive: Receive) -> None:
        """Read a body to its end; what it says is durable on return.

        Raises:
            NotAllowed: It is a collector's: whose entries these are cannot be told.
            Unavailable: Too much is going on, nothing can be stored, or the client fell silent.
            ClientLeft: The body broke off; what was found in it is durable.
        """
        if identity.machine is None:
            raise NotAllowed(
                "a journal is uploaded by the machine whose it is",
                hint="use the machine's own signal token",
            )
        if self._open >= MAX_UPLOADS:
            raise Unavailable("too many journals are being received", hint="send it again later")
        self._open += 1
        try:
            await self._take(identity.machine, receive)
        finally:
            self._open -= 1

    async def _take(self, machine: MachineNo, receive: Receive) -> None:
        before = await self._state(machine)
        upload = Upload(machine, Scanner(self._rows), Boots(before))
        since_ms, more = self._reception.clock.now().mono_ms, True
        while more:
            try:
                async with asyncio.timeout(_QUIET_S):
                    piece, more = await next_piece(receive)
            except TimeoutError:
                raise Unavailable(f"nothing came for {_QUIET_S:.0f} s") from None
            except ClientLeft:
                upload.note(upload.scanner.end())
                with suppress(Unavailable):
                    await self._store(upload)
                raise
            upload.note(upload.scanner.feed(piece))
            now_ms = self._reception.clock.monotonic_ms()
            if len(upload.found) >= _COMMIT_FOUND or now_ms - since_ms >= _COMMIT_MS:
                since_ms = now_ms
                upload.judge(at_end=False)
                await self._store(upload)
        upload.note(upload.scanner.end())
        upload.judge(at_end=True)
        self._compare(upload)
        known = upload.boots.known()
        await self._store(upload, None if known == before else known)

    async def _state(self, machine: MachineNo) -> JournalState:
        """What is known of the machine's journal; at the first upload that it begins now."""
        known = await self._reception.commit.run(
            partial(self._reception.commit.store.journal, machine)
        )
        if known is None:
            known = JournalState(self._reception.clock.now().wall_ms)
            # Before anything of it is read: an upload that breaks off must not move it.
            await self._reception.commit.append(Sorted(journals={machine: known}))
        return known

    async def _store(self, upload: Upload, known: JournalState | None = None) -> None:
        """Make durable what was found so far, and what is to be remembered if it changed."""
        sorted_ = Sorted()
        if upload.found:
            received = self._reception.clock.now()
            self._reception.quota.turn(received.mono_ms)
            newest = upload.scanner.newest()
            for found in upload.found:
                self._sort(upload, found, newest, received, sorted_)
            upload.found.clear()
        if known is not None:
            sorted_.journals[upload.machine] = known
        if sorted_.events or sorted_.journals:
            await self._reception.commit.append(sorted_)
        if sorted_.excess:
            _log.info("intake.journal_excess", machine=upload.machine, events=sorted_.excess)

    def _sort(
        self,
        upload: Upload,
        found: Said,
        newest: Entry | None,
        received: Instant,
        into: Sorted,
    ) -> None:
        said = found.realtime_ms
        time = self._happened(upload.machine, found, newest, received.wall_ms)
        oldest = max(upload.boots.state.since_ms - ALLOWANCE_MS, received.wall_ms - OLDEST_MS)
        if time < oldest:
            return
        if not self._reception.quota.take(upload.machine, found.kind, found.key):
            into.excess += 1
            return
        shift = 0 if said is None else time - said
        into.events.append(
            SignalEvent(upload.machine, found.kind, time, found.key, found.detail, shift)
        )

    def _happened(
        self, machine: MachineNo, found: Said, newest: Entry | None, received_ms: UnixMs
    ) -> UnixMs:
        """When it happened, by our clock, as well as can be told."""
        time = found.realtime_ms
        if time is None:
            return received_ms
        # The clock may have been set right since: what it shows now, less the time that passed.
        if newest is not None and newest.boot == found.boot:
            passed = _difference(newest.monotonic_ms, found.monotonic_ms)
            if passed is not None and newest.realtime_ms is not None:
                time = newest.realtime_ms - passed
        behind = self._reception.heartbeats.behind(machine)
        if behind is None:
            behind = self._behind(machine, newest, received_ms)
        if abs(behind) > TOLERATED_MS:
            time += behind
        return UnixMs(min(max(time, 0), received_ms))

    def _behind(self, machine: MachineNo, newest: Entry | None, received_ms: UnixMs) -> int:
        if newest is not None and newest.realtime_ms is not None:
            ahead = newest.realtime_ms - received_ms
            if ahead > 0:
                return -ahead
        lag = self._lags.get(machine)
        return lag.least_ms if lag is not None and lag.times >= _SURE else 0

    def _compare(self, upload: Upload) -> None:
        """At the end of a body the machine's last entry is about as old as its clock is behind."""
        newest = upload.scanner.newest()
        if newest is None or newest.realtime_ms is None:
            return
        lag_ms = self._reception.clock.now().wall_ms - newest.realtime_ms
        if lag_ms <= TOLERATED_MS:
            self._lags.pop(upload.machine, None)
            return
        lag = self._lags.setdefault(upload.machine, _Lag(0, lag_ms))
        lag.times += 1
        lag.least_ms = min(lag.least_ms, lag_ms)


def _said(entry: Entry, means: Definition) -> Said:
    return Said(
        means.kind.value,
        entry.key,
        as_text(means.kept(entry.fields)),
        entry.boot,
        entry.realtime_ms,
        entry.monotonic_ms,
    )


def _difference(later: int | None, earlier: int | None) -> int | None:
    return None if later is None or earlier is None else later - earlier
