"""The four roles, each put together from the configuration and run until it is told to stop."""

import asyncio
import os
import socket
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog
import uvloop

from firedoor.config import Config
from firedoor.wire.databases import Watch, prepare
from firedoor.wire.files import Files
from firedoor.wire.process import only_one
from firedoor.wire.transport import Sockets

ROLES = ("gate", "intake", "judge", "console")
"""In the order in which they start. The judge may come late or die: the gate serves on."""

_log = structlog.get_logger()


def run(role: str, config: Config, held: Mapping[str, socket.socket], parent: int) -> None:
    """Run one role in this process until SIGTERM, SIGINT or the parent's end.

    Args:
        role: One of ``ROLES``.
        config: The configuration.
        held: Bound, listening sockets by name: the role's own, and that of ``listen_plain``.
        parent: Process id of the supervisor, 0 when there is none.

    Raises:
        Unavailable: Another process has this role in this data directory, or a database was
            replaced while it was open.
    """
    files = Files.of(config)
    prepare(files)
    with only_one(files.lock(role)):
        _log.info("role_started", role=role, pid=os.getpid())
        with Watch(files):
            _run(role, config, files, held, parent)
        _log.info("role_ended", role=role)


def _run(
    role: str, config: Config, files: Files, held: Mapping[str, socket.socket], parent: int
) -> None:
    # Each process imports what its own role needs, and no other's: the gate has no use for
    # templates, the console none for the mirror.
    if role == "judge":
        from firedoor.wire import judge_role  # noqa: PLC0415

        judge_role.run(config, files, parent)
        return
    if role not in held:
        raise ValueError(f"{role} needs a socket")
    main: Coroutine[Any, Any, None]
    match role:
        case "gate":
            from firedoor.wire import gate_role  # noqa: PLC0415

            main = gate_role.run(config, files, Sockets.of(role, held), parent)
        case "intake":
            from firedoor.wire import intake_role  # noqa: PLC0415

            main = intake_role.run(config, files, Sockets.of(role, held), parent)
        case "console":
            from firedoor.wire import console_role  # noqa: PLC0415

            main = console_role.run(config, files, held[role], parent)
        case _:
            raise ValueError(f"no role {role}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
