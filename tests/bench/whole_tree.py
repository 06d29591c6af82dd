"""The whole process tree on a directory of files, for benchmarks that measure the real thing."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import urllib3

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import create_root_key, create_signing_key, create_token
from firedoor.adapters.store.register import MachineRegister
from firedoor.config import load
from firedoor.wire import supervisor
from firedoor.wire.files import Files

_CONFIGURATION = """
data = "{data}"
[gate]
listen = "127.0.0.1:0"
[intake]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[[channel]]
name = "bench"
kind = "files"
upstream = "{upstream}"
"""


@dataclass(frozen=True, slots=True)
class Tree:
    """A running tree.

    Attributes:
        urls: Role -> address without a slash at the end.
        pids: Role -> process id.
        authorization: Basic credentials of the one enrolled machine, as a header.
    """

    urls: dict[str, str]
    pids: dict[str, int]
    authorization: str


def files_of(root: Path) -> Files:
    """Make a data directory with its keys below ``root``."""
    files = Files(root / "data")
    files.root_key.parent.mkdir(parents=True, mode=0o700)
    create_root_key(files.root_key)
    create_signing_key(files.ledger_key)
    create_token(files.console_token)
    return files


@contextlib.contextmanager
def running(root: Path, files: Files, upstream: Path, patience_s: float = 60.0) -> Iterator[Tree]:
    """Run the tree until the block is left; entered once the channel's release is served."""
    path = root / "firedoor.toml"
    path.write_text(_CONFIGURATION.format(data=files.data, upstream=upstream))
    config = load(path)
    register = MachineRegister(files.register, SystemClock())
    machine = register.enroll("bench-machine", {}, SystemClock().now().wall_ms)
    register.close()
    held = supervisor.sockets(config)
    urls = {role: f"http://127.0.0.1:{sock.getsockname()[1]}" for role, sock in held.items()}
    stop = threading.Event()
    with (root / "log").open("wb") as log:
        thread = threading.Thread(
            target=supervisor.up, args=(path, config, held), kwargs={"stop": stop, "log": log}
        )
        thread.start()
        try:
            credentials = urllib3.util.make_headers(basic_auth=f"{machine.name}:{machine.read}")
            _wait(urls["gate"], credentials, patience_s)
            yield Tree(urls, _roles(), f"Authorization: {credentials['authorization']}")
        finally:
            stop.set()
            thread.join()


def _wait(gate: str, credentials: dict[str, str], patience_s: float) -> None:
    http = urllib3.PoolManager(timeout=patience_s, retries=False)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if http.request("GET", f"{gate}/bench/", headers=credentials).status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("the gate served nothing in time")


def _roles() -> dict[str, int]:
    return {
        command[command.index("serve") + 1]: child.pid
        for child in psutil.Process().children()
        if "serve" in (command := child.cmdline())
    }
