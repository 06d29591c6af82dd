"""Merging: what several e-processes of one game amount to."""

import itertools
import math

import pytest

from firedoor.core.evidence import merge


def spread(log_e: list[float]) -> float:
    """Merged evidence of values that exclude each other."""
    return merge.spread_of(map(merge.bets_of, log_e))


def test_a_signal_alone_costs_the_logarithm_of_its_share() -> None:
    """The price that the documents quote for watching other signals, too."""
    alone = merge.product([(20.0, 0.8), (0.0, 0.5), (0.0, 0.3)])

    assert alone == pytest.approx(20.0 + math.log(0.8), abs=1e-8)


def test_a_ruined_neighbour_costs_no_more_than_what_was_bet_on_it() -> None:
    """A plain product would let one noisy signal veto the others."""
    vetoed = merge.product([(20.0, 1.0), (-1e9, 0.5)])

    assert vetoed == pytest.approx(20.0 + math.log(0.5))
    assert merge.product([(20.0, 1.0), (-math.inf, 0.5)]) == pytest.approx(20.0 + math.log(0.5))


def test_two_weak_signals_are_strong_together() -> None:
    """What the mean cannot do: 3 nats twice make more than any one of them."""
    together = merge.product([(3.0, 0.8), (3.0, 0.5)])

    assert together > 3.0 + 1.5
    assert together > merge.mean([3.0, 3.0]) == pytest.approx(3.0)


def test_the_product_is_the_mixture_over_which_signals_are_bet_on() -> None:
    """This sum of products is what the proof is about."""
    parts = [(1.5, 0.8), (-0.7, 0.5), (2.2, 0.3)]
    mixture = 0.0
    for chosen in itertools.product((False, True), repeat=3):
        term = 1.0
        for (log_e, share), bet in zip(parts, chosen, strict=True):
            term *= share * math.exp(log_e) if bet else 1.0 - share
        mixture += term

    assert merge.product(parts) == pytest.approx(math.log(mixture), rel=1e-14)


def test_a_signal_that_is_only_watched_changes_nothing() -> None:
    """Share 0: counted, shown, and without a say."""
    assert merge.product([(4.0, 1.0), (50.0, 0.0)]) == 4.0


def test_nothing_is_no_evidence() -> None:
    """E = 1 before the first cell, with or without attributes."""
    assert merge.product([]) == merge.mean([]) == spread([]) == 0.0


def test_values_without_events_may_be_left_out_of_a_spread() -> None:
    """A thousand quiet sites cost nothing: their E is 1 and its hedge too."""
    assert spread([3.0] + [0.0] * 1000) == pytest.approx(spread([3.0]), abs=1e-12)


def test_a_spread_finds_one_hit_value_and_multiplies_many() -> None:
    """Harm to one model costs a few nats; to all of twenty it is overwhelming."""
    one = spread([12.0] + [-2.0] * 5)

    assert 12.0 - 5.0 < one < 12.0
    assert spread([3.0] * 20) > 25.0


def test_the_mean_of_numbers_beyond_the_floats_stays_a_number() -> None:
    """A fleet of bricks has an E of e^2000."""
    assert merge.mean([2000.0, -2000.0]) == pytest.approx(2000.0 - math.log(2))
    assert merge.mean([-math.inf]) == -math.inf
