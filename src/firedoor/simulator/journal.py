"""What happens to machines: the events, their counts, and their record on disk."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Event(StrEnum):
    """What can happen to a machine."""

    STARTED = "started"
    OFFERED = "offered"
    """Read a list that differs from the installed one."""
    RECEIVED = "received"
    """The first byte of the first file that differs: once for each list in a row."""
    INSTALLED = "installed"
    BRICKED = "bricked"
    CRASHED = "crashed"
    TORN = "torn"
    """A file was not what its list had said: served from two releases, or in mid-publication."""
    REFUSED = "refused"
    """An answer that is neither content nor "unchanged", or makes no sense."""
    ABSENT = "absent"
    RETURNED = "returned"
    POLLED = "polled"
    HEARD = "heard"
    """The intake acknowledged signals."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Happening:
    """An event and what is known of it; what is not known is empty.

    Attributes:
        machine: Name.
        event: What happened.
        version: Version the machine has installed (for ``installed``: now).
        list: Digest of the list concerned.
        path: File concerned.
        release: The gate's ``Firedoor-Release`` on that file.
        cause: ``content`` or ``chance`` for a crash; status or reason for a refusal.
    """

    machine: str
    event: Event
    version: str = ""
    list: str = ""
    path: str = ""
    release: str = ""
    cause: str = ""


_CONTACTS = frozenset({Event.POLLED, Event.HEARD, Event.UNREACHABLE})


class Tally:
    """The counts that a fleet prints, kept event by event.

    Args:
        machines: Names of all machines.
    """

    def __init__(self, machines: Iterable[str]) -> None:
        self._version = dict.fromkeys(machines, "")
        self._versions = Counter({"": len(self._version)})
        self._polled: set[str] = set()
        self._events: Counter[Event] = Counter()

    def take(self, happening: Happening) -> None:
        """Count one event."""
        self._events[happening.event] += 1
        match happening.event:
            case Event.POLLED:
                self._polled.add(happening.machine)
            case Event.INSTALLED:
                self._versions[self._version[happening.machine]] -= 1
                self._versions[happening.version] += 1
                self._version[happening.machine] = happening.version
            case _:
                pass

    def row(self, time_ms: int) -> dict[str, int | dict[str, int]]:
        """The counts now.

        Returns:
            ``time`` (Unix ms); ``machines``; ``polled``: machines that were ever answered;
            ``versions``: machines by what they installed last ("" nothing yet), the bricked
            among them; ``bricked``; and how often since the start: ``crashes``, ``polls``,
            ``heartbeats``, ``torn``, ``refused``, ``unreachable``.
        """
        return {
            "time": time_ms,
            "machines": len(self._version),
            "polled": len(self._polled),
            "versions": {name: count for name, count in self._versions.items() if count},
            "bricked": self._events[Event.BRICKED],
            "crashes": self._events[Event.CRASHED],
            "polls": self._events[Event.POLLED],
            "heartbeats": self._events[Event.HEARD],
            "torn": self._events[Event.TORN],
            "refused": self._events[Event.REFUSED],
            "unreachable": self._events[Event.UNREACHABLE],
        }


class Journal:
    """The ground truth on disk: one JSON line an event, appended by one write.

    A line is in the kernel's hands when `write` returns, so killing the fleet loses none.

    Args:
        path: File to append to; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, happening: Happening, time_ms: int) -> None:
        """Append an event with its time; mere contacts are only counted (`Tally`)."""
        if happening.event in _CONTACTS:
            return
        facts = {
            field.name: value
            for field in fields(happening)
            if (value := getattr(happening, field.name)) != ""
        }
        os.write(self._fd, json.dumps({"time": time_ms, **facts}).encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)


def happenings(path: Path) -> list[dict[str, Any]]:
    """What a journal says so far, oldest first; nothing while there is none.

    It may be read while it is written: a last line that is not whole is left for the next time.
    """
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def struck(path: Path) -> set[str]:
    """Machines that the content they installed has bricked or crashed, by their own word."""
    return {
        line["machine"]
        for line in happenings(path)
        if line["event"] == Event.BRICKED
        or (line["event"] == Event.CRASHED and line.get("cause") == "content")
    }
