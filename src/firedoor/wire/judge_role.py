"""The judge's process: the court, the mirror's thread and the scrubber's."""

import threading

import structlog

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import load_root_key, load_signing_key
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.inbox import InboxReader
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.store.signals import SignalReader
from firedoor.config import Config
from firedoor.core.errors import Unavailable
from firedoor.ports import BlobStore
from firedoor.wire.alerts import hook
from firedoor.wire.court import Court
from firedoor.wire.files import Files
from firedoor.wire.mirroring import Mirror
from firedoor.wire.process import stop_by_signal

_FIRST_SCRUB_S = 600.0
_SCRUB_EVERY_S = 24 * 3600.0
_SCRUB_PAUSE_S = 0.05
_log = structlog.get_logger()


def run(config: Config, files: Files, parent: int) -> None:
    """Judge until told to stop."""
    stop = stop_by_signal(parent)
    clock = SystemClock()
    store = JudgeStore(files.data)
    blobs = DiskBlobs(files.blobs)
    mirror = Mirror(config.channels, blobs, clock, lambda name: store.channel(name).snapshot)
    court = Court(
        config,
        files,
        store=store,
        gate=GateReader(files.data),
        signals=SignalReader(files.signals),
        orders=InboxReader(files.data),
        mirror=mirror,
        sign=load_signing_key(files.ledger_key).sign,
        root_key=lambda: load_root_key(files.root_key),
        alert=hook(config.alert),
        clock=clock,
    )
    mirror.start()
    threading.Thread(target=_scrub, args=(blobs, mirror, stop), daemon=True).start()
    try:
        court.run(stop)
    finally:
        mirror.stop()
        store.close()


def _scrub(blobs: BlobStore, mirror: Mirror, stop: threading.Event) -> None:
    """Once a day read every blob again. One that rotted is moved aside and fetched anew."""
    wait = _FIRST_SCRUB_S
    while not stop.wait(wait):
        wait = _SCRUB_EVERY_S
        try:
            for digest in blobs.scrub():
                _log.error("blob_rotted", digest=digest)
                mirror.sync_all()
                stop.wait(_SCRUB_PAUSE_S)
        except Unavailable as error:
            _log.warning("scrub_stopped", error=str(error))
