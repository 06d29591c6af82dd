"""Two things an operator may say of the fleet: failures are common, and machines fall together."""

import math

import numpy as np
import pytest

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import relative
from firedoor.core.evidence.counts import Counts
from firedoor.core.verdict import (
    Evidence,
    Rules,
    VerdictState,
    absorb,
    forecast,
    start,
    verdict,
)

SILENCE = (("silence", 1.0),)


def rules(**chosen: float | None) -> Rules:
    """The defaults of a large fleet."""
    return Rules(0.001, 0.05, 0.05, 0.001, SILENCE, **chosen)  # type: ignore[arg-type]  # by name


def matured(seq: int, treated: int, control: int, x1: int, x0: int) -> Cell:
    """A class that has closed."""
    return Cell(
        seq, "everyone", seq, 0, Test.CLEARANCE, "any", "", treated, control, x1, x0, treated
    )


def after(asked: Rules, classes: int, x1: int, x0: int) -> Evidence:
    """So many classes of 1000 treated and 4000 control machines, all alike."""
    found = start(asked)
    for seq in range(1, classes + 1):
        found = absorb(found, matured(seq, 1000, 4000, x1, x0))
    return found


def test_where_failures_are_common_a_ratio_clears_and_a_delta_does_not() -> None:
    """One machine in a hundred fails anyway: half more of that is seen, a thousandth is not."""
    asked, plain = rules(ratio=1.5), rules()

    assert verdict(after(plain, 20, 10, 40)).state is VerdictState.UNDECIDED
    found = verdict(after(asked, 20, 10, 40))
    assert found.harm_upper > asked.delta
    assert found.log_e_ratio >= math.log(20)
    assert found.alike
    assert found.excludes(asked.delta)
    assert found.state is VerdictState.CLEARED


def test_a_release_that_is_half_as_bad_again_is_not_cleared_by_its_ratio() -> None:
    """At the boundary the evidence of safety stays small."""
    found = verdict(after(rules(ratio=1.5), 20, 15, 40))

    assert not found.alike
    assert found.state is VerdictState.UNDECIDED


def test_a_warning_keeps_a_release_from_being_cleared_by_its_ratio() -> None:
    """Two tests that disagree open nothing."""
    found = after(rules(ratio=1.5), 20, 10, 40)
    burst = Cell(21, "everyone", 21, 0, Test.HARM, "silence", "", 100, 900, 4, 0)

    said = verdict(absorb(found, burst))
    assert said.alike
    assert said.warn
    assert said.state is not VerdictState.CLEARED


def test_at_the_boundary_of_the_ratio_a_door_hardly_ever_opens() -> None:
    """Twenty thousand machines at exactly 1.5 times the odds, looked at after every class."""
    dice, wrong = np.random.default_rng(18), 0
    p0 = 0.008
    p1 = 1.5 * p0 / (1.0 - p0) / (1.0 + 1.5 * p0 / (1.0 - p0))
    states = relative.start(400, 1.5)
    ever = np.zeros(400, np.bool_)
    for _ in range(40):
        x1, x0 = dice.binomial(500, p1, 400), dice.binomial(2000, p0, 400)
        states = relative.absorb(states, Counts.of([500] * 400, [2000] * 400, x1, x0))
        ever |= relative.log_e(states) >= math.log(20)
    wrong = int(ever.sum())

    assert wrong <= 34  # 5 % of 400 is 20; a binomial of that exceeds 34 once in a thousand
    assert (relative.log_e(states) > -math.inf).all()


def test_in_clusters_of_ten_it_takes_ten_times_the_machines() -> None:
    """Whoever says that ten fall together has a tenth of the observations."""
    alone, together = rules(), rules(cluster=10)

    assert verdict(after(alone, 5, 0, 0)).state is VerdictState.CLEARED
    assert verdict(after(together, 5, 0, 0)).state is VerdictState.UNDECIDED
    assert verdict(after(together, 50, 0, 0)).state is VerdictState.CLEARED
    once, tenfold = forecast(start(alone), 100.0), forecast(start(together), 100.0)
    assert once is not None
    assert tenfold is not None
    assert tenfold == pytest.approx(10 * once)


def test_harm_needs_no_clusters_where_cards_were_dealt() -> None:
    """By chance alone it is uniform who of ten fallen machines was treated."""
    burst = Cell(1, "everyone", 1, 0, Test.HARM, "silence", "", 20, 180, 6, 0)

    one, ten = absorb(start(rules()), burst), absorb(start(rules(cluster=10)), burst)
    assert one.log_e == ten.log_e


@pytest.mark.parametrize(
    "wrong",
    [{"ratio": 1.0}, {"ratio": math.inf}, {"cluster": 0}, {"ratio": 1.5, "cluster": 2}],
)
def test_rules_without_a_proof_are_refused(wrong: dict[str, float]) -> None:
    """No factor for the ratio is known where machines fail together."""
    with pytest.raises(ValueError, match=r"ratio|cluster"):
        rules(**wrong)
