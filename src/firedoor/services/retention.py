"""Retention: which releases' bytes are kept.

What may be served, or may have to be, is kept however old it is; besides that, the newest few
that machines or a person could go back to. The bytes of all others go: they cannot be pinned any
more.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from firedoor.core.board import ChannelBoard
from firedoor.core.door import Door, Reason, State, ended
from firedoor.core.ring import EVERYONE
from firedoor.services.boarding import Boarding
from firedoor.services.records import Seen

_OPEN_KEPT = 3
"""Of every ring: what it is served, what it falls back to when that is shut, and what then."""


@dataclass(frozen=True, slots=True)
class History:
    """What one channel has been through.

    Attributes:
        boardings: Oldest first.
        doors: Boarding number -> its doors.
        snapshots: In the order they were seen upstream.
        pinned: Boarding numbers that rings are pinned to.
        board: What the gate is told to serve; None where it is told nothing.
        standing: Boarding numbers that machines which still come were last served.
        lately: Boarding numbers of which machines may still ask for names that they have read.
    """

    boardings: Sequence[Boarding]
    doors: Mapping[int, Sequence[Door]]
    snapshots: Sequence[Seen]
    pinned: Collection[int]
    board: ChannelBoard | None
    standing: Collection[int]
    lately: Collection[int] = ()


def kept(history: History, keep: int) -> frozenset[str]:
    """Ids of the releases whose bytes are kept.

    Kept are what upstream offers and what waits; what is in flight, open, pinned or on the board;
    what a ring falls back to; what machines stand on or have lately read; and ``keep`` more, the
    last that were open, and as many that were shut: what did harm is looked into, and may be
    expedited after all.

    Args:
        history: Of one channel.
        keep: Past releases kept besides those in use, count >= 1.
    """
    used = {*history.pinned, *history.standing, *history.lately, *_open(history)}
    used |= {
        number
        for number, doors in history.doors.items()
        if any(not ended(door.state) for door in doors)
    }
    if history.board is not None:
        used |= {number for number, _ in history.board.releases}
        used |= {withdrawn.number for withdrawn in history.board.withdrawn}
    releases = {b.release for b in history.boardings if b.number in used}
    releases |= {seen.release for seen in history.snapshots if seen.waits}
    releases |= {seen.release for seen in history.snapshots[-1:]}
    # What upstream offers, where a person has put together something since.
    releases |= {seen.release for seen in [s for s in history.snapshots if not s.is_picked][-1:]}
    past = [
        dict.fromkeys(
            b.release
            for b in reversed(history.boardings)
            if b.release not in releases and any(map(counts, history.doors.get(b.number, ())))
        )
        for counts in (_was_good, _was_shut)
    ]
    return frozenset([*releases, *(release for some in past for release in list(some)[:keep])])


def _open(history: History) -> set[int]:
    """The newest open boardings of every ring."""
    rings = {door.ring for doors in history.doors.values() for door in doors}
    newest: set[int] = set()
    for ring in rings:
        is_open = (n for n, doors in history.doors.items() if _state(doors, ring) is State.OPEN)
        newest.update(sorted(is_open)[-_OPEN_KEPT:])
    return newest


def _was_good(door: Door) -> bool:
    """Whether it may be gone back to: open, or only left behind by a pin."""
    return door.state is State.OPEN or door.reason is Reason.PINNED


def _was_shut(door: Door) -> bool:
    return door.state is State.SHUT


def _state(doors: Sequence[Door], ring: str) -> State | None:
    # A ring that came later: its machines were in "everyone", and keep what they had there.
    states = {door.ring: door.state for door in doors}
    return states.get(ring, states.get(EVERYONE))
