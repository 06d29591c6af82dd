"""Take snapshots of an upstream: all of its files as they were at one moment, or nothing.

No vendor offers a transaction, so the mirror reads twice: the index, every file, every file
that came without a promised digest once more (conditionally: no body travels), the index once
more. If nothing moved between the first and the second look, there was a moment between them,
after the last file was fetched and before the first was looked at again, when upstream held
exactly this. A promised digest spares the second look: the file is what that moment's index
says, whenever it was fetched.

What this cannot see is a file that changes and changes back in between, or one that changes
without changing its validator; the adapters keep no validator that is too young to be trusted.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Final

import msgspec

from firedoor.core.errors import BadInput, Unavailable, Untrusted, UpstreamMoved
from firedoor.core.release import FileEntry, Manifest, check_path, is_digest
from firedoor.core.units import Digest
from firedoor.ports import BlobStore, Fetched, Listed, Upstream

FIRST_RETRY_MS: Final = 15_000
"""Wait after the first failed poll; it doubles with each further one, up to the interval."""

JITTER: Final = 0.1
"""Polls are spread by this share of the wait to either side."""

MAX_TOTAL_BYTES: Final = 64 << 30

_SNAPSHOT_VERSION: Final = 1
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All files of an upstream at one moment.

    Attributes:
        files: Path -> what was fetched, with what says later that it is unchanged; read-only.
    """

    files: Mapping[str, Fetched] = field(hash=False)

    @property
    def manifest(self) -> Manifest:
        """Path -> file, as a release holds it."""
        return MappingProxyType({path: file.entry for path, file in self.files.items()})

    @property
    def total_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.entry.size for file in self.files.values())

    def to_json(self) -> bytes:
        """The snapshot for ``from_json``: what is kept from one poll to the next."""
        stored = _Stored(
            v=_SNAPSHOT_VERSION,
            files={
                path: _StoredFile(
                    file.entry.sha256, file.entry.size, file.entry.type, file.validator
                )
                for path, file in self.files.items()
            },
        )
        return msgspec.json.encode(stored, order="sorted")

    @classmethod
    def from_json(cls, data: bytes) -> "Snapshot":
        """Read what ``to_json`` wrote.

        Raises:
            BadInput: It is not a snapshot of this version. Going on without a previous snapshot
                is always right, it only costs traffic.
        """
        try:
            stored = msgspec.json.decode(data, type=_Stored)
        except msgspec.DecodeError as error:
            raise BadInput(f"a stored snapshot cannot be read: {error}") from error
        if stored.v != _SNAPSHOT_VERSION:
            raise BadInput(f"a stored snapshot has version {stored.v}, not {_SNAPSHOT_VERSION}")
        return _sealed({path: _restored(path, file) for path, file in stored.files.items()})


def take_snapshot(
    upstream: Upstream,
    blobs: BlobStore,
    previous: Snapshot | None = None,
    *,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> Snapshot:
    """Bring all of an upstream into the blob store, as it was at one moment.

    An upstream that still holds ``previous`` costs its index and one conditional request for
    each file without a promised digest; no body travels. Blobs of a refused snapshot stay in
    the store for a day at least, where the next attempt finds them. A blob of ``previous`` that
    is missing is fetched again, also when upstream breaks its promise for another file.

    Args:
        upstream: What to mirror.
        blobs: Where the bytes go.
        previous: The last snapshot of the same upstream, if any.
        max_total_bytes: Limit for all files together; it is exceeded by at most one file.

    Raises:
        UpstreamMoved: Upstream changed while it was read.
        Unavailable: Upstream does not answer or names no file at all, or nothing can be stored.
            An upstream that was emptied must not become a release that removes everything.
        Untrusted: Upstream serves other bytes than it promises, or exceeds a limit.
    """
    before = tuple(upstream.index())
    if not before:
        raise Unavailable(
            "upstream names no files at all",
            hint="check the address of the channel's upstream",
        )
    try:
        snapshot = _fetch_all(upstream, blobs, before, previous, max_total_bytes)
    except Untrusted as error:
        # Bytes that break a promise are a lie or an update in progress. Only the second passes.
        _expect_same(before, upstream.index(), error)
        _repair(upstream, blobs, before, previous)
        raise
    if previous is not None and snapshot.manifest == previous.manifest:
        # What was of one moment then still is: nothing new can have been mixed in.
        return snapshot
    _look_again(upstream, blobs, before, snapshot)
    _expect_same(before, upstream.index())
    return snapshot


def next_poll(interval_ms: int, failures: int, rng: Random) -> int:
    """When to ask upstream again.

    After a failure the next poll comes sooner than usual, then ever later, but never more often
    than ``FIRST_RETRY_MS`` and never later than usual: the interval is what the operator thinks
    upstream can bear, and a security fix should not wait longer because upstream was down.
    A ``Retry-After`` is honoured by the adapter, not here.

    Args:
        interval_ms: Usual time between polls, > 0.
        failures: Polls that failed since the last success, >= 0.
        rng: Spreads polls of many channels and installations.

    Returns:
        Milliseconds from now, > 0, within ``JITTER`` of the undisturbed wait.

    Raises:
        ValueError: The interval is not positive or the number of failures negative.
    """
    if interval_ms <= 0 or failures < 0:
        raise ValueError(f"interval {interval_ms} ms after {failures} failures")
    wait = interval_ms
    if failures:
        # The exponent is bounded: a channel may fail for years.
        wait = min(interval_ms, FIRST_RETRY_MS << min(failures - 1, 32))
    return max(1, round(wait * rng.uniform(1 - JITTER, 1 + JITTER)))


class _StoredFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    size: int
    type: str
    validator: str


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    files: dict[str, _StoredFile]


def _restored(path: str, stored: _StoredFile) -> Fetched:
    if not is_digest(stored.sha256) or stored.size < 0:
        raise BadInput(f"a stored snapshot has no digest or size for {check_path(path)}")
    entry = FileEntry(Digest(stored.sha256), stored.size, stored.type)
    return Fetched(entry, stored.validator)


def _sealed(files: dict[str, Fetched]) -> Snapshot:
    for path in files:
        check_path(path)
    return Snapshot(MappingProxyType(files))


def _fetch_all(
    upstream: Upstream,
    blobs: BlobStore,
    index: Sequence[Listed],
    previous: Snapshot | None,
    max_total_bytes: int,
) -> Snapshot:
    known = previous.files if previous else {}
    # Before the first byte, as far as the index says: half a mirror helps nobody.
    _expect_within(sum(listed.size or 0 for listed in index), max_total_bytes)
    files: dict[str, Fetched] = {}
    total = 0
    for listed in index:
        file = upstream.fetch(listed, known.get(listed.path), blobs)
        files[listed.path] = file
        total += file.entry.size
        _expect_within(total, max_total_bytes)
    return _sealed(files)


def _repair(
    upstream: Upstream, blobs: BlobStore, index: Sequence[Listed], previous: Snapshot | None
) -> None:
    """Bring back missing blobs of the last snapshot: machines still get it."""
    known = previous.files if previous else {}
    for listed in index:
        file = known.get(listed.path)
        promised = file is not None and listed.sha256 == file.entry.sha256
        if file is not None and promised and not blobs.has(file.entry.sha256):
            with suppress(Untrusted, UpstreamMoved):
                upstream.fetch(listed, file, blobs)


def _look_again(
    upstream: Upstream, blobs: BlobStore, index: Sequence[Listed], snapshot: Snapshot
) -> None:
    """Refuse a snapshot whose files changed after they were fetched."""
    for listed in index:
        if listed.sha256 is not None:
            continue
        file = snapshot.files[listed.path]
        if upstream.fetch(listed, file, blobs).entry != file.entry:
            raise UpstreamMoved(
                f"{listed.path} changed while upstream was mirrored", hint=_MOVED_HINT
            )


_MOVED_HINT: Final = "it is asked again soon; a SHA256SUMS at upstream would make this rarer"


def _expect_same(
    before: Sequence[Listed], after: Sequence[Listed], cause: Untrusted | None = None
) -> None:
    if tuple(before) == tuple(after):
        return
    moved = sorted({listed.path for listed in set(before) ^ set(after)})
    named = ", ".join(moved[:_NAMED]) + (", ..." if len(moved) > _NAMED else "")
    raise UpstreamMoved(
        f"the list of files changed while upstream was mirrored: {named}", hint=_MOVED_HINT
    ) from cause


def _expect_within(total: int, limit: int) -> None:
    if total > limit:
        raise Untrusted(
            f"upstream holds more than {limit} bytes in all",
            hint="raise max_total_bytes if this is right, or point the channel at less",
        )
