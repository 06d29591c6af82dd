"""Whose bytes are kept: nothing that may be served goes, and the rest does not pile up."""

from dataclasses import replace

import pytest

from firedoor.core.board import ChannelBoard, Lane
from firedoor.core.door import Door, Reason, State
from firedoor.core.ring import EVERYONE
from firedoor.core.units import UnixMs
from firedoor.core.verdict import Rules
from firedoor.services.boarding import Boarding
from firedoor.services.records import Seen
from firedoor.services.retention import History, kept

RULES = Rules(0.01, 0.05, 0.05, 0.1, (("silence", 1.0),))


def boarding(number, release):
    return Boarding("av", number, release, 0, UnixMs(0), "", {}, RULES)


def door(number, state, ring=EVERYONE):
    return Door("av", number, ring, f"r{number}", "", 1, state, Reason.EVIDENCE, UnixMs(0))


def history(*states, snapshots=(), pinned=(), board=None, standing=(), rings=()):
    """Boardings 1, 2, .. of releases r1, r2, .. whose doors are in these states.

    ``rings`` maps a boarding to doors of rings besides "everyone".
    """
    more = dict(rings)
    return History(
        boardings=[boarding(n, f"r{n}") for n in range(1, len(states) + 1)],
        doors={
            n: [door(n, state), *(door(n, s, ring) for ring, s in more.get(n, ()))]
            for n, state in enumerate(states, 1)
        },
        snapshots=snapshots,
        pinned=pinned,
        board=board,
        standing=standing,
    )


OPEN, SHUT, PAST = State.OPEN, State.SHUT, State.SUPERSEDED


@pytest.mark.parametrize("keep", [1, 3])
def test_besides_what_is_served_and_its_fallback_the_last_few_are_kept(keep):
    """A person goes back to a release of this week, not to one of last year."""
    found = kept(history(*[OPEN] * 9), keep)

    assert found == {"r9", "r8", "r7", *(f"r{7 - back}" for back in range(1, keep + 1))}


def test_what_a_shut_release_falls_back_to_is_kept_however_old():
    """Bad weeks must not end with nothing to serve."""
    assert kept(history(OPEN, OPEN, OPEN, OPEN, *[SHUT] * 6), 1) >= {"r1", "r2", "r3", "r4"}


def test_the_last_that_were_shut_are_kept_too():
    """What did harm is looked into, and a person may let it through after all."""
    found = kept(history(*[OPEN] * 3, *[SHUT] * 6), 2)

    assert found == {"r1", "r2", "r3", "r8", "r9"}


def test_what_nobody_goes_back_to_pushes_nothing_out():
    """Of a channel that had a bad year, the last good ones are what a person needs."""
    never_open = [SHUT, PAST] * 3

    found = kept(history(*[OPEN] * 7, *never_open), 2)

    assert found == {f"r{n}" for n in range(3, 8)} | {"r10", "r12"}


def test_what_a_pin_left_behind_may_be_gone_back_to():
    """The pin may have been the mistake."""
    past = history(*[OPEN] * 4, *[PAST] * 3)
    left = replace(door(7, PAST), reason=Reason.PINNED)
    doors = {**past.doors, 7: [left]}

    assert "r7" in kept(History(past.boardings, doors, (), (), None, ()), 1)


def test_every_ring_keeps_what_it_is_served():
    """The control rooms may be far behind the lab."""
    rings = {n: [("lab", OPEN)] for n in range(1, 10)}
    found = kept(history(OPEN, OPEN, OPEN, *[PAST] * 6, rings=rings), 1)

    assert found == {"r1", "r2", "r3", "r6", "r7", "r8", "r9"}


@pytest.mark.parametrize("state", [State.WAITING, State.OPENING, State.HELD])
def test_what_is_undecided_is_kept(state):
    """It may be admitted at the next tick."""
    assert "r1" in kept(history(state, *[OPEN] * 6), 1)


def test_what_is_pinned_served_or_stood_on_is_kept():
    """Each of them is given to machines now."""
    board = ChannelBoard("av", (Lane(EVERYONE, 3),), ((3, "r3"),))
    found = kept(history(*[OPEN] * 9, pinned={1}, standing={2}, board=board), 1)

    assert {"r1", "r2", "r3"} <= found
    assert "r4" not in found


def test_what_upstream_offers_and_what_waits_is_kept_though_it_never_boarded():
    """It may board any day; what was skipped or refused in between never will."""
    states = ["waiting", "skipped", "refused", "boarded", "refused"]
    seen = [Seen(n, "av", f"s{n}", 0, state) for n, state in enumerate(states)]

    assert kept(history(snapshots=seen), 1) == {"s0", "s4"}


def test_a_release_that_boarded_twice_is_one_release():
    """Its bytes are kept once, and it does not push another out."""
    past = history(*[OPEN] * 6)
    again = boarding(7, "r4")
    both = History([*past.boardings, again], {**past.doors, 7: [door(7, OPEN)]}, (), (), None, ())

    assert kept(both, 2) == {"r6", "r5", "r4", "r3", "r2"}


def test_what_upstream_offers_is_kept_behind_what_a_person_has_put_together():
    """The next pick is made of it, and it boards again after this one."""
    seen = [
        Seen(1, "av", "r2", 1, "boarded"),
        Seen(2, "av", "pick", 2, "picked, boarded"),
    ]

    assert {"r2", "pick"} <= kept(history(OPEN, PAST, snapshots=seen), 1)
