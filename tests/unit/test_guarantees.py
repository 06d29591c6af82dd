"""What Firedoor promises about chance, checked on the product's own code.

Simulated machines poll, fall silent, crash, join and leave; the product's valve deals, its pools
close, its evidence weighs, its door moves (``tests/worlds*.py``). Every figure has a seed, so a
run gives the same answer every time. These are the short versions; ``make soak`` repeats the same
trials thousands of times, and ``docs/explanation/guarantees.md`` quotes it.
"""

import numpy as np
import pytest
from tests.worlds import world_one, world_three, world_two, world_zero
from tests.worlds_door import Fleet, Outcome, keyed, opening
from tests.worlds_invalid import (
    every_poll_a_control,
    first_come,
    fresh_coin,
    largest_log_e,
    persistent_hash,
)
from tests.worlds_judge import (
    Drift,
    alarms,
    fleet_trial,
    judge_together,
    most_alarms,
    null_trial,
    play,
)
from tests.worlds_product import Books, judge_alone
from tests.worlds_tally import Tally

from firedoor.core.door import Reason, State
from firedoor.core.terms import Policy
from firedoor.core.verdict import fold, verdict

WORLDS = {
    "strangers": lambda chance: world_zero(chance, 120, 1.5, beats=False),
    "strangers who crash": lambda chance: world_zero(chance, 120, 1.5, beats=True),
    "office": lambda chance: world_one(chance, 50, 3.0, silent=0.01),
    "timetable": lambda chance: world_two(chance, 200, 2.0),
}


# The simulation is the product


@pytest.mark.parametrize("harm", [0.0, 0.3])
@pytest.mark.parametrize("name", WORLDS)
def test_the_simulation_writes_the_cells_that_the_product_writes(name, harm):
    """Whatever the trials below show would otherwise be shown of the simulation alone."""
    looked_at = ("model", "site") if "crash" in name else ()
    trial = null_trial(WORLDS[name], 100, harm=harm, crashes="crash" in name, attributes=looked_at)
    if name == "office":
        trial = fleet_trial(WORLDS[name], 50, harm=harm)
    world, secret = trial.world(np.random.default_rng(11)), keyed(b"a secret of this test")
    fleet, twin = Fleet.of(world), Fleet.of(world)
    books = Books(twin, trial.plan, trial.rules)

    (fast,) = judge_together(
        trial.rules,
        [opening(fleet, Tally(fleet, trial.plan), trial.plan, secret, np.random.default_rng(12))],
    )
    slow = judge_alone(books, opening(twin, books, trial.plan, secret, np.random.default_rng(12)))

    assert len(fast.cells) > 8 if not harm else fast.cells
    assert fast.cells == slow.cells
    assert fast.rooms == slow.rooms
    assert (fast.state, fast.reason, fast.ended) == (slow.state, slow.reason, slow.ended)
    assert (fast.admitted, fast.harmed) == (slow.admitted, slow.harmed)
    assert fast.max_log_e == pytest.approx(slow.max_log_e, abs=1e-12)
    assert fast.lowest_upper == pytest.approx(slow.lowest_upper, abs=1e-12)


def test_doors_judged_side_by_side_get_the_verdicts_they_get_alone():
    """A row of the vectorised evidence must not know its neighbours."""
    trial = null_trial(
        WORLDS["strangers who crash"], 120, crashes=True, attributes=("model", "site")
    )

    outcomes = play(trial, 6, seed=13)
    assert all(outcome.cells for outcome in outcomes)
    for outcome in outcomes:
        alone = verdict(fold(trial.rules, outcome.cells))

        assert outcome.final.log_e == pytest.approx(alone.log_e_harm, abs=1e-12)
        assert outcome.max_log_e == pytest.approx(alone.max_log_e_harm, abs=1e-12)
        assert outcome.final.upper == pytest.approx(alone.harm_upper, abs=1e-12)


# A good release is hardly ever shut


def drift(outcomes: list[Outcome]) -> Drift:
    found = Drift()
    for outcome in outcomes:
        found.add(outcome.cells)
    return found


def assert_no_more_alarms_than_promised(outcomes: list[Outcome]) -> None:
    for alpha in (0.01, 0.001):
        assert alarms(outcomes, alpha) <= most_alarms(len(outcomes), alpha)
    # Alarms are rare; the cards of the harmed are many, and show a much smaller wrong.
    assert abs(drift(outcomes).z) < 4.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_good_release_is_shut_no_more_often_than_alpha_however_often_one_looks():
    """600 strangers, outages, flaky machines, laptops; the judge looks at every closing."""
    trial = null_trial(lambda chance: world_zero(chance, 600, 2.0, beats=False), 600)

    outcomes = play(trial, 160, seed=201)

    assert np.mean([outcome.admitted for outcome in outcomes]) > 400
    assert_no_more_alarms_than_promised(outcomes)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_signals_of_one_machine_do_not_count_twice():
    """Machines crash and then fall silent, sites crash together: one event a membership."""
    trial = null_trial(lambda chance: world_zero(chance, 300, 2.0, beats=True), 300, crashes=True)

    outcomes = play(trial, 120, seed=302)

    crashes = sum(cell.signal == "crash" for outcome in outcomes for cell in outcome.cells)
    assert crashes > 1_000
    assert_no_more_alarms_than_promised(outcomes)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", ["too short for all", "random"])
def test_wrong_deadlines_cost_power_and_not_validity(wrong):
    """A deadline is fixed before the card, so it cannot know the label: cohorts.md 5."""

    def world(chance):
        factor = 0.4 if wrong == "too short for all" else chance.uniform(0.2, 1.2, 300)
        return world_zero(chance, 300, 2.0, beats=False).with_deadlines(factor)

    outcomes = play(null_trial(world, 300), 80, seed=303)

    silent = sum(cell.test == "harm" for outcome in outcomes for cell in outcome.cells)
    assert silent > 30 * len(outcomes)
    assert_no_more_alarms_than_promised(outcomes)


@pytest.mark.parametrize("draw", [world_two, world_three])
def test_sites_that_poll_by_the_clock_and_guests_are_no_trap_for_the_deck(draw):
    """Where first come and a hash that lasts accuse good releases, a shuffled deck does not."""
    trial = null_trial(lambda chance: draw(chance, 600, 3.0), 600)

    assert_no_more_alarms_than_promised(play(trial, 100, seed=310))


def test_a_release_that_harms_moves_the_cards_of_the_harmed():
    """What is asked of good releases above must not hold of others too."""
    trial = null_trial(lambda chance: world_zero(chance, 120, 1.5, beats=True), 120, harm=0.2)

    assert drift(play(trial, 20, seed=14)).z > 6.0


# The same harness finds books that are wrong


def false_alarms(rule, world, runs: int, seed: int) -> int:
    """Alarms at 1 % of a bookkeeping that admits 20 new machines an hour, a world to a run."""
    chance = np.random.default_rng(seed)
    tables = [rule(world(chance), chance, 20) for _ in range(runs)]
    return int((largest_log_e(tables) >= np.log(100)).sum())


@pytest.mark.parametrize(
    ("rule", "world", "runs", "at_least"),
    [
        (every_poll_a_control, lambda chance: world_zero(chance, 1500, 3.0, beats=False), 20, 4),
        (persistent_hash, lambda chance: world_three(chance, 300, 3.0), 50, 20),
        (first_come, lambda chance: world_two(chance, 600, 2.0), 100, 8),
    ],
)
def test_unfair_books_shut_good_releases(rule, world, runs, at_least):
    """A harness that missed these would miss a bug in the deck as well.

    Each bookkeeping is one that somebody might write; ``fresh_coin`` differs from it in one rule.
    """
    assert at_least > most_alarms(runs, 0.01)
    assert false_alarms(rule, world, runs, seed=409) >= at_least
    assert false_alarms(fresh_coin, world, runs, seed=409) <= most_alarms(runs, 0.01)


# A bad release hits about the budget and then stands still


def office(machines: int, silent: float, days: float = 4.0):
    return lambda chance: world_one(chance, machines, days, silent=silent)


def in_office(
    machines: int, harm: float, silent: float, runs: int = 60, policy: Policy | None = None
) -> list[Outcome]:
    trial = fleet_trial(office(machines, silent), machines, harm=harm, policy=policy)
    return play(trial, runs, seed=1000 + machines, by_key=True)


@pytest.mark.parametrize("silent", [0.0, 0.01])
@pytest.mark.parametrize(
    ("machines", "mean", "most", "shut"),
    [
        (1, 1.0, 1, 0.0),
        (3, 1.1, 2, 0.0),
        (10, 1.1, 2, 0.0),
        (30, 3.2, 5, 0.8),
        (50, 5.4, 9, 0.95),
        (300, 5.4, 9, 0.95),
    ],
)
def test_a_brick_stops_at_about_the_budget_of_any_fleet(machines, mean, most, shut, silent):
    """The smallest fleets are held, since nine cards cannot prove anything; the others shut.

    A machine that is alone is its own only evidence: it must not be said to have been walked.
    """
    outcomes = in_office(machines, 1.0, silent)

    harmed = [outcome.harmed for outcome in outcomes]
    assert np.mean(harmed) <= mean
    assert max(harmed) <= most
    assert {outcome.state for outcome in outcomes} <= {State.SHUT, State.HELD}
    assert sum(outcome.state is State.SHUT for outcome in outcomes) >= shut * len(outcomes)


@pytest.mark.parametrize("silent", [0.0, 0.01])
@pytest.mark.parametrize("machines", [3, 10, 30, 50, 300])
def test_a_good_release_reaches_every_fleet(machines, silent):
    """Protection that keeps good updates away is no protection."""
    outcomes = in_office(machines, 0.0, silent)

    reached = [outcome for outcome in outcomes if outcome.state is State.OPEN]
    assert {outcome.reason for outcome in reached} <= {Reason.CLEARED, Reason.WALKED}
    assert len(reached) >= (1.0 if not silent else 0.95) * len(outcomes)
    assert all(outcome.everybody for outcome in reached if outcome.reason is Reason.WALKED)


@pytest.mark.parametrize("machines", [10, 30, 50, 300])
def test_a_release_that_kills_three_in_ten_does_not_get_through(machines):
    """Between a brick and a nuisance: a fleet of ten is held, one of fifty shuts."""
    outcomes = in_office(machines, 0.3, 0.01)

    assert np.mean([outcome.state is State.OPEN for outcome in outcomes]) <= 0.1
    assert np.mean([outcome.harmed for outcome in outcomes]) <= 1.3 * max(1, min(5, machines // 10))


@pytest.mark.parametrize("machines", [30, 300])
def test_a_brick_harms_five_machines_at_a_budget_of_five(machines):
    """The figure that the documents quote: mean 5.0 to 5.4, at most 9.

    A deck that is cut before its last treated card is drawn may prove the harm with four.
    """
    policy = Policy(budget=5, alpha_harm=0.001, soak_ms=0)

    outcomes = in_office(machines, 1.0, 0.01, runs=150, policy=policy)

    harmed = [outcome.harmed for outcome in outcomes]
    assert 4.8 <= np.mean(harmed) <= 5.4
    assert max(harmed) <= 9
    assert np.mean([outcome.state is State.SHUT for outcome in outcomes]) >= 0.93


def test_slots_of_bricked_machines_are_not_given_away_again():
    """Without the debt the fast pollers' slots are refilled before the slow ones prove anything."""
    policy = Policy(budget=5, alpha_harm=0.001, soak_ms=0)

    def harmed(*, debt: bool) -> float:
        trial = fleet_trial(
            lambda chance: world_zero(chance, 300, 2.0, beats=False),
            300,
            harm=1.0,
            policy=policy,
            debt=debt,
        )
        return float(np.mean([outcome.harmed for outcome in play(trial, 60, seed=7)]))

    assert harmed(debt=True) <= 5.6
    assert harmed(debt=False) >= 7.5


# The bound on harm is a bound


@pytest.mark.parametrize("silent", [0.0, 0.01])
@pytest.mark.parametrize("harm", [0.02, 0.05, 0.2])
def test_the_upper_bound_is_hardly_ever_below_the_true_excess(harm, silent):
    """U opens the valve; if it were too low too often, the budget would mean nothing."""
    trial = null_trial(office(300, silent, 3.0), 300, harm=harm)

    outcomes = play(trial, 100, seed=6)

    # A machine that would have been silent anyway is not harmed in excess.
    too_low = sum(outcome.lowest_upper < harm * (1.0 - silent) for outcome in outcomes)
    assert too_low <= most_alarms(len(outcomes), 0.05)
    assert np.mean([outcome.lowest_upper for outcome in outcomes]) < 5 * harm


def test_a_trial_without_stops_never_moves_its_door():
    """The null trials must not be saved by a door that shuts or opens in time."""
    outcomes = play(null_trial(office(50, 0.0), 50, harm=1.0), 5, seed=1)

    assert {outcome.state for outcome in outcomes} == {State.OPENING}
    assert alarms(outcomes, 0.01) == 5
