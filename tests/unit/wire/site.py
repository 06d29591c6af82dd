"""A site in the test's hand: the real judge, admission and stores, and a clock that waits.

Nothing runs by itself. A test lets machines poll, lets time pass and lets the judge tick; what
the console is then to show lies in real database files.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from tests.clocks import HandClock

from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.config import Config, from_text
from firedoor.core.release import FileEntry, media_type
from firedoor.core.signal import Reports
from firedoor.core.stratum import stratum_of
from firedoor.core.units import Digest, MachineNo
from firedoor.ports import Delivery, Fetched, SignalEvent
from firedoor.services.admission import Admission
from firedoor.services.judging import Judge, Pace
from firedoor.services.ledger import LedgerWriter
from firedoor.services.order import Answer, Order
from firedoor.services.orders import Orders
from firedoor.services.places import Installed
from firedoor.services.records import Bucket
from firedoor.services.roster import Roster
from firedoor.services.snapshot import Snapshot
from firedoor.services.train import Train
from firedoor.wire.files import Files
from firedoor.wire.views import Views

CHANNEL = "tills-av"
BUCKET_MS = 5_000
ROUND_MS = 60_000

CONFIG = """
data = "data"
[time]
bucket = "5s"
heartbeat = "10s"
silence_min = "30s"
settle = "5s"
[policy]
soak = "5s"
{policy}
[[channel]]
name = "tills-av"
kind = "files"
upstream = "https://updates.vendor.example/av/?key=sesame"
{rings}
"""


class Site:
    """A fleet of one channel.

    Attributes:
        views: The read model under test.
        store: What the judge has written.
        machines: Register numbers.
    """

    def __init__(
        self, folder: Path, *, machines: int = 30, rings: str = "", policy: str = ""
    ) -> None:
        """Enrol the machines; nothing has happened yet."""
        self.clock = HandClock()
        self._beating = False
        text = CONFIG.format(rings=rings, policy=policy)
        self.config: Config = from_text(text, base=folder)
        self.config.data.mkdir()
        self.files = Files(self.config.data)
        self.views = Views(self.config, self.files, self.clock)
        self.signals = SignalDatabase(self.files.signals)
        self.register = MachineRegister(self.files.register, self.clock)
        enrolled = self.register.enroll_many(
            [(f"till-{n:02d}", {"site": "prague"}) for n in range(1, machines + 1)],
            self.clock.now().wall_ms,
        )
        self.machines = [int(each.no) for each in enrolled]
        self._gate = GateWriter(self.config.data)
        times = self.config.time
        self._has_installed: set[tuple[int, int]] = set()
        self._roster = Roster(
            heartbeat_ms=times.heartbeat_ms, silence_min_ms=times.silence_min_ms, cold_ms=0
        )
        self._admission = Admission(
            CHANNEL,
            self._roster,
            lambda _: "everyone",
            self._stratum,
            idle_ms=2_000,
            max_ms=60_000,
        )
        self.store = JudgeStore(self.config.data)
        self.judge = Judge(
            self.store,
            GateReader(self.config.data),
            SignalReader(self.files.signals),
            LedgerWriter(self.store, lambda payload: hashlib.sha512(payload).digest()),
            Pace(times.bucket_ms, times.silence_min_ms, times.settle_ms),
        )
        self.train = Train(self.judge, self.config, lambda: b"k" * 32)
        self._orders = Orders(self.judge, self.train, self.config, lambda _: None)
        self.judge.load(self.train.unfinished(), self.clock.now())

    def publish(self, version: str, *, also: Iterable[str] = ()) -> str:
        """The vendor publishes; the mirror brings it. Returns the release id."""
        names = {"av.db": version, "README.txt": "always the same", **dict.fromkeys(also, "new")}
        files = {
            name: Fetched(
                FileEntry(
                    Digest(hashlib.sha256(text.encode()).hexdigest()), len(text), media_type(name)
                ),
                "",
            )
            for name, text in names.items()
        }
        with self.store.step():
            return self.train.arrived(
                self.config.channel(CHANNEL),
                Snapshot.of(files),
                self.clock.now(),
            )

    def fail_upstream(self, error: str) -> None:
        """The mirror could not reach the vendor."""
        with self.store.step():
            self.train.failed(CHANNEL, error, self.clock.now())

    def tick(self) -> None:
        """The judge's tick, and the gate's look at what it wrote."""
        now = self.clock.now()
        with self.store.step():
            self.judge.tick(now, self.store.board().version)
            self.store.put_tick(now.boot, now.mono_ms, now.wall_ms)
            channel = self.config.channel(CHANNEL)
            self.train.advance(channel, now)
            self.train.consider(channel, now)
            self._publish_board()
        for board in self.store.board().channels:
            self._gate.commit((), self._admission.apply(board, now.mono_ms), now)

    def order(self, verb: str, **fields: object) -> Answer:
        """A person's order, carried out at once."""
        order = Order(verb=verb, by="Amira", **fields)  # type: ignore[arg-type]  # a test's words
        with self.store.step():
            answer = self._orders.obey(order, self.clock.now())
            self._publish_board()
        assert answer.status == "ok", answer.body
        for board in self.store.board().channels:
            self._admission.apply(board, self.clock.mono_ms)
        return answer

    def poll(self, machines: Collection[int]) -> None:
        """These machines poll and install what they get, all in the same instant."""
        now = self.clock.now()
        for machine in machines:
            choice, cuts = self._admission.begin(
                machine, now.mono_ms, now.wall_ms // 1000, lease=True
            )
            if choice.places or cuts:
                self._gate.commit(choice.places, cuts, now)
            for place in choice.places:
                self._admission.settle(place)

    def flush(self, *, without_standings: bool = False) -> None:
        """The gate's bucket ends."""
        now, placed = self.clock.now(), 0 if without_standings else self._gate.placed
        standings = self._admission.drain_standing()
        lanes = [lane for each in self.store.board().channels for lane in each.lanes]
        candidates = [*sorted({lane.candidate for lane in lanes} - {0}), 0]
        fresh = [
            (candidates[0], machine)
            for machine in self.machines
            if self._admission.in_flight(machine)
            and (candidates[0], machine) not in self._has_installed
        ]
        # The gate tells of every file once.
        self._has_installed.update(fresh)
        self._gate.flush(
            Bucket(
                run="run-1",
                final=False,
                heard=self._roster.drain_heard(),
                habits=self._roster.drain_habits(mono_ms=now.mono_ms, wall_ms=now.wall_ms),
                standings=[] if without_standings else standings,
                installed=[
                    Installed(CHANNEL, number, machine, now.mono_ms) for number, machine in fresh
                ],
                census=self._admission.census(now.mono_ms, self.config.time.bucket_ms),
                board=self.store.board().version,
                placed=placed,
            ),
            now,
        )

    def pass_ms(self, ms: int) -> None:
        """Whole buckets pass; gate and intake go on listening, so nothing of it is downtime."""
        for _ in range(0, ms, BUCKET_MS):
            self.clock.pass_ms(BUCKET_MS)
            self.signals.beat(self.clock.now())
            if self._beating:
                self._beat()
            self.flush()

    def round(self, dead: Callable[[int], bool] = lambda _: False) -> None:
        """A minute: every machine that lives polls once; the judge ticks before and after."""
        self.poll([machine for machine in self.machines if not dead(machine)])
        self.flush()
        self.tick()
        self.pass_ms(ROUND_MS)
        self.tick()

    def settle_in(self, rounds: int = 7) -> str:
        """A first release is adopted, and the gate learns the habits of the fleet."""
        first = self.publish("1")
        self.tick()
        for _ in range(rounds):
            self.round()
        return first

    def treated(self, number: int) -> list[int]:
        """Machines that drew a treated card of a boarding, in the order of their cards."""
        reader = GateReader(self.config.data)
        places = reader.places_of(CHANNEL, number)
        reader.close()
        return [p.place.machine for p in places if p.place.treated and p.place.deck]

    def signal(self, machine: int, kind: str) -> None:
        """A machine reports harm."""
        now = self.clock.now()
        event = SignalEvent(MachineNo(machine), kind, now.wall_ms, f"{kind}-{now.wall_ms}", None)
        self.signals.append(now, [Delivery((), (event,))])

    def begin_to_beat(self) -> None:
        """From now on all machines send heartbeats, whatever becomes of them."""
        self._beating = True
        numbers = [MachineNo(machine) for machine in self.machines]
        self.signals.mark(numbers, Reports.BEATS)
        for machine in numbers:
            self._roster.set_reports(machine, Reports.BEATS)
        self._beat()

    def name(self, machine: int) -> str:
        """A machine's name."""
        return f"till-{machine:02d}"

    def close(self) -> None:
        """Close all files."""
        for each in (self.views, self.store, self._gate, self.signals, self.register):
            each.close()

    def _beat(self) -> None:
        numbers = [MachineNo(machine) for machine in self.machines]
        self.signals.append(self.clock.now(), [Delivery(numbers, ())])

    def _stratum(self, machine: int) -> str:
        attributes = self.register.attributes(MachineNo(machine))
        return stratum_of(attributes, self.config.policy_for(CHANNEL).strata)

    def _publish_board(self) -> None:
        board = self.train.board()
        if board.version != self.store.board().version:
            self.store.put_board(board)
