import math

import numpy as np
import pytest

from firedoor.core.evidence import mixture
from firedoor.core.evidence.mixture import LATE, LOG_PRIOR, LOG_RATIOS, PRIOR, RATIOS


def test_the_prior_spends_all_of_the_wealth_on_harm() -> None:
    """Weights above one break the guarantee, below one waste it; a ratio up to 1 bets on safety."""
    assert math.fsum(PRIOR) == pytest.approx(1.0, abs=1e-15)
    assert (RATIOS > 1.0).all()


@pytest.mark.parametrize("epoch", [0, 1, 23, 1_000_000])
def test_shares_of_all_starting_times_and_the_cash_sum_to_one(epoch: int) -> None:
    """The mixture is an e-process only if its weights sum to one, at every hour."""
    wealth = mixture.open_through(mixture.start(1), epoch)

    assert np.exp(wealth.placed).sum() == pytest.approx(1 - LATE / (epoch + 1), abs=1e-12)
    assert mixture.log_e(wealth) == pytest.approx(0.0, abs=1e-12)


def test_the_first_epoch_receives_three_quarters_and_epoch_k_a_quarter_over_k_k_plus_one() -> None:
    """The price of late harm that the documents quote is the logarithm of this share."""
    wealth = mixture.start(1)

    for k in range(6):
        before = np.exp(wealth.placed).sum()
        wealth = mixture.open_through(wealth, k)
        share = 0.25 / (k * (k + 1)) if k else 0.75
        assert np.exp(wealth.placed).sum() - before == pytest.approx(share)


def test_epochs_that_passed_in_silence_are_opened_together() -> None:
    """A fleet asleep over the weekend closes nothing; Monday's cell must find all epochs due."""
    log_factors = LOG_RATIOS[None, :] - 1.0
    quiet = mixture.absorb(mixture.open_through(mixture.start(1), 0), log_factors)
    stepwise = quiet
    for epoch in range(1, 61):
        stepwise = mixture.open_through(stepwise, epoch)

    at_once = mixture.open_through(quiet, 60)

    assert at_once.placed == pytest.approx(stepwise.placed, rel=1e-13)
    assert at_once.epochs == stepwise.epochs == 61


def test_an_epoch_is_opened_once() -> None:
    """Opening again for the second cell of an hour would spend wealth that is not there."""
    wealth = mixture.open_through(mixture.start(1), 3)

    assert mixture.open_through(wealth, 3) == wealth
    assert mixture.open_through(wealth, 1) == wealth


def test_streams_may_be_in_different_epochs() -> None:
    """The judge ticks over releases that boarded at different times."""
    together = mixture.open_through(mixture.start(2), [0, 7])

    for row, epoch in enumerate((0, 7)):
        alone = mixture.open_through(mixture.start(1), epoch)
        assert np.array_equal(together.placed[row], alone.placed[0])


def test_a_million_control_events_leave_the_cash_and_nothing_infinite() -> None:
    """The ratio 10^6 loses 14 nats at each control event; the logarithm must stay a number."""
    ruined = mixture.open_through(mixture.start(1), 0)
    for _ in range(3):
        ruined = mixture.absorb(ruined, -1e6 * LOG_RATIOS[None, :])

    assert np.isfinite(ruined.placed).all()
    assert mixture.log_e(ruined) == pytest.approx(math.log(LATE))


def test_states_are_values() -> None:
    """Absorbing must leave the state before intact: the judge may need it again."""
    before = mixture.open_through(mixture.start(1), 0)
    kept = before.placed.copy()

    after = mixture.absorb(before, LOG_PRIOR[None, :])

    assert np.array_equal(before.placed, kept) and after != before
    with pytest.raises(ValueError, match="read-only"):
        before.placed[0, 0] = 0.0
