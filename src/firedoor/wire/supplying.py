"""The supplier: fetches what machines wait for, beside the looks at upstream.

One thread reads what the gate wrote down; a few more for each channel fetch, so that neither a
slow vendor nor a large file holds up the others. They end with the process: what they had half
fetched is wanted again.
"""

import queue
import random
import secrets
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

import structlog

from firedoor.adapters.store.gate import NAME as GATE_DB
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.sqlite import file_at
from firedoor.adapters.upstream.get import Quiet
from firedoor.config import ChannelConfig
from firedoor.core.channel import package_of
from firedoor.core.errors import FiredoorError, Unavailable, UpstreamMoved
from firedoor.core.release import Manifest, changes
from firedoor.core.units import Digest
from firedoor.ports import BlobStore, Clock, Listed
from firedoor.services.supply import Refusal, Wanted
from firedoor.wire.upstreams import source_of

_LOOK_S: Final = 0.05
_FETCH_S: Final = 3600.0
_WORKERS: Final = 4
_log = structlog.get_logger()


def asked_of(data: Path | None, channel: str) -> frozenset[str]:
    """Packages of a channel of which a machine ever asked for any version, as far as is known."""
    if data is None:
        return frozenset()
    try:
        reader = GateReader(data)
    except Unavailable:
        return frozenset()
    try:
        return reader.asked(channel)
    except Unavailable:
        return frozenset()
    finally:
        reader.close()


def lacking(
    channel: ChannelConfig,
    old: Manifest,
    new: Manifest,
    asked: Collection[str],
    has: Callable[[Digest], bool],
) -> list[Wanted]:
    """Files that have to be held before anybody is let into a release, and are not.

    That is what changed of the packages that machines ask for. The rest is fetched when somebody
    asks for it.

    Args:
        channel: Whose releases.
        old: What is served now.
        new: What is to board.
        asked: Packages of which a machine ever asked for any version.
        has: Whether a blob is held.
    """
    return [
        Wanted(channel.name, path, file.sha256, file.size)
        for path, _, file in changes(old, new)
        if file is not None
        and package_of(path) in asked
        and channel.may_lack(path)
        and not has(file.sha256)
    ]


class Demand:
    """What machines wait for, as ``gate.db`` tells it. One thread."""

    def __init__(self, data: Path | None) -> None:
        """Nothing is opened before it is asked for; without a place nothing is known."""
        self._data = data
        self._reader: GateReader | None = None
        self._file: tuple[int, int] | None = None
        self._seen = -1
        self._last = 0

    def fresh(self) -> list[Wanted]:
        """What was written down since the last call."""
        try:
            reader = self._open()
            if reader is None or (seen := reader.version()) == self._seen:
                return []
            fresh = reader.wanted_after(self._last)
        except Unavailable:
            return []  # The gate begins just now; it is read again.
        self._seen, self._last = seen, max([self._last, *(file.number for file in fresh)])
        return fresh

    def _open(self) -> GateReader | None:
        if self._data is None:
            return None
        file = file_at(self._data / GATE_DB)
        if self._reader is not None and file != self._file:
            # Another database, with numbers of its own.
            self._reader.close()
            self._reader, self._seen, self._last = None, -1, 0
        if self._reader is None and file is not None:
            self._reader, self._file = GateReader(self._data), file
        return self._reader


class Supplier:
    """Runs until ``stop``. What could not be fetched waits in ``refused`` for the judge."""

    def __init__(
        self,
        channels: Iterable[ChannelConfig],
        blobs: BlobStore,
        clock: Clock,
        demand: Demand,
        quiet: Callable[[str], Quiet],
        *,
        workers: int = _WORKERS,
        throttle: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare; nothing is read before ``start``.

        Args:
            channels: Those of which files may be named only; others are left out.
            blobs: Where the bytes go.
            clock: For the adapters.
            demand: What machines wait for; read by a thread of the supplier alone.
            quiet: How long a channel's upstream asked to be left alone.
            workers: Files that are fetched at a time for one channel.
            throttle: As of ``upstream_of``.
        """
        self.refused: queue.SimpleQueue[Refusal] = queue.SimpleQueue()
        self._blobs = blobs
        self._clock = clock
        self._demand = demand
        self._quiet = quiet
        self._workers = workers
        self._throttle = throttle
        self._busy: set[tuple[str, Digest]] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._queues: dict[str, queue.SimpleQueue[Wanted]] = {}
        self._channels = {channel.name: channel for channel in channels if channel.is_lazy}

    def start(self) -> None:
        """Begin."""
        for channel in self._channels.values():
            waiting = self._queues[channel.name] = queue.SimpleQueue[Wanted]()
            for _ in range(self._workers):
                threading.Thread(target=self._work, args=(channel, waiting), daemon=True).start()
        if self._channels:
            threading.Thread(target=self._read, name="supplier", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping.set()

    def want(self, file: Wanted) -> None:
        """Fetch a file, unless it is held or on its way."""
        waiting = self._queues.get(file.channel)
        if waiting is None or self._blobs.has(file.sha256):
            return
        with self._lock:
            key = file.channel, file.sha256
            if key in self._busy:
                return
            self._busy.add(key)
        waiting.put(file)

    def _read(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            for file in self._demand.fresh():
                self.want(file)

    def _work(self, channel: ChannelConfig, waiting: "queue.SimpleQueue[Wanted]") -> None:
        while not self._stopping.is_set():
            file = waiting.get()
            try:
                self._fetch(channel, file)
            except FiredoorError as error:
                self._refuse(file, str(error), gone=isinstance(error, UpstreamMoved))
            except Exception as error:  # noqa: BLE001 - a channel without this thread gives nothing
                _log.exception("supply_failed", channel=channel.name, path=file.path)
                self._refuse(file, f"{type(error).__name__}: {error}", gone=False)
            finally:
                with self._lock:
                    self._busy.discard((file.channel, file.sha256))

    def _fetch(self, channel: ChannelConfig, file: Wanted) -> None:
        rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads pauses, no secret
        until_ms = self._clock.now().mono_ms + _FETCH_S * 1000
        quiet = self._quiet(channel.name)
        source = source_of(
            channel,
            rng,
            self._clock,
            until_ms=until_ms,
            quiet=quiet,
            throttle=self._throttle,
        )
        source.fetch(Listed(file.path, file.sha256, file.size), None, self._blobs)
        _log.info("supplied", channel=channel.name, path=file.path, size=file.size)

    def _refuse(self, file: Wanted, error: str, *, gone: bool) -> None:
        _log.warning("not_supplied", channel=file.channel, path=file.path, error=error)
        self.refused.put(Refusal(file.channel, file.path, file.sha256, gone, error))
