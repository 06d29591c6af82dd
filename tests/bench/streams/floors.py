"""Ratio to the floor by thousands of runs at once: harm tests at constant exposure.

One event is one cell. The wealth is moved by ``core.evidence``, whole epochs of many runs in one
array, and a test checks it against ``core.verdict``, event by event. In the full default the
stream under test is silence, has the share that a boarding with agents gives it, and a tenth of
its wealth looks at models, sites and systems that are hit evenly; crashes come as often as the
harm would come without harm, by chance in both arms.
"""

import math
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from firedoor.core.evidence import harm, merge, mixture
from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.floor import harmed_floor
from firedoor.core.evidence.mixture import Wealth
from firedoor.core.signal import CHECK, CRASH, SILENCE
from firedoor.core.stream import GROUPS
from firedoor.core.terms import Policy, resolve
from firedoor.services.boarding import rules_for

EPOCH_EVENTS: Final = 200
DAY_EPOCHS: Final = 24
POOL: Final = 10_000_000
_AT_ONCE: Final = 500
_LONGEST: Final = 40  # floors after which a run is given up

SHARES: Final = dict(rules_for(resolve(Policy(), 3_000), reporting=3_000).shares)
"""What a boarding with agents bets on each signal."""


@dataclass(frozen=True, slots=True)
class Contest:
    """One cell of the table.

    Attributes:
        share: Treated share of the machines at risk (w).
        ratio: Harm rate of treated over control.
        alpha: Level.
        full: The full default; otherwise one pooled stream alone.
    """

    share: float
    ratio: float
    alpha: float
    full: bool

    @property
    def floor(self) -> float:
        """Harmed treated machines that no test can do without, at least 1."""
        return max(1.0, harmed_floor(self.alpha, self.ratio, self.share))

    @property
    def target(self) -> float:
        """Multiple of the floor that the design asks for."""
        if self.share < 0.1:
            return 1.8
        return 1.6 if self.full else 1.45

    @property
    def treated(self) -> float:
        """Chance that an event hits a treated machine."""
        return self.ratio * self.share / (self.ratio * self.share + 1.0 - self.share)

    @property
    def noise(self) -> float:
        """Crashes that come with an event of the stream under test."""
        return 1.0 / (1.0 + self.share * (self.ratio - 1.0)) if self.full else 0.0


@dataclass(frozen=True, slots=True)
class Halts:
    """Where runs came to a halt.

    Attributes:
        harmed: Treated machines harmed until then, of the runs that halted, shape (H,).
        missed: Runs that did not.
        floor: Of the contest.
    """

    harmed: Ints
    missed: int
    floor: float

    @property
    def ratio(self) -> float:
        """Mean of the harmed, as a multiple of the floor."""
        return float(self.harmed.mean()) / self.floor

    @property
    def error(self) -> float:
        """Standard error of :attr:`ratio`."""
        return float(self.harmed.std()) / math.sqrt(len(self.harmed)) / self.floor


@dataclass(slots=True)
class Signal:
    """One stream of many runs that only knows single events.

    Attributes:
        share: Treated share (w).
        placed: ln of the wealth on each ratio, shape (R, J).
    """

    share: float
    placed: Floats
    hit: Floats = field(init=False)
    miss: Floats = field(init=False)

    def __post_init__(self) -> None:
        treated = round(POOL * self.share)
        self.hit, self.miss = harm.plain(Counts.of(treated, POOL - treated, [1, 0], [0, 1]))

    @classmethod
    def start(cls, share: float, runs: int) -> Self:
        """Nothing placed."""
        return cls(share, np.full((runs, len(mixture.RATIOS)), -np.inf))

    def open(self, epoch: int) -> None:
        """Place the share of an epoch; those before it have theirs."""
        before = Wealth(self.placed, np.full(len(self.placed), epoch))
        self.placed = mixture.open_through(before, epoch).placed

    def log_e(self, hits: Ints, misses: Ints, epoch: int) -> Floats:
        """Log of E after so many hits and misses of this epoch, shape (R, events)."""
        moved = hits[..., None] * self.hit + misses[..., None] * self.miss
        placed = (self.placed[:, None] + moved).reshape(-1, len(self.hit))
        wealth = Wealth(placed, np.full(len(placed), epoch + 1))
        return mixture.log_e(wealth).reshape(hits.shape)

    def close(self, hits: Ints, misses: Ints) -> None:
        """Move the wealth by all of an epoch's hits and misses, shape (R,)."""
        self.placed = self.placed + hits[:, None] * self.hit + misses[:, None] * self.miss


def race(contest: Contest, runs: int, seed: int) -> Halts:
    """Play many runs until each has halted, or is given up."""
    chance = np.random.default_rng(seed)
    harmed, missed = [], 0
    for first in range(0, runs, _AT_ONCE):
        found, lost = at_once(contest, min(_AT_ONCE, runs - first), chance)
        harmed.append(found)
        missed += lost
    return Halts(np.concatenate(harmed), missed, contest.floor)


def at_once(contest: Contest, runs: int, chance: np.random.Generator) -> tuple[Ints, int]:
    """Harmed treated machines of the runs that halt, and how many do not."""
    enough = -math.log(contest.alpha)
    most = math.ceil(_LONGEST * contest.floor / contest.treated / EPOCH_EVENTS)
    ours, theirs = (Signal.start(contest.share, runs) for _ in range(2))
    before, found = np.zeros(runs, np.int64), []
    for block in range(most):
        epoch = min(block, DAY_EPOCHS - 1)
        if epoch == block:
            ours.open(epoch)
            theirs.open(epoch)
        events = draw(contest, len(before), chance)
        log_e = merged(contest, ours, theirs, events, epoch)
        halted = (log_e >= enough).any(axis=1)
        at = (log_e >= enough).argmax(axis=1)
        hits = events.hits
        found.append((before + hits[np.arange(len(at)), at])[halted])
        on = ~halted
        ours.close(hits[:, -1], events.count - hits[:, -1])
        theirs.close(events.crash_hits[:, -1], events.crash_misses[:, -1])
        ours.placed, theirs.placed = ours.placed[on], theirs.placed[on]
        before = (before + hits[:, -1])[on]
        if not len(before):
            break
    return np.concatenate(found), len(before)


@dataclass(frozen=True, slots=True)
class Events:
    """One epoch's events: running totals after each, shape (R, events); crashes come after it."""

    hits: Ints
    crash_hits: Ints
    crash_misses: Ints

    @property
    def count(self) -> int:
        """Events of the stream under test."""
        return int(self.hits.shape[1])


def draw(contest: Contest, runs: int, chance: np.random.Generator) -> Events:
    """Draw an epoch."""
    shape = (runs, EPOCH_EVENTS)
    hits = chance.random(shape) < contest.treated
    crash = chance.random(shape) < contest.noise
    mine = crash & (chance.random(shape) < contest.share)
    return Events(hits.cumsum(axis=1), mine.cumsum(axis=1), (crash & ~mine).cumsum(axis=1))


def merged(contest: Contest, ours: Signal, theirs: Signal, events: Events, epoch: int) -> Floats:
    """Log of E after every event of an epoch and the crash beside it, shape (R, events)."""
    numbers = np.arange(1, events.count + 1)
    log_e = ours.log_e(events.hits, numbers - events.hits, epoch)
    if not contest.full:
        return log_e
    crashes = theirs.log_e(events.crash_hits, events.crash_misses, epoch)
    parts = [(log_e, SHARES[SILENCE]), (crashes, SHARES[CRASH])]
    # Nothing happens in the checks, and the groups stay at E = 1: neither moves.
    total = np.zeros_like(log_e)
    for one, share in parts:
        with_groups = np.logaddexp(math.log1p(-GROUPS) + one, math.log(GROUPS))
        total += np.logaddexp(math.log1p(-share), math.log(share) + with_groups)
    return total + merge.hedged(0.0, SHARES[CHECK])


CONTESTS: Final = tuple(
    Contest(share, ratio, alpha, full)
    for full in (False, True)
    for alpha in (0.01, 0.001)
    for share in (0.01, 0.1, 0.5)
    for ratio in (1.5, 2.0, 5.0, 10.0)
)
