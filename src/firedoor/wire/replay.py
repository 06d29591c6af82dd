"""Replay: everything the ledger claims about evidence and chance, computed again.

::

    ledger "boarded"        rules, commitment   --.
    stored cells            ------------------------> fold --> numbers of every "door" entry
    ledger "seed-revealed"  seed --> commitment,
                            keys of all decks   ----> who should have drawn which card
    gate.db                 places, cuts        ----> who did

Nothing the judge remembers is used but cells and decks: numbers come from the pure core alone.
What is not checked here: signatures (``firedoor ledger verify``), and whether the cells were
counted rightly from the signals of machines; but the cells of a deck that has closed must add
up to the machines that drew its cards.

Where the ledger tells that ``gate.db`` was lost, nobody can say any more who drew all cards of
the decks that were dealt before. Of such a deck the cells may then hold more machines than are
on record, never fewer; all the rest is compared as ever, and the deck is counted apart.

The numbers agree to the last bit on the kind of processor they were first computed on
(``core.verdict``); elsewhere they are compared within a tolerance.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

import msgspec

from firedoor.adapters.store.gate import NAME as GATE_DB
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.core import valve
from firedoor.core.board import Grant
from firedoor.core.cell import Cell, Test
from firedoor.core.door import Reason
from firedoor.core.errors import BadInput
from firedoor.core.evidence.past import PastBucket
from firedoor.core.ledger.canonical import text_to_float, to_canonical
from firedoor.core.ledger.entry import Entry
from firedoor.core.verdict import (
    ALPHA_REF,
    Evidence,
    Merging,
    Rules,
    Verdict,
    VerdictState,
    absorb,
    start,
    verdict,
)
from firedoor.services.flight import digest_of
from firedoor.services.ledger import BOARDED, DOOR, MORE_RINGS, NOTE, REVEALED
from firedoor.services.places import AFTERWARDS, Cut, Place
from firedoor.services.records import StoredDeck

_PAGE: Final = 1_000
_WHOLE_DECK_CLOSED: Final = -1
_COMPARED: Final = (Reason.WORSE, Reason.LATE_HARM)
_FLOATS: Final = (
    "log_e_harm",
    "max_log_e_harm",
    "log_e_clear",
    "harm_upper",
    "harm_lower",
    "debt",
    "log_e_history",
    "log_e_ratio",
)

_Body = TypeVar("_Body")


class Difference(msgspec.Struct, frozen=True):
    """The first thing that is not as the ledger says.

    Attributes:
        index: Ledger index of the entry that says so.
        what: What differs, for people.
    """

    index: int
    what: str


@dataclass(slots=True)
class Replay:
    """What a replay has compared.

    Attributes:
        boardings: Boardings seen.
        decisions: Decisions whose numbers were computed again.
        cells: Cells folded.
        decks: Decks dealt again, and compared with who drew which card.
        cards: Cards that machines drew, as far as they are on record.
        unaudited: Decks of which cards are not on record any more, besides ``decks``.
        losses: Ledger indices of the entries that tell of it, in order.
        secret: Boardings whose seed is not revealed yet: their decks cannot be audited.
        difference: The first difference, or None.
    """

    boardings: int = 0
    decisions: int = 0
    cells: int = 0
    decks: int = 0
    cards: int = 0
    unaudited: int = 0
    losses: list[int] = field(default_factory=list)
    secret: int = 0
    difference: Difference | None = None


def replay(
    judge: JudgeReader, gate: GateReader, *, release: str = "", tolerance: float = 0.0
) -> Replay:
    """Compute again what the ledger says, up to the first difference.

    Args:
        judge: The judge's store.
        gate: The gate's store.
        release: Only boardings of this release id; "" for all.
        tolerance: How far a number may be off, relative and absolute, >= 0; 0 compares bits.

    Raises:
        Unavailable: A store cannot be read.
    """
    found = Replay()
    boardings: dict[tuple[str, int], _Boarding] = {}
    try:
        for entry in _entries(judge):
            _take(entry, boardings, judge, found, release=release, tolerance=tolerance)
        for boarding in boardings.values():
            if boarding.seed:
                _audit(boarding, judge, gate, found)
            else:
                found.secret += 1
    except _Differs as differs:
        found.difference = Difference(differs.index, str(differs))
    return found


class _Differs(Exception):
    """Ends a replay; never leaves this module."""

    def __init__(self, index: int, what: str) -> None:
        super().__init__(what)
        self.index = index


class _Rules(msgspec.Struct):
    alpha_harm: str
    alpha_warn: str
    alpha_clear: str
    delta: str
    liars: int
    merging: Merging
    shares: list[tuple[str, str]]
    attributes: list[str]
    past: list[tuple[str, str, int, int, int]] = []
    past_liars: int = 0
    alpha_ref: str = ALPHA_REF.hex()
    ratio: str = ""
    cluster: int = 1


class _Ring(msgspec.Struct):
    delta: str


class _BoardedBody(msgspec.Struct):
    channel: str
    number: int
    release: str
    seed_commitment: str
    rules: _Rules
    rings: dict[str, _Ring]


class _Stream(msgspec.Struct):
    signal: str
    treated: int
    control: int
    treated_harmed: int
    control_harmed: int


class _Evidence(msgspec.Struct):
    cells: int
    cells_digest: str
    state: str
    warn: bool
    log_e_harm: str
    max_log_e_harm: str
    log_e_clear: str
    harm_upper: str
    harm_lower: str
    debt: str
    installed: int
    streams: list[_Stream]
    # Entries from before there was a history say nothing of it, and had no past.
    log_e_history: str = (0.0).hex()
    frozen: bool = False
    worse: bool = False
    log_e_ratio: str = (0.0).hex()


class _DoorBody(msgspec.Struct):
    channel: str
    number: int
    ring: str
    to: str
    reason: str
    evidence: _Evidence


class _RevealedBody(msgspec.Struct):
    channel: str
    number: int
    seed: str


class _Loss(msgspec.Struct):
    database: str
    decks: list[tuple[str, int, str, int]]


class _NoteBody(msgspec.Struct):
    lost: _Loss | None = None


@dataclass(slots=True)
class _Boarding:
    """One boarding while its decisions are gone through."""

    body: _BoardedBody
    cells: list[Cell]
    evidence: Evidence
    digest: str = ""
    seed: bytes = b""
    revealed: int = -1
    # Ring -> (last deck whose records were lost, ledger index that says so).
    lost: dict[str, tuple[int, int]] = field(default_factory=dict)
    # Index of the loss after which nothing of this boarding was dealt any more.
    all_lost: int = -1

    def loss(self, ring: str, deck: int) -> int:
        """Index of the entry that says that records of a deck were lost, -1 for none."""
        last, index = self.lost.get(ring, (0, -1))
        return index if deck <= last else self.all_lost

    def fold_to(self, count: int, index: int) -> int:
        """Fold on to the ``count``-th cell; return how many were new."""
        done = self.evidence.seq
        if count < done:
            raise _Differs(index, f"rests on {count} cells, an earlier decision on {done}")
        if count > len(self.cells):
            raise _Differs(index, f"rests on {count} cells, but {len(self.cells)} are stored")
        for cell in islice(self.cells, done, count):
            self.evidence = absorb(self.evidence, cell)
            self.digest = digest_of(self.digest, cell)
        return count - done


def _entries(judge: JudgeReader) -> Iterator[Entry]:
    after = -1
    while page := judge.entries(after, _PAGE):
        yield from (signed.entry for signed in page)
        after = page[-1].entry.index


def _take(
    entry: Entry,
    boardings: dict[tuple[str, int], _Boarding],
    judge: JudgeReader,
    found: Replay,
    *,
    release: str,
    tolerance: float,
) -> None:
    try:
        if entry.kind == BOARDED:
            boarded = _parsed(entry, _BoardedBody)
            if release in ("", boarded.release):
                cells = judge.cells(boarded.channel, boarded.number)
                evidence = start(_rules(boarded.rules))
                boardings[boarded.channel, boarded.number] = _Boarding(boarded, cells, evidence)
                found.boardings += 1
        elif entry.kind == MORE_RINGS:
            more = _parsed(entry, _BoardedBody)
            boarding = boardings.get((more.channel, more.number))
            if boarding is not None:
                boarding.body.rings.update(more.rings)
        elif entry.kind == DOOR:
            door = _parsed(entry, _DoorBody)
            boarding = boardings.get((door.channel, door.number))
            if boarding is not None:
                found.cells += boarding.fold_to(door.evidence.cells, entry.index)
                _compare(door, boarding, entry.index, tolerance)
                found.decisions += 1
        elif entry.kind == REVEALED:
            revealed = _parsed(entry, _RevealedBody)
            boarding = boardings.get((revealed.channel, revealed.number))
            if boarding is not None:
                _reveal(boarding, revealed.seed, entry.index)
        elif entry.kind == NOTE:
            loss = _parsed(entry, _NoteBody).lost
            if loss is not None and loss.database == GATE_DB:
                _lose(loss, boardings, entry.index)
    except (msgspec.ValidationError, BadInput, ValueError) as error:
        # Also a stored cell that cannot be, or does not follow the one before it.
        raise _Differs(entry.index, f"cannot be computed again: {error}") from error


def _parsed(entry: Entry, kind: type[_Body]) -> _Body:
    return msgspec.json.decode(to_canonical(entry.body), type=kind)


def _rules(written: _Rules) -> Rules:
    return Rules(
        alpha_harm=text_to_float(written.alpha_harm),
        alpha_warn=text_to_float(written.alpha_warn),
        alpha_clear=text_to_float(written.alpha_clear),
        delta=text_to_float(written.delta),
        shares=tuple((signal, text_to_float(share)) for signal, share in written.shares),
        merging=written.merging,
        attributes=tuple(written.attributes),
        liars=written.liars,
        past=tuple(PastBucket(*bucket) for bucket in written.past),
        past_liars=written.past_liars,
        alpha_ref=text_to_float(written.alpha_ref),
        ratio=text_to_float(written.ratio) if written.ratio else None,
        cluster=written.cluster,
    )


def _compare(door: _DoorBody, boarding: _Boarding, index: int, tolerance: float) -> None:
    """Hold one decision's numbers, and what was decided on them, against the fold."""
    said, now = door.evidence, verdict(boarding.evidence)

    def same(name: str, written: object, computed: object) -> None:
        if written != computed:
            raise _Differs(index, f"{name} is {written}, computed again it is {computed}")

    same("cells_digest", said.cells_digest, boarding.digest)
    for name in _FLOATS:
        written, computed = text_to_float(getattr(said, name)), float(getattr(now, name))
        near = math.isclose(written, computed, rel_tol=tolerance, abs_tol=tolerance)
        if not (near if tolerance else written.hex() == computed.hex()):
            same(name, written.hex(), computed.hex())
    same("state", said.state, now.state.value)
    same("warn", said.warn, now.warn)
    same("frozen", said.frozen, now.frozen)
    same("worse", said.worse, now.worse)
    same("installed", said.installed, now.matured.installed)
    same("streams", [msgspec.to_builtins(stream) for stream in said.streams], _streams(now))
    if door.reason in {Reason.HARMFUL, Reason.WOULD_SHUT} and now.state is not VerdictState.HARMFUL:
        raise _Differs(index, f"shut as harmful, but the evidence says {now.state}")
    if door.reason in _COMPARED and not now.worse:
        raise _Differs(index, "held as worse than history, but the evidence does not say so")
    if door.reason == Reason.CLEARED:
        delta = text_to_float(boarding.body.rings[door.ring].delta)
        if now.warn or not now.excludes(delta * (1 + tolerance)):
            raise _Differs(
                index, f"opened as cleared, but {now.harm_upper} is not at or below {delta}"
            )


def _streams(now: Verdict) -> list[dict[str, object]]:
    names = _Stream.__struct_fields__
    return [{name: getattr(stream, name) for name in names} for stream in now.streams]


def _reveal(boarding: _Boarding, seed: str, index: int) -> None:
    raw = bytes.fromhex(seed)
    if boarding.seed and boarding.seed != raw:
        raise _Differs(index, "reveals another seed than an earlier entry did")
    if valve.seed_commitment(raw) != boarding.body.seed_commitment:
        raise _Differs(index, "reveals a seed that is not the one committed to at boarding")
    boarding.seed, boarding.revealed = raw, index


def _lose(loss: _Loss, boardings: Mapping[tuple[str, int], _Boarding], index: int) -> None:
    for boarding in boardings.values():
        if boarding.seed:
            boarding.all_lost = index
    for channel, number, ring, last in loss.decks:
        known = boardings.get((channel, number))
        if known is not None:
            known.lost[ring] = max((last, index), known.lost.get(ring, (0, -1)))


def _audit(boarding: _Boarding, judge: JudgeReader, gate: GateReader, found: Replay) -> None:
    """Deal every deck of a boarding again, and compare with who drew which card."""
    channel, number = boarding.body.channel, boarding.body.number
    drawn: dict[tuple[str, int], list[Place]] = defaultdict(list)
    for stored in gate.places_of(channel, number):
        if stored.place.deck != AFTERWARDS:
            drawn[stored.place.ring, stored.place.deck].append(stored.place)
    cuts = {
        (stored.cut.ring, stored.cut.deck): stored.cut
        for stored in gate.cuts_after(0)
        if (stored.cut.channel, stored.cut.number) == (channel, number)
    }
    decks = judge.decks(channel, number)
    strays = drawn.keys() - {(deck.ring, deck.deck) for deck in decks}
    if strays:
        ring, deck_no = min(strays)
        raise _Differs(
            boarding.revealed, f"machines hold cards of deck {deck_no}, ring {ring}, never dealt"
        )
    _nobody_twice([place for places in drawn.values() for place in places], boarding.revealed)
    for deck in decks:
        key = (deck.ring, deck.deck)
        found.cards += len(drawn[key])
        if _deal_again(deck, drawn[key], cuts.get(key), boarding):
            found.decks += 1
        else:
            found.unaudited += 1
            index = boarding.loss(*key)
            if index not in found.losses:
                found.losses = sorted([*found.losses, index])


def _nobody_twice(places: Sequence[Place], index: int) -> None:
    treated: set[int] = set()
    for place in places:
        if place.treated:
            if place.machine in treated:
                raise _Differs(index, f"machine {place.machine} was treated twice")
            treated.add(place.machine)


def _deal_again(
    deck: StoredDeck, places: Sequence[Place], cut: Cut | None, boarding: _Boarding
) -> bool:
    """Compare a deck with who drew its cards; False if records of it were lost."""
    index, where = boarding.revealed, f"deck {deck.deck} of ring {deck.ring}"
    grant = msgspec.json.decode(deck.grant, type=Grant)
    key = valve.deck_key(boarding.seed, boarding.body.release, deck.ring, deck.deck)
    if grant.key != key.hex():
        raise _Differs(index, f"{where} was dealt with a key that is not of the revealed seed")
    cards = valve.arrangement(key, valve.Deal(grant.treated, grant.cards))
    end = cut.drawn if cut is not None else grant.cards
    seen: set[int] = set()
    for place in places:
        if place.card in seen or not 0 <= place.card < end:
            raise _Differs(index, f"{where}: card {place.card} was drawn twice or after the cut")
        seen.add(place.card)
        if place.treated is not cards[place.card]:
            arm = "treated" if place.treated else "control"
            raise _Differs(
                index, f"{where}: machine {place.machine} is {arm}, its card {place.card} is not"
            )
    # A card whose place could not be stored was never answered: the deck is short of it.
    if cut is not None and cut.treated != sum(cards[: cut.drawn]):
        raise _Differs(index, f"{where}: {cut.treated} treated cards were counted at the cut")
    if deck.closed == _WHOLE_DECK_CLOSED:
        counted = [
            cell
            for cell in boarding.cells
            if cell.test is Test.CLEARANCE and (cell.ring, cell.deck) == (deck.ring, deck.deck)
        ]
        outcomes = sum(cell.treated for cell in counted), sum(cell.control for cell in counted)
        treated = sum(place.treated for place in places)
        drew = treated, len(places) - treated
        if outcomes == drew:
            return True
        if (
            boarding.loss(deck.ring, deck.deck) < 0
            or outcomes[0] < drew[0]
            or outcomes[1] < drew[1]
        ):
            raise _Differs(
                index,
                f"{where}: its cells have {outcomes[0]} treated and {outcomes[1]} control "
                f"machines, {treated} and {len(places) - treated} drew cards",
            )
        return False
    return True
