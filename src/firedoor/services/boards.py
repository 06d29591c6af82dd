"""Lanes: what every ring of a channel is served, as the board tells the gate."""

from collections.abc import Callable, Mapping

from firedoor.core.board import ALL_CLOSED, ChannelBoard, Lane, Withdrawn
from firedoor.core.door import Reason, State
from firedoor.services.flight import Flight
from firedoor.services.lines import Line, is_revoked, state_in

Flights = Mapping[tuple[str, int], Flight]
"""What the judge watches, by channel and boarding number."""


def channel_board(
    channel: str,
    lines: Mapping[int, Line],
    bases: Mapping[str, int],
    in_flight: int,
    flights: Flights,
) -> ChannelBoard:
    """Draw up a channel's part of the board.

    Args:
        channel: Its name.
        lines: Its boardings by number.
        bases: Ring -> the boarding it is served, 0 for nothing; in the order of the rings.
        in_flight: The boarding whose doors have not ended, 0 for none.
        flights: What the judge watches.
    """
    lanes = tuple(
        _lane(ring, base, lines, in_flight, lambda: flights[channel, in_flight])
        for ring, base in bases.items()
    )
    numbers = {lane.base for lane in lanes} | {lane.candidate for lane in lanes}
    releases = [(n, lines[n].boarding.release) for n in sorted(numbers) if n]
    withdrawn = tuple(
        Withdrawn(flight.boarding.number, ring, grant)
        for flight in flights.values()
        if flight.boarding.channel == channel
        for (ring, _), grant in flight.withdrawn.items()
    )
    return ChannelBoard(channel, lanes, tuple(releases), withdrawn)


def _lane(
    ring: str, base: int, lines: Mapping[int, Line], number: int, tried: Callable[[], Flight]
) -> Lane:
    revoked = tuple(n for n, line in sorted(lines.items()) if is_revoked(line, ring, base))
    if not number or state_in(lines[number], ring) not in (State.OPENING, State.HELD):
        return Lane(ring, base, revoked=revoked)
    flight, door = tried(), lines[number].doors[ring]
    decks = {pool.deck: pool for pool in flight.pools_of(ring)}
    last = flight.last_deck.get(ring, 0)
    below = min(decks, default=last + 1)
    return Lane(
        ring=ring,
        base=base,
        candidate=number,
        grant=flight.grants.get(ring),
        closed_below=below,
        closed=tuple(
            (deck, decks[deck].closed_mask() if deck in decks else ALL_CLOSED)
            for deck in range(below, last + 1)
        ),
        revoked=revoked,
        shadow=door.shadow,
        held=door.shadow and (door.state is State.HELD or not flight.has_dealt(ring)),
        kept=door.reason is Reason.LATE_HARM,
    )
