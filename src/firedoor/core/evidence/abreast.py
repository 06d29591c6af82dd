"""Harm processes abreast: many states that take their closings in one table.

A call of numpy costs as much for one row as for hundreds, and a judge has thousands of small
states. Here the factors of all closings are computed at once, the states stand below each other,
and in every *round* each process takes at most one of its closings, in the given order:

    visits        (A, 1) (A, 2) (B, 1) (A, 3) (C, 3)          (process, closing)
    round 1       (A, 1)        (B, 1)        (C, 3)
    round 2              (A, 2)
    round 3                            (A, 3)

A row's arithmetic depends on nothing but the row, so the bits are those of one process, and one
closing, at a time.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from firedoor.core.evidence import harm, mixture
from firedoor.core.evidence.counts import Counts, Floats, Ints
from firedoor.core.evidence.harm import Factors, Harm
from firedoor.core.evidence.mixture import Wealth, frozen


class Paths(NamedTuple):
    """ln E of a process after each visit, all liars spared; every array has shape (V,)."""

    plain: Floats
    linear: Floats
    log_e: Floats


def run(
    states: Sequence[Harm],
    counts: Counts,
    epochs: Sequence[int],
    process: Sequence[int],
    closing: Sequence[int],
) -> tuple[list[Harm], Paths]:
    """Let processes take closings; the same closing may go to several of them.

    Args:
        states: One for each of P processes, all with the same number of rows (liars + 1), each
            of one stream.
        counts: The closings, S rows.
        epochs: Epoch of each closing, length S, not falling within a process.
        process: Which process takes one, for each of V visits, length V, in 0..P-1.
        closing: And which closing it takes, length V, in 0..S-1.

    Returns:
        The states after, and the way there. The arguments are untouched.
    """
    if not states:
        return [], Paths(*(np.empty(0) for _ in range(3)))
    size, height = len(states), len(states[0].plain.epochs)
    factors = harm.sparing_factors(counts, height - 1)
    plain, linear = (
        np.concatenate(placed).reshape(size, height, -1)
        for placed in ([s.plain.placed for s in states], [s.linear.placed for s in states])
    )
    opened = np.array([state.plain.epochs[0] for state in states])
    on_plain, on_linear = np.empty(len(process)), np.empty(len(process))
    by_process, by_closing, epoch = (np.array(each) for each in (process, closing, epochs))
    for visits in _rounds(by_process):
        rows, taken = by_process[visits], by_closing[visits]
        through = np.repeat(opened[rows], height)
        after = harm.absorb_factors(
            Harm(_wealth(plain[rows], through), _wealth(linear[rows], through)),
            Factors(factors.plain[taken], factors.linear[taken]),
            epoch[taken],
        )
        plain[rows] = after.plain.placed.reshape(plain[rows].shape)
        linear[rows] = after.linear.placed.reshape(plain[rows].shape)
        opened[rows] = after.plain.epochs[::height]
        # The last row answers for all liars.
        on_plain[visits] = mixture.log_e(_wealth(plain[rows, -1], opened[rows]))
        on_linear[visits] = mixture.log_e(_wealth(linear[rows, -1], opened[rows]))
    paths = Paths(on_plain, on_linear, harm.halved(on_plain, on_linear))
    return list(_split(plain, linear, opened)), paths


def _rounds(process: Ints) -> Iterator[Ints]:
    """Visits by how often their process was visited before, each process once in a round."""
    order = np.argsort(process, kind="stable")
    first = np.searchsorted(process[order], process[order])
    before = np.empty_like(order)
    before[order] = np.arange(len(order)) - first
    by_round = np.argsort(before, kind="stable")
    sizes = np.bincount(before)
    yield from np.split(by_round, np.cumsum(sizes)[:-1])


def _wealth(placed: Floats, epochs: Ints) -> Wealth:
    return Wealth(placed.reshape(-1, placed.shape[-1]), epochs)


def _split(plain: Floats, linear: Floats, opened: Ints) -> Iterator[Harm]:
    epochs: dict[int, Ints] = {}
    for one, other, count in zip(plain, linear, opened.tolist(), strict=True):
        if count not in epochs:
            epochs[count] = np.full(plain.shape[1], count, dtype=np.int64)
            epochs[count].flags.writeable = False
        # Copies: a view would keep the table of this tick for as long as the state lives.
        yield Harm(
            Wealth(frozen(one.copy()), epochs[count]), Wealth(frozen(other.copy()), epochs[count])
        )
