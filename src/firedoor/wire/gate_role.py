"""The gate's process."""

import asyncio
import socket
from itertools import pairwise

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.server import HttpServer
from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.config import Config
from firedoor.core import silence
from firedoor.core.board import ChannelBoard
from firedoor.core.channel import traits
from firedoor.core.ring import ring_of
from firedoor.core.units import MachineNo
from firedoor.gate.app import Gate
from firedoor.gate.identity import Doorbell
from firedoor.gate.keeper import Channel, Keeper
from firedoor.gate.respond import Answerer
from firedoor.services.admission import Admission
from firedoor.services.places import Place
from firedoor.services.roster import Roster
from firedoor.wire.files import Files
from firedoor.wire.process import PRUNE_EVERY_S, RETENTION_MS, every, serve

# What was down longer ago lies before the last session of nearly every machine.
_RUNS_LOOKED_AT = 50


async def run(config: Config, files: Files, listener: socket.socket, parent: int) -> None:
    """Serve machines until told to stop."""
    clock = SystemClock()
    register = MachineRegister(files.register, clock, read_only=True)
    history = GateReader(files.data)
    writer = GateWriter(files.data)
    roster = _roster(config)
    now = clock.now()
    runs = [*history.runs()[-_RUNS_LOOKED_AT:], (now.wall_ms, now.wall_ms)]
    outages = [(ended, began) for (_, ended), (began, _) in pairwise(runs)]
    roster.restore(history.habits(), mono_ms=now.mono_ms, wall_ms=now.wall_ms, outages=outages)

    def ring(machine: int) -> str:
        return ring_of(register.attributes(MachineNo(machine)), config.rings)

    def places(channel: str, number: int) -> list[Place]:
        return [stored.place for stored in history.places_of(channel, number)]

    channels = {}
    for channel in config.channels:
        name = channel.name
        admission = Admission(
            name, roster, ring, idle_ms=channel.session_idle_ms, max_ms=channel.session_max_ms
        )
        cuts = [stored.cut for stored in history.cuts_after(0) if stored.cut.channel == name]
        admission.restore(history.exposures(name), cuts, history.standings(name))
        channels[name] = Channel(channel, admission, ChannelBoard(name))
    keeper = Keeper(
        channels,
        roster,
        store=writer,
        source=JudgeReader(files.data),
        pulses=SignalReader(files.signals).pulses_after,
        places=places,
        clock=clock,
        bucket_ms=config.time.bucket_ms,
    )
    doorbell = Doorbell(register, config.gate.identify)
    gate = Gate(keeper, doorbell, roster, Answerer(), DiskBlobs(files.blobs).path)
    await gate.start()
    pruning = asyncio.create_task(
        every(PRUNE_EVERY_S, lambda: keeper.prune(clock.now().wall_ms - RETENTION_MS))
    )
    await serve(HttpServer(gate, listener), parent, died=keeper.died)
    pruning.cancel()
    await gate.stop()
    writer.close()


def _roster(config: Config) -> Roster:
    periods = [traits(channel.kind).usual_period_ms for channel in config.channels]
    return Roster(
        heartbeat_ms=config.time.heartbeat_ms,
        silence_min_ms=config.time.silence_min_ms,
        cold_ms=silence.COLD_PERIODS * max(periods, default=0),
    )
