"""The loop in a test's hand, with files that are closed and deleted afterwards."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.loop import Loop, memory


@pytest.fixture
def start() -> Iterator[Callable[..., Loop]]:
    """Start a loop; the arguments are those of ``Loop`` without the folder."""
    with ExitStack() as stack:

        def begin(*machines: int, **how: Any) -> Loop:
            loop = Loop(stack.enter_context(memory()), *machines, **how)
            stack.callback(loop.close)
            return loop

        yield begin


@pytest.fixture
def loop(start: Callable[..., Loop]) -> Loop:
    """Twenty machines that have been known for a while, and an adopted release."""
    begun = start(20)
    begun.settle_in()
    return begun
