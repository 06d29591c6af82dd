"""A fleet of 8.5 million machines and the ways in which products let an update into it.

The setting of table F: hourly polls, silence asked for 10 minutes after the bucket of the
installation, every harmed machine silent at once, a thousandth silent by chance. Who may be
served is the policy's business, so each policy harms its own machines; the chances are the same.
One interval is a minute.

A policy is a way of admitting and one of the rules of the benchmark. The rule is told of every
silent machine as of a failure, which flatters those whose machines would have to report it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from tests.bench.rules.firedoor import cell_of
from tests.bench.rules.rule import DAY, HOUR, Bools, Briefing, Closing, Floats, Interval, Ints, Rule

from firedoor.core import valve
from firedoor.core.cell import Test
from firedoor.core.verdict import Evidence, absorb, verdict

POLLS = HOUR
"""Minutes in which every machine polls once."""

DEADLINE = 10
"""Minutes from an installation's bucket to the question who is silent."""

CONTROLS = 9
CONTROL = 0.1


@dataclass(frozen=True, slots=True)
class Fleet:
    """The world.

    Attributes:
        harm: Chance that the release kills a machine.
        machines: N.
        quiet: Chance that a machine is silent by chance.
        minutes: Longest run.
    """

    harm: float
    machines: int = 8_500_000
    quiet: float = 0.001
    minutes: int = 4 * DAY


@dataclass(slots=True)
class Outcomes:
    """What became of R releases; minutes are the horizon where it never came to that.

    Attributes:
        harmed: Machines killed.
        halted: Whether the rule halted.
        half: Minute at which half the fleet had it.
        most: Minute at which nine tenths had it.
    """

    harmed: Ints
    halted: Bools
    half: Floats
    most: Floats


class Ramp(Protocol):
    """How many machines may hold the release."""

    def allowed(self, minute: int, passed: Bools, admitted: Ints) -> Floats:
        """Machines allowed in all, shape (R,).

        Args:
            minute: Minutes since boarding.
            passed: Where the rule has let the present stage pass.
            admitted: Machines that hold it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Stages:
    """Rings by share of the fleet, so many minutes each."""

    machines: int
    shares: tuple[float, ...]
    minutes: int

    def allowed(self, minute: int, passed: Bools, admitted: Ints) -> Floats:
        """By the clock; an hour of polls fills a ring, what is longer is its soak."""
        del passed, admitted
        stage = min(len(self.shares) - 1, minute // self.minutes)
        return np.full(1, self.shares[stage] * self.machines)


@dataclass(frozen=True, slots=True)
class Straight:
    """A share that rises linearly, or everybody at once (0 minutes)."""

    machines: int
    minutes: int

    def allowed(self, minute: int, passed: Bools, admitted: Ints) -> Floats:
        """By the clock alone."""
        del passed, admitted
        share = 1.0 if not self.minutes else min(1.0, (minute + 1) / self.minutes)
        return np.full(1, share * self.machines)


@dataclass(frozen=True, slots=True)
class Growing:
    """AWS IoT Jobs: a rate that doubles with every thousand machines, up to a most."""

    base: float = 50.0
    most: float = 10_000.0

    def allowed(self, minute: int, passed: Bools, admitted: Ints) -> Floats:
        """So many more this minute."""
        del minute, passed
        doublings = np.minimum(admitted // 1000, 20)
        rate = np.minimum(self.most, self.base * np.exp2(doublings)).astype(np.float64)
        wanted: Floats = admitted + rate
        return wanted


@dataclass(frozen=True, slots=True)
class OneFirst:
    """Nebraska: one machine until an attempt was made, then so many an hour."""

    per_hour: int

    def allowed(self, minute: int, passed: Bools, admitted: Ints) -> Floats:
        """One in the first ten minutes."""
        del passed
        if minute < DEADLINE:
            return np.ones(1)
        return np.full(len(admitted), float((minute // HOUR + 1) * self.per_hour))


@dataclass(slots=True)
class _Cohorts:
    """Installations by minute, of R releases: (machines, killed), newest last."""

    rows: list[tuple[Ints, Ints]] = field(default_factory=list)

    def matured(self, minute: int) -> tuple[Ints, Ints] | None:
        """The cohort whose deadline ends with this minute."""
        return self.rows[minute - DEADLINE] if minute >= DEADLINE else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A fixed way of admitting.

    Attributes:
        ramp: Who may be served when.
        rule: Who may stop it.
        usual_hours: Hours in which a release usually reaches everybody this way: what a rule
            with limits of its own was tuned to.
        time_outs: The product sees silence as a time-out and not as a failure.
    """

    ramp: Ramp
    rule: Rule
    usual_hours: float
    time_outs: bool = False


def roll_out(fleet: Fleet, plan: Plan, runs: int, chance: np.random.Generator) -> Outcomes:
    """Let a fixed way of admitting and a rule serve R releases."""
    n = fleet.machines
    # What earlier releases showed on their way in at the same pace.
    hourly = chance.poisson(n * fleet.quiet / plan.usual_hours, (runs, 360))
    watch = plan.rule.begin(Briefing(runs, n, 0, hourly))
    admitted, harmed = np.zeros(runs, np.int64), np.zeros(runs, np.int64)
    halted, passed = np.zeros(runs, np.bool_), np.zeros(runs, np.bool_)
    half, most = np.full((2, runs), float(fleet.minutes))
    cohorts = _Cohorts()
    nothing = np.zeros(runs, np.int64)
    for minute in range(fleet.minutes):
        polls = (n - admitted) // POLLS + (n - admitted > 0)
        room = np.maximum(0.0, plan.ramp.allowed(minute, passed, admitted) - admitted)
        fresh = np.where(halted, 0, np.minimum(polls, np.floor(room))).astype(np.int64)
        killed = chance.binomial(fresh, fleet.harm)
        admitted, harmed = admitted + fresh, harmed + killed
        cohorts.rows.append((fresh, killed))
        half = np.where((admitted >= n / 2) & (half == fleet.minutes), minute + 1, half)
        most = np.where((admitted >= 0.9 * n) & (most == fleet.minutes), minute + 1, most)
        mature, dead = cohorts.matured(minute) or (nothing, nothing)
        silent = dead + chance.binomial(mature - dead, fleet.quiet)
        beside = np.minimum(CONTROLS * mature, n - admitted)
        interval = Interval(
            start=minute,
            end=minute + 1,
            reporting=np.ones(runs, np.bool_),
            treated=mature,
            control=beside,
            crashes=silent,
            control_crashes=chance.binomial(beside, fleet.quiet),
            bucket=nothing,
            finished=mature - silent,
            failed=silent,
            overdue=silent if plan.time_outs else nothing,
            control_overdue=nothing,
            closings=[()] * runs,
        )
        halted |= watch.look(interval).halt
        if (halted | (admitted >= n)).all():
            break
    return Outcomes(harmed, halted, half, most)


def through_the_valve(
    fleet: Fleet,
    opened: Callable[[], Evidence],
    entry: "Entry",
    runs: int,
    chance: np.random.Generator,
) -> Outcomes:
    """Let the evidence itself say how many may be in flight: window B / U, sealed decks.

    Args:
        fleet: The world.
        opened: A fresh state of evidence under the rules of the boarding.
        entry: Budget and door.
        runs: R.
        chance: Of everything.
    """
    played = [_Passage(fleet, opened(), entry, chance).play() for _ in range(runs)]
    return Outcomes(
        np.array([run.harmed for run in played]),
        np.array([run.halted for run in played]),
        np.array([run.half for run in played]),
        np.array([run.most for run in played]),
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """How machines get in.

    Attributes:
        budget: B.
        soak: Minutes of calm after which a release whose bound is at most delta is open to
            everybody; None for a valve without a door, as in table F.
        growth: Slots that the budget gains for each control machine that failed.
    """

    budget: float
    soak: int | None = HOUR
    growth: float = 0.0


@dataclass(frozen=True, slots=True)
class _Deck:
    cut: int
    treated: int
    control: int
    killed: int


class _Passage:
    """One release on its way through the valve."""

    def __init__(
        self, fleet: Fleet, evidence: Evidence, entry: Entry, chance: np.random.Generator
    ) -> None:
        self.fleet, self.evidence, self.entry, self.chance = fleet, evidence, entry, chance
        self.found = verdict(evidence)
        self.decks: list[_Deck] = []
        self.admitted = self.harmed = 0
        self.debt = 0.0
        self.calm_since = 0
        self.halted = False
        self.half = self.most = float(fleet.minutes)

    def play(self) -> "_Passage":
        """Minute by minute, until nine tenths have it or the door is shut."""
        for minute in range(self.fleet.minutes):
            self._close(minute)
            if self.halted:
                break
            if self._is_open(minute):
                self._admit(math.ceil((self.fleet.machines - self.admitted) / POLLS), minute)
            elif self.entry.soak is None or self.found.harm_upper > self.evidence.rules.delta:
                self._deal(minute)
            if self.most < self.fleet.minutes:
                break
        return self

    def _close(self, minute: int) -> None:
        rules = self.evidence.rules
        while self.decks and self.decks[0].cut + DEADLINE <= minute:
            deck = self.decks.pop(0)
            for closing in _closings(deck, self.fleet.quiet, self.chance):
                cell = cell_of(closing, self.evidence.seq + 1, minute)
                self.evidence = absorb(self.evidence, cell)
                if cell.test is Test.HARM:
                    self.debt += valve.beyond_chance(
                        treated=cell.treated,
                        control=cell.control,
                        treated_harmed=cell.treated_harmed,
                        control_harmed=cell.control_harmed,
                    )
            self.halted = self.evidence.max_log_e >= -math.log(rules.alpha_harm)
            self.found = verdict(self.evidence)

    def _is_open(self, minute: int) -> bool:
        clear = self.found.harm_upper <= self.evidence.rules.delta and not self.found.warn
        if self.decks or not clear:
            self.calm_since = minute
        return self.entry.soak is not None and clear and minute - self.calm_since >= self.entry.soak

    def _deal(self, minute: int) -> None:
        sealed = sum(deck.control for deck in self.decks)
        free = self.fleet.machines - self.admitted - sealed
        room = valve.room(
            budget=self.entry.budget
            + valve.growth(self.entry.growth, self.found.matured.control_harmed),
            upper=self.found.harm_upper,
            in_flight=sum(deck.treated for deck in self.decks),
            debt=max(0.0, self.debt),
        )
        polls = min(free, free // POLLS + 1)
        deck = valve.deal(
            room=room,
            free=free,
            untreated=self.fleet.machines - self.admitted,
            active=self.fleet.machines,
            control=CONTROL,
            quiet=False,
            drawn=polls * valve.filling(1.0, DEADLINE),
            tried=valve.is_tried(
                installed=self.found.matured.installed, upper=self.found.harm_upper
            ),
        )
        if deck is None:
            return
        # A deck of a large fleet is cut after a minute; who drew until then is a random part.
        drawn = min(deck.cards, polls)
        idle = deck.cards - deck.treated
        treated = int(self.chance.hypergeometric(deck.treated, idle, drawn))
        if treated:
            killed = self._admit(treated, minute)
            self.decks.append(_Deck(minute + 1, treated, drawn - treated, killed))

    def _admit(self, treated: int, minute: int) -> int:
        killed = int(self.chance.binomial(treated, self.fleet.harm))
        self.admitted, self.harmed = self.admitted + treated, self.harmed + killed
        if self.admitted >= self.fleet.machines / 2:
            self.half = min(self.half, float(minute + 1))
        if self.admitted >= 0.9 * self.fleet.machines:
            self.most = float(minute + 1)
        return killed


def _closings(deck: _Deck, quiet: float, chance: np.random.Generator) -> list[Closing]:
    x1 = deck.killed + int(chance.binomial(deck.treated - deck.killed, quiet))
    x0 = int(chance.binomial(deck.control, quiet))
    silent = Closing(deck.cut, "silence", deck.treated, deck.control, x1, x0)
    mature = Closing(deck.cut, "any", deck.treated, deck.control, x1, x0)
    return [silent, mature] if x1 + x0 else [mature]
