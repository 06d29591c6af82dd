"""What the register holds: its tables, and its rows as others see them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from firedoor.adapters.store import register_host_ids
from firedoor.adapters.store.sqlite import Schema
from firedoor.core.machine import Machine
from firedoor.core.units import MachineNo, UnixMs

INDEX_BY_MACHINE: Final = "CREATE INDEX token_machine ON token (machine)"

_CERTIFICATES: Final = (
    """CREATE TABLE certificate (
        fingerprint TEXT PRIMARY KEY,
        machine INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        revoked INTEGER
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX certificate_machine ON certificate (machine)",
)

SCHEMA: Final = Schema(
    version=3,
    statements=(
        """CREATE TABLE machine (
            no INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE,
            attributes TEXT NOT NULL,
            enrolled INTEGER NOT NULL,
            revoked INTEGER
        ) STRICT""",
        """CREATE TABLE token (
            digest BLOB PRIMARY KEY,
            machine INTEGER,
            purpose TEXT NOT NULL,
            binds TEXT,
            created INTEGER NOT NULL,
            expires INTEGER
        ) STRICT, WITHOUT ROWID""",
        INDEX_BY_MACHINE,
        *_CERTIFICATES,
        *register_host_ids.TABLE,
    ),
    upgrades={1: _CERTIFICATES, 2: register_host_ids.TABLE},
)


class Enrolment(NamedTuple):
    """What enrolling prints once, and nobody can read again.

    Attributes:
        no: The machine's number.
        name: Its name.
        read: Token for the gate, in clear.
        signal: Token for the intake, in clear.
    """

    no: MachineNo
    name: str
    read: str
    signal: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A machine as the register lists it.

    Attributes:
        machine: Number, name and attributes.
        enrolled: When it was (last) enrolled.
        revoked: Since when its tokens are refused, or None.
    """

    machine: Machine
    enrolled: UnixMs
    revoked: UnixMs | None


@dataclass(frozen=True, slots=True)
class Collector:
    """Something that posts the signals of several machines.

    Attributes:
        name: What it is called; the user name in Basic authentication.
        patterns: Shell-style patterns of the machine names it may speak for.
        created: When its token was made.
    """

    name: str
    patterns: tuple[str, ...]
    created: UnixMs


@dataclass(frozen=True, slots=True)
class Issued:
    """A client certificate that Firedoor's own authority has issued.

    Attributes:
        machine: Name of the machine.
        fingerprint: SHA-256 of the certificate, hexadecimal.
        expires: When it is refused by everybody.
    """

    machine: str
    fingerprint: str
    expires: UnixMs


def entry_of(no: int, name: str, attributes: str, enrolled: int, revoked: int | None) -> Entry:
    """A row of ``machine``."""
    return Entry(
        machine=Machine(MachineNo(no), name, json.loads(attributes)),
        enrolled=UnixMs(enrolled),
        revoked=None if revoked is None else UnixMs(revoked),
    )


def collector_of(binds: str, created: int) -> Collector:
    """A row of ``token`` that is of no machine."""
    bound = json.loads(binds)
    return Collector(bound["name"], tuple(bound["patterns"]), UnixMs(created))


_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def canonical(attributes: Mapping[str, str]) -> str:
    """Attributes as they are stored: what is the same is written the same."""
    return _JSON.encode(dict(attributes))
