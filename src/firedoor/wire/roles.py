"""The four roles, each put together from the configuration and run until it is told to stop."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import structlog
import uvloop

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import load_root_key, load_signing_key, load_token
from firedoor.adapters.server import HttpServer, Limits
from firedoor.adapters.store import gate as gate_store
from firedoor.adapters.store import inbox as inbox_store
from firedoor.adapters.store import judge as judge_store
from firedoor.adapters.store import signals as signal_store
from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.inbox import InboxReader, InboxWriter
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.adapters.store.sqlite import Schema, open_writer
from firedoor.config import Config
from firedoor.core import silence
from firedoor.core.board import ChannelBoard
from firedoor.core.channel import traits
from firedoor.core.errors import Unavailable
from firedoor.core.ring import ring_of
from firedoor.core.units import MachineNo
from firedoor.gate.app import Gate
from firedoor.gate.identity import Doorbell
from firedoor.gate.keeper import Channel, Keeper
from firedoor.gate.respond import Answerer
from firedoor.intake.app import make_app as make_intake
from firedoor.services.admission import Admission
from firedoor.services.places import Place
from firedoor.services.roster import Roster
from firedoor.wire.alerts import hook
from firedoor.wire.court import Court
from firedoor.wire.files import Files
from firedoor.wire.mirroring import Mirror

ROLES = ("gate", "intake", "judge", "console")
"""In the order in which they start. The judge may come last or die: the gate serves on."""

_ORPHAN_EVERY_S = 0.5
_RETENTION_MS = 8 * 24 * 3_600_000
_PRUNE_EVERY_S = 3600.0
_log = structlog.get_logger()


def prepare(files: Files) -> None:
    """Make the databases that do not exist yet, so that every role may read every other's."""
    files.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    schemas: Sequence[tuple[str, Schema]] = (
        (gate_store.NAME, gate_store.SCHEMA),
        (judge_store.NAME, judge_store.SCHEMA),
        (inbox_store.NAME, inbox_store.SCHEMA),
        (files.signals.name, signal_store.SCHEMA),
    )
    for name, schema in schemas:
        open_writer(files.data / name, schema).close()
    MachineRegister(files.register, SystemClock()).close()


def run(role: str, config: Config, listener: socket.socket | None, parent: int) -> None:
    """Run one role in this process until SIGTERM, SIGINT or the parent's end.

    Args:
        role: One of ``ROLES``.
        config: The configuration.
        listener: Bound, listening socket; None for the judge, which has none.
        parent: Process id of the supervisor, 0 when there is none.

    Raises:
        Unavailable: Another process has this role in this data directory.
    """
    files = Files(config.data)
    prepare(files)
    with _only_one(files.lock(role)):
        _log.info("role_started", role=role, pid=os.getpid())
        if role == "judge":
            _run_judge(config, files, parent)
        else:
            if listener is None:
                raise ValueError(f"{role} needs a socket")
            main = {"gate": _gate, "intake": _intake, "console": _console}[role]
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main(config, files, listener, parent))
        _log.info("role_ended", role=role)


def _run_judge(config: Config, files: Files, parent: int) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_watch_parent, args=(parent, stop), daemon=True).start()
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
    try:
        court.run(stop)
    finally:
        mirror.stop()
        store.close()


async def _gate(config: Config, files: Files, listener: socket.socket, parent: int) -> None:
    clock = SystemClock()
    register = MachineRegister(files.register, clock, read_only=True)
    history = GateReader(files.data)
    pulses = SignalReader(files.signals)
    blobs = DiskBlobs(files.blobs)
    writer = GateWriter(files.data)
    now = clock.now()
    periods = [traits(channel.kind).usual_period_ms for channel in config.channels]
    roster = Roster(
        heartbeat_ms=config.time.heartbeat_ms,
        silence_min_ms=config.time.silence_min_ms,
        cold_ms=silence.COLD_PERIODS * max(periods, default=0),
    )
    roster.restore(history.habits(), mono_ms=now.mono_ms, wall_ms=now.wall_ms)

    def ring(machine: int) -> str:
        return ring_of(register.attributes(MachineNo(machine)), config.rings)

    channels = {}
    for channel in config.channels:
        name = channel.name
        admission = Admission(
            name,
            roster,
            ring,
            idle_ms=channel.session_idle_ms,
            max_ms=channel.session_max_ms,
        )
        admission.restore(
            (place for place in history.exposures() if place.channel == name),
            (stored.cut for stored in history.cuts_after(0) if stored.cut.channel == name),
            (stand for stand in history.standings() if stand.channel == name),
        )
        channels[name] = Channel(channel, admission, ChannelBoard(name))

    def places(channel: str, number: int) -> list[Place]:
        return [stored.place for stored in history.places_of(channel, number)]

    keeper = Keeper(
        channels,
        roster,
        store=writer,
        source=JudgeReader(files.data),
        pulses=pulses.pulses_after,
        places=places,
        clock=clock,
        bucket_ms=config.time.bucket_ms,
    )
    gate = Gate(keeper, Doorbell(register, config.gate.identify), roster, Answerer(), blobs.path)
    await gate.start()
    await _serve(HttpServer(gate, listener), parent, died=keeper.died)
    await gate.stop()
    writer.close()


async def _intake(config: Config, files: Files, listener: socket.socket, parent: int) -> None:
    clock = SystemClock()
    store = SignalDatabase(files.signals)
    intake = make_intake(
        MachineRegister(files.register, clock, read_only=True),
        store,
        clock,
        heartbeat_ms=config.time.heartbeat_ms,
        bucket_ms=config.time.bucket_ms,
        max_body=config.intake.max_body_bytes,
    )
    await intake.start()
    pruning = asyncio.create_task(_every(_PRUNE_EVERY_S, lambda: _prune(intake, clock)))
    await _serve(HttpServer(intake, listener), parent)
    pruning.cancel()
    await intake.stop()
    store.close()


async def _console(config: Config, files: Files, listener: socket.socket, parent: int) -> None:
    # Templates and catalogues are imported by the one process that needs them.
    from firedoor.console.app import make_app as make_console  # noqa: PLC0415
    from firedoor.wire.requests import Inbox  # noqa: PLC0415
    from firedoor.wire.views import Views  # noqa: PLC0415

    clock = SystemClock()
    writer = InboxWriter(files.data)
    console = make_console(
        Views(config, files),
        Inbox(config, files, writer, clock),
        token=load_token(files.console_token),
        hosts=(config.console.listen.host,),
        clock=clock,
    )
    server = HttpServer(console, listener, Limits(connections=512))
    await _serve(server, parent, before_stop=console.close)
    writer.close()


async def _serve(
    server: HttpServer,
    parent: int,
    *,
    before_stop: Callable[[], None] = lambda: None,
    died: asyncio.Event | None = None,
) -> None:
    stop = died or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve())
    orphaned = asyncio.create_task(_every(_ORPHAN_EVERY_S, lambda: _stop_if_orphan(parent, stop)))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    before_stop()
    server.stop()
    orphaned.cancel()
    stopping.cancel()
    await serving


async def _stop_if_orphan(parent: int, stop: asyncio.Event) -> None:
    # A supervisor that was killed cannot end its children; they notice it themselves.
    if parent and os.getppid() != parent:
        stop.set()


def _watch_parent(parent: int, stop: threading.Event) -> None:
    while parent and not stop.wait(_ORPHAN_EVERY_S):
        if os.getppid() != parent:
            stop.set()


async def _prune(intake: object, clock: SystemClock) -> None:
    prune = getattr(intake, "prune")
    with contextlib.suppress(Unavailable):
        await prune(clock.now().wall_ms - _RETENTION_MS)


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await work()


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(
                f"another process holds {path.name} in {path.parent}",
                hint="stop it, or use another --data directory",
            ) from None
        yield
