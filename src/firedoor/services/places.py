"""Records of admission: what the gate writes and the judge reads."""

from dataclasses import dataclass
from typing import NamedTuple

from firedoor.core.signal import Reports

AFTERWARDS = 0
"""Deck number of a machine that got a release without a card: once its door was open."""


class Place(NamedTuple):
    """A machine's place in a boarding: the record that it was enrolled, in either arm.

    A tuple, as it is made while its machine waits.

    Attributes:
        channel: Name of the channel.
        number: Boarding number of the release.
        ring: The machine's ring.
        deck: Number of the deck, or ``AFTERWARDS``.
        card: Position of the card in its deck, from 0.
        machine: Register number.
        treated: It gets the new release; otherwise it is control.
        cls: Class of its silence deadline.
        reports: How it reports to the intake: whether crash signals can be expected of it.
        mono_ms: Monotonic time of the draw.
        stratum: Its stratum (``core.stratum``), fixed before the card; "" without a card.
    """

    channel: str
    number: int
    ring: str
    deck: int
    card: int
    machine: int
    treated: bool
    cls: int
    reports: Reports
    mono_ms: int
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """A deck from which no more cards are drawn: the membership of its pool is final.

    Attributes:
        channel: Name of the channel.
        number: Boarding number.
        ring: Ring.
        deck: Number of the deck.
        drawn: Cards drawn, m1 + m0.
        treated: Treated cards among them, m1.
        mono_ms: Monotonic time of the cut.
    """

    channel: str
    number: int
    ring: str
    deck: int
    drawn: int
    treated: int
    mono_ms: int


@dataclass(frozen=True, slots=True)
class Installed:
    """A treated machine has been handed all bytes of a changed file.

    Attributes:
        channel: Name of the channel.
        number: Boarding number.
        machine: Register number.
        mono_ms: Monotonic time of the last byte.
    """

    channel: str
    number: int
    machine: int
    mono_ms: int


class Standing(NamedTuple):
    """What a machine was last served, since when (Unix seconds, strictly rising a machine).

    A tuple: a gate that starts reads one of each machine, and a million rows are one transpose.
    """

    channel: str
    machine: int
    number: int
    since_s: int


@dataclass(frozen=True, slots=True)
class Census:
    """Machines of one ring of one channel, counted once a bucket.

    Attributes:
        channel: Name of the channel.
        ring: Ring.
        active: Polled within the last seven days.
        free: Active, seasoned, and neither treated nor sealed in the boarding in flight.
        polls: Sessions that free machines begin in a bucket, smoothed.
        untreated: Active machines that are not treated in the boarding in flight.
        gap_ms: Median time between two sessions of a machine, 0 while unknown.
        unknown: Clients without an identity that asked for the channel within the last seven
            days, by their addresses: they are served like this ring, and draw no card.
        unknown_ms: Wall clock of the last of them, 0 for none.
        enrolled: Machines of the register that are in the ring by their attributes and not
            revoked, whether or not they have ever polled.
    """

    channel: str
    ring: str
    active: int
    free: int
    polls: float
    untreated: int
    gap_ms: int
    unknown: int = 0
    unknown_ms: int = 0
    enrolled: int = 0
