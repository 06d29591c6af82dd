"""Whole policies for table F: a way of admitting and a rule, as products combine them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tests.bench.rules.catalogue import RULES
from tests.bench.rules.firedoor import shipped_rules
from tests.bench.rules.rollouts import AwsJob, Tally, Threshold
from tests.bench.rules.rule import DAY, HOUR, Briefing, Rule
from tests.bench.streams.fleet import (
    Entry,
    Fleet,
    Growing,
    OneFirst,
    Outcomes,
    Plan,
    Ramp,
    Stages,
    Straight,
    roll_out,
    through_the_valve,
)

from firedoor.core.terms import Policy as Words
from firedoor.core.verdict import start

MACHINES = 8_500_000
THIN = (0.001, 0.01, 0.1, 1.0)
PHASES = tuple(k / 10 for k in range(1, 11))

OUR_POLICY = "firedoor, B = 20"

Play = Callable[[Fleet, int, np.random.Generator], Outcomes]


@dataclass(frozen=True, slots=True)
class FleetPolicy:
    """A row of table F.

    Attributes:
        name: Name of the row.
        says: How it admits and when it halts.
        play: Plays R releases.
        runs: Runs at scale 1.
    """

    name: str
    says: str
    play: Play
    runs: int = 100


def _rule(key: str) -> Rule:
    return next(rule for rule in RULES if rule.key == key)


def _ramped(ramp: Ramp, rule: Rule, hours: float = 1.0, *, time_outs: bool = False) -> Play:
    plan = Plan(ramp, rule, hours, time_outs)
    return lambda fleet, runs, chance: roll_out(fleet, plan, runs, chance)


def _valve(entry: Entry) -> Play:
    def play(fleet: Fleet, runs: int, chance: np.random.Generator) -> Outcomes:
        words = Words(budget=int(entry.budget))
        rules = shipped_rules(fleet.machines, words, reporting=False)
        return through_the_valve(fleet, lambda: start(rules), entry, runs, chance)

    return play


def _threshold(percent: float) -> Rule:
    def begin(briefing: Briefing) -> Threshold:
        return Threshold(Tally.begin(briefing), percent)

    return Rule(f"harmed share > {percent:g} %", "after 20 outcomes", begin)


POLICIES: tuple[FleetPolicy, ...] = (
    FleetPolicy(OUR_POLICY, "valve and door as shipped", _valve(Entry(20.0)), 60),
    FleetPolicy("firedoor, B = 200", "the same, budget 200", _valve(Entry(200.0)), 60),
    FleetPolicy("valve alone, B = 20", "no door: table F's setting", _valve(Entry(20.0, None)), 40),
    FleetPolicy("valve alone, B = 200", "the same, budget 200", _valve(Entry(200.0, None)), 60),
    FleetPolicy(
        "valve alone, B = 20, growth 1 %",
        "the budget grows by 1 % of the controls that fail",
        _valve(Entry(20.0, None, 0.01)),
        60,
    ),
    FleetPolicy(
        "valve alone, B = 20, growth 10 %",
        "by 10 % of them",
        _valve(Entry(20.0, None, 0.1)),
        60,
    ),
    FleetPolicy(
        "rings .1/1/10/100 %, 1 %",
        "an hour each; halts on more than 1 % harmed",
        _ramped(Stages(MACHINES, THIN, HOUR), _threshold(1.0)),
    ),
    FleetPolicy(
        "the same, 24 h",
        "a day each",
        _ramped(Stages(MACHINES, THIN, DAY), _threshold(1.0)),
    ),
    FleetPolicy(
        "Ubuntu",
        "10 % more every 6 h; B1",
        _ramped(Stages(MACHINES, PHASES, 6 * HOUR), _rule("B1 Ubuntu rate"), 60.0),
    ),
    FleetPolicy("LVFS", "everybody at once; B3", _ramped(Straight(MACHINES, 0), _rule("B3 LVFS"))),
    FleetPolicy(
        "hawkBit",
        "groups of .1/1/10/100 %, an hour each; B4",
        _ramped(Stages(MACHINES, THIN, HOUR), _threshold(50.0)),
    ),
    FleetPolicy(
        "Nebraska",
        "one first, then 1 % an hour; time-outs at the cap, B5",
        _ramped(OneFirst(MACHINES // 100), _rule("B5 Nebraska"), 100.0, time_outs=True),
    ),
    FleetPolicy(
        "Argo",
        "20 % more every hour; B7 with limit 3",
        _ramped(Stages(MACHINES, (0.2, 0.4, 0.6, 0.8, 1.0), HOUR), _rule("B7 Argo, limit 3"), 5.0),
    ),
    FleetPolicy(
        "Flagger",
        "5 % more every hour up to 50 %; B8 with threshold 10",
        _ramped(
            Stages(MACHINES, (*(k / 20 for k in range(1, 11)), 1.0), HOUR),
            _rule("B8 Flagger, 10"),
            20.0,
        ),
    ),
    FleetPolicy(
        "FCOS", "linear over 48 h; B10", _ramped(Straight(MACHINES, 2 * DAY), _rule("B10 FCOS"))
    ),
    FleetPolicy(
        "AWS IoT Jobs",
        "50 a minute, doubling with every 1000, at most 10 000; B11",
        _ramped(Growing(), Rule("B11", "as B11", AwsJob.begin)),
    ),
    FleetPolicy(
        "Autopatch",
        "rings of 1/10/100 %, a day each; B13 at 5 %",
        _ramped(Stages(MACHINES, (0.01, 0.1, 1.0), DAY), _threshold(5.0)),
    ),
    FleetPolicy(
        "greenboot, NervesHub",
        "everybody at once; each machine for itself (B6, B14)",
        _ramped(Straight(MACHINES, 0), _rule("B14 greenboot")),
    ),
    FleetPolicy(
        "everybody, B16 hourly",
        "everybody at once; the exact test every hour",
        _ramped(Straight(MACHINES, 0), _rule("B16 exact, hourly")),
    ),
)

HARMS = (0.0, 1.0, 0.3, 0.05, 0.01, 0.001)
