import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core import silence

MINUTE = 60_000
MIN_MS = 5 * MINUTE

gaps = st.integers(min_value=100, max_value=int(1.8 * 365 * 24 * 60) * MINUTE)


def deadline(minutes, *, spread=1.0, cold=60):
    codes = [silence.gap_code(m * MINUTE) for m in minutes]
    return silence.deadline(codes, spread, cold_ms=cold * MINUTE, silence_min_ms=MIN_MS)


@given(gaps)
def test_a_gap_packed_into_a_byte_is_never_shorter_and_hardly_longer(gap):
    """A deadline that is a little late costs time; one that is early makes false harm."""
    code = silence.gap_code(gap)

    assert 1 <= code <= 255
    assert gap <= silence.gap_of_code(code) < 1.1 * gap


@given(gaps, gaps)
def test_a_longer_gap_never_has_a_smaller_code(one, other):
    """The largest of many gaps is found among the codes."""
    shorter, longer = sorted((one, other))

    assert silence.gap_code(shorter) <= silence.gap_code(longer)


@pytest.mark.parametrize("gap", [-5, 0, 1, 16])
def test_the_shortest_gaps_share_a_code_that_is_not_no_gap(gap):
    """Zero is kept for a place that was never filled."""
    assert silence.gap_code(gap) == 1


def test_a_gap_of_many_years_is_the_longest_that_can_be_kept():
    """A clock that jumped must not overflow a byte."""
    assert silence.gap_code(10**15) == 255


def test_a_regular_machine_is_waited_for_as_long_as_its_longest_gap():
    """Ten minutes, once fifteen: silent after fifteen, and a little for the packing."""
    assert 15 * MINUTE <= deadline([10, 10, 15, 10, 10]) < 1.1 * 15 * MINUTE


def test_a_machine_with_few_gaps_borrows_the_spread_of_its_kind():
    """The largest of five gaps is no .99 quantile; the stratum has seen more."""
    own = deadline([10] * 5, spread=1.0)

    assert deadline([10] * 5, spread=7.0) == pytest.approx(7 * own, abs=1)


@pytest.mark.parametrize("known", [0, 1, 4])
def test_a_machine_that_is_hardly_known_gets_the_deadline_of_its_kind(known):
    """Four gaps say next to nothing about the fifth."""
    assert deadline([1] * known, cold=180) == 180 * MINUTE


def test_places_never_filled_are_no_gaps():
    """A machine's memory begins with zeros."""
    codes = [0] * 27 + [silence.gap_code(10 * MINUTE)] * 5

    assert silence.deadline(codes, 1.0, cold_ms=0, silence_min_ms=MIN_MS) < 11 * MINUTE


@pytest.mark.parametrize("minutes", [[1] * 8, []])
def test_no_deadline_is_shorter_than_the_shortest(minutes):
    """A machine that polls each minute may still be restarting for five."""
    assert deadline(minutes, cold=1) == MIN_MS


def test_a_beating_machine_is_silent_after_three_missing_heartbeats():
    """Its regular heartbeats tell sooner than its polls."""
    assert silence.heartbeat_deadline(10 * MINUTE, MIN_MS) == 30 * MINUTE
    assert silence.heartbeat_deadline(MINUTE, MIN_MS) == MIN_MS


@given(st.integers(min_value=1, max_value=2 * 365 * 24 * 60 * MINUTE))
def test_a_class_waits_at_least_as_long_as_the_machine_needs_and_at_most_half_longer(ms):
    """Few classes, so that many machines close together; never too early."""
    k = silence.deadline_class(ms, MIN_MS)

    assert silence.class_deadline(k, MIN_MS) >= ms
    if k:
        assert silence.class_deadline(k - 1, MIN_MS) < ms


def test_whatever_the_deadline_its_class_fits_the_mask_of_closed_classes():
    """The board tells closed classes as 32 bits."""
    assert silence.deadline_class(10**18, MIN_MS) == silence.LAST_CLASS == 31


def test_the_spread_is_what_one_gap_in_a_hundred_exceeds():
    """Taken over the machines of a kind, in units of each one's own median."""
    assert silence.spread_of([1.0] * 99 + [8.0]) == 1.0
    assert silence.spread_of([1.0] * 98 + [8.0, 9.0]) == 8.0
    assert silence.spread_of([0.5]) == 1.0
    assert silence.spread_of([]) == 1.0


def test_five_gaps_are_enough_and_the_median_is_theirs():
    """The rule of cohorts.md 5, with numbers one can do in the head."""
    codes = [silence.gap_code(m * MINUTE) for m in (10, 20, 30, 40, 100)]
    median = silence.gap_of_code(silence.gap_code(30 * MINUTE))

    found = silence.deadline(codes, 5.0, cold_ms=0, silence_min_ms=MIN_MS)

    assert found == math.ceil(5.0 * median)


def test_nobody_is_watched_for_late_harm_longer_than_a_week():
    """A machine that polls once a day would be locked for two months by 24 deadlines."""
    day = 24 * 3_600_000

    assert silence.ladder(5 * 60_000) == (1, 2, 4, 8, 16, 24)
    assert silence.ladder(7 * day // 24) == (1, 2, 4, 8, 16, 24)
    assert silence.ladder(7 * day // 24 + 1) == (1, 2, 4, 8, 16)
    assert silence.ladder(2 * day) == (1, 2)
    assert silence.ladder(4 * day) == (1,)
    assert silence.ladder(30 * day) == (1,)
