"""The board: everything the gate needs to know of the doors, as one immutable value.

The judge writes a new board whenever a door moves, durably and together with the decision; the
gate reads it and swaps one reference. The gate never decides anything about a door, and the
judge never answers a poll.
"""

from dataclasses import dataclass
from typing import Final

ALL_CLOSED: Final = (1 << 32) - 1
"""Bit mask of a deck whose classes have all closed."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to deal one deck.

    Attributes:
        deck: Number of the deck within (channel, boarding, ring), from 1.
        cards: n, all cards.
        treated: a, treated cards.
        key: Secret key of the deck, hexadecimal.
        life_ms: The deck is cut this long after its first card at the latest, ms.
        long: Its members stay sealed after their deadline, to be watched for late harm.
    """

    deck: int
    cards: int
    treated: int
    key: str
    life_ms: int
    long: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """What the machines of one ring get from one channel.

    Attributes:
        ring: Name of the ring.
        base: Boarding number of what everybody gets who is not treated; 0 for nothing yet.
        candidate: Boarding number of the release whose door is opening or held, 0 for none:
            treated machines get it.
        grant: The deck that may be dealt now.
        closed_below: All decks with smaller numbers of ``candidate`` have closed.
        closed: Of the others: (deck, bit mask of deadline classes that have closed).
        revoked: Boarding numbers that were shut, or left behind by a pin or because their bytes are
            missing: their sessions end at once and what only they have is withheld.
        shadow: Everybody gets the candidate, but for control members that are sealed.
        held: In shadow mode: nobody new gets the candidate without a card. Its first deck is not
            dealt yet (a bucket), or a person holds it.
        kept: Whoever has had the candidate keeps it, without a card too: it had been open.
    """

    ring: str
    base: int
    candidate: int = 0
    grant: Grant | None = None
    closed_below: int = 1
    closed: tuple[tuple[int, int], ...] = ()
    revoked: tuple[int, ...] = ()
    shadow: bool = False
    held: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A deck that may not be dealt any more, and whose cut the judge has not seen.

    The gate answers with the cut, whether or not it ever drew a card: what it was doing when the
    leave was withdrawn only it can know, and a deck without a cut would stay sealed for ever.

    Attributes:
        number: Boarding number.
        ring: Name of the ring.
        grant: The leave there was.
    """

    number: int
    ring: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class ChannelBoard:
    """One channel.

    Attributes:
        name: Its name.
        lanes: One per ring.
        releases: (boarding number, release id) of every number that a lane may serve.
        withdrawn: Decks that the gate has to cut, also of boardings that have ended.
    """

    name: str
    lanes: tuple[Lane, ...] = ()
    releases: tuple[tuple[int, str], ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """All channels. ``version`` rises with every change.

    Attributes:
        version: Of the board.
        channels: One each.
        benched: Register numbers of machines in the penalty box: they draw no card.
    """

    version: int = 0
    channels: tuple[ChannelBoard, ...] = ()
    benched: tuple[int, ...] = ()
