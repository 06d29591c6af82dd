import contextlib
import sqlite3

import pytest
from tests.unit.cli.desk import run

ONE_HARMED_LESS = "UPDATE cell SET treated_harmed = 2 WHERE number = 3 AND test = 'harm'"
TOO_MANY = "UPDATE cell SET treated_harmed = 99 WHERE number = 3 AND test = 'harm'"
ONE_CONTROL_MORE = "UPDATE cell SET control = control + 1 WHERE number = 3 AND test = 'harm'"
ANOTHER_ARM = """UPDATE place SET treated = 1 - treated WHERE id =
    (SELECT max(id) FROM place WHERE number = 2 AND deck > 0 AND treated = 0)"""


def spoil(config, name: str, statement: str) -> None:
    """Change a database behind everybody's back."""
    with contextlib.closing(sqlite3.connect(config.parent / "data" / name)) as database:
        changed = database.execute(statement)
        assert changed.rowcount >= 1
        database.commit()


def replay(config, *options: str):
    return run("verdict", "replay", *options, "--config", str(config))


def test_every_decision_comes_out_the_same_to_the_last_bit(day):
    """Promise 8: from the ledger and the cells anyone recomputes every verdict."""
    found = day.desk.run("verdict", "replay", "--all", "--json").json()

    assert found["same"] is True
    assert found["difference"] is None
    assert found["boardings"] == 3
    assert found["decisions"] == 2
    assert found["decks"] > 1
    # Everybody drew a treated card of the second release, and the controls theirs.
    assert found["cards"] > 30


def test_one_release_is_replayed_alone(day):
    """Where there are years of them."""
    found = day.desk.run("verdict", "replay", day.bad[:8], "--json").json()

    assert (found["same"], found["boardings"], found["decisions"]) == (True, 1, 1)
    assert found["cells"] == len(day.desk.site.store.cells("tills-av", 3))


@pytest.mark.parametrize(
    ("name", "statement", "complaint"),
    [
        ("judge.db", ONE_HARMED_LESS, "cells_digest"),
        ("judge.db", ONE_CONTROL_MORE, "cells_digest"),
        ("judge.db", TOO_MANY, "99 of treated"),
        ("judge.db", "DELETE FROM cell WHERE number = 2 AND seq = 1", "cell"),
        (
            "judge.db",
            'UPDATE deck SET body = replace(body, \'"key":"\', \'"key":"00\') WHERE number = 2',
            "key that is not of the revealed seed",
        ),
        (
            "gate.db",
            ANOTHER_ARM,
            "treated",
        ),
        (
            "gate.db",
            "UPDATE place SET card = 0 WHERE number = 2 AND card = 1 AND deck > 0",
            "was drawn twice",
        ),
        (
            "gate.db",
            "DELETE FROM place WHERE number = 2 AND card = 4 AND deck > 0",
            "drew cards",
        ),
        ("gate.db", "UPDATE cut SET treated = treated + 1 WHERE number = 2", "at the cut"),
        (
            "gate.db",
            "UPDATE place SET deck = 77 WHERE number = 2 AND card = 2 AND deck > 0",
            "never dealt",
        ),
    ],
)
def test_whatever_was_changed_afterwards_is_found(copy, name, statement, complaint):
    """An auditor has to be able to catch the operator, not only a broken disk."""
    spoil(copy, name, statement)

    said = replay(copy)
    found = replay(copy, "--json").json()

    assert said.code == 1
    assert found["same"] is False
    assert complaint in found["difference"]["what"]
    assert f"different: ledger entry {found['difference']['index']}: " in said.out


def test_a_difference_in_one_release_leaves_the_others_alone(copy, day):
    """Whoever checks a release gets an answer about this release."""
    spoil(copy, "judge.db", ONE_CONTROL_MORE)

    assert replay(copy, day.good[:8]).code == 0
    assert replay(copy, day.bad[:8]).code == 1


def test_a_tolerance_is_for_other_processors_and_not_for_other_cells(copy):
    """Exponentials differ in the last place between processors; a count never does."""
    spoil(copy, "judge.db", ONE_HARMED_LESS)

    assert replay(copy, "--tolerance", "1e-9").code == 1


def test_a_release_and_all_is_a_contradiction(day):
    """Somebody meant one of the two."""
    assert day.desk.run("verdict", "replay", day.bad, "--all").code == 2
