"""Terms: what "auto" means for fleets of different size."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.terms import LARGEST_AUTO_BUDGET, Policy, auto_budget, auto_delta, resolve


@pytest.mark.parametrize(
    ("machines", "budget"),
    [
        (0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (29, 3),
        (30, 3), (31, 4), (41, 5), (299, 5),
        (300, 5), (9_999, 5), (10_000, 20), (8_500_000, 20),
    ],
)  # fmt: skip
def test_the_default_budget_follows_the_table(machines, budget):
    """The figures the measurements were made with (decisions.md 1), on both sides of each edge."""
    assert auto_budget(machines) == budget


@given(st.integers(0, 20_000))
def test_a_larger_fleet_never_gets_a_smaller_budget(machines):
    """A machine more must not make the valve tighter."""
    assert auto_budget(machines) <= auto_budget(machines + 1) <= LARGEST_AUTO_BUDGET


@pytest.mark.parametrize(("machines", "alpha"), [(0, 0.01), (299, 0.01), (300, 0.001)])
def test_small_fleets_shut_on_weaker_evidence(machines, alpha):
    """Five harmed machines out of fifty cannot reach .001: the brake would never work."""
    assert resolve(Policy(), machines).alpha_harm == alpha


@given(st.integers(1, 60), st.integers(0, 100_000))
def test_nothing_is_cleared_before_the_first_install(budget, machines):
    """The upper bound on harm starts at 1, so a delta of 1 would open every door unseen."""
    assert 0.001 <= auto_delta(budget, machines) <= 0.5


@pytest.mark.parametrize(
    ("budget", "machines", "delta"), [(3, 50, 0.06), (5, 300, 5 / 300), (20, 1_000_000, 0.001)]
)
def test_the_default_delta_spreads_the_budget_over_the_fleet(budget, machines, delta):
    """If harm below delta is all that can be true, the fleet's expected harm is the budget."""
    assert auto_delta(budget, machines) == delta


def test_the_default_delta_follows_a_budget_that_was_given():
    """Budget and delta speak of the same harm; one of them must not stay behind."""
    terms = resolve(Policy(budget=10), 100)

    assert (terms.budget, terms.delta) == (10, 0.1)


def test_what_the_policy_says_is_not_overruled():
    """A number in the configuration is the operator's decision, whatever the fleet."""
    policy = Policy(budget=50, alpha_harm=0.02, delta=0.2, install_wait_ms=7, soak_ms=0)

    terms = resolve(policy, 10)

    assert (terms.budget, terms.alpha_harm, terms.delta, terms.soak_ms) == (50, 0.02, 0.2, 0)
    assert terms.install_wait_for(deadline_ms=1_000) == 7


def test_a_slot_waits_twice_the_machines_own_deadline_by_default():
    """A machine that polls once a day needs longer to download than one that polls every minute."""
    terms = resolve(Policy(), 100)

    assert terms.install_wait_for(deadline_ms=1_000) == 2_000


def test_terms_are_settled_by_policy_and_fleet_alone():
    """They go into the ledger: whoever replays it must find the same numbers."""
    assert resolve(Policy(), 50) == resolve(replace(Policy()), 50)


def test_a_negative_fleet_is_a_mistake_of_the_caller():
    """It would silently get the terms of an empty one."""
    with pytest.raises(ValueError, match="-1"):
        resolve(Policy(), -1)
