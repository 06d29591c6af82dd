"""Long decks: a deck that locks few is watched beyond its deadline for harm that comes late."""

import pytest
from tests.loop import AV, MINUTE, Loop

from firedoor.core import silence, valve
from firedoor.core.cell import Test
from firedoor.core.door import Reason, State

QUICK = "delta = 0.1\nalpha_harm = 0.01"


def burn(loop: Loop, number: int, deadlines: float, buckets: int) -> None:
    """A time bomb: whoever installs a release dies this many of its deadlines later."""
    for _ in range(buckets):
        loop.bucket()
        for stored in loop.places(number):
            span = silence.class_deadline(stored.place.cls, 5 * MINUTE)
            if stored.place.treated and loop.clock.now().wall_ms - stored.wall_ms >= (
                deadlines * span
            ):
                loop.dead.add(stored.place.machine)


def fleet(start, machines: int, policy: str = QUICK, **how: object) -> Loop:
    loop: Loop = start(machines, policy=policy, **how)
    loop.settle_in()
    return loop


def long_decks(loop: Loop, number: int = 2) -> list[int]:
    return [deck.deck for deck in loop.store.decks(AV, number) if '"long":true' in deck.grant]


def silent_cells(loop: Loop, number: int = 2) -> list[tuple[int, int, int]]:
    return [
        (cell.deck, cell.treated_harmed, cell.control_harmed)
        for cell in loop.store.cells(AV, number)
        if cell.test is Test.HARM and cell.signal == "silence"
    ]


@pytest.mark.parametrize(("active", "long"), [(499, False), (500, True)])
def test_a_deck_is_long_where_it_locks_no_more_than_a_tenth_of_the_ring(active, long):
    """The others must be free to try the release: late harm may not cost the release its day."""
    assert valve.is_long(cards=50, locked=0, active=active) is long
    assert not valve.is_long(cards=50, locked=1, active=500)


def test_long_decks_never_lock_more_than_a_tenth(start):
    """Deck by deck, as they are dealt; what was released may be locked again."""
    loop = fleet(start, 600, "budget = 2\ndelta = 0.0001")
    loop.publish("2")
    for _ in range(60):
        loop.bucket()
        assert loop.flight(2).locked("everyone") <= 60
    decks = loop.store.decks(AV, 2)
    assert len(long_decks(loop)) >= 3
    assert any(deck.closed >= 0 for deck in decks)


@pytest.mark.slow
def test_a_time_bomb_is_found_by_a_fleet_that_has_long_decks_and_not_by_a_smaller_one(start):
    """Dead two deadlines after the install: at the deadline nobody shows anything.

    450 machines have no deck that is long. They show what the judge could see before there were
    any: nothing.
    """
    doors = {}
    for machines in (600, 450):
        loop = fleet(start, machines)
        loop.publish("2")
        burn(loop, 2, 2.0, 50)
        doors[machines] = (loop.door(2), len(long_decks(loop)))

    found, decks = doors[600]
    assert (found.state, found.reason) == (State.SHUT, Reason.HARMFUL)
    assert decks
    missed, decks = doors[450]
    assert missed.state is State.OPEN
    assert not decks


def test_late_silence_shuts_a_door_that_had_opened_and_tells_a_person(start):
    """Eighteen deadlines after the install everybody has it; those of the first deck die first."""
    loop = fleet(start, 600)
    loop.publish("2")
    burn(loop, 2, 18.0, 40)
    assert loop.door(2).state is State.OPEN
    assert loop.flight(2).watched()
    assert loop.numbers(2).watched
    burn(loop, 2, 18.0, 88)

    assert (loop.door(2).state, loop.door(2).reason) == (State.SHUT, Reason.HARMFUL)
    assert loop.moves(2)[-1]["alert"] is True
    assert loop.lane().base == 1
    # What is shut is looked at no more.
    loop.bucket(2)
    assert not loop.flight(2).watched()
    assert all(deck.closed == -1 for deck in loop.store.decks(AV, 2))


def test_a_crash_counts_for_as_long_as_its_machine_is_sealed(start):
    """A deadline after the install the others may draw again; members of a long deck do not."""
    loop = fleet(start, 600, "budget = 1\ndelta = 0.0001")
    loop.beat(loop.machines)
    loop.bucket()
    loop.publish("2")
    loop.bucket(14)
    (first, *_) = loop.store.decks(AV, 2)
    members = [p.place for p in loop.places(2) if p.place.deck == 1]
    assert (first.closed, first.matured) == (0, 1 << members[0].cls)
    before = len(loop.store.cells(AV, 2))
    victim = next(place.machine for place in members if place.treated)
    loop.crash(victim)
    loop.bucket()

    (cell,) = [c for c in loop.store.cells(AV, 2)[before:] if c.signal == "crash"]
    assert (cell.deck, cell.treated_harmed, cell.control_harmed) == (1, 1, 0)
    assert (cell.treated, cell.control) == (1, 9)


def test_who_matured_is_in_flight_no_more_and_does_not_keep_the_window(start):
    """The watch for late harm costs the machines it locks, and no time."""
    loop = fleet(start, 600, "budget = 5\ndelta = 0.0001")
    loop.publish("2")
    loop.bucket(8)
    (deck,) = loop.store.decks(AV, 2)[:1]
    while not loop.store.decks(AV, 2)[0].matured:
        loop.bucket()
    numbers = loop.numbers(2)

    assert deck.deck == 1
    assert numbers.watched == 50
    assert numbers.matured == 5
    assert numbers.room > 0 or numbers.in_flight > 0


def test_a_machine_that_was_silent_late_and_speaks_again_frees_its_slot(start):
    """As after the deadline: its cell stays, its debt does not."""
    loop = fleet(start, 600, "budget = 1\ndelta = 0.0001")
    loop.publish("2")
    loop.bucket(9)
    (victim,) = [p.place.machine for p in loop.places(2) if p.place.deck == 1 and p.place.treated]
    while not silent_cells(loop):
        if loop.store.decks(AV, 2)[0].matured:
            loop.dead.add(victim)
        loop.bucket()
    assert silent_cells(loop) == [(1, 1, 0)]
    assert loop.numbers(2).debt > 0
    loop.dead.clear()
    loop.bucket(2)

    assert loop.numbers(2).debt == 0
    assert silent_cells(loop) == [(1, 1, 0)]


def test_if_only_locked_machines_are_left_they_are_let_go_and_try_it(start):
    """A door may not stand for a day because a tenth of the ring is kept to compare with."""
    loop = fleet(start, 120, "budget = 1\ndelta = 0.0001\ncontrol = 0.01")
    loop.publish("2")
    released = False
    for _ in range(400):
        loop.bucket()
        decks = loop.store.decks(AV, 2)
        cells = {cell.deck for cell in loop.store.cells(AV, 2)}
        released |= any(deck.closed == -1 and deck.deck in cells for deck in decks)
        if loop.door(2).state is State.OPEN:
            break

    assert long_decks(loop)
    assert released
    assert loop.door(2).state is State.OPEN


def test_a_newer_release_that_opens_ends_the_watch_over_the_older_one(start):
    """Nobody is served the older one any more: what happens now is not its doing."""
    loop = fleet(start, 600)
    loop.publish("2")
    loop.bucket(40)
    assert loop.door(2).state is State.OPEN
    assert loop.numbers(2).watched
    release = loop.publish("3")
    loop.bucket(2)
    assert loop.numbers(2).watched
    loop.order("expedite", release=release, reason="haste", all=True)
    loop.bucket()

    assert loop.door(3).state is State.OPEN
    assert all(deck.closed == -1 for deck in loop.store.decks(AV, 2))
