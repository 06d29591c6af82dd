"""Rules that live on or look at one machine only, and a schedule that looks at none.

NervesHub's penalty box, greenboot's boot counter and Fedora CoreOS' linear rollout know no
evidence about a release: as rules for a fleet they never halt anything. They are here as what
they are, so that the tables show what that costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tests.bench.rules.rule import Answer, Bools, Briefing, Interval, nobody

PENALTY_MINUTES = 1440
FAST_ATTEMPTS, FAST_SECONDS = 5, 180
MOST_ATTEMPTS = 3
MOST_BOOTS = 3


def in_penalty_box(attempts_at: Sequence[float]) -> bool:
    """NervesHub: block a machine for a day after 3 failed attempts, or 5 within 180 seconds.

    Args:
        attempts_at: Seconds of this machine's attempts to update, ascending.
    """
    if len(attempts_at) >= MOST_ATTEMPTS:
        return True
    fast = zip(attempts_at, attempts_at[FAST_ATTEMPTS - 1 :], strict=False)
    return any(last - first <= FAST_SECONDS for first, last in fast)


def boots_previous(boots: Sequence[bool]) -> bool:
    """greenboot: fall back to the previous deployment after 3 failed boots in a row.

    Args:
        boots: Whether each boot since the update was healthy, oldest first.
    """
    in_a_row = 0
    for healthy in boots:
        in_a_row = 0 if healthy else in_a_row + 1
        if in_a_row >= MOST_BOOTS:
            return True
    return False


@dataclass(slots=True)
class Local:
    """A rule of one machine: whatever happens, the rollout goes on and nobody is told."""

    never: Bools

    @classmethod
    def begin(cls, briefing: Briefing) -> "Local":
        """Nothing to learn."""
        return cls(nobody(briefing.runs))

    def look(self, interval: Interval) -> Answer:
        """No answer about the release."""
        del interval
        return Answer(self.never, self.never)


@dataclass(slots=True)
class Linear:
    """Offer to a share that rises linearly; people may pause it, evidence does not."""

    runs: int
    minutes: int = 2880

    @classmethod
    def begin(cls, briefing: Briefing) -> "Linear":
        """Two days, one of the three lengths in use."""
        return cls(briefing.runs)

    def look(self, interval: Interval) -> Answer:
        """Everybody has it when the time is over."""
        over = np.full(self.runs, interval.end >= self.minutes)
        return Answer(nobody(self.runs), over)


def linear_share(minute: float, minutes: float) -> float:
    """Share of the fleet that a linear rollout offers to after so many minutes."""
    return min(1.0, max(0.0, minute / minutes))
