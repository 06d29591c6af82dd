"""One look at upstream, in a process that does nothing else: ``bench_mirror`` measures it.

``python -m tests.bench.mirror_look CONFIGURATION RESULT``: writes how long the look itself took.
"""

import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.upstream.get import Quiet
from firedoor.config import load
from firedoor.services.mirror import take_snapshot
from firedoor.services.snapshot import Snapshot
from firedoor.wire.garbage import seldom_look
from firedoor.wire.upstreams import upstream_of

_PATIENCE_S: Final = 300


def main(path: Path) -> None:
    """As the mirror's thread does, and what the judge keeps of it."""
    seldom_look()
    config = load(path)
    (channel,) = config.channels
    clock = SystemClock()
    blobs = DiskBlobs(config.data / "blobs")
    store = JudgeStore(config.data)
    stored = store.last_snapshot(channel.name)
    before = Snapshot.from_bytes(stored) if stored else None
    upstream = upstream_of(
        channel,
        random.Random(1),
        clock,
        blobs,
        until_ms=clock.now().mono_ms + _PATIENCE_S * 1000,
        quiet=Quiet(),
        previous=before,
        ours=before is not None,
    )
    snapshot = take_snapshot(upstream, blobs, before, wanted=lambda _: False)
    with store.step():
        store.put_channel(replace(store.channel(channel.name), synced_ms=clock.now().wall_ms))
        if snapshot != before:
            store.put_last_snapshot(channel.name, snapshot.to_bytes())
    store.close()


if __name__ == "__main__":
    began = time.monotonic()
    main(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(str(time.monotonic() - began))
