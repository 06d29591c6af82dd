"""What clears: an excess per machine over the time it is followed, against a control at once."""

from dataclasses import replace

import numpy as np
import pytest

from firedoor.core.errors import BadInput
from firedoor.core.terms import Policy
from firedoor.core.verdict import VerdictState
from firedoor.formats.counts import Row, in_time
from firedoor.services.alone import judge, machines_of, question

MINUTE = 60_000


def row(minute: int, treated: int, control: int, *hit: int, stratum: str = "") -> Row:
    """One minute; the harmed are treated ones, then control."""
    x1, x0, *_ = *hit, 0, 0
    return Row(minute * MINUTE, "v2", "crash", stratum, treated, control, x1, x0, treated)


def day(chance: np.random.Generator, hazard: float) -> list[Row]:
    """An hour of minutes of 500 machines; a harmed machine is at risk no more."""
    treated, rows = 250, []
    for minute in range(60):
        harmed = int(chance.binomial(treated, hazard))
        rows.append(row(minute, treated, 250, harmed))
        treated -= harmed
    return rows


def test_harm_of_half_a_per_cent_a_minute_is_not_cleared_by_its_minutes() -> None:
    """A quarter of the machines is harmed within the hour; a minute shows one in two hundred."""
    chance, said = np.random.default_rng(3), question(Policy(), 500, follow_up=60)
    silent = question(Policy(), 500)
    per_minute = question(Policy(), 500, follow_up=1)
    cleared = dict.fromkeys(("said", "silent", "per minute"), 0)
    for _ in range(10):
        rows = day(chance, 0.005)
        for name, asked in (("said", said), ("silent", silent), ("per minute", per_minute)):
            cleared[name] += any(
                judge(rows[:minutes], asked).state is VerdictState.CLEARED
                for minutes in range(1, 61, 3)
            )

    assert (cleared["said"], cleared["silent"]) == (0, 0)
    assert cleared["per minute"] > 0  # what the question about one minute was always worth


def test_a_harmless_release_is_cleared_over_the_time_machines_are_followed() -> None:
    """The bound is of all intervals together, and no machine is cleared before it was followed.

    Each wave of machines is a stratum, for what comes as others leave is not seen to come.
    """
    asked = question(Policy(), 500, follow_up=6)
    rows = [row(minute, 250, 250, stratum=f"wave {minute // 6}") for minute in range(30)]

    first = next(n for n in range(1, 31) if judge(rows[:n], asked).state is VerdictState.CLEARED)
    found = judge(rows[:first], asked)

    assert 6 <= first <= 30
    assert found.harm_upper <= asked.delta == 0.01
    assert found.harm_upper >= 6 * found.question.delta_of_interval * 0.5
    many = question(Policy(delta=0.5), 500, follow_up=6)
    assert judge(rows[:5], many).state is VerdictState.UNDECIDED
    assert judge(rows[:6], many).state is VerdictState.CLEARED


@pytest.mark.parametrize(("machines", "chance"), [(300, 0.05), (1_000, 0.1)])
def test_quiet_hours_after_the_last_of_the_follow_up_clear_nothing(machines, chance) -> None:
    """Six per cent more die in the sixth hour; sixty more were counted, and the average was small.

    Of 40 runs 29 and 9 were cleared of five per cent when the average alone was asked.
    """
    lot = np.random.default_rng(3)
    asked = question(Policy(delta=0.05), 2 * machines, follow_up=6)
    for _ in range(10):
        hit = int(lot.binomial(machines, chance + 0.06)), int(lot.binomial(machines, chance))
        rows = [row(hour, machines, machines) for hour in range(5)]
        rows.append(row(5, machines, machines, *hit))
        left = machines - hit[0], machines - hit[1]
        rows += [row(hour, *left) for hour in range(6, 66)]

        assert judge(rows, asked).state is not VerdictState.CLEARED


def test_without_a_follow_up_only_a_delta_that_is_named_clears() -> None:
    """Who names a delta has said what one interval is worth; the size of a fleet says it not."""
    rows = [row(minute, 250, 250) for minute in range(30)]

    silent, named = question(Policy(), 500), question(Policy(delta=0.01), 500)

    assert judge(rows, silent).state is VerdictState.UNDECIDED
    assert "nobody said for how many intervals" in silent.assumes
    assert judge(rows, named).state is VerdictState.CLEARED
    assert named.follow_up == 1


@pytest.mark.parametrize("intervals", [0, -1, 10_000_000])
def test_a_follow_up_is_a_number_of_intervals(intervals: int) -> None:
    """None would clear at once; too many would never."""
    with pytest.raises(BadInput):
        question(Policy(), 500, follow_up=intervals)


def test_nothing_is_cleared_where_nobody_was_compared() -> None:
    """All treated: the control that failed alike, or did not, is missing."""
    rows = [row(minute, 250, 0) for minute in range(30)]

    assert judge(rows, question(Policy(), 250, follow_up=1)).state is VerdictState.UNDECIDED


def test_whole_sites_are_refused_also_if_the_first_interval_hid_them() -> None:
    """Before anybody is treated nothing shows; and arms that follow each other are not at once."""
    before = [row(0, 0, 50, stratum=f"s{n}") for n in range(10)]
    after = [row(1, 50 * (n % 2), 50 * (1 - n % 2), stratum=f"s{n}") for n in range(10)]
    asked = question(Policy(), 500, follow_up=1)

    assert judge(before, asked).state is VerdictState.UNDECIDED
    with pytest.raises(BadInput, match="whole strata"):
        judge([*before, *after], asked)


def test_the_first_interval_fixes_the_levels() -> None:
    """A file grows with its fleet; a stricter level would take harmful back."""
    rows = [row(0, 50, 50, 10, 0), *(row(minute, 500, 500) for minute in range(1, 5))]

    early, late = (
        judge(some, question(Policy(), machines_of(some, sites=False))) for some in (rows[:1], rows)
    )

    assert (early.state, late.state) == (VerdictState.HARMFUL, VerdictState.HARMFUL)
    assert late.question == early.question


def test_a_total_beside_its_parts_is_refused() -> None:
    """Every machine would stand there twice."""
    parts = [row(1, 5, 5, stratum="a"), row(1, 5, 5, stratum="b")]

    with pytest.raises(BadInput, match="has no stratum at the same time"):
        in_time([*parts, row(1, 10, 10)])
    assert len(in_time([*parts, row(2, 10, 10)])) == 3


def test_a_signal_that_comes_later_takes_nothing_back() -> None:
    """A file that grows by a quiet signal must not share out anew what crashes have proved."""
    rows = [row(0, 50, 50, 9, 0)]
    asked = question(Policy(alpha_harm=0.01), 100)
    quiet = [
        replace(row(minute, 50, 50), signal=f"check-{number}")
        for minute in (1, 2)
        for number in range(20)
    ]

    early, late = judge(rows, asked), judge(in_time([*rows, *quiet]), asked)

    assert early.state is late.state is VerdictState.HARMFUL
    assert late.log_e_harm == pytest.approx(early.log_e_harm)
    loud = [replace(each, treated_harmed=10) for each in quiet]
    assert judge(in_time([*rows, *loud]), asked).log_e_harm > early.log_e_harm + 5


def test_chance_alone_does_not_accuse_where_signals_come_when_they_like() -> None:
    """What a new signal begins with is lent, not made: E stays a fair game."""
    chance, e_values = np.random.default_rng(5), []
    for _ in range(2_000):
        rows = []
        for minute in range(4):
            for name in ("a", "b", "c", "d")[: minute + 1]:
                hit = int(chance.hypergeometric(20, 20, 3))
                rows.append(replace(row(minute, 20, 20, hit, 3 - hit), signal=name))
        found = judge(in_time(rows), question(Policy(), 40))
        e_values.append(np.exp(found.log_e_harm))

    assert np.mean(e_values) <= 1.0 + 3.0 * np.std(e_values) / np.sqrt(len(e_values))


def test_what_was_counted_before_the_rollout_is_no_following() -> None:
    """A day of intervals without anybody treated says nothing of harm that comes late."""
    before = [row(minute, 0, 20_000) for minute in range(23)]
    asked = question(Policy(delta=0.01), 20_000, follow_up=24)
    since = [row(minute, 10_000, 10_000) for minute in range(23, 47)]

    assert judge([*before, *since[:1]], asked).state is VerdictState.UNDECIDED
    assert judge([*before, *since[:23]], asked).state is VerdictState.UNDECIDED
    assert judge([*before, *since], asked).state is VerdictState.CLEARED


def test_a_total_of_one_signal_beside_parts_of_another_is_refused() -> None:
    """Every machine would stand in two classes, each with half of its harm."""
    crash = [row(minute, 1_000, 1_000, 15) for minute in range(30)]
    check = [
        replace(row(minute, 500, 500, stratum=name), signal="check")
        for minute in range(30)
        for name in "ab"
    ]
    asked = question(Policy(delta=0.01), 2_000, follow_up=1)

    with pytest.raises(BadInput, match="has no stratum at the same time, so it counts"):
        in_time([*crash, *check])
    mixed = judge(in_time([*crash, *check], mixed=True), asked)
    assert mixed.harm_upper < 0.015, "which is what they do: nobody may clear by this bound"
    assert judge(in_time(crash), asked).harm_upper > 0.015
