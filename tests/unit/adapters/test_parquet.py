import sys

import duckdb
import pytest

from firedoor.adapters import parquet
from firedoor.core.errors import BadInput
from firedoor.formats.counts import read_records

COLUMNS = {
    "time": "1::BIGINT",
    "release": "'v3'",
    "signal": "'silence'",
    "stratum": "''",
    "treated": "5",
    "control": "45",
    "treated_harmed": "5",
    "control_harmed": "0",
}


def store(path, query):
    with duckdb.connect() as database:
        made = database.sql(query)
        assert made is not None
        made.write_parquet(str(path))


@pytest.fixture
def table(tmp_path):
    """Writes a table of two rows, the second with other values."""

    def write(name="counts.parquet", **second):
        path = tmp_path / name
        first = ", ".join(f"{value} AS {key}" for key, value in COLUMNS.items())
        changed = COLUMNS | {"time": "2::BIGINT"} | second
        other = ", ".join(f"{value} AS {key}" for key, value in changed.items())
        store(path, f"SELECT {first} UNION ALL SELECT {other}")
        return path

    return write


def rows(path):
    return parquet.read(path, read_records)


def test_a_table_of_counts_becomes_rows(table):
    """The same rows that a CSV file would give."""
    first, second = rows(table())

    assert (first.time_ms, second.time_ms) == (1, 2)
    assert (first.release, first.signal, first.stratum) == ("v3", "silence", "")
    assert (first.treated, first.control, first.treated_harmed, first.installed) == (5, 45, 5, 5)


@pytest.mark.parametrize(
    "time",
    [
        "TIMESTAMPTZ '1970-01-01 01:00:02+01:00'",
        "'1970-01-01T00:00:02Z'",
        "2000::BIGINT",
        "2000::UINTEGER",
    ],
)
def test_a_time_with_a_zone_is_an_instant_however_it_is_stored(tmp_path, time):
    """Exports of half the world's databases differ in this and in nothing else."""
    path = tmp_path / "counts.parquet"
    shape = ", ".join(f"{value} AS {key}" for key, value in (COLUMNS | {"time": time}).items())
    store(path, f"SELECT {shape}")

    (row,) = rows(path)

    assert row.time_ms == 2000


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ({"treated": "'NaN'::DOUBLE"}, "row 2: treated is nan, which is no count"),
        ({"treated": "2.5"}, "row 2: treated is 2.5, which is no count"),
        ({"treated": "-3"}, "row 2: treated is -3, which is no count"),
        ({"treated": "NULL"}, "row 2: treated is missing, which is no count"),
        ({"treated": "'infinity'::DOUBLE"}, "row 2: treated is inf, which is no count"),
        ({"treated_harmed": "6"}, "row 2: treated_harmed is 6, of 5 machines"),
        ({"release": "NULL"}, "row 2: release is empty"),
        ({"time": "-1"}, "row 2: time -1 does not lie between the years"),
    ],
)
def test_a_bad_row_is_named_by_its_number(table, second, complaint):
    """Lines there are none."""
    with pytest.raises(BadInput) as refused:
        rows(table(**second))

    assert complaint in str(refused.value)


def test_a_time_without_a_zone_is_refused(tmp_path):
    """Nobody knows whose noon it is."""
    path = tmp_path / "counts.parquet"
    stamp = COLUMNS | {"time": "TIMESTAMP '2026-11-22 12:00:00'"}
    store(path, "SELECT " + ", ".join(f"{v} AS {k}" for k, v in stamp.items()))

    with pytest.raises(BadInput, match="has no zone"):
        rows(path)


def test_whole_numbers_that_were_stored_as_floating_ones_are_counts(table):
    """A column that once had a gap keeps that type for ever."""
    _, second = rows(table(treated="7.0::DOUBLE", control="50::DECIMAL(9,2)"))

    assert (second.treated, second.control) == (7, 50)


def test_a_missing_column_is_named(tmp_path):
    """As in a CSV file."""
    path = tmp_path / "counts.parquet"
    store(path, "SELECT 1 AS time, 'v' AS release")

    with pytest.raises(BadInput, match="column signal is missing"):
        rows(path)


def test_an_empty_table_is_no_evidence(tmp_path):
    """An export that failed must not read as "undecided"."""
    path = tmp_path / "counts.parquet"
    shape = ", ".join(f"{value} AS {key}" for key, value in COLUMNS.items())
    store(path, f"SELECT {shape} LIMIT 0")

    with pytest.raises(BadInput, match="no counts"):
        rows(path)


def test_a_name_is_a_name_and_no_pattern(table):
    """Brackets in a file's name must not let in another file."""
    table("counts1.parquet", treated="9")
    path = table("counts[1]*?.parquet")

    assert [row.treated for row in rows(path)] == [5, 5]


def test_columns_with_strange_names_reach_no_statement(tmp_path):
    """The file may come from anybody."""
    path = tmp_path / "counts.parquet"
    store(path, """SELECT 1 AS "x"" FROM y; --" """)

    with pytest.raises(BadInput, match="column time is missing"):
        rows(path)


def test_without_duckdb_the_command_that_installs_it_is_told(table, monkeypatch):
    """It is an extra: most people have CSV."""
    path = table()
    monkeypatch.setitem(sys.modules, "duckdb", None)

    with pytest.raises(BadInput, match=r"DuckDB.*is not installed") as refused:
        rows(path)

    assert refused.value.hint == "pip install 'firedoor[parquet]'"


def test_a_long_text_that_stands_in_many_rows_takes_no_room(tmp_path):
    """A file of a few kilobytes said one text of half a megabyte in thousands of rows."""
    path = tmp_path / "counts.parquet"
    long = COLUMNS | {"release": "repeat('v', 500000)", "stratum": "[1, 2, 3]"}
    many = ", ".join(f"{value} AS {key}" for key, value in long.items())
    store(path, f"SELECT {many} FROM range(3000)")  # noqa: S608  # a text of our own

    found = parquet.read(
        path, lambda names, records: [dict(zip(names, row, strict=True)) for row in records]
    )

    assert path.stat().st_size < 100_000
    assert {len(row["release"]) for row in found} == {201}
    with pytest.raises(BadInput, match="release has more than 200 characters"):
        rows(path)


def test_the_headings_are_looked_at_before_any_row(tmp_path):
    """A table of ten thousand columns is refused for its names."""
    path = tmp_path / "counts.parquet"
    store(path, "SELECT 1 AS time, 'v' AS release FROM range(3)")

    assert parquet.read(path, lambda names, _: names) == ["time", "release"]
