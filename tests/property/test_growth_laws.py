"""Laws of a budget that grows with what fails anyway (ADR 0018), and of filling a wide window."""

import functools
import math

from hypothesis import given
from hypothesis import strategies as st

from firedoor.core import valve

shares = st.floats(0.0, 0.99)
uppers = st.floats(1e-7, 1.0)


@given(
    budget=st.integers(1, 500),
    share=shares,
    failed=st.integers(0, 100_000),
    upper=uppers,
    flying=st.integers(0, 10**6),
    debt=st.floats(0, 1000),
)
def test_expected_harm_in_flight_is_within_the_budget_and_its_growth(
    *, budget: int, share: float, failed: int, upper: float, flying: int, debt: float
) -> None:
    """If U is right, U times the machines in flight is the most they are expected to bring."""
    grown = budget + valve.growth(share, failed)
    room = valve.room(budget=grown, upper=upper, in_flight=flying, debt=debt)

    if room:
        assert upper * (flying + room + debt) <= (budget + share * failed) * (1 + 1e-9) + 1e-6


@given(
    budget=st.integers(1, 500),
    share=shares,
    failed=st.integers(0, 10_000),
    more=st.integers(0, 100),
    upper=uppers,
)
def test_a_control_that_fails_never_narrows_the_window(
    budget: int, share: float, failed: int, more: int, upper: float
) -> None:
    """What was let in under a budget stays within every later one."""
    before = valve.window(budget + valve.growth(share, failed), upper)

    assert valve.window(budget + valve.growth(share, failed + more), upper) >= before
    assert valve.growth(0.0, failed) == 0.0


@given(
    room=st.integers(0, 10**6),
    free=st.integers(0, 10**6),
    rest=st.integers(0, 1000),
    control=st.floats(0.01, 0.99),
    drawn=st.floats(0.0, 1e7),
    quiet=st.booleans(),
    tried=st.booleans(),
)
def test_a_wide_window_is_filled_by_more_treated_cards_never_by_more_machines(
    *, room: int, free: int, rest: int, control: float, drawn: float, quiet: bool, tried: bool
) -> None:
    """How fast machines come decides how many controls a treated one has, and nothing else."""
    asked = functools.partial(
        valve.deal,
        room=room,
        free=free,
        untreated=free + rest,
        active=free + rest,
        control=control,
        quiet=quiet,
    )
    slow, deck = asked(), asked(drawn=drawn, tried=tried)

    assert (slow is None) == (deck is None)
    if slow is None or deck is None:
        return
    assert deck.treated == slow.treated <= room
    assert deck.cards <= slow.cards
    if slow.cards > slow.treated:
        assert deck.cards > deck.treated
        assert deck.cards - deck.treated >= math.floor(control * deck.cards)
        # While harm may not have shown yet, at least as many controls as treated, if there are.
        if not tried:
            assert deck.cards >= min(slow.cards, 2 * deck.treated)
        # Nine controls for each in small decks, and wherever a tenth of those who come will do.
        if drawn >= 10 * room or 9 * deck.treated <= valve.LEAST_CONTROLS:
            assert deck == slow
