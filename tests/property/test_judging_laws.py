"""Laws of the judge that hold in every world: what it forgets, and what it must not look at."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec
import pytest
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st
from tests.loop import AV, Loop, memory

from firedoor.core.board import Grant
from firedoor.core.door import State
from firedoor.core.ledger.entry import leaf_bytes
from firedoor.services.judging import Judge

pytestmark = pytest.mark.slow

worlds = st.integers(min_value=0, max_value=2**32)
# A story is hundreds of steps on real files: what fails is told by its seed, not shrunk.
told_by_seed = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])

Happens = list[tuple[str, tuple[int, ...]]]
Story = list[Happens]

RINGS = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
[[ring]]
name = "tills"
machines = { site = ["tills"] }
"""


@contextmanager
def loops(count: int, machines: int, **how: str) -> Iterator[list[Loop]]:
    """Twins: the same fleet and policy, each with files of its own."""
    with memory() as folder:
        twins = []
        for n in range(count):
            (folder / str(n)).mkdir()
            twins.append(Loop(folder / str(n), machines, **how))
        try:
            yield twins
        finally:
            for twin in twins:
                twin.close()


def story(chance: random.Random, minutes: int, machines: int) -> Story:
    """What happens to a fleet, minute by minute; no card has a say in it."""
    told = []
    for _ in range(minutes):
        happens: Happens = []
        some = tuple(chance.sample(range(1, machines + 1), chance.randint(1, 4)))
        if chance.random() < 0.25:
            happens.append((chance.choice(["dies", "dies", "revives", "crashes"]), some))
        if chance.random() < 0.08:
            happens.append((chance.choice(["gate killed", "gate restarted"]), ()))
        if chance.random() < 0.12:
            orders = ["hold", "hold", "resume", "resume", "resume", "shut", "expedite", "unblock"]
            happens.append((chance.choice(orders), ()))
        if chance.random() < 0.06:
            happens.append(("publishes", (chance.randint(2, 6),)))
        told.append(happens)
    return told


def live(loop: Loop, happens: Happens) -> None:
    """One minute of a story."""
    for what, some in happens:
        match what:
            case "dies":
                loop.dead |= set(some)
            case "revives":
                loop.dead -= set(some)
            case "crashes":
                loop.crash(*some)
            case "gate killed":
                loop.start_gate()
            case "gate restarted":
                loop.stop_gate()
                loop.start_gate()
            case "publishes":
                loop.publish(str(some[0]))
            case "unblock":
                loop.order("unblock", channel=AV)
            case "expedite":
                loop.order("expedite", release=newest(loop), reason="haste", budget=3)
            case order:
                loop.order(order, release=newest(loop))
    loop.bucket()


def newest(loop: Loop) -> str:
    return loop.release_of(max(loop.train.lines[AV]))


def begin(loop: Loop, chance: random.Random, *, rings: bool) -> None:
    loop.period = {machine: chance.choice([1, 1, 2, 7]) for machine in loop.machines}
    if rings:
        loop.ring = {machine: chance.choice(["lab", "tills"]) for machine in loop.machines}
    loop.settle_in(6 * 7 + 1)
    loop.beat(machine for machine in loop.machines if machine % 2)
    loop.publish("2")


def judged(loop: Loop) -> dict[str, object]:
    """Everything the judge has ever written."""
    store = loop.store
    numbers = [boarding.number for boarding in store.boardings(AV)]
    return {
        "ledger": [leaf_bytes(signed.entry) for signed in store.entries()],
        # Two changes that a restart sees at once are one new version instead of two.
        "board": store.board().channels,
        "doors": [store.doors(AV, number) for number in numbers],
        "cells": [store.cells(AV, number) for number in numbers],
        "verdicts": [store.last_verdict(AV, number) for number in numbers],
        "decks": [
            [(deck.ring, deck.deck, deck.grant, deck.closed) for deck in store.decks(AV, number)]
            for number in numbers
        ],
        "harmed": [store.harmed(AV, number) for number in numbers],
        "snapshots": store.snapshots(AV),
        "channel": store.channel(AV),
    }


def remembered(judge: Judge) -> dict[object, object]:
    """What the judge knows of the boardings it watches, as plain values."""
    told: dict[object, object] = {}
    for key, flight in judge.flights.items():
        pools = {
            name: (pool.cut_ms, sorted(pool.closed), pool.rows.tolist(), pool.harmed.tolist())
            for name, pool in flight.pools.items()
        }
        told[key] = (
            flight.evidence,
            flight.digest,
            flight.doors,
            pools,
            flight.grants,
            flight.withdrawn,
            flight.last_deck,
            flight.admitted,
            flight.excess,
            flight.harmed,
            flight.recovered,
            sorted(flight.silent),
            flight.last_cut,
            flight.installed,
            flight.late.late,
            flight.epoch,
        )
    return told


@settings(told_by_seed, max_examples=8)
@given(seed=worlds, rings=st.booleans())
@example(seed=8, rings=True)  # two rings whose pools were opened against the order of their names
def test_a_judge_that_is_started_again_before_every_tick_judges_the_same(seed, rings):
    """All it knows lies in the files: same cells, same digest, same verdict, same ledger."""
    chance = random.Random(seed)
    with loops(2, 24, rings=RINGS if rings else "") as (steady, forgetful):
        for loop in (steady, forgetful):
            begin(loop, random.Random(seed), rings=rings)
        for happens in story(chance, 40, 24):
            forgetful.start_judge()
            for loop in (steady, forgetful):
                live(loop, happens)

            assert judged(forgetful) == judged(steady)
        forgetful.start_judge()
        assert remembered(forgetful.judge) == remembered(steady.judge)


def relabel(loop: Loop, number: int, deck: int, chance: random.Random | None) -> None:
    """Deal the sealed labels of a pool anew (or leave them), and start again from the files."""
    pool = loop.flight(number).pools["everyone", deck]
    rows = pool.rows[pool.sealed()].tolist()
    labels = pool.treated[pool.sealed()].tolist()
    if chance is not None:
        chance.shuffle(labels)
    loop.stop_gate()
    with closing(sqlite3.connect(loop.config.data / "gate.db")) as database, database:
        database.executemany(
            "UPDATE place SET treated = ? WHERE id = ?", zip(labels, rows, strict=True)
        )
    loop.start_gate()
    loop.start_judge()


def seen_of_decisions(loop: Loop, number: int) -> dict[str, object]:
    """What an operator, the train or the valve could act upon."""
    verdict, numbers = loop.verdict(number), loop.numbers(number)
    return {
        "room": numbers.room,
        "in flight": numbers.in_flight,
        "upper": verdict.harm_upper,
        "log e": verdict.log_e_harm,
        "door": loop.door(number),
        "board": loop.store.board(),
        "census": loop.gate.census(),
        # Who draws, when and from which deck tells who was eligible.
        "cards": [
            (p.place.machine, p.place.deck, p.place.card, p.place.cls, p.place.mono_ms)
            for p in loop.places(number)
        ],
    }


def closings(loop: Loop, number: int, deck: int) -> int:
    return sum(cell.deck == deck for cell in loop.store.cells(AV, number))


@settings(told_by_seed, max_examples=8)
@given(seed=worlds)
def test_sealed_labels_move_nothing_until_their_pool_closes(seed):
    """The proof's first line (I1): room, U, E and who may draw do not know sealed labels."""
    chance = random.Random(seed)
    with loops(2, 30) as (recorded, permuted):
        for loop in (recorded, permuted):
            begin(loop, random.Random(seed), rings=False)
        for happens in story(chance, chance.randint(3, 25), 30):
            for loop in (recorded, permuted):
                live(loop, happens)
        number = 2
        pools = (
            recorded.flight(number).pools if recorded.door(number).state is State.OPENING else {}
        )
        cut = [pool.deck for pool in pools.values() if pool.cut_ms and pool.sealed().any()]
        # Without a pool that is cut and sealed there is no label to hide.
        assume(cut)
        relabel(permuted, number, cut[0], chance)
        relabel(recorded, number, cut[0], None)
        before = closings(recorded, number, cut[0])

        for happens in story(chance, 20, 30):
            for loop in (recorded, permuted):
                live(loop, [each for each in happens if each[0] in ("dies", "revives", "crashes")])
            if closings(recorded, number, cut[0]) > before:
                break
            assert seen_of_decisions(permuted, number) == seen_of_decisions(recorded, number)
        # The closing itself comes at the same moment in both, whatever the labels (I8).
        assert closings(permuted, number, cut[0]) > before


@settings(told_by_seed, max_examples=8)
@given(seed=worlds)
def test_no_machine_is_ever_in_two_arms_and_no_budget_is_overrun(seed):
    """Entry (I2, I4): the laws of who may draw, along a whole story with kills and holds."""
    chance = random.Random(seed)
    with loops(1, 30) as (loop,):
        begin(loop, random.Random(seed), rings=False)
        numbers = set()
        for happens in story(chance, 45, 30):
            live(loop, happens)
            numbers |= {n for n in loop.train.lines[AV] if n > 1}
            for number in numbers:
                check_entry(loop, number)
        # A story in which nobody drew a card says nothing.
        assume(any(loop.places(number) for number in numbers))


def check_entry(loop: Loop, number: int) -> None:
    flight = loop.flight(number)
    places = [stored.place for stored in loop.places(number) if stored.place.deck]
    treated = [place.machine for place in places if place.treated]
    # Once treated, for ever.
    assert len(treated) == len(set(treated))
    last_as_treated = {p.machine: (p.deck, p.mono_ms) for p in places if p.treated}
    for place in places:
        if not place.treated and place.machine in last_as_treated:
            assert place.deck < last_as_treated[place.machine][0]
    # One sealed membership at a time.
    sealed = [
        int(machine) for pool in flight.pools.values() for machine in pool.machines[pool.sealed()]
    ]
    assert len(sealed) == len(set(sealed))
    # Of each deck no more cards and no more treated ones than there were.
    for deck in loop.store.decks(AV, number):
        grant = grant_of(deck.grant)
        drawn = [place for place in places if (place.ring, place.deck) == (deck.ring, deck.deck)]
        assert len({place.card for place in drawn}) == len(drawn) <= grant.cards
        assert sum(place.treated for place in drawn) <= grant.treated
    # The window holds, in flight and harmed together, at the moment it is dealt.
    found = loop.numbers(number)
    if loop.verdict(number).harm_upper == 1.0:
        assert found.in_flight <= found.budget


def grant_of(text: str) -> Grant:
    return msgspec.json.decode(text, type=Grant)
