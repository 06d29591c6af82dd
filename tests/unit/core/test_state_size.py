"""How much the judge remembers: numbers of state, counted and not timed.

What a stream costs decides how many a judge can hold; it must depend neither on the fleet nor on
how long a release has been watched.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from firedoor.core.cell import Cell, Test
from firedoor.core.signal import ANY, CRASH, SILENCE
from firedoor.core.stream import Group, Stream
from firedoor.core.verdict import Evidence, Rules, fold

MOST = 64
"""Numbers a stream may keep."""


def numbers(state: object) -> int:
    """Numbers in a state; texts are names, and what was fixed beforehand is no state."""
    match state:
        case np.ndarray():
            return state.size
        case bool() | str() | None:
            return 0
        case int() | float():
            return 1
        case tuple():
            return sum(numbers(each) for each in state)
        case Mapping():
            return sum(numbers(each) for each in state.values())
        case _ if is_dataclass(state):
            return sum(numbers(getattr(state, field.name)) for field in fields(state))
        case _:
            raise TypeError(type(state).__name__)


def cells(buckets: int, machines: int) -> Iterator[Cell]:
    """A harm cell of each signal and a matured class in every bucket."""
    seq = 0
    for bucket in range(buckets):
        for test, signal in ((Test.HARM, SILENCE), (Test.HARM, CRASH), (Test.CLEARANCE, ANY)):
            seq += 1
            yield Cell(
                seq=seq,
                ring="everyone",
                deck=bucket + 1,
                epoch=bucket // 5,
                test=test,
                signal=signal,
                stratum=f"model=m{bucket % 3}" if test is Test.HARM else "",
                treated=machines // 10,
                control=machines - machines // 10,
                treated_harmed=bucket % 2,
                control_harmed=1,
                installed=machines // 10 if test is Test.CLEARANCE else 0,
            )


def evidence(buckets: int = 60, machines: int = 1_000, liars: int = 0) -> Evidence:
    rules = Rules(
        0.001,
        0.05,
        0.05,
        0.01,
        ((SILENCE, 0.8), (CRASH, 0.5)),
        attributes=("model",),
        liars=liars,
    )
    return fold(rules, cells(buckets, machines))


def alone(stream: Stream) -> int:
    """Numbers of a stream without its groups, each of which is a stream of its own."""
    return numbers(stream) - numbers(stream.groups)


def test_a_stream_keeps_at_most_64_numbers() -> None:
    """Two factors of ten rate ratios, and the counts that a person is shown."""
    streams = evidence().streams

    assert all(20 < alone(stream) <= MOST for stream in streams)


def test_a_group_keeps_no_more_than_a_stream() -> None:
    """Models and sites are many: each is a stream like any other."""
    groups: list[Group] = [group for stream in evidence().streams for group in stream.groups]

    assert len(groups) == 6
    assert all(20 < numbers(group) <= MOST for group in groups)


def test_what_a_release_keeps_beside_its_streams_is_one_stream_more() -> None:
    """Clearance, excess and history are one process each, however many signals there are."""
    found = evidence()

    assert 20 < numbers(found) - numbers(found.rules) - numbers(found.streams) <= MOST


@pytest.mark.parametrize(("buckets", "machines"), [(6, 1_000), (600, 1_000), (60, 10_000_000)])
def test_state_grows_neither_with_time_nor_with_the_fleet(buckets: int, machines: int) -> None:
    """A week of a million machines weighs what an hour of a thousand does."""
    assert numbers(evidence(buckets, machines)) == numbers(evidence())


def test_two_liars_more_cost_two_rows_more() -> None:
    """Sparing liars is paid for in rows, not in powers."""
    plain, spared = (alone(evidence(liars=liars).streams[0]) for liars in (0, 2))

    assert spared - plain == 2 * 22
