"""The mirror's threads: one for each channel looks at its upstream when it is due.

No vendor can keep another's updates waiting, neither by being slow nor by being broken. A look
that nothing can end, as into a mount that hangs, is reported while it hangs.
"""

import math
import queue
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from firedoor.adapters.blobs.bounded import BoundedBlobs
from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.upstream.get import Quiet
from firedoor.adapters.upstream.throttle import Throttle
from firedoor.config import ChannelConfig
from firedoor.core.channel import package_of
from firedoor.core.errors import BadInput, FiredoorError
from firedoor.core.release import Manifest
from firedoor.core.units import Digest
from firedoor.ports import Clock
from firedoor.services.mirror import next_poll, take_snapshot
from firedoor.services.room import Limits
from firedoor.services.snapshot import Snapshot
from firedoor.wire.looking import Looking
from firedoor.wire.supplying import Demand, Supplier, asked_of
from firedoor.wire.upstreams import fetches_at_once, upstream_of

_LOOK_S: Final = 6 * 3600.0
_PATIENCE_S: Final = 900.0
_UNLIMITED: Final = Limits(reserve=1)
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
    """Runs until ``stop``.

    Attributes:
        results: What the looks brought, for the judge.
        refused: Files that machines wait for and that could not be fetched, for the judge.
        want: Fetches one file soon, unless it is held or on its way.
        blobs: Where what is asked for by people goes; it may use what room is kept back.
    """

    def __init__(
        self,
        channels: tuple[ChannelConfig, ...],
        blobs: DiskBlobs,
        clock: Clock,
        previous: Callable[[str], bytes],
        *,
        gate: Path | None = None,
        look_s: float = _LOOK_S,
        patience_s: float = _PATIENCE_S,
        limits: Limits = _UNLIMITED,
        bandwidth: int | None = None,
        looking: Callable[[str], Path] | None = None,
    ) -> None:
        """Prepare; nothing is asked before ``start``.

        Args:
            channels: Channels to mirror.
            blobs: Where the bytes go; used by several threads at once.
            clock: For the validators' age and the time a look takes.
            previous: Gives a channel's last good snapshot as it is stored, empty for none.
            gate: Directory of ``gate.db``, which tells what machines ask for; None: nothing.
            look_s: How long one look at an upstream may take with all its files, seconds, > 0.
            patience_s: A look is reported when it takes longer than this, and than its channel's
                poll, seconds, > 0.
            limits: How much may be stored.
            bandwidth: Bytes a second that all upstreams together may send, > 0; None: any.
            looking: Where a channel's looks tell how far they have got; None: nowhere.
        """
        throttle = _free if bandwidth is None else Throttle(bandwidth, clock)
        new, urgent = BoundedBlobs(blobs, limits), BoundedBlobs(blobs, limits, urgent=True)
        self._blobs = blobs
        self.blobs = urgent
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._followers = {
            channel.name: _Follower(
                channel,
                blobs=new,
                clock=clock,
                previous=_snapshot(previous(channel.name)),
                results=self.results,
                gate=gate,
                look_s=look_s,
                patience_s=max(patience_s, channel.poll_ms / 1000),
                throttle=throttle,
                looking=None if looking is None else Looking(looking(channel.name), clock),
            )
            for channel in channels
        }
        self._supplier = Supplier(
            channels, urgent, clock, Demand(gate), self._quiet_of, throttle=throttle
        )
        self.refused = self._supplier.refused
        self.want = self._supplier.want

    def start(self) -> None:
        """Begin: every channel is due at once."""
        for follower in self._followers.values():
            follower.start()
        self._supplier.start()

    def stop(self) -> None:
        """End after the looks that are under way. The process need not wait for them."""
        for follower in self._followers.values():
            follower.stop()
        self._supplier.stop()

    def sync(self, channel: str) -> None:
        """Look at a channel now, because a person asks: also if upstream wants to be left alone."""
        self._followers[channel].sync(anyway=True)

    def sync_all(self) -> None:
        """Look at every channel now, or as soon as its upstream is to be asked again."""
        for follower in self._followers.values():
            follower.sync(anyway=False)

    def claim(self, manifest: Manifest, may_lack: Callable[[str], bool] = lambda _: False) -> bool:
        """Say whether all bytes of a release are held that have to be; what is, stays for a day.

        An empty manifest is that of a release nobody knows: False.

        Args:
            manifest: Path -> file.
            may_lack: Whether a file may be named only.
        """
        lacking = [path for path, file in manifest.items() if not self._blobs.claim(file.sha256)]
        return bool(manifest) and all(map(may_lack, lacking))

    def has(self, digest: Digest) -> bool:
        """Say whether a blob is held."""
        return self._blobs.has(digest)

    def put(self, data: bytes) -> tuple[Digest, int]:
        """Store bytes of our own; durable on return. Raises Unavailable."""
        return self._blobs.put(iter((data,)))

    def read(self, digest: Digest) -> bytes:
        """All bytes of a blob. Raises OSError: it is not held."""
        return Path(self._blobs.path(digest)).read_bytes()

    def _quiet_of(self, channel: str) -> Quiet:
        return self._followers[channel].quiet


class _Follower:
    """One channel's thread."""

    def __init__(
        self,
        channel: ChannelConfig,
        *,
        blobs: BoundedBlobs,
        clock: Clock,
        previous: Snapshot | None,
        results: queue.SimpleQueue[Result],
        gate: Path | None,
        look_s: float,
        patience_s: float,
        throttle: Callable[[int], None],
        looking: Looking | None,
    ) -> None:
        self._channel = channel
        self._throttle = throttle
        self._looking = looking
        self._blobs = blobs
        self._clock = clock
        self._previous = previous
        self._ours = False
        self._results = results
        self._gate = gate
        self._look_s = look_s
        self._patience_s = patience_s
        self.quiet = Quiet()
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
                self.quiet.until_ms = -math.inf
            wait_ms = self._left_alone_ms()
            if wait_ms <= 0:
                with self._reported() as put:
                    put(self._look())
                wait_ms = next_poll(self._channel.poll_ms, self._failures, self._rng)
            self._wake.wait(wait_ms / 1000)

    def _left_alone_ms(self) -> float:
        return self.quiet.until_ms - self._clock.monotonic_ms()

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
                quiet=self.quiet,
                previous=self._previous,
                ours=self._ours,
                throttle=self._throttle,
                at_once=fetches_at_once(self._channel),
            )
            asked = asked_of(self._gate, name) if self._channel.is_lazy else ()
            snapshot = take_snapshot(
                upstream,
                self._blobs,
                self._previous,
                wanted=lambda path: package_of(path) in asked,
                expect=self._blobs.expect,
                at_once=fetches_at_once(self._channel),
                begun=_unseen if self._looking is None else self._looking.begin,
            )
        except FiredoorError as error:
            self._failures += 1
            _log.warning("not_mirrored", channel=name, error=str(error), hint=error.hint)
            return Result(name, None, str(error))
        except Exception as error:  # noqa: BLE001 - a channel nobody looks at gets no fixes
            self._failures += 1
            _log.exception("mirror_failed", channel=name)
            return Result(name, None, f"{type(error).__name__}: {error}")
        finally:
            if self._looking is not None:
                self._looking.end()
        self._failures = 0
        self._previous, self._ours = snapshot, True
        return Result(name, snapshot, "")


def _free(_size: int) -> None:
    """Nothing waits."""


def _unseen(_files: int, _size: int) -> Callable[[int], None]:
    """Nobody is told."""
    return _free


def _snapshot(stored: bytes) -> Snapshot | None:
    try:
        return Snapshot.from_bytes(stored) if stored else None
    except BadInput:
        # Of another version: going on without costs traffic, nothing else.
        return None
