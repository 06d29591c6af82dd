"""What machines have, and what they tell of themselves: which of it is new, and how much counts.

Nearly every list a machine sends is the one it sent before, and is known by four bytes. What has
changed waits for the end of the bucket; a crash before it loses nothing for good, as every list
is sent again within hours.

Told attributes may become strata, so a machine must not be able to invent them by the thousand:
of one attribute only so many values are known at a time, those that came first, and every other
is ``other``. A value that no machine tells any more makes room. What the operator sets at
enrolment comes before what a machine tells, and has no limit.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.inventory import Part, digest, facts, items_of
from firedoor.ports import Inventory

VALUES: Final = 64
"""Values of one told attribute that are told apart."""

OTHER: Final = "other"

TOLD: Final = frozenset({"os", "os_version", "arch", "model", "vendor", "kernel"})
"""Facts that are attributes."""

MAX_WAITING: Final = 8 * 1024 * 1024
"""Bytes of lists that wait; beyond, the intake stores them before the bucket ends."""

_ITEM_COST: Final = 80
_GROWTH: Final = 1_024
_JSON: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


class Inventories:
    """Remembers which list each machine has sent last: four bytes a list. For one event loop."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._digests = {part: array("I") for part in Part}
        self._profiles = array("I")
        self._made = 0
        self._known: dict[int, _Profile] = {}
        self._numbers: dict[str, int] = {}
        self._values: dict[str, Counter[str]] = {name: Counter() for name in TOLD}
        self._waiting: dict[tuple[MachineNo, Part], Inventory] = {}
        self._told: dict[MachineNo, Mapping[str, str]] = {}
        self._bytes = 0

    def resume(self, told: Iterable[tuple[MachineNo, Mapping[str, str]]]) -> None:
        """Take over what machines tell; which lists they have shows when they send them again."""
        for machine, attributes in told:
            self._tell(machine, attributes)

    @property
    def full(self) -> bool:
        """Whether what waits should be stored now."""
        return self._bytes > MAX_WAITING

    def is_known(self, machine: MachineNo) -> bool:
        """Whether the machine has told anything of itself."""
        return _at(self._profiles, machine) != 0

    def take(
        self, machine: MachineNo, table: str, rows: Sequence[Mapping[str, str]], now_ms: UnixMs
    ) -> None:
        """Take a table that a machine has sent whole; of no other table than ours is kept.

        Args:
            machine: Whose.
            table: Its name in osquery.
            rows: All rows of it.
            now_ms: Wall time.
        """
        found = items_of(table, rows)
        if found is None:
            return
        part, items = found
        known = digest(items)
        if self._get(machine, part) == _short(known):
            return
        self._set(machine, part, _short(known))
        self._waiting[machine, part] = Inventory(machine, part, known, items, now_ms)
        self._bytes += _ITEM_COST * len(items)
        said = {key: value for key, value in facts(items).items() if key in TOLD}
        if said and said.items() - self.attributes(machine).items():
            self._tell(machine, {**self.attributes(machine), **said})
            self._told[machine] = self.attributes(machine)

    def attributes(self, machine: MachineNo) -> Mapping[str, str]:
        """What a machine tells of itself, as it counts."""
        number = _at(self._profiles, machine)
        return self._known[number].attributes if number else {}

    def drain(self) -> tuple[Sequence[Inventory], Mapping[MachineNo, Mapping[str, str]]]:
        """What waits to be stored; it waits no longer."""
        waiting, told = list(self._waiting.values()), self._told
        self._waiting, self._told, self._bytes = {}, {}, 0
        return waiting, told

    def take_back(
        self, changed: Iterable[Inventory], told: Mapping[MachineNo, Mapping[str, str]]
    ) -> None:
        """What could not be stored: lists are taken again when they come again; the rest waits."""
        for one in changed:
            self._set(one.machine, one.part, 0)
        self._told = {**told, **self._told}

    def _tell(self, machine: MachineNo, attributes: Mapping[str, str]) -> None:
        before = _at(self._profiles, machine)
        if before:
            self._leave(before)
        capped = {name: self._capped(name, value) for name, value in attributes.items()}
        text = _JSON.encode(capped)
        if text not in self._numbers:
            self._made += 1
            self._numbers[text] = self._made
            self._known[self._made] = _Profile(text, capped)
        number = self._numbers[text]
        self._known[number].machines += 1
        for name, value in capped.items():
            if value != OTHER:
                self._values[name][value] += 1
        _put(self._profiles, machine, number)

    def _leave(self, number: int) -> None:
        profile = self._known[number]
        profile.machines -= 1
        for name, value in profile.attributes.items():
            values = self._values[name]
            values[value] -= 1
            if values[value] <= 0:
                del values[value]
        if not profile.machines:
            del self._known[number]
            del self._numbers[profile.text]

    def _capped(self, name: str, value: str) -> str:
        known = self._values[name]
        return value if value in known or len(known) < VALUES else OTHER

    def _get(self, machine: MachineNo, part: Part) -> int:
        return _at(self._digests[part], machine)

    def _set(self, machine: MachineNo, part: Part, short: int) -> None:
        _put(self._digests[part], machine, short)


@dataclass(slots=True)
class _Profile:
    """Attributes that some machines tell."""

    text: str
    attributes: Mapping[str, str]
    machines: int = 0


def _at(numbers: "array[int]", machine: MachineNo) -> int:
    return numbers[machine] if machine < len(numbers) else 0


def _put(numbers: "array[int]", machine: MachineNo, number: int) -> None:
    missing = machine + 1 - len(numbers)
    if missing > 0:
        # Doubling, so that a register filled one by one is not copied each time.
        numbers.frombytes(bytes(numbers.itemsize * max(missing, len(numbers), _GROWTH)))
    numbers[machine] = number


def _short(known: bytes) -> int:
    # One change in four thousand million goes unseen until the next. 0 stands for nothing.
    return int.from_bytes(known[:4], "little") or 1
