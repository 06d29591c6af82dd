"""``firedoor up`` and ``firedoor serve``: the roles, together or one by one."""

import contextlib
import logging
import signal
import socket
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO, cast

import structlog
import typer

from firedoor.cli.options import ConfigOption, DataOption, find
from firedoor.config import Config, load
from firedoor.wire import roles, supervisor
from firedoor.wire.transport import PLAIN


class Role(StrEnum):
    """What one process can be."""

    GATE = "gate"
    INTAKE = "intake"
    JUDGE = "judge"
    CONSOLE = "console"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("up")(up)
    app.command("serve")(serve)


def up(config: ConfigOption = None, data: DataOption = None) -> None:
    """Run everything in one process tree: gate, intake, judge and console.

    Example: firedoor up --config firedoor.toml
    """
    path, loaded = _load(config, data)
    log_to_stderr()
    held = supervisor.sockets(loaded)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def ready() -> None:
        for name, sock in held.items():
            typer.echo(f"{name}: {scheme_of(name, loaded)}://{address_of(sock)}", err=True)

    supervisor.up(path, loaded, held, stop=stop, on_ready=ready)


def serve(
    *,
    role: Annotated[Role, typer.Argument(help="Which role this process has.")],
    config: ConfigOption = None,
    data: DataOption = None,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    plain_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    parent: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Run one role in this process.

    Example: firedoor serve gate --config firedoor.toml
    """
    _, loaded = _load(config, data)
    log_to_stderr()
    held = {}
    if fd is not None:
        held[role.value] = socket.socket(fileno=fd)
        if plain_fd is not None:
            held[role.value + PLAIN] = socket.socket(fileno=plain_fd)
    elif role is not Role.JUDGE:
        held = supervisor.sockets(loaded, only=role.value)
    roles.run(role.value, loaded, held, parent)


def scheme_of(name: str, config: Config) -> str:
    """What the socket of this name speaks: http or https."""
    tls = {"gate": config.gate.tls, "intake": config.intake.tls}.get(name)
    return "http" if tls is None else "https"


def address_of(sock: socket.socket) -> str:
    """Host and port of a listening socket, as a URL has them."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def log_to_stderr() -> None:
    """One line an event, key=value, to stderr; JSON where nobody watches."""
    watched = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if watched else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
    )


class _Unfailing:
    """A stream that loses what it cannot write: a full disk under the log, a reader that left.

    Without it a line about a full disk would itself fail, and end the loop that wrote it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose it."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose what waits."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def _load(config: Path | None, data: Path | None) -> tuple[Path, Config]:
    found = find(config)
    return found.absolute(), load(found, data=data)
