"""The gate: machines read content. Raw ASGI, the hot path.

A poll that admits nobody costs a few array reads and no disk; what is answered comes from an
immutable manifest, so a mix of two releases cannot happen within a session.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote
from zlib import crc32

from firedoor.core.channel import package_of
from firedoor.core.errors import Unavailable
from firedoor.core.release import FileEntry
from firedoor.core.ring import EVERYONE
from firedoor.core.units import Digest
from firedoor.gate.asgi import Receive, Scope, Send
from firedoor.gate.catalog import Served
from firedoor.gate.identity import Doorbell, Shown
from firedoor.gate.keeper import Channel, Keeper
from firedoor.gate.problem import send_problem
from firedoor.gate.remembering import asked_by, noting
from firedoor.gate.respond import PIECE_BYTES, Answerer, StillAllowed
from firedoor.ports import CERTIFICATE, Certificate
from firedoor.services.roster import Roster

_CHALLENGE = (b"www-authenticate", b'Basic realm="firedoor", charset="UTF-8"')
_RETRY = (b"retry-after", b"5")
_OWN_ANSWER = ((b"cache-control", b"private, no-cache"), (b"vary", b"Authorization"))
_LATER = (b"retry-after", b"15")
_NOT_YOURS = "not in the release this machine gets"
_BLOB_PATHS = 65_536


class _Asked(NamedTuple):
    """A request of which it is known what may be answered from.

    Attributes:
        scope: ASGI's.
        receive: Likewise.
        send: Likewise.
        channel: Whose content.
        machine: Who asks; 0 for nobody who is known.
        shown: What it has shown for it.
        number: Boarding it is answered from; 0 for none.
        path: Below the channel.
    """

    scope: Scope
    receive: Receive
    send: Send
    channel: Channel
    machine: int
    shown: Shown | None
    number: int
    path: str


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
        # A digest was checked when its manifest was read; once is enough.
        self._blob_path = lru_cache(_BLOB_PATHS)(blob_path)
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
        shown: Shown | None = None
        machine = 0
        if path.startswith("/m/"):
            token, _, path = path[3:].partition("/")
            shown, machine = token, self._doorbell.by_token(token)
            name, _, path = path.partition("/")
        else:
            name, _, path = path[1:].partition("/")
            for key, value in scope["headers"]:
                if key == b"authorization" and self._doorbell.reads_headers:
                    shown = value
                    machine = self._doorbell.by_header(value)
                    break
        certificate = scope.get(CERTIFICATE)
        if certificate is not None and self._doorbell.reads_certificates:
            shown, machine = self._by_certificate(certificate, shown, machine)
        channel = self._keeper.channels.get(name)
        if not machine and not self._may_be_nobody(channel, shown):
            # Before anything about channels: strangers need not learn which there are.
            await _turn_away(send, head=method == "HEAD")
        elif channel is None:
            # The name is not repeated: it may be a token in the wrong place.
            detail = "there is no such channel here; the path is /<channel>/<file>"
            await send_problem(send, HTTPStatus.NOT_FOUND, detail, head=method == "HEAD")
        else:
            if machine:
                number = self._keeper.current(channel, machine)
                if not number:
                    number = await self._begin(scope, channel, machine)
            else:
                self._note_stranger(scope, channel)
                number = channel.admission.anonymous(EVERYONE)
            asked = _Asked(scope, receive, send, channel, machine, shown, number, path)
            await self._answer(asked)

    def _by_certificate(
        self, certificate: Certificate, shown: Shown | None, machine: int
    ) -> tuple[Shown, int]:
        """What counts where there is a certificate too: the first that names a machine."""
        if machine and not self._doorbell.prefers_certificate(shown):
            return (certificate if shown is None else shown), machine
        certified = self._doorbell.by_certificate(certificate)
        if certified or shown is None or not machine:
            return certificate, certified
        return shown, machine

    def _may_be_nobody(self, channel: Channel | None, shown: Shown | None) -> bool:
        """Whether this client may go without an identity; who shows a wrong one may not."""
        if shown is not None:
            return False
        held = channel is not None and channel.config.unknown == "hold"
        return held or self._doorbell.anonymous

    def _note_stranger(self, scope: Scope, channel: Channel) -> None:
        """Count a client without an identity, so that its channel is not taken for deserted."""
        if scope["method"] == "GET":
            client = scope["client"]
            address = "" if client is None else client[0]
            channel.admission.strangers.note(address, self._keeper.now())

    async def _begin(self, scope: Scope, channel: Channel, machine: int) -> int:
        """Boarding number for a machine that is not known to be in a session."""
        client, admit = scope["client"], scope["method"] == "GET"
        if client is not None and admit:
            self._roster.grow(machine)
            address = crc32(client[0].encode())
            self._roster.seen_from(machine, address, self._keeper.now())
        return await self._keeper.number_for(channel, machine, admit=admit)

    def _answer(self, asked: _Asked) -> Awaitable[None]:
        # Not a coroutine of its own: each costs as much as finding the file.
        scope, receive, send, channel, machine, shown, number, path = asked
        head = scope["method"] == "HEAD"
        served = channel.catalog.get(number)
        if served is None:
            detail = "nothing can be served yet: no release of this channel is open"
            unavailable = HTTPStatus.SERVICE_UNAVAILABLE
            return send_problem(send, unavailable, detail, headers=[_RETRY], head=head)
        entry = served.manifest.get(path)
        for_ever = channel.kind.is_immutable(path)
        if entry is None and for_ever and machine:
            served = _superseded(channel, machine, number, path) or served
            entry = served.manifest.get(path)
        if entry is None:
            return self._answer_folder(scope, send, served, path)
        if for_ever and channel.kind.is_deferrable(path):
            self._keeper.ask(channel, package_of(path), machine)
            if channel.config.may_lack(path) and not self._keeper.supply.is_held(entry):
                return self._answer_later(asked, entry)
        since = delivered = still_allowed = None
        current = False
        if machine:
            if not channel.kind.tells_installs:
                since = channel.admission.since(machine, number)
            if not head and path in served.payload:
                delivered = self._keeper.deliver(channel, machine, number, path, entry.size)
            if not head and channel.fetches is not None:
                fetch = asked_by(
                    channel,
                    machine,
                    number=number,
                    path=path,
                    entry=entry,
                    headers=scope["headers"],
                )
                current = channel.fetches.is_current(fetch)
                delivered = noting(self._keeper, channel, fetch, entry.size, delivered)
        if entry.size > PIECE_BYTES:
            still_allowed = self._allowance(channel, machine, number, shown)
        return self._answerer.answer(
            scope,
            receive,
            send,
            method=scope["method"],
            headers=scope["headers"],
            entry=entry,
            path=self._blob_path(entry.sha256),
            last_modified=since,
            release=served.release,
            immutable_name=for_ever,
            current=current,
            delivered=delivered,
            still_allowed=still_allowed,
        )

    async def _answer_later(self, asked: _Asked, entry: FileEntry) -> None:
        """Answer with a file that nobody holds yet: when it has come, or why it has not."""
        send, channel, head = asked.send, asked.channel, asked.scope["method"] == "HEAD"
        refusal = await self._keeper.supply.bring(channel.config.name, asked.path, entry)
        if refusal is not None and refusal.gone:
            detail = "upstream does not have this file any more"
            await send_problem(send, HTTPStatus.NOT_FOUND, detail, head=head)
        elif refusal is not None:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            await send_problem(send, status, refusal.error, headers=[_LATER], head=head)
        elif not channel.admission.allows(asked.machine, asked.number):
            # Contained while it was fetched.
            await send_problem(send, HTTPStatus.NOT_FOUND, _NOT_YOURS, head=head)
        else:
            await self._answer(asked)

    def _allowance(
        self, channel: Channel, machine: int, number: int, shown: Shown | None
    ) -> StillAllowed:
        """Says, during a transfer, whether release and machine are what they were."""
        admission, doorbell = channel.admission, self._doorbell

        def still_allowed() -> bool:
            if not admission.allows(machine, number):
                return False
            try:
                return shown is None or doorbell.by_shown(shown) == machine
            except Unavailable:
                return True  # a register that cannot be read has revoked nobody

        return still_allowed

    async def _answer_folder(self, scope: Scope, send: Send, served: Served, path: str) -> None:
        head = scope["method"] == "HEAD"
        # The links of a listing begin at its folder, so it is only shown under a name with a slash.
        if not scope["path"].endswith("/"):
            if served.has_folder(f"{path}/" if path else ""):
                await _send_to_folder(scope, send)
                return
            listing = None
        else:
            listing = served.listing(path)
        if listing is None:
            await send_problem(send, HTTPStatus.NOT_FOUND, _NOT_YOURS, head=head)
            return
        length = (b"content-length", str(len(listing)).encode())
        headers = [(b"content-type", b"text/html; charset=utf-8"), length, *_OWN_ANSWER]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else listing})

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


def _superseded(channel: Channel, machine: int, number: int, path: str) -> Served | None:
    """The release before that this machine had the name from: its index is older than its door."""
    for earlier in sorted(channel.catalog, reverse=True):
        served = channel.catalog[earlier]
        if earlier < number and path in served.manifest and channel.admission.had(machine, earlier):
            return served
    return None


async def _turn_away(send: Send, *, head: bool) -> None:
    detail = "this gate does not know you; enrol with `firedoor machine enroll`"
    await send_problem(send, HTTPStatus.UNAUTHORIZED, detail, headers=[_CHALLENGE], head=head)


async def _send_to_folder(scope: Scope, send: Send) -> None:
    """Redirect to the same name with a slash.

    Relative, as a proxy before us may have taken off a prefix, and a token stays out of the header.
    301 and not 308, which old clients (urllib before Python 3.11) take for an error: only GET and
    HEAD come here, for which the two mean the same.
    """
    name = scope["path"].rpartition("/")[2]
    query = scope["query_string"]
    # "./" because a name may hold a colon.
    location = f"./{quote(name)}/".encode() + (b"?" + query if query else b"")
    headers = [(b"location", location), (b"content-length", b"0"), *_OWN_ANSWER]
    status = HTTPStatus.MOVED_PERMANENTLY
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
