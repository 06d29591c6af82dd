"""The whole loop in the test's hand: gate, judge, train and people on real stores and one clock.

Nothing runs by itself. ``bucket`` lets a minute pass: machines poll, the gate writes down what it
heard, the judge ticks, the gate looks at the board. Gate and judge can be killed and started
again at any point; all that survives is what lies in the files.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from tests.clocks import HandClock

from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.config import Config, from_text
from firedoor.core.board import Lane
from firedoor.core.door import Door
from firedoor.core.release import FileEntry, media_type, release_id
from firedoor.core.signal import Reports
from firedoor.core.units import Digest, MachineNo, UnixMs
from firedoor.core.verdict import Verdict
from firedoor.ports import Delivery, Fetched, SignalEvent
from firedoor.services.admission import Admission
from firedoor.services.fetches import Rejection
from firedoor.services.flight import Flight, Numbers
from firedoor.services.judging import Judge, Pace
from firedoor.services.ledger import LedgerWriter
from firedoor.services.order import Answer, Order
from firedoor.services.orders import Orders
from firedoor.services.places import Cut, Installed, Place, Standing
from firedoor.services.preflight import Looks
from firedoor.services.records import Bucket, StoredPlace
from firedoor.services.roster import Roster
from firedoor.services.snapshot import Snapshot
from firedoor.services.train import Train

AV = "av"
MINUTE = 60_000
ROOT_KEY = b"k" * 32

_CONFIG = """
data = "data"
[time]
bucket = "60s"
heartbeat = "60s"
silence_min = "5m"
settle = "60s"
[policy]
soak = "{soak}"
{policy}
[[channel]]
name = "av"
kind = "{kind}"
upstream = "https://updates.vendor.example/av/"
{rings}
"""


@contextmanager
def memory() -> Iterator[Path]:
    """A folder of real files that no disk slows down, where the host has such a thing."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


class Loop:
    """One channel, one gate, one judge.

    Attributes:
        clock: Moves only by ``bucket`` and by the test.
        config: As read from text.
        store: What the judge writes.
        gate: What the gate writes, as everybody reads it.
        signals: What the intake writes.
        machines: Register numbers, from 1.
        dead: Machines that do not poll any more.
        deadly: Releases that kill whatever installs them.
        gone: Releases whose bytes are missing.
        lacking: Releases of which not all has come yet that machines are about to ask for.
        ring: Ring of each machine; "everyone" where it is not named.
        stratum: Stratum of each machine; "" where it is not named.
        period: A machine polls each so many buckets; 1 where it is not named.
        rejections: What machines threw away in this bucket.
        lease: The gate believes that the judge has ticked lately.
        looks: Looks at releases before they board, from the next start of the judge; None: nobody.
    """

    def __init__(
        self,
        folder: Path,
        machines: int = 20,
        *,
        policy: str = "",
        rings: str = "",
        soak: str = "0s",
        kind: str = "files",
    ) -> None:
        """Start everything; no release is known yet."""
        self.clock = HandClock()
        text = _CONFIG.format(policy=policy, rings=rings, soak=soak, kind=kind)
        self.config: Config = from_text(text, base=folder)
        self._data = self.config.data
        self._data.mkdir()
        self.machines = list(range(1, machines + 1))
        self.dead: set[int] = set()
        self.deadly: set[str] = set()
        self.gone: set[str] = set()
        self.lacking: set[str] = set()
        self.ring: dict[int, str] = {}
        self.stratum: dict[int, str] = {}
        self.period: dict[int, int] = {}
        self.lease = True
        self.looks: Looks | None = None
        self.synced: list[str] = []
        self.signals = SignalDatabase(self._data / "intake.db")
        self._writer = GateWriter(self._data)
        self.gate = GateReader(self._data)
        self.store = JudgeStore(self._data)
        self._installed: list[Installed] = []
        self.rejections: list[Rejection] = []
        self._buckets = 0
        self._runs = 0
        self.start_gate()
        self.start_judge()

    def close(self) -> None:
        """Close all files."""
        for each in (self.signals, self._writer, self.gate, self.store):
            each.close()

    # The files

    def let_go(self) -> None:
        """Close what gate and intake write, so that a file may be replaced."""
        for each in (self.signals, self._writer, self.gate):
            each.close()

    def take_up(self) -> None:
        """Open what lies there now, for the writers that were running."""
        self.signals = SignalDatabase(self._data / "intake.db")
        self._writer = GateWriter(self._data)
        self.gate = GateReader(self._data)

    # The processes

    def start_gate(self) -> None:
        """A new run of the gate, from what is on disk."""
        now = self.clock.now()
        times = self.config.time
        self._runs += 1
        self._run = f"run-{self._runs}"
        self._seated: set[int] = set()
        self._cuts: list[Cut] = []
        self.roster = Roster(
            heartbeat_ms=times.heartbeat_ms, silence_min_ms=times.silence_min_ms, cold_ms=0
        )
        runs = [*self.gate.runs(), (now.wall_ms, now.wall_ms)]
        outages = [(ended, began) for (_, ended), (began, _) in pairwise(runs)]
        self.roster.restore(
            self.gate.habits(), mono_ms=now.mono_ms, wall_ms=now.wall_ms, outages=outages
        )
        for pulse in SignalReader(self._data / "intake.db").pulses_after(0):
            self.roster.set_reports(pulse.machine, pulse.reports)
        channel = self.config.channel(AV)
        self.admission = Admission(
            AV,
            self.roster,
            lambda machine: self.ring.get(machine, "everyone"),
            lambda machine: self.stratum.get(machine, ""),
            idle_ms=channel.session_idle_ms,
            max_ms=channel.session_max_ms,
        )
        cuts = [stored.cut for stored in self.gate.cuts_after(0)]
        self.admission.restore(self.gate.exposures(AV), cuts, self.gate.standings(AV))
        self.look()

    def stop_gate(self) -> None:
        """The gate ends in order: its last bucket says that nothing is missing."""
        self.flush(final=True)

    def start_judge(self) -> None:
        """A new run of the judge, from what is on disk."""
        self.judge = Judge(
            self.store,
            self.gate,
            SignalReader(self._data / "intake.db"),
            LedgerWriter(self.store, lambda payload: hashlib.sha512(payload).digest()),
            Pace(
                self.config.time.bucket_ms,
                self.config.time.silence_min_ms,
                self.config.time.settle_ms,
            ),
        )
        self.train = Train(
            self.judge,
            self.config,
            lambda: ROOT_KEY,
            held=lambda each: each not in self.gone,
            whole=lambda _channel, release, _before: release not in self.lacking,
            looks=self.looks,
        )
        self.orders = Orders(self.judge, self.train, self.config, self.synced.append)
        self.judge.load(self.train.unfinished(), self.clock.now())

    # The gate

    def look(self) -> None:
        """The gate looks at the board."""
        now = self.clock.mono_ms
        self.roster.bench(self.store.board().benched)
        for board in self.store.board().channels:
            aboard = {lane.candidate for lane in board.lanes}
            aboard |= {withdrawn.number for withdrawn in board.withdrawn}
            places = [
                stored.place
                for number in sorted(aboard - self._seated - {0})
                for stored in self.gate.places_of(AV, number)
            ]
            self._cuts += self.admission.apply(board, now, places)
            self._seated = aboard
        self._commit(())

    def poll(self, machine: int) -> int:
        """A machine asks for a mutable name; returns the boarding number it is answered from."""
        now = self.clock.now()
        number = self.admission.current(machine, now.mono_ms)
        if number:
            self.admission.touch(machine, now.mono_ms)
            return number
        choice, cuts = self.admission.begin(
            machine, now.mono_ms, now.wall_ms // 1000, lease=self.lease
        )
        self._cuts += cuts
        self._commit(choice.places)
        for place in choice.places:
            self.admission.settle(place)
        self._installed += [
            Installed(AV, place.number, machine, now.mono_ms)
            for place in choice.places
            if place.treated
        ]
        if choice.number and self.release_of(choice.number) in self.deadly:
            self.dead.add(machine)
        return choice.number

    def flush(self, *, final: bool = False) -> None:
        """The gate's bucket ends."""
        now = self.clock.now()
        self._cuts += self.admission.expire(now.mono_ms)
        self._commit(())
        standings: list[Standing] = self.admission.drain_standing()
        self._writer.flush(
            Bucket(
                run=self._run,
                final=final,
                heard=self.roster.drain_heard(),
                habits=self.roster.drain_habits(mono_ms=now.mono_ms, wall_ms=now.wall_ms),
                standings=standings,
                installed=self._installed,
                census=self.admission.census(
                    now.mono_ms, self.config.time.bucket_ms, now.wall_ms, self.enrolled()
                ),
                board=self.store.board().version,
                rejections=self.rejections,
            ),
            now,
        )
        self._installed, self.rejections = [], []
        self.roster.relearn()

    def enrolled(self) -> Mapping[str, int]:
        """Machines that the register has in each ring, whether or not they poll."""
        return Counter(self.ring.get(machine, "everyone") for machine in self.machines)

    # The judge

    def tick(self) -> None:
        """The judge ticks; the board is durable with it."""
        now = self.clock.now()
        with self.store.step():
            self.judge.tick(now, self.store.board().version)
            self.store.put_tick(now.boot, now.mono_ms, now.wall_ms)
            self._advance()

    def order(self, verb: str, **fields: object) -> Answer:
        """A person's order, carried out; the gate looks at what came of it."""
        order = msgspec.convert({"verb": verb, "by": "Amira", **fields}, Order)
        with self.store.step():
            answer = self.orders.obey(order, self.clock.now())
            self._advance()
        self.look()
        return answer

    def publish(self, version: str) -> str:
        """The vendor publishes and the mirror brings it; returns the release id."""
        return self.publish_files({"av.db": version, "README.txt": "always the same"})

    def publish_files(self, files: Mapping[str, str]) -> str:
        """The vendor publishes these files, by path; returns the release id."""
        fetched = {path: Fetched(file, "") for path, file in _manifest(files).items()}
        with self.store.step():
            release = self.train.arrived(
                self.config.channel(AV), Snapshot.of(fetched), self.clock.now()
            )
            self._advance()
        self.look()
        return release

    def pick(self, files: Mapping[str, str], *, whole: bool = True) -> str:
        """A person puts a release together, of which all has come or not; returns its id."""
        channel, manifest = self.config.channel(AV), _manifest(files)
        release = release_id(AV, channel.kind, manifest)
        self.lacking |= set() if whole else {release}
        with self.store.step():
            self.train.picked(channel, release, manifest, self.clock.now())
            self._advance()
        self.look()
        return release

    # Time

    def bucket(self, count: int = 1, *, gate: bool = True, intake: bool = True) -> None:
        """Minutes pass, each with everybody's polls, a flush, a tick and a look."""
        for _ in range(count):
            self.clock.pass_ms(MINUTE)
            self._buckets += 1
            if intake:
                self.signals.beat(self.clock.now())
            if gate:
                for machine in self.machines:
                    due = self._buckets % self.period.get(machine, 1) == 0
                    if due and machine not in self.dead:
                        self.poll(machine)
                self.flush()
            self.tick()
            if gate:
                self.look()

    def settle_in(self, buckets: int = 8) -> str:
        """A first release is adopted, and the fleet's habits are learnt."""
        first = self.publish("1")
        self.bucket(buckets)
        return first

    # Signals

    def beat(self, machines: Iterable[int]) -> None:
        """These machines begin to send heartbeats."""
        numbers = [MachineNo(machine) for machine in machines]
        self._report(numbers, Reports.BEATS)
        self.signals.append(self.clock.now(), [Delivery(numbers, ())])

    def tell(self, machines: Iterable[int]) -> None:
        """What these machines tell comes from now on, and no heartbeat of theirs."""
        self._report([MachineNo(machine) for machine in machines], Reports.TELLS)

    def _report(self, numbers: list[MachineNo], how: Reports) -> None:
        self.signals.mark(numbers, how)
        for machine in numbers:
            self.roster.set_reports(machine, how)

    def crash(
        self, *machines: int, kind: str = "panic", ago_ms: int = 0, detail: str | None = None
    ) -> None:
        """These machines report that they crashed, some time ago."""
        now = self.clock.now()
        then = UnixMs(now.wall_ms - ago_ms)
        events = [
            SignalEvent(MachineNo(machine), kind, then, f"{now.wall_ms}", detail)
            for machine in machines
        ]
        self.signals.append(now, [Delivery((), events)])

    # What is so now

    def release_of(self, number: int) -> str:
        """Release of a boarding."""
        return self.train.lines[AV][number].boarding.release

    def flight(self, number: int) -> Flight:
        """A boarding with its evidence."""
        return self.train.flight(AV, number, self.clock.now())

    def door(self, number: int, ring: str = "everyone") -> Door:
        """A door."""
        return self.train.lines[AV][number].doors[ring]

    def lane(self, ring: str = "everyone") -> Lane:
        """A lane of the board that is published."""
        (board,) = self.store.board().channels
        return next(lane for lane in board.lanes if lane.ring == ring)

    def numbers(self, number: int, ring: str = "everyone") -> Numbers:
        """Where a ring stands."""
        flight = self.flight(number)
        return flight.numbers(ring, flight.verdict())

    def verdict(self, number: int) -> Verdict:
        """What the evidence says of a boarding."""
        return self.flight(number).verdict()

    def places(self, number: int) -> list[StoredPlace]:
        """Places of a boarding, oldest first."""
        return self.gate.places_of(AV, number)

    def treated(self, number: int) -> list[int]:
        """Machines that drew a treated card, in order."""
        return [p.place.machine for p in self.places(number) if p.place.treated and p.place.deck]

    def control(self, number: int) -> list[int]:
        """Machines that drew a control card, in order."""
        return [p.place.machine for p in self.places(number) if not p.place.treated]

    def notes(self) -> list[str]:
        """Notes of the ledger."""
        entries = (signed.entry for signed in self.store.entries())
        return [str(entry.body["note"]) for entry in entries if entry.kind == "note"]

    def moves(self, number: int) -> list[Mapping[str, object]]:
        """What the ledger says of a boarding's doors."""
        return [
            signed.entry.body
            for signed in self.store.entries()
            if signed.entry.kind == "door" and signed.entry.body["number"] == number
        ]

    def _advance(self) -> None:
        now, channel = self.clock.now(), self.config.channel(AV)
        self.train.advance(channel, now)
        self.train.consider(channel, now)
        board = self.train.board()
        if board.version != self.store.board().version:
            self.store.put_board(board)

    def _commit(self, places: Iterable[Place]) -> None:
        cuts, self._cuts = self._cuts, []
        self._writer.commit(tuple(places), cuts, self.clock.now())


def _manifest(files: Mapping[str, str]) -> dict[str, FileEntry]:
    found = {}
    for path, text in files.items():
        digest = Digest(hashlib.sha256(text.encode()).hexdigest())
        found[path] = FileEntry(digest, len(text), media_type(path))
    return found
