"""Host identities: what the machine's own tools call it, bound to one machine of the register.

A machine has one name here and others elsewhere: systemd's machine id, its host name, what osquery
and OpenTelemetry say. Whoever enrols it binds them to it; a collector that posts for many machines
then need not know our names.

::

    machine-id   what /etc/machine-id holds; OpenTelemetry's host.id on Linux is the same
    host-name    the name of the host
    osquery      osquery's host identifier, whichever --host_identifier chooses
    host-id      OpenTelemetry's host.id where it is another than the machine id

Source: issue "Signals from what machines already run", 5.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from firedoor.core.errors import BadInput

LONGEST: Final = 256


class HostIdKind(StrEnum):
    """Which tool calls the machine so."""

    MACHINE_ID = "machine-id"
    HOST_NAME = "host-name"
    OSQUERY = "osquery"
    HOST_ID = "host-id"


@dataclass(frozen=True, slots=True, order=True)
class HostId:
    """One identity.

    Attributes:
        kind: Which tool calls the machine so.
        value: What it calls it: 1 to 256 printable characters, in small letters.
    """

    kind: HostIdKind
    value: str

    @classmethod
    def of(cls, kind: HostIdKind, said: str) -> Self | None:
        """The identity a tool tells of, or None where it says nothing that could be one.

        Args:
            kind: Which tool.
            said: What it says. Host names and UUIDs are the same in capitals and small letters.
        """
        value = said.strip().lower()
        return cls(kind, value) if 0 < len(value) <= LONGEST and value.isprintable() else None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``KIND=VALUE``.

        Raises:
            BadInput: It is none.
        """
        kind, equals, said = text.partition("=")
        if not equals or kind not in set(HostIdKind):
            raise BadInput(
                f"{text[:140]!r} is no identity",
                hint="KIND=VALUE; kinds are " + ", ".join(HostIdKind),
            )
        found = cls.of(HostIdKind(kind), said)
        if found is None:
            raise BadInput(
                f"{kind} has no such value", hint=f"1 to {LONGEST} characters that can be printed"
            )
        return found

    def __str__(self) -> str:
        """As ``parse`` reads it."""
        return f"{self.kind}={self.value}"


def by_kind(hosts: Iterable[HostId]) -> dict[str, tuple[str, ...]]:
    """Identities as people are told of them: the values of each kind."""
    found: dict[str, tuple[str, ...]] = {}
    for host in hosts:
        found[host.kind.value] = (*found.get(host.kind.value, ()), host.value)
    return found
