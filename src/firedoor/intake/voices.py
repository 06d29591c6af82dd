"""Voices: for which machines a token may speak.

A machine speaks for itself alone. A collector speaks for the machines whose names match its
patterns; the numbers of those it has spoken for are remembered until the register changes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from firedoor.core.host_id import HostId, HostIdKind
from firedoor.core.machine import name_filter, redact
from firedoor.core.units import MachineNo
from firedoor.ports import Identity, Register

_REMEMBERED_NAMES: Final = 1_048_576
_SHOWN_CHARACTERS: Final = 64


class Voice:
    """One identity's right to speak.

    Attributes:
        identity: Whose.
        numbers: Machines it may speak for, by name: those learnt so far. Read only.
    """

    __slots__ = ("_bound", "_register", "identity", "numbers")

    def __init__(self, identity: Identity, register: Register) -> None:
        """Give an identity its voice; a machine's knows itself, a collector's nobody yet."""
        self.identity = identity
        self._register = register
        self._bound: Callable[[str], bool] = name_filter(identity.binds)
        self.numbers: dict[str, MachineNo] = {}
        if identity.machine is not None:
            self.numbers[identity.name] = identity.machine

    def learn(self, names: Iterable[str]) -> None:
        """Look up names that ``numbers`` misses and that this voice may speak for.

        Raises:
            Unavailable: The register cannot be read.
        """
        if self.identity.machine is not None:
            return
        found = self._register.numbers({name for name in names if self._bound(name)})
        if len(self.numbers) + len(found) > _REMEMBERED_NAMES:
            self.numbers.clear()
        self.numbers.update(found)

    def number(self, name: str) -> MachineNo | None:
        """Register number of a machine that this voice may speak for, or None.

        Raises:
            Unavailable: The register cannot be read.
        """
        if name not in self.numbers:
            self.learn((name,))
        return self.numbers.get(name)

    def bound(self, kinds: Sequence[HostIdKind], said: str) -> tuple[MachineNo, str] | None:
        """Number and name of the machine that an identity is bound to, whoever may speak for it.

        Args:
            kinds: What kinds of identity it may be, the likeliest first.
            said: What a tool calls the machine.

        Raises:
            Unavailable: The register cannot be read.
        """
        hosts = (HostId.of(kind, said) for kind in kinds)
        found = (self._register.known_as(host) for host in hosts if host is not None)
        return next((known for known in found if known is not None), None)

    def called(self, kinds: Sequence[HostIdKind], said: str) -> tuple[MachineNo, str] | None:
        """Number and name of the machine that a tool calls so, if this voice may speak for it.

        What is bound to a machine is that machine. What is bound to none is the speaker itself,
        whatever its tools call it; for a collector, the machine of that name.

        Args:
            kinds: What kinds of identity it may be, the likeliest first.
            said: What the tool calls it.

        Raises:
            Unavailable: The register cannot be read.
        """
        known = self.bound(kinds, said)
        own = self.identity.machine
        if known is not None:
            may = known[0] == own if own is not None else self._bound(known[1])
            return known if may else None
        if own is not None:
            return own, self.identity.name
        found = self.number(said)
        return None if found is None else (found, said)

    def refusal(self, name: str) -> str:
        """Say why this voice may not speak for ``name``; never whether such a machine exists."""
        shown = redact(repr(name[:_SHOWN_CHARACTERS]))
        if self.identity.machine is not None:
            return f"{self.identity.name} may not speak for {shown}"
        if not self._bound(name):
            return f"collector {self.identity.name} is not bound to {shown}"
        return f"no machine called {shown} is enrolled"


class Voices:
    """The voices of all collectors, remembered until the register changes."""

    def __init__(self, register: Register) -> None:
        """Remember nothing yet."""
        self._register = register
        self._version = register.version()
        self._voices: dict[Identity, Voice] = {}

    def of(self, identity: Identity) -> Voice:
        """The voice of an identity that was authenticated just now.

        Raises:
            Unavailable: The register cannot be read.
        """
        if identity.machine is not None:
            return Voice(identity, self._register)
        version = self._register.version()
        if version != self._version:
            self._voices.clear()
            self._version = version
        return self._voices.setdefault(identity, Voice(identity, self._register))
