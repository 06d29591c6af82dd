"""Decks: turning over cards one by one, and knowing when a deck has ended.

At most one deck is open in a ring. It ends, is *cut*, when its cards are used up, when its time
is up, or when its leave is gone from the board; never by a look at what its cards say (I6).

A run of the gate that was killed goes on where the durable cards end: the key alone makes the
arrangement, so it is the same one. A card that was drawn but never made durable was never
answered; its label goes to the next machine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firedoor.core import valve
from firedoor.core.board import ALL_CLOSED, Grant, Lane, Withdrawn
from firedoor.services.places import AFTERWARDS, Cut, Place


@dataclass(frozen=True, slots=True)
class Card:
    """A card that was turned over: its deck, its position in it from 0, and what it says."""

    deck: int
    position: int
    treated: bool


@dataclass(slots=True)
class _Deck:
    number: int
    grant: Grant
    opened_ms: int
    drawn: int = 0
    treated: int = 0


class Decks:
    """The decks of one channel."""

    def __init__(self, channel: str) -> None:
        """No deck is open and none was ever cut."""
        self._channel = channel
        self._open: dict[str, _Deck] = {}
        self._lanes: Mapping[str, Lane] = {}
        self._withdrawn: Sequence[Withdrawn] = ()
        self._last_cut: dict[tuple[int, str], int] = {}
        self._on_record: dict[tuple[int, str, int], int] = {}

    def restore(self, cuts: Iterable[Cut]) -> None:
        """Load the cuts that are durable."""
        for cut in cuts:
            key = (cut.number, cut.ring)
            self._last_cut[key] = max(cut.deck, self._last_cut.get(key, 0))

    def apply(self, lanes: Mapping[str, Lane], withdrawn: Sequence[Withdrawn]) -> None:
        """Take over a new board; ``expire`` then cuts what it ends."""
        self._lanes = lanes
        self._withdrawn = withdrawn

    def reseat(self, places: Iterable[Place], now: int) -> None:
        """Take up decks where the cards on record end."""
        for place in places:
            if place.deck == AFTERWARDS or self._is_cut(place.number, place.ring, place.deck):
                continue
            key = (place.number, place.ring, place.deck)
            self._on_record[key] = max(place.card + 1, self._on_record.get(key, 0))
            grant = self._granted(place.ring, place.number)
            if grant is not None and grant.deck == place.deck:
                fresh = _Deck(place.number, grant, min(now, place.mono_ms))
                self._open.setdefault(place.ring, fresh)
        for ring, deck in self._open.items():
            drawn = self._on_record.get((deck.number, ring, deck.grant.deck), 0)
            if drawn > deck.drawn:
                deck.drawn, deck.treated = drawn, _treated_of(deck.grant, drawn)

    def draw(self, ring: str, now: int) -> tuple[Card | None, list[Cut]]:
        """Turn over the next card of the ring's deck, if there is leave to deal one.

        Returns:
            The card, or None; and the decks that ended, by this card or before it.
        """
        cuts = self.expire(now)
        deck = self._open.get(ring)
        if deck is None:
            lane = self._lanes[ring]
            grant = self._granted(ring, lane.candidate)
            if grant is None or self._is_cut(lane.candidate, ring, grant.deck):
                return None, cuts
            deck = self._open[ring] = _Deck(lane.candidate, grant, now)
        grant, position = deck.grant, deck.drawn
        treated = valve.is_treated(
            bytes.fromhex(grant.key),
            position,
            treated_left=grant.treated - deck.treated,
            cards_left=grant.cards - position,
        )
        deck.drawn += 1
        deck.treated += treated
        if deck.drawn == grant.cards:
            cuts.append(self._cut(ring, deck, now))
        return Card(grant.deck, position, treated), cuts

    def expire(self, now: int) -> list[Cut]:
        """Cut the decks that are used up, whose time is up or whose leave was withdrawn."""
        cuts = []
        for gone in self._withdrawn:
            if self._is_cut(gone.number, gone.ring, gone.grant.deck) or self._is_open(gone):
                continue
            # This run never drew from it: nobody did, or an earlier run.
            drawn = self._on_record.get((gone.number, gone.ring, gone.grant.deck), 0)
            rest = _Deck(gone.number, gone.grant, now, drawn, _treated_of(gone.grant, drawn))
            cuts.append(self._cut(gone.ring, rest, now))
        for ring, deck in list(self._open.items()):
            withdrawn = self._granted(ring, deck.number) != deck.grant
            used_up = deck.drawn >= deck.grant.cards
            if withdrawn or used_up or now - deck.opened_ms >= deck.grant.life_ms:
                cuts.append(self._cut(ring, deck, now))
        return cuts

    def _granted(self, ring: str, number: int) -> Grant | None:
        lane = self._lanes.get(ring)
        return lane.grant if lane is not None and lane.candidate == number else None

    def _is_open(self, gone: Withdrawn) -> bool:
        deck = self._open.get(gone.ring)
        return deck is not None and (deck.number, deck.grant) == (gone.number, gone.grant)

    def _is_cut(self, number: int, ring: str, deck: int) -> bool:
        return deck <= self._last_cut.get((number, ring), 0)

    def _cut(self, ring: str, deck: _Deck, now: int) -> Cut:
        if self._open.get(ring) is deck:
            del self._open[ring]
        self._on_record.pop((deck.number, ring, deck.grant.deck), None)
        self._last_cut[(deck.number, ring)] = deck.grant.deck
        return Cut(
            channel=self._channel,
            number=deck.number,
            ring=ring,
            deck=deck.grant.deck,
            drawn=deck.drawn,
            treated=deck.treated,
            mono_ms=now,
        )


def sealed_mask(lane: Lane, deck: NDArray[np.uint32], cls: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which members of the candidate are sealed, by deck and class; vectorised."""
    sealed = deck >= lane.closed_below
    whole = [number for number, mask in lane.closed if mask == ALL_CLOSED]
    if whole:
        sealed &= ~np.isin(deck, whole)
    for number, mask in lane.closed:
        if 0 < mask < ALL_CLOSED:
            sealed &= ~((deck == number) & ((mask >> cls.astype(np.int64)) & 1 > 0))
    return sealed


def _treated_of(grant: Grant, drawn: int) -> int:
    """Treated cards among the first ``drawn`` of a deck."""
    cards = valve.arrangement(bytes.fromhex(grant.key), valve.Deal(grant.treated, grant.cards))
    return sum(cards[:drawn])
