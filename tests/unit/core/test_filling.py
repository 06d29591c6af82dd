"""How a wide window is filled: ADR 0019."""

import pytest

from firedoor.core import valve
from firedoor.core.valve import Deal


def deal(room: int, free: int, drawn: float, *, tried: bool = False) -> Deal | None:
    """A deck of a ring of which nobody has the release yet."""
    return valve.deal(
        room=room,
        free=free,
        untreated=free,
        active=free,
        control=0.1,
        quiet=False,
        drawn=drawn,
        tried=tried,
    )


def test_a_large_fleet_is_not_kept_waiting_by_nine_controls_for_each() -> None:
    """300 000 slots, and 700 000 cards will be drawn in half a deadline."""
    assert deal(300_000, 8_000_000, 0.0) == Deal(300_000, 3_000_000)
    assert deal(300_000, 8_000_000, 700_000.0) == Deal(300_000, 700_000)


def test_while_harm_may_not_have_shown_there_are_as_many_controls_as_treated() -> None:
    """Beside too few controls even much harm is no proof."""
    assert deal(600_000, 8_000_000, 700_000.0) == Deal(600_000, 1_200_000)
    assert deal(600_000, 8_000_000, 700_000.0, tried=True) == Deal(600_000, 700_000)


@pytest.mark.parametrize("drawn", [0.0, 0.1, 3.0, 1e6])
def test_a_slow_small_fleet_keeps_its_controls(drawn: float) -> None:
    """Thirty machines that poll when they like: a brick is proved by who else is well."""
    assert deal(3, 30, drawn) == Deal(3, 30)
    assert deal(100, 1_000, drawn, tried=True) == Deal(100, 1_000)


def test_what_is_not_excluded_would_have_shown() -> None:
    """A thousandth of 99 999 machines is not yet a hundred."""
    assert not valve.is_tried(installed=99_999, upper=0.001)
    assert valve.is_tried(installed=100_000, upper=0.001)


def test_a_window_is_filled_within_half_a_deadline_or_two_decks() -> None:
    """A fleet with short deadlines is not asked to fill it faster than it is dealt."""
    assert valve.filling(1.0, 60.0) == 30.0
    assert valve.filling(4.0, 5.0) == 8.0
