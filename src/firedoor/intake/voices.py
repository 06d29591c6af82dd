"""Voices: for which machines a token may speak.

A machine speaks for itself alone. A collector speaks for the machines whose names match its
patterns; the numbers of those it has spoken for are remembered until the register changes.
"""

from collections.abc import Callable, Iterable
from typing import Final

from firedoor.core.machine import name_filter, redact
from firedoor.core.units import MachineNo
from firedoor.ports import Identity, Register

_REMEMBERED_NAMES: Final = 1_048_576
_SHOWN_CHARACTERS: Final = 64


class Voice:
    """One identity's right to speak.

    Attributes:
        numbers: Machines it may speak for, by name: those learnt so far. Read only.
    """

    __slots__ = ("_bound", "_identity", "_register", "numbers")

    def __init__(self, identity: Identity, register: Register) -> None:
        """Give an identity its voice; a machine's knows itself, a collector's nobody yet."""
        self._identity = identity
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
        if self._identity.machine is not None:
            return
        found = self._register.numbers({name for name in names if self._bound(name)})
        if len(self.numbers) + len(found) > _REMEMBERED_NAMES:
            self.numbers.clear()
        self.numbers.update(found)

    def refusal(self, name: str) -> str:
        """Say why this voice may not speak for ``name``; never whether such a machine exists."""
        shown = redact(repr(name[:_SHOWN_CHARACTERS]))
        if self._identity.machine is not None:
            return f"{self._identity.name} may not speak for {shown}"
        if not self._bound(name):
            return f"collector {self._identity.name} is not bound to {shown}"
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
