"""Doors that move no more by themselves: as few as possible, and none without a word."""

import pytest
from tests.loop import Loop
from tests.unit.services.rehearsal import at, until

from firedoor.core.door import Reason, State
from firedoor.core.terms import Policy, resolve
from firedoor.services.flight import Numbers
from firedoor.services.places import Census
from firedoor.services.stalls import Stall, explained, stall

LAB = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
"""
WEEK = 7 * 24 * 3_600_000


def alerts(loop: Loop) -> list[str]:
    """What the ledger says of doors that stand still."""
    return [note for note in loop.notes() if "stands still" in note]


def numbers(*, matured: int = 0) -> Numbers:
    """A ring in which nobody is in flight."""
    return Numbers(
        admitted=matured,
        control=0,
        in_flight=0,
        matured=matured,
        harmed=0,
        budget=2,
        window=2,
        debt=0.0,
        room=2,
    )


def reason(
    *, active: int, untreated: int, matured: int = 0, warn: bool = False, quiet: bool = True
) -> Stall | None:
    """Why a ring with these counts stands."""
    count = Census("av", "everyone", active, untreated, 1.0, untreated, 60_000)
    terms = resolve(Policy(), active)
    return stall(count, numbers(matured=matured), terms, warn=warn, quiet=quiet)


# Small fleets


@pytest.mark.parametrize(
    ("machines", "policy"),
    [(20, "control = 0.5\nbudget = 2"), (5, "control = 0.9\nbudget = 1"), (2, "control = 0.1")],
    ids=["reserve beyond the room", "nearly all are control", "two machines"],
)
def test_a_harmless_release_gets_through_every_small_fleet(start, machines, policy):
    """A reserve larger than the window once left the door standing without a word."""
    loop = start(machines, policy=policy)
    loop.settle_in()
    loop.publish("2")

    until(loop, 2, State.OPEN, most=400)

    assert at(loop, 2)[1] in (Reason.CLEARED, Reason.WALKED)
    assert alerts(loop) == []


def test_a_reserve_is_walked_within_the_budget(start):
    """Without a control arm nothing is proved, so the window alone protects."""
    loop = start(20, policy="control = 0.5\nbudget = 2\ndelta = 0.001")
    loop.settle_in()
    loop.publish("2")
    in_flight = []
    for _ in range(400):
        loop.bucket()
        in_flight.append(loop.numbers(2).in_flight)
        if loop.door(2).state is State.OPEN:
            break

    assert at(loop, 2) == (State.OPEN, Reason.WALKED)
    assert sorted(loop.treated(2)) == list(loop.machines)
    assert max(in_flight) <= loop.numbers(2).window


def test_what_a_walked_reserve_loses_ends_the_walk(start):
    """A release that only harms the last machines harms about the budget there too."""
    loop = start(20, policy="control = 0.5\nbudget = 2\ndelta = 0.001")
    loop.settle_in()
    bad = loop.publish("2")
    while len(loop.treated(2)) < 10:
        loop.bucket()
    proved, window = set(loop.treated(2)), loop.numbers(2).window
    loop.deadly = {bad}
    loop.bucket(200)

    assert at(loop, 2) == (State.HELD, Reason.BUDGET_SPENT)
    assert 0 < len(loop.dead - proved) <= window


# Rings


def test_a_ring_tries_a_release_itself_however_well_the_ring_before_it_did(start):
    """Evidence of a large lab once cleared the next ring before it had dealt a card: it stood."""
    loop = start(60, rings=LAB, policy="delta = 0.2")
    loop.ring = {m: "lab" for m in loop.machines if m <= 40}
    loop.settle_in()
    loop.publish("2")
    until(loop, 2, State.OPEN, ring="lab", most=200)

    until(loop, 2, State.OPEN, most=200)

    assert {m for m in loop.treated(2) if m > 40}


# What is said


def test_a_door_whose_machines_have_all_gone_tells_a_person_once(start):
    """Nobody is there to try it, and nobody would notice."""
    loop = start(20)
    loop.settle_in()
    loop.publish("2")
    loop.dead = set(loop.machines)
    loop.bucket(60)
    assert at(loop, 2)[0] is State.OPENING
    assert alerts(loop) == []  # they may yet come back

    loop.clock.pass_ms(WEEK)
    loop.bucket(5)

    (told,) = alerts(loop)
    assert "no machine of the ring has polled for seven days" in told


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ({"active": 0, "untreated": 0}, Stall.DESERTED),
        ({"active": 20, "untreated": 2, "warn": True}, Stall.WARNING),
        ({"active": 20, "untreated": 3, "warn": True}, None),  # more cards can be dealt
        ({"active": 20, "untreated": 0, "matured": 20, "warn": True}, Stall.WARNING),
        ({"active": 20, "untreated": 0, "matured": 20}, None),  # it opens as walked
        ({"active": 3, "untreated": 0}, Stall.UNABLE),
        ({"active": 3, "untreated": 0, "quiet": False}, None),
        ({"active": 3, "untreated": 3}, None),  # waits for them to poll
    ],
)
def test_only_what_cannot_change_by_itself_is_a_stall(counts, why):
    """An alert that comes while a door merely waits is an alert that nobody reads."""
    assert reason(**counts) is why


@pytest.mark.parametrize(("unknown", "words"), [(1, "1 client that is"), (1200, "1,200 clients")])
def test_strangers_are_told_of_by_their_number(unknown, words):
    """How many machines nobody protects is what a person needs to know."""
    assert words in explained(Stall.UNKNOWN, unknown)


@pytest.mark.parametrize(("machines", "budget"), [(4, 3), (6, 5), (12, 10)])
def test_what_harmed_all_who_tried_it_is_not_walked_open(start, machines, budget):
    """With a budget nearly as large as the fleet few are left to compare with: it stops there."""
    loop = start(machines, policy=f"budget = {budget}")
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    until(loop, 2, State.HELD)

    assert len(loop.treated(2)) == budget
    assert loop.door(2).reason is Reason.BUDGET_SPENT

    # A person who has looked can still let it go on: they have given it more to spend.
    loop.order("resume", release=loop.release_of(2))
    until(loop, 2, State.OPEN)
    assert loop.door(2).reason is Reason.WALKED
