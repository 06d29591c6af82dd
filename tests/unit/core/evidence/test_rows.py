import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from firedoor.core.evidence import clearance, excess, harm, history, mixture, relative, rows
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.rows import COLUMNS, UNIT

COUNTS = Counts.of([5, 20, 5, 0, 9], [45, 180, 45, 9, 0], [1, 3, 0, 0, 4], [0, 5, 0, 3, 0])
HALVES = [0.5, 1 / 6, 1 / 12]


def some_rows() -> tuple[rows.Row, ...]:
    return rows.rows_of(["crash"] * 5, list("abcde"), [0, 0, 1, 2, 2], COUNTS)


def test_rounding_goes_down_and_never_far() -> None:
    """Rounding up, a million cells of a good release would add up to an accusation."""
    factors = np.concatenate([harm.plain(COUNTS), harm.linear(COUNTS)], axis=1)
    lost = factors - rows.quantised(COUNTS) * UNIT
    compares = np.array([True, True, False, False, False])

    assert ((lost[compares] >= UNIT) & (lost[compares] <= 2 * UNIT)).all()
    assert not rows.quantised(COUNTS)[~compares].any()


@pytest.mark.parametrize(("treated", "control", "events"), [(3, 4, 3), (5, 45, 2), (1, 1, 1)])
def test_rounded_factors_have_mean_below_one_in_exact_arithmetic(
    treated: int, control: int, events: int
) -> None:
    """The guarantee of the sums themselves, without a tolerance for floating point."""
    x1 = range(max(0, events - control), min(events, treated) + 1)
    ways = [math.comb(treated, x) * math.comb(control, events - x) for x in x1]
    quantised = rows.quantised(Counts.of(treated, control, list(x1), [events - x for x in x1]))

    for column in range(COLUMNS):
        mean = sum(
            way * Fraction(math.exp(units * UNIT))
            for way, units in zip(ways, quantised[:, column].tolist(), strict=True)
        ) / sum(ways)
        assert Fraction(999_999, 1_000_000) < mean < 1


def test_sums_say_what_the_living_stream_says() -> None:
    """A judge that is rebuilt from a database must come to the verdict of the one that died."""
    live = harm.start(1)
    shares, cash = [], 1.0
    for number, epoch in enumerate([0, 0, 1, 2, 2]):
        row = Counts.of(
            *(
                int(column[number])
                for column in (
                    COUNTS.treated,
                    COUNTS.control,
                    COUNTS.treated_harmed,
                    COUNTS.control_harmed,
                )
            )
        )
        live = harm.absorb(live, row, epoch)
    for epoch in range(3):
        opened = mixture.open_through(mixture.start(1), epoch)
        left = 1.0 - float(np.exp(opened.placed).sum())
        shares.append(cash - left)
        cash = left

    sums = rows.summed(rows.merged(some_rows()))
    log_e = rows.log_e(rows.table(sums, ["crash"], 3), shares)

    assert log_e[0] == pytest.approx(harm.log_e(live)[0], abs=1e-8)
    assert log_e[0] < harm.log_e(live)[0]


def test_a_stream_without_rows_has_no_evidence() -> None:
    """E = 1, whatever epochs have passed."""
    empty = rows.table({}, ["crash", "check"], 3)

    assert rows.log_e(empty, HALVES) == pytest.approx([0.0, 0.0], abs=1e-15)
    assert rows.log_e(rows.table({}, ["crash"], 0), np.zeros(0)) == pytest.approx([0.0])


def test_sums_count_what_was_counted() -> None:
    """The console shows machines, not only logarithms."""
    sums = rows.summed(rows.merged(some_rows()))

    assert list(sums) == [("crash", 0), ("crash", 1), ("crash", 2)]
    first = sums["crash", 0]
    assert (first.cells, first.treated, first.control) == (2, 25, 225)
    assert (first.treated_harmed, first.control_harmed) == (4, 5)


def test_two_accounts_of_one_cell_are_refused() -> None:
    """Whichever were taken, the other shard would have judged differently."""
    one = some_rows()
    other = [replace(one[0], treated=6)]

    with pytest.raises(ValueError, match="two different rows for cell a"):
        rows.merged(one, other)


def test_one_cell_may_speak_in_several_streams() -> None:
    """A crash at one site counts for all machines and for those of its site."""
    both = rows.merged(some_rows(), [replace(row, stream="site=7") for row in some_rows()])

    sums = rows.summed(both)

    assert len(both) == 10
    assert sums["crash", 0] == sums["site=7", 0]


@pytest.mark.parametrize(
    "shares",
    [[0.5, 0.6, 0.0], [1.5, -0.5, 0.0], [0.5, 0.1], [math.nan, 0.1, 0.1]],
)
def test_shares_that_are_no_shares_are_refused(shares: list[float]) -> None:
    """Wealth out of nothing would be evidence out of nothing."""
    with pytest.raises(ValueError, match="share"):
        rows.log_e(rows.table({}, ["crash"], 3), shares)


def test_rows_that_cannot_be_are_refused() -> None:
    """A closing without a name could be counted twice."""
    with pytest.raises(ValueError, match="one cell"):
        rows.rows_of(["crash"], ["a"], [0], COUNTS)
    with pytest.raises(ValueError, match="from 0"):
        rows.rows_of(["crash"] * 5, list("abcde"), [0, 0, 1, -1, 2], COUNTS)
    with pytest.raises(ValueError, match="after epoch 1"):
        rows.table(rows.summed(rows.merged(some_rows())), ["crash"], 2)
    with pytest.raises(ValueError, match="whole numbers can hold"):
        rows.table({("crash", 0): rows.Sum(1, (1 << 62,) * COLUMNS)}, ["crash"], 2)


def test_a_living_stream_is_at_most_64_numbers() -> None:
    """Ten million streams must fit into one judge's memory, whatever the size of the fleet."""
    sharing = harm.start(1), history.start(1)
    per_release = clearance.start(1, 0.01), excess.start(1)

    concurrent = sum(
        wealth.placed.size + wealth.epochs.size for wealth in (sharing[0].plain, sharing[0].linear)
    )
    past = sharing[1].wealth.placed.size + sharing[1].wealth.epochs.size + sharing[1].control.size
    cleared = sum(
        array.size
        for array in (
            per_release[0].intercepts,
            per_release[0].slopes,
            per_release[0].control,
            per_release[0].control_harmed,
            per_release[1].intercepts,
            per_release[1].slopes,
        )
    )
    common = relative.start(1, 2.0)

    assert concurrent == 22
    assert concurrent + past <= 64
    assert cleared + common.plain.size + common.linear.size <= 64
