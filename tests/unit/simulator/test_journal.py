"""Counts and ground truth."""

import json
from pathlib import Path

from firedoor.simulator.journal import Event, Happening, Journal, Tally, happenings, struck


def test_a_machine_is_counted_once_under_the_version_it_installed_last() -> None:
    """The sum over versions is the fleet, whatever goes forth and back."""
    tally = Tally(["a", "b"])
    for machine, version in (("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")):
        tally.take(Happening(machine, Event.INSTALLED, version=version))

    assert tally.row(0)["versions"] == {"1": 2}


def test_a_machine_counts_as_polled_once_and_its_polls_each_time() -> None:
    """Waiting until "all have polled" must not be fooled by one that polls often."""
    tally = Tally(["a", "b"])
    for _ in range(3):
        tally.take(Happening("a", Event.POLLED))

    row = tally.row(5)

    assert (row["time"], row["machines"], row["polled"], row["polls"]) == (5, 2, 1, 3)


def test_the_journal_keeps_what_is_known_and_appends_to_what_is_there(tmp_path: Path) -> None:
    """A second fleet on the same file must not wipe out the truth about the first."""
    path = tmp_path / "journal.jsonl"
    for time_ms in (1, 2):
        with Journal(path) as journal:
            journal.write(Happening("a", Event.CRASHED, version="3", cause="content"), time_ms)
            journal.write(Happening("a", Event.POLLED), time_ms)

    lines = [json.loads(line) for line in path.read_text().splitlines()]

    fact = {"machine": "a", "event": "crashed", "version": "3", "cause": "content"}
    assert lines == [{"time": 1, **fact}, {"time": 2, **fact}]


def test_a_journal_is_read_while_it_is_written(tmp_path):
    """The demonstration counts victims while the fleet lives: half a line is not an event yet."""
    path = tmp_path / "journal.jsonl"
    assert happenings(path) == []
    with Journal(path) as journal:
        journal.write(Happening("a", Event.BRICKED), 1)
        journal.write(Happening("b", Event.CRASHED, cause="chance"), 2)
        journal.write(Happening("c", Event.CRASHED, cause="content"), 3)
    with path.open("a") as half:
        half.write('{"time": 4, "machine": "d", "eve')

    assert [line["machine"] for line in happenings(path)] == ["a", "b", "c"]
    assert struck(path) == {"a", "c"}
