"""Bookkeepings that an engineer might write, and that shut good releases.

Each differs from a valid one in a single rule, and each is judged by the product's own evidence:
what is wrong is only who is counted as what. A harness that does not see these would not see a
fault in the product either. Hourly buckets; ``cap`` new treated machines a bucket; an index event
is a machine's poll, its outcome is silence for the machine's own deadline.

Source of the list: cohorts.md 3.2.
"""

from collections.abc import Callable, Sequence

import numpy as np
from tests.worlds import HOUR, Bools, Floats, Ints, World

from firedoor.core import silence
from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts


def fresh_coin(world: World, chance: np.random.Generator, cap: int) -> Ints:
    """The valid reference: a fresh random draw a bucket, one index event a machine and bucket."""
    return _play(world, lambda who, _: _some(chance, len(who), cap))


def every_poll_a_control(world: World, chance: np.random.Generator, cap: int) -> Ints:
    """As the reference, but each poll of an untreated machine counts as a control."""
    return _play(world, lambda who, _: _some(chance, len(who), cap), every_poll=True)


def persistent_hash(world: World, chance: np.random.Generator, cap: int) -> Ints:
    """As the reference, but treated is whose hash, drawn once, lies below a rising threshold."""
    drawn = chance.random(world.machines)
    rise = cap / world.machines
    return _play(world, lambda who, bucket: drawn[who] < rise * (bucket + 1))


def first_come(world: World, chance: np.random.Generator, cap: int) -> Ints:
    """As the reference, but the first machines of a bucket are treated."""
    del chance
    return _play(world, lambda who, _: np.arange(len(who)) < cap)


def largest_log_e(tables: Sequence[Ints]) -> Floats:
    """Largest ln E that each run ever reached, shape (runs,)."""
    cells = np.stack(tables, axis=1)
    state = harm.start(cells.shape[1])
    largest = np.zeros(cells.shape[1])
    for epoch, bucket in enumerate(cells):
        state = harm.absorb(state, Counts.of(*bucket.T), epoch)
        largest = np.maximum(largest, harm.log_e(state))
    return largest


def _play(world: World, choose: Callable[[Ints, int], Bools], *, every_poll: bool = False) -> Ints:
    """Cells of one run, shape (buckets, 4): treated, control, and the harmed of each."""
    deadlines = np.array([world.deadline(cls) for cls in range(silence.LAST_CLASS + 1)])
    treated = np.zeros(world.machines, np.bool_)
    buckets = int(world.end // HOUR)
    cells = np.zeros((buckets, 4), np.int64)
    borders = np.searchsorted(world.at, np.arange(buckets + 1) * HOUR)
    for bucket in range(buckets):
        at = world.at[borders[bucket] : borders[bucket + 1]]
        who = world.who[borders[bucket] : borders[bucket + 1]]
        mine = ~treated[who]
        at, who = at[mine], who[mine]
        first = np.sort(np.unique(who, return_index=True)[1])
        chosen = who[first][choose(who[first], bucket)]
        treated[chosen] = True
        index = first
        if every_poll:
            denied = np.flatnonzero(~treated[who])
            index = np.concatenate([first[treated[who[first]]], denied])
        at, who = at[index], who[index]
        deadline = deadlines[world.cls[who]]
        followed = (bucket + 1) * HOUR + deadline <= world.end
        silent = world.next_poll(who, at) > at + deadline
        arms = (treated[who] & followed, ~treated[who] & followed)
        cells[bucket] = [arm.sum() for arm in (*arms, *(arm & silent for arm in arms))]
    return cells


def _some(chance: np.random.Generator, machines: int, cap: int) -> Bools:
    return chance.permutation(machines) < cap
