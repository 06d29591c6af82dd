"""Which groups are named as harmed, and who is asked before they are."""

import math

import pytest

from firedoor.core.stream import GroupVerdict, StreamVerdict
from firedoor.core.units import LogE
from firedoor.services.naming import named


def stream(signal: str, share: float, **groups: float) -> StreamVerdict:
    """A signal with the e-value of each model."""
    found = tuple(
        GroupVerdict("model", value, 3, 0, 0.3, LogE(math.log(e))) for value, e in groups.items()
    )
    return StreamVerdict(signal, share, 9, 90, 3, 0, 0.3, LogE(0.0), LogE(0.0), LogE(0.0), found)


def never() -> int:
    """Nobody may ask."""
    raise AssertionError("the fleet was counted for nothing")


def test_a_list_names_the_group_that_its_evidence_stands_out_for() -> None:
    """Ten models in two signals are twenty looks: one of them has to reach 20 x 20."""
    streams = [stream("silence", 0.8, R650=500.0, R740=15.0), stream("crash", 0.5)]

    (only,) = named(streams, lambda: 10)

    assert (only.signal, only.attribute, only.value) == ("silence", "model", "R650")
    assert only.log_e == pytest.approx(math.log(500))


def test_models_that_nothing_happened_to_are_looks_too() -> None:
    """Left out, the best of a hundred models would be named for luck."""
    streams = [stream("silence", 0.8, R650=500.0)]

    assert named(streams, lambda: 25)
    assert not named(streams, lambda: 26)


def test_a_register_that_forgot_a_model_does_not_shorten_the_list_of_looks() -> None:
    """Machines may be revoked; what was looked at stays looked at."""
    streams = [stream("silence", 0.8, R650=30.0, R740=1.0)]

    assert not named(streams, lambda: 0)


def test_a_signal_that_decides_nothing_names_nobody() -> None:
    """Evidence of a signal that few machines send is shown, and no more."""
    assert named([stream("check", 0.0, R650=1e9)], never) == ()


def test_a_large_fleet_is_not_counted_where_nobody_can_be_named() -> None:
    """A page that shows a good release must not read the whole register."""
    assert named([stream("silence", 0.8, R650=2.0, R740=19.0)], never) == ()
