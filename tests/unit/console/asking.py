"""Asks an ASGI app one question, as a server would; no HTTP library in between."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.types import Message
from tests.unit.console.world import Still, World

from firedoor.console.app import Console, make_app

TOKEN = "7d1c" * 8


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def console(world: World) -> Console:
    """A console over a scene."""
    return make_app(world, world, token=TOKEN, hosts=("doors.example",), clock=Still())


def get(app: Console, target: str, *, client: str = "127.0.0.1", **headers: str) -> Reply:
    """GET a target; header names with underscores for dashes."""
    return asyncio.run(ask(app, "GET", target, headers=headers, client=client))


def post(
    app: Console,
    target: str,
    body: object,
    *,
    chunks: Iterable[bytes] | None = None,
    drop: tuple[str, ...] = (),
    **headers: str,
) -> Reply:
    """POST JSON with everything that acting needs, changed by ``headers``, less ``drop``."""
    pieces = [json.dumps(body).encode()] if chunks is None else list(chunks)
    full = {"authorization": f"Bearer {TOKEN}", "content_type": "application/json", **headers}
    kept = {name: value for name, value in full.items() if name not in drop}
    return asyncio.run(ask(app, "POST", target, headers=kept, chunks=pieces))


async def ask(
    app: Console,
    method: str,
    target: str,
    *,
    headers: dict[str, str],
    chunks: Iterable[bytes] = (b"",),
    client: str = "127.0.0.1",
) -> Reply:
    """Send one request and collect the whole answer."""
    pieces = list(chunks)
    sent: list[Message] = []

    async def receive() -> Message:
        if not pieces:
            await asyncio.sleep(3600)  # a client that keeps the connection open
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope(method, target, headers, client), receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(
        message.get("body", b"") for message in sent if message["type"] == "http.response.body"
    )
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], found, body)


def scope(
    method: str, target: str, headers: dict[str, str], client: str = "127.0.0.1"
) -> dict[str, Any]:
    """An HTTP scope as a server makes it."""
    path, _, query = target.partition("?")
    full = {"host": "localhost:8082", **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.replace("_", "-").lower().encode(), value.encode())
            for name, value in full.items()
        ],
        "client": (client, 40000),
        "server": ("127.0.0.1", 8082),
    }
