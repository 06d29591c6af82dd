"""``POST /v1/logs``: OTLP/HTTP logs, as an OpenTelemetry exporter or collector sends them.

An exporter tries again after 429, 502, 503 and 504, and drops what was answered 400, 401, 404, 413
or 500. So whatever is not the sender's fault is answered 503, a mistake of our own too.

A fresh record of a machine shows that it lives. That is stored once in half an interval of
heartbeats, and makes no machine a regular one: logs fall silent by themselves.

Source: OpenTelemetry Protocol 1.x, OTLP/HTTP; clients.md 7; ADR 0039.
"""

import asyncio
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from traceback import format_exception
from types import MappingProxyType
from typing import Any, Final

import msgspec
import structlog

from firedoor.core.definition import LogSource
from firedoor.core.errors import FiredoorError
from firedoor.core.host_id import HostIdKind
from firedoor.core.machine import redact
from firedoor.core.units import MachineNo
from firedoor.formats import otlp, otlp_json
from firedoor.formats.otlp import Outline, Resource, Wanted
from firedoor.intake.body import Account, ClientLeft, Receive, read_body, unpack
from firedoor.intake.clocks import TOLERATED_MS
from firedoor.intake.credentials import authenticate
from firedoor.intake.quota import EVENTS_A_MINUTE
from firedoor.intake.reception import Reception
from firedoor.intake.recording import Record, record
from firedoor.intake.replies import Send, answer, problem, refused
from firedoor.intake.sorting import Sorted
from firedoor.intake.voices import Voice
from firedoor.ports import CERTIFICATE, Identity, Instant

PATH: Final = "/v1/logs"

_PROTOBUF: Final = b"application/x-protobuf"
_JSON: Final = b"application/json"

NAMES: Final = ("resource.host.name", "resource.host.id", "resource.service.instance.id")
"""Attributes that may name the machine, the likeliest first."""

_KINDS: Final[Mapping[str, Sequence[HostIdKind]]] = MappingProxyType(
    {
        "resource.host.name": (HostIdKind.HOST_NAME,),
        # On Linux OpenTelemetry's host.id is the machine id.
        "resource.host.id": (HostIdKind.HOST_ID, HostIdKind.MACHINE_ID),
    }
)
"""Of which kind of host identity what they say is."""

_NS: Final = 1_000_000
_AT_A_TIME: Final = 1_000
"""Records after which other requests get their turn: a few ms."""

_RESOURCE: Final = 10
"""As many records a resource takes as long as."""

_MOST_REASONS: Final = 3
_GROWTH: Final = 1_024
_NEVER: Final = -(2**62)

_log = structlog.get_logger()


@dataclass(slots=True)
class _Refused:
    """Records that were not taken: how many, and the first reasons."""

    records: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, why: str) -> None:
        self.records += 1
        if why not in self.reasons and len(self.reasons) < _MOST_REASONS:
            self.reasons.append(why)


class Otlp:
    """The endpoint. For one event loop."""

    def __init__(
        self,
        reception: Reception,
    ) -> None:
        """Prepare for its definitions."""
        self._reception = reception
        self._rows = reception.definitions.of(LogSource.OTLP)
        self._wanted = Wanted.of(reception.definitions, NAMES)
        self._lives: array[int] = array("q")

    async def serve(
        self, scope: dict[str, Any], receive: Receive, send: Send, path_token: str | None
    ) -> None:
        """Answer a request."""
        if scope["method"] != "POST":
            await problem(send, HTTPStatus.METHOD_NOT_ALLOWED, "logs are posted")
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        unsupported = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        if content_type not in {_PROTOBUF, _JSON}:
            await problem(send, unsupported, "logs are application/x-protobuf or application/json")
            return
        if encoding not in {b"identity", b"gzip"}:
            await _failed(send, content_type, unsupported, "a body may be packed with gzip only")
            return
        try:
            identity = authenticate(
                self._reception.register,
                headers.get(b"authorization", b""),
                path_token,
                scope.get(CERTIFICATE),
            )
            left_out = await self._take(
                receive, headers, identity, zipped=encoding == b"gzip", content_type=content_type
            )
        except ClientLeft:
            return
        except FiredoorError as error:
            hint = f" ({error.hint})" if error.hint else ""
            await _failed(send, content_type, refused(PATH, error), f"{error}{hint}")
        except Exception as error:  # noqa: BLE001 - after 500 an exporter would drop its records
            shown = redact("".join(format_exception(error)))
            _log.error("intake.failed", path=PATH, error=shown)
            later = "the request could not be answered; the log says why"
            await _failed(send, content_type, HTTPStatus.SERVICE_UNAVAILABLE, later)
        else:
            await answer(send, HTTPStatus.OK, content_type, _success(content_type, left_out))

    async def _take(
        self,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        identity: Identity,
        *,
        zipped: bool,
        content_type: bytes,
    ) -> _Refused:
        with self._reception.budget.open(identity) as account:
            declared = headers.get(b"content-length", b"")
            body = await read_body(receive, declared, self._reception.max_body, account)
            received = self._reception.clock.now()
            self._reception.collectors.hear(identity, received)
            if zipped:
                body = await unpack(body, self._reception.max_body, account)
            found, refused = Sorted(), _Refused()
            self._reception.quota.turn(received.mono_ms)
            voice, read = self._reception.voices.of(identity), 0
            for resource in self._resources(body, content_type, account):
                machine: MachineNo | str | None = None
                read += _RESOURCE
                for each in resource.records:
                    read += 1
                    if read >= _AT_A_TIME:
                        # A large body takes a tenth of a second: let others come in between.
                        read = 0
                        await asyncio.sleep(0)
                    if machine is None:
                        machine = self._machine(identity, voice, resource.fields)
                    if isinstance(machine, str):
                        refused.add(machine)
                    else:
                        self._sort(machine, each, received, found, refused)
            if found.events or found.lives:
                await self._reception.commit.append(found, identity)
                for machine in found.lives:
                    self._lives[machine] = received.mono_ms
        return refused

    def _resources(self, body: bytes, content_type: bytes, account: Account) -> Iterator[Resource]:
        if content_type == _PROTOBUF:
            return otlp.resources(body, self._wanted)
        account.add(otlp_json.cost(body))
        return otlp_json.resources(body, self._wanted)

    def _machine(
        self, identity: Identity, voice: Voice, fields: Mapping[str, str]
    ) -> MachineNo | str:
        """The machine that a resource is of, or why its records are not taken.

        A machine's own token speaks for it whatever its tools call it, unless what they say is
        the name of another one: then somebody sends on what is not its own.
        """
        said = [fields[name] for name in NAMES if fields.get(name)]
        names = list(dict.fromkeys(form for name in said for form in (name, name.lower())))
        for name, kinds in _KINDS.items():
            # What the machine's own tools call it was bound to it at its enrolment.
            known = voice.bound(kinds, fields[name]) if fields.get(name) else None
            if known is not None:
                spoken = voice.called(kinds, fields[name])
                return voice.refusal(known[1]) if spoken is None else spoken[0]
        if identity.machine is not None:
            for name in names:
                if name != identity.name and self._reception.register.number(name) is not None:
                    return voice.refusal(name)
            return identity.machine
        voice.learn([name for name in names if name not in voice.numbers])
        for name in names:
            if name in voice.numbers:
                return voice.numbers[name]
        if not names:
            return "host.name of the resource has to name the machine"
        return voice.refusal(names[0])

    def _sort(
        self,
        machine: MachineNo,
        each: Outline,
        received: Instant,
        into: Sorted,
        refused: _Refused,
    ) -> None:
        time_ms = each.time_ns // _NS
        if abs(received.wall_ms - time_ms) <= TOLERATED_MS and self._due(machine, received):
            into.lives.add(machine)
        if each.record is None:
            return
        one = Record(machine, time_ms or None, each.record.key, each.record.fields)
        taken = record(
            self._rows,
            one,
            self._reception.heartbeats,
            self._reception.quota,
            received_ms=received.wall_ms,
            into=into,
        )
        if not taken:
            refused.add(f"more than {EVENTS_A_MINUTE} signals of one kind in a minute")

    def _due(self, machine: MachineNo, received: Instant) -> bool:
        """Whether it is time to store again that a machine lives."""
        missing = machine + 1 - len(self._lives)
        if missing > 0:
            # Doubling, so that a register filled one by one is not copied each time.
            self._lives.extend([_NEVER] * max(missing, len(self._lives), _GROWTH))
        return (
            2 * (received.mono_ms - self._lives[machine]) >= self._reception.heartbeats.interval_ms
        )


async def _failed(send: Send, content_type: bytes, status: HTTPStatus, why: str) -> None:
    """Answer with a ``google.rpc.Status``, as the protocol has it, in the request's own form."""
    await answer(
        send,
        status,
        content_type,
        _field(2, redact(why).encode())
        if content_type == _PROTOBUF
        else msgspec.json.encode({"message": redact(why)}),
    )


def _success(content_type: bytes, refused: _Refused) -> bytes:
    if not refused.records:
        return b"" if content_type == _PROTOBUF else b"{}"
    why = f"log records that were not taken: {refused.records:,} ({'; '.join(refused.reasons)})"
    if content_type == _PROTOBUF:
        count = b"\x08" + _varint(refused.records)
        return _field(1, count + _field(2, redact(why).encode()))
    partial = {"rejectedLogRecords": str(refused.records), "errorMessage": redact(why)}
    return msgspec.json.encode({"partialSuccess": partial})


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
