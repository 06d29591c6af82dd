"""From what the rules did to the figures that are quoted, with their uncertainty."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from tests.bench.judge.play import Record, Records
from tests.bench.rules.rule import Floats
from tests.bench.rules.textbook import binomial_tail
from tests.bench.streams.scenarios import Scenario

from firedoor.core.evidence.floor import harmed_floor

FLOOR_ALPHA = 0.01
"""Level of the floors in tables B and G, where the judge runs at alpha .01."""

_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Score:
    """One cell of the benchmark: a scenario and a rule.

    Attributes:
        runs: R.
        halts: Runs in which it halted.
        halt_low: Lower end of the 95 % interval of the chance to halt (Clopper and Pearson).
        halt_high: Upper end.
        halt_hours: Median hours to the halt, None if it never halted.
        harmed: Mean machines harmed before the halt, or in all where there was none.
        harmed_error: Standard error of that mean.
        harmed_95: 95 % quantile.
        cleared: Share of runs that it cleared.
        clear_hours: Median hours to clearance, None if it never cleared.
        floor_ratio: ``harmed`` over the information floor, None where there is none.
    """

    runs: int
    halts: int
    halt_low: float
    halt_high: float
    halt_hours: float | None
    harmed: float
    harmed_error: float
    harmed_95: float
    cleared: float
    clear_hours: float | None
    floor_ratio: float | None

    @property
    def halt_rate(self) -> float:
        """Share of runs in which it halted."""
        return self.halts / self.runs


Scores = Mapping[str, Mapping[str, Score]]
"""Scenario -> rule -> score."""


def interval(hits: int, runs: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a chance."""

    def solved(x: int, level: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            tail = binomial_tail(np.array([x]), np.array([runs]), np.array([middle]))[0]
            low, high = (middle, high) if tail < level else (low, middle)
        return (low + high) / 2.0

    low = 0.0 if hits == 0 else solved(hits, 0.025)
    high = 1.0 if hits == runs else solved(hits + 1, 0.975)
    return low, high


def scored(scenario: Scenario, record: Record) -> Score:
    """Sum up what a rule did in a scenario."""
    runs = len(record.halted)
    halts = int(record.halted.sum())
    low, high = interval(halts, runs)
    harmed = record.harmed.astype(np.float64)
    mean = float(harmed.mean())
    floor = None
    if scenario.floor is not None:
        ratio, share = scenario.floor
        floor = mean / max(1.0, harmed_floor(FLOOR_ALPHA, ratio, share))
    return Score(
        runs=runs,
        halts=halts,
        halt_low=low,
        halt_high=high,
        halt_hours=_median(record.halt_hours[record.halted]),
        harmed=mean,
        harmed_error=float(harmed.std() / math.sqrt(runs)),
        harmed_95=float(np.quantile(harmed, 0.95)),
        cleared=float(record.cleared.mean()),
        clear_hours=_median(record.clear_hours[record.cleared]),
        floor_ratio=floor,
    )


def score_all(scenarios: Sequence[Scenario], played: Mapping[str, Records]) -> Scores:
    """All cells that were played."""
    return {
        scenario.name: {
            key: scored(scenario, record) for key, record in played[scenario.name].items()
        }
        for scenario in scenarios
        if scenario.name in played
    }


@dataclass(frozen=True, slots=True)
class Loss:
    """A cell in which another rule did better than a setting of ours.

    Attributes:
        scenario: Name of the harmful scenario.
        ours: Our setting.
        rule: The rule that harmed fewer machines and had no higher rate of false halts there.
        harmed_ours: Mean machines harmed, ours.
        harmed: Mean machines harmed, theirs.
        false_ours: Our false halts per 1000 in the healthy world of the scenario.
        false: Theirs.
        worst: Their false halts per 1000 in the healthy world they like least.
        worst_world: Name of that world.
        everywhere: In every healthy world they halt no more often than we do in our worst.
    """

    scenario: str
    ours: str
    rule: str
    harmed_ours: float
    harmed: float
    false_ours: float
    false: float
    worst: float
    worst_world: str
    everywhere: bool


def losses(scenarios: Sequence[Scenario], scores: Scores, ours: Sequence[str]) -> list[Loss]:
    """Cells where a rule with no higher false-halt rate harms fewer machines, beyond chance.

    The difference of the means has to exceed two standard errors of either mean together: the
    runs are the same, so that is a cautious measure of chance.
    """
    healthy = [s.name for s in scenarios if s.is_healthy and s.randomised and s.name in scores]
    found: list[Loss] = []
    for scenario in scenarios:
        played = scores.get(scenario.name)
        null = scores.get(scenario.healthy)
        if played is None or null is None or scenario.is_healthy:
            continue
        for mine in ours:
            if mine not in played:
                continue
            for key, theirs in played.items():
                apart = 2.0 * math.hypot(theirs.harmed_error, played[mine].harmed_error)
                if (
                    key in ours
                    or null[key].halt_rate > null[mine].halt_rate
                    or theirs.harmed >= played[mine].harmed - apart
                ):
                    continue
                worst_rate, where = worst_world(scores, healthy, key)
                our_worst, _ = worst_world(scores, healthy, mine)
                found.append(
                    Loss(
                        scenario.name,
                        mine,
                        key,
                        played[mine].harmed,
                        theirs.harmed,
                        1000.0 * null[mine].halt_rate,
                        1000.0 * null[key].halt_rate,
                        1000.0 * worst_rate,
                        where,
                        worst_rate <= our_worst,
                    )
                )
    return found


def worst_world(scores: Scores, healthy: Sequence[str], key: str) -> tuple[float, str]:
    """Largest false-halt rate of a rule over healthy worlds, and where."""
    return max((scores[world][key].halt_rate, world) for world in healthy if key in scores[world])


def as_json(scores: Scores) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Every cell by its names."""
    return {
        scenario: {key: asdict(score) for key, score in row.items()}
        for scenario, row in scores.items()
    }


def _median(hours: Floats) -> float | None:
    return float(np.median(hours)) if len(hours) else None
