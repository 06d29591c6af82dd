"""Clusters of a known size, where lots were drawn machine by machine and where nobody knows.

By hand: one interval, 10 treated and 10 control machines, two harmed, both of them treated. The
two are a draw of 2 out of 20, so X is 0, 1, 2 with chances 9/38, 20/38, 9/38. A bet on the
rate ratio g makes of it

    exact      g^2 / ((9 + 20 g + 9 g^2) / 38)      no accident size needed
    divided    (g / ((1 + g) / 2)) ^ (2 / 2)        binomial, to the power 1 / C, C = 2
    linear     g / ((1 + g) / 2)                    one observation, whatever fell in it

and a quarter of the wealth waits for later beginnings: E of a factor is 1/4 + 3/4 sum of
pi_g f_g.
"""

import math
from collections.abc import Callable

import pytest

from firedoor.core.verdict import VerdictState
from firedoor.formats.counts import Row
from firedoor.services.alone import Question, judge

BETS = dict(
    zip(
        (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1e3, 1e6),
        (0.10, 0.10, 0.12, 0.10, 0.10, 0.10, 0.08, 0.08, 0.07, 0.15),
        strict=True,
    )
)
"""The grid of evidence.md 2.3: rate ratios and their shares of the wealth."""

ROW = Row(0, "v2", "crash", "", 10, 10, 2, 0, 10)


def asked(**more: object) -> Question:
    """What a small fleet asks."""
    return Question(0.01, 0.05, 0.05, 0.2, 20, **{"follow_up": 1} | more)  # type: ignore[arg-type]  # by name


def mean(factor: Callable[[float], float]) -> float:
    return 0.25 + 0.75 * sum(share * factor(g) for g, share in BETS.items())


def exact(g: float) -> float:
    return g * g / ((9 + 20 * g + 9 * g * g) / 38)


def single(g: float) -> float:
    return g / ((1 + g) / 2)


def test_lots_drawn_machine_by_machine_need_no_cluster_for_harm() -> None:
    """Whoever falls together, chance chose which of them were treated: two labels, not one."""
    by_hand = math.log((mean(exact) + mean(single)) / 2)
    assert by_hand == pytest.approx(0.6716, abs=5e-5)

    found = judge([ROW], asked(cluster=2, randomised=True))

    assert found.log_e_harm == pytest.approx(by_hand, rel=1e-12)
    assert found.log_e_harm == judge([ROW], asked(randomised=True)).log_e_harm


def test_without_lots_two_that_fall_together_are_one_accident() -> None:
    """Nobody says that chance chose machines: perhaps it chose the rack with both of them."""
    by_hand = math.log(mean(single))
    assert by_hand == pytest.approx(0.3934, abs=5e-5)

    found = judge([ROW], asked(cluster=2))

    assert found.log_e_harm == pytest.approx(by_hand, rel=1e-12)
    assert found.log_e_harm < judge([ROW], asked()).log_e_harm


def test_what_clears_is_divided_whoever_dealt() -> None:
    """Lots say nothing about how many machines one accident would take."""
    quiet = [Row(t, "v2", "crash", "", 10, 10, 0, 0, 10) for t in range(4)]
    dealt, unknown = asked(cluster=4, randomised=True), asked(cluster=4)

    assert judge(quiet, asked(randomised=True)).state is VerdictState.CLEARED
    assert judge(quiet, dealt).state is VerdictState.UNDECIDED
    assert judge(quiet, dealt).harm_upper == judge(quiet, unknown).harm_upper
    assert judge(quiet, dealt).harm_upper > judge(quiet, asked(randomised=True)).harm_upper


def test_an_answer_says_what_was_divided() -> None:
    """An operator has to know whether the number they gave entered the accusation."""
    assert "every count is divided" in asked(cluster=2).assumes
    assert "harmful is not" in asked(cluster=2, randomised=True).assumes
    assert "machine by machine" in asked(randomised=True).assumes
