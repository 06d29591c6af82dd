"""Several collectors push into one run."""

import sqlite3

import pytest
from tests.worlds_alone import FEW, HARMLESS, JUDGE_TOKEN, Desk

PARTS = "?parts=east,west&follow_up=4"
EAST = "1,v2,crash,,50,450,12,0\n2,v2,crash,,50,450,1,0\n"
WEST = "1,v2,crash,,30,270,8,1\n2,v2,crash,,30,270,0,1\n"
BOTH = "1,v2,crash,,80,720,20,1\n2,v2,crash,,80,720,1,1\n"


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_parts_say_together_what_one_collector_would(desk):
    """To the last bit, whoever comes first; what waits is told until then."""
    whole = desk.feed("whole", BOTH, "?follow_up=4").json
    half = desk.feed("a", EAST, f"{PARTS}&part=east").json
    done = desk.feed("a", WEST, "?part=west").json
    desk.feed("b", WEST, f"{PARTS}&part=west")
    other = desk.feed("b", EAST, f"{PARTS}&part=east").json

    assert (half["verdict"], half["found"], half["rows"]) == ("undecided", None, 0)
    assert half["waits"] == {"time_ms": 1, "parts": ["west"], "intervals": 2}
    assert "the interval of 1970-01-01T00:00:00.001Z waits for west" in half["says"]
    assert done["found"] == other["found"] == whole["found"]
    assert (done["verdict"], done["rows"], done["waits"]) == ("harmful", 2, None)


def test_a_run_in_parts_survives_a_restart(desk, tmp_path):
    """Between two parts, and after."""
    half = desk.feed("r", EAST, f"{PARTS}&part=east").json
    again = Desk(tmp_path)
    assert again.get("/judge/runs/r").json == half
    done = again.feed("r", WEST, "?part=west").json
    assert Desk(tmp_path).get("/judge/runs/r").json == done
    assert Desk(tmp_path).feed("r", EAST, "?part=east").json == done


def test_a_run_of_before_there_were_parts_goes_on(desk, tmp_path):
    """An upgrade in the middle of a rollout loses no counts."""
    before = desk.feed("r", HARMLESS, "?follow_up=4").json
    desk.runs.close()
    with sqlite3.connect(tmp_path / "console.db") as db:
        db.execute("ALTER TABLE run DROP COLUMN parts")
        db.execute("ALTER TABLE run_row DROP COLUMN part")

    after = Desk(tmp_path)
    assert after.get("/judge/runs/r").json == before
    assert after.feed("r", HARMLESS).json["found"] == before["found"]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("?part=east", "names them all when it begins"),
        ("?parts=east,west", "names them all when it begins"),
        ("?parts=east,east&part=east", "stands twice"),
        ("?parts=east,&part=east", "no name of a part"),
        ("?parts=east,west&part=", "no name of a part"),
        ("?parts=east,west&part=south", "no part 'south'"),
        ("?parts=east,west&part=east&ratio=2&cluster=2", "ratio"),
    ],
)
def test_a_run_cannot_begin_with_parts_that_make_no_sense(desk, query, complaint):
    """It would wait for somebody who never comes."""
    reply = desk.feed("r", FEW, query)

    assert reply.status == 400
    assert complaint in reply.json["detail"]
    assert desk.get("/judge/runs/r").status == 404


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("", "whose counts are these"),
        ("?part=south", "no part 'south'"),
        ("?part=west&parts=west", "was begun for the parts east, west"),
        ("?part=west&parts=east,west&follow_up=9", "asks something else"),
        ("?part=east", "came before with other counts"),
    ],
)
def test_what_does_not_belong_to_a_run_in_parts_is_refused(desk, query, complaint):
    """And the run stays as it was."""
    before = desk.feed("r", EAST, f"{PARTS}&part=east").json
    reply = desk.feed("r", WEST, query)

    assert reply.status == 400
    assert complaint in reply.json["detail"]
    assert reply.json["hint"]
    assert desk.get("/judge/runs/r").json == before


def test_a_whole_run_takes_no_parts(desk):
    """Its intervals have been weighed without them."""
    desk.feed("r", EAST)
    for query in ("?part=east", f"{PARTS}&part=east"):
        assert "began without parts" in desk.feed("r", WEST, query).json["detail"]


def test_flagger_goes_on_while_a_part_is_missing_and_promotes_nothing(desk):
    """Nothing weighed is undecided, which is no to a promotion and no reason to stop."""
    desk.feed("r", EAST, f"{PARTS}&part=east")

    def ask(word):
        hook = {"name": "till", "namespace": "test", "metadata": {"run": "r", "ask": word}}
        return desk.post("/judge/flagger", hook, authorization=f"Bearer {JUDGE_TOKEN}")

    assert ask("advance").status == 200
    assert ask("rollback").status == 412
    refused = ask("promote")
    assert refused.status == 412
    assert "waits for west" in refused.json["detail"]
