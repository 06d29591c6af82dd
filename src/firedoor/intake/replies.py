"""Replies: JSON bodies, and problem details (RFC 9457) for whatever went wrong."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from firedoor.core.errors import (
    FiredoorError,
    NotAllowed,
    NotFound,
    Rejected,
    TooLarge,
    TooMuch,
    Unavailable,
)
from firedoor.core.machine import redact

Send = Callable[[dict[str, Any]], Awaitable[None]]
"""ASGI: give the server a message."""

RETRY_AFTER_S: Final = 5
_RETRY: Final = ((b"retry-after", b"%d" % RETRY_AFTER_S),)

_STATUS: Final = (
    (NotAllowed, HTTPStatus.UNAUTHORIZED),
    (NotFound, HTTPStatus.NOT_FOUND),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (Rejected, HTTPStatus.BAD_REQUEST),
    (TooMuch, HTTPStatus.TOO_MANY_REQUESTS),
)
_HEADERS: Final[Mapping[HTTPStatus, tuple[tuple[bytes, bytes], ...]]] = {
    HTTPStatus.UNAUTHORIZED: (
        (b"www-authenticate", b'Bearer realm="firedoor"'),
        (b"www-authenticate", b'Basic realm="firedoor", charset="UTF-8"'),
    ),
    HTTPStatus.METHOD_NOT_ALLOWED: ((b"allow", b"POST"),),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ((b"accept-encoding", b"gzip"),),
    HTTPStatus.TOO_MANY_REQUESTS: _RETRY,
    HTTPStatus.SERVICE_UNAVAILABLE: _RETRY,
}
_log = structlog.get_logger()
_encode: Final = msgspec.json.Encoder().encode


def status_of(error: FiredoorError) -> HTTPStatus:
    """The status an error is answered with; whatever is not the client's doing is 503."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return HTTPStatus.SERVICE_UNAVAILABLE


def refused(path: str, error: FiredoorError) -> HTTPStatus:
    """The status that an error is answered with; the log says what is not the sender's doing."""
    status = status_of(error)
    ours = isinstance(error, Unavailable) and not isinstance(error, TooMuch)
    say = _log.error if ours else _log.debug
    say("intake.refused", status=status.value, path=redact(path), error=redact(str(error)))
    return status


async def reply(send: Send, value: object, status: HTTPStatus = HTTPStatus.OK) -> None:
    """Answer with a value as JSON."""
    headers = _HEADERS.get(status, ())
    await _send(send, status, b"application/json", headers, _encode(value))


async def accepted(send: Send) -> None:
    """Answer as ``systemd-journal-remote`` does."""
    await _send(send, HTTPStatus.ACCEPTED, b"text/plain", (), b"OK.\n")


async def answer(send: Send, status: HTTPStatus, content_type: bytes, body: bytes) -> None:
    """Answer with a body as it is; the status brings the headers that belong to it."""
    await _send(send, status, content_type, _HEADERS.get(status, ()), body)


async def problem(send: Send, status: HTTPStatus, detail: str, hint: str = "") -> None:
    """Answer with problem details.

    Args:
        send: From ASGI.
        status: 400 or above; brings the headers that belong to it.
        detail: What is wrong; tokens in it are replaced.
        hint: What to do next, or empty.
    """
    value = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": redact(detail),
    }
    if hint:
        value["hint"] = redact(hint)
    headers = _HEADERS.get(status, ())
    await _send(send, status, b"application/problem+json", headers, _encode(value))


async def _send(
    send: Send,
    status: HTTPStatus,
    content_type: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status.value,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
