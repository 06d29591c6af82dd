"""Ports: what the services need from the world, as small Protocols.

The docstring of a method is its contract: what is durable, atomic, idempotent, and what is
returned when there is nothing. Adapters match structurally; one contract suite per port runs
against all of them (``tests/contract``).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from firedoor.core.boots import JournalState
from firedoor.core.host_id import HostId
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest, MachineNo, UnixMs
from firedoor.formats.inventory import Part


@dataclass(frozen=True, slots=True)
class Instant:
    """One reading of the clocks of this host.

    Attributes:
        boot: Identity of this boot of the host; monotonic times of two boots cannot be compared.
        mono_ms: Monotonic clock in milliseconds; the same in all processes of one boot.
        wall_ms: Wall clock. For people and records only.
    """

    boot: str
    mono_ms: int
    wall_ms: UnixMs

    def since(self, earlier: "Instant") -> int:
        """Time since an earlier reading, ms >= 0.

        Monotonic within one boot of the host; only across boots by the wall clock, which may be
        set.
        """
        if earlier.boot == self.boot:
            return max(0, self.mono_ms - earlier.mono_ms)
        return max(0, self.wall_ms - earlier.wall_ms)


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> Instant:
        """Read all clocks at once."""
        ...

    def monotonic_ms(self) -> int:
        """The monotonic clock alone, as in ``now``: for what asks at every request."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the upstream's index names it.

    Attributes:
        path: Relative POSIX path without ``..``, never empty.
        sha256: Digest the index promises, or None where the index has none.
        size: Size in bytes the index promises, or None.
        deferred: It need not be fetched before somebody asks for it; digest and size are promised.
    """

    path: str
    sha256: Digest | None
    size: int | None
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch put into the blob store.

    Attributes:
        entry: Digest and size of the bytes now stored, and their media type.
        validator: What lets the adapter that made it tell later that the file is unchanged
            (``ETag``, ``Last-Modified``, times of a file); ``""`` where nothing proves that.
    """

    entry: FileEntry
    validator: str


class Upstream(Protocol):
    """A vendor's content, read-only. Raises Unavailable, Untrusted or UpstreamMoved."""

    def index(self) -> Sequence[Listed]:
        """List the files now, sorted by path. Never served from a cache of our own."""
        ...

    def fetch(self, listed: Listed, known: Fetched | None, into: "BlobStore") -> Fetched:
        """Bring one file's bytes into ``into`` and verify them against ``listed``.

        With ``known`` the request is conditional: when upstream says "not modified" and the
        blob is still held, ``known`` is returned and no body travels. Where ``listed`` promises
        a digest that is held, nothing is asked at all; where it promises another, ``known``
        counts for nothing.
        """
        ...


class Source(Protocol):
    """A vendor's server or directory, by paths. Raises Unavailable, Untrusted or UpstreamMoved."""

    def read(self, path: str, most: int) -> bytes | None:
        """One file as it is now, or None if there is none; never served from a cache of our own.

        Args:
            path: As in ``Listed``.
            most: Bytes; a longer file is refused.
        """
        ...

    def fetch(self, listed: Listed, known: Fetched | None, into: "BlobStore") -> Fetched:
        """As in ``Upstream``."""
        ...


class BlobStore(Protocol):
    """Bytes by digest. A blob that is visible is complete, durable and right."""

    def put(self, chunks: Iterator[bytes], expected: Digest | None = None) -> tuple[Digest, int]:
        """Store a stream; return its digest and size in bytes. Durable and atomic on return.

        Raises:
            Untrusted: ``expected`` is given and the bytes hash to something else; nothing stays.
            Unavailable: No space or no permission; nothing stays.
        """
        ...

    def path(self, digest: Digest) -> str:
        """Path of the blob on the local file system; does not check that it exists."""
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is stored."""
        ...

    def claim(self, digest: Digest) -> bool:
        """Say whether the blob is stored; if so, it is not swept for a day at least.

        Whoever relies on a blob that no stored release names yet has to claim it.
        """
        ...

    def scrub(self) -> Iterator[Digest]:
        """Hash stored blobs one after the other; yield those that no longer match.

        A blob that does not match is moved aside, so ``has`` becomes False.
        """
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for.

    Attributes:
        machine: Register number of the machine, or None for a collector.
        name: Name of the machine or collector.
        binds: For a collector: shell-style patterns of machine names it may speak for.
    """

    machine: MachineNo | None
    name: str
    binds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client's TLS certificate, whose chain and dates have been verified.

    Attributes:
        name: Common name of its subject.
        fingerprint: SHA-256 of the certificate, hexadecimal.
    """

    name: str
    fingerprint: str


CERTIFICATE: Final = "firedoor.certificate"
"""Key of an ASGI scope under which TLS puts the client's ``Certificate``, if it has shown one."""


ARRIVAL: Final = "firedoor.arrival"
"""Key of an ASGI scope under which a server that knows it has the ``Arrival`` of its replies."""


class Arrival(Protocol):
    """What a client has acknowledged on one connection, in a unit of the server's own."""

    def given(self) -> int:
        """What has to be acknowledged for all that ``send`` has returned for on this reply."""
        ...

    def taken(self) -> int:
        """What is acknowledged so far."""
        ...

    def over(self) -> bool:
        """Whether nothing more can be acknowledged."""
        ...


class ClientGone(OSError):
    """What an ASGI server raises in ``send`` when the client has gone.

    Attributes:
        taken: Bytes of this part of a file that were on their way before, >= 0.
    """

    def __init__(self, taken: int = 0) -> None:
        super().__init__("the client has gone")
        self.taken = taken


class Register(Protocol):
    """The known machines and their tokens (stored as SHA-256 only)."""

    def identify(self, token: str, purpose: str) -> Identity | None:
        """Whom this token speaks for, or None. ``purpose`` is ``read`` or ``signal``."""
        ...

    def number(self, name: str) -> MachineNo | None:
        """Register number of an enrolled, not revoked machine, or None."""
        ...

    def certified(self, name: str, fingerprint: str) -> MachineNo | None:
        """Register number behind a verified client certificate, or None.

        Args:
            name: The common name of its subject.
            fingerprint: SHA-256 of the certificate, hexadecimal.
        """
        ...

    def numbers(self, names: Collection[str]) -> Mapping[str, MachineNo]:
        """Register numbers of those of ``names`` that are enrolled and not revoked; 2 us each."""
        ...

    def known_as(self, host: HostId) -> tuple[MachineNo, str] | None:
        """Number and name of the enrolled machine that an identity is bound to, or None; 10 us."""
        ...

    def attributes(self, machine: MachineNo) -> Mapping[str, str]:
        """Attributes set at enrolment; empty when there are none."""
        ...

    def version(self) -> int:
        """A number that changes whenever another process changed the register; cheap."""
        ...


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

    def mark_beating(self, machines: Sequence[MachineNo], *, beating: bool) -> None:
        """Record that these machines began or ceased to send regular heartbeats."""
        ...

    def beating(self) -> Sequence[MachineNo]:
        """Machines that send regular heartbeats, as last marked, by number."""
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
    """Whether a machine sends regular heartbeats.

    Attributes:
        changed: Number of the change, rising over all machines; ask again from the last one.
        machine: Register number.
        beating: Whether it does, since this change.
    """

    changed: int
    machine: MachineNo
    beating: bool


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
