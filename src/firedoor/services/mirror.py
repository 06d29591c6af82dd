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

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final, TypeVar

from firedoor.core.errors import Unavailable, Untrusted, UpstreamMoved
from firedoor.core.release import FileEntry, media_type
from firedoor.core.units import Digest
from firedoor.ports import BlobStore, Fetched, Listed, Upstream
from firedoor.services.snapshot import Snapshot

_T = TypeVar("_T")

FIRST_RETRY_MS: Final = 15_000
"""Wait after the first failed poll; it doubles with each further one, up to the interval."""

JITTER: Final = 0.1
"""Polls are spread by this share of the wait to either side."""

MAX_TOTAL_BYTES: Final = 64 << 30

_NAMED: Final = 3


def take_snapshot(
    upstream: Upstream,
    blobs: BlobStore,
    previous: Snapshot | None = None,
    *,
    max_total_bytes: int = MAX_TOTAL_BYTES,
    wanted: Callable[[str], bool] = lambda _: True,
    expect: Callable[[Iterator[tuple[Digest, int]]], None] = lambda _: None,
    at_once: int = 1,
    begun: Callable[[int, int], Callable[[int], None]] = lambda *_: lambda _: None,
) -> Snapshot:
    """Bring all of an upstream into the blob store, as it was at one moment.

    An upstream that still holds ``previous`` costs its index and one conditional request for
    each file without a promised digest; no body travels. Blobs of a refused snapshot stay in
    the store for a day at least, where the next attempt finds them. A blob of ``previous`` that
    is missing is fetched again, also when upstream breaks its promise for another file.

    Of deferred files only those are fetched that are new or changed against ``previous`` and
    wanted; the others are named: digest and size are those of the index.

    Args:
        upstream: What to mirror.
        blobs: Where the bytes go.
        previous: The last snapshot of the same upstream, if any.
        max_total_bytes: Limit for all files that are held; exceeded by at most one file.
        wanted: Whether somebody asked for a deferred file at this path, or an earlier version.
        expect: Told digest and size of what has to be held, as far as the index says; raises
            Unavailable where there is no room for what is not.
        at_once: Files that may be fetched at the same time, each in a thread of its own; >= 1.
        begun: Told how many files have to be held, and their bytes as far as the index says; what
            it returns is told the size of each that is.

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
    expect(_promised(before))
    arrived = begun(
        sum(not listed.deferred for listed in before), sum(size for _, size in _promised(before))
    )
    try:
        snapshot = _fetch_all(
            upstream,
            blobs,
            before,
            previous,
            most=max_total_bytes,
            wanted=wanted,
            at_once=at_once,
            arrived=arrived,
        )
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


def _fetch_all(
    upstream: Upstream,
    blobs: BlobStore,
    index: Sequence[Listed],
    previous: Snapshot | None,
    *,
    most: int,
    wanted: Callable[[str], bool],
    at_once: int,
    arrived: Callable[[int], None],
) -> Snapshot:
    # Before the first byte, as far as the index says: half a mirror helps nobody.
    promised = sum(listed.size or 0 for listed in index if not listed.deferred)
    _expect_within(promised, most)
    validators: dict[str, str] = {}

    def begun(pool: Executor) -> Iterator[tuple[str, FileEntry | Callable[[], Fetched]]]:
        for listed, known in _beside(index, previous):
            named = _named_only(listed, known, blobs, wanted)
            if named is not None:
                yield listed.path, named
            elif at_once == 1 or (listed.sha256 is not None and blobs.has(listed.sha256)):
                # What is held, which nearly all is, is no matter for a thread.
                yield listed.path, partial(upstream.fetch, listed, known, blobs)
            else:
                yield listed.path, pool.submit(upstream.fetch, listed, known, blobs).result

    def files(pool: Executor) -> Iterator[tuple[str, FileEntry]]:
        total = 0
        for path, file in _ahead(begun(pool), at_once):
            if isinstance(file, FileEntry):
                yield path, file
                continue
            fetched = file()
            if fetched.validator:
                validators[path] = fetched.validator
            total += fetched.entry.size
            _expect_within(total, most)
            arrived(fetched.entry.size)
            yield path, fetched.entry

    with ThreadPoolExecutor(at_once, thread_name_prefix="fetch") as pool:
        try:
            return Snapshot.gathered(files(pool), validators)
        finally:
            # One that failed is enough: nothing new is begun for a snapshot that is none.
            pool.shutdown(wait=True, cancel_futures=True)


def _ahead(items: Iterator[_T], count: int) -> Iterator[_T]:
    """The same in the same order; as many as ``count`` are begun before the first is wanted."""
    waiting: deque[_T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) >= count:
            yield waiting.popleft()
    yield from waiting


def _promised(index: Sequence[Listed]) -> Iterator[tuple[Digest, int]]:
    """Digests and sizes that the index promises, without what may be named only."""
    for listed in index:
        if not listed.deferred and listed.sha256 is not None:
            yield listed.sha256, listed.size or 0


def _named_only(
    listed: Listed, known: Fetched | None, blobs: BlobStore, wanted: Callable[[str], bool]
) -> FileEntry | None:
    """A deferred file that is not fetched now, as the index promises it; else None."""
    if not listed.deferred or listed.sha256 is None or listed.size is None:
        return None
    if blobs.claim(listed.sha256):
        return None
    # What was the same before is asked for by whoever misses it, and fetched then.
    changed = known is None or known.entry.sha256 != listed.sha256
    if changed and wanted(listed.path):
        return None
    return FileEntry(listed.sha256, listed.size, media_type(listed.path))


def _beside(
    index: Sequence[Listed], previous: Snapshot | None
) -> Iterator[tuple[Listed, Fetched | None]]:
    """Files of an index with what was fetched before: one walk, as both are in order."""
    files = iter(()) if previous is None else previous.files()
    path, file = next(files, ("", None))
    for listed in index:
        while file is not None and path < listed.path:
            path, file = next(files, ("", None))
        yield listed, file if path == listed.path else None


def _repair(
    upstream: Upstream, blobs: BlobStore, index: Sequence[Listed], previous: Snapshot | None
) -> None:
    """Bring back missing blobs of the last snapshot: machines still get it."""
    for listed, file in _beside(index, previous):
        promised = file is not None and listed.sha256 == file.entry.sha256 and not listed.deferred
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
        file = snapshot.fetched(listed.path)
        if file is None or upstream.fetch(listed, file, blobs).entry != file.entry:
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
