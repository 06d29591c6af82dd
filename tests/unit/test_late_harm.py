"""Harm that comes after the deadline: long decks, and what they may not do to a good release.

The simulation is that of ``test_guarantees``; ``make soak`` repeats the trials thousands of times.
"""

import numpy as np
import pytest
from tests.worlds import world_zero
from tests.worlds_door import Fleet, Outcome, keyed, opening
from tests.worlds_judge import Trial, alarms, judge_together, most_alarms, null_trial, play
from tests.worlds_product import Books, judge_alone
from tests.worlds_tally import Tally

from firedoor.core.cell import Test

ATTRIBUTES = ("model", "site")


def strangers(machines: int, days: float, *, beats: bool) -> Trial:
    """World 0 with decks of ten cards: long wherever there are a hundred machines or more."""
    return null_trial(
        lambda chance: world_zero(chance, machines, days, beats=beats),
        machines,
        budget=1,
        crashes=beats,
        attributes=ATTRIBUTES if beats else (),
    )


def late(outcome: Outcome) -> int:
    """Harm cells of decks that had matured before: their clearance came earlier."""
    first: dict[int, int] = {}
    for cell in outcome.cells:
        if cell.test is Test.CLEARANCE:
            first.setdefault(cell.deck, cell.epoch)
    return sum(
        cell.test is Test.HARM and cell.epoch > first.get(cell.deck, cell.epoch) + 3
        for cell in outcome.cells
    )


@pytest.mark.parametrize("beats", [False, True])
def test_the_simulation_writes_the_cells_of_long_decks_that_the_product_writes(
    *, beats: bool
) -> None:
    """Whatever the trials below show would otherwise be shown of the simulation alone."""
    trial = strangers(140, 1.5, beats=beats)
    world, secret = trial.world(np.random.default_rng(21)), keyed(b"another secret")
    fleet, twin = Fleet.of(world), Fleet.of(world)
    books = Books(twin, trial.plan, trial.rules)

    (fast,) = judge_together(
        trial.rules,
        [opening(fleet, Tally(fleet, trial.plan), trial.plan, secret, np.random.default_rng(22))],
    )
    slow = judge_alone(books, opening(twin, books, trial.plan, secret, np.random.default_rng(22)))

    assert late(fast)
    assert fast.cells == slow.cells
    assert fast.rooms == slow.rooms
    assert fast.admitted == slow.admitted
    assert fast.max_log_e == pytest.approx(slow.max_log_e, abs=1e-12)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("beats", [False, True])
def test_watching_for_late_harm_shuts_no_more_good_releases_than_alpha(*, beats: bool) -> None:
    """Three looks at a deck, by model and site: still one filtration, one guarantee."""
    outcomes = play(strangers(200, 2.0, beats=beats), 100, seed=410 + beats)

    assert sum(late(outcome) for outcome in outcomes) > 100
    for alpha in (0.01, 0.001):
        assert alarms(outcomes, alpha) <= most_alarms(len(outcomes), alpha)
