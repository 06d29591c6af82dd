"""Whole sites are chosen: a site is one observation, and machines are not compared."""

from collections.abc import Iterator

import numpy as np
import pytest

from firedoor.core.errors import BadInput
from firedoor.core.verdict import VerdictState
from firedoor.formats.counts import Row
from firedoor.services.alone import Question, judge
from firedoor.services.sites import check_machines, count_sites, of_sites

HOUR = 3_600_000
ALPHA = 0.05
ASKED = Question(ALPHA, 0.05, 0.05, 0.01, 40, sites=True)


def row(time: int, site: str, treated: int, control: int, *hit: int) -> Row:
    """One hour of one site; the harmed are treated ones, then control."""
    x1, x0, *_ = *hit, 0, 0
    return Row(time * HOUR, "v2", "crash", site, treated, control, x1, x0, treated)


def days(chance: np.random.Generator, *, harm: float) -> Iterator[list[Row]]:
    """Forty sites of 25 machines; half are chosen by lot. Some have their bad hour, some always."""
    for _ in range(150):
        chosen = chance.permutation(40) < 20
        troubled = chance.random(40) < 0.1  # whatever they run
        rows = []
        for hour in range(12):
            burst = (chance.random(40) < 0.01) | (troubled & (chance.random(40) < 0.5))
            burst |= chosen & (chance.random(40) < harm)
            for site in range(40):
                hit = int(chance.integers(5, 26)) if burst[site] else 0
                treated = bool(chosen[site])
                rows.append(
                    row(
                        hour,
                        f"s{site}",
                        25 * treated,
                        25 * (not treated),
                        hit * treated,
                        hit * (not treated),
                    )
                )
        yield rows


def test_sites_with_trouble_of_their_own_do_not_accuse_the_release() -> None:
    """Machines would: the same counts without sites are called harmful day after day."""
    by_site = by_machine = 0
    naive = Question(ALPHA, 0.05, 0.05, 0.01, 1_000)
    for rows in days(np.random.default_rng(11), harm=0.0):
        by_site += judge(rows, ASKED).state is VerdictState.HARMFUL
        by_machine += judge(_pooled(rows), naive).state is VerdictState.HARMFUL

    assert by_site <= 150 * ALPHA
    assert by_machine >= 50


def test_a_release_that_breaks_sites_is_found_by_sites() -> None:
    """What is given up is not everything: twenty sites are twenty observations."""
    found = [judge(rows, ASKED).state for rows in days(np.random.default_rng(12), harm=0.3)]

    assert found.count(VerdictState.HARMFUL) >= 140


def test_a_site_counts_once_however_many_of_its_machines_fail_and_how_often() -> None:
    """One bad site, all week, is one observation; after its first harm it is not at risk."""
    rows = [
        each
        for hour in range(3)
        for each in (row(hour, "a", 9, 0, 9), row(hour, "b", 7, 0), row(hour, "c", 0, 8))
    ]

    found = of_sites(rows)

    counts = [(r.treated, r.control, r.treated_harmed, r.control_harmed) for r in found]
    assert counts == [(2, 1, 1, 0), (1, 1, 0, 0), (1, 1, 0, 0)]
    assert count_sites(rows) == 3


def test_harm_of_one_signal_leaves_a_site_at_risk_of_the_others() -> None:
    """A site that was silent once may crash yet."""
    crash = row(1, "a", 9, 0, 1)
    silence = Row(2 * HOUR, "v2", "silence", "a", 9, 0, 2, 0, 9)

    first, second = of_sites([crash, silence])

    assert (first.treated_harmed, second.treated_harmed) == (1, 1)


def test_nothing_is_cleared_by_counting_sites() -> None:
    """How many machines of a site may fail together, nobody knows."""
    rows = [row(h, f"s{n}", 25 * (n % 2), 25 * (1 - n % 2)) for h in range(99) for n in range(40)]

    found = judge(rows, ASKED)

    assert found.state is VerdictState.UNDECIDED
    assert found.harm_upper == 1.0


def test_counts_without_a_site_cannot_be_counted_by_sites() -> None:
    """Everything would be one site."""
    with pytest.raises(BadInput, match="stratum is empty"):
        of_sites([row(1, "", 9, 9)])


def test_the_larger_part_of_a_site_must_not_be_the_treated_one() -> None:
    """It would be hit more often whatever it runs."""
    with pytest.raises(BadInput, match="more of them treated"):
        of_sites([row(1, "a", 9, 3)])
    assert of_sites([row(1, "a", 3, 9)])[0].treated == 1


def test_machines_of_whole_sites_are_not_compared() -> None:
    """No row has two sides: it would be undecided for ever, and nobody would be told why."""
    with pytest.raises(BadInput, match="whole strata"):
        check_machines([row(1, "a", 9, 0), row(1, "b", 0, 9)])


@pytest.mark.parametrize(
    "rows",
    [
        [row(1, "", 9, 90)],
        [row(1, "a", 9, 90), row(1, "b", 0, 40)],
        [row(1, "a", 0, 9), row(1, "b", 0, 9)],
    ],
)
def test_strata_that_have_both_arms_are_compared_within_them(rows: list[Row]) -> None:
    """Other shares in other strata are no reason to refuse, nor is a rollout yet to begin."""
    check_machines(rows)


def _pooled(rows: list[Row]) -> list[Row]:
    """What somebody would send who forgot the sites."""
    found = []
    for hour in dict.fromkeys(each.time_ms for each in rows):
        own = [each for each in rows if each.time_ms == hour]
        sums = [
            sum(getattr(each, name) for each in own)
            for name in ("treated", "control", "treated_harmed", "control_harmed")
        ]
        found.append(row(hour // HOUR, "", *sums))
    return found
