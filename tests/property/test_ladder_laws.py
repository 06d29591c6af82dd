"""Laws of long decks: looking again at machines that stay sealed is still one fair game."""

import itertools
import math
import random
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests.loop import AV, Loop
from tests.property.test_judging_laws import (
    begin,
    judged,
    live,
    loops,
    remembered,
    seen_of_decisions,
    story,
    told_by_seed,
    worlds,
)

from firedoor.core import silence
from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.mixture import RATIOS
from firedoor.core.signal import CRASH, Reports
from firedoor.services.places import Place
from firedoor.services.pools import Pool, close_class, count_events, ends_early
from firedoor.services.records import StoredDeck, StoredPlace

pytestmark = pytest.mark.slow

members = st.lists(
    st.tuples(
        st.integers(0, 1),  # its class
        st.integers(0, 1),  # its stratum
        st.sampled_from(["never", "never", *"0123", "crash 0", "crash 1", "crash 2"]),
    ),
    min_size=2,
    max_size=8,
)
# What happens to a deck, in an order that no card has a say in: each tick's crashes, then a class.
LOOKS = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (1, 2)]


def pool_of(world: list[tuple[int, int, str]], labels: list[bool]) -> Pool:
    pool = Pool("everyone", 1, long=True)
    pool.seat(
        [
            StoredPlace(
                n + 1,
                Place(
                    "av",
                    2,
                    "everyone",
                    1,
                    n,
                    n + 1,
                    labels[n],
                    cls,
                    Reports.BEATS,
                    0,
                    f"site=s{site}",
                ),
                "boot",
                0,
            )
            for n, (cls, site, _) in enumerate(world)
        ]
    )
    pool.cut_ms = 0
    return pool


def fates(world: list[tuple[int, int, str]]) -> list[str]:
    return [what for _, _, what in world]


def steps(world: list[tuple[int, int, str]], pool: Pool) -> list[list[Cell]]:
    """The cells of every step of a deck's life."""
    fate = fates(world)
    told = []
    for tick, (cls, rung) in enumerate(LOOKS):
        crashed = np.array([w.startswith("crash") and int(w[6:]) * 2 <= tick for w in fate])
        found = count_events(pool, crashed, signal=CRASH, epoch=0)
        cells: list[Cell] = []
        if found is not None:
            pool.take(found)
            cells += found.cells
        if cls in pool.open_classes():
            quiet = np.array([w.isdigit() and int(w) <= rung for w in fate])
            nobody = np.zeros(len(pool), np.bool_)
            found = close_class(pool, cls, silent=quiet, installed=nobody, epoch=0, last=rung == 2)
            pool.take(found)
            cells += found.cells
        told.append(cells)
    assert pool.is_closed()
    return told


@settings(max_examples=60, deadline=None)
@given(members, st.integers(1, 7), st.integers(0, 4), st.sampled_from(["exact", "linear"]))
@example([(0, 0, "never")] * 3 + [(1, 0, "crash 1")] * 2, 2, 0, "exact")
def test_over_all_deals_a_deck_that_is_looked_at_three_times_has_mean_one(
    world, treated, most, kind
):
    """Two classes, crashes at any age, late silence: after every step the mean is still 1.

    Even if what a class's clearance tells decides whether the deck is looked at again: that is
    why a class that has told its totals is compared with these alone.
    """
    size = len(world)
    treated = min(treated, size)
    weigh = harm.plain if kind == "exact" else harm.linear
    totals = np.zeros((len(LOOKS), len(RATIOS)))
    deals = math.comb(size, treated)
    for chosen in itertools.combinations(range(size), treated):
        wealth = np.zeros(len(RATIOS))
        pool, given_up = pool_of(world, [n in chosen for n in range(size)]), False
        for step, cells in enumerate(steps(world, pool)):
            for cell in cells:
                if cell.test is Test.HARM and not given_up:
                    wealth = wealth + weigh(Counts.of_cell(cell))[0]
            given_up |= any(c.treated > most for c in cells if c.test is Test.CLEARANCE)
            totals[step] += np.exp(wealth)

    assert totals / deals == pytest.approx(1.0, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(members, st.data())
def test_a_long_deck_has_one_outcome_a_machine_and_counts_nobody_twice(world, data):
    """Clearance is told once, at maturity; a harmed machine is in one harm cell."""
    labels = data.draw(st.lists(st.booleans(), min_size=len(world), max_size=len(world)))
    pool = pool_of(world, labels)
    cells = [cell for step in steps(world, pool) for cell in step]
    clear = [cell for cell in cells if cell.test is Test.CLEARANCE]
    hurt = [cell for cell in cells if cell.test is Test.HARM]

    assert sum(cell.treated for cell in clear) == sum(labels)
    assert sum(cell.control for cell in clear) == len(labels) - sum(labels)
    assert sum(cell.treated_harmed for cell in hurt) == (pool.harmed & pool.treated).sum()
    assert sum(cell.control_harmed for cell in hurt) == (pool.harmed & ~pool.treated).sum()
    assert all(what != "never" for what, hit in zip(fates(world), pool.harmed, strict=True) if hit)


@given(st.dictionaries(st.integers(0, silence.LAST_CLASS), st.integers(1, len(silence.LADDER) - 1)))
def test_how_often_each_class_was_looked_at_comes_back_from_the_disk(rungs):
    """A look that is taken twice, or left out, after a restart would be another ladder."""
    looks = Pool("everyone", 1, rungs=rungs).looks()
    stored = StoredDeck("everyone", 1, "{}", 0, heard=0, batch=0, event=0, closed=0, looks=looks)

    assert stored.rungs() == rungs
    assert stored.matured == sum(1 << cls for cls in rungs)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=4, max_size=9), st.integers(1, 8), st.data())
def test_a_deck_that_its_members_cut_short_is_still_one_fair_game(reports, treated, data):
    """Who reports, and when, is the world's doing: a prefix of a uniform shuffle is uniform.

    Machine n draws at minute n and reports so many minutes later (9 for never). Over all deals
    of the whole deck the factor of what is counted at the early cut has mean 1.
    """
    size = len(reports)
    treated = min(treated, size)
    told = [n + wait if wait < 9 else None for n, wait in enumerate(reports)]

    def ends(minute: int) -> bool:
        drawn = min(minute + 1, size)
        return ends_early(sum(t is not None and t <= minute for t in told[:drawn]), drawn)

    cut = next((minute for minute in range(size) if ends(minute)), size - 1)
    hit = [t is not None and t <= cut for t in told[: cut + 1]]
    weigh = data.draw(st.sampled_from([harm.plain, harm.linear]))
    total = np.zeros(len(RATIOS))
    for chosen in itertools.combinations(range(size), treated):
        drawn = [n in chosen for n in range(cut + 1)]
        counts = (
            sum(drawn),
            len(drawn) - sum(drawn),
            sum(h and d for h, d in zip(hit, drawn, strict=True)),
            sum(h and not d for h, d in zip(hit, drawn, strict=True)),
        )
        cell = Cell(1, "everyone", 1, 0, Test.HARM, CRASH, "", *counts)
        total += np.exp(weigh(Counts.of_cell(cell))[0])

    assert total / math.comb(size, treated) == pytest.approx(1.0, rel=1e-9)


MACHINES = 110
POLICY = "budget = 1\ndelta = 0.0001"


def grows_up(loop: Loop, seed: int) -> None:
    begin(loop, random.Random(seed), rings=False)


@settings(told_by_seed, max_examples=3, deadline=None)
@given(seed=worlds)
def test_a_judge_started_again_before_every_tick_climbs_the_same_ladder(seed):
    """What was matured, what was looked at once more, and since when: all of it is on disk."""
    chance = random.Random(seed)
    with loops(2, MACHINES, policy=POLICY) as (steady, forgetful):
        for loop in (steady, forgetful):
            grows_up(loop, seed)
        rungs = set()
        for happens in story(chance, 60, MACHINES):
            calm = [each for each in happens if each[0] in ("dies", "revives", "crashes")]
            forgetful.start_judge()
            for loop in (steady, forgetful):
                live(loop, calm)
            rungs |= {
                rung for f in steady.judge.flights.values() for p in f.pools.values()
                for rung in p.rungs.values()
            }  # fmt: skip
            assert judged(forgetful) == judged(steady)
        forgetful.start_judge()
        assert remembered(forgetful.judge) == remembered(steady.judge)
        assume({1, 2, 3} <= rungs)


def matured(loop: Loop) -> Pool | None:
    """A long deck with a class that has matured and has both arms among its sealed members."""
    for pool in loop.flight(2).pools.values():
        for block in pool.blocks()[1:]:
            if 0 < pool.treated[block].sum() < block.sum():
                return pool
    return None


@settings(told_by_seed, max_examples=5, deadline=None)
@given(seed=worlds)
def test_labels_of_matured_members_move_nothing_until_they_are_looked_at(seed):
    """I1 for long decks: given a class's totals, who in it is treated is still a secret."""
    chance = random.Random(seed)
    with loops(2, MACHINES, policy=POLICY) as (recorded, permuted):
        for loop in (recorded, permuted):
            grows_up(loop, seed)
        for _ in range(60):
            for loop in (recorded, permuted):
                loop.bucket()
            if matured(recorded) is not None:
                break
        pool = matured(recorded)
        assume(pool is not None)
        assert pool is not None
        deal_anew(permuted, pool, chance)
        deal_anew(recorded, pool, None)
        before = len(recorded.store.cells(AV, 2))
        for _ in range(10):
            victims = tuple(chance.sample(range(1, MACHINES + 1), 2))
            for loop in (recorded, permuted):
                live(loop, [("dies", victims)])
            if len(recorded.store.cells(AV, 2)) > before:
                break
            assert seen_of_decisions(permuted, 2) == seen_of_decisions(recorded, 2)


def deal_anew(loop: Loop, pool: Pool, chance: random.Random | None) -> None:
    """Shuffle the labels within each block of a pool (or leave them); begin again from files."""
    swapped = []
    for block in pool.blocks():
        rows, labels = pool.rows[block].tolist(), pool.treated[block].tolist()
        if chance is not None:
            chance.shuffle(labels)
        swapped += list(zip(labels, rows, strict=True))
    loop.stop_gate()
    with closing(sqlite3.connect(loop.config.data / "gate.db")) as database, database:
        database.executemany("UPDATE place SET treated = ? WHERE id = ?", swapped)
    loop.start_gate()
    loop.start_judge()
