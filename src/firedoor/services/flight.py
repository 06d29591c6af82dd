"""A release in flight: its doors, pools and evidence, and the numbers they amount to.

Everything here is a view of what is stored: it can be dropped and built again from the stores
at any moment, and then gives the same cells and the same verdict.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from firedoor.core import valve
from firedoor.core.board import Grant
from firedoor.core.cell import Cell, Test
from firedoor.core.door import Door, State
from firedoor.core.evidence.mixture import epoch_of
from firedoor.core.terms import TakesEffect
from firedoor.core.tick import Known, absorb_all, verdicts
from firedoor.core.verdict import Evidence, Verdict, check, start
from firedoor.ports import Instant
from firedoor.services.boarding import Boarding
from firedoor.services.effects import Effect
from firedoor.services.late import Late, Latecomers, Wait
from firedoor.services.pools import Pool

_SPELLED = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Numbers:
    """Where one ring stands. Counts of machines.

    Attributes:
        admitted: Treated cards drawn.
        control: Control members of the classes that have not matured.
        in_flight: Treated members whose class has not matured, and those that wait.
        matured: Treated members whose class has matured, without those that wait or are dormant.
        harmed: Treated members counted as harmed.
        budget: B.
        window: floor(B / U).
        debt: Harmed in excess of chance, less those that spoke again.
        room: Machines that may be admitted now.
        watched: Members of matured classes, of both arms, that stay sealed: late harm is looked
            for among them.
        growth: By how much the budget has grown with what fails anyway, >= 0; in the window.
        waiting: Those in flight whose class has matured: they installed late, or have not yet.
        unseen: Of the debt, those harmed by a restart after their class was looked at: no bound on
            the harm has seen them.
        dormant: Treated members that have not installed for ``install_wait``: neither in flight
            nor matured. More than the window holds keep their slots.
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
    watched: int = 0
    growth: float = 0.0
    waiting: int = 0
    dormant: int = 0
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Silent:
    """A treated machine that was counted as silent: it frees its slot if it speaks again.

    Attributes:
        machine: Register number.
        ring: Its ring.
        counted_ms: Monotonic time up to which it had been listened for.
        deck: Its deck.
        cls: Class of its silence deadline.
        beating: Its regular heartbeats reach the intake.
    """

    machine: int
    ring: str
    counted_ms: int
    deck: int = 0
    cls: int = 0
    beating: bool = False


@dataclass(slots=True)
class Flight:
    """One boarding while the judge watches it.

    Attributes:
        boarding: What was fixed when it boarded.
        seed: Its secret seed.
        doors: By ring.
        weighed: The fold over the cells that have been weighed.
        digest: Digest of all cells.
        pools: Pools that have not closed, by (ring, deck).
        grants: Decks that may be dealt, by ring.
        withdrawn: Decks that may not be dealt any more, until the gate's cut has come.
        last_deck: Highest deck number by ring.
        admitted: Treated cards by ring.
        excess: Machines harmed beyond chance by ring, over the signals that decide.
        harmed: Treated machines harmed by ring, likewise.
        background: Control machines harmed by ring, likewise: what fails anyway.
        recovered: Treated machines that were counted as silent and have spoken again, by ring.
        silent: Those that have not, by the row of their place.
        last_cut: When the last deck was cut, by ring.
        installed: When treated machines had all bytes, monotonic ms; 0 for an earlier boot.
        effect: Where it takes effect by a restart: on whom it has. None: it does by its bytes.
        late: Treated machines that were looked at before they could have installed.
        epoch: Present epoch of the start-time mixture.
        deadlines: Usual silence deadline of the members of the ring's newest deck, ms.
        deserted: Rings in shadow mode in which there was nobody to deal a deck to.
        due: Cells that have been taken and not weighed yet.
        said: What the evidence last amounted to, and which evidence that was.
        deciding: Signals with a share in the verdict.
    """

    boarding: Boarding
    seed: bytes
    doors: dict[str, Door]
    weighed: Evidence
    digest: str = ""
    pools: dict[tuple[str, int], Pool] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    withdrawn: dict[tuple[str, int], Grant] = field(default_factory=dict)
    last_deck: dict[str, int] = field(default_factory=dict)
    admitted: dict[str, int] = field(default_factory=dict)
    excess: dict[str, float] = field(default_factory=dict)
    harmed: dict[str, int] = field(default_factory=dict)
    background: dict[str, int] = field(default_factory=dict)
    recovered: dict[str, int] = field(default_factory=dict)
    silent: dict[int, Silent] = field(default_factory=dict)
    last_cut: dict[str, Instant] = field(default_factory=dict)
    installed: dict[int, int] = field(default_factory=dict)
    effect: Effect | None = None
    late: Latecomers = field(default_factory=Latecomers)
    epoch: int = 0
    deadlines: dict[str, int] = field(default_factory=dict)
    deserted: set[str] = field(default_factory=set)
    due: list[Cell] = field(default_factory=list)
    said: Known | None = field(default=None, repr=False, compare=False)
    deciding: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look up once what is asked for every cell."""
        shares = self.boarding.rules.shares
        self.deciding = frozenset(signal for signal, share in shares if share > 0.0)
        by = self.boarding.takes_effect
        self.effect = None if by is TakesEffect.INSTALL else Effect(by, self.boarding.restart_of)

    @classmethod
    def begin(cls, boarding: Boarding, seed: bytes, doors: Sequence[Door]) -> "Flight":
        """A boarding without a cell."""
        return cls(boarding, seed, {door.ring: door for door in doors}, start(boarding.rules))

    @property
    def evidence(self) -> Evidence:
        """The fold over all its cells."""
        if self.due:
            weigh([self])
        return self.weighed

    @property
    def seq(self) -> int:
        """Number of its last cell, 0 before the first."""
        return self.due[-1].seq if self.due else self.weighed.seq

    def absorb(self, cell: Cell) -> None:
        """Take the next cell into the ring's accounts, to be weighed when somebody asks.

        Raises:
            ValueError: It is not the next one, or its signal has no share.
        """
        check(self.boarding.rules, self.seq, cell)
        self.due.append(cell)
        self.digest = digest_of(self.digest, cell)
        self.epoch = max(self.epoch, cell.epoch)
        if cell.test is Test.HARM and self.decides(cell.signal):
            ring = cell.ring
            self.excess[ring] = self.excess.get(ring, 0.0) + valve.beyond_chance(
                treated=cell.treated,
                control=cell.control,
                treated_harmed=cell.treated_harmed,
                control_harmed=cell.control_harmed,
            )
            self.harmed[ring] = self.harmed.get(ring, 0) + cell.treated_harmed
            self.background[ring] = self.background.get(ring, 0) + cell.control_harmed

    def took_effect(self, machine: int) -> int | None:
        """When the release took effect on a machine, monotonic ms; None: it has not.

        With its last byte, or by a restart after that; 0 for an earlier boot.
        """
        known = self.installed if self.effect is None else self.effect.since
        return known.get(machine)

    def decides(self, signal: str) -> bool:
        """Say whether a signal has a share in the verdict; others are only shown."""
        return signal in self.deciding

    def epoch_at(self, wall_ms: int, bucket_ms: int) -> int:
        """Epoch of the start-time mixture; it never falls, whatever the wall clock does."""
        buckets = max(0, wall_ms - self.boarding.boarded_ms) // bucket_ms
        return max(self.epoch, epoch_of(buckets))

    def verdict(self) -> Verdict:
        """What the evidence says now."""
        # A bisection over the evidence: most ticks bring a boarding no cell and need no new one.
        if self.said is not None and not self.due:
            return self.said[1]
        return weigh([self])[0]

    def pools_of(self, ring: str) -> list[Pool]:
        """Pools of a ring that have not closed."""
        return [pool for (name, _), pool in self.pools.items() if name == ring]

    def may_deal(self, ring: str) -> bool:
        """No deck of the ring is open, as far as is known."""
        return ring not in self.grants and all(name != ring for name, _ in self.withdrawn)

    def has_dealt(self, ring: str) -> bool:
        """The ring's first deck was opened, or there was nobody to open it for."""
        return ring in self.last_deck or ring in self.deserted

    def withdraw(self, ring: str) -> None:
        """Take back the leave to deal: the gate cuts the deck when it finds it gone."""
        grant = self.grants.pop(ring, None)
        if grant is not None:
            self.withdrawn[(ring, grant.deck)] = grant

    def unresolved(self, ring: str) -> bool:
        """Somebody may still be enrolled or is not yet resolved."""
        if ring in self.grants or self.late.count(ring, Wait.WAITING):
            return True
        return not all(p.is_matured() for p in self.pools_of(ring))

    def locked(self, ring: str) -> int:
        """Members of the ring's long decks that may not draw another card."""
        return sum(pool.locked() for pool in self.pools_of(ring) if pool.long)

    def all_spoke_again(self, ring: str) -> bool:
        """Every treated machine that was counted as harmed was only silent, and spoke again."""
        return self.lost(ring) == 0

    def lost(self, ring: str) -> int:
        """Treated machines that were counted as harmed and have not spoken again."""
        return self.harmed.get(ring, 0) - self.recovered.get(ring, 0)

    def gone(self, ring: str, matured: int) -> bool:
        """Most of those of a ring that tried the release are harmed and have not spoken again."""
        return 2 * self.lost(ring) > matured

    def numbers(self, ring: str, found: Verdict) -> Numbers:
        """Where the ring stands under this verdict."""
        counts = [pool.sealed_counts() for pool in self.pools_of(ring)]
        treated = sum(treated for treated, _ in counts)
        sealed = sum(count for _, count in counts)
        waiting = self.late.count(ring, Wait.WAITING) + self.late.count(ring, Wait.WOKEN)
        dormant = self.late.count(ring, Wait.DORMANT)
        in_flight = treated + waiting
        admitted = self.admitted.get(ring, 0)
        debt = max(0.0, self.excess.get(ring, 0.0) - self.recovered.get(ring, 0))
        budget = self.doors[ring].budget
        terms = self.boarding.terms[ring]
        growth = valve.growth(terms.budget_growth, self.background.get(ring, 0))
        matured = admitted - in_flight - dormant
        # What other rings have shown is no bound for one that has not tried it, or is gone from it.
        upper = found.harm_upper if matured > 0 and not self.gone(ring, matured) else 1.0
        unseen, doubtful, left = 0, 0, budget + growth
        if self.effect is not None:
            doubtful = waiting
            unseen, risk, more = self._late_risk(ring, matured, waiting, debt)
            upper = min(1.0, upper + more)
            left = max(0.0, left - unseen - waiting * risk)
        window = valve.window(left, upper)
        return Numbers(
            admitted=admitted,
            control=sealed - treated,
            in_flight=in_flight,
            matured=matured,
            harmed=self.harmed.get(ring, 0),
            budget=budget,
            window=window,
            debt=debt,
            room=valve.room(
                budget=left,
                upper=upper,
                in_flight=in_flight - doubtful + max(0, dormant - window),
                debt=max(0.0, debt - unseen),
            ),
            watched=sum(pool.watched() for pool in self.pools_of(ring)),
            growth=growth,
            waiting=waiting,
            dormant=dormant,
            unseen=unseen,
        )

    def _late_risk(
        self, ring: str, matured: int, waiting: int, debt: float
    ) -> tuple[int, float, float]:
        """Who restarts late is in no cell, and may be just whom a release kills.

        Its harm would be diluted by a bound that the quick ones alone have made. So late machines
        have a bound of their own, from those of them that did restart.

        Returns:
            Late machines harmed; how likely each that waits is; and by how much that, and the share
            of the late among those that are let in, raises the bound of all.
        """
        unseen = self.late.count(ring, Wait.HARMED) + self.late.count(ring, Wait.TOLD)
        unseen = min(unseen, math.ceil(debt))
        survived = self.late.survived.get(ring, 0)
        risk = valve.late_upper(survived, unseen) if waiting else 0.0
        share = (waiting + survived) / max(matured + waiting, 1)
        return unseen, risk, unseen / max(matured, 1) + share * risk

    def wait(self, late: Late) -> None:
        """Take over where a late machine stands now; one that is harmed has no control: a debt."""
        before = self.late.late.get(late.row)
        more = late.harmed - (before is not None and before.harmed)
        if more:
            ring = late.ring
            self.excess[ring] = self.excess.get(ring, 0.0) + more
            self.harmed[ring] = self.harmed.get(ring, 0) + more
        self.late.put(late)

    def all_numbers(self, found: Verdict) -> dict[str, Numbers]:
        """Where each ring stands under this verdict."""
        return {ring: self.numbers(ring, found) for ring in self.doors}

    def watched(self) -> bool:
        """The judge still has something to learn or to decide here."""
        undecided = {State.WAITING, State.OPENING, State.HELD}
        return bool(self.pools) or any(door.state in undecided for door in self.doors.values())


def weigh(flights: Iterable[Flight]) -> list[Verdict]:
    """Weigh the cells that are due, of all flights at once, and say what each amounts to.

    Returns:
        Verdicts of the flights that had anything due or had never been asked, in their order.
        The bits are those of weighing one cell at a time.
    """
    stale = [flight for flight in flights if flight.due or flight.said is None]
    found = absorb_all([(flight.weighed, flight.due) for flight in stale])
    said = verdicts(found, [flight.said for flight in stale])
    for flight, evidence, verdict in zip(stale, found, said, strict=True):
        flight.weighed, flight.due, flight.said = evidence, [], (evidence, verdict)
    return said


def digest_of(before: str, cell: Cell) -> str:
    """Chain the digest of a boarding's cells: what a decision names as its evidence."""
    # The canonical spelling (core.ledger.canonical): these few fields need none of its checks.
    row = _SPELLED.encode(msgspec.to_builtins(cell))
    return hashlib.sha256(f"{before}\n{row}".encode()).hexdigest()
