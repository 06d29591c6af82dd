r"""Attribution: which of two releases that roll out over one another does the harm.

A machine has release A or not (a = 0, 1) and release B or not (b = 0, 1). Per tick and pair:
machines at risk and newly harmed machines for each of the four states. If the planner orders the
machines of each channel by a hash of its own, A says nothing of B, and each release has a
contrast in both states of the other:

    A given B = b :   (A=1, B=b)  against  (A=0, B=b),      evidence 2.3 of each b by itself
    E_A           =   mean of  {b = 0 alone,  b = 1 alone,  both b multiplied}

E_A is valid under "A is harmless whatever B does", even if B is lethal; the comparison that
ignores B (*marginal*) is not: it blames whatever travels with the guilty.

    only A         E_A is high, E_B is not
    both           each is high where the other is absent, or each is high in all it can see
    interaction    each is high only where the other is present
    joint suspects a marginal is high and no contrast has said whose it is: the same machines at
                   the same times. Hold both and de-synchronise them; never guess.

For people who must choose what to look at first there is a ranking of {A, B, both, interaction}
by posterior probability. It carries no error guarantee, and identical releases share it.

Assumption: as in :mod:`firedoor.core.evidence.harm`, given B's state A's label is dealt at random
or machines are harmed independently. High means E >= 1/alpha; each of the six processes behind a
pair errs with alpha.

Source: evidence.md 4.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.harm import Harm
from firedoor.core.evidence.mixture import LOG_PRIOR, RATIOS, frozen, log_sum

RANKED: Final = ("A", "B", "both", "interaction")
"""Explanations in the order of the posterior's columns."""

RANK_PRIOR: Final = frozen(np.array([0.4, 0.4, 0.1, 0.1]))
"""Prior of each, shape (4,), sum 1: two culprits at once are rare."""

_LN_3: Final = math.log(3.0)


class Culprit(StrEnum):
    """What the contrasts say of a pair of releases."""

    NOBODY = "nobody yet"
    """Nothing is high."""
    A = "only A"
    B = "only B"
    BOTH = "both"
    """Each does harm by itself."""
    INTERACTION = "interaction"
    """Harm where both are installed; neither has been seen to do any alone."""
    JOINT = "joint suspects"
    """Harm, and nothing to tell whose: hold both and de-synchronise."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """One tick of S pairs; every array has shape (S, 2, 2), indexed [pair, a, b], read-only.

    Attributes:
        machines: Machines at risk in each state, count >= 0.
        harmed: Of those, newly harmed in this tick, in 0..machines.
    """

    machines: Ints
    harmed: Ints

    @classmethod
    def of(cls, machines: ArrayLike, harmed: ArrayLike) -> Self:
        """Check counts.

        Args:
            machines: Whole numbers, shape (2, 2) or (S, 2, 2).
            harmed: Likewise.

        Raises:
            ValueError: Another shape, no whole numbers, or more harmed than at risk.
        """
        at_risk, events = np.asarray(machines), np.asarray(harmed)
        if at_risk.shape != events.shape or at_risk.shape[-2:] != (2, 2) or at_risk.ndim > 3:  # noqa: PLR2004 - pair, a, b
            raise ValueError("an overlap counts the four states of a pair, shape (S, 2, 2)")
        checked = Counts.of(at_risk.ravel(), 0, events.ravel(), 0)
        shape = (-1, 2, 2)
        return cls(checked.treated.reshape(shape), checked.treated_harmed.reshape(shape))


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Harm evidence against one release of each of S pairs.

    Attributes:
        marginal: The other release ignored.
        absent: Among machines without the other release.
        present: Among machines with it.
        stratified: The two multiplied.
    """

    marginal: Harm
    absent: Harm
    present: Harm
    stratified: Harm


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """State of S pairs.

    Attributes:
        a: Evidence against A.
        b: Evidence against B.
        single: Log likelihood ratios of "A", "B" and "interaction" over "none", for each rate
            ratio, shape (S, 3, J).
        double: Of "both", for each pair of ratios of A and B, shape (S, J, J).
    """

    a: Suspicion
    b: Suspicion
    single: Floats
    double: Floats

    def __eq__(self, other: object) -> bool:
        """Equal to the last bit."""
        return (
            isinstance(other, Pairs)
            and self.a == other.a
            and self.b == other.b
            and np.array_equal(self.single, other.single)
            and np.array_equal(self.double, other.double)
        )

    __hash__ = None  # type: ignore[assignment]  # a value made of arrays has no cheap hash


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of one pair.

    Attributes:
        culprit: The verdict.
        log_e_a: ln E_A, contrasts only.
        log_e_b: ln E_B, contrasts only.
        log_e_alone_a: ln E of A among machines without B.
        log_e_alone_b: ln E of B among machines without A.
        log_e_marginal_a: The same with B ignored.
        log_e_marginal_b: The same with A ignored.
        posterior: Probability of each of :data:`RANKED`, sum 1; for people, no guarantee.
    """

    culprit: Culprit
    log_e_a: float
    log_e_b: float
    log_e_alone_a: float
    log_e_alone_b: float
    log_e_marginal_a: float
    log_e_marginal_b: float
    posterior: tuple[float, float, float, float]


def start(pairs: int) -> Pairs:
    """Nothing seen of any pair."""
    fresh = harm.start(pairs)
    suspicion = Suspicion(fresh, fresh, fresh, fresh)
    ratios = len(RATIOS)
    return Pairs(
        suspicion,
        suspicion,
        frozen(np.zeros((pairs, 3, ratios))),
        frozen(np.zeros((pairs, ratios, ratios))),
    )


def absorb(pairs: Pairs, overlap: Overlap, epoch: ArrayLike) -> Pairs:
    """Take one tick into each of S pairs.

    Args:
        pairs: State before, S pairs.
        overlap: The tick, S rows. States nobody is in say nothing.
        epoch: Present epoch, a scalar or shape (S,), from 0.

    Returns:
        The state after; the argument is untouched.
    """
    m, x = overlap.machines, overlap.harmed
    # The same release's labels for B: turn the square about its diagonal.
    turned = Overlap(m.transpose(0, 2, 1), x.transpose(0, 2, 1))
    g = RATIOS
    ones = np.ones_like(g)
    # How often each state is harmed, per explanation and ratio, relative to the state (0, 0).
    single = np.array(
        [
            [[ones, ones], [g, g]],
            [[ones, g], [ones, g]],
            [[ones, ones], [ones, g]],
        ]
    )
    square = np.ones((len(g), len(g)))
    double = np.array([[square, square * g], [square * g[:, None], np.outer(g, g)]])
    return Pairs(
        _suspect(pairs.a, overlap, epoch),
        _suspect(pairs.b, turned, epoch),
        frozen(pairs.single + _log_likelihood(m, x, single)),
        frozen(pairs.double + _log_likelihood(m, x, double[None])[:, 0]),
    )


def findings(pairs: Pairs, alpha: float) -> tuple[Findings, ...]:
    """Say of each pair what the contrasts have shown.

    Args:
        pairs: State of S pairs.
        alpha: Level of each process, in (0, 1).

    Raises:
        ValueError: alpha is out of range.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha {alpha} is not in (0, 1)")
    a, b = _log_e(pairs.a), _log_e(pairs.b)
    marginal_a, marginal_b = harm.log_e(pairs.a.marginal), harm.log_e(pairs.b.marginal)
    alone_a, alone_b = harm.log_e(pairs.a.absent), harm.log_e(pairs.b.absent)
    together_a, together_b = harm.log_e(pairs.a.present), harm.log_e(pairs.b.present)
    enough = -math.log(alpha)
    ranked = posterior(pairs)
    return tuple(
        Findings(
            _culprit(
                high_a=bool(a[n] >= enough),
                high_b=bool(b[n] >= enough),
                only_together=bool(
                    max(alone_a[n], alone_b[n]) < enough
                    and min(together_a[n], together_b[n]) >= enough
                ),
                high_marginal=bool(max(marginal_a[n], marginal_b[n]) >= enough),
            ),
            float(a[n]),
            float(b[n]),
            float(alone_a[n]),
            float(alone_b[n]),
            float(marginal_a[n]),
            float(marginal_b[n]),
            tuple(float(share) for share in ranked[n]),  # type: ignore[arg-type]  # four columns
        )
        for n in range(len(a))
    )


def posterior(pairs: Pairs) -> Floats:
    """Probability of each of :data:`RANKED` given that one of them is true, shape (S, 4)."""
    single = log_sum(pairs.single + LOG_PRIOR, axis=2)
    prior = (LOG_PRIOR[:, None] + LOG_PRIOR).ravel()
    double = log_sum(pairs.double.reshape(len(single), -1) + prior, axis=1)
    logs = np.log(RANK_PRIOR) + np.stack([single[:, 0], single[:, 1], double, single[:, 2]], axis=1)
    shares: Floats = np.exp(logs - log_sum(logs, axis=1)[:, None])
    return shares


def _culprit(*, high_a: bool, high_b: bool, only_together: bool, high_marginal: bool) -> Culprit:
    if only_together:
        return Culprit.INTERACTION
    match high_a, high_b:
        case True, True:
            return Culprit.BOTH
        case True, False:
            return Culprit.A
        case False, True:
            return Culprit.B
        case _:
            return Culprit.JOINT if high_marginal else Culprit.NOBODY


def _suspect(suspicion: Suspicion, overlap: Overlap, epoch: ArrayLike) -> Suspicion:
    """Take a tick against the release that the first index speaks of."""
    m, x = overlap.machines, overlap.harmed
    absent, present = (
        Counts.of(m[:, 1, other], m[:, 0, other], x[:, 1, other], x[:, 0, other])
        for other in (0, 1)
    )
    m, x = m.sum(axis=2), x.sum(axis=2)
    everybody = Counts.of(m[:, 1], m[:, 0], x[:, 1], x[:, 0])
    return Suspicion(
        harm.absorb(suspicion.marginal, everybody, epoch),
        harm.absorb(suspicion.absent, absent, epoch),
        harm.absorb(suspicion.present, present, epoch),
        harm.absorb(harm.absorb(suspicion.stratified, absent, epoch), present, epoch),
    )


def _log_e(suspicion: Suspicion) -> Floats:
    """Log of E against a release: the mean of its three contrasts, shape (S,)."""
    each = (suspicion.absent, suspicion.present, suspicion.stratified)
    return log_sum(np.stack([harm.log_e(process) for process in each]), axis=0) - _LN_3


def _log_likelihood(machines: Ints, harmed: Ints, weights: Floats) -> Floats:
    """Log likelihood ratio of where the harmed machines of a tick were, over "none".

    Given their number, the harmed fall on the four states in proportion to machines times weight.

    Args:
        machines: Shape (S, 2, 2).
        harmed: Shape (S, 2, 2).
        weights: Shape (explanations, 2, 2, ...), > 0.

    Returns:
        Shape (S, explanations, ...).
    """
    logs = np.einsum("sab,eab...->se...", harmed.astype(np.float64), np.log(weights))
    total = machines.sum(axis=(1, 2))
    mean = np.einsum("sab,eab...->se...", machines / np.maximum(total, 1)[:, None, None], weights)
    events = harmed.sum(axis=(1, 2)).reshape(-1, *[1] * (logs.ndim - 1))
    ratio: Floats = logs - events * np.log(np.where(events > 0, mean, 1.0))
    return ratio
