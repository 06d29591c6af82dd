"""The two contests that are not played interval by interval: the fleet and the floors."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from tests.bench.judge.score import interval
from tests.bench.streams.events import RACES
from tests.bench.streams.fleet import Fleet
from tests.bench.streams.policies import HARMS, POLICIES

FLEET_SEED, RACE_SEED = 42, 999
RACE_RUNS = 250


@dataclass(frozen=True, slots=True)
class FleetScore:
    """One cell of table F.

    Attributes:
        policy: Name of the policy.
        harm: Chance that the release kills a machine.
        runs: R.
        halts: Runs that were halted.
        halt_low: Lower end of the 95 % interval of the chance to halt.
        halt_high: Upper end.
        harmed: Mean machines killed.
        harmed_error: Standard error of that mean.
        harmed_95: 95 % quantile.
        harmed_most: Most.
        half_minutes: Median minutes until half the fleet had it.
        most_minutes: The same for nine tenths.
        reached: Share of runs in which nine tenths got it.
    """

    policy: str
    harm: float
    runs: int
    halts: int
    halt_low: float
    halt_high: float
    harmed: float
    harmed_error: float
    harmed_95: float
    harmed_most: int
    half_minutes: float
    most_minutes: float
    reached: float


@dataclass(frozen=True, slots=True)
class RaceScore:
    """One cell of table A: harmed machines at the halt against the floor."""

    share: float
    ratio: float
    alpha: float
    full: bool
    runs: int
    floor: float
    harmed: float
    harmed_error: float
    floor_ratio: float


def fleet_cell(policy: int, harm: int, runs: int) -> FleetScore:
    """Play one policy at one harm."""
    row, fleet = POLICIES[policy], Fleet(HARMS[harm])
    # The seed is the cell's own: rows may be added without changing others.
    chance = np.random.default_rng([FLEET_SEED, harm, sum(map(ord, row.name))])
    out = row.play(fleet, runs, chance)
    low, high = interval(int(out.halted.sum()), runs)
    return FleetScore(
        policy=row.name,
        harm=fleet.harm,
        runs=runs,
        halts=int(out.halted.sum()),
        halt_low=low,
        halt_high=high,
        harmed=float(out.harmed.mean()),
        harmed_error=float(out.harmed.std() / np.sqrt(runs)),
        harmed_95=float(np.quantile(out.harmed, 0.95)),
        harmed_most=int(out.harmed.max()),
        half_minutes=float(np.median(out.half)),
        most_minutes=float(np.median(out.most)),
        reached=float((out.most < fleet.minutes).mean()),
    )


def race_cell(number: int, runs: int) -> RaceScore:
    """Run one race against the floor."""
    race = RACES[number]
    harmed = race.harmed(runs, np.random.default_rng([RACE_SEED, number]))
    mean = float(harmed.mean())
    return RaceScore(
        race.share,
        race.ratio,
        race.alpha,
        race.full,
        runs,
        race.floor,
        mean,
        float(harmed.std() / np.sqrt(runs)),
        mean / max(1.0, race.floor),
    )


def fleets(scale: float, pool: ProcessPoolExecutor) -> Sequence[FleetScore]:
    """Table F."""
    waiting = [
        pool.submit(fleet_cell, policy, harm, max(4, round(POLICIES[policy].runs * scale)))
        for harm in range(len(HARMS))
        for policy in range(len(POLICIES))
    ]
    return [future.result() for future in waiting]


def races(scale: float, pool: ProcessPoolExecutor) -> Sequence[RaceScore]:
    """Table A."""
    waiting = [
        pool.submit(race_cell, number, max(10, round(RACE_RUNS * scale)))
        for number in range(len(RACES))
    ]
    return [future.result() for future in waiting]
