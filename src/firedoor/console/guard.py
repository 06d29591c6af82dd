"""Who may read and who may act: the outermost layer of the console.

A console on loopback is reached by every page the operator's browser has open. So:

* ``Host`` must be a name we know, or a rebound DNS name would make a foreign page same-origin;
* a POST needs the console token, a same-origin ``Origin`` if there is one, and a JSON body:
  each of the three alone stops a foreign page, and a script on this host without the token;
* reading is open to loopback; from anywhere else it needs the token as well; no page of another
  origin may read, nor keep event streams open;
* a question to the judge alone is a POST that changes nothing, so for the token it counts as
  reading: Kayenta cannot send one. What is asked there may be long, and runs may come as CSV,
  which no foreign page can post either without asking first;
* whoever asks the judge alone has a token that is good for nothing else, if there is one, and
  may send it as a password: a webhook's URL has room for that and for no header;
* pages run only scripts and styles of our own, and nobody may frame them.

Source: decisions.md 10.
"""

import binascii
import hmac
from base64 import b64decode
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firedoor.console.problem import problem
from firedoor.core.errors import TooLarge

BODY_LIMIT_BYTES: Final = 64 * 1024
"""Largest body of a POST. A request to act is a few hundred bytes."""

JUDGE_BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Largest body of a POST below ``JUDGE``: some ten thousand rows, or a day of series."""

JUDGE: Final = "/judge/"
"""Where the judge is asked about counts that are not the gate's."""

QUESTIONS: Final = frozenset({"/judge/kayenta", "/judge/kayenta/judge", "/judge/flagger"})
"""POSTs that change nothing."""

_FEED: Final = "/judge/runs/"

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_OPEN: Final = frozenset({"/healthz"})


class Guard:
    """An ASGI app around another one that lets through only what may pass.

    Args:
        app: The app to protect.
        token: The console token; an empty one lets nobody act.
        hosts: Names beside loopback under which the console may be asked, without port.
        judge_token: A token that is good below ``JUDGE`` and nowhere else; "" if there is none.
    """

    def __init__(
        self, app: ASGIApp, *, token: str, hosts: tuple[str, ...], judge_token: str = ""
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._judge_token = judge_token.encode()
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(send)
        refusal = self._refuse(scope, Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, _limited(receive, _limit(scope["path"])), guarded)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if hostname(host) not in self._hosts:
            return problem(
                421,
                f"this console is not served under the name {hostname(host)!r}",
                hint="use localhost, or add the name to console.hosts",
            )
        trusted = self._has_token(headers, scope["path"])
        here = is_loopback(scope.get("client"))
        # No path takes any other method, which the router says best.
        if scope["method"] != "POST":
            # A foreign page could not read the answer, but it could take up event streams.
            # Following a link to the console is fine.
            followed = headers.get("sec-fetch-mode") == "navigate"
            if _is_strange(headers, host) or (_crosses(headers) and not followed):
                return problem(403, "a page from another origin may not read")
            if trusted or scope["path"] in _OPEN or here:
                return None
            return _unknown("reading from another host needs a token", scope["path"])
        foreign = _foreign(headers, host, scope["path"])
        if foreign is not None or trusted or (here and scope["path"] in QUESTIONS):
            return foreign
        return _unknown("acting needs the token", scope["path"])

    def _has_token(self, headers: Headers, path: str) -> bool:
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        given, known = sent.strip().encode(), scheme.lower() == "bearer"
        if path.startswith(JUDGE):
            if scheme.lower() == "basic":
                given, known = _password(given), True
            # Both are compared, whichever it is, so that time tells nothing.
            judge = hmac.compare_digest(given, self._judge_token) and bool(self._judge_token)
        else:
            judge = False
        # Compared whatever the scheme says, so that a wrong scheme is not told apart by time.
        same = hmac.compare_digest(given, self._token) and bool(self._token)
        return (same or judge) and known


def hostname(host: str) -> str:
    """The name in a ``Host`` header or origin, lower case, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(client: tuple[str, int] | None) -> bool:
    """Say whether a request's ``client`` is this host. An unknown client is not."""
    try:
        address = ip_address(client[0]) if client else None
    except ValueError:
        return False
    if address is None:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def _foreign(headers: Headers, host: str, path: str) -> Response | None:
    if _is_strange(headers, host) or _crosses(headers):
        return problem(403, "a page from another origin may not act")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    kinds = ("application/json", "text/csv") if path.startswith(_FEED) else ("application/json",)
    if kind not in kinds:
        return problem(415, f"this needs Content-Type: {' or '.join(kinds)}")
    length, most = headers.get("content-length", "0"), _limit(path)
    if not length.isdecimal() or int(length) > most:
        return problem(413, f"a body may have {most} bytes")
    return None


def _limit(path: str) -> int:
    return JUDGE_BODY_LIMIT_BYTES if path.startswith(JUDGE) else BODY_LIMIT_BYTES


def _password(credentials: bytes) -> bytes:
    try:
        return b64decode(credentials, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def _is_strange(headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    # Scheme aside: a TLS proxy before us changes it. A page of another scheme but the same host
    # and port cannot exist beside us.
    return origin is not None and (origin == "null" or _authority(origin) != host)


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _crosses(headers: Headers) -> bool:
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _unknown(detail: str, path: str) -> Response:
    files = "judge.token (or console.token)" if path.startswith(JUDGE) else "console.token"
    return problem(
        401,
        detail,
        hint=f"send Authorization: Bearer with the content of {files}",
        headers={"WWW-Authenticate": 'Bearer realm="firedoor console"'},
    )


def _limited(receive: Receive, most: int) -> Callable[[], Awaitable[Message]]:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            # A chunked body announces no length, so it is counted as it comes.
            seen += len(message.get("body", b""))
            if seen > most:
                raise TooLarge(f"a body may have {most} bytes")
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return guarded
