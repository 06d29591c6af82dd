"""Hearing: what the gate and the intake have recorded since the last tick, brought to the pools."""

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from firedoor.core.board import Grant
from firedoor.core.signal import BOOTS, CHECK, CRASH, RESTARTS, SignalKind, stream_of
from firedoor.core.terms import TakesEffect
from firedoor.core.units import UnixMs
from firedoor.ports import Instant, SignalSource
from firedoor.services.admission import ACTIVE_MS
from firedoor.services.effects import Effect
from firedoor.services.flight import Flight
from firedoor.services.life import Life
from firedoor.services.places import AFTERWARDS, Census
from firedoor.services.pools import Mask, Pool
from firedoor.services.records import (
    StoredCut,
    StoredInstall,
    StoredPlace,
)
from firedoor.services.stores import GateRecords

_ROWS_A_READ = 10_000
_PAGES_A_TICK = 20

Flights = Mapping[tuple[str, int], Flight]

CURSORS: Final = ("heard", "batch", "event")
"""Names of what is read in order, and of how far."""


class Hearing:
    """Reads other processes' records in order, each once. One thread at a time.

    Attributes:
        life: When each machine was last heard.
        census: Newest counts by (channel, ring).
        cursors: How far ``heard``, ``batch`` and ``event`` have been read.
    """

    def __init__(
        self,
        gate: GateRecords,
        signals: SignalSource,
        *,
        bucket_ms: int,
        cursors: dict[str, int],
        lost_at: int | None = None,
    ) -> None:
        """Go on reading after ``cursors``; nothing is read yet.

        Args:
            gate: What the gate has on record.
            signals: What the intake has on record.
            bucket_ms: Interval of the judge's ticks, ms.
            cursors: How far each of the sequences has been read.
            lost_at: How long the gate had listened when records were lost, ms; None if they
                never were.
        """
        self._gate = gate
        self._signals = signals
        self.life = Life(bucket_ms)
        self.census: dict[tuple[str, str], Census] = {}
        self.cursors = cursors
        self._events = {CRASH: Latest(), CHECK: Latest()}
        # When the newest of them happened: what came before a card says nothing of a release.
        self._happened = {CRASH: Latest(), CHECK: Latest()}
        self._restarted = {TakesEffect.BOOT: Latest(), TakesEffect.RESTART: Latest()}
        # Starts by name, of what a boarding that was watched asks for: what came before it boarded
        # says nothing of it.
        self._started: dict[str, Latest] = {}
        self._moved: set[int] = set()
        self._rejections: dict[str, Latest] = {}
        self._place = self._cut = self._installed = self._beat = self._pulse = self._rejected = 0
        self._reports = Latest()
        self._obeyed = 0
        self._listened_ms = 0
        self._lost_at = lost_at
        self._began = False
        self._axis: tuple[str, int] | None = None

    def catch_up(self, flights: Flights, now: Instant) -> None:
        """Bring boardings that are being loaded to where reading stands; call before ``listen``."""
        cuts, done = self._gate.cuts_after(0), self._gate.installed_after(0)
        if not self._began:
            # Cuts before places, as in ``listen``: then the pool of every cut is whole.
            self._began = True
            self._cut = cuts[-1].id if cuts else 0
            self._installed = done[-1].id if done else 0
            self._place = self._gate.last_place()
            self._read_census()
            self._read_pulses()
        for channel, number in flights:
            known = self._gate.places_of(channel, number)
            self._seat(flights, (p for p in known if p.id <= self._place), now)
        for stored in cuts:
            if stored.id <= self._cut:
                self._cut_pool(flights, stored, now)
        self._install(flights, (each for each in done if each.id <= self._installed), now)

    def listen(self, flights: Flights, now: Instant) -> None:
        """Read everything that is new."""
        for flight in flights.values():
            for name in () if flight.effect is None else flight.effect.services:
                self._started.setdefault(name, Latest())
        for heard in self._gate.heard_after(self.cursors["heard"]):
            self.cursors["heard"] = heard.seq
            if heard.at.boot == now.boot:
                self.life.heard_by_gate(
                    heard.run, heard.at.mono_ms, heard.machines, final=heard.final
                )
        self._read_signals(now)
        # A cut is committed with or after its last place: read it first, and its pool is whole.
        cuts = self._gate.cuts_after(self._cut)
        places = self._gate.places_after(self._place)
        self._seat(flights, places, now)
        if places:
            self._place = places[-1].id
        for stored in cuts:
            self._cut = stored.id
            self._cut_pool(flights, stored, now)
        for told in self._gate.rejections_after(self._rejected):
            self._rejected = told.id
            each = told.rejection
            # A moment after the card of the session in which it was sent, and before any later one.
            at = self.when(Instant(told.boot, each.mono_ms, UnixMs(told.wall_ms)), now) + 1
            self._rejections.setdefault(each.channel, Latest()).put(each.machine, at)
        done = self._gate.installed_after(self._installed)
        self._install(flights, done, now)
        if done:
            self._installed = done[-1].id
        self._read_census()

    def count(self, channel: str, ring: str, *, board: int) -> Census | None:
        """The census of a ring, if it was taken under this version of the board or a later one."""
        return self.census.get((channel, ring)) if self._obeyed >= board else None

    def absent(self, channel: str, ring: str) -> int:
        """Enrolled machines of a ring that may poll although the gate does not know of them.

        Whoever did not poll in seven days of listening is not active; until there have been as
        many, since the first bucket or since records were lost, the gate cannot tell.
        """
        count = self.census.get((channel, ring))
        if count is None or self._listened_ms - (self._lost_at or 0) >= ACTIVE_MS:
            return 0
        return max(0, count.enrolled - count.active)

    def fleet(self, channel: str, ring: str) -> int:
        """Machines that terms are made for: a fleet that was forgotten is not a tiny one."""
        count = self.census.get((channel, ring))
        return (0 if count is None else count.active) + self.absent(channel, ring)

    def is_empty(self, channel: str, ring: str, rings: Container[str]) -> bool:
        """Nobody of the ring could come to harm, or nobody has to try the release for it.

        Args:
            channel: The channel.
            ring: The ring, one of ``rings``.
            rings: Names of the rings that are configured.
        """
        count = self.census.get((channel, ring))
        # A gate that has not listened for long, or forgot, knows of nobody: the register does.
        if count is None or count.active or self.absent(channel, ring):
            return False
        # Clients without an identity draw no cards. They follow the rings before theirs, if
        # there is anybody in them; what nobody can try does not open by itself.
        return not count.unknown or any(
            c.active for c in self.census.values() if c.channel == channel and c.ring in rings
        )

    def forgotten(self, channel: str, ring: str) -> int:
        """Those of ``absent`` that the gate may have known before records were lost."""
        return 0 if self._lost_at is None else self.absent(channel, ring)

    def active(self, channel: str) -> int:
        """Machines that polled the channel lately."""
        return sum(c.active for (name, _), c in self.census.items() if name == channel)

    def highest_number(self, channel: str) -> int:
        """The highest boarding number the gate has on record."""
        return self._gate.highest_number(channel)

    def reporting(self) -> int:
        """Machines that report to the intake, by heartbeats or otherwise."""
        return self._reports.count()

    def install_delays(self, channel: str, number: int) -> list[int]:
        """Times from a treated card to its machine's last byte, ms, rising."""
        return self._gate.install_delays(channel, number)

    def places_of(self, channel: str, number: int) -> list[StoredPlace]:
        """Places of one boarding."""
        return self._gate.places_of(channel, number)

    @property
    def listened_ms(self) -> int:
        """How long the gate has listened, in all its runs, as of its last bucket."""
        return self._listened_ms

    def events(self, signal: str) -> int:
        """How many events of this stream have ever been read, rejections among them."""
        rejections = sum(each.puts for each in self._rejections.values())
        return self._events[signal].puts + (rejections if signal == CHECK else 0)

    def hit(self, pool: Pool, signal: str) -> Mask:
        """Members of a pool with an event of this stream since their card."""
        return self._happened[signal].of(pool.machines) > pool.drawn_ms

    def told_since(self, machine: int, mono_ms: int, now: Instant) -> list[str]:
        """Streams of which a machine tells an event that happened after a moment of this boot."""
        one = np.array([machine], np.uint32)
        since = self.when(Instant(now.boot, mono_ms, now.wall_ms), now)
        return [name for name, latest in self._happened.items() if latest.of(one)[0] > since]

    def restarted(self, machine: int, effect: Effect) -> int:
        """When a machine last restarted so that it counts, on the axis of ``when``; 0 for never."""
        one, known = np.array([machine], np.uint32), [self._restarted[effect.by]]
        if effect.by is TakesEffect.RESTART and effect.services:
            started = [self._started[name] for name in effect.services if name in self._started]
            known = [self._restarted[TakesEffect.BOOT], *started]
        return max(int(each.of(one)[0]) for each in known)

    def moved(self) -> set[int]:
        """Machines that have installed or restarted since this was last asked."""
        moved, self._moved = self._moved, set()
        return moved

    def witnessed(self, channel: str, pool: Pool, signal: str) -> Mask:
        """Members of a pool of whom the gate itself saw such an event since their card.

        Those that threw away what a channel sent them: of any machine the gate sees that.
        """
        known = self._rejections.get(channel) if signal == CHECK else None
        if known is None:
            return np.zeros(len(pool), np.bool_)
        return known.of(pool.machines) > pool.drawn_ms

    def spoke_ms(
        self, channel: str, pool: Pool, streams: Collection[str], now_ms: int
    ) -> NDArray[np.int64]:
        """When each member of a pool told something of these streams since its card.

        The newest of each stream is known, and the first of these is taken; ``now_ms`` for a
        member that told nothing. On the axis of ``drawn_ms``, shape (members,).
        """
        spoke = np.full(len(pool), now_ms, np.int64)
        known = [(self._events[stream], self._happened[stream]) for stream in streams]
        if CHECK in streams and channel in self._rejections:
            known.append((self._rejections[channel],) * 2)
        for heard, happened in known:
            since = happened.of(pool.machines) > pool.drawn_ms
            np.minimum(spoke, heard.of(pool.machines), out=spoke, where=since)
        return spoke

    def when(self, at: Instant, now: Instant) -> int:
        """A place on one axis for draws and events, ms: steps of the wall clock do not move it.

        Within this boot it is the monotonic clock, shifted once to where the wall clock stood. An
        earlier boot lies before all of it, whatever the wall clock said then.
        """
        if self._axis is None or self._axis[0] != now.boot:
            self._axis = (now.boot, now.wall_ms - now.mono_ms)
        boot, shift = self._axis
        return at.mono_ms + shift if at.boot == boot else min(at.wall_ms, shift)

    def _read_census(self) -> None:
        # The count is newer than the board it obeys, so it is read after it.
        self._obeyed = self._gate.obeyed()
        self._listened_ms = self._gate.listened_ms()
        self.census = {(c.channel, c.ring): c for c in self._gate.census()}

    def _read_signals(self, now: Instant) -> None:
        # Beats before batches: everything acknowledged until a beat that is seen is seen too.
        beats, pages = self._signals.beats_after(self._beat), 0
        while events := self._signals.events_after(self.cursors["event"], _ROWS_A_READ):
            for stored in events:
                self.cursors["event"] = stored.seq
                received, machine = stored.received, stored.event.machine
                if received is None:
                    continue
                if received.boot == now.boot:
                    self.life.heard_by_intake(received.mono_ms, [machine])
                kind = SignalKind(stored.event.kind)
                at = self.when(received, now)
                ago = max(0, received.wall_ms - stored.event.time_ms)
                if kind in RESTARTS:
                    self._restart(kind, machine, at - ago, stored.event.detail)
                stream = stream_of(kind)
                if stream is not None:
                    self._events[stream].put(machine, at)
                    self._happened[stream].put_later(machine, at - ago)
            pages += 1
            if pages == _PAGES_A_TICK:
                # A flood must not keep the judge from its tick. What is not read yet is not
                # counted as listened to either: windows wait until the rest has been read.
                return
        while batches := self._signals.batches_after(self.cursors["batch"], _ROWS_A_READ):
            for batch in batches:
                self.cursors["batch"] = batch.seq
                if batch.received.boot == now.boot:
                    self.life.heard_by_intake(batch.received.mono_ms, batch.heartbeats)
        for beat in beats:
            self._beat = beat.seq
            if beat.at.boot == now.boot:
                self.life.intake_listened(beat.at.mono_ms)
        self._read_pulses()

    def _restart(self, kind: SignalKind, machine: int, at: int, detail: str | None) -> None:
        self._moved.add(machine)
        self._restarted[TakesEffect.RESTART].put_later(machine, at)
        if kind in BOOTS:
            self._restarted[TakesEffect.BOOT].put_later(machine, at)
        elif self._started:
            for name in _service_names(detail) & self._started.keys():
                self._started[name].put_later(machine, at)

    def _read_pulses(self) -> None:
        for pulse in self._signals.pulses_after(self._pulse):
            self._pulse = pulse.changed
            self._reports.put(pulse.machine, pulse.reports)

    def _seat(self, flights: Flights, places: Iterable[StoredPlace], now: Instant) -> None:
        seats: dict[tuple[str, int, str, int], list[StoredPlace]] = {}
        for stored in places:
            place = stored.place
            flight = flights.get((place.channel, place.number))
            if flight is None or place.deck == AFTERWARDS:
                continue
            if place.treated:
                flight.admitted[place.ring] = flight.admitted.get(place.ring, 0) + 1
            key = (place.channel, place.number, place.ring, place.deck)
            at = self.when(Instant(stored.boot, place.mono_ms, UnixMs(stored.wall_ms)), now)
            seats.setdefault(key, []).append(replace(stored, wall_ms=at))
        for (channel, number, ring, deck), some in seats.items():
            pool = flights[(channel, number)].pools.get((ring, deck))
            if pool is not None:
                pool.seat(some)

    def _cut_pool(self, flights: Flights, stored: StoredCut, now: Instant) -> None:
        cut = stored.cut
        flight = flights.get((cut.channel, cut.number))
        if flight is None:
            return
        at = Instant(stored.boot, cut.mono_ms, UnixMs(stored.wall_ms))
        flight.last_cut[cut.ring] = at
        flight.withdrawn.pop((cut.ring, cut.deck), None)
        grant: Grant | None = flight.grants.get(cut.ring)
        if grant is not None and grant.deck == cut.deck:
            del flight.grants[cut.ring]
        pool = flight.pools.get((cut.ring, cut.deck))
        if pool is not None:
            # A cut of an earlier boot lies before everything that was heard in this one.
            pool.cut_ms = cut.mono_ms if stored.boot == now.boot else 0
            pool.cut_at = at

    def _install(self, flights: Flights, done: Iterable[StoredInstall], now: Instant) -> None:
        for stored in done:
            each = stored.install
            flight = flights.get((each.channel, each.number))
            if flight is None:
                continue
            # One of an earlier boot lies before everything that was heard in this one.
            flight.installed[each.machine] = each.mono_ms if stored.boot == now.boot else 0
            if flight.effect is not None:
                at = Instant(stored.boot, each.mono_ms, UnixMs(stored.wall_ms))
                flight.effect.installed[each.machine] = self.when(at, now)
                self._moved.add(each.machine)


def _service_names(detail: str | None) -> set[str]:
    """Names that a start of a service goes by: its definition, and the fields that are kept."""
    try:
        found = msgspec.json.decode(detail or "{}", type=dict[str, object])
    except msgspec.DecodeError:
        return set()
    return {value for value in found.values() if isinstance(value, str)}


class Latest:
    """One number per machine, 0 where none was put: a flat array that grows."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._values: NDArray[np.int64] = np.zeros(1024, np.int64)
        self.puts = 0

    def put(self, machine: int, value: int) -> None:
        """Note the newest value of a machine."""
        self._reach(machine)
        self._values[machine] = value
        self.puts += 1

    def put_later(self, machine: int, value: int) -> None:
        """Note a value of a machine unless a larger one is known."""
        self._reach(machine)
        if value > self._values[machine]:
            self.put(machine, value)

    def of(self, machines: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Values of these machines."""
        if len(machines):
            self._reach(int(machines.max()))
        return self._values[machines]

    def count(self) -> int:
        """Machines whose value is not 0."""
        return int(np.count_nonzero(self._values))

    def _reach(self, machine: int) -> None:
        if machine >= len(self._values):
            more = max(machine + 1, 2 * len(self._values)) - len(self._values)
            self._values = np.pad(self._values, (0, more))
