import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.console.model import TrackPoint
from firedoor.wire.followed import Curve


def point(time_ms: int) -> TrackPoint:
    return TrackPoint(
        time_ms=time_ms,
        log_e_harm=0.0,
        harm_upper=1.0,
        admitted=0,
        control=0,
        harmed=0,
        in_flight=0,
        window=1,
    )


@given(
    steps=st.lists(st.integers(min_value=0, max_value=400), min_size=1, max_size=8),
    most=st.integers(min_value=2, max_value=50),
)
def test_a_thinned_curve_keeps_its_ends_and_its_order_and_stays_small(
    steps: list[int], most: int
) -> None:
    """However long a release is watched: the newest point is the one people act on."""
    curve, total = Curve(most), 0
    for step in steps:
        curve.extend(point(time_ms) for time_ms in range(total, total + step))
        total += step

    times = [each.time_ms for each in curve.points()]

    assert len(times) <= most
    assert times == sorted(set(times))
    if total:
        assert (times[0], times[-1]) == (0, total - 1)


@pytest.mark.parametrize("length", [1, 10, 100])
def test_a_short_curve_is_shown_whole(length: int) -> None:
    """Thinning is for what has more points than a screen has columns."""
    curve = Curve(most=101)
    curve.extend(point(time_ms) for time_ms in range(length))

    assert [each.time_ms for each in curve.points()] == list(range(length))
