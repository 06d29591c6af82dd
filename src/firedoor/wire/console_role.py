"""The console's process."""

import socket

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import load_token
from firedoor.adapters.server import HttpServer, Limits
from firedoor.adapters.store.inbox import InboxWriter
from firedoor.adapters.store.runs import RunStore
from firedoor.config import Config
from firedoor.console.app import make_app
from firedoor.wire.files import Files
from firedoor.wire.process import serve
from firedoor.wire.requests import Inbox
from firedoor.wire.views import Views

_CONNECTIONS = 512


async def run(config: Config, files: Files, listener: socket.socket, parent: int) -> None:
    """Serve people and scripts until told to stop."""
    clock = SystemClock()
    writer = InboxWriter(files.data)
    runs = RunStore(files.data, clock)
    judge_token = load_token(files.judge_token) if files.judge_token.exists() else ""
    console = make_app(
        Views(config, files),
        Inbox(config, files, writer, clock),
        token=load_token(files.console_token),
        hosts=(config.console.listen.host,),
        clock=clock,
        runs=runs,
        judge_token=judge_token,
    )
    server = HttpServer(console, listener, Limits(connections=_CONNECTIONS))
    await serve(server, parent, before_stop=console.close)
    runs.close()
    writer.close()
