import math
from fractions import Fraction

import numpy as np
import pytest

from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.mixture import RATIOS


@pytest.mark.parametrize(
    ("treated", "control", "treated_harmed", "control_harmed"),
    [(60, 400, 20, 27), (60, 400, 20, 28), (47, 400, 47, 300), (48, 400, 48, 300), (9, 2, 9, 1)],
)
def test_short_and_long_closings_are_weighed_by_one_law(
    treated: int, control: int, treated_harmed: int, control_harmed: int
) -> None:
    """Below 48 events a series is summed, from there on logarithms; nobody may see the seam."""
    k = treated_harmed + control_harmed
    expected = []
    for ratio in RATIOS:
        g = Fraction(float(ratio))
        mean = sum(
            (
                math.comb(treated, x) * math.comb(control, k - x) * g**x
                for x in range(max(0, k - control), min(k, treated) + 1)
            ),
            start=Fraction(0),
        ) / math.comb(treated + control, k)
        factor = Fraction(g**treated_harmed) / mean
        expected.append(math.log(factor.numerator) - math.log(factor.denominator))

    factors = harm.plain(Counts.of(treated, control, treated_harmed, control_harmed))

    assert factors[0] == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_a_closing_weighs_the_same_beside_quiet_and_beside_busy_streams() -> None:
    """Only rows with events are computed, in batches; neither may leave a trace in the bits."""
    chance = np.random.default_rng(8)
    treated = chance.integers(0, 80, 500)
    events = np.minimum(chance.integers(0, 90, 500) * (chance.random(500) < 0.5), treated)
    counts = Counts.of(treated, 9 * treated, events, np.minimum(events, 3))

    together = harm.plain(counts), harm.linear(counts)

    for row in range(500):
        alone = counts.take(np.array([row]))
        assert np.array_equal(harm.plain(alone)[0], together[0][row])
        assert np.array_equal(harm.linear(alone)[0], together[1][row])
