"""The keeper: follows the board, admits sessions, and writes once a bucket what was heard.

It never decides about a door. When the judge's board or lease does not come, or nothing can be
written, it goes on serving every machine what it had, and admits nobody new.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from firedoor.config import ChannelConfig
from firedoor.core.board import ChannelBoard
from firedoor.core.channel import Traits, package_of
from firedoor.core.errors import Unavailable
from firedoor.core.release import FileEntry, Manifest
from firedoor.gate.catalog import Installs, Served, payload_of
from firedoor.gate.committer import Committer, Group
from firedoor.gate.stores import BoardSource, BucketStore
from firedoor.gate.supply import Supply
from firedoor.ports import Clock, Instant, Pulse
from firedoor.services.admission import Admission, Choice
from firedoor.services.fetches import Fetches
from firedoor.services.lately import lately
from firedoor.services.places import Cut, Installed, Place
from firedoor.services.records import Bucket, ahead
from firedoor.services.roster import Roster
from firedoor.services.supply import Wanted

LEASE_BUCKETS = 3
_LOOK_EVERY_S = 0.05
_ASKED = 100_000
_KEPT_RELEASES = 8
_SUPERSEDED = 64  # the most whose names are kept for machines that have read them in an index
_log = structlog.get_logger()


@dataclass(slots=True)
class Channel:
    """One channel as the gate serves it."""

    config: ChannelConfig
    admission: Admission
    board: ChannelBoard
    catalog: dict[int, Served] = field(default_factory=dict)
    installs: Installs = field(default_factory=Installs)
    fetches: Fetches | None = None
    pending: dict[int, Group] = field(default_factory=dict)
    seated: frozenset[int] = frozenset()
    cuts: list[Cut] = field(default_factory=list)
    kind: Traits = field(init=False)
    asked: dict[tuple[str, int], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look up once what is asked at every request."""
        self.kind = self.config.traits
        if self.kind.tells_installs and self.fetches is None:
            self.fetches = Fetches(self.config.name)


class Keeper:
    """The gate's state and its two loops."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        roster: Roster,
        *,
        store: BucketStore,
        source: BoardSource,
        pulses: Callable[[int], Sequence[Pulse]],
        places: Callable[[str, int], Sequence[Place]],
        clock: Clock,
        bucket_ms: int,
        enrolled: Callable[[], Mapping[str, int]] = dict,
        is_held: Callable[[FileEntry], bool] = lambda _: True,
        had: Callable[[str, Collection[str]], Iterable[int]] = lambda *_: (),
        shelve: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    ) -> None:
        """Nothing is served before ``start``.

        Args:
            channels: By name.
            roster: Habits of all machines.
            store: Where places and buckets go.
            source: Where the board comes from.
            pulses: Machines whose heartbeats began or ceased, after a number of change.
            places: What is on record of (channel, boarding number); asked when a boarding
                comes into flight.
            clock: For records.
            bucket_ms: Interval of the flushes, ms.
            enrolled: Ring -> machines that the register has in it; asked in a thread of its own.
            is_held: Whether the bytes of a file are held.
            had: Machines that ever asked for one of these packages of a channel.
            shelve: Puts the manifest of a release that has gone from the board where it takes
                no memory.
        """
        self.channels = channels
        self.ready = False
        self.died = asyncio.Event()
        self._roster = roster
        self._store = store
        self._source = source
        self._pulses = pulses
        self._pulse = 0
        self._places = places
        self._clock = clock
        self._bucket_ms = bucket_ms
        self._enrolled = enrolled
        self._run = secrets.token_hex(8)
        self._committer = Committer(store, clock)
        self.supply = Supply(self._want, is_held, self.now)
        self._refusals = -1
        self._had = had
        self._shelve = shelve
        self._seen = -1
        self._renewed = 0
        self._version = 0
        self._lease_until = -1
        self._kept: Bucket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self.on_look: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Read the board once and begin to follow it."""
        await self._look()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._flush_loop())]
        for task in self._tasks:
            task.add_done_callback(self._loop_ended)

    async def stop(self) -> None:
        """Write the last bucket, marked final, and end."""
        self._stopping = True
        self._wake.set()
        # Not cancelled: a flush that was interrupted could be half of what "final" vouches for.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._flush(final=True)
        await self._committer.close()

    async def prune(self, before_wall_ms: int) -> None:
        """Forget old signs of life, in turn with the commits. Raises Unavailable."""
        await self._committer.run(partial(self._store.prune, before_wall_ms))

    def now(self) -> int:
        """Monotonic clock, ms."""
        return self._clock.monotonic_ms()

    def wall_s(self) -> int:
        """Wall clock, Unix seconds."""
        return self._clock.now().wall_ms // 1000

    def current(self, channel: Channel, machine: int) -> int:
        """Boarding number of the machine's running session, or 0: then ask ``number_for``.

        Nearly every request is within a session, and this does not wait.
        """
        if machine in channel.pending:
            return 0
        now = self._clock.monotonic_ms()
        number = channel.admission.current(machine, now)
        if number:
            channel.admission.touch(machine, now)
        return number

    async def number_for(self, channel: Channel, machine: int, *, admit: bool) -> int:
        """Boarding number that answers this request of a machine.

        Args:
            channel: The channel asked.
            machine: Register number.
            admit: The request may begin a session (a GET); a HEAD never admits.

        Returns:
            The number, or 0 when nothing can be served.
        """
        admission = channel.admission
        while (pending := channel.pending.get(machine)) is not None and not pending.done():
            # An answer on a second connection must not overtake the record of the first.
            await pending
        number = self.current(channel, machine)
        if number:
            return number
        if not admit:
            return admission.peek(machine)
        return await self._begin(channel, machine, self.now())

    def deliver(
        self, channel: Channel, machine: int, number: int, path: str, size: int
    ) -> Callable[[int, int], None] | None:
        """Callback that counts delivered bytes, or None where they are no evidence."""
        served = channel.catalog[number]
        if path not in served.payload or channel.admission.in_flight(machine) != number:
            return None
        installs = channel.installs
        if installs.is_done(number, machine, path):
            return None

        def delivered(start: int, end: int) -> None:
            now = self.now()
            installs.deliver(number, machine, path, size=size, start=start, end=end, now=now)

        return delivered

    def ask(self, channel: Channel, package: str, machine: int) -> None:
        """Note that a machine (0: nobody known) asked for some version of a package."""
        # What was written down already is only remembered so as not to write it again.
        if len(channel.asked) > _ASKED:
            channel.asked = {key: fresh for key, fresh in channel.asked.items() if fresh}
        channel.asked.setdefault((package, machine), True)

    async def _want(self, file: Wanted) -> None:
        at = self._clock.now()
        await self._committer.run(lambda: self._store.want(file, at))

    async def _begin(self, channel: Channel, machine: int, now: int) -> int:
        lease = now <= self._lease_until
        wall_s = self._clock.now().wall_ms // 1000
        choice, cuts = channel.admission.begin(machine, now, wall_s, lease=lease)
        channel.cuts.extend(cuts)
        if not choice.places:
            return choice.number
        cuts, channel.cuts = channel.cuts, []
        # In line before anything else can happen: a cut must never overtake a place of its deck.
        # A client that goes away takes its request with it, but not the record of its card.
        record = partial(self._record, channel, machine, choice, cuts)
        durable = self._committer.submit(choice.places, cuts, record)
        channel.pending[machine] = durable
        if await durable is not None:
            return channel.admission.fallback(machine)
        if channel.admission.allows(machine, choice.number):
            return choice.number
        # Contained while it was written down: the record stays, the bytes do not go.
        return await self.number_for(channel, machine, admit=True)

    def _record(
        self,
        channel: Channel,
        machine: int,
        choice: Choice,
        cuts: Sequence[Cut],
        error: Unavailable | None,
    ) -> None:
        del channel.pending[machine]
        if error is None:
            for place in choice.places:
                channel.admission.settle(place)
            return
        _log.warning("place_not_recorded", channel=channel.config.name, error=str(error))
        channel.cuts.extend(cuts)
        for place in choice.places:
            channel.admission.forget(place)

    async def _follow(self) -> None:
        while not self._stopping:
            await asyncio.sleep(_LOOK_EVERY_S)
            if await self._look():
                self._wake.set()

    async def _look(self) -> bool:
        """Take over what the judge wrote; say whether the board changed."""
        now = self.now()
        self.supply.look()
        for channel in self.channels.values():
            channel.cuts.extend(channel.admission.expire(now))
        try:
            self.on_look()
        except Unavailable as error:
            _log.warning("register_unreadable", error=str(error))
        try:
            seen = self._source.version()
            if seen == self._seen:
                return False
            board, tick = self._source.board(), self._source.last_tick()
            self._renew_lease(tick)
            changed = board.version != self._version
            if changed:
                self._roster.bench(board.benched)
                for each in board.channels:
                    if each.name in self.channels:
                        self._take_over(self.channels[each.name], each, now)
            self._renew()
            self._read_refusals()
            if not self.ready:
                for channel in self.channels.values():
                    self._wake_sessions(channel, now)
        except Unavailable as error:
            _log.warning("board_unreadable", error=str(error))
            return False
        self._seen, self._version = seen, board.version
        self.ready = True
        return changed

    def _renew(self) -> None:
        """Serve what upstream has signed anew under the name of the same release."""
        for count, release in self._source.renewed_after(self._renewed):
            for channel in self.channels.values():
                for number, served in list(channel.catalog.items()):
                    if served.release == release:
                        manifest = self._source.manifest(release)
                        channel.catalog[number] = replace(served, manifest=manifest)
                        channel.admission.renew(number)
            self._renewed = count

    def _read_refusals(self) -> None:
        refusals = self._source.refusals_after(max(0, self._refusals))
        # Those of before this run are nobody's answer any more.
        if self._refusals >= 0:
            self.supply.refused(refusals)
        self._refusals = max([self._refusals, 0, *(each.number for each in refusals)])

    def _loop_ended(self, task: "asyncio.Task[None]") -> None:
        """A loop that ends by itself is a defect: say so, and let the process be started again."""
        if not task.cancelled() and not self._stopping:
            _log.error("gate_loop_died", exc_info=task.exception())
            self.died.set()

    def _renew_lease(self, tick: tuple[str, int, int] | None) -> None:
        if tick is not None and tick[0] == self._clock.now().boot:
            self._lease_until = tick[1] + LEASE_BUCKETS * self._bucket_ms

    def _take_over(self, channel: Channel, board: ChannelBoard, now: int) -> None:
        # Contents and members first: the admission may only name what can be served, and must
        # know who is aboard before it deals a card.
        for number, release in board.releases:
            if number not in channel.catalog:
                channel.catalog[number] = self._load(channel, number, release, board)
        aboard = {lane.candidate for lane in board.lanes} | {w.number for w in board.withdrawn}
        fresh = sorted(aboard - channel.seated - {0})
        places = [place for number in fresh for place in self._places(board.name, number)]
        for number in {lane.candidate for lane in board.lanes} & set(fresh):
            self._find_holders(channel, number)
        channel.board = board
        channel.cuts.extend(channel.admission.apply(board, now, places))
        channel.seated = frozenset(aboard)
        channel.installs.keep({lane.candidate for lane in board.lanes})
        revoked = {number for lane in board.lanes for number in lane.revoked}
        current = {number for number, _ in board.releases}
        # A session in the middle of an older release finishes there; it lasts a minute at most.
        finishing = sorted(channel.catalog)[-_KEPT_RELEASES:]
        kept = current | ({*finishing, *self._lately(channel, channel.catalog)} - revoked)
        channel.catalog = {
            n: s if n in current else replace(s, manifest=self._shelve(s.manifest))
            for n, s in channel.catalog.items()
            if n in kept
        }

    def _lately(self, channel: Channel, numbers: Iterable[int]) -> set[int]:
        """Of these boardings, those of which machines may still ask for what they have read."""
        if not channel.kind.immutable:
            return set()
        name, newest = channel.config.name, sorted(numbers)[-_SUPERSEDED:]
        doors = {number: self._source.doors(name, number) for number in newest}
        return lately(doors, self._clock.now().wall_ms)

    def _find_holders(self, channel: Channel, number: int) -> None:
        """Who is known to have what a boarding in flight changes."""
        served = channel.catalog.get(number)
        changed = {package_of(path) for path in served.payload} if served is not None else {""}
        # A file whose name tells no package may be everybody's.
        if "" not in changed and channel.kind.deferrable:
            channel.admission.holders.put(number, self._had(channel.config.name, changed))

    def _wake_sessions(self, channel: Channel, now: int) -> None:
        """Let machines finish what they were reading when the last run ended.

        The door may have moved since: what they read need not be on the board any more.
        """
        last = max(channel.catalog, default=0)
        before = self._lately(channel, range(max(1, last - _SUPERSEDED), last + 1))
        for number in (*sorted(before), *channel.admission.left_at()[-_KEPT_RELEASES:]):
            if number in channel.catalog or not number:
                continue
            boarding = self._source.boarding(channel.config.name, number)
            if boarding is not None:
                manifest = self._shelve(self._source.manifest(boarding.release))
                channel.catalog[number] = Served(number, boarding.release, manifest)
        channel.admission.wake(set(channel.catalog), now)

    def _load(self, channel: Channel, number: int, release: str, board: ChannelBoard) -> Served:
        manifest = self._source.manifest(release)
        stored = self._source.release(release)
        # A ring may be behind another: what is new to any of them is a change.
        bases = {lane.base for lane in board.lanes if lane.base != number} & set(channel.catalog)
        listing = "" if stored is None else stored.listing
        kind = channel.kind
        payload = frozenset[str]().union(
            *(
                payload_of(manifest, previous, lambda path: path == listing or kind.is_index(path))
                for previous in [channel.catalog[base].manifest for base in bases] or [{}]
            )
        )
        return Served(number, release, manifest, payload)

    async def _flush_loop(self) -> None:
        while not self._stopping:
            try:
                await asyncio.wait_for(self._wake.wait(), self._bucket_ms / 1000)
            except TimeoutError:
                self._roster.relearn()
            self._wake.clear()
            await self._flush(final=False)

    async def _flush(self, *, final: bool) -> None:
        self._read_pulses()
        # A large register takes a while, and machines wait for this loop.
        enrolled = await asyncio.to_thread(self._enrolled)
        at = self._clock.now()
        bucket = self._bucket(at, enrolled, final=final)
        channels = list(self.channels.values())
        cuts = [cut for channel in channels for cut in channel.cuts]
        for channel in channels:
            channel.cuts = []
        try:
            if cuts:
                await self._committer.commit((), cuts)
            # What is much goes ahead in portions, between which others get their places written.
            early, rest = ahead(bucket)
            for habits, standings in early:
                await self._committer.run(partial(self._store.remember, habits, standings))
            await self._committer.run(partial(self._store.flush, rest, at))
        except Unavailable as error:
            # What was heard is lost with this bucket: the judge must see a gap, not silence, so
            # what follows is another run. The rest waits.
            _log.warning("bucket_not_written", error=str(error))
            self._run = secrets.token_hex(8)
            self._kept = bucket
            for cut in cuts:
                self.channels[cut.channel].cuts.append(cut)

    def _bucket(self, at: Instant, enrolled: Mapping[str, int], *, final: bool) -> Bucket:
        admissions = [channel.admission for channel in self.channels.values()]
        memories = [each.fetches for each in self.channels.values() if each.fetches is not None]
        kept, self._kept = self._kept, None
        placed = self._store.placed  # before anything is taken out of what it was noted in
        installed = [
            Installed(channel.config.name, number, machine, done_ms)
            for channel in self.channels.values()
            for number, machine, done_ms in channel.installs.drain()
        ]
        return Bucket(
            run=self._run,
            final=final,
            heard=self._roster.drain_heard(),
            habits=[
                *(kept.habits if kept else ()),
                *self._roster.drain_habits(mono_ms=at.mono_ms, wall_ms=at.wall_ms),
            ],
            standings=[
                *(kept.standings if kept else ()),
                *(s for admission in admissions for s in admission.drain_standing()),
            ],
            installed=[*(kept.installed if kept else ()), *installed],
            census=[
                c
                for admission in admissions
                for c in admission.census(at.mono_ms, self._bucket_ms, at.wall_ms, enrolled)
            ],
            board=self._version,
            rings=self._rings(),
            asked=[*(kept.asked if kept else ()), *self._drain_asked()],
            fetches=[
                *(kept.fetches if kept else ()),
                *(fetch for memory in memories for fetch in memory.drain()),
            ],
            rejections=[
                *(kept.rejections if kept else ()),
                *(each for memory in memories for each in memory.drain_rejections()),
            ],
            placed=placed,
        )

    def _drain_asked(self) -> list[tuple[str, str, int]]:
        asked = []
        for name, channel in self.channels.items():
            fresh = [key for key, is_fresh in channel.asked.items() if is_fresh]
            asked += [(name, *key) for key in fresh]
            channel.asked.update(dict.fromkeys(fresh, False))
        return asked

    def _rings(self) -> list[tuple[str, str]]:
        """All rings there are; none while a channel's board has not come."""
        lanes = {name: channel.board.lanes for name, channel in self.channels.items()}
        if not all(lanes.values()):
            return []
        return [(name, lane.ring) for name, some in lanes.items() for lane in some]

    def _read_pulses(self) -> None:
        try:
            for pulse in self._pulses(self._pulse):
                self._pulse = pulse.changed
                self._roster.set_reports(pulse.machine, pulse.reports)
        except Unavailable as error:
            _log.debug("no_intake_yet", error=str(error))
