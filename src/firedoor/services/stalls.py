"""Stalls: why a door moves no more by itself, if nothing is under way that could move it."""

from enum import StrEnum

from firedoor.core import valve
from firedoor.core.terms import Terms
from firedoor.ports import Instant
from firedoor.services.flight import Flight, Numbers
from firedoor.services.ledger import LedgerWriter
from firedoor.services.places import Census
from firedoor.services.stores import JudgeRecords


class Stall(StrEnum):
    """What a person has to be told, once a door."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    DESERTED = "deserted"
    WARNING = "warning"
    UNABLE = "unable"
    DORMANT = "dormant"
    RESTARTLESS = "restartless"


_SENTENCES = {
    Stall.DORMANT: (
        "machines that were let into the release do not install it, and nobody else gets it until "
        "some of them do; see what keeps them from it, expedite or shut it"
    ),
    Stall.RESTARTLESS: (
        "machines that have the release have told of no restart since, and nobody else gets it "
        "until some of them do; restart some, see whether their logs tell of restarts at all "
        "(docs/howto/restarts.md), expedite or shut it"
    ),
    Stall.DESERTED: (
        "no machine of the ring has polled for seven days, so nobody can try the release; "
        "expedite or shut it"
    ),
    Stall.WARNING: (
        "the evidence of harm is above the warning level and below proof, and nobody is left to "
        "try; expedite or shut it"
    ),
    Stall.UNABLE: (
        "every machine of the ring that polls shares its tokens with another or still has a shut "
        "release, so nobody can try this one; enrol them anew, expedite or shut it"
    ),
}


def stall(
    count: Census,
    numbers: Numbers,
    terms: Terms,
    *,
    warn: bool,
    quiet: bool,
    absent: int = 0,
    forgotten: int = 0,
) -> Stall | None:
    """Why a ring whose admitted machines are all resolved gets no deck and will get none.

    A door that waits, for machines to poll or for its soak, is not stalled.

    Args:
        count: The gate's newest count of the ring.
        numbers: Where the ring stands.
        terms: The ring's terms.
        warn: The evidence of harm is above its warning level.
        quiet: The soak is over.
        absent: Enrolled machines of the ring that the gate does not know of, and that may poll
            all the same: it has not listened for seven days yet. Count >= 0.
        forgotten: Those that it may have known before records were lost, count >= 0.

    Returns:
        The reason, or None for a door that can still move.
    """
    if not count.active and count.unknown:
        return Stall.UNKNOWN
    if not count.active and not absent:
        return Stall.DESERTED
    if not count.active or (forgotten and not count.untreated and numbers.matured):
        # They have the time of the soak to poll before a person is asked to look.
        return Stall.ABSENT if quiet else None
    if warn and count.untreated <= valve.reserve(active=count.active, control=terms.control):
        return Stall.WARNING
    dormant = Stall.RESTARTLESS if terms.restarts else Stall.DORMANT
    if is_inert(numbers):
        return dormant
    if quiet and not count.untreated and not numbers.matured:
        return dormant if numbers.dormant else Stall.UNABLE
    return None


def is_inert(numbers: Numbers) -> bool:
    """Say whether machines that do not install it take all slots of a ring."""
    return numbers.room < 1 and numbers.dormant > numbers.window and not numbers.waiting


def explained(why: Stall, unknown: int, *, enrolled: int = 0, active: int = 0) -> str:
    """The reason in a sentence, with what a person can do.

    Args:
        why: The reason.
        unknown: Clients that are not enrolled and read the channel, count >= 0.
        enrolled: Enrolled machines of the ring, count >= 0.
        active: Those of them that polled, count >= 0.
    """
    if why is Stall.ABSENT:
        return _absent(enrolled, active)
    if why is Stall.UNKNOWN:
        who = "1 client that is" if unknown == 1 else f"{unknown:,} clients that are"
        reads = "reads" if unknown == 1 else "read"
        return (
            f"{who} not enrolled {reads} this channel; nobody can try the release: enrol some, "
            "or expedite it"
        )
    return _SENTENCES[why]


def missed(ring: str, number: int, enrolled: int) -> str:
    """What a person is told of a ring that opened as empty and has enrolled machines, >= 1."""
    who = "the machine that is" if enrolled == 1 else f"none of the {enrolled:,} machines that are"
    has = "has not" if enrolled == 1 else "has"
    return (
        f"ring {ring} opened as empty for release {number}: {who} enrolled in it {has} polled for "
        "seven days; whichever comes back gets it without evidence"
    )


def _absent(enrolled: int, active: int) -> str:
    if active:
        who = f"{enrolled:,} machines of this ring are enrolled, {active:,} have polled yet"
        return f"{who}, and records of the others were lost; wait for them, expedite or shut it"
    verb = "machine of this ring is" if enrolled == 1 else "machines of this ring are"
    return (
        f"{enrolled:,} {verb} enrolled, none has polled yet: nobody can try the release; "
        "let some poll, expedite or shut it"
    )


class Teller:
    """Tells a person of doors, each thing once."""

    def __init__(self, store: JudgeRecords, ledger: LedgerWriter) -> None:
        """Tell by the ledger; what was told is remembered in the judge's store."""
        self._store = store
        self._ledger = ledger

    def door(self, flight: Flight, ring: str, now: Instant, *, what: str, note: str) -> None:
        """Tell of the door of a ring.

        Args:
            flight: The boarding.
            ring: The ring.
            now: The clocks.
            what: The thing, in a word: of each a person is told once.
            note: How the sentence goes on after "the door of release .. in ring ..".
        """
        channel, number = flight.boarding.channel, flight.boarding.number
        key = f"stands:{channel}:{number}:{ring}:{what}"
        if not self._store.cursor(key):
            self._store.put_cursor(key, 1)
            said = f"the door of release {number} in ring {ring} {note}"
            self._ledger.note(channel, said, now, alert=True)
