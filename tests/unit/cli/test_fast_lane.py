"""A fast lane at the prompt: what is given, until when, and what waits for a second person."""

import pytest
from tests.unit.cli.desk import Desk, run


@pytest.fixture(scope="module")
def hurried(tmp_path_factory):
    """Release 2 is being tried; Amira widened its budget for an hour and asked for everybody."""
    desk = Desk(tmp_path_factory.mktemp("hurried"), policy="expedite_needs_two = true")
    desk.site.settle_in()
    release = desk.site.publish("2")
    desk.site.tick()
    desk.site.order(
        "expedite", release=release, reason="zero day", budget=9, lasts_ms=3_600_000,
        approved_by="Bela",
    )  # fmt: skip
    desk.site.order("expedite", release=release, reason="zero day", all=True)
    yield desk, release
    desk.site.close()


def test_show_tells_the_fast_lane_and_the_order_that_waits(hurried):
    """With the very command that the second person types."""
    desk, release = hurried

    said = desk.run("release", "show", release)

    assert "a fast lane puts 9 more machines at risk until" in said.out
    assert f"firedoor release approve {release[:12]} 1 --by NAME" in said.out
    body = desk.run("release", "show", release, "--json").json()
    assert body["door"]["everyone"]["lane"]["slots"] == 9
    assert [order["verb"] for order in body["orders"]] == ["expedite"]


@pytest.mark.parametrize("lasts", ["4", "soon", "0s", "-1h", "500ms", "59s"])
def test_a_time_without_a_unit_is_refused_with_an_example(hurried, lasts):
    """Four what? Before anybody is asked."""
    desk, release = hurried

    said = desk.run(
        "release", "expedite", release, "--budget", "5", f"--for={lasts}", "--reason", "x"
    )

    assert said.code == 2
    assert said.err.startswith("error: --for takes a duration")


def test_the_help_says_how_a_second_person_approves():
    """It is looked up in a hurry, by whoever was woken."""
    said = run("release", "approve", "--help")

    assert "Nobody approves their own" in said.out + said.err
