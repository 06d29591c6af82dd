"""Simulated worlds: everything that happens to machines whether or not they hold a release.

A world is drawn before any card: who polls when, who is away, who crashes, and which deadline
each machine's own past gives it (by ``core.silence``). Under the null hypothesis nothing in it
depends on a card, so one world may be dealt to many times. Harm is the only thing that reacts to
cards, and it lives in ``worlds_door``.

    world 0   a fleet of strangers: gaps from minutes to a day, laptops, flaky machines, sites that
              lose power, glitches that crash half a site, joiners and leavers
    world 1   an office: everybody polls about hourly; a chosen share is silent by chance
    world 2   a timetable: each site polls at its own minute of the hour, and sites differ
    world 3   a house with guests: hourly polls; a fifth comes for an hour now and then
    world 4   slow lines: a third installs minutes to hours after its card, and is often dark

Times are milliseconds from the boarding; the worlds of ``cohorts.md`` 3 and 4 are their models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from firedoor.core import silence
from firedoor.core.stratum import stratum_of

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SILENCE_MIN = 5 * MINUTE

NEVER = 1 << 39
_SHIFT = 40  # a machine's times lie below 2^40 ms, so one sorted array serves all machines
_GAPS = silence.GAPS_KEPT


@dataclass(frozen=True)
class World:
    """One draw of a world.

    Attributes:
        machines: N.
        end: Length, ms.
        at: Times of all polls, ascending, shape (P,).
        who: Machine of each, shape (P,).
        cls: Deadline class of each machine, shape (N,).
        seasoned: When each machine may first draw a card, shape (N,).
        gap: Median time between two sessions of a machine, ms.
        beating: Whose crashes would be reported, shape (N,).
        crash_at: Times of crashes, shape (C,).
        crash_who: Machines of the crashes, shape (C,).
        stratum: Position of each machine's stratum in ``strata``, shape (N,).
        strata: Texts of the strata.
        lag: A machine has all bytes at its first poll so long after its card, ms, shape (N,);
            with its card where it is 0.
    """

    machines: int
    end: int
    at: Ints
    who: Ints
    cls: Ints
    seasoned: Ints
    gap: float
    beating: Bools
    crash_at: Ints
    crash_who: Ints
    stratum: Ints
    strata: tuple[str, ...]
    lag: Ints

    @cached_property
    def polls(self) -> Ints:
        """(machine, time) in one sorted array, with a sentinel at its end."""
        return _keys(self.who, self.at, self.machines)

    @cached_property
    def crashes(self) -> Ints:
        """(machine, time) of the crashes, likewise."""
        return _keys(self.crash_who, self.crash_at, self.machines)

    def next_poll(self, who: Ints, after: int | Ints) -> Ints:
        """First poll of each machine after a moment, or ``NEVER``; shape of ``who``."""
        return _next(self.polls, who, after)

    def next_crash(self, who: Ints, after: int | Ints) -> Ints:
        """First crash of each machine after a moment, or ``NEVER``."""
        return _next(self.crashes, who, after)

    def installs(self, who: Ints, at: Ints) -> Ints:
        """When machines that draw treated cards have all bytes, or ``NEVER``; shape of ``who``."""
        lag = self.lag[who]
        return np.where(lag > 0, self.next_poll(who, at + lag - 1), at)

    def deadline(self, cls: int) -> int:
        """D of a class, ms."""
        return silence.class_deadline(cls, SILENCE_MIN)

    def with_deadlines(self, factor: Floats | float) -> "World":
        """The same world, its deadlines wrongly multiplied; shape (N,) or a scalar."""
        wrong = np.array([self.deadline(int(c)) for c in self.cls]) * factor
        return replace(self, cls=_classes(wrong.tolist()))


def world_zero(chance: np.random.Generator, machines: int, days: float, *, beats: bool) -> World:
    """A fleet of strangers.

    Args:
        chance: Where the draw comes from.
        machines: N.
        days: Length.
        beats: Half the machines report their crashes; without, nobody does.
    """
    end = int(days * DAY)
    minutes = end // MINUTE + 1
    site = chance.integers(0, 20, machines)
    kind = chance.choice(3, machines, p=[0.4, 0.4, 0.2])  # server, laptop, flaky
    laptop, flaky = kind == 1, kind == 2
    gap = 3.0 * np.exp(chance.uniform(0.0, np.log(480.0), machines))  # 3 min to a day
    gap[flaky] = np.maximum(1.0, 0.3 * gap[flaky])

    up = np.ones((machines, minutes), np.bool_)
    minute = np.arange(minutes)
    wakes = chance.uniform(0, 1440, machines)
    clock = (minute[None, :] - wakes[laptop, None]) % 1440
    day = (minute[None, :] - wakes[laptop, None]) // 1440
    off = chance.random((machines, int(days) + 3)) < 0.12
    rows = np.flatnonzero(laptop)[:, None]
    up[laptop] = (clock < 600) & ~off[rows, day.astype(np.int64) + 1]
    for place, begin, length in _spells(chance, 20, days, per_day=0.5, hours=(0.5, 6.0)):
        up[site == place, begin : begin + length] = False
    for index, begin, length in _spells(chance, int(flaky.sum()), days, 2.0, (1.0, 16.0)):
        up[np.flatnonzero(flaky)[index], begin : begin + length] = False
    joins = np.where(chance.random(machines) < 0.2, chance.integers(0, minutes, machines), 0)
    leaves = np.where(chance.random(machines) < 0.1, chance.integers(0, minutes, machines), minutes)
    up &= (minute >= joins[:, None]) & (minute < leaves[:, None])

    at, who = _polls(chance, gap, end, up)
    past = gap[:, None] * chance.uniform(0.7, 1.3, (machines, _GAPS))
    # A laptop's past has nights in it, a flaky one's its dark hours: rarely, if it polls often.
    night = chance.random(past.shape) < np.minimum(0.3, gap / 600.0)[:, None]
    past += np.where(night & laptop[:, None], 840.0, 0.0)
    past += np.where(night & flaky[:, None], chance.uniform(60, 480, past.shape), 0.0)

    beating = (chance.random(machines) < 0.5) & beats
    crashes = _crashes(chance, days, beating=beating, site=site, flaky=flaky, gap=gap)
    return _world(
        machines,
        end,
        (at, who),
        past=past * MINUTE,
        joins=joins,
        beating=beating,
        crashes=crashes,
        kind=kind,
        attributes={"model": kind, "site": site},
    )


def world_one(
    chance: np.random.Generator, machines: int, days: float, *, silent: float = 0.0
) -> World:
    """An office: hourly polls, 30 % early or late, and dark spells of about four hours.

    Args:
        chance: Where the draw comes from.
        machines: N.
        days: Length.
        silent: Share of machines that are silent by chance in a window of D (p0).
    """
    end = int(days * DAY)
    gap = np.full(machines, 60.0)
    past = gap[:, None] * chance.uniform(0.7, 1.3, (machines, _GAPS)) * MINUTE
    up = np.ones((machines, end // MINUTE + 1), np.bool_)
    # A window of D = 86 min is dark if a spell covers it and the wait for the next poll.
    per_day = silent * 1440.0 / (240.0 + 60.0 - 86.0)
    for index, begin, length in _spells(chance, machines, days, per_day, (3.99, 4.01)):
        up[index, begin : begin + length] = False
    polls = _polls(chance, gap, end, up)
    return _calm(machines, end, polls, past)


def world_two(chance: np.random.Generator, machines: int, days: float) -> World:
    """A timetable: 20 sites poll in their own minute of each hour; some sites are often dark."""
    end = int(days * DAY)
    minutes = end // MINUTE + 1
    site = chance.integers(0, 20, machines)
    phase = np.sort(chance.integers(0, 60, 20))
    frail = chance.random(20) ** 4 * 0.2  # share of hours in which a machine of the site is off
    hours = np.arange(minutes // 60)
    up = chance.random((machines, len(hours))) >= frail[site][:, None]
    who, hour = np.nonzero(up)
    at = (hour * 60 + phase[site[who]]) * MINUTE + chance.integers(0, MINUTE, len(who))
    order = np.argsort(at, kind="stable")
    past = np.full((machines, _GAPS), 60.0 * MINUTE)
    polls = (at[order], who[order])
    return _calm(machines, end, polls, past, {"site": site})


def world_three(chance: np.random.Generator, machines: int, days: float) -> World:
    """A house with guests, who are often away and whose going looks like silence."""
    end = int(days * DAY)
    gap = np.full(machines, 60.0)
    past = gap[:, None] * chance.uniform(0.7, 1.3, (machines, _GAPS)) * MINUTE
    up = np.ones((machines, end // MINUTE + 1), np.bool_)
    guests = np.flatnonzero(chance.random(machines) < 0.2)
    up[guests] = False
    for index, begin, length in _spells(chance, len(guests), days, 2.0, (0.5, 1.5)):
        up[guests[index], begin : begin + length] = True
    return _calm(machines, end, _polls(chance, gap, end, up), past)


def world_four(
    chance: np.random.Generator,
    machines: int,
    days: float,
    *,
    beats: bool,
    often: float = 4.0,
    together: bool = False,
) -> World:
    """Slow lines: who is late is also who is away, and who crashes, of something else.

    A third of the machines share five slow lines. They have all bytes between two minutes and six
    deadlines after the card, evenly in the logarithm: three times the default ``install_wait``.
    They are dark and crash by themselves, and all at once with their line. The others are well.

    Args:
        chance: Where the draw comes from.
        machines: N.
        days: Length.
        beats: Half the machines report their crashes; without, nobody does.
        often: Dark spells and crashes of a slow machine a day; its line fails half as often.
        together: The worst case instead: one deadline, every slow machine installs after it, and
            all of them are dark at the same times and at no others. How many treated machines of
            a deck are late is then how many will be silent with the next spell.
    """
    end = int(days * DAY)
    line = np.where(chance.random(machines) < 1 / 3, chance.integers(0, 5, machines), 5)
    is_slow = line < 5
    slow = np.flatnonzero(is_slow)
    gap = np.exp(chance.uniform(np.log(5.0), np.log(60.0), machines))
    if together:
        gap[:] = 30.0
    past = gap[:, None] * chance.uniform(0.7, 1.3, (machines, _GAPS)) * MINUTE
    up = np.ones((machines, end // MINUTE + 1), np.bool_)
    if together:
        for _, begin, length in _spells(chance, 1, days, often, (2.0, 4.0)):
            up[slow, begin : begin + length] = False
    else:
        for index, begin, length in _spells(chance, len(slow), days, often, (1.0, 8.0)):
            up[slow[index], begin : begin + length] = False
        for place, begin, length in _spells(chance, 5, days, often / 2, (1.0, 4.0)):
            up[line == place, begin : begin + length] = False
    beating = (chance.random(machines) < 0.5) & beats
    many = chance.poisson(np.where(beating & is_slow, often * days, 0.0))
    who = np.repeat(np.arange(machines), many)
    world = _world(
        machines,
        end,
        _polls(chance, gap, end, up),
        past=past,
        joins=_no(machines),
        beating=beating,
        crashes=(chance.integers(0, end, len(who)), who),
        kind=_no(machines),
        attributes={"model": is_slow.astype(np.int64), "site": chance.integers(0, 20, machines)},
    )
    lag = _no(machines)
    spans = np.array([float(world.deadline(int(cls))) for cls in world.cls[slow]])
    least = spans if together else 2.0 * MINUTE
    lag[slow] = np.exp(chance.uniform(np.log(least), np.log(6.0 * spans))).astype(np.int64)
    return replace(world, lag=lag)


def _calm(
    machines: int,
    end: int,
    polls: tuple[Ints, Ints],
    past: Floats,
    attributes: Mapping[str, Ints] = MappingProxyType({}),
) -> World:
    """A world of one kind of machine in which nobody joins and nobody can report a crash."""
    return _world(
        machines,
        end,
        polls,
        past=past,
        joins=_no(machines),
        beating=np.zeros(machines, np.bool_),
        crashes=(_no(), _no()),
        kind=_no(machines),
        attributes=attributes,
    )


def _world(
    machines: int,
    end: int,
    polls: tuple[Ints, Ints],
    *,
    past: Floats,
    joins: Ints,
    beating: Bools,
    crashes: tuple[Ints, Ints],
    kind: Ints,
    attributes: Mapping[str, Ints],
) -> World:
    codes = [[silence.gap_code(int(g)) for g in row] for row in past]
    ratios = past / np.median(past, axis=1, keepdims=True)
    spread = {
        k: silence.spread_of(ratios[kind == k].ravel().tolist()) for k in np.unique(kind).tolist()
    }
    deadlines = [
        silence.deadline(row, spread[k], cold_ms=DAY, silence_min_ms=SILENCE_MIN)
        for row, k in zip(codes, kind.tolist(), strict=True)
    ]
    # Who was there at the start is seasoned; who joins must have been known for a deadline.
    seasoned = np.where(joins > 0, joins * MINUTE + np.array(deadlines), -1).astype(np.int64)
    classes = _classes(deadlines)
    usual = float(np.median(past))
    names = tuple(attributes)
    rows = np.stack([np.asarray(attributes[name]) for name in names] or [_no(machines)], axis=1)
    values, stratum = np.unique(rows, axis=0, return_inverse=True)
    strata = tuple(
        stratum_of({name: f"v{v}" for name, v in zip(names, row, strict=False)}, names)
        for row in values.tolist()
    )
    return World(
        machines, end, *polls, classes, seasoned, usual, beating, *crashes,
        stratum.reshape(-1).astype(np.int64), strata, _no(machines),
    )  # fmt: skip


def _classes(deadlines: Sequence[float]) -> Ints:
    return np.array([silence.deadline_class(int(d), SILENCE_MIN) for d in deadlines], np.int64)


def _polls(chance: np.random.Generator, gap: Floats, end: int, up: Bools) -> tuple[Ints, Ints]:
    """Polls of machines with a usual gap (minutes), where they are up; ordered by time."""
    many = np.ceil(end / MINUTE / gap * 1.15).astype(np.int64) + 4
    who = np.repeat(np.arange(len(gap)), many)
    steps = gap[who] * chance.uniform(0.7, 1.3, len(who)) * MINUTE
    steps[np.cumsum(many) - many] *= chance.random(len(gap))  # nobody begins in step
    total = np.cumsum(steps)
    before = np.concatenate([[0.0], total[np.cumsum(many)[:-1] - 1]])
    at = (total - np.repeat(before, many)).astype(np.int64)
    here = at < end
    here[here] &= up[who[here], at[here] // MINUTE]
    at, who = at[here], who[here]
    order = np.argsort(at, kind="stable")
    return at[order], who[order]


def _spells(
    chance: np.random.Generator,
    things: int,
    days: float,
    per_day: float,
    hours: tuple[float, float],
) -> list[tuple[int, int, int]]:
    """Spells (thing, first minute, minutes) of a Poisson number each."""
    many = chance.poisson(per_day * (days + 0.5), things)
    thing = np.repeat(np.arange(things), many)
    begin = chance.uniform(-720, days * 1440, len(thing)).astype(np.int64)
    length = (60 * chance.uniform(*hours, len(thing))).astype(np.int64)
    first = np.maximum(begin, 0)
    rest = np.maximum(begin + length - first, 0)
    return list(zip(thing.tolist(), first.tolist(), rest.tolist(), strict=True))


def _crashes(
    chance: np.random.Generator,
    days: float,
    *,
    beating: Bools,
    site: Ints,
    flaky: Bools,
    gap: Floats,
) -> tuple[Ints, Ints]:
    """Crashes of single machines, and glitches that crash half of a site at once."""
    rate = 0.05 * np.where(flaky, 10.0, 1.0) * np.sqrt(240.0 / gap)  # a day
    many = chance.poisson(np.where(beating, rate * days, 0.0))
    who = [np.repeat(np.arange(len(gap)), many)]
    at = [chance.uniform(0, days * DAY, int(many.sum()))]
    for place, minute, _ in _spells(chance, 20, days, 0.15, (1.0, 1.0)):
        hit = np.flatnonzero((site == place) & beating & (chance.random(len(gap)) < 0.5))
        who.append(hit)
        at.append(minute * MINUTE + chance.uniform(0, MINUTE, len(hit)))
    return np.concatenate(at).astype(np.int64), np.concatenate(who)


def _no(size: int = 0) -> Ints:
    return np.zeros(size, np.int64)


def _keys(who: Ints, at: Ints, machines: int) -> Ints:
    return np.append(np.sort((who << _SHIFT) | at), (machines + 1) << _SHIFT)


def _next(keys: Ints, who: Ints, after: int | Ints) -> Ints:
    found = keys[np.searchsorted(keys, (who << _SHIFT) + after, side="right")]
    return np.where(found >> _SHIFT == who, found & (NEVER * 2 - 1), NEVER)
