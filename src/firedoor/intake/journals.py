"""Journals: what ``systemd-journal-upload`` sends, read as it comes in.

A body is one run along the journal up to its end; on a busy machine it may take days. So what is
found is made durable while it comes, and what it says of boots at the end. The client goes back to
where its last answered body ended: whatever it sends again has the same keys.

A collector's body is of all the machines whose journals it has gathered. Their machine ids say
whose entry each is; entries of machines that it may not speak for are passed over.

No entry is ever answered by an error. The client would send it again, for ever.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from firedoor.core.boots import Boots, JournalState
from firedoor.core.definition import Definition, LogSource
from firedoor.core.errors import TooMuch, Unavailable
from firedoor.core.host_id import HostIdKind
from firedoor.core.machine import redact
from firedoor.core.signal import SignalKind
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.journal import Entry, Scanner
from firedoor.intake.body import ClientLeft, Receive, next_piece
from firedoor.intake.clocks import OLDEST_MS, TOLERATED_MS
from firedoor.intake.reception import Reception
from firedoor.intake.recording import as_text
from firedoor.intake.sorting import Sorted
from firedoor.intake.voices import Voice
from firedoor.ports import Identity, Instant, SignalEvent

ALLOWANCE_MS: Final = 10 * 60_000
"""What happened so long before a machine's first upload still counts."""

MAX_UPLOADS: Final = 512
"""Uploads that are read at once. Each holds some hundred kilobytes while it lasts."""

MAX_UPLOADS_OF_ONE: Final = 4
"""A machine has one; one that was cut off may be noticed later than the next has begun."""

MAX_UPLOADS_OF_A_COLLECTOR: Final = MAX_UPLOADS // 4

_QUIET_S: Final = 300.0
"""How long a client may be silent in the middle of a body."""

_COMMIT_MS: Final = 5_000
_COMMIT_FOUND: Final = 256

_ID_CHARACTERS: Final = 32
"""Of a machine id; what is longer is none, and is not kept."""

_MOST_MACHINES: Final = 1_000
"""Of whom something is remembered at once while a collector's body is read."""

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
class Told:
    """What a body tells of one machine.

    Attributes:
        machine: Whose journal it is.
        before: What was known of it.
        boots: What it tells of its boots.
        found: What was found and is not stored yet.
    """

    machine: MachineNo
    before: JournalState
    boots: Boots
    found: list[Said] = field(default_factory=list)

    def note(self, entry: Entry) -> None:
        """Take note of an entry that says something."""
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


@dataclass(slots=True)
class Upload:
    """One body: of one machine, or of all those whose journals a collector has gathered.

    Attributes:
        voice: Whom its sender may speak for.
        scanner: Reads it.
        told: What it tells, by machine.
        heard: Machines of which an entry came since this was last taken note of.
        strangers: Machine ids of entries that were not taken, and how many of each.
    """

    voice: Voice
    scanner: Scanner
    told: dict[MachineNo, Told] = field(default_factory=dict)
    heard: set[MachineNo] = field(default_factory=set)
    strangers: Counter[str] = field(default_factory=Counter)
    _known: dict[str, MachineNo | None] = field(default_factory=dict)

    def machine_of(self, entry: Entry) -> MachineNo | None:
        """Whose entry it is; None: the sender may not speak for it.

        A machine's own token speaks for it, whatever stands in its journal: containers have ids
        of their own, and so have images that were cloned.
        """
        own = self.voice.identity.machine
        if own is not None:
            return own
        if len(entry.machine) != _ID_CHARACTERS:
            return None
        if len(self._known) > _MOST_MACHINES:
            self.forget()
        if entry.machine not in self._known:
            known = self.voice.called((HostIdKind.MACHINE_ID,), entry.machine)
            self._known[entry.machine] = None if known is None else known[0]
        return self._known[entry.machine]

    def forget(self) -> None:
        """Look machines up anew: a body may take days, and the register changes."""
        self._known.clear()


class Journals:
    """Takes uploads. For one event loop."""

    def __init__(self, reception: Reception) -> None:
        """Prepare for its definitions."""
        self._reception = reception
        self._rows = reception.definitions.of(LogSource.JOURNAL)
        self._open: Counter[Identity] = Counter()
        self._lags: dict[MachineNo, _Lag] = {}

    async def take(self, identity: Identity, receive: Receive) -> None:
        """Read a body to its end; what it says is durable on return.

        Raises:
            TooMuch: The sender has as many under way as it may.
            Unavailable: Too much is going on, nothing can be stored, or the client fell silent.
            ClientLeft: The body broke off; what was found in it is durable.
        """
        most = MAX_UPLOADS_OF_ONE if identity.machine is not None else MAX_UPLOADS_OF_A_COLLECTOR
        if self._open[identity] >= most:
            raise TooMuch("you have too many journals under way", hint="send it again later")
        if self._open.total() >= MAX_UPLOADS:
            raise Unavailable("too many journals are being received", hint="send it again later")
        self._open[identity] += 1
        try:
            await self._take(identity, receive)
        finally:
            self._open[identity] -= 1
            if not self._open[identity]:
                del self._open[identity]

    async def _take(self, identity: Identity, receive: Receive) -> None:
        upload = Upload(self._reception.voices.of(identity), Scanner(self._rows))
        if identity.machine is not None:
            # Before anything of it is read: its history ends where its first upload begins.
            await self._told(upload, identity.machine)
        since_ms, more = self._reception.clock.now().mono_ms, True
        while more:
            try:
                async with asyncio.timeout(_QUIET_S):
                    piece, more = await next_piece(receive)
            except TimeoutError:
                raise Unavailable(f"nothing came for {_QUIET_S:.0f} s") from None
            except ClientLeft:
                await self._note(upload, upload.scanner.end())
                _name_strangers(upload)
                with suppress(Unavailable):
                    await self._store(upload)
                raise
            found = 0
            if entries := upload.scanner.feed(piece):
                await self._note(upload, entries)
                found = sum(len(told.found) for told in upload.told.values())
            now_ms = self._reception.clock.monotonic_ms()
            if found >= _COMMIT_FOUND or now_ms - since_ms >= _COMMIT_MS:
                since_ms = now_ms
                self._reception.collectors.hear(identity, self._reception.clock.now())
                upload.forget()
                many = len(upload.told) > _MOST_MACHINES
                await self._judge(upload, at_end=many)
                if many:
                    # They are looked up again when more of them comes.
                    upload.told.clear()
        await self._note(upload, upload.scanner.end())
        self._reception.collectors.hear(identity, self._reception.clock.now())
        self._compare(upload)
        await self._judge(upload, at_end=True)
        _name_strangers(upload)

    async def _note(self, upload: Upload, entries: list[Entry]) -> None:
        for entry in entries:
            machine = upload.machine_of(entry)
            if machine is not None:
                upload.heard.add(machine)
                (await self._told(upload, machine)).note(entry)
            elif (said := entry.machine[:_ID_CHARACTERS]) in upload.strangers or (
                len(upload.strangers) < _MOST_MACHINES
            ):
                upload.strangers[said] += 1

    async def _judge(self, upload: Upload, *, at_end: bool) -> None:
        for told in upload.told.values():
            told.judge(at_end=at_end)
        await self._store(upload, remember=at_end)

    async def _told(self, upload: Upload, machine: MachineNo) -> Told:
        if machine not in upload.told:
            before = await self._state(machine)
            upload.told[machine] = Told(
                machine, before, Boots(before, gathered=upload.voice.identity.machine is None)
            )
        return upload.told[machine]

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

    async def _store(self, upload: Upload, *, remember: bool = False) -> None:
        """Make durable what was found so far, and what is to be remembered if it changed."""
        sorted_, received = Sorted(), self._reception.clock.now()
        self._reception.quota.turn(received.mono_ms)
        newest, own = upload.scanner.newest(), upload.voice.identity.machine
        if newest is not None and own is not None:
            # Most entries say nothing; that they come is what shows that the machine tells.
            upload.heard.add(own)
        self._reception.heartbeats.tell(upload.heard, received.mono_ms)
        upload.heard.clear()
        for told in upload.told.values():
            # Another machine's last entry says nothing of this one's clock.
            last = newest if newest and upload.machine_of(newest) == told.machine else None
            for found in told.found:
                self._sort(told, found, last, received, sorted_)
            told.found.clear()
            known = told.boots.known()
            if remember and known != told.before:
                sorted_.journals[told.machine] = told.before = known
        if sorted_.events or sorted_.journals:
            await self._reception.commit.append(sorted_)
        if sorted_.excess:
            _log.info(
                "intake.journal_excess", sender=upload.voice.identity.name, events=sorted_.excess
            )

    def _sort(
        self,
        told: Told,
        found: Said,
        newest: Entry | None,
        received: Instant,
        into: Sorted,
    ) -> None:
        said = found.realtime_ms
        time = self._happened(told.machine, found, newest, received.wall_ms)
        oldest = max(told.boots.state.since_ms - ALLOWANCE_MS, received.wall_ms - OLDEST_MS)
        if time < oldest:
            return
        if not self._reception.quota.take(told.machine, found.kind, found.key):
            into.excess += 1
            return
        shift = 0 if said is None else time - said
        into.events.append(
            SignalEvent(told.machine, found.kind, time, found.key, found.detail, shift)
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
        newest, machine = upload.scanner.newest(), upload.voice.identity.machine
        if machine is None or newest is None or newest.realtime_ms is None:
            return
        lag_ms = self._reception.clock.now().wall_ms - newest.realtime_ms
        if lag_ms <= TOLERATED_MS:
            self._lags.pop(machine, None)
            return
        lag = self._lags.setdefault(machine, _Lag(0, lag_ms))
        lag.times += 1
        lag.least_ms = min(lag.least_ms, lag_ms)


def _name_strangers(upload: Upload) -> None:
    """Tell whoever reads the log whose entries were not taken, if any."""
    if upload.strangers:
        _log.warning(
            "intake.journal_of_strangers",
            collector=upload.voice.identity.name,
            entries=upload.strangers.total(),
            machine_ids=[redact(name) for name, _ in upload.strangers.most_common(3)],
            hint="firedoor machine enroll NAME --identity machine-id=ID binds one",
        )


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
