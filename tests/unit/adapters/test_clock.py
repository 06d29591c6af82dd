import time

from firedoor.adapters.clock import SystemClock, _boot_id


def test_two_clocks_of_one_boot_agree_on_its_name():
    """Gate and intake are two processes, and their monotonic times are compared."""
    first, second = SystemClock().now(), SystemClock().now()

    assert first.boot == second.boot != ""
    assert first.mono_ms <= second.mono_ms


def test_milliseconds_are_what_the_other_clocks_of_this_host_show():
    """A factor of a thousand here would make every deadline wrong."""
    before = time.time()

    wall_ms = SystemClock().now().wall_ms

    assert before * 1000 - 1 <= wall_ms <= time.time() * 1000 + 1


def test_without_a_boot_name_no_two_processes_share_one(tmp_path):
    """Not comparing times of two processes is safe; comparing wrongly is not."""
    missing = tmp_path / "boot_id"

    assert _boot_id(missing) != _boot_id(missing)


def test_an_empty_boot_name_is_no_name(tmp_path):
    """Some containers show an empty file."""
    empty = tmp_path / "boot_id"
    empty.write_text("\n")

    assert _boot_id(empty) not in {"", _boot_id(empty)}


def test_the_monotonic_clock_alone_is_the_one_of_all_clocks():
    """The gate asks one at every request and the other at every record."""
    clock = SystemClock()

    before, at, after = clock.monotonic_ms(), clock.now().mono_ms, clock.monotonic_ms()

    assert before <= at <= after
