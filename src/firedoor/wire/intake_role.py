"""The intake's process."""

import asyncio
import socket

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.server import HttpServer
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalDatabase
from firedoor.config import Config
from firedoor.core.units import UnixMs
from firedoor.intake.app import make_app
from firedoor.wire.files import Files
from firedoor.wire.process import PRUNE_EVERY_S, RETENTION_MS, every, serve


async def run(config: Config, files: Files, listener: socket.socket, parent: int) -> None:
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
    )
    await intake.start()
    pruning = asyncio.create_task(
        every(PRUNE_EVERY_S, lambda: intake.prune(UnixMs(clock.now().wall_ms - RETENTION_MS)))
    )
    await serve(HttpServer(intake, listener), parent)
    pruning.cancel()
    await intake.stop()
    store.close()
