"""The mirror's thread: looks at each channel's upstream when it is due, one after the other."""

import queue
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.config import ChannelConfig
from firedoor.core.errors import BadInput, FiredoorError
from firedoor.ports import BlobStore, Clock, Upstream
from firedoor.services.mirror import Snapshot, next_poll, take_snapshot

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Result:
    """What one look at an upstream brought: a snapshot, or the reason there is none."""

    channel: str
    snapshot: Snapshot | None
    error: str


class Mirror:
    """Runs until ``stop``. Results wait in ``results`` for the judge."""

    def __init__(
        self,
        channels: tuple[ChannelConfig, ...],
        blobs: BlobStore,
        clock: Clock,
        previous: Callable[[str], str],
    ) -> None:
        """Prepare; nothing is asked before ``start``.

        Args:
            channels: Channels to mirror.
            blobs: Where the bytes go.
            clock: For the validators' age.
            previous: Gives a channel's last good snapshot as JSON, "" for none.
        """
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._channels = {channel.name: channel for channel in channels}
        self._blobs = blobs
        self._clock = clock
        self._previous = {name: _snapshot(previous(name)) for name in self._channels}
        self._failures = dict.fromkeys(self._channels, 0)
        self._due: dict[str, float] = dict.fromkeys(self._channels, 0.0)
        self._rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads polls, no secret
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self) -> None:
        """Begin: every channel is due at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the request that is under way. The process need not wait for it."""
        self._stopping = True
        self._wake.set()

    def sync(self, channel: str) -> None:
        """Look at a channel now."""
        self._due[channel] = 0.0
        self._wake.set()

    def sync_all(self) -> None:
        """Look at every channel now."""
        for channel in self._channels:
            self.sync(channel)

    def _run(self) -> None:
        while not self._stopping:
            name = min(self._due, key=self._due.__getitem__, default="")
            wait = self._due[name] - time.monotonic() if name else 3600.0
            if wait > 0:
                self._wake.wait(wait)
                self._wake.clear()
                continue
            self.results.put(self._look(self._channels[name]))

    def _look(self, channel: ChannelConfig) -> Result:
        name = channel.name
        # Set first: a ``sync`` that comes while we look asks for another look.
        self._due[name] = float("inf")
        try:
            snapshot = take_snapshot(
                upstream_of(channel, self._rng, self._clock), self._blobs, self._previous[name]
            )
        except FiredoorError as error:
            self._failures[name] += 1
            _log.warning("not_mirrored", channel=name, error=str(error), hint=error.hint)
            result = Result(name, None, str(error))
        else:
            self._failures[name] = 0
            self._previous[name] = snapshot
            result = Result(name, snapshot, "")
        wait = next_poll(channel.poll_ms, self._failures[name], self._rng) / 1000
        self._due[name] = min(self._due[name], time.monotonic() + wait)
        return result


def upstream_of(channel: ChannelConfig, rng: random.Random, clock: Clock) -> Upstream:
    """The adapter that reads a channel's upstream."""
    if channel.directory is not None:
        return DirectoryUpstream(Path(channel.directory), clock)
    return HttpUpstream(channel.upstream, rng, clock)


def _snapshot(stored: str) -> Snapshot | None:
    try:
        return Snapshot.from_json(stored.encode()) if stored else None
    except BadInput:
        # Of another version: going on without costs traffic, nothing else.
        return None
