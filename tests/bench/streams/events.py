"""Event by event: harm tests at constant exposure against the information floor (table A).

One event is one cell. The release is judged by ``core.verdict`` with crash events in the stream
under test; in the full default the silence stream sees as many events by chance, so that what
the weights of several signals cost is in the figure.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from tests.bench.rules.firedoor import cell_of
from tests.bench.rules.rule import Closing, Ints

from firedoor.core.evidence.floor import harmed_floor
from firedoor.core.verdict import Rules, absorb, start

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
        """Treated machines harmed at the halt, shape (R,)."""
        shares = (("silence", 0.8), ("crash", 0.5), ("check", 0.3))
        rules = Rules(self.alpha, 0.05, 0.05, 0.01, shares if self.full else (("silence", 1.0),))
        if self.full:
            rules = replace(rules, attributes=("model", "site", "os"))
        return np.array([self._run(rules, chance) for _ in range(runs)])

    def _run(self, rules: Rules, chance: np.random.Generator) -> int:
        evidence, harmed, event = start(rules), 0, 0
        p = self.ratio * self.share / (self.ratio * self.share + 1.0 - self.share)
        # Background events come as often as crashes would without harm.
        noise = 1.0 / (1.0 + self.share * (self.ratio - 1.0)) if self.full else 0.0
        treated = round(POOL * self.share)
        enough, most = -math.log(rules.alpha_harm), round(40 * self.floor / p)
        while event < most:
            minute = 60 * min(event // EPOCH_EVENTS, 23)
            hit = bool(chance.random() < p)
            harmed, event = harmed + hit, event + 1
            closing = Closing(1, "silence", treated, POOL - treated, int(hit), int(not hit))
            evidence = absorb(evidence, cell_of(closing, evidence.seq + 1, minute))
            if evidence.max_log_e >= enough:
                break
            if chance.random() < noise:
                mine = bool(chance.random() < self.share)
                closing = Closing(1, "crash", treated, POOL - treated, int(mine), int(not mine))
                evidence = absorb(evidence, cell_of(closing, evidence.seq + 1, minute))
        return harmed


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
