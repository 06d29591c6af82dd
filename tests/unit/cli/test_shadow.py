"""What a person reads of a channel in shadow mode."""

from collections.abc import Iterator

import pytest
from tests.unit.cli.desk import Desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Desk]:
    """Three releases: adopted, good and bad; read only."""
    desk = Desk(tmp_path_factory.mktemp("shadow"), policy='mode = "shadow"\ncontrol = 0.3')
    desk.adopt_and_walk()
    desk.brick("3")
    desk.keep_head()
    yield desk
    desk.site.close()


def release(desk: Desk, number: int) -> str:
    (channel,) = desk.run("channel", "list", "--json").json()
    found = desk.run("release", "list", "--json").json()
    mine = (r for r in found if r["channel"] == channel["name"])
    return str(next(r["id"] for r in mine if r["number"] == number))


def test_the_channel_says_that_nothing_is_held(desk):
    """Nobody may take a shadow for protection."""
    (channel,) = desk.run("channel", "list", "--json").json()
    said = desk.run("channel", "show", channel["name"]).out

    assert channel["mode"] == "shadow"
    assert "shadow: nothing is held" in said


def test_the_verdict_says_so_too_and_the_door_is_open(desk):
    """The evidence is against it, and every machine has it."""
    said = desk.run("verdict", "show", release(desk, 3))

    assert "harmful" in said.out
    assert "shadow: nothing was held" in said.out
    (door,) = desk.run("release", "show", release(desk, 3), "--json").json()["door"].values()
    assert (door["state"], door["reason"], door["shadow"]) == ("open", "would have shut", True)


def test_the_report_lists_what_would_have_happened(desk):
    """The numbers on which somebody decides to enforce."""
    (channel,) = desk.run("channel", "list", "--json").json()
    rows = desk.run("verdict", "shadow", channel["name"], "--json").json()
    told = desk.run("verdict", "shadow", channel["name"]).out

    assert [(row["number"], row["would"]) for row in rows] == [(3, "shut"), (2, "opened")]
    assert all(row["after_ms"] > 0 for row in rows)
    assert "harm is proved" in told


def test_what_a_shadow_decided_can_be_computed_again(desk):
    """A report that cannot be checked is an advertisement."""
    assert desk.run("verdict", "replay", "--all", "--json").json()["same"] is True
    assert "in shadow mode: the evidence would have shut it" in desk.run("ledger", "show").out
