"""Suspects: two releases of different channels accused of the same harm, and which of them did it.

A machine takes updates of several channels, and what one of them breaks shows in the counts of
all that it got. Decks are shuffled by seeds of their own, so who is treated in one channel says
nothing of the other, and each release has a contrast in both states of the other
(``core.evidence.attribution``). Two releases that accuse within a day and share more than half
of the harmed machines of one of them are compared; unless the harm is plainly one's alone, both
are held. Evidence that is not there is not replaced by a guess.

*What is read* (invariant I1). Labels of harmed members, for they are revealed; of members whose
class has closed; and how many cards of each arm a cut deck had. The label of a member that is
still sealed is not read, and a harmed machine that is sealed in the other channel is left out
until it is known. As for strata (ADR 0013) no more is needed: if A does no harm, the labels of
those harmed are a draw from the whole deck, whatever they have of B. So the cards of both decks
are the exposure, as if each had been dealt to each; for more than there are the factors are only
smaller. Whether a machine is left out depends on B's clock and on the world, not on its label
in A.

The comparison is made anew whenever something closes, and its doors are held and never shut by
it: a hold is a precaution without an error rate. A release is let off at the level at which
doors are shut, not at the level of a warning.

Source: evidence.md 4; decisions.md 10; ADR 0017.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from firedoor.core.door import Door, Event, Hold, Reason, State
from firedoor.core.evidence import attribution
from firedoor.core.evidence.attribution import Culprit, Findings, Overlap
from firedoor.core.ledger.canonical import Json, float_to_text
from firedoor.core.verdict import VerdictState
from firedoor.ports import Instant
from firedoor.services.flight import Flight
from firedoor.services.ledger import SUSPECTS, LedgerWriter
from firedoor.services.places import AFTERWARDS, Place
from firedoor.services.records import Harmed, StoredPlace
from firedoor.services.stores import GateRecords, JudgeRecords

WITHIN_MS: Final = 24 * 3_600_000
"""Accusations further apart than this are not of one piece, ms."""

MOST_COMPARED: Final = 1_000
"""Harmed machines of a release that are looked up, the first that were counted."""

_BOARDINGS_BACK: Final = 3
_HELD: Final = 1 << len(Culprit)
_GUILTY: Final = (State.SHUT, Reason.HARMFUL), (State.OPEN, Reason.WOULD_SHUT)

Key = tuple[str, int]
"""Channel and boarding number."""

Apply = Callable[[Flight, str, Event, Instant], Door]
"""Sends one event to the door of one ring."""

_SAYS: Final[Mapping[Culprit, str]] = {
    Culprit.A: "it is the first: the second does not add to it",
    Culprit.B: "it is the second: the first does not add to it",
    Culprit.BOTH: "each of them does harm by itself",
    Culprit.INTERACTION: "it shows where both are installed, and not where only one is",
    Culprit.JOINT: "nothing tells yet which of them it is",
}
_LET_OFF: Final = (Culprit.A, Culprit.B)


@dataclass(frozen=True, slots=True)
class Standing:
    """What one machine had of one release when it was harmed.

    Attributes:
        deck: Ring and number of the deck its label was dealt from; None where there is nothing
            to compare with: it never drew a card, or has had the release for long.
        cards: (control, treated) cards of that deck; without one, (1, 0) or (0, 1).
        treated: It had the release.
    """

    deck: tuple[str, int] | None
    cards: tuple[int, int]
    treated: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """Two releases, and whom they harmed.

    Attributes:
        findings: What the contrasts say; A is the first.
        culprit: Whose the harm is, as far as a release may be let off by it.
        harmed: Harmed machines by what they had, [A][B].
        sealed: Harmed machines that are left out: their label in one deck is not known yet.
    """

    findings: Findings
    culprit: Culprit
    harmed: tuple[tuple[int, int], tuple[int, int]]
    sealed: int


class Suspects:
    """Looks for pairs, holds them and tells. One thread at a time, within the judge's steps."""

    def __init__(self, store: JudgeRecords, gate: GateRecords, ledger: LedgerWriter) -> None:
        """Nothing is read before the first look."""
        self._store = store
        self._gate = gate
        self._ledger = ledger
        self._accused: dict[Key, int] | None = None
        self._seen: dict[tuple[Key, Key], tuple[tuple[int, ...], ...]] = {}

    def look(self, flights: Mapping[Key, Flight], apply: Apply, now: Instant) -> None:
        """Compare those that accuse, as far as anything has closed since the last look."""
        if self._accused is None:
            self._accused = self._shut_lately(now)
        for key, flight in flights.items():
            found = flight.verdict()
            if found.warn or found.state is VerdictState.HARMFUL:
                self._accused[key] = _since(flight.doors.values()) or now.wall_ms
        self._accused = {
            key: at for key, at in self._accused.items() if now.wall_ms - at <= WITHIN_MS
        }
        for one, other in combinations(sorted(self._accused), 2):
            apart = abs(self._accused[one] - self._accused[other])
            if one[0] != other[0] and apart <= WITHIN_MS:
                self._confront(one, other, flights, apply, now)

    def _shut_lately(self, now: Instant) -> dict[Key, int]:
        """Releases that are not watched any more may accuse, too: their doors say since when."""
        found = {}
        for channel in self._store.channels():
            for boarding in self._store.boardings(channel)[-_BOARDINGS_BACK:]:
                since = _since(self._store.doors(channel, boarding.number))
                if since and now.wall_ms - since <= WITHIN_MS:
                    found[channel, boarding.number] = since
        return found

    def _confront(
        self, one: Key, other: Key, flights: Mapping[Key, Flight], apply: Apply, now: Instant
    ) -> None:
        pair = (one, other)
        stamp = tuple(_stamp(flights.get(key)) for key in pair)
        if self._seen.get(pair) == stamp:
            return
        self._seen[pair] = stamp
        harmed = [self._store.harmed(*key) for key in pair]
        if not shares_most(*harmed):
            return
        compared = self.compare(one, other, harmed[0], harmed[1], self._alpha(pair, flights))
        culprit = compared.culprit
        name = f"suspects:{one[0]}:{one[1]}:{other[0]}:{other[1]}"
        told = self._store.cursor(name)
        bit = 1 << list(Culprit).index(culprit)
        holds = culprit not in _LET_OFF and not told & _HELD
        if told & bit and not holds:
            return
        self._store.put_cursor(name, told | bit | (_HELD if holds else 0))
        said = sentence(one, other, compared)
        held = False
        for flight in [flights[key] for key in pair if key in flights and holds]:
            for ring, door in list(flight.doors.items()):
                if door.state in (State.WAITING, State.OPENING) and not door.shadow:
                    apply(flight, ring, Hold(Reason.JOINT, note=said), now)
                    held = True
        # A door that is held tells people already.
        facts: dict[str, Json] = {SUSPECTS: _facts(one, other, compared)}
        self._ledger.note("", said, now, alert=not held, facts=facts)
        for key in pair:
            self._store.put_cursor(told_of(*key), self._store.last_index() + 1)

    def _alpha(self, pair: tuple[Key, Key], flights: Mapping[Key, Flight]) -> float:
        rules = [flights[key].boarding.rules for key in pair if key in flights]
        for channel, number in (key for key in pair if key not in flights):
            boardings = self._store.boardings(channel)
            rules += [each.rules for each in boardings if each.number == number]
        return min(each.alpha_harm for each in rules)

    def compare(
        self,
        one: Key,
        other: Key,
        by_one: Sequence[Harmed],
        by_other: Sequence[Harmed],
        alpha: float,
    ) -> Compared:
        """Compare two releases over the machines that either of them harmed.

        Args:
            one: A.
            other: B.
            by_one: Those counted as harmed in A.
            by_other: Likewise in B.
            alpha: Level at which a release is called guilty, in (0, 1).
        """
        sides = [
            _Side.of(key, rows[:MOST_COMPARED], self._store, self._gate)
            for key, rows in ((one, by_one), (other, by_other))
        ]
        tables: dict[tuple[Standing, Standing], Counter[tuple[bool, bool]]] = {}
        counts = np.zeros((2, 2), np.int64)
        sealed = 0
        for machine in sorted({*sides[0].rows, *sides[1].rows}):
            harmed_at = min(side.counted_ms.get(machine, _NEVER) for side in sides)
            places = [
                stored
                for stored in self._gate.places_of_machine(machine)
                if stored.wall_ms <= harmed_at
            ]
            a, b = (side.standing(machine, places) for side in sides)
            if a is None or b is None:
                sealed += 1
                continue
            counts[int(a.treated), int(b.treated)] += 1
            if a.deck is not None or b.deck is not None:
                blocks = (_unlabelled(a), _unlabelled(b))
                tables.setdefault(blocks, Counter())[a.treated, b.treated] += 1
        pairs = attribution.start(1)
        for (a, b), hit in tables.items():
            harmed = [[hit[x, y] for y in (False, True)] for x in (False, True)]
            pairs = attribution.absorb(pairs, Overlap.of(np.outer(a.cards, b.cards), harmed), 0)
        (found,) = attribution.findings(pairs, alpha)
        (none, only_b), (only_a, both) = counts.tolist()
        return Compared(found, _culprit(found, alpha), ((none, only_b), (only_a, both)), sealed)


def shares_most(by_one: Collection[Harmed], by_other: Collection[Harmed]) -> bool:
    """Whether more than half of the treated machines that one of two releases harmed are shared."""
    one = {each.machine for each in by_one if each.treated}
    other = {each.machine for each in by_other if each.treated}
    return 2 * len(one & other) > min(len(one), len(other))


def told_of(channel: str, number: int) -> str:
    """Name of the cursor: the ledger index of the newest note on a suspect, more by one."""
    return f"suspected:{channel}:{number}"


def sentence(one: Key, other: Key, compared: Compared) -> str:
    """Say of a pair what is known, with the numbers behind it."""
    (none, only_b), (only_a, both) = compared.harmed
    left_out = f"; {compared.sealed} are not looked at yet" if compared.sealed else ""
    return (
        f"release {one[1]} of {one[0]} and release {other[1]} of {other[0]} are accused of the "
        f"same harm: {_SAYS[compared.culprit]}. Of the harmed machines {both} had both, "
        f"{only_a} only the first, {only_b} only the second, {none} neither{left_out}"
    )


_NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class _Side:
    """One of two releases.

    Attributes:
        key: Its boarding.
        rows: Machine -> row of the place as whose holder it was counted, the first time.
        counted_ms: Machine -> when that was, wall clock.
        cards: (control, treated) cards of each cut deck.
        closed: Deck -> its closed classes, None for all.
    """

    key: Key
    rows: Mapping[int, int]
    counted_ms: Mapping[int, int]
    cards: Mapping[tuple[str, int], tuple[int, int]]
    closed: Mapping[tuple[str, int], set[int] | None]

    @classmethod
    def of(
        cls, key: Key, harmed: Sequence[Harmed], store: JudgeRecords, gate: GateRecords
    ) -> "_Side":
        first = {each.machine: each for each in reversed(harmed)}
        cuts = [stored.cut for stored in gate.cuts_of(*key)]
        return cls(
            key,
            {machine: each.place for machine, each in first.items()},
            {machine: each.at_ms for machine, each in first.items()},
            {(cut.ring, cut.deck): (cut.drawn - cut.treated, cut.treated) for cut in cuts},
            {
                (deck.ring, deck.deck): None if deck.closed < 0 else deck.classes()
                for deck in store.decks(*key)
            },
        )

    def standing(self, machine: int, places: Sequence[StoredPlace]) -> Standing | None:
        """What a machine had of this release; None while that is sealed."""
        own = [s for s in places if (s.place.channel, s.place.number) == self.key]
        row = self.rows.get(machine)
        for stored in own:
            deck = (stored.place.ring, stored.place.deck)
            if stored.id == row and deck in self.cards:
                return Standing(deck, self.cards[deck], stored.place.treated)
        if not all(self._is_public(stored.place) for stored in own):
            return None
        treated = any(stored.place.treated for stored in own)
        return Standing(None, (0, 1) if treated else (1, 0), treated)

    def _is_public(self, place: Place) -> bool:
        if place.deck == AFTERWARDS:
            return True
        classes = self.closed.get((place.ring, place.deck), set())
        return classes is None or place.cls in classes


def _culprit(found: Findings, alpha: float) -> Culprit:
    """Let a release off only if the other does harm without it.

    That B's contrast is not high yet is no proof of its innocence: harm that needs both of them
    shows in A's contrast first where B is spread wider.
    """
    enough = -math.log(alpha)
    match found.culprit:
        case Culprit.A if found.log_e_alone_a >= enough:
            return Culprit.A
        case Culprit.B if found.log_e_alone_b >= enough:
            return Culprit.B
        case Culprit.BOTH | Culprit.INTERACTION as each:
            return each
        case _:
            return Culprit.JOINT


def _unlabelled(standing: Standing) -> Standing:
    """Where a label was dealt, without it: what may be compared with each other."""
    return Standing(standing.deck, standing.cards, treated=standing.cards == (0, 1))


def _since(doors: Collection[Door]) -> int:
    """When evidence last shut one of these doors, or would have; 0 if it never did."""
    return max((int(d.since_ms) for d in doors if (d.state, d.reason) in _GUILTY), default=0)


def _stamp(flight: Flight | None) -> tuple[int, ...]:
    """Changes when something closes; () for a boarding that is watched no more."""
    if flight is None:
        return ()
    closed = sum(len(pool.closed) for pool in flight.pools.values())
    return flight.evidence.seq, len(flight.pools), closed


def _facts(one: Key, other: Key, compared: Compared) -> dict[str, Json]:
    found = compared.findings
    return {
        "a": list(one),
        "b": list(other),
        "culprit": compared.culprit.value,
        "harmed": [list(row) for row in compared.harmed],
        "sealed": compared.sealed,
        "log_e": [float_to_text(found.log_e_a), float_to_text(found.log_e_b)],
    }
