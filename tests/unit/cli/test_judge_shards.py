"""``firedoor judge`` over the exports of several collectors."""

import itertools
import os
import threading
from pathlib import Path

import pytest
from tests.unit.cli.desk import run

HEAD = "time,release,signal,stratum,treated,control,treated_harmed,control_harmed\n"
EAST = [
    "2026-11-22T12:00:00Z,v3,crash,east,50,450,2,3\n",
    "2026-11-22T13:00:00Z,v3,crash,east,48,447,1,2\n",
    "2026-11-22T13:00:00Z,v2,crash,east,48,447,0,0\n",
]
WEST = [
    "2026-11-22T12:00:00Z,v3,crash,west,60,440,3,1\n",
    "2026-11-22T12:00:00Z,v3,silence,west,60,440,0,1\n",
]


@pytest.fixture
def export(tmp_path):
    """Writes the rows that one collector has."""
    numbers = itertools.count()

    def write(*rows: str) -> str:
        path = tmp_path / f"{next(numbers)}.csv"
        path.write_text(HEAD + "".join(rows))
        return str(path)

    return write


def test_shards_in_any_order_and_twice_say_what_the_whole_says(export):
    """Two collectors, one of them restarted: its second export repeats what it had sent."""
    whole = run("judge", export(*WEST, *EAST), "--json")
    shards = [export(*reversed(EAST)), export(*WEST), export(EAST[1], EAST[0])]

    for order in itertools.permutations(shards):
        said = run("judge", *order, "--json")

        assert (said.code, said.out) == (whole.code, whole.out)
    assert [found["release"] for found in whole.json()] == ["v3", "v2"]


def test_collectors_that_contradict_each_other_are_named(export):
    """Nobody may choose between two counts of one interval by the order of files."""
    first, second = export(EAST[0]), export(EAST[0].replace("450,2", "450,7"))

    said = run("judge", first, second)

    assert said.code == 2
    assert f"{second}: line 2: {first}: line 2 gives other counts" in said.err


def test_a_mistake_is_told_with_the_file_it_is_in(export):
    """Among forty exports a line number alone helps nobody."""
    good, bad = export(*WEST), export(EAST[0].replace("50,450", "50,x"))

    said = run("judge", good, bad)

    assert said.code == 2
    assert f"in {bad}" in said.err and "line 2" in said.err


def test_stdin_can_be_read_once_only():
    """The second of two dashes would be empty."""
    assert run("judge", "-", "-").code == 2


def test_a_pipe_is_read_to_its_end(export, tmp_path):
    """``firedoor judge <(query)``: a pipe can be read once, and not from its beginning again."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    text = Path(export(*EAST)).read_text()
    writer = threading.Thread(target=path.write_text, args=(text,), daemon=True)
    writer.start()

    said = run("judge", str(path), "--json")
    writer.join(10)

    assert said.out == run("judge", export(*EAST), "--json").out
    assert said.code == 0


def test_a_directory_is_told_to_be_none(tmp_path):
    """It is no regular file either."""
    said = run("judge", str(tmp_path))

    assert said.code == 2
    assert "cannot be read" in said.err
