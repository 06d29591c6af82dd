from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence import harm, mixture, rows
from firedoor.core.evidence.counts import Counts, Floats

EPOCHS = 6

Closing = tuple[str, int, tuple[int, int, int, int]]


@st.composite
def closings(draw: st.DrawFn) -> list[Closing]:
    """Stream, epoch and counts of every cell of a week, in the order of closing."""
    found = []
    for _ in range(draw(st.integers(1, 15))):
        m1, m0 = draw(st.integers(0, 40)), draw(st.integers(0, 360))
        counts = (m1, m0, draw(st.integers(0, m1)), draw(st.integers(0, min(m0, 80))))
        found.append((draw(st.sampled_from(["crash", "site=7"])), draw(st.integers(0, 5)), counts))
    return sorted(found, key=lambda each: each[1])


def rows_of(found: list[Closing]) -> list[rows.Row]:
    return list(
        rows.rows_of(
            [stream for stream, _, _ in found],
            [str(number) for number in range(len(found))],
            [epoch for _, epoch, _ in found],
            Counts.of(*np.array([counts for _, _, counts in found]).T),
        )
    )


def shares() -> list[float]:
    """What the living mixture gives each epoch."""
    cash = [1.0]
    for epoch in range(EPOCHS):
        opened = mixture.open_through(mixture.start(1), epoch)
        cash.append(1.0 - float(np.exp(opened.placed).sum()))
    return [before - after for before, after in pairwise(cash)]


def log_e(sums: dict[tuple[str, int], rows.Sum]) -> Floats:
    return rows.log_e(rows.table(sums, ["crash", "site=7"], EPOCHS), shares())


@given(closings(), st.integers(1, 4), st.randoms())
def test_shards_order_repeats_and_replays_leave_the_same_bits(
    found: list[Closing], shards: int, dice: Random
) -> None:
    """Many judges, a message bus that delivers twice and a restore from backup: one verdict."""
    all_rows = rows_of(found)
    whole = rows.summed(rows.merged(all_rows))

    scattered: list[list[rows.Row]] = [[] for _ in range(shards)]
    for row in all_rows + dice.choices(all_rows, k=len(all_rows)):
        dice.choice(scattered).append(row)
    for shard in scattered:
        dice.shuffle(shard)
    again = rows.summed(rows.merged(*scattered, rows.merged(*scattered[:1]).values()))

    assert again == whole
    assert np.array_equal(log_e(again), log_e(whole))


@given(closings(), st.randoms())
def test_sums_of_separate_shards_add_up_to_the_bits_of_the_whole(
    found: list[Closing], dice: Random
) -> None:
    """A GROUP BY SUM per shard and another one over the shards, in any engine."""
    all_rows = rows_of(found)
    dice.shuffle(all_rows)
    cut = dice.randrange(len(all_rows) + 1)
    one, other = (rows.summed(rows.merged(part)) for part in (all_rows[:cut], all_rows[cut:]))

    added = {
        place: one.get(place, rows.Sum()) + other.get(place, rows.Sum())
        for place in one.keys() | other.keys()
    }

    assert added == rows.summed(rows.merged(all_rows))
    assert np.array_equal(log_e(added), log_e(rows.summed(rows.merged(all_rows))))


@given(closings())
def test_rows_say_what_the_living_streams_say_and_never_more(found: list[Closing]) -> None:
    """What is rebuilt from rows may not accuse where the live judge did not."""
    live = {stream: harm.start(1) for stream in ("crash", "site=7")}
    for stream, epoch, counts in found:
        live[stream] = harm.absorb(live[stream], Counts.of(*counts), epoch)

    rebuilt = log_e(rows.summed(rows.merged(rows_of(found))))

    for said, stream in zip(rebuilt, live, strict=True):
        assert said == pytest.approx(harm.log_e(live[stream])[0], abs=1e-6)
        assert said <= harm.log_e(live[stream])[0] + 1e-12
