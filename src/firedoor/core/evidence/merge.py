r"""Merging e-processes of one filtration: the hedged product.

All harm cells of a release come from sealed decks, and each closing is weighed given everything
that was known before it (cohorts.md 2). In that one filtration the factors of different signals,
or of machines that differ, are factors of one game played move after move: whoever multiplies
them plays it with the whole wealth. So e-processes that use *different cells* may be multiplied,
where e-processes known to be valid one by one only may be averaged.

A plain product would be ruined by one signal that stays quiet while its bets lose. The *hedged*
product keeps the share 1 - q of the wealth out of each game:

    E  =  prod over i of ((1 - q_i) + q_i E_i)
       =  sum over sets A of  [prod_A q_i] [prod_not-A (1 - q_i)]  prod_A E_i

It is the mixture over which of them are worth betting on. Harm that shows in one alone costs
ln(1/q) and, for every other one whose bets lose, at most ln(1/(1-q)); harm that shows in several
multiplies. The weighted mean, by comparison, costs ln(1/weight) and adds.

E-processes that look at the *same* cells (all machines together; by model; by site) must not be
multiplied: they are averaged.

Validity: every E_i changes only at its own cells; a cell's factor has mean at most 1 given the
past of all of them; so each product over a set A is a supermartingale, and so is the mixture.

Source: evidence.md 5.1 (hedged product, there between parties); ADR 0012 (why it holds between
the signals of one judge, and what it gains).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np

from firedoor.core.evidence.counts import Floats

SPREADS: Final = (1 / 2, 1 / 8, 1 / 64)
"""Shares u bet on each of several values of an attribute; nobody knows how many are hit, or how
many there are, so all three are tried with a third of the wealth each."""


Bets: TypeAlias = tuple[float, float, float]
"""ln((1 - u) + u E) for each share u of :data:`SPREADS`."""


def hedged(log_e: float, share: float) -> float:
    """ln((1 - q) + q E) for q in [0, 1]; ``log_e`` finite or -inf."""
    if share <= 0.0:
        return 0.0
    if share >= 1.0:
        return log_e
    return _log_add(math.log1p(-share), math.log(share) + log_e)


def product(parts: Iterable[tuple[float, float]]) -> float:
    """Log of the hedged product of (ln E_i, q_i); 0 of none."""
    return math.fsum([hedged(log_e, share) for log_e, share in parts])


def mean(log_e: Sequence[float]) -> float:
    """Log of the plain mean; valid under any dependence, the same cells included. 0 of none."""
    if not log_e:
        return 0.0
    top = max(log_e)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum([math.exp(each - top) for each in log_e]) / len(log_e))


def bets_of(log_e: float) -> Bets:
    """What one value's evidence brings to each of the spreads; :func:`spread_of` merges them."""
    one, other, third = SPREADS
    return hedged(log_e, one), hedged(log_e, other), hedged(log_e, third)


def bets_of_all(log_e: Floats) -> list[Bets]:
    """:func:`bets_of` each of them, with the same bits."""
    # Not np.log1p and np.exp: they are other functions than those of ``math``, and round apart.
    columns = [np.logaddexp(math.log1p(-u), math.log(u) + log_e).tolist() for u in SPREADS]
    return list(zip(*columns, strict=True))


def spread_of(bets: Iterable[Bets]) -> float:
    """Log of the merged evidence of values that exclude each other (models, sites).

    Args:
        bets: :func:`bets_of` every value that had an event, in any order: the sums are exact. A
            value without has E = 1 and may be left out: it changes nothing.
    """
    return mean([math.fsum(column) for column in zip(*bets, strict=True)])


def _log_add(one: float, other: float) -> float:
    low, high = (one, other) if one <= other else (other, one)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
