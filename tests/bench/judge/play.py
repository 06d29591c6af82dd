"""Play scenarios to rules: every rule watches the very same runs."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from tests.bench.rules.catalogue import RULES
from tests.bench.rules.rule import Bools, Floats, Ints, Rule
from tests.bench.streams.scenarios import Scenario
from tests.bench.streams.stream import Stream

PART = 100
"""Runs that one process plays at once."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one rule did in R runs of one scenario, shape (R,) each.

    Attributes:
        halted: It halted.
        halt_hours: When, hours since boarding; the horizon where it did not.
        harmed: Treated machines harmed by then.
        cleared: It cleared before it halted.
        clear_hours: When, hours; the horizon where it did not.
    """

    halted: Bools
    halt_hours: Floats
    harmed: Ints
    cleared: Bools
    clear_hours: Floats


Records = dict[str, Record]
"""Rule -> what it did."""


def rules_for(scenario: Scenario) -> tuple[Rule, ...]:
    """The rules that have something to look at.

    The flows of tables B and G have no installations, signatures or ends of a schedule, and the
    tables are at alpha 1 %; without events to look at a rule would only look foolish.
    """
    if scenario.family not in ("B", "G"):
        return RULES
    able = ("firedoor .01", "B1 ", "B7", "B8", "B9", "B15", "B16")
    return tuple(rule for rule in RULES if rule.key.startswith(able))


def watch(stream: Stream, rule: Rule) -> Record:
    """Show a stream to a rule, interval by interval, and keep its first answers."""
    runs, never = stream.briefing.runs, stream.intervals
    halt, clear = np.full(runs, never), np.full(runs, never)
    at_work = rule.begin(stream.briefing)
    for number, interval in enumerate(stream.play()):
        answer = at_work.look(interval)
        halt = np.where(answer.halt, np.minimum(halt, number), halt)
        clear = np.where(answer.clear & (halt == never), np.minimum(clear, number), clear)
    last = np.minimum(halt, never - 1)
    hours = stream.tick / 60.0
    return Record(
        halted=halt < never,
        halt_hours=(last + 1) * hours,
        harmed=stream.harmed[np.arange(runs), last],
        cleared=clear < never,
        clear_hours=(np.minimum(clear, never - 1) + 1) * hours,
    )


def play(scenario: Scenario, runs: int, part: int, rules: Sequence[Rule] | None = None) -> Records:
    """Draw some runs of a scenario and show them to all rules."""
    stream = scenario.draw(runs, part)
    return {rule.key: watch(stream, rule) for rule in rules or rules_for(scenario)}


def play_all(
    scenarios: Sequence[Scenario], scale: float, least: int, pool: ProcessPoolExecutor
) -> dict[str, Records]:
    """All runs of all scenarios, a part at a time in the processes of a pool.

    Args:
        scenarios: What.
        scale: Runs, as a multiple of the scenario's own.
        least: Runs at least.
        pool: Where.
    """
    waiting = []
    for scenario in scenarios:
        runs = max(least, round(scenario.runs * scale))
        for part, first in enumerate(range(0, runs, PART)):
            size = min(PART, runs - first)
            waiting.append((scenario.name, pool.submit(play, scenario, size, part)))
    parts: dict[str, list[Records]] = {}
    for name, future in waiting:
        parts.setdefault(name, []).append(future.result())
    return {name: merged(found) for name, found in parts.items()}


def merged(parts: Sequence[Records]) -> Records:
    """The runs of several parts as one."""
    return {
        key: Record(
            *(
                np.concatenate([getattr(part[key], name) for part in parts])
                for name in Record.__slots__
            )
        )
        for key in parts[0]
    }
