"""The guarantees about chance, at length: thousands of simulated releases a setting.

``make soak`` or ``python tests/bench/soak.py [--scale F] [--only NAME ...] [--seed S]``

Each setting prints one line of JSON when it is done: what was asked, with which seed, what came
out, the bound, and whether it held. The exit code is 1 if any did not. Runs are bounded and
seeded: the same command gives the same figures. Scale 1 is for a night;
``docs/explanation/guarantees.md`` quotes shorter runs.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # a script knows its own folder only

from tests.bench.streams.floors import CONTESTS, Contest, race
from tests.worlds import World, world_four, world_one, world_three, world_two, world_zero
from tests.worlds_door import Outcome
from tests.worlds_invalid import (
    every_poll_a_control,
    first_come,
    fresh_coin,
    largest_log_e,
    persistent_hash,
)
from tests.worlds_judge import (
    Drift,
    Trial,
    alarms,
    fleet_trial,
    late_harm,
    most_alarms,
    null_trial,
    play,
    playing,
    share_bounds,
)
from tests.worlds_tally import Blind, Tally

from firedoor.core.door import State
from firedoor.core.terms import Policy

Draw = Callable[[np.random.Generator], World]
Figures = dict[str, object]

ALPHAS = (0.01, 0.001)
ALPHAS_OF_SLOW_LINES = (0.1, 0.05, *ALPHAS)
MOST_Z = 4.0
"""Standard deviations by which the treated among the harmed may differ from chance; a setting
that is fair exceeds it once in sixteen thousand times."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the report: ``work(runs, seed)`` gives the figures and whether they hold."""

    name: str
    runs: int
    seed: int
    work: Callable[[int, int], tuple[Figures, bool]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="runs, as a multiple")
    parser.add_argument("--only", nargs="*", default=[], help="settings whose name contains one")
    parser.add_argument("--seed", type=int, help="instead of each setting's own")
    asked = parser.parse_args(argv)
    held = True
    for setting in SETTINGS:
        if asked.only and not any(word in setting.name for word in asked.only):
            continue
        runs, began = max(20, round(setting.runs * asked.scale)), time.perf_counter()
        seed = setting.seed if asked.seed is None else asked.seed
        figures, ok = setting.work(runs, seed)
        line = {"soak": setting.name, "runs": runs, "seed": seed, **figures, "ok": ok}
        print(json.dumps({**line, "seconds": round(time.perf_counter() - began)}), flush=True)
        held &= ok
    return 0 if held else 1


def null(
    trial: Trial, alphas: Sequence[float] = ALPHAS, *, blind: bool = False
) -> Callable[[int, int], tuple[Figures, bool]]:
    """False alarms of a good release, at each level; blind: nobody asks who is late."""

    def work(runs: int, seed: int) -> tuple[Figures, bool]:
        drift, late, admitted = Drift(), Drift(), 0
        seen: Counter[str] = Counter()
        found: Counter[float] = Counter()
        # Cells are counted and let go: a thousand long decks do not fit into memory.
        apart = np.random.default_rng(seed)
        book = (lambda fleet, plan: Blind(fleet, plan, apart)) if blind else Tally
        for outcome in playing(trial, runs, seed, book=book):
            drift.add(outcome.cells)
            late.add(late_harm(outcome))
            watch = outcome.watch
            seen.update(long=len(watch.long), late=len(watch.late))
            seen.update(unlocked=watch.unlocked, wide=watch.wide)
            admitted += outcome.admitted
            found.update(alpha for alpha in alphas if alarms([outcome], alpha))
        figures: Figures = {
            "admitted": round(admitted / runs, 2),
            "events": drift.events,
            "z": round(drift.z, 2),
            "late_events": late.events,
            "late_z": round(late.z, 2),
            **{name: round(count / runs, 2) for name, count in seen.items()},
        }
        ok = max(abs(drift.z), abs(late.z)) <= MOST_Z
        for alpha in alphas:
            low, high = share_bounds(found[alpha], runs)
            most = most_alarms(runs, alpha)
            figures[f"alarms_at_{alpha}"] = found[alpha]
            figures[f"at_most_{alpha}"] = most
            figures[f"share_at_{alpha}_95"] = [round(low, 5), round(high, 5)]
            ok &= found[alpha] <= most
        return figures, ok

    return work


def near_the_floor(contest: Contest) -> Callable[[int, int], tuple[Figures, bool]]:
    """Machines harmed until the door shuts, as a multiple of what no test can beat."""

    def work(runs: int, seed: int) -> tuple[Figures, bool]:
        halts = race(contest, runs, seed)
        figures: Figures = {
            "floor": round(contest.floor, 2),
            "times": round(halts.ratio, 3),
            "error": round(halts.error, 3),
            "target": contest.target,
        }
        return figures, not halts.missed and halts.ratio <= contest.target

    return work


def unfair(
    rule: Callable[[World, np.random.Generator, int], np.ndarray], draw: Draw, *, fair: bool
) -> Callable[[int, int], tuple[Figures, bool]]:
    """False alarms of a bookkeeping, which has to be seen where it is unfair."""

    def work(runs: int, seed: int) -> tuple[Figures, bool]:
        chance = np.random.default_rng(seed)
        found = largest_log_e([rule(draw(chance), chance, 20) for _ in range(runs)])
        shares = {f"share_at_{a}": round(float((found >= -np.log(a)).mean()), 4) for a in ALPHAS}
        count = int((found >= -np.log(ALPHAS[0])).sum())
        seen = count > most_alarms(runs, ALPHAS[0])
        return dict(shares), seen is not fair

    return work


def fleet(
    machines: int,
    harm: float,
    silent: float,
    *,
    policy: Policy | None = None,
    debt: bool = True,
    draw: Draw | None = None,
) -> Callable[[int, int], tuple[Figures, bool]]:
    """What becomes of a fleet: whom a release harms, and where its door ends."""
    world = draw or (lambda chance: world_one(chance, machines, 4.0, silent=silent))
    trial = fleet_trial(world, machines, harm=harm, policy=policy, debt=debt)

    def work(runs: int, seed: int) -> tuple[Figures, bool]:
        outcomes = play(trial, runs, seed, by_key=True)
        harmed = [o.harmed for o in outcomes]
        ends = Counter(f"{o.state} ({o.reason})" for o in outcomes)
        budget = trial.plan.terms.budget
        figures: Figures = {
            "budget": budget,
            "harmed_mean": mean(harmed),
            "harmed_95": float(np.quantile(harmed, 0.95)),
            "harmed_max": max(harmed),
            "hours_median": round(float(np.median([o.ended for o in outcomes])) / 3.6e6, 1),
            "ends": {end: round(count / runs, 3) for end, count in sorted(ends.items())},
        }
        opened = sum(o.state is State.OPEN for o in outcomes)
        if harm == 0.0:
            return figures, opened >= 0.95 * runs
        if harm == 1.0 and debt:
            return figures, opened <= 0.05 * runs and bool(np.mean(harmed) <= 1.02 * budget + 0.05)
        return figures, True

    return work


def bound(
    machines: int, harm: float, draw: Draw, silent: float
) -> Callable[[int, int], tuple[Figures, bool]]:
    """How often U was ever below the true excess."""
    trial = null_trial(draw, machines, harm=harm)

    def work(runs: int, seed: int) -> tuple[Figures, bool]:
        outcomes: list[Outcome] = play(trial, runs, seed)
        low = sum(o.lowest_upper < harm * (1.0 - silent) for o in outcomes)
        figures: Figures = {
            "too_low": low,
            "at_most": most_alarms(runs, 0.05),
            "lowest_upper_median": round(float(np.median([o.lowest_upper for o in outcomes])), 4),
        }
        return figures, low <= most_alarms(runs, 0.05)

    return work


def mean(values: Iterable[int]) -> float:
    """Rounded for print."""
    return round(float(np.mean(list(values))), 3)


def strangers(machines: int, days: float = 3.0, *, beats: bool = False) -> Draw:
    """World 0."""
    return lambda chance: world_zero(chance, machines, days, beats=beats)


def office(machines: int, silent: float) -> Draw:
    """World 1."""
    return lambda chance: world_one(chance, machines, 3.0, silent=silent)


def misjudged(machines: int, *, short: bool) -> Draw:
    """World 0 with wrong deadlines."""

    def draw(chance: np.random.Generator) -> World:
        factor = 0.4 if short else chance.uniform(0.2, 1.2, machines)
        return world_zero(chance, machines, 3.0, beats=False).with_deadlines(factor)

    return draw


def late(machines: int, attributes: tuple[str, ...]) -> Trial:
    """World 0 with decks so small that the first ones are long, by model and site."""
    draw = strangers(machines, beats=True)
    return null_trial(draw, machines, budget=5, crashes=True, attributes=attributes)


def slow_lines(machines: int, budget: int, *, together: bool, at_once: bool = False) -> Trial:
    """World 4: who installs late is who falls silent and crashes late; or nobody is late."""

    def draw(chance: np.random.Generator) -> World:
        world = world_four(chance, machines, 3.0, beats=not together, together=together)
        return replace(world, lag=np.zeros_like(world.lag)) if at_once else world

    return null_trial(
        draw, machines, budget=budget, crashes=not together, attributes=("model", "site")
    )


def wide(machines: int, draw: Draw) -> Trial:
    """So large a fleet that many decks have fewer than nine controls for each treated machine."""
    return null_trial(draw, machines, budget=20, attributes=("model", "site"))


B5 = Policy(budget=5, alpha_harm=0.001, soak_ms=0)
TIMETABLE: Draw = lambda chance: world_two(chance, 600, 2.0)  # noqa: E731 - three of a kind
QUIET_LINES: Draw = lambda chance: world_four(chance, 10_000, 1.0, beats=False, often=1.0)  # noqa: E731
GUESTS: Draw = lambda chance: world_three(chance, 300, 3.0)  # noqa: E731

SETTINGS = (
    *(
        Setting(f"fleet N={n} h={h} p0={p0}", 300, 1000 + n, fleet(n, h, p0))
        for n in (1, 3, 10, 30, 50, 300)
        for h in (0.0, 0.05, 0.3, 1.0)
        for p0 in (0.0, 0.01)
    ),
    *(
        Setting(
            f"large budget N={n} B={b} h={h} p0={p0}",
            300,
            2000 + n,
            fleet(n, h, p0, policy=Policy(budget=b)),
        )
        for n, b in ((6, 5), (12, 3), (12, 6), (30, 10), (100, 50))
        for h in (0.0, 0.3, 1.0)
        for p0 in (0.0, 0.01)
    ),
    *(
        Setting(f"brick N={n} B=5", 1000, 77, fleet(n, 1.0, 0.01, policy=B5)) for n in (30, 300)
    ),
    *(
        Setting(
            f"brick of strangers N={n} B=5 debt={debt}",
            300,
            7,
            fleet(n, 1.0, 0.0, policy=B5, debt=debt, draw=strangers(n, 2.0)),
        )
        for n in (300, 600)
        for debt in (True, False)
    ),
    *(
        Setting(f"bound office N=300 h={h} p0={p0}", 1000, 6, bound(300, h, office(300, p0), p0))
        for h in (0.02, 0.05, 0.2)
        for p0 in (0.0, 0.01)
    ),
    Setting("unfair every poll a control", 100, 409,
            unfair(every_poll_a_control, strangers(1500), fair=False)),
    Setting("fair coin among strangers", 100, 409, unfair(fresh_coin, strangers(1500), fair=True)),
    Setting("unfair persistent hash", 300, 409, unfair(persistent_hash, GUESTS, fair=False)),
    Setting("fair coin among guests", 300, 409, unfair(fresh_coin, GUESTS, fair=True)),
    Setting("unfair first come", 300, 409, unfair(first_come, TIMETABLE, fair=False)),
    Setting("fair coin by the clock", 300, 409, unfair(fresh_coin, TIMETABLE, fair=True)),
    Setting("null timetable N=600", 2000, 310,
            null(null_trial(lambda chance: world_two(chance, 600, 3.0), 600))),
    Setting("null guests N=600", 2000, 311,
            null(null_trial(lambda chance: world_three(chance, 600, 3.0), 600))),
    Setting("null two signals N=600", 2000, 302,
            null(null_trial(strangers(600, beats=True), 600, crashes=True))),
    Setting("null deadlines x 0.4 N=600", 1000, 303,
            null(null_trial(misjudged(600, short=True), 600))),
    Setting("null deadlines random N=600", 1000, 304,
            null(null_trial(misjudged(600, short=False), 600))),
    *(
        Setting(f"null late harm N={n} B=5", 2000, 500 + n, null(late(n, ("model", "site"))))
        for n in (600, 3000)
    ),
    *(
        Setting(
            f"null {'one slow line' if together else 'slow lines'} N={n} B={b}",
            runs,
            900 + n,
            null(slow_lines(n, b, together=together), ALPHAS_OF_SLOW_LINES),
        )
        for n, b, together, runs in (
            (600, 5, False, 2000),
            (600, 5, True, 8000),
            (200, 1, True, 4000),
        )
    ),
    Setting("null one line, nobody asks who is late N=600 B=5", 8000, 1500,
            null(slow_lines(600, 5, together=True), ALPHAS_OF_SLOW_LINES, blind=True)),
    Setting("null one line, downloads at once N=600 B=5", 8000, 1500,
            null(slow_lines(600, 5, together=True, at_once=True), ALPHAS_OF_SLOW_LINES)),
    Setting("null wide windows, slow lines N=10000 B=20", 1000, 910,
            null(wide(10_000, QUIET_LINES), ALPHAS_OF_SLOW_LINES)),
    Setting("null wide windows, strangers N=8000 B=20", 1000, 911,
            null(wide(8_000, strangers(8_000, 1.5)), ALPHAS_OF_SLOW_LINES)),
    Setting("null late harm in one stream N=600 B=5", 2000, 501, null(late(600, ()))),
    Setting("null strangers N=600", 10_000, 201, null(null_trial(strangers(600), 600))),
    *(
        Setting(
            f"floor w={c.share} x{c.ratio} alpha={c.alpha} {'all signals' if c.full else 'one'}",
            10_000,
            20261122,
            near_the_floor(c),
        )
        for c in CONTESTS
    ),
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
