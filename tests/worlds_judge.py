"""Many doors judged side by side, and what a share of false alarms may be.

One row of ``core.evidence`` is one release; the rows never look at each other, so this gives what
``core.verdict`` gives for each alone, and a test says so.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from tests.worlds import Floats, Ints, World
from tests.worlds_door import (
    Book,
    Dealer,
    Fleet,
    Judged,
    Outcome,
    Plan,
    Run,
    keyed,
    opening,
    shuffler,
)
from tests.worlds_tally import Tally

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import clearance, harm, merge
from firedoor.core.evidence.clearance import Clearance
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.harm import Harm
from firedoor.core.evidence.mixture import Wealth, log_sum
from firedoor.core.signal import CRASH, SILENCE
from firedoor.core.stratum import values_of
from firedoor.core.stream import GROUPS
from firedoor.core.terms import Policy, resolve
from firedoor.core.verdict import Rules
from firedoor.services.boarding import rules_for

_Columns: TypeAlias = tuple[Floats, Ints, Floats, Ints]
_Group: TypeAlias = tuple[str, str, str]
_AT_ONCE = 100
_CHANCE = 0.001  # of a failing test where the error rate is exactly alpha


@dataclass(frozen=True, slots=True)
class Trial:
    """What is repeated.

    Attributes:
        world: Draws a world.
        plan: How a run is played.
        rules: How it is judged.
        shuffles: Deals to one world. Validity holds given the world, so runs may share it.
    """

    world: Callable[[np.random.Generator], World]
    plan: Plan
    rules: Rules
    shuffles: int = 4


def null_trial(
    world: Callable[[np.random.Generator], World],
    machines: int,
    *,
    budget: int = 20,
    harm: float = 0.0,
    crashes: bool = False,
    attributes: tuple[str, ...] = (),
    ladder: bool = True,
) -> Trial:
    """A release that nobody stops or opens, so that the judge looks as often as it can.

    Args:
        world: Draws a world.
        machines: N.
        budget: B.
        harm: Chance that an install silences its machine.
        crashes: Whether reported crashes are a second stream, merged by the product.
        attributes: By which localised harm is looked for.
        ladder: Whether decks may be long.
    """
    never = 1e-6  # a delta that no fleet here can exclude
    terms = resolve(Policy(budget=budget, alpha_harm=0.001, delta=never, soak_ms=0), machines)
    shares = ((SILENCE, 0.8), (CRASH, 0.5)) if crashes else ((SILENCE, 1.0),)
    rules = Rules(0.001, terms.alpha_warn, terms.alpha_clear, never, shares, attributes=attributes)
    return Trial(world, Plan(terms, harm=harm, stops=False, ladder=ladder), rules)


def fleet_trial(
    world: Callable[[np.random.Generator], World],
    machines: int,
    *,
    harm: float,
    policy: Policy | None = None,
    debt: bool = True,
) -> Trial:
    """A release on its way through a fleet, under the terms that the product resolves for it."""
    terms = resolve(policy or Policy(), machines)
    return Trial(world, Plan(terms, harm=harm, debt=debt), rules_for(terms, reporting=0))


def play(trial: Trial, runs: int, seed: int, *, by_key: bool = False) -> list[Outcome]:
    """All of :func:`playing`."""
    return list(playing(trial, runs, seed, by_key=by_key))


def playing(
    trial: Trial,
    runs: int,
    seed: int,
    *,
    by_key: bool = False,
    at_once: int = _AT_ONCE,
    book: Callable[[Fleet, Plan], Book] = Tally,
) -> Iterator[Outcome]:
    """Repeat a trial.

    Args:
        trial: What.
        runs: How often.
        seed: Of everything.
        by_key: Deal by the product's keyed hash; otherwise by the generator, which is faster.
        at_once: Runs that are judged side by side: more are faster, and hold more in memory.
        book: Who keeps the books.
    """
    chance, done = np.random.default_rng(seed), 0
    while done < runs:
        doors: list[Run] = []
        world = trial.world(chance)
        for number in range(min(at_once, runs - done)):
            if number and number % trial.shuffles == 0:
                world = trial.world(chance)
            fleet = Fleet.of(world)
            secret = f"{seed}/{done + number}".encode()
            dealer: Dealer = keyed(secret) if by_key else shuffler(chance)
            doors.append(opening(fleet, book(fleet, trial.plan), trial.plan, dealer, chance))
        yield from judge_together(trial.rules, doors)
        done += len(doors)


def alarms(outcomes: Sequence[Outcome], alpha: float) -> int:
    """Runs whose E ever reached 1/alpha."""
    return sum(outcome.max_log_e >= -math.log(alpha) for outcome in outcomes)


@dataclass(slots=True)
class Drift:
    """What chance expected of the cards of the harmed, and what came: a martingale.

    A rule that leans towards an arm by a hair shows here long before it shows in alarms: every
    event of every run counts.

    Attributes:
        events: Harmed machines.
        above: Treated among them, above what chance expected, given all that was known before.
        variance: Of that, if it is chance alone.
    """

    events: int = 0
    above: float = 0.0
    variance: float = 0.0

    def add(self, cells: Iterable[Cell]) -> None:
        """Take harm cells in; one without a control compares nothing."""
        for cell in cells:
            total = cell.treated + cell.control
            if cell.test is not Test.HARM or not cell.treated or not cell.control:
                continue
            events, w = cell.treated_harmed + cell.control_harmed, cell.treated / total
            self.events += events
            self.above += cell.treated_harmed - events * w
            self.variance += events * w * (1.0 - w) * (total - events) / max(1, total - 1)

    @property
    def z(self) -> float:
        """Standard deviations from what chance expected."""
        return self.above / math.sqrt(self.variance) if self.variance else 0.0


def late_harm(outcome: Outcome) -> Iterator[Cell]:
    """Harm cells of long decks after a class of theirs has matured.

    From then on somebody who asks who has not installed knows something of the labels.
    """
    matured: set[int] = set()
    for cell in outcome.cells:
        if cell.test is Test.CLEARANCE:
            matured.add(cell.deck)
        elif cell.test is Test.HARM and cell.deck in matured & outcome.watch.long:
            yield cell


def most_alarms(runs: int, alpha: float) -> int:
    """Most alarms that a test of level alpha gives in this many runs, but for one in a thousand."""
    term, total, k = (1.0 - alpha) ** runs, 0.0, 0
    while True:
        total += term
        if total >= 1.0 - _CHANCE:
            return k
        term *= (runs - k) / (k + 1) * alpha / (1.0 - alpha)
        k += 1


def share_bounds(count: int, runs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Shares that so many of the runs leave possible (Clopper and Pearson 1934)."""
    tail = (1.0 - confidence) / 2.0
    low, high = 0.0, 1.0
    if count > 0:
        low = _where(lambda share: 1.0 - _at_most(count - 1, runs, share) >= tail)
    if count < runs:
        high = _where(lambda share: _at_most(count, runs, share) <= tail)
    return low, high


def _at_most(count: int, runs: int, share: float) -> float:
    """Chance of no more than so many of the runs, each with this chance."""
    ways = [
        math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1)
        for k in range(count + 1)
    ]
    hit, miss = math.log(share), math.log1p(-share)
    return math.fsum(math.exp(w + k * hit + (runs - k) * miss) for k, w in enumerate(ways))


def _where(holds: Callable[[float], bool]) -> float:
    """Smallest share at which something holds that then goes on holding."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def judge_together(rules: Rules, runs: Sequence[Run]) -> list[Outcome]:
    """Play runs side by side, their evidence in the rows of ``core.evidence``."""
    outcomes: dict[int, Outcome] = {}
    bench = _Bench(rules, len(runs))
    waiting: dict[int, deque[Cell]] = {}
    for row, run in enumerate(runs):
        _advance(row, run, None, waiting, outcomes)
    while waiting:
        rows = list(waiting)
        while busy := [row for row in rows if waiting[row]]:
            bench.absorb(busy, [waiting[row].popleft() for row in busy])
        for row, judged in zip(rows, bench.judged(rows), strict=True):
            del waiting[row]
            _advance(row, runs[row], judged, waiting, outcomes)
    return [outcomes[row] for row in range(len(runs))]


def _advance(
    row: int,
    run: Run,
    judged: Judged | None,
    waiting: dict[int, deque[Cell]],
    outcomes: dict[int, Outcome],
) -> None:
    try:
        waiting[row] = deque(next(run) if judged is None else run.send(judged))
    except StopIteration as end:
        outcomes[row] = end.value


class _Bench:
    """Evidence of many releases under one set of rules."""

    def __init__(self, rules: Rules, runs: int) -> None:
        self._rules = rules
        self._shares = {signal: share for signal, share in rules.shares if share > 0.0}
        self._signals = list(self._shares)
        self._runs = runs
        self._harm = {signal: _columns(harm.start(runs)) for signal in self._signals}
        self._groups: dict[_Group, tuple[_Columns, Floats]] = {}
        fresh = clearance.start(runs, rules.delta)
        self._clearance = [
            np.array(part)
            for part in (fresh.intercepts, fresh.slopes, fresh.control, fresh.control_harmed)
        ]
        self._upper = np.ones(runs)
        self._stale = np.zeros(runs, np.bool_)
        self._log_e = np.zeros((runs, len(self._signals)))
        self._now = np.zeros(runs)
        self._max = np.zeros(runs)

    def absorb(self, rows: Sequence[int], cells: Sequence[Cell]) -> None:
        for signal in self._signals:
            here = [
                (row, cell)
                for row, cell in zip(rows, cells, strict=True)
                if cell.test is Test.HARM and cell.signal == signal
            ]
            if here:
                self._absorb_harm(signal, [r for r, _ in here], [c for _, c in here])
        here = [(r, c) for r, c in zip(rows, cells, strict=True) if c.test is Test.CLEARANCE]
        if here:
            index = np.array([r for r, _ in here])
            before = Clearance(self._rules.delta, *(part[index] for part in self._clearance))
            after = clearance.absorb(before, _counts([c for _, c in here]))
            parts = (after.intercepts, after.slopes, after.control, after.control_harmed)
            for mine, part in zip(self._clearance, parts, strict=True):
                mine[index] = part
            self._stale[index] = True

    def judged(self, rows: Sequence[int]) -> list[Judged]:
        index = np.array(rows)
        stale = index[self._stale[index]]
        state = Clearance(self._rules.delta, *(part[stale] for part in self._clearance))
        self._upper[stale] = clearance.upper(state, self._rules.alpha_clear)
        self._stale[stale] = False
        return [
            Judged(u, e, m)
            for u, e, m in zip(
                self._upper[index].tolist(),
                self._now[index].tolist(),
                self._max[index].tolist(),
                strict=True,
            )
        ]

    def _absorb_harm(self, signal: str, rows: list[int], cells: list[Cell]) -> None:
        index = np.array(rows)
        log_e = _absorb(self._harm[signal], index, cells)
        if self._rules.attributes:
            self._absorb_groups(signal, rows, cells)
            groups = self._spread(signal, index)
            log_e = np.logaddexp(np.log1p(-GROUPS) + log_e, np.log(GROUPS) + groups)
        self._log_e[index, self._signals.index(signal)] = log_e
        self._now[index] = [
            merge.product(zip(row, self._shares.values(), strict=True))
            for row in self._log_e[index].tolist()
        ]
        self._max[index] = np.maximum(self._max[index], self._now[index])

    def _absorb_groups(self, signal: str, rows: list[int], cells: list[Cell]) -> None:
        members: dict[_Group, list[tuple[int, Cell]]] = {}
        for row, cell in zip(rows, cells, strict=True):
            for attribute, value in values_of(cell.stratum).items():
                if attribute in self._rules.attributes:
                    members.setdefault((signal, attribute, value), []).append((row, cell))
        for group, some in members.items():
            fresh = (_columns(harm.start(self._runs)), np.zeros(self._runs))
            columns, log_e = self._groups.setdefault(group, fresh)
            index = np.array([row for row, _ in some])
            log_e[index] = _absorb(columns, index, [cell for _, cell in some])

    def _spread(self, signal: str, index: Ints) -> Floats:
        """Log of E of these rows' groups, merged as ``core.evidence.merge`` does one by one."""
        # A group of other rows alone has E = 1 here, and changes nothing.
        merged = []
        for attribute in self._rules.attributes:
            log_e = np.array(
                [
                    log_e[index]
                    for (of, named, _), (_, log_e) in self._groups.items()
                    if (of, named) == (signal, attribute)
                ]
            ).reshape(-1, len(index))
            bets = [np.logaddexp(np.log1p(-u), np.log(u) + log_e) for u in merge.SPREADS]
            merged.append(log_sum(np.array([bet.sum(axis=0) for bet in bets]), axis=0))
        spread: Floats = log_sum(np.array(merged), axis=0)
        return spread - float(np.log(len(merge.SPREADS) * len(merged)))


def _absorb(columns: _Columns, index: Ints, cells: Sequence[Cell]) -> Floats:
    """Take a cell into each of these rows; return their ln E."""
    before = Harm(
        Wealth(columns[0][index], columns[1][index]), Wealth(columns[2][index], columns[3][index])
    )
    epochs = np.array([cell.epoch for cell in cells])
    after = harm.absorb(before, _counts(cells), epochs)
    for column, part in zip(columns, _columns(after), strict=True):
        column[index] = part
    return harm.log_e(after)


def _columns(state: Harm) -> _Columns:
    """Writable copies of a state's arrays."""
    plain, linear = state.plain, state.linear
    return (
        plain.placed.copy(),
        plain.epochs.copy(),
        linear.placed.copy(),
        linear.epochs.copy(),
    )


def _counts(cells: Sequence[Cell]) -> Counts:
    table = np.array(
        [(c.treated, c.control, c.treated_harmed, c.control_harmed, c.installed) for c in cells],
        np.int64,
    )
    return Counts.of(*table.T)
