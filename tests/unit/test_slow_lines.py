"""Who installs late also falls silent late, of something else: no good release is shut for it.

The room reads how many treated machines of a long deck have not installed yet, and that tells
something of labels which later looks still weigh (ADR 0024). In these worlds it tells the most.
The simulation is that of ``test_guarantees``; ``make soak`` repeats the trials thousands of times.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from tests.worlds import world_four
from tests.worlds_door import Fleet, Outcome, keyed, opening
from tests.worlds_judge import (
    Drift,
    Trial,
    alarms,
    judge_together,
    late_harm,
    most_alarms,
    null_trial,
    playing,
)
from tests.worlds_product import Books, judge_alone
from tests.worlds_tally import Tally

from firedoor.core.cell import Cell


def slow_lines(
    machines: int,
    budget: int,
    days: float,
    *,
    often: float = 4.0,
    together: bool = False,
    harm: float = 0.0,
) -> Trial:
    """World 4; what harms does so at the install."""
    beats = not together
    return null_trial(
        lambda chance: world_four(
            chance, machines, days, beats=beats, often=often, together=together
        ),
        machines,
        budget=budget,
        crashes=beats,
        attributes=("model", "site"),
        harm=harm,
    )


@pytest.mark.parametrize(
    "trial",
    [
        slow_lines(140, 1, 1.5),
        slow_lines(300, 5, 2.5, often=10.0),
        slow_lines(300, 3, 2.0, together=True),
        slow_lines(300, 5, 1.5, harm=0.1),
        slow_lines(600, 30, 2.0, together=True, harm=0.05),
    ],
)
def test_the_simulation_waits_for_the_same_machines_as_the_product(trial: Trial) -> None:
    """Waiting, dormant, harmed and counted again: the rooms rest on all of them."""
    world, secret = trial.world(np.random.default_rng(21)), keyed(b"a slow secret")
    fleet, twin = Fleet.of(world), Fleet.of(world)
    books = Books(twin, trial.plan, trial.rules)

    (fast,) = judge_together(
        trial.rules,
        [opening(fleet, Tally(fleet, trial.plan), trial.plan, secret, np.random.default_rng(22))],
    )
    slow = judge_alone(books, opening(twin, books, trial.plan, secret, np.random.default_rng(22)))

    assert fast.watch.late
    assert fast.watch.long
    assert fast.cells == slow.cells
    assert fast.rooms == slow.rooms
    assert fast.watch == slow.watch
    assert (fast.admitted, fast.harmed) == (slow.admitted, slow.harmed)
    assert fast.max_log_e == pytest.approx(slow.max_log_e, abs=1e-12)
    assert fast.lowest_upper == pytest.approx(slow.lowest_upper, abs=1e-12)


def test_whoever_installs_late_takes_a_slot_in_the_simulation() -> None:
    """Without that the trials below would show nothing: the same worlds, downloads at once."""
    trial = slow_lines(600, 5, 1.0, together=True)
    secret = keyed(b"a slow secret")
    rooms: dict[bool, list[float]] = {True: [], False: []}
    # One world has few deals, and chance decides which of its rooms are wide.
    for seed in range(23, 33):
        world = trial.world(np.random.default_rng(seed))
        for lag in (world.lag, np.zeros_like(world.lag)):
            fleet = Fleet.of(replace(world, lag=lag))
            chance = np.random.default_rng(seed + 1)
            run = opening(fleet, Tally(fleet, trial.plan), trial.plan, secret, chance)
            (outcome,) = judge_together(trial.rules, [run])
            assert bool(outcome.watch.late) == bool(lag.any())
            assert outcome.rooms[0] == 5
            rooms[bool(lag.any())].append(float(np.mean(outcome.rooms)))
    assert np.mean(rooms[True]) < 0.8 * np.mean(rooms[False]), rooms


def late(outcomes: Iterable[Outcome]) -> Drift:
    """Of what later looks and crashes revealed in long decks."""
    found = Drift()
    for outcome in outcomes:
        found.add(late_harm(outcome))
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("machines", "budget", "seed"), [(600, 5, 5), (200, 1, 6)])
def test_a_room_that_knows_who_is_late_shuts_no_more_good_releases(
    machines: int, budget: int, seed: int
) -> None:
    """Who is late is who will be silent: the worst that the price on paper is for."""
    outcomes = list(playing(slow_lines(machines, budget, 2.0, together=True), 40, seed))

    assert np.mean([len(outcome.watch.late) for outcome in outcomes]) > machines / 10
    found, whole = late(outcomes), Drift()
    for outcome in outcomes:
        whole.add(outcome.cells)
    assert found.events > 200
    assert max(abs(found.z), abs(whole.z)) < 4.0
    for alpha in (0.1, 0.05, 0.01, 0.001):
        assert alarms(outcomes, alpha) <= most_alarms(len(outcomes), alpha)


class Peeking(Tally):
    """Somebody saves time: a deck whose machines all installed in time is not watched further."""

    def close(self, deck: int, cls: int, now: int, epoch: int) -> list[Cell]:
        """Close as the product does, then ask for the labels of the late."""
        cells = super().close(deck, cls, now, epoch)
        pool = self._pools.get(deck)
        if pool is None or cls not in pool.rungs:
            return cells
        mine = pool.cls == cls
        if not self._late.keys() & set(pool.machines[mine & pool.treated].tolist()):
            pool.release(cls)
            self._fleet.sealed[pool.machines[mine]] = False
            if pool.is_closed():
                del self._pools[deck]
        return cells


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_watch_that_asks_who_is_late_is_found_out() -> None:
    """A harness that missed this would miss a leak in the product as well."""
    trial = slow_lines(200, 1, 2.0, together=True)

    outcomes = playing(trial, 40, 6, book=Peeking)

    assert late(outcomes).z > 8.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wide_windows_that_are_filled_in_time_lean_towards_no_arm() -> None:
    """Decks of which a third is treated, and thousands that install late (ADR 0019 and 0024)."""
    trial = null_trial(
        lambda chance: world_four(chance, 10_000, 1.0, beats=False, often=1.0),
        10_000,
        budget=20,
        attributes=("model", "site"),
    )

    outcomes = list(playing(trial, 8, 7))

    assert all(outcome.watch.wide > 10 for outcome in outcomes)
    assert np.mean([len(outcome.watch.late) for outcome in outcomes]) > 1_000
    found = Drift()
    for outcome in outcomes:
        found.add(outcome.cells)
    assert found.events > 1_000
    assert abs(found.z) < 4.0
    assert alarms(outcomes, 0.01) <= most_alarms(len(outcomes), 0.01)
