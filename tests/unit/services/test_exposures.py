"""What a machine is on record for."""

from hypothesis import given
from hypothesis import strategies as st

from firedoor.services.exposures import TRAIL, Exposure, Exposures


def fresh():
    exposures = Exposures()
    exposures.grow(4)
    return exposures


@given(st.lists(st.integers(1, 200), max_size=30), st.integers(1, 300))
def test_the_memory_never_claims_a_record_and_forgets_only_what_is_long_ago(numbers, asked):
    """A claim would be an exposure off the record; forgetting costs a row that is dropped."""
    exposures = fresh()
    for number in numbers:
        exposures.add(2, number)

    highest = max(numbers, default=0)
    assert exposures.highest(2) == highest
    if exposures.has(2, asked):
        assert asked in numbers
    elif asked > highest - TRAIL:
        assert asked not in numbers
    assert not exposures.has(1, asked)


def test_the_last_record_from_long_ago_is_remembered():
    """A pin to a very old release is one record a machine, not one a session."""
    exposures = fresh()
    exposures.add(1, 500)
    exposures.add(1, 3)

    assert exposures.has(1, 3)
    assert exposures.has(1, 500)
    assert not exposures.has(1, 4)


def test_what_is_on_record_comes_back_after_a_restart_and_grows_with_the_fleet():
    """Containment needs no disk, also right after a restart."""
    exposures = fresh()
    exposures.restore(Exposure(3, 9, 0b1001))
    exposures.grow(100)

    assert [n for n in range(12) if exposures.has(3, n)] == [6, 9]
    assert not exposures.has(99, 9)
