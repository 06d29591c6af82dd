"""Lines: a channel's boardings with their doors, and what can be read off them."""

from collections.abc import Mapping
from dataclasses import dataclass

from firedoor.core.door import BEFOREHAND, Door, Reason, State, ended
from firedoor.core.ring import EVERYONE
from firedoor.services.boarding import Boarding

UNDECIDED = (State.WAITING, State.OPENING, State.HELD)
_LEFT_BEHIND = (Reason.PINNED, Reason.MISSING)


@dataclass(slots=True)
class Line:
    """One boarding of a channel, whether or not the judge still watches it."""

    boarding: Boarding
    doors: dict[str, Door]


def in_flight(lines: Mapping[int, Line]) -> int:
    """Number of the newest boarding with a door that is undecided, 0 for none."""
    return max(
        (n for n, x in lines.items() if any(d.state in UNDECIDED for d in x.doors.values())),
        default=0,
    )


def open_in(lines: Mapping[int, Line], ring: str) -> list[int]:
    """Numbers of the boardings that are open in a ring."""
    return [number for number, line in lines.items() if state_in(line, ring) is State.OPEN]


def held_for_cause(line: Line) -> Door | None:
    """A door that a person holds, or what machines showed.

    Not one that a preflight holds: it will again, whenever the release boards.
    """
    held = (door for door in line.doors.values() if door.state is State.HELD)
    return next((door for door in held if door.reason is not Reason.PREFLIGHT), None)


def has_failed(line: Line) -> bool:
    """Its preflight holds it: no machine has tried it."""
    doors = line.doors.values()
    return all(door.reason is Reason.PREFLIGHT for door in doors if door.state in UNDECIDED)


def shut_releases(lines: Mapping[int, Line]) -> set[str]:
    """Releases of which any door was shut."""
    return {
        line.boarding.release
        for line in lines.values()
        if any(door.state is State.SHUT for door in line.doors.values())
    }


def state_in(line: Line, ring: str) -> State | None:
    """Where the door of a ring is, or None if there was no such one."""
    # A ring that came later: its machines were in "everyone", and keep what they had there.
    door = line.doors.get(ring, line.doors.get(EVERYONE))
    return None if door is None else door.state


def ended_badly(line: Line) -> bool:
    """Shut, or held by evidence to the end: nobody else got it. Other holds are no verdict."""
    doors = line.doors.values()
    if any(door.state is State.SHUT for door in doors):
        return True
    if any(door.state is State.HELD and door.reason not in BEFOREHAND for door in doors):
        return True
    superseded = any(door.state is State.SUPERSEDED and door.was_held for door in doors)
    return superseded and all(ended(door.state) for door in doors)


def is_revoked(line: Line, ring: str, base: int) -> bool:
    """Say whether machines of a ring that have a boarding are to leave it for ``base``."""
    door = line.doors.get(ring, line.doors.get(EVERYONE))
    if door is None:
        return False
    left_behind = door.state is State.SUPERSEDED and door.reason in _LEFT_BEHIND
    return door.state is State.SHUT or (left_behind and door.number > base)
