"""Exact chances by dynamic programming: no seed, no luck, every event is a look."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from firedoor.core.evidence import harm, mixture
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.floor import harmed_floor
from firedoor.core.evidence.mixture import LOG_PRIOR

HORIZON = 20_000


@dataclass(frozen=True, slots=True)
class Halt:
    """What continuous monitoring leads to: chance of a halt, mean harmed treated machines at it."""

    chance: float
    harmed: float


def monitor(*, controls_per_treated: int, rate_ratio: float, alpha: float, horizon: int) -> Halt:
    """Follow all paths of single events, each treated with chance p, until E >= 1/alpha."""
    w = 1 / (1 + controls_per_treated)
    p = rate_ratio * w / (rate_ratio * w + 1 - w)
    events = Counts.of(1, controls_per_treated, [1, 0], [0, 1])
    hit, miss = harm.plain(events)
    enough, bound, harmed = -math.log(alpha), 0, 0.0
    alive, halted = np.zeros(horizon + 2), 0.0
    alive[0] = 1.0
    for n in range(1, horizon + 1):
        # E falls with a control event and rises with a treated one: the bound moves by 0 or 1.
        while mixture.log_sum(LOG_PRIOR + bound * hit + (n - bound) * miss, axis=0) < enough:
            bound += 1
        stepped = alive[: bound + 1] * (1 - p)
        stepped[1:] += alive[:bound] * p
        halted += stepped[bound]
        harmed += bound * stepped[bound]
        stepped[bound] = 0.0
        alive[: bound + 1] = stepped
    return Halt(float(halted), float(harmed / halted))


@pytest.mark.parametrize(
    ("controls_per_treated", "alpha", "in_the_design"),
    [
        (99, 0.01, 0.00461),
        (99, 0.001, 0.00053),
        (9, 0.05, 0.0333),
        (9, 0.01, 0.00581),
        (9, 0.001, 0.00061),
        (1, 0.01, 0.00870),
        (1, 0.001, 0.00077),
    ],
)
def test_false_alarms_under_continuous_monitoring_are_what_the_design_says(
    controls_per_treated: int, alpha: float, in_the_design: float
) -> None:
    """20 000 looks at a harmless release: the chance of one false alarm, computed, not sampled."""
    halt = monitor(
        controls_per_treated=controls_per_treated, rate_ratio=1.0, alpha=alpha, horizon=HORIZON
    )

    printed = 4 if alpha == 0.05 else 5
    assert halt.chance <= alpha
    assert round(halt.chance, printed) == in_the_design


@pytest.mark.parametrize(
    ("controls_per_treated", "alpha", "rate_ratio", "in_the_design"),
    [(9, 0.01, 10.0, 5.9), (9, 0.001, 10.0, 8.1), (1, 0.001, 10.0, 18.6), (9, 0.01, 2.0, 35.6)],
)
def test_harm_is_found_close_to_the_floor_of_any_test(
    controls_per_treated: int, alpha: float, rate_ratio: float, in_the_design: float
) -> None:
    """Every machine above the floor is one that need not have been hurt."""
    halt = monitor(
        controls_per_treated=controls_per_treated,
        rate_ratio=rate_ratio,
        alpha=alpha,
        horizon=2_500,
    )

    assert halt.chance > 0.999
    assert halt.harmed == pytest.approx(in_the_design, rel=0.02)
    assert halt.harmed <= 1.45 * harmed_floor(alpha, rate_ratio, 1 / (1 + controls_per_treated))
