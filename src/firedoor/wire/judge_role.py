"""The judge's process: the court, the mirror's threads and the housekeeping's."""

import threading

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import load_root_key, load_signing_key
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.inbox import InboxReader
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.store.signals import SignalReader
from firedoor.config import Config
from firedoor.wire.alerts import hook
from firedoor.wire.court import Court
from firedoor.wire.files import Files
from firedoor.wire.housekeeping import Sweeper, keep_swept, scrub
from firedoor.wire.mirroring import Mirror
from firedoor.wire.preflights import Preflights
from firedoor.wire.process import stop_by_signal
from firedoor.wire.signing import Signatory


def run(config: Config, files: Files, parent: int) -> None:
    """Judge until told to stop."""
    stop = stop_by_signal(parent)
    clock = SystemClock()
    store = JudgeStore(files.data)
    blobs = DiskBlobs(files.blobs)
    mirror = Mirror(config.channels, blobs, clock, store.last_snapshot, gate=files.data)
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
        clock=clock,
        preflights=Preflights.of(config, files, blobs, clock),
    )
    mirror.start()
    threading.Thread(target=scrub, args=(blobs, mirror, stop), daemon=True).start()
    sweeper = Sweeper(config, files, blobs, clock)
    threading.Thread(target=keep_swept, args=(sweeper, stop), daemon=True).start()
    try:
        court.run(stop)
    finally:
        mirror.stop()
        store.close()
