"""How a machine fares under a release, and how far its undoing has got.

The undoing is told from what was seen, never from what was ordered (README section 3, promise
11). A machine whose release was shut is

    reverted      since then it was served the previous release, by a kind of client that goes
                  back to it, and it was heard again after it had time to install that
    needs remedy  it went silent, or has not asked since although it usually would have, or it is
                  of a kind of client that does not go back: a person has to reach it
    contained     none of these: it has the release still, or has gone on to a newer one, and
                  nothing more of it is served
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from firedoor.console.model import Arm, Condition, ExposureView
from firedoor.core.board import ChannelBoard
from firedoor.core.door import Door, Reason, State
from firedoor.core.signal import SILENCE
from firedoor.services.boarding import Boarding
from firedoor.services.places import AFTERWARDS, Standing
from firedoor.services.records import Harmed, StoredDeck, StoredPlace

CONTAINED: Final = "contained"
REVERTED: Final = "reverted"
NEEDS_REMEDY: Final = "needs remedy"

_CLOSED: Final = -1


@dataclass(frozen=True, slots=True)
class Case:
    """What decides how the machines of one boarding are told of.

    Attributes:
        boarding: The boarding.
        decks: (ring, deck) -> bit mask of classes that are not in flight any more, of the decks
            that have not closed.
        harmed: Row of the place -> what was counted.
        revoked: Ring -> wall clock since when nobody gets the release there any more, ms.
        reverts: The kind of client goes back when it is served the previous content.
        settle_ms: Time in which a machine may still speak although what it installs kills it.
        now_ms: Wall clock.
    """

    boarding: Boarding
    decks: Mapping[tuple[str, int], int]
    harmed: Mapping[int, Harmed]
    revoked: Mapping[str, int]
    reverts: bool
    settle_ms: int
    now_ms: int

    @classmethod
    def of(
        cls,
        boarding: Boarding,
        *,
        doors: Iterable[Door],
        decks: Iterable[StoredDeck],
        harmed: Iterable[Harmed],
        board: ChannelBoard | None,
        reverts: bool,
        settle_ms: int,
        now_ms: int,
    ) -> "Case":
        """Put together what is stored of a boarding."""
        return cls(
            boarding=boarding,
            decks={(d.ring, d.deck): d.closed | d.matured for d in decks if d.closed != _CLOSED},
            harmed={h.place: h for h in harmed},
            revoked={d.ring: d.since_ms for d in doors if _is_revoked(d, board)},
            reverts=reverts,
            settle_ms=settle_ms,
            now_ms=now_ms,
        )


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What was last seen of a machine.

    Attributes:
        standing: What the gate last served it in this channel, or None.
        seen_ms: Last sign of life, wall clock, 0 for none; never later than it was.
        patience_ms: It usually asks again within this time.
    """

    standing: Standing | None
    seen_ms: int
    patience_ms: int


def decisive(places: Iterable[StoredPlace]) -> StoredPlace:
    """The one place of a machine in a boarding that tells its part: treated before control.

    A machine may be control in several decks and get the release afterwards. Of several places
    of one part the last counts.
    """
    return max(places, key=lambda stored: (stored.place.treated, stored.id))


def described(
    stored: StoredPlace, case: Case, *, machine: str, harm: str, undo: str
) -> ExposureView:
    """Tell of one place.

    Args:
        stored: The machine's decisive place.
        case: Its boarding.
        machine: The machine's name.
        harm: The signal that counted it as harmed, in the sender's word, or "".
        undo: ``undoing``, or "" where there is nothing to undo.
    """
    place = stored.place
    return ExposureView(
        machine=machine,
        channel=place.channel,
        release=case.boarding.release,
        ring=place.ring,
        arm=_arm(stored),
        deck=None if place.deck == AFTERWARDS else place.deck,
        since_ms=stored.wall_ms,
        state=condition(stored, case),
        harm=harm,
        undo=undo,
    )


def condition(stored: StoredPlace, case: Case) -> Condition:
    """How the machine is doing, as far as the evidence knows.

    Whoever got the release without a card is not followed: nothing is known against it, which
    is told as healthy.
    """
    if stored.id in case.harmed:
        return Condition.HARMED
    place = stored.place
    closed = case.decks.get((place.ring, place.deck))
    if closed is None or closed >> place.cls & 1:
        return Condition.HEALTHY
    return Condition.IN_FLIGHT


def is_revoked(stored: StoredPlace, case: Case) -> bool:
    """Say whether this machine got something that nobody is to have any more."""
    return stored.place.treated and stored.place.ring in case.revoked


def undoing(stored: StoredPlace, case: Case, seen: Whereabouts) -> str:
    """How far the undoing has got on a machine for which ``is_revoked`` holds."""
    place, revoked_ms = stored.place, case.revoked[stored.place.ring]
    harmed = case.harmed.get(stored.id)
    if harmed is not None and harmed.signal == SILENCE and seen.seen_ms <= harmed.at_ms:
        return NEEDS_REMEDY
    stands = seen.standing
    # The gate writes standings once a bucket, places at once: after a crash of the gate the
    # standing may be older than the place, and then it tells nothing of what came after.
    if stands is None or stands.since_s <= stored.wall_ms // 1000:
        stands = None
    if stands is not None and stands.number > place.number:
        return CONTAINED
    waits_since_ms = revoked_ms
    back = stands is not None and 0 < stands.number < place.number
    if stands is not None and back and stands.since_s >= revoked_ms // 1000:
        if not case.reverts:
            return NEEDS_REMEDY
        waits_since_ms = (stands.since_s + 1) * 1000
        if seen.seen_ms >= waits_since_ms + case.settle_ms:
            return REVERTED
    overdue = case.now_ms - waits_since_ms > seen.patience_ms
    return NEEDS_REMEDY if overdue else CONTAINED


def _arm(stored: StoredPlace) -> Arm:
    if not stored.place.treated:
        return Arm.CONTROL
    return Arm.LATER if stored.place.deck == AFTERWARDS else Arm.TREATED


def _is_revoked(door: Door, board: ChannelBoard | None) -> bool:
    if door.state is State.SHUT:
        return True
    if door.state is not State.SUPERSEDED or door.reason is not Reason.PINNED or board is None:
        return False
    # A pin of an older release leaves newer ones behind; one of a newer release does not.
    return any(lane.ring == door.ring and door.number in lane.revoked for lane in board.lanes)
