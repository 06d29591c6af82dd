"""Laws of a closing that is split by stratum: it says what the whole would have said, once."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.cell import MOST_STRATA, Cell, Test, by_stratum
from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.mixture import RATIOS

pools = st.integers(1, 4).flatmap(
    lambda strata: st.tuples(
        st.lists(st.integers(0, strata - 1), min_size=2, max_size=9), st.integers(1, 8)
    )
)


def whole(treated: int, control: int, x1: int, x0: int) -> Cell:
    return Cell(0, "everyone", 1, 0, Test.HARM, "silence", "", treated, control, x1, x0)


def closing(labels: list[bool], harmed: list[bool], strata: list[int]) -> tuple[Cell, ...]:
    """The cells of one closing of a pool whose members have these labels."""
    counts = {f"model=m{s}": [0, 0] for s in set(strata)}
    for label, hit, stratum in zip(labels, harmed, strata, strict=True):
        if hit:
            counts[f"model=m{stratum}"][0 if label else 1] += 1
    x1 = sum(a for a, _ in counts.values())
    x0 = sum(b for _, b in counts.values())
    treated = sum(labels)
    cell = whole(treated, len(labels) - treated, x1, x0)
    return by_stratum(cell, {name: (a, b) for name, (a, b) in counts.items()})


def factor(cells: tuple[Cell, ...], kind: str) -> Floats:
    """Product of the cells' factors, shape (J,)."""
    weigh = harm.plain if kind == "exact" else harm.linear
    parts = [weigh(Counts.of_cell(cell))[0] for cell in cells]
    product: Floats = np.exp(np.sum(parts, axis=0)) if parts else np.ones(len(RATIOS))
    return product


@settings(max_examples=40, deadline=None)
@given(pools, st.data(), st.sampled_from(["exact", "linear"]))
def test_over_all_deals_the_product_of_the_cells_has_mean_one(pool, data, kind):
    """The proof in small: every arrangement of the cards, every stratum, any set of harmed."""
    strata, treated = pool
    size = len(strata)
    treated = min(treated, size)
    harmed = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    total = np.zeros(len(RATIOS))
    deals = 0
    for chosen in itertools.combinations(range(size), treated):
        labels = [member in chosen for member in range(size)]
        total += factor(closing(labels, harmed, strata), kind)
        deals += 1

    assert deals == math.comb(size, treated)
    assert total / deals == pytest.approx(1.0, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(pools, st.data())
def test_a_split_closing_counts_every_harmed_machine_once_and_reveals_them_in_turn(pool, data):
    """Pooled, the cells are the closing; each is at risk what the one before it left."""
    strata, _ = pool
    size = len(strata)
    labels = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    harmed = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    cells = closing(labels, harmed, strata)

    hit = [label for label, is_hit in zip(labels, harmed, strict=True) if is_hit]
    assert sum(cell.treated_harmed for cell in cells) == sum(hit)
    assert sum(cell.control_harmed for cell in cells) == len(hit) - sum(hit)
    assert [cell.stratum for cell in cells] == sorted({cell.stratum for cell in cells})
    treated, control = sum(labels), size - sum(labels)
    for cell in cells:
        assert (cell.treated, cell.control) == (treated, control)
        treated, control = treated - cell.treated_harmed, control - cell.control_harmed


def test_ten_thousand_strata_make_a_bounded_number_of_cells():
    """A site for each machine must not make a closing that takes a minute to weigh."""
    harmed = {f"site=s{n:05}": (1, 1) for n in range(10_000)} | {"site=big": (30, 0)}
    cells = by_stratum(whole(20_000, 20_000, 10_030, 10_000), harmed)

    assert len(cells) == MOST_STRATA
    assert "site=big" in {cell.stratum for cell in cells}  # whoever has most events keeps its name
    assert sum(cell.treated_harmed for cell in cells) == 10_030
    assert cells[0].stratum == ""


def test_which_strata_share_a_cell_does_not_depend_on_the_cards():
    """Swapping all cards must swap the counts of every cell and nothing else."""
    harmed = {f"site=s{n:05}": (n % 3, 2 - n % 3 + n % 2) for n in range(1_000)}
    x1, x0 = (sum(part) for part in zip(*harmed.values(), strict=True))
    there = by_stratum(whole(5_000, 5_000, x1, x0), harmed)
    swapped = {stratum: (b, a) for stratum, (a, b) in harmed.items()}
    back = by_stratum(whole(5_000, 5_000, x0, x1), swapped)

    assert [cell.stratum for cell in there] == [cell.stratum for cell in back]


def test_strata_that_do_not_add_up_are_refused():
    """A member counted in no stratum would stay sealed with its label known."""
    with pytest.raises(ValueError, match="add up"):
        by_stratum(whole(5, 5, 2, 0), {"site=a": (1, 0)})
