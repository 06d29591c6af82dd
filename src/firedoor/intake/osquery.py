"""osquery's remote API: machines whose osquery has its ``tls`` plugins point here.

osquery does not look at the status of an answer. A body that is JSON and has neither ``error``
nor ``node_invalid`` is a success, whatever the status, and so is an empty one: what was sent is
then deleted on the machine. So every refusal here has ``error``.

The node key is the secret that the machine enrolled with, and where a collector's token enrols
many machines, the name of the one it stands for (ADR 0040). So it needs no store, survives every
restart, and ends when the token does.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from traceback import format_exception
from typing import Any, Final

import structlog

from firedoor.core.definition import Definition, LogSource, first_fit
from firedoor.core.errors import BadInput, FiredoorError, NotAllowed, NotFound, Unavailable
from firedoor.core.host_id import HostIdKind
from firedoor.core.machine import redact
from firedoor.core.signal import SignalKind
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats import osquery as api
from firedoor.intake.body import Account, Budget, ClientLeft, Receive, read_body, unpack
from firedoor.intake.clocks import OLDEST_MS
from firedoor.intake.credentials import authenticate
from firedoor.intake.heartbeats import Heartbeats
from firedoor.intake.inventories import Inventories
from firedoor.intake.quota import EVENTS_A_MINUTE, Quota
from firedoor.intake.reception import Reception
from firedoor.intake.recording import Record, record
from firedoor.intake.replies import Send, refused, reply
from firedoor.intake.schedule import (
    INVENTORY,
    LINES_A_SEND,
    PREFIX,
    configuration,
    questions,
)
from firedoor.intake.sorting import Sorted
from firedoor.intake.voices import Voice
from firedoor.ports import CERTIFICATE, Certificate, Identity, Instant

ROOT: Final = "/osquery/"

BY_CERTIFICATE: Final = "certificate"
"""Node key of a machine that shows its certificate with every request; osquery wants one."""

_ENDPOINTS: Final = "enroll, config, log, distributed/read and distributed/write are"

_CALLED: Final = (HostIdKind.OSQUERY, HostIdKind.HOST_NAME)
"""What a host identifier may be: osquery's default is the name of the host."""

_STRANGERS: Final = 16 * 1024 * 1024
"""Bytes of bodies, packed, unpacked and decoded, of whom nothing is known before they are read."""

_BETWEEN: Final = 256
"""Rows that are worked on before others come in between."""

_ASKED_A_SECOND: Final = 50
"""Machines that are asked for their inventory in a second: a million in six hours, as often as the
schedule has it sent anyway."""

_FLOOD: Final = f"more than {EVENTS_A_MINUTE} of this kind in a minute: it was not stored"

_NAMED: Final = 100
"""Lines that an answer says were not taken."""

_log = structlog.get_logger()


class Osquery:
    """The endpoints below ``/osquery/``. For one event loop."""

    def __init__(
        self,
        reception: Reception,
    ) -> None:
        """Prepare for its definitions."""
        self._reception = reception
        self._strangers = Budget(max(_STRANGERS, 2 * reception.max_body))
        self._inventories = Inventories()
        self._second = self._asked = 0
        self._store = reception.commit.store
        self._rows = reception.definitions.of(LogSource.OSQUERY)
        self._rows_late = tuple(row for row in self._rows if row.kind is not SignalKind.HEARTBEAT)
        self._configuration = configuration(reception.heartbeats.interval_ms / 1000)

    async def resume(self) -> None:
        """Take over what machines have told of themselves.

        Raises:
            Unavailable: The store cannot be read.
        """
        await self._reception.commit.run(lambda: self._inventories.resume(self._store.told()))

    async def store(self) -> None:
        """Store the inventories that wait."""
        changed, told = self._inventories.drain()
        if not changed and not told:
            return
        try:
            await self._reception.commit.run(partial(self._store.keep_inventories, changed, told))
        except Unavailable as error:
            self._inventories.take_back(changed, told)
            _log.error("intake.inventory_not_stored", error=redact(str(error)))

    async def serve(
        self, scope: dict[str, Any], receive: Receive, send: Send, path: str, token: str | None
    ) -> None:
        """Answer one request.

        Args:
            scope: From ASGI.
            receive: From ASGI.
            send: From ASGI.
            path: Without the token that may stand before it.
            token: That token.
        """
        try:
            answer = await self._answer(scope, receive, path.removeprefix(ROOT), token)
        except ClientLeft:
            return
        except FiredoorError as error:
            invalid = isinstance(error, NotAllowed)
            answer = _refusal(str(error), error.hint, invalid=invalid)
            await reply(send, answer, refused(path, error))
        except Exception as error:  # noqa: BLE001 - without ``error`` in the answer osquery would delete its logs
            _log.error("intake.failed", error=redact("".join(format_exception(error))))
            said = "the request could not be answered; the log says why"
            await reply(send, _refusal(said), HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            await reply(send, answer)

    async def _answer(
        self, scope: dict[str, Any], receive: Receive, path: str, token: str | None
    ) -> object:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        shown = _Shown(token, headers.get(b"authorization", b""), scope.get(CERTIFICATE))
        with self._account_of(shown) as account:
            body = await self._body(receive, headers, account)
            account.add(api.cost(body))
            received = self._reception.clock.now()
            match path:
                case "enroll":
                    return self._enroll(api.request(body, api.Enrolling), shown)
                case "config":
                    self._speaker(api.request(body, api.Asking).node_key, shown)
                    return self._configuration
                case "log":
                    sent = api.request(body, api.Logging)
                    return await self._log(sent, self._speaker(sent.node_key, shown), received)
                case "distributed/read":
                    by = self._speaker(api.request(body, api.Asking).node_key, shown)
                    return {"queries": self._questions(by.machine, received.mono_ms)}
                case "distributed/write":
                    answers = api.request(body, api.Writing)
                    by = self._speaker(answers.node_key, shown)
                    if by.machine is not None:
                        for one in api.written(answers, received.wall_ms):
                            self._keep(by.machine, one, received.wall_ms)
                    return {"node_invalid": False}
                case _:
                    raise NotFound("there is nothing here", hint=_ENDPOINTS)

    def _account_of(self, shown: "_Shown") -> Account:
        """Where a request's body is counted; whoever shows who it is is asked before it is read.

        Older versions of osquery say it in the body alone. They share one budget with whoever
        else is on the network, and nobody can use up that of the others.
        """
        try:
            identity, _ = self._identify(shown.node_key.partition(".")[0], shown)
        except NotAllowed:
            if shown.token is not None or shown.node_key:
                raise
            # A certificate of somebody else's may stand beside a secret that is right.
            return self._strangers.open()
        name = shown.node_key.partition(".")[2]
        if identity.machine is not None or not name:
            return self._reception.budget.open(identity)
        # A token may be a whole fleet's: the key says which machine of it, and has to be of one,
        # or keys that are made up would have a share each.
        voice = self._reception.voices.of(identity)
        machine = voice.number(name)
        if machine is None:
            raise NotAllowed(voice.refusal(name))
        return self._reception.budget.open(machine)

    async def _body(
        self, receive: Receive, headers: Mapping[bytes, bytes], account: Account
    ) -> bytes:
        declared = headers.get(b"content-length", b"")
        body = await read_body(receive, declared, self._reception.max_body, account)
        match headers.get(b"content-encoding", b"identity").strip().lower():
            case b"identity":
                return body
            case b"gzip":
                return await unpack(body, self._reception.max_body, account)
            case _:
                raise BadInput("a body may be packed with gzip only")

    def _enroll(self, sent: api.Enrolling, shown: "_Shown") -> object:
        identity, secret = self._identify(sent.enroll_secret.strip(), shown)
        voice = self._reception.voices.of(identity)
        bound = voice.called(_CALLED, sent.host_identifier)
        if bound is None:
            raise NotAllowed(
                voice.refusal(sent.host_identifier),
                hint="firedoor machine enroll NAME --identity osquery=IDENTIFIER binds one",
            )
        _log.info("intake.osquery_enrolled", machine=bound[1], host=sent.host_identifier[:64])
        key = secret if identity.machine is not None else f"{secret}.{bound[1]}"
        return {"node_key": key, "node_invalid": False}

    def _speaker(self, node_key: str, shown: "_Shown") -> "_Speaker":
        secret, _, name = (shown.node_key or node_key).partition(".")
        identity, _ = self._identify(secret, shown)
        voice = self._reception.voices.of(identity)
        if identity.machine is not None or not name:
            return _Speaker(voice, identity.machine)
        machine = voice.number(name)
        if machine is None:
            raise NotAllowed(voice.refusal(name))
        return _Speaker(voice, machine)

    def _identify(self, secret: str, shown: "_Shown") -> tuple[Identity, str]:
        """Who sends a request, and the secret that said so."""
        if shown.token is not None:
            return authenticate(self._reception.register, b"", shown.token), shown.token
        if secret and secret != BY_CERTIFICATE:
            return authenticate(self._reception.register, b"", secret), secret
        header = b"" if shown.node_key else shown.authorization
        return authenticate(
            self._reception.register, header, None, shown.certificate
        ), BY_CERTIFICATE

    def _questions(self, machine: MachineNo | None, mono_ms: int) -> Mapping[str, str]:
        """What is asked of a machine at once: its inventory, while nothing of it is known.

        Of so many a second, or a fleet that is new would send all it has in one minute.
        """
        if machine is None or self._inventories.is_known(machine):
            return {}
        if mono_ms // 1000 != self._second:
            self._second, self._asked = mono_ms // 1000, 0
        if self._asked >= _ASKED_A_SECOND:
            return {}
        self._asked += 1
        return questions()

    def _keep(self, machine: MachineNo, result: api.Result, received_ms: UnixMs) -> bool:
        """Keep a part of the inventory; False if the result is none."""
        table = result.query.removeprefix(PREFIX)
        if table not in INVENTORY or table == result.query:
            return False
        if result.whole:
            self._inventories.take(machine, table, result.rows, received_ms)
        return True

    async def _log(self, sent: api.Logging, by: "_Speaker", received: Instant) -> object:
        if sent.log_type != "result":
            # What osquery says of itself: taken, or it would be sent again for ever.
            return {"node_invalid": False}
        self._reception.collectors.hear(by.voice.identity, received)
        self._reception.quota.turn(received.mono_ms)
        found, worked = Sorted(), 0
        bad: list[api.BadLine] = []
        # More is waiting: its signs of life are old, and say nothing of the machine's clock.
        rows = self._rows_late if len(sent.data) >= LINES_A_SEND else self._rows
        reading = _Reading(
            rows, self._reception.heartbeats, self._reception.quota, received.wall_ms, found
        )
        for at, line in enumerate(api.results(sent.data), 1):
            if isinstance(line, api.BadLine):
                _name(bad, line)
                continue
            machine = by.machine_of(line.host)
            if machine is None:
                _name(bad, api.BadLine(at, by.voice.refusal(line.host)))
                continue
            if self._keep(machine, line, received.wall_ms):
                continue
            for row in line.rows:
                worked += 1
                if worked % _BETWEEN == 0:
                    await asyncio.sleep(0)
                if not reading.take(machine, line, row):
                    _name(bad, api.BadLine(at, _FLOOD))
        new_events = 0
        if found.sent or found.events:
            new_events = await self._reception.commit.append(found, by.machine or by.voice.identity)
        if self._inventories.full:
            await self.store()
        return {
            "node_invalid": False,
            "accepted": found.heartbeats + new_events,
            "duplicates": found.duplicates + len(found.events) - new_events,
            "rejected": bad,
        }


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a request shows besides its body."""

    token: str | None
    authorization: bytes
    certificate: Certificate | None

    @property
    def node_key(self) -> str:
        """The key that newer versions send in a header too."""
        scheme, _, value = self.authorization.partition(b" ")
        return value.strip().decode("utf-8", "replace") if scheme.lower() == b"nodekey" else ""


class _Speaker:
    """Who speaks: one machine, or a collector whose lines say for which machine each is."""

    __slots__ = ("_known", "machine", "voice")

    def __init__(self, voice: Voice, machine: MachineNo | None) -> None:
        self.voice = voice
        self.machine = machine
        self._known: dict[str, MachineNo | None] = {}

    def machine_of(self, host: str) -> MachineNo | None:
        """The machine that a line is of, or None where the speaker may not speak for it."""
        if host not in self._known:
            self._known[host] = self._found(host)
        return self._known[host]

    def _found(self, host: str) -> MachineNo | None:
        if self.machine is None:
            called = self.voice.called(_CALLED, host)
            return None if called is None else called[0]
        bound = self.voice.bound(_CALLED, host)
        return self.machine if bound is None or bound[0] == self.machine else None


@dataclass(frozen=True, slots=True)
class _Reading:
    """Rows of one request become signals."""

    rows: tuple[Definition, ...]
    heartbeats: Heartbeats
    quota: Quota
    received_ms: UnixMs
    into: Sorted

    def take(self, machine: MachineNo, line: api.Result, row: Mapping[str, str]) -> bool:
        """Add what a row means, if it means anything; False: it is one more than the quota."""
        fields = {**row, "query": line.query}
        if first_fit(self.rows, fields) is None:
            return True
        moment = api.moment_ms(row)
        time_ms = line.time_ms if moment is None else moment
        if time_ms < line.time_ms - OLDEST_MS:
            return True  # By the machine's own clock this is history.
        one = Record(machine, time_ms, api.row_key(line.query, time_ms, row), fields)
        known, quota = self.heartbeats, self.quota
        return record(self.rows, one, known, quota, received_ms=self.received_ms, into=self.into)


def _name(bad: list[api.BadLine], line: api.BadLine) -> None:
    """Name a line that was not taken, if not too many are named."""
    if len(bad) < _NAMED:
        bad.append(line)


def _refusal(error: str, hint: str = "", *, invalid: bool = False) -> dict[str, object]:
    said = redact(f"{error}: {hint}" if hint else error)
    return {"error": said, **({"node_invalid": True} if invalid else {})}
