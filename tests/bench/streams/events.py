"""Event by event: harm tests at constant exposure against the information floor (table A).

One event is one cell. The release is judged by ``core.verdict`` with crash events in the stream
under test; in the full default the silence stream sees as many events by chance, so that what
the weights of several signals cost is in the figure.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from tests.bench.rules.firedoor import cells_of
from tests.bench.rules.rule import Closing, Ints

from firedoor.core.evidence.floor import harmed_floor
from firedoor.core.terms import DEFAULT_STRATA
from firedoor.core.tick import absorb_all
from firedoor.core.verdict import Rules, start

EPOCH_EVENTS = 200
POOL = 10_000_000


@dataclass(frozen=True, slots=True)
class Race:
    """One cell of the table.

    Attributes:
        share: Treated share of the machines at risk (w).
        ratio: Harm rate of treated over control.
        alpha: Level.
        full: All signals of a boarding with agents; otherwise one signal alone.
    """

    share: float
    ratio: float
    alpha: float
    full: bool

    @property
    def floor(self) -> float:
        """Harmed treated machines that no test can do without."""
        return harmed_floor(self.alpha, self.ratio, self.share)

    def harmed(self, runs: int, chance: np.random.Generator) -> Ints:
        """Treated machines harmed at the halt, shape (R,); all runs event by event together."""
        shares = (("silence", 0.8), ("crash", 0.5), ("check", 0.3))
        rules = Rules(self.alpha, 0.05, 0.05, 0.01, shares if self.full else (("silence", 1.0),))
        if self.full:
            rules = replace(rules, attributes=DEFAULT_STRATA)
        enough = -math.log(rules.alpha_harm)
        p = self.ratio * self.share / (self.ratio * self.share + 1.0 - self.share)
        # Background events come as often as crashes would without harm.
        noise = 1.0 / (1.0 + self.share * (self.ratio - 1.0)) if self.full else 0.0
        evidence, harmed = [start(rules)] * runs, np.zeros(runs, np.int64)
        going_on = np.arange(runs)
        for event in range(round(40 * self.floor / p)):
            minute = 60 * min(event // EPOCH_EVENTS, 23)
            for signal, often, mine in (("silence", 1.0, p), ("crash", noise, self.share)):
                struck = going_on[chance.random(len(going_on)) < often]
                hit = chance.random(len(struck)) < mine
                if signal == "silence":
                    harmed[struck] += hit
                releases = [
                    (
                        evidence[run],
                        cells_of([self._closing(signal, hit=own)], evidence[run].seq, minute),
                    )
                    for run, own in zip(struck.tolist(), hit.tolist(), strict=True)
                ]
                for run, after in zip(struck.tolist(), absorb_all(releases), strict=True):
                    evidence[run] = after
                going_on = np.array(
                    [run for run in going_on.tolist() if evidence[run].max_log_e < enough], np.int64
                )
            if not len(going_on):
                break
        return harmed

    def _closing(self, signal: str, *, hit: bool) -> Closing:
        treated = round(POOL * self.share)
        return Closing(1, signal, treated, POOL - treated, int(hit), int(not hit))


RACES = tuple(
    Race(share, ratio, 0.01, full)
    for full in (False, True)
    for share, ratio in (
        (0.01, 5.0),
        (0.01, 10.0),
        (0.1, 1.5),
        (0.1, 2.0),
        (0.1, 5.0),
        (0.1, 10.0),
        (0.5, 1.5),
        (0.5, 2.0),
        (0.5, 5.0),
        (0.5, 10.0),
    )
)
