"""The intake's ASGI application.

Plain ASGI: a request is authenticated, read, decoded, sorted, made durable and answered, in
this order, and there is little else a framework could do. What a request is told is true: 200
comes after the sync, 503 means that nothing of it was stored.
"""

import asyncio
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from traceback import format_exception
from typing import Any, Final

import msgspec
import structlog

from firedoor.config.definitions import shipped
from firedoor.core.definition import Definitions
from firedoor.core.errors import FiredoorError, Unavailable
from firedoor.core.machine import redact
from firedoor.core.units import UnixMs
from firedoor.formats import ndjson
from firedoor.intake.body import Budget, ClientLeft, Receive, read_body, unpack
from firedoor.intake.collectors import Collectors
from firedoor.intake.commit import GroupCommit
from firedoor.intake.credentials import authenticate
from firedoor.intake.heartbeats import Heartbeats
from firedoor.intake.journals import Journals
from firedoor.intake.osquery import ROOT, Osquery
from firedoor.intake.otlp import PATH as LOGS
from firedoor.intake.otlp import Otlp
from firedoor.intake.quota import Quota
from firedoor.intake.reception import Reception
from firedoor.intake.replies import Send, accepted, problem, refused, reply
from firedoor.intake.sorting import Sorted, sort
from firedoor.intake.voices import Voices
from firedoor.ports import CERTIFICATE, Clock, Identity, Instant, Register, SignalStore

MAX_BODY: Final = 8 * 1024 * 1024

MAX_IN_FLIGHT: Final = 64 * 1024 * 1024
"""Bytes of bodies, packed and unpacked, in memory at once; slow senders could pile up gigabytes."""

SHARES: Final = 4
"""Senders that it takes at least to use all that there is of something."""

_log = structlog.get_logger()


class Accepted(msgspec.Struct, frozen=True):
    """The answer to signals.

    Attributes:
        accepted: Signals that are durable now and were not before.
        duplicates: Signals that were durable before.
        rejected: Lines that are neither, by number.
    """

    accepted: int
    duplicates: int
    rejected: list[ndjson.Malformed]


class Intake:
    """The application, and what it keeps while it runs: ``start`` it before the first request."""

    def __init__(
        self,
        register: Register,
        store: SignalStore,
        clock: Clock,
        *,
        heartbeat_ms: int,
        bucket_ms: int,
        max_body: int,
        definitions: Definitions,
    ) -> None:
        """See ``make_app``."""
        # Two bodies fit whatever their limit, one packed and one unpacked, or none ever would.
        total = max(MAX_IN_FLIGHT, 2 * max_body)
        heartbeats = Heartbeats(heartbeat_ms)
        self._reception = Reception(
            register,
            Voices(register),
            GroupCommit(store, clock, heartbeats),
            clock,
            collectors=Collectors(),
            heartbeats=heartbeats,
            quota=Quota(),
            budget=Budget(total, max(total // SHARES, 2 * max_body)),
            definitions=definitions,
            max_body=max_body,
        )
        self._store = store
        self._bucket_ms = bucket_ms
        self._otlp = Otlp(self._reception)
        self._osquery = Osquery(self._reception)
        self._journals = Journals(self._reception)
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what the last run knew and begin to beat.

        Raises:
            Unavailable: The store cannot be read or written.
        """
        reporting = await self._reception.commit.run(self._store.reporting)
        now = self._reception.clock.now()
        self._reception.heartbeats.resume(reporting, now.mono_ms)
        await self._reception.commit.run(partial(self._store.beat, now))
        await self._osquery.resume()
        self._reception.collectors.resume(await self._reception.commit.run(self._store.collectors))
        self._ticking = asyncio.create_task(self._tick_for_ever(now.mono_ms))

    async def stop(self) -> None:
        """Commit what waits and beat a last time. The server has stopped sending requests."""
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
        await self._osquery.store()
        try:
            await self._reception.commit.run(partial(self._store.beat, self._reception.clock.now()))
        except Unavailable as error:
            _log.warning("intake.beat_failed", error=redact(str(error)))
        await self._reception.commit.close()

    async def prune(self, before_wall_ms: UnixMs) -> int:
        """Forget old batches, events and beats, in turn with the commits; return how many batches.

        Raises:
            Unavailable: The store cannot be written; part may be gone.
        """
        return await self._reception.commit.run(partial(self._store.prune, before_wall_ms))

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        path_token, path = _split(scope["path"])
        try:
            match path, scope["method"]:
                case "/v1/signals", "POST":
                    await self._signals(scope, receive, send, path_token)
                case "/v1/signals", _:
                    await problem(send, HTTPStatus.METHOD_NOT_ALLOWED, "signals are posted")
                case _, "POST" if path.startswith(ROOT):
                    await self._osquery.serve(scope, receive, send, path, path_token)
                case _, "POST" if path.endswith("/upload"):
                    await self._upload(scope, receive, send, path_token)
                case _, _ if path == LOGS:
                    await self._otlp.serve(scope, receive, send, path_token)
                case "/healthz", "GET" | "HEAD" if path_token is None:
                    await self._health(send)
                case _:
                    await problem(send, HTTPStatus.NOT_FOUND, "there is nothing here")
        except ClientLeft:
            return
        except FiredoorError as error:
            await problem(send, refused(path, error), str(error), error.hint)
        except Exception as error:  # noqa: BLE001 - the server's own answer would be no problem document
            _log.error(
                "intake.failed", path=redact(path), error=redact("".join(format_exception(error)))
            )
            failed = HTTPStatus.INTERNAL_SERVER_ERROR
            await problem(send, failed, "the request could not be answered; the log says why")

    async def _signals(
        self, scope: dict[str, Any], receive: Receive, send: Send, path_token: str | None
    ) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        shown = headers.get(b"authorization", b"")
        certificate = scope.get(CERTIFICATE)
        identity = authenticate(self._reception.register, shown, path_token, certificate)
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in {b"identity", b"gzip"}:
            unsupported = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            await problem(send, unsupported, "a body may be packed with gzip only")
            return
        with self._reception.budget.open(identity) as account:
            declared = headers.get(b"content-length", b"")
            body = await read_body(receive, declared, self._reception.max_body, account)
            received = self._reception.clock.now()
            self._reception.collectors.hear(identity, received)
            if encoding == b"gzip":
                body = await unpack(body, self._reception.max_body, account)
            answer = await self._take(body, identity, received)
        await reply(send, answer)

    async def _upload(
        self, scope: dict[str, Any], receive: Receive, send: Send, path_token: str | None
    ) -> None:
        shown = dict(scope["headers"]).get(b"authorization", b"")
        identity = authenticate(self._reception.register, shown, path_token, scope.get(CERTIFICATE))
        await self._journals.take(identity, receive)
        await accepted(send)

    async def _take(self, body: bytes, identity: Identity, received: Instant) -> Accepted:
        found, new_events, voice = Sorted(), 0, self._reception.voices.of(identity)
        self._reception.quota.turn(received.mono_ms)
        for at, piece in enumerate(ndjson.decode(body)):
            if at:
                # A large body takes a tenth of a second: let others come in between.
                await asyncio.sleep(0)
            sort(
                piece,
                voice,
                self._reception.heartbeats,
                self._reception.quota,
                received_ms=received.wall_ms,
                into=found,
            )
        if found.sent or found.events:
            new_events = await self._reception.commit.append(found, identity)
        return Accepted(
            accepted=found.heartbeats + new_events,
            duplicates=found.duplicates + len(found.events) - new_events,
            rejected=found.rejected(),
        )

    async def _health(self, send: Send) -> None:
        if self._reception.commit.failing:
            raise Unavailable("the last signals could not be stored")
        await reply(send, {"status": "ok"})

    async def _tick_for_ever(self, last_ms: int) -> None:
        outage = False
        while True:
            await asyncio.sleep(self._bucket_ms / 1000)
            now = self._reception.clock.now()
            # A failed store turned machines away, a late tick shows that nobody was listening.
            late = now.mono_ms - last_ms > 2 * self._bucket_ms
            if outage or late or self._reception.commit.failing:
                self._reception.heartbeats.forgive(now.mono_ms)
            last_ms, outage = now.mono_ms, False
            try:
                await self._reception.commit.run(partial(self._store.beat, now))
                await self._mark_turns(now.mono_ms)
                await self._osquery.store()
                if heard := self._reception.collectors.drain():
                    await self._reception.commit.run(partial(self._store.keep_collectors, heard))
            except Exception as error:  # noqa: BLE001 - without beats no deadline ever passes
                outage = True
                _log.error("intake.beat_failed", error=redact(repr(error)))

    async def _mark_turns(self, mono_ms: int) -> None:
        for reports, machines in self._reception.heartbeats.turns(mono_ms).items():
            if machines:
                await self._reception.commit.run(partial(self._store.mark, machines, reports))
                self._reception.heartbeats.mark(machines, reports)


def make_app(
    register: Register,
    store: SignalStore,
    clock: Clock,
    *,
    heartbeat_ms: int,
    bucket_ms: int,
    max_body: int = MAX_BODY,
    definitions: Definitions | None = None,
) -> Intake:
    """Build the intake; whoever serves it calls ``start`` before and ``stop`` after.

    Args:
        register: Knows machines, collectors and their tokens.
        store: Where signals go; nobody else may write it.
        clock: This host's clocks.
        heartbeat_ms: Interval machines are told to send heartbeats in.
        bucket_ms: Interval of the intake's own beat; the judge's tick.
        max_body: Largest body in bytes, as sent and after unpacking.
        definitions: Which records of machines' logs are signals; None: those that are shipped.
    """
    return Intake(
        register,
        store,
        clock,
        heartbeat_ms=heartbeat_ms,
        bucket_ms=bucket_ms,
        max_body=max_body,
        definitions=shipped() if definitions is None else definitions,
    )


def _split(path: str) -> tuple[str | None, str]:
    if path.startswith("/m/"):
        token, slash, rest = path[3:].partition("/")
        return token, slash + rest
    return None, path
