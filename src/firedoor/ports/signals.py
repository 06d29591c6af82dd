"""What machines tell, where it is kept, and who reads it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from firedoor.core.boots import JournalState
from firedoor.core.signal import Reports
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.inventory import Part
from firedoor.ports.clocks import Instant


class SignalEvent(NamedTuple):
    """One accepted signal that is not a heartbeat; a tuple, as there are thousands a second.

    Attributes:
        machine: Register number.
        kind: Signal kind (``crash``-like kinds of interfaces.md).
        time_ms: When it happened: the machine's own time, corrected where its clock is wrong; never
            after it was received.
        key: Idempotency key: the sender's ``id``, else its time.
        detail: JSON text, or None.
        shift_ms: What its clock was corrected by: ``time_ms`` less the time it said; 0: not at all.
    """

    machine: MachineNo
    kind: str
    time_ms: UnixMs
    key: str
    detail: str | None
    shift_ms: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one request brought.

    Attributes:
        heartbeats: Machines that sent a heartbeat; a number may repeat.
        events: All other signals.
        journals: What is to be remembered of machines' journals, in place of what was.
    """

    heartbeats: Sequence[MachineNo]
    events: Sequence[SignalEvent]
    journals: Mapping[MachineNo, JournalState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inventory:
    """One list of what a machine has.

    Attributes:
        machine: Register number.
        part: What of the machine it is of.
        digest: What the list is known by, see ``formats.inventory.digest``.
        items: Its items, in order.
        since_ms: Since when the machine has just these.
    """

    machine: MachineNo
    part: Part
    digest: bytes
    items: tuple[str, ...]
    since_ms: UnixMs


@dataclass(frozen=True, slots=True)
class HeardCollector:
    """When a collector sent something.

    Attributes:
        name: Its name in the register.
        heard: When last.
        gap_ms: The longest of the last gaps between two of its requests, ms; 0: not known yet.
    """

    name: str
    heard: Instant
    gap_ms: int


class SignalStore(Protocol):
    """Signals, durable. Written by the intake alone, read by judge and gate."""

    def append(self, received: Instant, deliveries: Sequence[Delivery]) -> Sequence[int]:
        """Store deliveries as one batch, atomically; durable on return.

        An event whose (machine, kind, key) is already stored is a duplicate: it is ignored.

        Args:
            received: When the last of them came; never before the ``received`` of an earlier call.
            deliveries: In the order they came.

        Returns:
            How many events were new, for each delivery.

        Raises:
            Unavailable: Nothing of this was stored.
        """
        ...

    def beat(self, at: Instant) -> None:
        """Record that the intake was listening until ``at`` (one row a bucket)."""
        ...

    def mark(self, machines: Sequence[MachineNo], reports: Reports) -> None:
        """Record how these machines report from now on."""
        ...

    def reporting(self) -> Mapping[MachineNo, Reports]:
        """How each machine reports that does, as last marked."""
        ...

    def keep_inventories(
        self, changed: Sequence[Inventory], told: Mapping[MachineNo, Mapping[str, str]]
    ) -> None:
        """Store what machines have and tell of themselves now, atomically.

        Args:
            changed: Lists, each in place of the machine's last one of the part.
            told: Attributes, in place of the machine's last ones.
        """
        ...

    def told(self) -> Iterator[tuple[MachineNo, Mapping[str, str]]]:
        """The attributes that each machine tells."""

    def collectors(self) -> Sequence[HeardCollector]:
        """Collectors that have sent anything, by name."""
        ...

    def keep_collectors(self, heard: Sequence[HeardCollector]) -> None:
        """Record when collectors were heard, in place of what was recorded of them."""
        ...

    def journal(self, machine: MachineNo) -> JournalState | None:
        """What is remembered of a machine's journal; None: it has never sent any of it."""
        ...

    def prune(self, before_wall_ms: UnixMs) -> int:
        """Forget batches, their events, and beats before a wall time; return how many batches.

        From the oldest on, up to the first that is not before it.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One commit of the intake.

    Attributes:
        seq: Position, from 1, rising; gaps where batches were pruned.
        received: When the last delivery in it came; monotonic time never falls within a boot.
        heartbeats: Machines that sent a heartbeat: distinct, rising. Unsigned 32-bit integers
            in a buffer, so that ``numpy.asarray`` copies nothing.
    """

    seq: int
    received: Instant
    heartbeats: Sequence[MachineNo]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One stored signal that is not a heartbeat.

    Attributes:
        seq: Position, from 1, rising, with gaps.
        batch: Batch it came in; also pruned ones are named.
        received: When that batch came, or None after it was pruned.
        event: The signal.
    """

    seq: int
    batch: int
    received: Instant | None
    event: SignalEvent


@dataclass(frozen=True, slots=True)
class StoredBeat:
    """The intake was listening at this instant.

    Attributes:
        seq: Position, from 1, rising.
        at: The instant. No beat for much longer than a bucket, or another boot: it was down.
    """

    seq: int
    at: Instant


@dataclass(frozen=True, slots=True)
class Pulse:
    """How a machine reports.

    Attributes:
        changed: Number of the change, rising over all machines; ask again from the last one.
        machine: Register number.
        reports: How it does, since this change.
    """

    changed: int
    machine: MachineNo
    reports: Reports


class Numbered(Protocol):
    """A database of another process that is read by row numbers. Raises Unavailable."""

    def identity(self) -> str:
        """Which database this is: numbers of one mean nothing in another."""
        ...

    def reached(self) -> Mapping[str, int]:
        """Highest row number by the name of its cursor, 0 for no row.

        It falls only when an older copy has taken the database's place.
        """
        ...


class SignalSource(Numbered, Protocol):
    """What the intake stored, read by judge and gate. Raises Unavailable.

    Each answer is complete at the moment of the call; what is committed between two calls may
    be in the second alone. So read events and beats first and batches after, or hold back
    events of batches not seen yet.
    """

    def batches_after(self, seq: int, limit: int) -> Sequence[StoredBatch]:
        """The next batches by position, at most ``limit``."""
        ...

    def events_after(self, seq: int, limit: int) -> Sequence[StoredEvent]:
        """The next events by position, at most ``limit``."""
        ...

    def beats_after(self, seq: int) -> Sequence[StoredBeat]:
        """All later beats by position."""
        ...

    def pulses_after(self, changed: int) -> Sequence[Pulse]:
        """The present pulse of every machine whose pulse changed later, by change."""
        ...

    def collectors(self) -> Sequence[HeardCollector]:
        """Collectors that have sent anything, by name."""
        ...
