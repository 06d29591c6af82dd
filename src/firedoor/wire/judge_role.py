"""The judge's process: the court, the mirror's threads and the housekeeping's."""

import threading
from functools import partial
from pathlib import Path

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import load_root_key, load_signing_key
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.inbox import InboxReader
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.store.signals import SignalReader
from firedoor.config import Config
from firedoor.services.room import Limits
from firedoor.wire.alerts import hook
from firedoor.wire.court import Court
from firedoor.wire.exploited import Exploited
from firedoor.wire.files import Files
from firedoor.wire.garbage import seldom_look
from firedoor.wire.healing import Healer, keep_sound
from firedoor.wire.housekeeping import SWEEP_EVERY_S, Sweeper, keep_swept
from firedoor.wire.mirroring import Mirror
from firedoor.wire.preflights import Preflights
from firedoor.wire.process import stop_by_signal
from firedoor.wire.signing import Signatory
from firedoor.wire.storage import StorageWatch


def run(
    config: Config,
    files: Files,
    parent: int,
    *,
    sweep_every_s: float = SWEEP_EVERY_S,
    rest_ms: int | None = None,
) -> None:
    """Judge until told to stop.

    Args:
        config: What was configured.
        files: Where everything lies.
        parent: Process with which this one ends.
        sweep_every_s: Seconds from one collection of what nobody needs to the next.
        rest_ms: As of ``Sweeper``.
    """
    stop = stop_by_signal(parent)
    clock = SystemClock()
    store = JudgeStore(files.data)
    blobs = DiskBlobs(files.blobs)
    limits = Limits(config.storage.budget, config.storage.reserve)
    mirror = Mirror(
        config.channels,
        blobs,
        clock,
        store.last_snapshot,
        gate=files.data,
        limits=limits,
        bandwidth=config.mirror.bandwidth,
        looking=files.looking,
    )
    storage = StorageWatch(limits, blobs.space, store)
    exploited = Exploited(config, clock, store.manifest, lambda digest: Path(blobs.path(digest)))
    court = Court(
        config,
        files,
        store=store,
        gate=GateReader(files.data),
        signals=SignalReader(files.signals),
        orders=InboxReader(files.data),
        mirror=mirror,
        signatory=Signatory(config.channels, store, read=mirror.read, put=mirror.put),
        sign=load_signing_key(files.ledger_key).sign,
        root_key=lambda: load_root_key(files.root_key),
        alert=hook(config.alert),
        storage=storage.look,
        clock=clock,
        exploited=exploited,
        preflights=Preflights.of(config, files, blobs, clock),
    )
    seldom_look()
    mirror.start()
    exploited.start()
    healer = Healer(config, files, blobs, clock, storage.tell)
    threading.Thread(target=keep_sound, args=(healer, blobs, stop), daemon=True).start()
    sweeper = Sweeper(config, files, blobs, clock, rest_ms=rest_ms)
    sweeping = partial(keep_swept, sweeper, stop, every_s=sweep_every_s)
    threading.Thread(target=sweeping, daemon=True).start()
    try:
        court.run(stop)
    finally:
        mirror.stop()
        exploited.stop()
        store.close()
