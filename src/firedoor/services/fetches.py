"""Fetches: what each machine got, and what its next request tells of it, in flat arrays.

freshclam names no version of what it has. Its ``If-Modified-Since`` is when it installed the file,
by its own clock: it moves when the client takes what it got, and stays when it throws it away. So
the gate remembers of each machine and file what it sent last, and when, and which date the client
showed then::

    same bytes as then, the date moved, to within two minutes of our sending   304
    anything else                                                              200, without a date
    the date stayed, in a later session                                        it was thrown away

A machine whose connection broke shows the old date as well. It asks again within seconds, in the
same session: such a fetch tells nothing. Nor does a machine that never installed anything here:
its disk may be full, or its clock stand still. And a client that lost its file shows no date.

One row per register number and file, 33 bytes: five files of a million machines take 165 MB.
Losing a row costs a transfer, never a wrong answer. Source: clients.md 1, ADR 0026.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firedoor.core.units import Digest
from firedoor.services.roster import chunks

NEAR_S: Final = 120
"""A date this far from our sending is another's: of a backup, or of a wrong clock."""

MOST_FILES: Final = 256
"""Files of a channel that are remembered; of others every request is answered in full."""

_COARSE_S: Final = 2

_AGAIN: Final = 1  # sent twice in a session: the connection broke
_TAKEN: Final = 2  # the client's date has moved since
_TOLD: Final = 4  # that these bytes were thrown away is on record
_WORKS: Final = 8  # the client had taken something else before


@dataclass(frozen=True, slots=True)
class Rejection:
    """A machine threw away what it was sent: the date that it shows has not moved.

    Attributes:
        channel: Name of the channel.
        number: Boarding number that the bytes were of.
        machine: Register number.
        path: The file.
        mono_ms: Monotonic time at which it had all bytes.
    """

    channel: str
    number: int
    machine: int
    path: str
    mono_ms: int


class Fetch(NamedTuple):
    """What is kept of one machine and file over restarts. A tuple: see ``places.Standing``.

    Attributes:
        channel: Name of the channel.
        machine: Register number.
        path: The file.
        bytes: Which bytes were sent: the beginning of their digest.
        seen_s: The date that the client showed when it asked, Unix seconds; 0 for none.
        sent_s: When it had all bytes, Unix seconds.
        mono_ms: The same, monotonic.
        number: Boarding number that they were of.
        card: As in ``Asked``.
        state: What is known of it since.
    """

    channel: str
    machine: int
    path: str
    bytes: int
    seen_s: int
    sent_s: int
    mono_ms: int
    number: int
    card: int
    state: int


class Asked(NamedTuple):
    """One request for a file.

    Attributes:
        machine: Register number.
        path: The file.
        digest: What it would get.
        date_s: Its If-Modified-Since, Unix seconds; 0 for none.
        began_ms: When its session began, monotonic.
        number: Boarding number that it gets.
        card: Stands for the deck that it holds a card of, 0 for none.
        sham: Machines with other cards get new bytes now: it gets its own ones once more.
    """

    machine: int
    path: str
    digest: Digest
    date_s: int
    began_ms: int
    number: int
    card: int = 0
    sham: bool = False


class Fetches:
    """One channel's memory, by register number and path."""

    def __init__(self, channel: str) -> None:
        """Start with nothing."""
        self._channel = channel
        self._shelves: dict[str, _Shelf] = {}
        self._installs: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._changed: set[tuple[int, str]] = set()
        self._rejections: list[Rejection] = []

    def restore(self, fetches: Iterable[Fetch]) -> None:
        """Load what is durable."""
        for some in chunks(fetches):
            by_path: dict[str, list[Fetch]] = {}
            for fetch in some:
                by_path.setdefault(fetch.path, []).append(fetch)
            for path, rows in by_path.items():
                shelf = self._shelf(path)
                if shelf is None:
                    continue
                machines = np.array([row.machine for row in rows], np.int64)
                shelf.reach(int(machines.max()))
                for name in _COLUMNS:
                    getattr(shelf, name)[machines] = [getattr(row, name) for row in rows]
                self._note_installs(machines[shelf.state[machines] & (_TAKEN | _WORKS) > 0])

    def is_current(self, asked: Asked) -> bool:
        """Whether the client has these very bytes, so that 304 is the answer.

        What its date tells of the bytes before is noted in passing.
        """
        shelf, no = self._shelves.get(asked.path), asked.machine
        if shelf is None or no >= len(shelf.bytes) or not shelf.bytes.item(no):
            return False
        seen_s = shelf.seen_s.item(no)
        if asked.date_s == seen_s:
            self._stayed(asked, shelf)
            return False
        if not asked.date_s:
            return False
        if not shelf.state.item(no) & _TAKEN:
            shelf.state[no] |= _TAKEN
            self._note_installs(np.array([no]))
            self._changed.add((no, asked.path))
        same = shelf.bytes.item(no) == _beginning(asked.digest)
        near = abs(asked.date_s - shelf.sent_s.item(no)) < NEAR_S
        due = asked.sham and shelf.card.item(no) != asked.card
        return same and near and not due

    def sent(self, asked: Asked, *, mono_ms: int, wall_s: int) -> None:
        """Note that a machine was handed all bytes that it asked for."""
        shelf, no = self._shelf(asked.path), asked.machine
        if shelf is None:
            return
        shelf.reach(no)
        which, state = _beginning(asked.digest), _WORKS if self._works(no) else 0
        if shelf.bytes.item(no) == which and shelf.seen_s.item(no) == asked.date_s:
            state |= shelf.state.item(no) & _TOLD
            if shelf.mono_ms.item(no) >= asked.began_ms:
                state |= _AGAIN
        shelf.bytes[no] = which
        shelf.seen_s[no] = asked.date_s
        shelf.sent_s[no] = wall_s
        shelf.mono_ms[no] = mono_ms
        shelf.number[no] = asked.number
        shelf.card[no] = asked.card
        shelf.state[no] = state
        self._changed.add((no, asked.path))

    def drain(self) -> list[Fetch]:
        """What changed since the last call."""
        changed, self._changed = self._changed, set()
        return [self._shelves[path].row(self._channel, no, path) for no, path in changed]

    def drain_rejections(self) -> list[Rejection]:
        """What was thrown away, as far as it was noticed since the last call."""
        rejections, self._rejections = self._rejections, []
        return rejections

    def _stayed(self, asked: Asked, shelf: "_Shelf") -> None:
        """The date has not moved since our last sending: was that thrown away?"""
        no = asked.machine
        sent_ms, known = shelf.mono_ms.item(no), shelf.state.item(no) & (_AGAIN | _TAKEN | _TOLD)
        if known or not self._works(no) or sent_ms >= asked.began_ms:
            return
        # A date counts whole seconds: what was installed twice within one has not moved either.
        if asked.date_s and abs(shelf.sent_s.item(no) - asked.date_s) <= _COARSE_S:
            return
        shelf.state[no] |= _TOLD
        self._changed.add((no, asked.path))
        number = shelf.number.item(no)
        self._rejections.append(Rejection(self._channel, number, no, asked.path, sent_ms))

    def _works(self, machine: int) -> bool:
        """Whether the machine ever took something that it got here."""
        return machine < len(self._installs) and bool(self._installs.item(machine))

    def _note_installs(self, machines: NDArray[np.int64]) -> None:
        most = int(machines.max(initial=-1))
        if most >= len(self._installs):
            more = max(most + 1, 2 * len(self._installs)) - len(self._installs)
            self._installs = np.pad(self._installs, (0, more))
        self._installs[machines] = True

    def _shelf(self, path: str) -> "_Shelf | None":
        shelf = self._shelves.get(path)
        if shelf is None and len(self._shelves) < MOST_FILES:
            shelf = self._shelves[path] = _Shelf()
        return shelf


class _Shelf:
    """What is remembered of one file."""

    bytes: NDArray[np.int64]
    seen_s: NDArray[np.uint32]
    sent_s: NDArray[np.uint32]
    mono_ms: NDArray[np.int64]
    number: NDArray[np.uint32]
    card: NDArray[np.uint32]
    state: NDArray[np.uint8]

    def __init__(self) -> None:
        for name, dtype in _COLUMNS.items():
            setattr(self, name, np.zeros(0, dtype))

    def reach(self, machine: int) -> None:
        """Make sure that register number ``machine`` has a row."""
        have = len(self.bytes)
        if machine >= have:
            more = max(machine + 1, 2 * have) - have
            for name in _COLUMNS:
                setattr(self, name, np.pad(getattr(self, name), (0, more)))

    def row(self, channel: str, machine: int, path: str) -> Fetch:
        """One row as it is kept."""
        values: Iterator[int] = (int(getattr(self, name)[machine]) for name in _COLUMNS)
        return Fetch(channel, machine, path, *values)


_COLUMNS: Final[dict[str, type[np.generic]]] = {
    "bytes": np.int64,
    "seen_s": np.uint32,
    "sent_s": np.uint32,
    "mono_ms": np.int64,
    "number": np.uint32,
    "card": np.uint32,
    "state": np.uint8,
}


def _beginning(digest: Digest) -> int:
    """The first bytes of a digest, never 0, as SQLite can keep them."""
    return int(digest[:15], 16) + 1
