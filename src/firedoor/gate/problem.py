"""What the gate answers when it has no content to give: problem details (RFC 9457)."""

import json
from collections.abc import Sequence
from http import HTTPStatus

from firedoor.gate.asgi import Header, Send


async def send_problem(
    send: Send,
    status: HTTPStatus,
    detail: str = "",
    *,
    headers: Sequence[Header] = (),
    head: bool = False,
) -> None:
    """Answer a request with an error that must not be cached.

    Args:
        send: The request's ``send``.
        status: 4xx or 5xx.
        detail: One sentence for the person who reads the client's log; no secrets.
        headers: Further headers, names in lower case.
        head: The request was a HEAD: send the same headers and no body.
    """
    form = {"type": "about:blank", "title": status.phrase, "status": status.value}
    body = json.dumps(form | {"detail": detail} if detail else form).encode()
    fixed: tuple[Header, ...] = (
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    )
    await send(
        {"type": "http.response.start", "status": status.value, "headers": [*fixed, *headers]}
    )
    await send({"type": "http.response.body", "body": b"" if head else body})
