"""Hindsight: what an enforcing door would have done with releases judged in shadow mode."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec

from firedoor.adapters.store.judge import JudgeReader
from firedoor.core.door import Reason, State
from firedoor.core.ledger.canonical import to_canonical
from firedoor.services.ledger import DOOR
from firedoor.wire.verdicts import parse

_PAGE: Final = 1_000


class Hindsight(msgspec.Struct, frozen=True, kw_only=True):
    """One release in one ring.

    Attributes:
        release: Release id.
        number: Boarding number.
        ring: Name of the ring.
        boarded_ms: When it boarded.
        would: ``opened``, ``shut``, ``opened, then shut``, ``-`` while it is undecided, or what
            a person did.
        after_ms: How long after the boarding, ms, or None.
        exposed: Machines of the comparison that got it.
        note: The numbers that decided, in a sentence.
    """

    release: str
    number: int
    ring: str
    boarded_ms: int
    would: str
    after_ms: int | None
    exposed: int
    note: str


class _Move(msgspec.Struct):
    channel: str
    number: int
    ring: str
    to: str
    reason: str
    by: str
    note: str
    shadow: bool = False
    time_ms: int = 0


def would_have(judge: JudgeReader, channel: str) -> Iterator[Hindsight]:
    """Tell of every release of a channel that was judged in shadow mode, newest first."""
    moves: dict[tuple[int, str], list[_Move]] = defaultdict(list)
    after = -1
    while page := judge.entries(after, _PAGE):
        for signed in page:
            entry = signed.entry
            if entry.kind == DOOR and entry.body.get("channel") == channel:
                move = msgspec.json.decode(to_canonical(entry.body), type=_Move)
                move.time_ms = entry.time_ms
                moves[move.number, move.ring].append(move)
        after = page[-1].entry.index
    for boarding in reversed(judge.boardings(channel)):
        body = judge.last_verdict(channel, boarding.number)
        rings = parse(body).rings if body else {}
        for door in judge.doors(channel, boarding.number):
            if not door.shadow or door.reason is Reason.ADOPTED:
                continue
            told = moves[boarding.number, door.ring]
            yield Hindsight(
                release=boarding.release,
                number=boarding.number,
                ring=door.ring,
                boarded_ms=boarding.boarded_ms,
                would=", then ".join(map(_said, told)) or "-",
                after_ms=told[-1].time_ms - boarding.boarded_ms if told else None,
                exposed=rings[door.ring].admitted if door.ring in rings else 0,
                note=told[-1].note if told else "",
            )


def _said(move: _Move) -> str:
    if move.reason == Reason.WOULD_SHUT:
        return "shut"
    if move.by:
        return f"({move.by}: {move.to})"
    if move.to == State.OPEN:
        return "opened"
    return move.to if move.reason == move.to else f"{move.to} ({move.reason})"
