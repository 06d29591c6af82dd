"""What a person reads of the placebo audit."""

from collections.abc import Iterator

import pytest
from tests.unit.cli.desk import Desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Desk]:
    """Three releases: adopted, good and bad; read only."""
    desk = Desk(tmp_path_factory.mktemp("audit"))
    desk.adopt_and_walk()
    desk.brick("3")
    desk.keep_head()
    yield desk
    desk.site.close()


def test_only_what_evidence_opened_is_audited_and_its_cards_are_dealt_again(desk):
    """The adopted release claims nothing, and the one that was shut is no placebo."""
    answer = desk.run("verdict", "audit", "--deals", "7", "--seed", "1", "--json").json()

    (found,) = answer["channels"]
    assert (answer["seed"], answer["deals"]) == (1, 7)
    assert (found["releases"], found["undealt"], found["dealt"]["asked"]) == (1, 0, 7)
    assert found["passed"] is True
    assert found["advice"] == []


def test_the_table_says_how_little_one_release_says(desk):
    """A pass that rests on one release may not look like one that rests on fifty."""
    (channel,) = desk.run("channel", "list", "--json").json()
    said = desk.run("verdict", "audit", channel["name"]).out

    assert "1 good release cannot say much" in said
    assert "seed" in said
