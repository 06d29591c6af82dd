"""``firedoor judge --units sites``, and what is refused without it."""

import pytest
from tests.unit.cli.desk import run

HEAD = "time,release,signal,stratum,treated,control,treated_harmed,control_harmed\n"


@pytest.fixture
def judge(tmp_path):
    """Judges thirty sites of which twenty, or five, were chosen and all came to harm."""

    def ask(*options: str, chosen: int = 5):
        rows = "".join(
            f"1,v2,crash,s{n},{9 if n < chosen else 0},{0 if n < chosen else 9},"
            f"{9 if n < chosen else 0},0\n"
            for n in range(30)
        )
        path = tmp_path / "counts.csv"
        path.write_text(HEAD + rows)
        return run("judge", str(path), *options)

    return ask


def test_whole_sites_are_refused_with_the_option_that_counts_them(judge):
    """Silence about it would read as undecided."""
    said = judge()

    assert said.code == 2
    assert "--units sites" in said.err


def test_sites_are_counted_once_each(judge):
    """Thirty sites, and five of them harmed: not 270 machines and 45."""
    (found,) = judge("--units", "sites", "--json").json()

    (harm, _) = found["streams"]
    assert found["units"] == "sites"
    assert found["machines"] == 30
    assert (harm["treated"], harm["control"], harm["treated_harmed"]) == (5, 25, 5)
    assert "a site counts once" in found["assumes"]


def test_there_are_no_other_units(judge):
    """A slip of the keyboard must not fall back to machines."""
    assert judge("--units", "racks").code == 2
