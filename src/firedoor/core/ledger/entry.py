"""Entries of the ledger: what was decided, hashed so that it fits a transparency log.

An entry's bytes are its *leaf*: canonical JSON, the same for everyone. The leaf hash is that of
RFC 6962 and C2SP tlog-tiles, so the leaves of a ledger can become the leaves of a Merkle tree as
they are. Each entry names the leaf hash of the entry before it, and its signature covers its own
leaf hash: one key and the last leaf hash vouch for everything before.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from firedoor.core.errors import BadInput, TooLarge
from firedoor.core.ledger.canonical import MAX_INTEGER, Json, from_canonical, to_canonical
from firedoor.core.units import Digest, UnixMs

MAX_LEAF_BYTES: Final = 16 * 1024
"""Largest leaf. C2SP allows 65,535 bytes; a decision is short, and its evidence lies in cells."""

SIGNATURE_BYTES: Final = 64
"""Length of an Ed25519 signature (RFC 8032)."""

GENESIS: Final = Digest("0" * 64)
"""What the first entry names as the entry before it: there is none."""

SIGNING_CONTEXT: Final = b"firedoor ledger entry v1\n"
"""Prefix of everything an entry's signature covers.

A signature made for an entry can never be taken for one made for something else, a checkpoint for
example, although the key may be the same.
"""

_VERSION: Final = 1
_LEAF_PREFIX: Final = b"\x00"  # RFC 6962, section 2.1: 0x00 before a leaf, 0x01 before a node
_FIELDS: Final = frozenset({"body", "index", "kind", "previous", "time_ms", "v"})
_KIND: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision, or anything else that has to be on the record.

    Attributes:
        index: Place in the ledger, from 0, without gaps.
        time_ms: Wall-clock time of the writer. For people: order is given by ``index``.
        kind: What the body tells, a word like ``door-shut``: lower-case letters, digits and
            hyphens, 64 at most.
        body: The facts, as canonical JSON can say them; copied, and frozen at every level.
        previous: Leaf hash of the entry before, ``GENESIS`` for the first.

    Raises:
        ValueError: A field is out of its range, or the leaf would pass ``MAX_LEAF_BYTES``.
    """

    index: int
    time_ms: UnixMs
    kind: str
    body: Mapping[str, Json]
    previous: Digest

    def __post_init__(self) -> None:
        """Refuse what could not be read back, before it is signed."""
        if not 0 <= self.index <= MAX_INTEGER:
            raise ValueError(f"index {self.index} is not a place in a ledger")
        if not 0 <= self.time_ms <= MAX_INTEGER:
            raise ValueError(f"time {self.time_ms} is not a time after 1970")
        if not _KIND.fullmatch(self.kind):
            raise ValueError(f"kind {self.kind!r} is not a word of lower-case letters and hyphens")
        if not _DIGEST.fullmatch(self.previous):
            raise ValueError(f"previous {self.previous!r} is not a leaf hash")
        if self.index == 0 and self.previous != GENESIS:
            raise ValueError("the first entry has none before it")
        # Spelled before it is copied: spelling is what bounds the nesting of a hostile body.
        size = len(leaf_bytes(self))
        if size > MAX_LEAF_BYTES:
            raise ValueError(f"the entry has {size} bytes, {MAX_LEAF_BYTES} at most")
        object.__setattr__(self, "body", _frozen_mapping(self.body))


@dataclass(frozen=True, slots=True)
class Signed:
    """An entry and the ledger key's signature of it; nothing is verified by having one.

    Attributes:
        entry: The entry.
        signature: Ed25519 signature of ``signed_payload(entry)``, 64 bytes.
    """

    entry: Entry
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse a signature that cannot be one."""
        if len(self.signature) != SIGNATURE_BYTES:
            raise ValueError(f"a signature has {SIGNATURE_BYTES} bytes, not {len(self.signature)}")


def leaf_bytes(entry: Entry) -> bytes:
    """Canonical bytes of an entry: what is stored, hashed and published."""
    return to_canonical(_fields(entry))


def leaf_hash(entry: Entry) -> Digest:
    """Hash of an entry: SHA-256 of a zero byte and the leaf.

    Source: RFC 6962, section 2.1 (hash of a leaf).
    """
    return Digest(hashlib.sha256(_LEAF_PREFIX + leaf_bytes(entry)).hexdigest())


def signed_payload(entry: Entry) -> bytes:
    """Bytes that the ledger's key signs for this entry: the context, then the leaf hash."""
    return SIGNING_CONTEXT + bytes.fromhex(leaf_hash(entry))


def parse_leaf(data: bytes) -> Entry:
    """Read an entry back from its leaf. Strict: one spelling, no field more, no field less.

    Raises:
        TooLarge: More than ``MAX_LEAF_BYTES``.
        BadInput: Not the bytes of an entry.
    """
    if len(data) > MAX_LEAF_BYTES:
        raise TooLarge(f"a ledger entry has {len(data)} bytes, {MAX_LEAF_BYTES} at most")
    return _entry(from_canonical(data))


def to_line(signed: Signed) -> bytes:
    """Spell a signed entry as one line of an exported ledger, with its line feed."""
    return (
        to_canonical({"entry": _fields(signed.entry), "signature": signed.signature.hex()}) + b"\n"
    )


def parse_line(line: bytes) -> Signed:
    """Read one line of an exported ledger, with or without its line feed. Strict as ``parse_leaf``.

    Raises:
        TooLarge: The line is longer than any entry can be.
        BadInput: Not a signed entry.
    """
    line = line.removesuffix(b"\n")
    if len(line) > _MAX_LINE_BYTES:
        raise TooLarge(f"a ledger line has {len(line)} bytes, {_MAX_LINE_BYTES} at most")
    match from_canonical(line):
        case {"entry": entry, "signature": str(signature), **rest} if not rest:
            if not _SIGNATURE.fullmatch(signature):
                raise BadInput("the signature is not 128 lower-case hexadecimal digits")
            return Signed(_entry(entry), bytes.fromhex(signature))
        case _:
            raise BadInput("a ledger line has an entry and a signature, and nothing else")


_MAX_LINE_BYTES: Final = MAX_LEAF_BYTES + len('{"entry":,"signature":""}') + 2 * SIGNATURE_BYTES


def _fields(entry: Entry) -> dict[str, Json]:
    return {
        "body": entry.body,
        "index": entry.index,
        "kind": entry.kind,
        "previous": entry.previous,
        "time_ms": entry.time_ms,
        "v": _VERSION,
    }


def _entry(value: Json) -> Entry:
    if not isinstance(value, Mapping) or value.keys() != _FIELDS:
        raise BadInput(f"a ledger entry has exactly the fields {', '.join(sorted(_FIELDS))}")
    if value["v"] is True or value["v"] != _VERSION:
        raise BadInput(f"a ledger entry of version {value['v']!r}; this reader knows {_VERSION}")
    match value:
        case {
            "body": dict(body),
            "index": int(index),
            "kind": str(kind),
            "previous": str(previous),
            "time_ms": int(time_ms),
        } if not isinstance(index, bool) and not isinstance(time_ms, bool):
            try:
                return Entry(index, UnixMs(time_ms), kind, body, Digest(previous))
            except ValueError as error:
                raise BadInput(f"not a ledger entry: {error}") from error
        case _:
            raise BadInput("a field of the ledger entry has the wrong type")


def _frozen_mapping(mapping: Mapping[str, Json]) -> Mapping[str, Json]:
    return MappingProxyType({key: _frozen(value) for key, value in mapping.items()})


def _frozen(value: Json) -> Json:
    match value:
        case Mapping():
            return _frozen_mapping(value)
        case list() | tuple():
            return tuple(_frozen(item) for item in value)
        case _:
            return value
