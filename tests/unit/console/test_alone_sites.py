"""Runs that count sites, and what a run of machines refuses."""

import pytest
from tests.worlds_alone import Desk

WHOLE = "".join(
    f"1,v2,crash,s{n},{9 if n < 5 else 0},{0 if n < 5 else 9},{9 if n < 5 else 0},0\n"
    for n in range(30)
)


@pytest.fixture
def desk(tmp_path):
    """A console that judges for others."""
    return Desk(tmp_path)


def test_a_run_may_count_sites(desk):
    """The pipeline sends what it has of each site; the judge counts a site once."""
    found = desk.feed("r", WHOLE, "?units=sites").json["found"]

    assert (found["units"], found["machines"]) == ("sites", 30)
    assert found["streams"][0]["treated_harmed"] == 5


def test_a_run_of_machines_refuses_whole_sites_and_says_what_to_ask(desk):
    """It would stay undecided for ever."""
    reply = desk.feed("r", WHOLE)

    assert reply.status == 400
    assert "units=sites" in str(reply.json)
    assert desk.get("/judge/runs/r").status == 404


def test_rows_without_a_site_are_refused_and_not_kept(desk):
    """A run that kept them could never be judged again."""
    desk.feed("r", WHOLE, "?units=sites")

    assert desk.feed("r", "2,v2,crash,,9,9,0,0\n").status == 400
    assert desk.get("/judge/runs/r").json["rows"] == 30


def test_there_are_no_other_units(desk):
    """A slip must not fall back to machines."""
    assert desk.feed("r", WHOLE, "?units=racks").status == 400
