import math
from dataclasses import dataclass

import numpy as np
import pytest

from firedoor.core.evidence import attribution, harm
from firedoor.core.evidence.attribution import Culprit, Findings, Overlap, Pairs
from firedoor.core.evidence.counts import Floats

ALPHA = 0.01
MACHINES, HOURS, TICKS_PER_HOUR = 20_000, 24, 4


def spread(layout: str, fleets: int, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """When each machine gets A and B, hours, shape (fleets, machines)."""
    a = chance.uniform(0, HOURS, (fleets, MACHINES))
    match layout:
        case "orthogonal":
            b = chance.uniform(0, HOURS, (fleets, MACHINES))
        case "lagging":
            b = a + chance.normal(1, 2, (fleets, MACHINES))
        case _:
            b = a
    return a, b


@dataclass(frozen=True)
class Day:
    """Shares of the fleets in which each process was high at some tick, and the last findings."""

    marginal_a: float
    marginal_b: float
    a: float
    b: float
    last: tuple[Findings, ...]


def day(layout: str, *, theta: dict[str, float], fleets: int = 60, base: float = 2e-4) -> Day:
    """Table of the design: 20 000 machines, 24 hours, a base hazard, A and B over one another."""
    chance = np.random.default_rng(5)
    a, b = spread(layout, fleets, chance)
    state = attribution.start(fleets)
    ever = np.zeros((4, fleets), dtype=bool)
    hazard = np.array([[1.0, theta.get("B", 1.0)], [theta.get("A", 1.0), 0.0]])
    hazard[1, 1] = hazard[0, 1] * hazard[1, 0] * theta.get("A*B", 1.0)
    for tick in range(HOURS * TICKS_PER_HOUR):
        now = tick / TICKS_PER_HOUR
        has_a, has_b = a <= now, b <= now
        machines = np.array(
            [
                [(~has_a & ~has_b).sum(axis=1), (~has_a & has_b).sum(axis=1)],
                [(has_a & ~has_b).sum(axis=1), (has_a & has_b).sum(axis=1)],
            ]
        ).transpose(2, 0, 1)
        harmed = chance.binomial(machines, base / TICKS_PER_HOUR * hazard)
        state = attribution.absorb(state, Overlap.of(machines, harmed), tick // 4)
        if tick % 4 == 3:
            found = attribution.findings(state, ALPHA)
            logs = [(f.log_e_marginal_a, f.log_e_marginal_b, f.log_e_a, f.log_e_b) for f in found]
            ever |= np.exp(np.array(logs).T) >= 1 / ALPHA
    marginal_a, marginal_b, own_a, own_b = (float(share) for share in ever.mean(axis=1))
    return Day(marginal_a, marginal_b, own_a, own_b, attribution.findings(state, ALPHA))


def culprits(found: tuple[Findings, ...]) -> dict[Culprit, int]:
    return {culprit: sum(f.culprit is culprit for f in found) for culprit in Culprit}


def test_orders_of_their_own_tell_two_releases_apart() -> None:
    """With a hash per channel the guilty is found and the other goes on."""
    seen = day("orthogonal", theta={"A": 5.0})

    assert seen.a == 1.0
    assert seen.b <= 0.05
    assert culprits(seen.last)[Culprit.A] >= 57


def test_a_release_that_follows_the_guilty_is_not_blamed_for_it() -> None:
    """The comparison that ignores A accuses B always; the contrast never."""
    seen = day("lagging", theta={"A": 5.0})

    assert seen.marginal_b == 1.0
    assert seen.b <= 0.02
    assert seen.a >= 0.9
    assert culprits(seen.last)[Culprit.B] == culprits(seen.last)[Culprit.BOTH] == 0


def test_the_same_machines_at_the_same_times_are_joint_suspects() -> None:
    """Nothing can tell them apart, and a guess would be wrong every other time."""
    seen = day("identical", theta={"A": 5.0}, fleets=20)

    assert seen.marginal_a == seen.marginal_b == 1.0
    assert seen.a == seen.b == 0.0
    assert culprits(seen.last)[Culprit.JOINT] == 20
    assert all(f.posterior[0] == pytest.approx(f.posterior[1]) for f in seen.last)


def test_harm_of_the_two_together_is_called_that() -> None:
    """Each vendor would rightly say that its update is harmless; only together they are not."""
    seen = day("orthogonal", theta={"A*B": 10.0}, fleets=30)

    assert culprits(seen.last)[Culprit.INTERACTION] >= 28
    assert np.mean([f.posterior[3] for f in seen.last]) > 0.9


def test_two_harmful_releases_are_both_found() -> None:
    """Stopping one of them would be half a rescue."""
    seen = day("orthogonal", theta={"A": 6.0, "B": 6.0}, fleets=20)

    assert culprits(seen.last)[Culprit.BOTH] >= 19
    assert np.mean([f.posterior[2] for f in seen.last]) > 0.9


def test_two_harmless_releases_are_left_alone() -> None:
    """Overlapping is no crime."""
    seen = day("orthogonal", theta={}, fleets=100)

    assert max(seen.a, seen.b) <= 0.03
    assert culprits(seen.last)[Culprit.NOBODY] >= 95


def test_the_guilty_leads_the_ranking() -> None:
    """People look at one release first; it should be the right one."""
    seen = day("orthogonal", theta={"B": 5.0}, fleets=20)

    assert all(max(f.posterior) == f.posterior[1] for f in seen.last)
    assert all(sum(f.posterior) == pytest.approx(1.0) for f in seen.last)


def test_before_the_first_event_nothing_is_known_but_the_prior() -> None:
    """A pair without evidence is no pair of suspects."""
    quiet = attribution.absorb(
        attribution.start(1), Overlap.of([[100, 100], [100, 100]], np.zeros((2, 2), int)), 0
    )

    (found,) = attribution.findings(quiet, ALPHA)

    assert found.culprit is Culprit.NOBODY
    assert found.posterior == pytest.approx((0.4, 0.4, 0.1, 0.1))
    assert found.log_e_a == pytest.approx(0.0)


def test_turning_the_pair_round_turns_the_findings_round() -> None:
    """Which release is called A is an accident."""
    machines = np.array([[900, 300], [200, 100]])
    harmed = np.array([[2, 1], [9, 4]])
    one = attribution.absorb(attribution.start(1), Overlap.of(machines, harmed), 0)
    other = attribution.absorb(attribution.start(1), Overlap.of(machines.T, harmed.T), 0)

    (ab,), (ba,) = attribution.findings(one, ALPHA), attribution.findings(other, ALPHA)

    assert (ab.log_e_a, ab.log_e_b) == pytest.approx((ba.log_e_b, ba.log_e_a))
    assert ab.posterior == pytest.approx([ba.posterior[n] for n in (1, 0, 2, 3)])


def test_states_nobody_is_in_say_nothing() -> None:
    """The first hour of a rollout has no machine with both; that is no contrast, and no error."""
    only_a = Overlap.of([[900, 0], [100, 0]], [[1, 0], [5, 0]])
    state: Pairs = attribution.absorb(attribution.start(1), only_a, 0)
    nobody = attribution.absorb(attribution.start(1), Overlap.of([[0, 0], [0, 0]], [[0, 0]] * 2), 0)

    (found,) = attribution.findings(state, ALPHA)

    assert harm.log_e(state.b.marginal)[0] == pytest.approx(0.0)
    assert found.log_e_b == pytest.approx(0.0)
    assert found.posterior[0] > found.posterior[1]
    assert np.isfinite(attribution.posterior(nobody)).all()


@pytest.mark.parametrize(
    ("machines", "harmed"),
    [
        ([[9, 9], [9, 9]], [[10, 0], [0, 0]]),
        ([[9, 9], [9, 9]], [[-1, 0], [0, 0]]),
        ([[9, 9], [9, 9]], [[math.nan, 0], [0, 0]]),
        ([9, 9, 9, 9], [0, 0, 0, 0]),
        ([[9, 9], [9, 9]], [0, 0]),
        ([[[[9, 9], [9, 9]]]], [[[[0, 0], [0, 0]]]]),
    ],
)
def test_counts_that_cannot_be_are_refused(machines: list[int], harmed: list[int]) -> None:
    """Evidence against a vendor must not rest on a mistake in the join of two tables."""
    with pytest.raises(ValueError, match=r"must lie between|whole numbers|four states"):
        Overlap.of(machines, harmed)
