"""The intake as a process of its own, for tests and benchmarks that need to kill or to weigh it.

``python -m tests.intake_process DATA [--port N] [--heartbeat-ms N] [--bucket-ms N]
[--file-limit BYTES]`` serves on a loopback port, a free one unless told, and prints
``{"port": N}`` when it is ready; SIGTERM ends it.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import signal
import socket
from pathlib import Path

import uvloop
from tests import children
from tests.children import Child

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.server import HttpServer
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalDatabase
from firedoor.intake.app import make_app

REGISTER = "machines.db"
SIGNALS = "intake.db"


def running(data: Path, *options: str) -> contextlib.AbstractContextManager[Child]:
    """Run the process; yield it and its port, and end it whatever happens."""
    return children.running("tests.intake_process", str(data), *options)


async def _serve(data: Path, port: int, heartbeat_ms: int, bucket_ms: int) -> None:
    clock = SystemClock()
    register = MachineRegister(data / REGISTER, clock, read_only=True)
    store = SignalDatabase(data / SIGNALS)
    intake = make_app(register, store, clock, heartbeat_ms=heartbeat_ms, bucket_ms=bucket_ms)
    await intake.start()
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        server = HttpServer(intake, listener)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        serving = asyncio.create_task(server.serve())
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)  # noqa: T201 - for running()
        await stop.wait()
        server.stop()
        await serving
    await intake.stop()
    store.close()
    register.close()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--heartbeat-ms", type=int, default=60_000)
    parser.add_argument("--bucket-ms", type=int, default=60_000)
    parser.add_argument("--file-limit", type=int, help="largest file in bytes: a full disk")
    given = parser.parse_args()
    if given.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.file_limit, given.file_limit))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(given.data, given.port, given.heartbeat_ms, given.bucket_ms))


if __name__ == "__main__":
    main()
