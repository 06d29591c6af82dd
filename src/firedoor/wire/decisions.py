"""Entries of the ledger as sentences."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeVar

from firedoor.console.model import DecisionView
from firedoor.core.door import Reason, State
from firedoor.core.errors import BadInput
from firedoor.core.ledger.canonical import Json, text_to_float
from firedoor.core.ledger.entry import Entry
from firedoor.services.ledger import BOARDED, DOOR, LANE, MORE_RINGS, NOTE, REVEALED

ReleaseOf = Callable[[str, int], str]
"""Release id of (channel, boarding number), or ""."""

_SHORT = 12

# What happened, by where the door went and why; {by} and {budget} are filled in.
_MOVES: Final[Mapping[tuple[State, Reason | None], str]] = {
    (State.WAITING, None): "it waits for the ring before it",
    (State.OPENING, None): "it goes to a few machines first",
    (State.OPENING, Reason.PERSON): "{by} let it go on, with a harm budget of {budget}",
    (State.OPENING, Reason.EXPEDITED): "{by} widened the harm budget to {budget}",
    (State.OPEN, None): "it is open to every machine",
    (State.OPEN, Reason.CLEARED): "it is open to every machine: the evidence cleared it",
    (State.OPEN, Reason.WOULD_SHUT): "the evidence would have shut it; every machine keeps it",
    (State.OPEN, Reason.WALKED): "it reached every machine step by step",
    (State.OPEN, Reason.EMPTY): "it is open: there was no machine to try it on",
    (State.OPEN, Reason.ADOPTED): "it was here before Firedoor, so nothing is claimed about it",
    (State.OPEN, Reason.EXPEDITED): "{by} let everybody through",
    (State.OPEN, Reason.PINNED): "{by} pinned it: every machine of the ring gets it",
    (State.SHUT, None): "it is shut: nobody new gets it",
    (State.SHUT, Reason.HARMFUL): "it is shut by the evidence: nobody new gets it",
    (State.SHUT, Reason.PERSON): "{by} shut it: nobody new gets it",
    (State.HELD, None): "it is held: nobody new gets it",
    (State.HELD, Reason.BUDGET_SPENT): "it is held: its harm budget of {budget} is spent",
    (State.HELD, Reason.PERSON): "{by} holds it: nobody new gets it",
    (State.HELD, Reason.WORSE): "it is held: it is worse than past good releases",
    (State.HELD, Reason.LATE_HARM): "late harm: nobody else gets it, who has it keeps it",
    (State.HELD, Reason.RESTORED): "it is held: records were restored from an older copy",
    (State.HELD, Reason.PREFLIGHT): "it is held: its preflight failed",
    (State.HELD, Reason.JOINT): "it is held: one of two releases accused of the same harm",
    (State.SUPERSEDED, None): "another release takes its place",
    (State.SUPERSEDED, Reason.NEWER): "a newer release takes its place",
    (State.SUPERSEDED, Reason.WITHDRAWN): "upstream withdrew it before it was decided",
    (State.SUPERSEDED, Reason.PINNED): "{by} pinned another release in its place",
    (State.SUPERSEDED, Reason.MISSING): "it is passed over: files of it are missing",
}


def described(entry: Entry, release_of: ReleaseOf) -> DecisionView:
    """Say what an entry records.

    Args:
        entry: Any entry; of a kind that is not known here its kind alone is told.
        release_of: Looks up what an entry does not name itself.
    """
    body = entry.body
    channel, number = _text(body, "channel"), _count(body, "number")
    release = _text(body, "release") or (release_of(channel, number) if number else "")
    moved = entry.kind == DOOR
    return DecisionView(
        index=entry.index,
        time_ms=entry.time_ms,
        kind=entry.kind,
        channel=channel,
        release=release,
        number=number,
        ring=_text(body, "ring"),
        state=_member(State, _text(body, "to")) if moved else None,
        reason=_member(Reason, _text(body, "reason")) if moved else None,
        by=_text(body, "by"),
        # Without a person a door's note is the judge's own sentence.
        note=_text(body, "note") if moved and _text(body, "by") else "",
        lane_over=moved and _ends_lane(body),
        sentence=_sentence(entry),
    )


def _sentence(entry: Entry) -> str:
    tell = _TELLERS.get(entry.kind)
    return tell(entry.body) if tell else f"an entry of kind {entry.kind}"


def _move(body: Mapping[str, Json]) -> str:
    state, reason = _member(State, _text(body, "to")), _member(Reason, _text(body, "reason"))
    if state is None:
        return f"the door went to {_text(body, 'to')}"
    if _ends_lane(body):
        # A held door keeps the note of its hold, which is not what happened here.
        over = f"its fast lane is over: the harm budget is {_count(body, 'budget')} again"
        return over if state is State.OPENING else f"{over}; it stays {state}"
    if state is State.OPENING and reason is Reason.EVIDENCE and _text(body, "from") == "held":
        said = "the machines that were silent spoke again, so it goes on"
    else:
        said = _MOVES.get((state, reason)) or _MOVES[state, None]
    said = said.format(by=_text(body, "by") or "somebody", budget=_count(body, "budget"))
    ends_ms = _count(_mapping(body.get(LANE)), "ends_ms")
    if ends_ms and reason is Reason.EXPEDITED:
        ends = datetime.fromtimestamp(ends_ms / 1000, UTC)
        said = f"{said}, until {ends:%Y-%m-%d %H:%M}Z"
    note = _text(body, "note")
    said = f"in shadow mode: {said}" if body.get("shadow") else said
    return f"{said}; {note}" if note else said


def _boarding(body: Mapping[str, Json]) -> str:
    number, previous = _count(body, "number"), _text(body, "previous")
    after = f" after release {previous[:_SHORT]}" if previous else ""
    doors = "; ".join(_begun(body))
    return f"boarded as release {number}{after}: {doors or 'no ring'}"


def _more_rings(body: Mapping[str, Json]) -> str:
    return f"more rings of release {_count(body, 'number')}: {'; '.join(_begun(body))}"


def _revealed(body: Mapping[str, Json]) -> str:
    return (
        f"all doors of release {_count(body, 'number')} have ended and the seed of its draws is "
        "revealed: anyone can audit who was chosen"
    )


def _note(body: Mapping[str, Json]) -> str:
    return _text(body, "note")


_TELLERS: Final[Mapping[str, Callable[[Mapping[str, Json]], str]]] = {
    DOOR: _move,
    BOARDED: _boarding,
    MORE_RINGS: _more_rings,
    REVEALED: _revealed,
    NOTE: _note,
}


def _begun(body: Mapping[str, Json]) -> Iterator[str]:
    rings = _mapping(body.get("rings"))
    for door in _items(body.get("doors")):
        ring = _text(door, "ring")
        terms = _mapping(rings.get(ring))
        state, reason = _text(door, "state"), _text(door, "reason")
        said = f"ring {ring} is {state} ({reason})"
        if state == State.OPENING:
            delta = _share(terms)
            said += (
                f" for {_count(terms, 'active')} machines with a harm budget of "
                f"{_count(terms, 'budget')}"
            )
            said += f", and opens below {delta} excess harm" if delta else ""
        yield said


def _share(terms: Mapping[str, Json]) -> str:
    with contextlib.suppress(BadInput):
        return f"{100 * text_to_float(_text(terms, 'delta')):.3g} %"
    return ""


def _ends_lane(body: Mapping[str, Json]) -> bool:
    """Whether a move ended a fast lane and did nothing else."""
    lane = body.get(LANE)
    return lane is not None and not lane and body.get("from") == body.get("to")


_E = TypeVar("_E", bound=StrEnum)


def _member(kind: type[_E], text: str) -> _E | None:
    try:
        return kind(text)
    except ValueError:
        return None


def _text(body: Mapping[str, Json], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _count(body: Mapping[str, Json], key: str) -> int:
    value = body.get(key)
    return value if isinstance(value, int) else 0


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Json) -> Iterator[Mapping[str, Json]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (_mapping(item) for item in value)
