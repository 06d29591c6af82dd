"""Checking a ledger: what anyone can do with the entries and a public key.

The chain alone cannot show that its end was cut off: the entries that remain are all right. A
*head* that was kept apart can, and it also tells a ledger restored from an old backup.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firedoor.core.errors import BadInput
from firedoor.core.ledger.entry import GENESIS, Signed, leaf_hash, signed_payload
from firedoor.core.units import Digest, UnixMs


@dataclass(frozen=True, slots=True)
class Head:
    """How far a ledger reaches, in few enough bytes to be kept elsewhere.

    Attributes:
        size: Number of entries, >= 0.
        last: Leaf hash of the last of them, ``GENESIS`` when there are none.
    """

    size: int
    last: Digest

    def __post_init__(self) -> None:
        """Refuse a head that no ledger can have."""
        if self.size < 0 or (self.size == 0) != (self.last == GENESIS):
            raise ValueError(f"no ledger has {self.size} entries and the last hash {self.last}")


EMPTY: Head = Head(0, GENESIS)
"""Head of a ledger that has no entries."""


class FaultKind(StrEnum):
    """Why an entry cannot be believed."""

    GAP = "gap"
    """Its index is not the next one: entries are missing, doubled or out of order."""
    WRONG_PREVIOUS = "wrong-previous"
    """It was written after another entry than the one that stands before it."""
    WRONG_SIGNATURE = "wrong-signature"
    """It was changed, or another key signed it."""
    TRUNCATED = "truncated"
    """The ledger is known to have reached further."""
    FORKED = "forked"
    """It is well signed, and not the entry that the known head vouches for."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing wrong with a ledger.

    Attributes:
        index: Place in the ledger at which belief ends: entries before it are vouched for.
        kind: Why.
        message: The same for people.
    """

    index: int
    kind: FaultKind
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of a ledger found.

    Attributes:
        head: Head of the part that is right: everything before the fault, or all of it.
        fault: The first fault, or None.
        clock_steps: Indexes of entries dated earlier than the one before them. Clocks are set
            back; this is worth a look and proves nothing.
    """

    head: Head
    fault: Fault | None
    clock_steps: tuple[int, ...]

    @property
    def sound(self) -> bool:
        """Whether every entry can be believed."""
        return self.fault is None


def verify_chain(
    entries: Iterable[Signed], public_key: bytes, known: Head | None = None, *, after: Head = EMPTY
) -> Report:
    """Check signed entries one after the other, up to the first that is wrong.

    What a sound report says: the holder of the key signed exactly these entries in this order.
    It does not say that the holder told the truth, nor that nobody was shown another ledger.

    Args:
        entries: Consecutive entries; read once, so they may come from a file of any length.
        public_key: The ledger's Ed25519 public key, 32 bytes.
        known: A head this ledger had at some time, kept apart. Without it a cut-off end cannot
            be seen. It may be older than the end; one not newer than ``after`` says nothing.
        after: Head of a part that was checked before; ``entries`` go on from there.

    Returns:
        The head reached, the first fault and notes on the clock.

    Raises:
        BadInput: ``public_key`` is not an Ed25519 public key.
    """
    key = _public_key(public_key)
    head, clock_steps, fault = after, list[int](), None
    time_before = UnixMs(0)
    for signed in entries:
        fault = _fault(signed, key, head, known)
        if fault is not None:
            break
        entry = signed.entry
        if entry.time_ms < time_before:
            clock_steps.append(entry.index)
        time_before = entry.time_ms
        head = Head(entry.index + 1, leaf_hash(entry))
    if fault is None:
        fault = _end(head, known)
    return Report(head, fault, tuple(clock_steps))


def _fault(signed: Signed, key: Ed25519PublicKey, head: Head, known: Head | None) -> Fault | None:
    """What is wrong with the entry after ``head``, or nothing."""
    entry, place = signed.entry, head.size
    if entry.index != place:
        return Fault(place, FaultKind.GAP, f"entry {entry.index} stands where {place} belongs")
    if entry.previous != head.last:
        return Fault(
            place,
            FaultKind.WRONG_PREVIOUS,
            f"entry {place} was written after {entry.previous[:16]}, not after {head.last[:16]}",
        )
    try:
        key.verify(signed.signature, signed_payload(entry))
    except InvalidSignature:
        return Fault(
            place,
            FaultKind.WRONG_SIGNATURE,
            f"entry {place} was changed after it was signed, or another key signed it",
        )
    if known is not None and known.size == place + 1 and known.last != leaf_hash(entry):
        return Fault(
            place,
            FaultKind.FORKED,
            f"entry {place} is not the one whose hash was kept, {known.last[:16]}",
        )
    return None


def _end(head: Head, known: Head | None) -> Fault | None:
    if known is None or head.size >= known.size:
        return None
    return Fault(
        head.size,
        FaultKind.TRUNCATED,
        f"the ledger ends after {head.size} entries; it had {known.size}",
    )


def _public_key(raw: bytes) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise BadInput(f"not an Ed25519 public key: {error}") from error
