"""The placebo audit: it finds what it is for, and does not cry over what chance does."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from firedoor.core.cell import Cell, Test
from firedoor.core.signal import ANY, CRASH, SILENCE
from firedoor.core.verdict import Rules
from firedoor.services import placebo

RULES = Rules(
    alpha_harm=0.001, alpha_warn=0.05, alpha_clear=0.05, delta=0.01, shares=((SILENCE, 1.0),)
)


def harm(seq: int, m1: int, m0: int, x1: int, x0: int, *, signal: str = SILENCE) -> Cell:
    return Cell(seq, "everyone", 1, 0, Test.HARM, signal, "", m1, m0, x1, x0)


def clearance(seq: int, m1: int, m0: int, x1: int, x0: int) -> Cell:
    return Cell(seq, "everyone", 1, 0, Test.CLEARANCE, ANY, "", m1, m0, x1, x0)


# Two classes of one deck: a crash, a silent machine of the first class, which matures and loses
# another later; then the second class.
DECK = [
    harm(1, 4, 5, 1, 0),
    harm(2, 3, 5, 0, 1),
    clearance(3, 2, 3, 0, 1),
    harm(4, 2, 2, 1, 0),
    clearance(5, 2, 2, 1, 0),
]


def test_cards_dealt_again_are_as_likely_as_the_cards_were():
    """Every deal of four treated cards among nine machines, counted out by hand."""
    # Machines: 0 crashes, 1 is silent (class A), 2 is silent late (A), 3 to 5 are well (A).
    # The rest is class B; the crashed one belongs to it.
    exact: Counter[tuple[tuple[int, int, int], ...]] = Counter()
    for treated in itertools.combinations(range(9), 4):
        has = [machine in treated for machine in range(9)]
        matured = has[2:5] + has[5:6]
        exact[
            (4, 5, has[0]),
            (4 - has[0], 4 + has[0], has[1]),
            (sum(matured), 4 - sum(matured), has[2]),
        ] += 1
    chance, deals = np.random.default_rng(5), 6_000

    found = Counter(
        tuple(
            (cell.treated, cell.control, cell.treated_harmed)
            for cell in placebo.deal_again(DECK, chance)
        )
        for _ in range(deals)
    )

    assert found.keys() <= exact.keys()
    likely = [key for key in exact if exact[key] >= 2]
    expected = [deals * exact[key] / math.comb(9, 4) for key in likely]
    seen = [found[key] for key in likely]
    scale = sum(seen) / sum(expected)
    assert stats.chisquare(seen, [scale * each for each in expected]).pvalue > 1e-3


def test_a_deck_that_has_not_closed_is_not_dealt_again():
    """Nobody knows yet how many hold its cards."""
    chance = np.random.default_rng(1)

    assert placebo.deal_again(DECK[:4], chance) == []
    (trial,) = (placebo.tried(2, RULES, DECK[:4], deals=5, chance=chance),)
    assert trial.dealt == ()


def test_a_signal_that_decides_nothing_is_no_part_of_the_audit():
    """Its members stay sealed: another harm of theirs may still be counted."""
    shown = harm(1, 2, 3, 2, 1, signal=CRASH)
    rules = replace(RULES, shares=((SILENCE, 1.0), (CRASH, 0.0)))
    cells = [replace(cell, seq=cell.seq + 1) for cell in DECK]
    deals = [
        placebo.tried(2, rules, each, deals=10, chance=np.random.default_rng(3))
        for each in (DECK, [shown, *cells])
    ]

    assert deals[0] == deals[1]
    assert len(deals[0].dealt) == 10


def played(chance: np.random.Generator, *, biased: bool) -> list[Cell]:
    """A good release whose eight machines in trouble are in the treated arm, or anywhere."""
    hit = 8 if biased else int(chance.hypergeometric(20, 60, 8))
    return [harm(1, 20, 60, hit, 8 - hit), clearance(2, 20, 60, hit, 8 - hit)]


@pytest.mark.parametrize("biased", [False, True])
def test_the_audit_finds_cards_that_go_with_harm_and_nothing_else(biased):
    """A cache before the gate that gives the release to the sick ones is found; chance is not."""
    chance = np.random.default_rng(11)
    trials = [
        placebo.tried(number, RULES, played(chance, biased=biased), deals=30, chance=chance)
        for number in range(30)
    ]

    found = placebo.asked(trials)

    assert found.passed is not biased
    assert found.dealt.asked == 900
    assert found.dealt.passed
    assert found.unusual.passed is not biased


@pytest.mark.parametrize(("deals", "releases"), [(1, 0), (18, 0), (19, 50), (20, 50)])
def test_too_few_deals_are_not_asked_who_is_unusual(deals, releases):
    """Of eighteen deals none can be one in twenty: the question would pass whatever happened."""
    trials = [placebo.Trial(n, 0.05, 50.0, (0.0,) * deals) for n in range(50)]

    unusual = placebo.asked(trials).unusual

    assert (unusual.asked, unusual.alarms) == (releases, releases)


@pytest.mark.parametrize(("trials", "alpha"), [(0, 0.05), (1, 0.05), (50, 0.05), (1_000, 0.01)])
def test_the_bound_is_the_binomial_one(trials, alpha):
    """Passed means that chance does this more than once in a hundred."""
    most = placebo.most_by_chance(trials, alpha)

    assert stats.binom.sf(most, trials, alpha) <= 0.01
    assert most == 0 or stats.binom.sf(most - 1, trials, alpha) > 0.01
