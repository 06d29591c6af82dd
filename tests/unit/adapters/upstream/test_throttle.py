"""A limit for what all upstreams send in a second."""

import threading

from tests.clocks import HandClock

from firedoor.adapters.upstream.throttle import Throttle


def test_no_more_comes_than_the_rate_after_a_burst_of_a_quarter_second():
    """Ten pieces of 100 KB at 1 MB/s take a second, but for what was saved up before."""
    clock, slept = HandClock(), []

    def sleep(seconds):
        slept.append(seconds)
        clock.pass_ms(round(seconds * 1000))

    throttle, began = Throttle(1_000_000, clock, sleep), clock.mono_ms
    for _ in range(10):
        throttle(100_000)

    assert clock.mono_ms - began == 750
    assert len(slept) == 8


def test_what_was_not_used_is_not_saved_up():
    """A night without traffic does not pay for a minute at full speed."""
    clock = HandClock()
    slept: list[float] = []
    throttle = Throttle(1_000, clock, slept.append)
    clock.pass_ms(3_600_000)
    throttle(10_000)

    assert slept == [9.75]


def test_those_who_wait_share_what_there_is():
    """Two channels get half each: their waits add up."""
    clock = HandClock()
    slept: list[float] = []
    throttle = Throttle(1_000, clock, slept.append)
    threads = [threading.Thread(target=throttle, args=(1_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(slept) == [0.75, 1.75, 2.75, 3.75]
