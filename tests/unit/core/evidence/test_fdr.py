import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence import fdr, harm, mixture
from firedoor.core.evidence.counts import Counts


def test_one_stream_is_named_at_one_over_the_level() -> None:
    """Alone, the list is the ordinary test."""
    assert fdr.guilty([math.log(20.1)], 0.05).tolist() == [True]
    assert fdr.guilty([math.log(19.9)], 0.05).tolist() == [False]


def test_strong_company_lowers_the_bar_and_weak_company_raises_it() -> None:
    """Of ten streams one must reach 200 alone; with four others 40 is enough."""
    alone = [math.log(100)] + [0.0] * 9
    among = [math.log(50)] * 5 + [0.0] * 5

    assert not fdr.guilty(alone, 0.05).any()
    assert fdr.guilty(among, 0.05).tolist() == [True] * 5 + [False] * 5


@given(
    st.lists(st.integers(-5, 12), max_size=12),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_the_list_is_the_longest_that_the_rule_allows(logs: list[int], level: float) -> None:
    """Checked against the definition, rank by rank."""
    count = len(logs)
    falling = sorted(logs, reverse=True)
    longest = max(
        (k for k in range(1, count + 1) if math.exp(falling[k - 1]) >= count / (level * k)),
        default=0,
    )

    named = fdr.guilty(np.array(logs, dtype=float), level)

    assert int(named.sum()) == longest
    assert not named.any() or min(np.array(logs)[named]) >= max(
        np.array(logs)[~named], default=-math.inf
    )


def test_degenerate_evidence_is_judged_and_nonsense_is_refused() -> None:
    """A stream that is ruined or beyond doubt must not break the list of the others."""
    named = fdr.guilty([math.inf, -math.inf, math.log(100), 0.0], 0.05)

    assert named.tolist() == [True, False, True, False]
    assert fdr.guilty([], 0.05).tolist() == []
    with pytest.raises(ValueError, match="not a number"):
        fdr.guilty([0.0, math.nan], 0.05)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="level"):
            fdr.guilty([0.0], level)


def test_few_innocents_are_on_the_list_even_when_all_streams_share_their_shocks() -> None:
    """The design's case: 60 streams, 5 of them four times as harmful, 300 ticks, q = 5 %."""
    streams, guilty, fleets, level = 60, 5, 30, 0.05
    chance = np.random.default_rng(3)
    wealth = mixture.start(streams * fleets)
    theta = np.where(np.arange(streams) < guilty, 4.0, 1.0)
    shares = []
    for tick in range(300):
        shock = np.where(chance.random((fleets, 1)) < 0.02, 15.0, 1.0)
        x1 = np.minimum(chance.poisson(0.05 * theta * shock), 100).ravel()
        x0 = np.minimum(chance.poisson(0.45 * shock, (fleets, streams)), 900).ravel()
        counts = Counts.of(100, 900, x1, x0)
        wealth = mixture.absorb(mixture.open_through(wealth, 0), harm.binomial(counts))
        if tick % 50 == 49:
            for log_e in mixture.log_e(wealth).reshape(fleets, streams):
                named = fdr.guilty(log_e, level)
                shares.append(named[guilty:].sum() / max(named.sum(), 1))

    assert np.mean(shares) <= level
    assert all(
        fdr.guilty(log_e, level)[:guilty].all()
        for log_e in mixture.log_e(wealth).reshape(fleets, streams)
    )
