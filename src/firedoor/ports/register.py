"""Who is known."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from firedoor.core.host_id import HostId
from firedoor.core.units import MachineNo


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for.

    Attributes:
        machine: Register number of the machine, or None for a collector.
        name: Name of the machine or collector.
        binds: For a collector: shell-style patterns of machine names it may speak for.
    """

    machine: MachineNo | None
    name: str
    binds: tuple[str, ...] = ()


class Register(Protocol):
    """The known machines and their tokens (stored as SHA-256 only)."""

    def identify(self, token: str, purpose: str) -> Identity | None:
        """Whom this token speaks for, or None. ``purpose`` is ``read`` or ``signal``."""
        ...

    def hold(self) -> None:
        """Read what is on record now, and nothing newer, until ``let_go``; for a moment only."""
        ...

    def let_go(self) -> None:
        """Read what is newest again; without effect where nothing is held."""
        ...

    def number(self, name: str) -> MachineNo | None:
        """Register number of an enrolled, not revoked machine, or None."""
        ...

    def certified(self, name: str, fingerprint: str) -> MachineNo | None:
        """Register number behind a verified client certificate, or None.

        Args:
            name: The common name of its subject.
            fingerprint: SHA-256 of the certificate, hexadecimal.
        """
        ...

    def numbers(self, names: Collection[str]) -> Mapping[str, MachineNo]:
        """Register numbers of those of ``names`` that are enrolled and not revoked; 2 us each."""
        ...

    def known_as(self, host: HostId) -> tuple[MachineNo, str] | None:
        """Number and name of the enrolled machine that an identity is bound to, or None; 10 us."""
        ...

    def attributes(self, machine: MachineNo) -> Mapping[str, str]:
        """Attributes set at enrolment; empty when there are none."""
        ...

    def version(self) -> int:
        """A number that changes whenever another process changed the register; cheap."""
        ...
