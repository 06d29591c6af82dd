"""What a release may claim of itself: a verdict on cards that were drawn, or no evidence at all.

A door that opened by decree (adopted, empty, expedited, pinned) before anybody drew a card has
compared nothing with nothing. Calling that "undecided" would promise a verdict that never comes.
"""

from collections.abc import Iterator
from typing import Final

from firedoor.cli.output import count
from firedoor.console.model import DoorView, Judgement, ReleaseView
from firedoor.core.door import Reason, State

NO_VERDICT: Final = "-"

_DECREED: Final = frozenset({Reason.ADOPTED, Reason.EMPTY, Reason.EXPEDITED, Reason.PINNED})


def unproven(release: ReleaseView) -> str:
    """Say why no evidence is claimed for a release; "" where cards were drawn, or may be yet."""
    doors = release.door.values()
    decreed = all(door.state is State.OPEN and door.reason in _DECREED for door in doors)
    if not doors or not decreed or any(_drew(door) for door in doors):
        return ""
    reasons = " and ".join(dict.fromkeys(door.reason.value for door in doors))
    return f"{reasons}: no evidence is claimed"


def judgement(release: ReleaseView) -> str:
    """The verdict in one word, "-" where none is claimed."""
    return NO_VERDICT if unproven(release) else release.verdict.state.value


def waiting(release: ReleaseView) -> Iterator[str]:
    """What each door of a cleared release still waits for before it opens."""
    if release.verdict.state is not Judgement.CLEARED:
        return
    for ring, door in release.door.items():
        if door.state is not State.OPENING:
            continue
        if door.in_flight:
            what = f"for {count(door.in_flight)} in flight, and then for its soak"
        else:
            what = "for its soak, or for the reserve if the ring asks for more than the release"
        yield f"the door of ring {ring} is opening still: it waits {what}"


def _drew(door: DoorView) -> bool:
    """Whether a card of the deck was drawn: the three add up to the treated ones."""
    return bool(door.control or door.in_flight or door.matured or door.harmed)
