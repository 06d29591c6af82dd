"""The intake's process."""

import asyncio

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.server import Limits
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalDatabase
from firedoor.config import Config
from firedoor.config.definitions import in_force
from firedoor.core.units import UnixMs
from firedoor.intake.app import make_app
from firedoor.wire.files import Files
from firedoor.wire.process import PRUNE_EVERY_S, RETENTION_MS, every, serve
from firedoor.wire.transport import Sockets, Transport


async def run(config: Config, files: Files, sockets: Sockets, parent: int) -> None:
    """Take signals until told to stop."""
    clock = SystemClock()
    store = SignalDatabase(files.signals)
    intake = make_app(
        MachineRegister(files.register, clock, read_only=True),
        store,
        clock,
        heartbeat_ms=config.time.heartbeat_ms,
        bucket_ms=config.time.bucket_ms,
        max_body=config.intake.max_body_bytes,
        definitions=in_force(config.intake.definitions),
    )
    transport = Transport(intake, sockets, config.intake.tls, http2=False, limits=Limits())
    await intake.start()
    pruning = asyncio.create_task(
        every(PRUNE_EVERY_S, lambda: intake.prune(UnixMs(clock.now().wall_ms - RETENTION_MS)))
    )
    await serve(transport, parent)
    pruning.cancel()
    await intake.stop()
    store.close()
