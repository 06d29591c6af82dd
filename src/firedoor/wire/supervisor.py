"""``firedoor up``: all roles in one process tree, and the sockets that outlive them.

The supervisor binds the listening sockets and keeps them; a role that dies is started again
while its clients wait in the socket's backlog. A restart of a role is a pause, never a refusal.
Only a role that was refused at its first start, as what it was given makes no sense, ends the
tree: it would be refused for ever.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from firedoor.adapters.keys.file import load_root_key, load_signing_key, load_token
from firedoor.adapters.server import BACKLOG
from firedoor.config import Config
from firedoor.config.values import Listen
from firedoor.core.errors import BadConfig, Unavailable
from firedoor.wire.databases import prepare
from firedoor.wire.files import Files
from firedoor.wire.process import only_one
from firedoor.wire.roles import ROLES
from firedoor.wire.transport import PLAIN

_GRACE_S = 8.0
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 5.0
HEALTHY_AFTER_S = 10.0
"""A role that has run so long had what it needs."""

_REFUSED = 2
_SYSTEMD_FIRST_FD = 3
_log = structlog.get_logger()


@dataclass(slots=True)
class _Child:
    process: "subprocess.Popen[bytes]"
    started: float
    backoff_s: float = _FIRST_BACKOFF_S
    due: float = 0.0
    settled: bool = False


def bind(listen: Listen, *, search: bool = False) -> socket.socket:
    """Bind and listen.

    Args:
        listen: Address and port; port 0 takes any free one.
        search: If the port is taken, take the next free one above it.

    Raises:
        Unavailable: The address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    reason = ""
    ports = range(listen.port, listen.port + (100 if search and listen.port else 1))
    for port in ports:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((listen.host, port))
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            reason = error.strerror or str(error)
            continue
        sock.set_inheritable(True)
        return sock
    raise Unavailable(
        f"cannot listen on {listen}: {reason}",
        hint="another program has the port; choose another in the configuration",
    )


def sockets(config: Config, *, search: bool = False, only: str = "") -> dict[str, socket.socket]:
    """The listening sockets: from systemd where it hands them over, else bound here.

    They are named as their roles, that of ``listen_plain`` with ``-plain`` added.

    Args:
        config: Says where to listen.
        search: Take the next free port where one is taken.
        only: One role's sockets; "" for all.

    Raises:
        Unavailable: An address cannot be bound.
    """
    given = _from_systemd()
    wanted = {
        "gate": config.gate.listen,
        "intake": config.intake.listen,
        "console": config.console.listen,
    }
    for role, tls in (("gate", config.gate.tls), ("intake", config.intake.tls)):
        if tls is not None and tls.listen_plain is not None:
            wanted[role + PLAIN] = tls.listen_plain
    return {
        name: given[name] if name in given else bind(listen, search=search)
        for name, listen in wanted.items()
        if only in ("", name.removesuffix(PLAIN))
    }


def up(
    config_path: Path | None,
    config: Config,
    held: Mapping[str, socket.socket],
    *,
    stop: threading.Event,
    on_ready: Callable[[], None] = lambda: None,
    log: IO[bytes] | None = None,
) -> None:
    """Run all roles until ``stop`` is set; start again what dies.

    Args:
        config_path: Handed on to the roles, which read it themselves.
        config: The same, already read.
        held: The listening sockets by name, as ``sockets`` gives them.
        stop: Set by a signal handler or a caller.
        on_ready: Called once all roles have been started.
        log: Where the roles' log lines go; None for this process's standard error.

    Raises:
        Unavailable: Another supervisor runs on this data directory.
        BadConfig: A key or the console's token is missing or may not be used, or a role was
            refused before it had ever run.
    """
    files = Files.of(config)
    _expect_keys(files)
    prepare(files)

    def start(role: str) -> "subprocess.Popen[bytes]":
        return _start(role, config_path, config, held, log)

    with only_one(files.lock("up")):
        keep_up(start, stop, on_ready)


def keep_up(
    start: Callable[[str], "subprocess.Popen[bytes]"],
    stop: threading.Event,
    on_ready: Callable[[], None],
) -> None:
    """Start all roles, and again what dies, until ``stop`` is set; then end them.

    Args:
        start: Starts a role.
        stop: Set by a signal handler or a caller.
        on_ready: Called once all roles have been started.

    Raises:
        BadConfig: A role was refused before it had ever run.
    """
    children = {role: _Child(start(role), time.monotonic()) for role in ROLES}
    on_ready()
    try:
        while not stop.wait(0.1):
            for role, child in children.items():
                if child.process.poll() is not None:
                    _revive(role, child, start)
    finally:
        _end([child.process for child in children.values()])


def _expect_keys(files: Files) -> None:
    """Find out now, where a person looks on, what a role would stumble over."""
    load_root_key(files.root_key)
    load_signing_key(files.ledger_key)
    load_token(files.console_token)


def _revive(role: str, child: _Child, start: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    now = time.monotonic()
    if not child.due:
        if now - child.started > HEALTHY_AFTER_S:
            child.backoff_s, child.settled = _FIRST_BACKOFF_S, True
        child.due = now + child.backoff_s
        child.backoff_s = min(2 * child.backoff_s, _LONGEST_BACKOFF_S)
        _log.error("role_died", role=role, status=child.process.returncode)
        # A role that has run before may meet a file that somebody is just changing: it is tried
        # again, since the others must not stop for it.
        if child.process.returncode == _REFUSED and not child.settled:
            raise BadConfig(
                f"the {role} cannot start with what it was given",
                hint="its own message above says why",
            )
    if now >= child.due:
        child.process = start(role)
        child.started, child.due = now, 0.0


def _start(
    role: str,
    config_path: Path | None,
    config: Config,
    held: Mapping[str, socket.socket],
    log: IO[bytes] | None,
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "firedoor", "serve", role, "--data", str(config.data)]
    if config_path is not None:
        command += ["--config", str(config_path)]
    command += ["--parent", str(os.getpid())]
    passed = []
    for name, option in ((role, "--fd"), (role + PLAIN, "--plain-fd")):
        if name in held:
            passed.append(held[name].fileno())
            command += [option, str(held[name].fileno())]
    # A group of its own: Ctrl-C reaches the supervisor alone, which ends the roles in order.
    return subprocess.Popen(  # noqa: S603
        command, pass_fds=passed, start_new_session=True, stderr=log
    )


def _end(processes: "list[subprocess.Popen[bytes]]") -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("role_killed", pid=process.pid)
            process.kill()
            process.wait()


def _from_systemd() -> dict[str, socket.socket]:
    """Sockets of systemd's socket activation, named gate, gate-plain, intake .. by their units."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found = {}
    for offset, name in enumerate(names):
        sock = socket.socket(fileno=_SYSTEMD_FIRST_FD + offset)
        sock.set_inheritable(True)
        found[name] = sock
    return found
