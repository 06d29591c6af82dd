"""The gate: machines read content. Raw ASGI, the hot path.

A poll that admits nobody costs a few array reads and no disk; what is answered comes from an
immutable manifest, so a mix of two releases cannot happen within a session.
"""

from collections.abc import Callable
from http import HTTPStatus
from zlib import crc32

from firedoor.core.ring import EVERYONE
from firedoor.core.units import Digest
from firedoor.gate.asgi import Receive, Scope, Send
from firedoor.gate.identity import Doorbell
from firedoor.gate.keeper import Channel, Keeper
from firedoor.gate.problem import send_problem
from firedoor.gate.respond import Answerer
from firedoor.services.roster import Roster

_CHALLENGE = (b"www-authenticate", b'Basic realm="firedoor", charset="UTF-8"')
_RETRY = (b"retry-after", b"5")
_LONGEST_NAME_SHOWN = 80


class Gate:
    """The ASGI application. ``start`` it before it is served, ``stop`` it after."""

    def __init__(
        self,
        keeper: Keeper,
        doorbell: Doorbell,
        roster: Roster,
        answerer: Answerer,
        blob_path: Callable[[Digest], str],
    ) -> None:
        """Put the parts together; nothing is opened here."""
        self._keeper = keeper
        self._doorbell = doorbell
        self._roster = roster
        self._answerer = answerer
        self._blob_path = blob_path
        keeper.on_look = self._look_at_register

    async def start(self) -> None:
        """Begin to follow the board."""
        await self._keeper.start()

    async def stop(self) -> None:
        """Write what is left."""
        await self._keeper.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["path"]
        if path == "/healthz":
            await self._health(send)
            return
        if method not in ("GET", "HEAD"):
            allow = [(b"allow", b"GET, HEAD")]
            await send_problem(send, HTTPStatus.METHOD_NOT_ALLOWED, headers=allow)
            return
        if path.startswith("/m/"):
            _, _, token, name, rest = [*path.split("/", 4), "", ""][:5]
            machine = self._doorbell.by_token(token)
        else:
            _, name, rest = [*path.split("/", 2), ""][:3]
            machine = 0
            for key, value in scope["headers"]:
                if key == b"authorization":
                    machine = self._doorbell.by_header(value)
                    break
        channel = self._keeper.channels.get(name)
        if channel is None:
            detail = f"no channel {name[:_LONGEST_NAME_SHOWN]!r}"
            await send_problem(send, HTTPStatus.NOT_FOUND, detail, head=method == "HEAD")
        elif machine:
            await self._serve_machine(
                scope, receive, send, channel=channel, machine=machine, path=rest
            )
        elif self._doorbell.anonymous or channel.config.unknown == "hold":
            number = channel.admission.anonymous(EVERYONE)
            await self._serve(
                scope, receive, send, channel=channel, machine=0, number=number, path=rest
            )
        else:
            detail = "this gate does not know you; enrol with `firedoor machine enroll`"
            head = method == "HEAD"
            await send_problem(
                send, HTTPStatus.UNAUTHORIZED, detail, headers=[_CHALLENGE], head=head
            )

    async def _serve_machine(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        channel: Channel,
        machine: int,
        path: str,
    ) -> None:
        client = scope["client"]
        if client is not None:
            now = self._keeper.now()
            self._roster.grow(machine)
            self._roster.seen_from(machine, crc32(client[0].encode()), now)
        admit = scope["method"] == "GET"
        number = await self._keeper.number_for(channel, machine, admit=admit)
        await self._serve(
            scope, receive, send, channel=channel, machine=machine, number=number, path=path
        )

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        channel: Channel,
        machine: int,
        number: int,
        path: str,
    ) -> None:
        served = channel.catalog.get(number)
        if served is None:
            detail = "nothing can be served yet: no release of this channel is open"
            head = scope["method"] == "HEAD"
            unavailable = HTTPStatus.SERVICE_UNAVAILABLE
            await send_problem(send, unavailable, detail, headers=[_RETRY], head=head)
            return
        entry = served.manifest.get(path)
        if entry is None:
            await self._no_such_file(
                scope, send, served.listing(path) if _is_folder(path) else None
            )
            return
        since = channel.admission.since(machine) if machine else None
        delivered = None
        if machine and scope["method"] == "GET":
            delivered = self._keeper.deliver(channel, machine, number, path, entry.size)
        await self._answerer.answer(
            scope,
            receive,
            send,
            method=scope["method"],
            headers=scope["headers"],
            entry=entry,
            path=self._blob_path(entry.sha256),
            last_modified=since,
            release=served.release,
            immutable_name=False,
            delivered=delivered,
        )

    async def _no_such_file(self, scope: Scope, send: Send, listing: bytes | None) -> None:
        if listing is None:
            detail = "not in the release this machine gets"
            head = scope["method"] == "HEAD"
            await send_problem(send, HTTPStatus.NOT_FOUND, detail, head=head)
            return
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(listing)).encode()),
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"Authorization"),
        ]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else listing
        await send({"type": "http.response.body", "body": body})

    async def _health(self, send: Send) -> None:
        if self._keeper.ready:
            headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"status":"ok"}'})
        else:
            detail = "no board has been read yet; is the judge running?"
            await send_problem(send, HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=[_RETRY])

    def _look_at_register(self) -> None:
        if self._doorbell.changed():
            for channel in self._keeper.channels.values():
                channel.admission.forget_rings()


def _is_folder(path: str) -> bool:
    return not path or path.endswith("/")
