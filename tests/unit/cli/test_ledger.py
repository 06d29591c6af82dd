import contextlib
import sqlite3

import pytest
from tests.unit.cli.desk import run

from firedoor.adapters.keys.file import create_signing_key


def spoil(config, statement: str, *values: object) -> None:
    """Change the judge's database behind everybody's back."""
    with contextlib.closing(sqlite3.connect(config.parent / "data" / "judge.db")) as database:
        changed = database.execute(statement, values)
        assert changed.rowcount == 1
        database.commit()


def test_a_ledger_as_it_was_written_is_sound(day):
    """The last line is what somebody else keeps: it pins everything before it."""
    said = day.desk.run("ledger", "verify")
    count = day.desk.site.store.last_index() + 1

    first, head = said.out.splitlines()
    assert said.code == 0
    assert first == f"sound: all {count} entries"
    assert head.startswith(f"head {count} ")


def test_one_changed_letter_is_found(copy):
    """Whoever holds the database must not be able to rewrite who decided what."""
    spoil(
        copy,
        "UPDATE entry SET leaf = CAST(replace(CAST(leaf AS TEXT), '\"budget\":3', '\"budget\":9')"
        " AS BLOB) WHERE idx = 2",
    )

    said = run("ledger", "verify", "--config", str(copy))

    assert said.code == 1
    assert said.out.startswith("not sound at entry 2: entry 2 was changed")
    assert said.out.splitlines()[-1].startswith("head 2 ")


def test_an_entry_that_is_gone_is_missed(copy):
    """The chain counts."""
    spoil(copy, "DELETE FROM entry WHERE idx = 1")

    said = run("ledger", "verify", "--json", "--config", str(copy))

    found = said.json()
    assert said.code == 1
    assert found["sound"] is False
    assert found["head"]["size"] == 1


def test_a_cut_off_end_shows_against_the_head_that_was_kept(copy, day):
    """A restored backup is a ledger that is right and too short."""
    last = day.desk.site.store.last_index()
    spoil(copy, "DELETE FROM entry WHERE idx = ?", last)

    said = run("ledger", "verify", "--config", str(copy))

    assert said.code == 1
    assert f"the ledger ends after {last} entries; it had {last + 1}" in said.out


def test_an_exported_ledger_is_checked_with_nothing_but_a_key(day, tmp_path):
    """The public verifies a verdict with a static file and a public key."""
    file, key = tmp_path / "ledger.jsonl", tmp_path / "ledger.pub"
    file.write_text(day.desk.run("ledger", "export").out)
    key.write_bytes((day.desk.site.files.ledger_key.parent / "ledger.pem.pub").read_bytes())

    said = run("ledger", "verify", str(file), "--key", str(key))

    assert said.code == 0
    assert said.out == day.desk.run("ledger", "verify").out


def test_a_head_kept_by_somebody_else_is_asked_for(day, tmp_path):
    """Two people that were shown two ledgers find out."""
    file, key = tmp_path / "ledger.jsonl", day.desk.site.files.ledger_key.parent / "ledger.pem.pub"
    file.write_text(day.desk.run("ledger", "export").out)
    _, size, last = day.desk.run("ledger", "verify").out.splitlines()[-1].split()
    options = ("ledger", "verify", str(file), "--key", str(key), "--head")

    assert run(*options, f"{size}:{last}").code == 0
    assert run(*options, f"{size}:{'0' * 63}1").code == 1
    assert run(*options, f"{int(size) + 1}:{last}").code == 1
    assert run(*options, "nonsense").code == 2


def test_another_key_vouches_for_nothing(day, tmp_path):
    """Anybody can sign a ledger of their own."""
    file = tmp_path / "ledger.jsonl"
    file.write_text(day.desk.run("ledger", "export").out)
    create_signing_key(tmp_path / "other")

    said = run("ledger", "verify", str(file), "--key", str(tmp_path / "other.pub"))

    assert said.code == 1
    assert said.out.startswith("not sound at entry 0")


def test_a_line_that_is_no_entry_is_named(tmp_path, day):
    """A truncated download, an editor's newline."""
    file = tmp_path / "ledger.jsonl"
    file.write_text(day.desk.run("ledger", "export").out[:-40])

    said = day.desk.run("ledger", "verify", str(file))

    assert said.code == 2
    assert f"line {day.desk.site.store.last_index() + 1}: " in said.err


def test_an_export_goes_on_where_the_last_one_ended(day):
    """A copy elsewhere is kept up to date without sending everything again."""
    whole = day.desk.run("ledger", "export").out.splitlines()

    assert day.desk.run("ledger", "export", "--after", "2").out.splitlines() == whole[3:]


def test_show_ends_with_the_newest_decision(day):
    """Without an index it is the end that people want to see."""
    found = day.desk.run("ledger", "show", "--limit", "2", "--json").json()

    last = day.desk.site.store.last_index()
    assert [entry["index"] for entry in found] == [last - 1, last]
    assert "it is shut by the evidence" in found[-1]["sentence"]


@pytest.mark.parametrize("after", [0, 3])
def test_show_goes_on_behind_an_index(day, after):
    """How a script follows the decisions."""
    found = day.desk.run("ledger", "show", "--after", str(after), "--json").json()

    assert found[0]["index"] == after + 1
