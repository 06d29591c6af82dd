"""The gate's process."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import structlog

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.server import Limits
from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.shelf import shelved
from firedoor.adapters.store.signals import SignalReader
from firedoor.config import Config
from firedoor.core import silence
from firedoor.core.board import ChannelBoard
from firedoor.core.errors import Unavailable
from firedoor.core.ring import EVERYONE, Ring, ring_of
from firedoor.core.stratum import stratum_of
from firedoor.core.units import MachineNo
from firedoor.gate.app import Gate
from firedoor.gate.identity import Doorbell
from firedoor.gate.keeper import Channel, Keeper
from firedoor.gate.proxies import behind_proxies
from firedoor.gate.respond import Answerer
from firedoor.gate.soundness import Soundness
from firedoor.ports import Clock
from firedoor.services.admission import Admission
from firedoor.services.places import Place
from firedoor.services.roster import Roster
from firedoor.wire.files import Files
from firedoor.wire.garbage import seldom_look
from firedoor.wire.lease import LeasedBoard
from firedoor.wire.process import PRUNE_EVERY_S, RETENTION_MS, every, serve
from firedoor.wire.transport import Sockets, Transport

# What was down longer ago lies before the last session of nearly every machine.
_RUNS_LOOKED_AT = 50
_log = structlog.get_logger()


async def run(config: Config, files: Files, sockets: Sockets, parent: int) -> None:
    """Serve machines until told to stop."""
    clock = SystemClock()
    register = MachineRegister(files.register, clock, read_only=True)
    history = GateReader(files.data)
    signals = SignalReader(files.signals)
    writer = GateWriter(files.data)
    roster = _roster(config)
    now = clock.now()
    runs = [*history.runs()[-_RUNS_LOOKED_AT:], (now.wall_ms, now.wall_ms)]
    outages = [(ended, began) for (_, ended), (began, _) in pairwise(runs)]
    roster.restore(history.habits(), mono_ms=now.mono_ms, wall_ms=now.wall_ms, outages=outages)

    rings = Rings(register, config.rings)
    enrolled = Enrolled(files.register, clock, config.rings)

    def places(channel: str, number: int) -> list[Place]:
        return [stored.place for stored in history.places_of(channel, number)]

    # Before the register is read: what changes meanwhile is a change.
    doorbell = Doorbell(register, config.gate.identify)
    rings.read_all()
    counts = {c.channel: c for c in history.census() if c.ring == EVERYONE}
    channels = {}
    for channel in config.channels:
        name = channel.name
        admission = Admission(
            name,
            roster,
            rings.ring,
            _strata(register, signals, config.policy_for(name).strata),
            idle_ms=channel.session_idle_ms,
            max_ms=channel.session_max_ms,
        )
        cuts = [stored.cut for stored in history.cuts_after(0) if stored.cut.channel == name]
        admission.restore(history.exposures(name), cuts, history.standings(name))
        if name in counts:
            quiet_ms = max(0, now.wall_ms - counts[name].unknown_ms)
            admission.strangers.restore(counts[name].unknown, now.mono_ms - quiet_ms)
        channels[name] = Channel(channel, admission, ChannelBoard(name))
        memory = channels[name].fetches
        if memory is not None:
            memory.restore(history.fetches(name, now))
    rings.forget()
    blobs = DiskBlobs(files.blobs)
    keeper = Keeper(
        channels,
        roster,
        store=writer,
        source=LeasedBoard(files.data, history.identity()),
        pulses=signals.pulses_after,
        places=places,
        clock=clock,
        bucket_ms=config.time.bucket_ms,
        enrolled=enrolled.count,
        is_held=lambda file: blobs.has(file.sha256),
        had=history.had,
        shelve=lambda manifest: shelved(manifest, files.data),
    )
    gate = Gate(keeper, doorbell, roster, Answerer(soundness=Soundness(blobs.is_sound)), blobs.path)
    app = behind_proxies(gate, config.gate.proxies)
    transport = Transport(app, sockets, config.gate.tls, http2=True, limits=Limits(), direct=True)
    await gate.start()
    seldom_look()
    pruning = asyncio.create_task(
        every(PRUNE_EVERY_S, lambda: keeper.prune(clock.now().wall_ms - RETENTION_MS))
    )
    await serve(transport, parent, died=keeper.died)
    pruning.cancel()
    await gate.stop()
    writer.close()


class Rings:
    """Which ring a machine is in, by what the register says of it."""

    def __init__(self, register: MachineRegister, rings: tuple[Ring, ...]) -> None:
        """Read nothing yet."""
        self._register = register
        self._rings = rings
        self._known: bytearray | None = None

    def read_all(self) -> None:
        """Read the whole register at once, for a gate that starts: a byte a machine."""
        codes = {ring.name: code for code, ring in enumerate(self._rings)}
        found = bytearray()
        if len(self._rings) > 1:
            for number, attributes in self._register.all_attributes():
                if number >= len(found):
                    found.extend(bytes([codes[EVERYONE]]) * (number + 1 - len(found)))
                found[number] = codes[ring_of(attributes, self._rings)]
        self._known = found

    def forget(self) -> None:
        """From now on the register is asked: it may have changed."""
        self._known = None

    def ring(self, machine: int) -> str:
        """Name of the ring of a register number."""
        if len(self._rings) == 1:
            return self._rings[0].name
        if self._known is None:
            return ring_of(self._register.attributes(MachineNo(machine)), self._rings)
        return self._rings[self._known[machine]].name if machine < len(self._known) else EVERYONE


def _strata(
    register: MachineRegister, signals: SignalReader, names: tuple[str, ...]
) -> Callable[[int], str]:
    """Stratum of a register number by these attributes, as they are known now.

    What the operator has set comes before what the machine tells of itself.
    """

    def stratum(machine: int) -> str:
        known = register.attributes(MachineNo(machine))
        if any(name not in known for name in names):
            known = {**signals.told(MachineNo(machine)), **known}
        return stratum_of(known, names)

    return stratum if names else lambda _machine: ""


class Enrolled:
    """How many machines of the register are in each ring, counted again when it changed.

    It reads through a connection of its own, so that it may be asked in another thread than the
    one that answers machines: a large register takes a while.
    """

    def __init__(self, path: Path, clock: Clock, rings: tuple[Ring, ...]) -> None:
        """Count the first time. Raises Unavailable."""
        self._register = MachineRegister(path, clock, read_only=True)
        self._rings = rings
        self._names = sorted({name for ring in rings for name, _ in ring.match})
        self._version = -1
        self._counts: Mapping[str, int] = {}
        self._count_anew()

    def count(self) -> Mapping[str, int]:
        """Ring -> machines that are enrolled and not revoked; the last count if it must be."""
        try:
            self._count_anew()
        except Unavailable as error:
            _log.warning("register_not_counted", error=str(error))
        return self._counts

    def _count_anew(self) -> None:
        version = self._register.version()
        if version != self._version:
            counts: Counter[str] = Counter()
            for attributes, machines in self._register.count_by(self._names):
                counts[ring_of(attributes, self._rings)] += machines
            self._counts, self._version = counts, version


def _roster(config: Config) -> Roster:
    periods = [channel.traits.usual_period_ms for channel in config.channels]
    return Roster(
        heartbeat_ms=config.time.heartbeat_ms,
        silence_min_ms=config.time.silence_min_ms,
        cold_ms=silence.COLD_PERIODS * max(periods, default=0),
    )
