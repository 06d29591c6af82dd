"""Fast lanes: a budget that a person widened for a time ends by itself, and people are told."""

from collections.abc import Callable, Iterable, Mapping

from firedoor.core.door import Door, Event, LaneOver, State
from firedoor.ports import Instant
from firedoor.services.flight import Flight
from firedoor.services.ledger import LedgerWriter

Apply = Callable[[Flight, str, Event, Instant], Door]
"""Sends one event to the door of one ring."""

_STAYS: Mapping[State, str] = {
    State.WAITING: "it still waits for the ring before it",
    State.OPENING: "the door goes on under it",
    State.HELD: "it stays held",
}


def end_lanes(flights: Iterable[Flight], apply: Apply, ledger: LedgerWriter, now: Instant) -> None:
    """End every fast lane whose time is over, within the judge's step.

    Before the evidence is weighed: what a lane overrode decides again in the same tick.
    """
    for flight in flights:
        for ring, door in list(flight.doors.items()):
            if door.lane is None or now.wall_ms < door.lane.ends_ms:
                continue
            narrow = door.budget - door.lane.slots
            note = (
                f"the fast lane of release {door.number} in ring {ring} is over: its harm budget "
                f"is {narrow} again, {door.lane.slots} fewer; {_STAYS[door.state]}"
            )
            apply(flight, ring, LaneOver(note), now)
            facts = {"release": door.release, "ring": ring}
            ledger.note(door.channel, note, now, alert=True, facts=facts)
