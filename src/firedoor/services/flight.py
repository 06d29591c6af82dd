"""A release in flight: its doors, pools and evidence, and the numbers they amount to.

Everything here is a view of what is stored: it can be dropped and built again from the stores
at any moment, and then gives the same cells and the same verdict.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from firedoor.core import valve
from firedoor.core.board import Grant
from firedoor.core.cell import Cell, Test
from firedoor.core.door import Door, State
from firedoor.core.ledger.canonical import to_canonical
from firedoor.core.verdict import Evidence, Verdict, absorb, start, verdict
from firedoor.services.boarding import Boarding
from firedoor.services.pools import Pool

EPOCH_BUCKETS = 60
"""Epochs of the start-time mixture: hourly at 60 s buckets, on the first day."""

DAY_BUCKETS = 1440
"""After this many buckets an epoch lasts as long as this."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Where one ring stands. Counts of machines.

    Attributes:
        admitted: Treated cards drawn.
        control: Control members that are sealed now.
        in_flight: Treated members whose class has not closed.
        matured: Treated members whose class has closed.
        harmed: Treated members counted as harmed.
        budget: B.
        window: floor(B / U).
        debt: Harmed in excess of chance, less those that spoke again.
        room: Machines that may be admitted now.
    """

    admitted: int
    control: int
    in_flight: int
    matured: int
    harmed: int
    budget: int
    window: int
    debt: float
    room: int


@dataclass(frozen=True, slots=True)
class Silent:
    """A treated machine that was counted as silent: it frees its slot if it speaks again.

    Attributes:
        machine: Register number.
        ring: Its ring.
        counted_ms: Monotonic time up to which it had been listened for.
    """

    machine: int
    ring: str
    counted_ms: int


@dataclass(slots=True)
class Flight:
    """One boarding while the judge watches it."""

    boarding: Boarding
    seed: bytes
    doors: dict[str, Door]
    evidence: Evidence
    digest: str = ""
    pools: dict[tuple[str, int], Pool] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    last_deck: dict[str, int] = field(default_factory=dict)
    admitted: dict[str, int] = field(default_factory=dict)
    excess: dict[str, float] = field(default_factory=dict)
    harmed: dict[str, int] = field(default_factory=dict)
    recovered: dict[str, int] = field(default_factory=dict)
    silent: dict[int, Silent] = field(default_factory=dict)
    last_cut_wall: dict[str, int] = field(default_factory=dict)
    installed: set[int] = field(default_factory=set)
    epoch: int = 0

    @classmethod
    def begin(cls, boarding: Boarding, seed: bytes, doors: Sequence[Door]) -> "Flight":
        """A boarding without a cell."""
        return cls(boarding, seed, {door.ring: door for door in doors}, start(boarding.rules))

    def absorb(self, cell: Cell) -> None:
        """Take the next cell into the evidence and the ring's accounts."""
        self.evidence = absorb(self.evidence, cell)
        self.digest = digest_of(self.digest, cell)
        self.epoch = max(self.epoch, cell.epoch)
        if cell.test is Test.HARM:
            hit = cell.treated_harmed + cell.control_harmed
            expected = hit * cell.treated / (cell.treated + cell.control)
            ring = cell.ring
            self.excess[ring] = self.excess.get(ring, 0.0) + cell.treated_harmed - expected
            self.harmed[ring] = self.harmed.get(ring, 0) + cell.treated_harmed

    def epoch_at(self, wall_ms: int, bucket_ms: int) -> int:
        """Epoch of the start-time mixture; it never falls, whatever the wall clock does."""
        buckets = max(0, wall_ms - self.boarding.boarded_ms) // bucket_ms
        if buckets < DAY_BUCKETS:
            return max(self.epoch, buckets // EPOCH_BUCKETS)
        first_day = DAY_BUCKETS // EPOCH_BUCKETS
        return max(self.epoch, first_day + (buckets - DAY_BUCKETS) // DAY_BUCKETS)

    def verdict(self) -> Verdict:
        """What the evidence says now."""
        return verdict(self.evidence)

    def pools_of(self, ring: str) -> list[Pool]:
        """Pools of a ring that have not closed."""
        return [pool for (name, _), pool in self.pools.items() if name == ring]

    def unresolved(self, ring: str) -> bool:
        """Somebody may still be enrolled or is not yet resolved."""
        return ring in self.grants or bool(self.pools_of(ring))

    def numbers(self, ring: str, found: Verdict) -> Numbers:
        """Where the ring stands under this verdict."""
        pools = self.pools_of(ring)
        in_flight = sum(pool.sealed_treated() for pool in pools)
        sealed = sum(int(pool.sealed().sum()) for pool in pools)
        admitted = self.admitted.get(ring, 0)
        debt = max(0.0, self.excess.get(ring, 0.0) - self.recovered.get(ring, 0))
        budget = self.doors[ring].budget
        return Numbers(
            admitted=admitted,
            control=sealed - in_flight,
            in_flight=in_flight,
            matured=admitted - in_flight,
            harmed=self.harmed.get(ring, 0),
            budget=budget,
            window=valve.window(budget, found.harm_upper),
            debt=debt,
            room=valve.room(budget=budget, upper=found.harm_upper, in_flight=in_flight, debt=debt),
        )

    def watched(self) -> bool:
        """The judge still has something to learn or to decide here."""
        undecided = {State.WAITING, State.OPENING, State.HELD}
        return bool(self.pools) or any(door.state in undecided for door in self.doors.values())


def digest_of(before: str, cell: Cell) -> str:
    """Chain the digest of a boarding's cells: what a decision names as its evidence."""
    row = to_canonical(msgspec.to_builtins(cell))
    return hashlib.sha256(before.encode() + b"\n" + row).hexdigest()
