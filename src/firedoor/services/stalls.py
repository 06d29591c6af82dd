"""Stalls: why a door moves no more by itself, if nothing is under way that could move it."""

from enum import StrEnum

from firedoor.core import valve
from firedoor.core.terms import Terms
from firedoor.services.flight import Numbers
from firedoor.services.places import Census


class Stall(StrEnum):
    """What a person has to be told, once a door."""

    UNKNOWN = "unknown"
    DESERTED = "deserted"
    WARNING = "warning"
    UNABLE = "unable"


_SENTENCES = {
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
    count: Census, numbers: Numbers, terms: Terms, *, warn: bool, quiet: bool
) -> Stall | None:
    """Why a ring whose admitted machines are all resolved gets no deck and will get none.

    A door that waits, for machines to poll or for its soak, is not stalled.

    Args:
        count: The gate's newest count of the ring.
        numbers: Where the ring stands.
        terms: The ring's terms.
        warn: The evidence of harm is above its warning level.
        quiet: The soak is over.

    Returns:
        The reason, or None for a door that can still move.
    """
    if not count.active:
        return Stall.UNKNOWN if count.unknown else Stall.DESERTED
    if warn and count.untreated <= valve.reserve(active=count.active, control=terms.control):
        return Stall.WARNING
    if quiet and not count.untreated and not numbers.matured:
        return Stall.UNABLE
    return None


def explained(why: Stall, unknown: int) -> str:
    """The reason in a sentence, with what a person can do.

    Args:
        why: The reason.
        unknown: Clients that are not enrolled and read the channel, count >= 0.
    """
    if why is Stall.UNKNOWN:
        who = "1 client that is" if unknown == 1 else f"{unknown:,} clients that are"
        reads = "reads" if unknown == 1 else "read"
        return (
            f"{who} not enrolled {reads} this channel; nobody can try the release: enrol some, "
            "or expedite it"
        )
    return _SENTENCES[why]
