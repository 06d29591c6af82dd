"""A budget that grows: only with controls, only with closed cells, and each ring with its own."""

import pytest
from tests.worlds_door import boarded

from firedoor.core.cell import Cell, Test
from firedoor.core.terms import Policy, Terms, resolve
from firedoor.core.units import UnixMs
from firedoor.services.boarding import Boarding, rules_for
from firedoor.services.flight import Flight


def terms(growth: float) -> Terms:
    """A large fleet's, with a budget of 20."""
    return resolve(Policy(budget=20, budget_growth=growth), 100_000)


def flight(growth: float) -> Flight:
    """A boarding of one ring without a cell."""
    asked = terms(growth)
    rules = rules_for(asked, reporting=0)
    boarding = Boarding("av", 1, "release", 0, UnixMs(0), "", {"everyone": asked}, rules)
    return Flight.begin(boarding, b"", [boarded(asked)])


def harm(seq: int, ring: str, x1: int, x0: int, signal: str = "silence") -> Cell:
    """A closing in which so many were harmed."""
    return Cell(seq, ring, seq, 0, Test.HARM, signal, "", 1000, 9000, x1, x0)


def test_ten_controls_that_fail_are_one_more_machine() -> None:
    """Twenty machines, and a tenth of what fails anyway."""
    found = flight(0.1)
    found.absorb(harm(1, "everyone", 3, 30))
    found.absorb(harm(2, "everyone", 0, 20))

    numbers = found.numbers("everyone", found.verdict())
    assert numbers.growth == pytest.approx(5.0)
    assert (numbers.budget, numbers.window) == (20, 25)


def test_the_treated_that_fail_buy_nothing() -> None:
    """A bad release must not pay for its own spread."""
    found = flight(0.1)
    found.absorb(harm(1, "everyone", 40, 0))

    assert found.numbers("everyone", found.verdict()).growth == 0.0


def test_neither_do_controls_of_other_rings_nor_signals_that_decide_nothing() -> None:
    """A failure counted for two budgets would be spent twice."""
    found = flight(0.5)
    found.absorb(harm(1, "lab", 0, 50))
    found.absorb(harm(2, "everyone", 0, 50, signal="crash"))

    assert found.numbers("everyone", found.verdict()).growth == 0.0


def test_by_default_no_budget_grows() -> None:
    """It is the operator's choice, and nobody else's."""
    found = flight(Policy().budget_growth)
    found.absorb(harm(1, "everyone", 0, 500))

    assert found.numbers("everyone", found.verdict()).window == 20
