"""The loop in a test's hand, with files that are closed afterwards; and a gate without files."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.loop import Loop, memory
from tests.unit.services.turnstile import Gate


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


@pytest.fixture
def gate() -> Gate:
    """Twenty machines that have been known for long, and nothing on the board."""
    return Gate()
