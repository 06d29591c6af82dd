"""The mirror's threads: one for each channel looks at its upstream when it is due.

No vendor can keep another's updates waiting, neither by being slow nor by being broken. A look
that nothing can end, as into a mount that hangs, is reported while it hangs.
"""

import math
import queue
import random
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from firedoor.adapters.keys.openpgp import Keyring
from firedoor.adapters.upstream.apt import AptUpstream, Selection
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.get import Quiet
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.rpm import Packages, RpmUpstream
from firedoor.adapters.upstream.suricata import SuricataUpstream
from firedoor.config import ChannelConfig
from firedoor.core.channel import Kind
from firedoor.core.errors import BadInput, FiredoorError
from firedoor.core.release import FileEntry, Manifest
from firedoor.core.units import Digest
from firedoor.ports import BlobStore, Clock, Upstream
from firedoor.services.mirror import Snapshot, next_poll, take_snapshot

_LOOK_S: Final = 6 * 3600.0
_PATIENCE_S: Final = 900.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Result:
    """What one look at an upstream brought: a snapshot, or the reason there is none.

    Attributes:
        channel: Name of the channel.
        snapshot: All of upstream at one moment, or None.
        error: Why there is none, else "".
        manifest: What of the snapshot clients are to read; filled where it is taken over.
    """

    channel: str
    snapshot: Snapshot | None
    error: str
    manifest: Manifest = field(default_factory=dict)


class Mirror:
    """Runs until ``stop``. Results wait in ``results`` for the judge."""

    def __init__(
        self,
        channels: tuple[ChannelConfig, ...],
        blobs: BlobStore,
        clock: Clock,
        previous: Callable[[str], str],
        *,
        look_s: float = _LOOK_S,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Prepare; nothing is asked before ``start``.

        Args:
            channels: Channels to mirror.
            blobs: Where the bytes go; used by several threads at once.
            clock: For the validators' age and the time a look takes.
            previous: Gives a channel's last good snapshot as JSON, "" for none.
            look_s: How long one look at an upstream may take with all its files, seconds, > 0.
            patience_s: A look is reported when it takes longer than this, and than its channel's
                poll, seconds, > 0.
        """
        self._blobs = blobs
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._followers = {
            channel.name: _Follower(
                channel,
                blobs=blobs,
                clock=clock,
                previous=_snapshot(previous(channel.name)),
                results=self.results,
                look_s=look_s,
                patience_s=max(patience_s, channel.poll_ms / 1000),
            )
            for channel in channels
        }

    def start(self) -> None:
        """Begin: every channel is due at once."""
        for follower in self._followers.values():
            follower.start()

    def stop(self) -> None:
        """End after the looks that are under way. The process need not wait for them."""
        for follower in self._followers.values():
            follower.stop()

    def sync(self, channel: str) -> None:
        """Look at a channel now, because a person asks: also if upstream wants to be left alone."""
        self._followers[channel].sync(anyway=True)

    def sync_all(self) -> None:
        """Look at every channel now, or as soon as its upstream is to be asked again."""
        for follower in self._followers.values():
            follower.sync(anyway=False)

    def claim(self, files: Iterable[FileEntry]) -> bool:
        """Say whether the bytes of all of ``files`` are held; those that are, stay for a day.

        An empty manifest is that of a release nobody knows: False.
        """
        claimed = [self._blobs.claim(file.sha256) for file in files]
        return bool(claimed) and all(claimed)

    def put(self, data: bytes) -> tuple[Digest, int]:
        """Store bytes of our own; durable on return. Raises Unavailable."""
        return self._blobs.put(iter((data,)))

    def read(self, digest: Digest) -> bytes:
        """All bytes of a blob. Raises OSError: it is not held."""
        return Path(self._blobs.path(digest)).read_bytes()


class _Follower:
    """One channel's thread."""

    def __init__(
        self,
        channel: ChannelConfig,
        *,
        blobs: BlobStore,
        clock: Clock,
        previous: Snapshot | None,
        results: queue.SimpleQueue[Result],
        look_s: float,
        patience_s: float,
    ) -> None:
        self._channel = channel
        self._blobs = blobs
        self._clock = clock
        self._previous = previous
        self._results = results
        self._look_s = look_s
        self._patience_s = patience_s
        self._quiet = Quiet()
        self._anyway = False
        self._reporting = threading.Lock()
        self._failures = 0
        self._rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads polls, no secret
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(
            target=self._run, name=f"mirror {channel.name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        # In this order: who clears the second must still see the first.
        self._stopping = True
        self._wake.set()

    def sync(self, *, anyway: bool) -> None:
        if anyway:
            self._anyway = True
        self._wake.set()

    def _run(self) -> None:
        while True:
            # Before the look: a ``sync`` that comes during it asks for another.
            self._wake.clear()
            if self._stopping:
                return
            if self._anyway:
                self._anyway = False
                self._quiet.until_ms = -math.inf
            wait_ms = self._left_alone_ms()
            if wait_ms <= 0:
                with self._reported() as put:
                    put(self._look())
                wait_ms = next_poll(self._channel.poll_ms, self._failures, self._rng)
            self._wake.wait(wait_ms / 1000)

    def _left_alone_ms(self) -> float:
        return self._quiet.until_ms - self._clock.monotonic_ms()

    @contextmanager
    def _reported(self) -> Iterator[Callable[[Result], None]]:
        """Report a look that does not come to its end, as long as it has not."""
        name, since_ms = self._channel.name, self._clock.now().wall_ms
        looking = True

        def put(result: Result) -> None:
            nonlocal looking
            # A report that overtook the result would contradict it for ever.
            with self._reporting:
                looking = False
                self._results.put(result)

        def report() -> None:
            since = datetime.fromtimestamp(since_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            where = "directory" if self._channel.directory is not None else "server"
            error = f"still looking since {since}: the {where} is slow or hangs"
            with self._reporting:
                if looking:
                    _log.warning("mirror_hangs", channel=name, error=error)
                    self._results.put(Result(name, None, error))

        timer = threading.Timer(self._patience_s, report)
        timer.daemon = True
        timer.start()
        try:
            yield put
        finally:
            timer.cancel()

    def _look(self) -> Result:
        name = self._channel.name
        until_ms = self._clock.now().mono_ms + self._look_s * 1000
        try:
            upstream = upstream_of(
                self._channel,
                self._rng,
                self._clock,
                self._blobs,
                until_ms=until_ms,
                quiet=self._quiet,
                previous=self._previous,
            )
            snapshot = take_snapshot(upstream, self._blobs, self._previous)
        except FiredoorError as error:
            self._failures += 1
            _log.warning("not_mirrored", channel=name, error=str(error), hint=error.hint)
            return Result(name, None, str(error))
        except Exception as error:  # noqa: BLE001 - a channel nobody looks at gets no fixes
            self._failures += 1
            _log.exception("mirror_failed", channel=name)
            return Result(name, None, f"{type(error).__name__}: {error}")
        self._failures = 0
        self._previous = snapshot
        return Result(name, snapshot, "")


def upstream_of(
    channel: ChannelConfig,
    rng: random.Random,
    clock: Clock,
    blobs: BlobStore,
    *,
    until_ms: float,
    quiet: Quiet,
    previous: Snapshot | None = None,
) -> Upstream:
    """The adapter for one look at a channel's upstream.

    Args:
        channel: Whose upstream.
        rng: Spreads the pauses between attempts.
        clock: For the adapter.
        blobs: Where the files go, and indices are read.
        until_ms: Monotonic time at which the look ends.
        quiet: How long upstream asked to be left alone; outlives the look.
        previous: The last snapshot, if any.

    Raises:
        BadConfig: The channel's upstream is none.
        Unavailable: It cannot be looked at.
    """
    # Only of files the address says what they are listed by; all else lies in a directory.
    plain = channel.kind is Kind.FILES
    url = channel.upstream if plain else f"{channel.upstream.rstrip('/')}/"
    source = (
        HttpUpstream(url, rng, clock, until_ms=until_ms, quiet=quiet)
        if channel.directory is None
        else DirectoryUpstream(Path(channel.directory), clock, until_ms=until_ms)
    )
    known = {} if previous is None else previous.files
    if channel.apt is not None:
        apt = channel.apt
        return AptUpstream(
            source,
            Keyring(apt.trust),
            Selection(apt.suites, apt.components, apt.architectures, apt.packages),
            blobs,
            clock,
            previous={path: file.entry.sha256 for path, file in known.items()},
        )
    if channel.rpm is not None:
        part = channel.rpm
        return RpmUpstream(
            source,
            Keyring(part.trust) if part.trust else None,
            Packages(part.architectures, part.packages),
            blobs,
            clock,
            previous=known.get,
        )
    if channel.feeds:
        return SuricataUpstream(source, channel.feeds, blobs, previous=known.get)
    return source


def _snapshot(stored: str) -> Snapshot | None:
    try:
        return Snapshot.from_json(stored.encode()) if stored else None
    except BadInput:
        # Of another version: going on without costs traffic, nothing else.
        return None
