"""The bounds of clearance and of the excess, by enumeration: all outcomes of several classes.

"U <= delta" is the event that the clearance process reaches 1/alpha at delta, and "L >= delta"
that the excess process does. The true excess stands exactly at delta, where both are hardest.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from firedoor.core.evidence import clearance, excess
from firedoor.core.evidence.counts import Counts, Floats

CLASSES = 3


def binomial(machines: int, chance: float) -> Floats:
    return np.array(
        [
            math.comb(machines, k) * chance**k * (1.0 - chance) ** (machines - k)
            for k in range(machines + 1)
        ]
    )


def of_all_outcomes(
    treated: Floats, control: Floats, log_e: Callable[[list[Counts]], list[Floats]]
) -> tuple[float, float, Callable[[float], float]]:
    """Sum of chances, mean of E at the end, and the chance that E ever reached 1/alpha."""
    one = np.outer(treated, control).ravel()
    x1, x0 = (part.ravel() for part in np.indices((len(treated), len(control))))
    chosen = np.indices([len(one)] * CLASSES).reshape(CLASSES, -1)
    chance = np.prod(one[chosen], axis=0)
    m1, m0 = len(treated) - 1, len(control) - 1
    path = log_e([Counts.of(m1, m0, x1[which], x0[which], m1) for which in chosen])
    top = np.max(path, axis=0)
    return (
        float(chance.sum()),
        float((chance * np.exp(path[-1])).sum()),
        lambda alpha: float(chance[top >= -math.log(alpha)].sum()),
    )


@pytest.mark.parametrize("base", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("delta", [0.1, 0.4])
@pytest.mark.parametrize(("m1", "m0"), [(5, 9), (9, 5), (14, 0)])
def test_the_upper_bound_is_below_the_truth_no_more_often_than_alpha(
    m1: int, m0: int, delta: float, base: float
) -> None:
    """Whoever is cleared wrongly opens a door to everybody."""

    def log_e(classes: list[Counts]) -> list[Floats]:
        state, path = clearance.start(len(classes[0].treated), delta), []
        for counts in classes:
            state = clearance.absorb(state, counts)
            path.append(clearance.log_e(state, delta))
        return path

    total, mean, ever = of_all_outcomes(binomial(m1, base + delta), binomial(m0, base), log_e)

    assert total == pytest.approx(1.0, abs=1e-9)
    assert 0.02 < mean <= 1.0 + 1e-9
    assert all(ever(alpha) <= alpha for alpha in (0.5, 0.2, 0.05, 0.01))


@pytest.mark.parametrize("base", [0.02, 0.3])
@pytest.mark.parametrize("delta", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(("m1", "m0"), [(5, 9), (9, 5), (2, 20)])
def test_the_lower_bound_is_above_the_truth_no_more_often_than_alpha(
    m1: int, m0: int, delta: float, base: float
) -> None:
    """The number beside a shut door must not make a release worse than it is."""

    def log_e(classes: list[Counts]) -> list[Floats]:
        state, path = excess.start(len(classes[0].treated)), []
        for counts in classes:
            state = excess.absorb(state, counts)
            path.append(excess.log_e(state, delta))
        return path

    total, mean, ever = of_all_outcomes(binomial(m1, base + delta), binomial(m0, base), log_e)

    assert total == pytest.approx(1.0, abs=1e-9)
    assert 0.02 < mean <= 1.0 + 1e-9
    assert all(ever(alpha) <= alpha for alpha in (0.5, 0.2, 0.05, 0.01))
