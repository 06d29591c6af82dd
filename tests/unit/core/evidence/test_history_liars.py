"""The comparison with the past, where so many of a release's machines may lie."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence import history
from firedoor.core.evidence.counts import Counts, Floats
from firedoor.core.evidence.history import DRIFT, History
from firedoor.core.evidence.mixture import LOG_PRIOR

RATE = 0.03
CLOSINGS = st.lists(
    st.tuples(
        st.integers(3, 40), st.integers(0, 40), st.integers(0, 3), st.integers(0, 3),
        st.sampled_from([0, 0, 1]), st.sampled_from([RATE, RATE, np.inf]),
    ),
    max_size=4,
)  # fmt: skip


def weighed(rows: list[tuple[int, int, int, int, int, float]], liars: int = 0) -> History:
    state, epoch = history.start(1, liars), 0
    for m1, m0, x1, x0, later, rate in rows:
        epoch += later
        state = history.absorb(state, Counts.of(m1, m0, x1, min(x0, m0)), rate, epoch)
    return state


@given(CLOSINGS, st.integers(0, 2))
def test_what_is_spared_is_the_least_of_all_choices_of_whom_to_leave_out(rows, liars):
    """Whoever lied, leaving out just them would not say less; exposure and controls stay."""
    choices = product(*(range(min(liars, row[2]) + 1) for row in rows))
    left = [
        weighed([(*row[:2], row[2] - d, *row[3:]) for row, d in zip(rows, out, strict=True)])
        for out in choices
        if sum(out) <= liars
    ]

    least = np.min([state.wealth.placed[0] for state in left], axis=0)
    spared = weighed(rows, liars)
    assert np.array_equal(spared.wealth.placed[-1], least)
    assert np.array_equal(spared.control, left[0].control)


@given(CLOSINGS, CLOSINGS, st.integers(1, 3))
def test_several_processes_at_once_are_each_as_it_would_be_alone(one, other, liars):
    """Rows of one are together, and none is taken for another's."""
    alone = [weighed(rows, liars) for rows in (one, other)]
    both = History.stacked(alone)
    counts, rates = Counts.of([5, 9], [3, 0], [2, 0], [1, 0]), [RATE, RATE]

    after = history.absorb(both, counts, rates, 3)

    assert len(after) == 2
    for number, state in enumerate(alone):
        own = history.absorb(state, counts.take(np.array([number])), rates[number], 3)
        assert after.take([number]) == own
        assert history.log_e(after)[number] == history.log_e(own)[0]


HONEST, STEPS = 3, 2


def best_for_the_liars(state: History, *, liars: int, steps: int, all_of_them: int) -> Floats:
    """Mean wealth on each bet at the end, for liars that choose by what the honest did."""
    if not steps:
        grown: Floats = np.exp(state.wealth.placed[-1] - placed_at_first())
        return grown
    p = DRIFT * RATE
    mean = np.zeros(len(LOG_PRIOR))
    for x in range(HONEST + 1):
        chance = [1, HONEST, HONEST, 1][x] * p**x * (1 - p) ** (HONEST - x)
        # A lying control may fail, too, so that what follows is frozen or not.
        options = [
            best_for_the_liars(
                history.absorb(
                    state, Counts.of(HONEST + all_of_them, 4, x + lying, failing), RATE, 0
                ),
                liars=liars - lying,
                steps=steps - 1,
                all_of_them=all_of_them,
            )
            for lying, failing in product(range(liars + 1), (0, 2))
        ]
        mean = mean + chance * np.max(options, axis=0)
    return mean


def placed_at_first() -> Floats:
    quiet = history.absorb(history.start(1), Counts.of(0, 0, 0, 0), RATE, 0)
    placed: Floats = quiet.wealth.placed[0]
    return placed


@pytest.mark.parametrize("liars", [0, 1, 2])
def test_no_bet_gains_whatever_so_many_liars_do(liars):
    """They see what the honest did, and choose when to fail and whom to freeze: bet by bet."""
    fair = best_for_the_liars(history.start(1, liars), liars=liars, steps=STEPS, all_of_them=liars)

    assert fair.max() <= 1.0 + 1e-12


def test_one_liar_more_than_are_spared_does_gain():
    """Or the test above could not fail."""
    lied = best_for_the_liars(history.start(1, 1), liars=2, steps=STEPS, all_of_them=2)

    assert lied.max() > 1.5


def test_machines_that_all_fail_are_held_against_it_all_the_same():
    """The price is as many machines as may lie, and what was expected of them beside."""
    enough = [
        next(
            x for x in range(1, 40)
            if history.log_e(weighed([(40, 0, 1, 0, 0, 0.001)] * x, liars))[0] >= np.log(20.0)
        )
        for liars in (0, 1, 2)
    ]  # fmt: skip

    assert enough[0] < enough[1] < enough[2] <= enough[0] + 3
