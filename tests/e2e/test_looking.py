"""How far a look at an upstream has got, for whoever waits for it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.office import adopting, moved_into, until
from tests.servers import python_server

CHANNEL = """
[mirror]
bandwidth = "1MiB"
[[channel]]
name = "{name}"
kind = "files"
upstream = "{url}"
poll = "1h"
"""
PIECES = 12


@pytest.mark.e2e
def test_a_look_shows_how_far_it_has_got_and_ends_for_whoever_waits(tmp_path):
    """The first look at a distribution takes an hour: nobody should have to guess."""
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "tool.txt").write_text("1")
    with python_server(vendor) as url:
        office = moved_into(tmp_path / "office", CHANNEL, vendor, name="tools", url=url)
        with adopting(office):
            assert "looking" not in office.ask("channel", "show", "tools").out
            for number in range(PIECES):
                (vendor / f"{number:02d}.bin").write_bytes(bytes([number]) * 250_000)
            with ThreadPoolExecutor(1) as aside:
                words = ("channel", "sync", "tools", "--wait", "--by", "Amira")
                waiting = aside.submit(office.ask, *words)
                until(lambda: "looking" in office.ask("channel", "show", "tools").out)
                said = office.ask("channel", "show", "tools").out
                done = waiting.result(60)
            assert f"of {PIECES + 1} files" in said
            assert done.code == 0, done.err
            assert "looking" not in office.ask("channel", "show", "tools").out
            assert office.boardings() == 2

            (vendor / "tool.txt").unlink()
            for number in range(PIECES):
                (vendor / f"{number:02d}.bin").unlink()
            failed = office.ask(*words)
            assert failed.code != 0
            assert "brought nothing" in failed.err
