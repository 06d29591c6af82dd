"""Asking an ASGI application in this process, as a server would."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What the application answered."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str:
        """All values of a header, joined by commas."""
        return ", ".join(value.decode() for key, value in self.headers if key == name.encode())

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


async def ask(
    app: Any,
    method: str,
    path: str,
    body: bytes | Sequence[bytes] = b"",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one request; a body given in parts comes chunked, a whole one with its length."""
    parts = [body] if isinstance(body, bytes) else list(body)
    sent = {key.lower().encode(): value.encode() for key, value in (headers or {}).items()}
    if isinstance(body, bytes):
        sent.setdefault(b"content-length", str(len(body)).encode())
    messages = [
        {"type": "http.request", "body": part, "more_body": at < len(parts)}
        for at, part in enumerate(parts, 1)
    ] or [{"type": "http.request"}]
    replies: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        replies.append(message)

    await app(
        {"type": "http", "method": method, "path": path, "headers": list(sent.items())},
        receive,
        send,
    )
    start, *rest = replies
    return Reply(start["status"], start["headers"], b"".join(part["body"] for part in rest))
