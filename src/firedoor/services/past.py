"""The past of a channel: its good releases, what they showed, and whom that accuses.

A release counts as good if all its doors are open and evidence opened one of them: cleared or
walked. One that a person let through, that was ever shut, or that history itself has accused
since, is none. That those with bad luck are left out makes the rates a little too low; the
factor for drift (``core.evidence.history``) is far larger.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from firedoor.core.door import Door, Reason, State
from firedoor.core.evidence import past
from firedoor.core.evidence.past import PastBucket
from firedoor.core.verdict import Rules
from firedoor.ports import Instant
from firedoor.services.boarding import Boarding
from firedoor.services.flight import Flight
from firedoor.services.ledger import LedgerWriter
from firedoor.services.lines import Line
from firedoor.services.stores import JudgeRecords

MOST_RELEASES: Final = 50
"""The newest good releases of a channel; fleets are not what they were long ago."""

_EARNED = (Reason.CLEARED, Reason.WALKED)
_STOPPED = (Reason.WORSE, Reason.LATE_HARM, Reason.HARMFUL)
_UNDER_WAY = (State.WAITING, State.OPENING, State.HELD, State.OPEN)


class Cursors(Protocol):
    """Where it is written which boardings history has accused."""

    def cursor(self, name: str) -> int:
        """A number by its name, 0 if it was never put."""
        ...


def good(lines: Iterable[Line], store: Cursors) -> list[Line]:
    """The newest good releases among boardings of one channel, oldest first."""
    known = sorted(lines, key=lambda line: line.boarding.number)
    found = [line for line in known if _is_good(line.doors.values(), line, store)]
    return found[-MOST_RELEASES:]


def known(lines: Iterable[Line], rules: Rules, store: JudgeRecords) -> tuple[PastBucket, ...]:
    """What good releases that were judged by the same signals showed.

    Where other signals decide, another share of the machines is harmed by chance.
    """
    return past.summed(
        (
            store.looks(line.boarding.channel, line.boarding.number, apart=rules.past_liars > 0)
            for line in good(lines, store)
            if _deciding(line.boarding.rules) == _deciding(rules)
        ),
        liars=rules.past_liars,
    )


def is_newest(boarding: Boarding, store: JudgeRecords) -> bool:
    """Say whether no later boarding of the channel is open or under way."""
    return not any(
        door.state in _UNDER_WAY
        for later in store.boardings(boarding.channel)
        if later.number > boarding.number
        for door in store.doors(boarding.channel, later.number)
    )


def accuse(
    flight: Flight, sentence: str, store: JudgeRecords, ledger: LedgerWriter, now: Instant
) -> None:
    """Remember that history accuses a release; tell a person once if no door is held for it."""
    boarding, doors = flight.boarding, flight.doors.values()
    if store.cursor(_accused(boarding)):
        return
    store.put_cursor(_accused(boarding), 1)
    if any(door.reason in _STOPPED for door in doors):
        return
    what = "late-harm" if all(door.state is State.OPEN for door in doors) else "worse than history"
    note = f"{what}: nothing is held for it; release {boarding.number}: {sentence}"
    ledger.note(boarding.channel, note, now, alert=True)


def _is_good(doors: Iterable[Door], line: Line, store: Cursors) -> bool:
    states = [(door.state, door.reason) for door in doors]
    allowed = (*_EARNED, Reason.EMPTY)
    opened = all(state is State.OPEN and reason in allowed for state, reason in states)
    earned = any(reason in _EARNED for _, reason in states)
    return opened and earned and not store.cursor(_accused(line.boarding))


def _accused(boarding: Boarding) -> str:
    return f"worse:{boarding.channel}:{boarding.number}"


def _deciding(rules: Rules) -> set[str]:
    return {signal for signal, share in rules.shares if share > 0.0}
