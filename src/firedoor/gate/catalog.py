"""The catalogue: manifests of the releases that are served now, and who got how much of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from firedoor.core.release import Manifest, changes
from firedoor.gate.folders import Folders

_TOLD_APART: Final = 256
"""Changed files of a release that are told apart, a bit for each machine in flight; all others
are one."""


@dataclass(frozen=True, slots=True)
class Served:
    """One boarding's content.

    Attributes:
        number: Boarding number.
        release: Release id.
        manifest: Path -> file.
        payload: Paths whose delivery counts as an install: what changed, without the index.
    """

    number: int
    release: str
    manifest: Manifest
    payload: frozenset[str] = frozenset()

    _folders: Folders = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the listings; they are made when they are asked for."""
        object.__setattr__(self, "_folders", Folders(self.manifest))

    def has_folder(self, folder: str) -> bool:
        """Say whether there is a folder ("" or ending in a slash)."""
        return self._folders.has(folder)

    def listing(self, folder: str) -> bytes | None:
        """An index page of a folder ("" or ending in a slash), or None if there is no such one."""
        return self._folders.page(folder)


def payload_of(
    manifest: Manifest, previous: Manifest, is_index: Callable[[str], bool]
) -> frozenset[str]:
    """Paths that are new or changed against ``previous``; an index only if nothing else is."""
    changed = {path for path, _, now in changes(previous, manifest) if now is not None}
    return frozenset({path for path in changed if not is_index(path)} or changed)


@dataclass(slots=True)
class Installs:
    """Counts the bytes handed to machines in flight, until a changed file is complete.

    Which of the changed files a machine wants, nobody knows: it has installed with the first, and
    again, later, with every other one. A release may kill with the last.
    """

    _parts: dict[tuple[int, int], dict[str, list[tuple[int, int]]]] = field(default_factory=dict)
    _done: dict[tuple[int, int], int] = field(default_factory=dict)
    _bits: dict[int, dict[str, int]] = field(default_factory=dict)
    _fresh: list[tuple[int, int, int]] = field(default_factory=list)

    def is_done(self, number: int, machine: int, path: str) -> bool:
        """Say whether the machine is known to have this file already."""
        return bool(self._done.get((number, machine), 0) & self._bit(number, path))

    def deliver(
        self, number: int, machine: int, path: str, *, size: int, start: int, end: int, now: int
    ) -> None:
        """Note that bytes ``start`` to ``end`` (exclusive) of a changed file were handed over.

        ``now`` is the monotonic time at which they were, ms.
        """
        key = (number, machine)
        if self.is_done(number, machine, path):
            return
        parts = self._parts.setdefault(key, {})
        parts[path] = _merged([*parts.get(path, []), (start, end)])
        if parts[path] == [(0, size)]:
            del parts[path]
            if not parts:
                del self._parts[key]
            bits = self._bits.setdefault(number, {})
            if len(bits) < _TOLD_APART:
                bits.setdefault(path, 1 << len(bits))
            self._done[key] = self._done.get(key, 0) | self._bit(number, path)
            self._fresh.append((number, machine, now))

    def drain(self) -> list[tuple[int, int, int]]:
        """(boarding number, machine, monotonic ms) of what became complete since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def keep(self, numbers: set[int]) -> None:
        """Forget boardings that are no longer in flight."""
        self._parts = {key: parts for key, parts in self._parts.items() if key[0] in numbers}
        self._done = {key: files for key, files in self._done.items() if key[0] in numbers}
        self._bits = {number: bits for number, bits in self._bits.items() if number in numbers}

    def _bit(self, number: int, path: str) -> int:
        bits = self._bits.get(number, {})
        return bits.get(path, 1 << _TOLD_APART if len(bits) == _TOLD_APART else 0)


def _merged(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
