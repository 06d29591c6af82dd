"""Laws of the judge alone: the same counts, however they come, say the same."""

import io
import json
import math
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cli.desk import run
from tests.worlds_alone import HEAD, Desk

from firedoor.core.evidence import series
from firedoor.core.terms import Policy
from firedoor.core.verdict import Merging, Rules, verdict
from firedoor.core.verdict import fold as one_by_one
from firedoor.formats.counts import Row, by_release, cells, read_objects, read_rows, united
from firedoor.services.alone import judge, question


@st.composite
def tables(draw, *, releases=("v",)):
    """Rows of some intervals, each with all its signals; no two of the same."""
    rows = []
    hours = draw(st.lists(st.integers(0, 90), min_size=1, max_size=6, unique=True))
    for release in releases:
        for hour in sorted(hours):
            for stratum in draw(st.sampled_from([[""], ["lab"], ["lab", "shop"]])):
                treated, control = draw(st.integers(1, 60)), draw(st.integers(1, 200))
                rows += [
                    (
                        *(hour * 3_600_000, release, signal, stratum, treated, control),
                        draw(st.integers(0, treated)),
                        draw(st.integers(0, control)),
                    )
                    for signal in ("crash", "silence")
                ]
    return rows


def csv(rows):
    return HEAD + "".join(",".join(map(str, row)) + "\n" for row in rows)


def rules(rows, asked):
    signals = dict.fromkeys(row.signal for row in rows)
    weights = tuple((signal, 1.0 / len(signals)) for signal in signals)
    return Rules(
        asked.alpha_harm, asked.alpha_warn, asked.alpha_clear, asked.delta, weights, Merging.MEAN
    )


@given(table=tables(releases=("v", "w")), data=st.data())
def test_any_sharding_order_and_repetition_gives_the_same_bits(table, data):
    """Collectors export what they have, twice if they were restarted, in whatever order."""
    whole = read_rows(csv(table).splitlines())
    exports = [
        read_rows(csv(data.draw(st.permutations(shard))).splitlines())
        for shard in data.draw(
            st.lists(st.lists(st.sampled_from(table), min_size=1), max_size=3).map(
                lambda extra: [table[: len(table) // 2 + 1], table[len(table) // 2 :], *extra]
            )
        )
    ]
    shards = by_release(united(data.draw(st.permutations(exports))))

    assert list(shards.items()) == list(by_release(whole).items())
    for release, rows in by_release(whole).items():
        asked = question(Policy(), 1000)
        assert judge(shards[release], asked) == judge(rows, asked)


@given(table=tables())
def test_a_series_at_once_is_the_fold_of_the_gate(table):
    """One judge: whoever asks it alone gets what a door would have gone by, to the last bit.

    But for the largest E: cells of one interval became known together, so it is taken at ends.
    """
    rows = by_release(read_rows(csv(table).splitlines()))["v"]
    asked, every = question(Policy(), 1000, follow_up=1), list(cells(rows))

    alone = judge(rows, asked)
    gate = verdict(one_by_one(rules(rows, asked), every))

    ends = [n for n in range(1, len(every) + 1) if every[n - 1].deck != _deck(every, n)]
    most = max(verdict(one_by_one(rules(rows, asked), every[:n])).log_e_harm for n in ends)
    assert alone.log_e_harm == gate.log_e_harm
    assert alone.max_log_e_harm == max(0.0, most)
    if alone.max_log_e_harm == gate.max_log_e_harm:
        assert alone.state.value == gate.state.value
    assert (alone.log_e_clear, alone.harm_upper) == (gate.log_e_clear, gate.harm_upper)
    assert [stream.log_e for stream in alone.series.streams.values()] == [
        stream.log_e for stream in gate.streams
    ]


def _deck(every, number):
    return every[number].deck if number < len(every) else 0


@given(table=tables(), stride=st.integers(1, 7))
def test_how_much_is_looked_at_together_changes_nothing(table, stride):
    """A longer stride costs memory and saves time; it is no part of the evidence."""
    rows = by_release(read_rows(csv(table).splitlines()))["v"]
    weights = {"crash": 0.5, "silence": 0.5}
    rows = [row for row in rows if row.signal == "crash" or row.time_ms != rows[0].time_ms]
    whole = series.fold(weights, 0.01, cells(rows))
    late = series.fold({"crash": 1.0}, 0.01, cells(rows), later={"silence": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "STRIDE", stride)

        parts = series.fold(weights, 0.01, cells(rows))
        other = series.fold({"crash": 1.0}, 0.01, cells(rows), later={"silence": 2})

    assert parts == whole
    assert other == late


@given(table=tables())
def test_machines_that_may_fail_together_are_never_cleared_and_no_burst_is_proof(table):
    """A row is then one observation, which is worth no more than the cards it could have been."""
    rows = by_release(read_rows(csv(table).splitlines()))["v"][:1]
    asked = question(Policy(alpha_clear=0.5, delta=0.5), 1000, together=True)

    found = judge(rows, asked)

    assert found.state.value != "cleared"
    assert found.harm_upper == 1.0
    if rows[0].treated:
        share = rows[0].treated / (rows[0].treated + rows[0].control)
        assert found.log_e_harm <= -math.log(share) + 1e-9


@settings(max_examples=15, deadline=None)
@given(table=tables(releases=("v", "w")))
def test_parquet_says_what_the_csv_of_the_same_rows_says(table):
    """The format is no evidence."""
    with tempfile.TemporaryDirectory() as folder:
        text, binary = Path(folder) / "counts.csv", Path(folder) / "counts.parquet"
        text.write_text(csv(table))
        with duckdb.connect() as database:
            database.execute(
                "COPY (SELECT * FROM read_csv(?, header=true, nullstr='NULL',"
                " types={'release': 'VARCHAR', 'stratum': 'VARCHAR'})) TO ? (FORMAT parquet)",
                [str(text), str(binary)],
            )

        from_text, from_table = (
            run("judge", str(text), "--json"),
            run("judge", str(binary), "--json"),
        )

    assert from_table.code == from_text.code
    assert from_table.json() == from_text.json()


@given(table=tables(), copies=st.integers(1, 3))
def test_a_row_that_comes_twice_counts_once(table, copies):
    """An export that was concatenated with itself holds no more evidence than before."""
    once = by_release(read_rows(csv(table).splitlines()))
    again = by_release(read_rows(csv(table * copies).splitlines()))

    assert again == once


@given(table=tables())
def test_objects_and_lines_are_the_same_rows(table):
    """JSON and CSV are two ways to write one thing."""
    names = HEAD.strip().split(",")
    objects = json.loads(json.dumps([dict(zip(names, row, strict=True)) for row in table]))

    assert read_objects(objects) == read_rows(io.StringIO(csv(table)))


@settings(max_examples=15, deadline=None)
@given(table=tables(), data=st.data())
def test_a_run_that_is_fed_piece_by_piece_and_twice_says_what_one_feeding_says(table, data):
    """A pipeline that retries, or sends what it has so far again, changes nothing."""
    times = sorted({row[0] for row in table})
    cut = data.draw(st.sampled_from(times))
    first = [row for row in table if row[0] <= cut]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        pieces, whole = Desk(Path(one)), Desk(Path(other))
        pieces.feed("r", csv(first).removeprefix(HEAD))
        for _ in range(2):
            pieces.feed("r", csv(table).removeprefix(HEAD))
        whole.feed("r", csv(table).removeprefix(HEAD))

        assert pieces.get("/judge/argo/r").json == whole.get("/judge/argo/r").json
        pieces.runs.close()
        whole.runs.close()


def test_ten_thousand_million_machines_give_finite_numbers():
    """Nobody has them; whoever multiplies by mistake still gets an answer and no exception."""
    many = 10**12 - 1
    rows = [
        Row(0, "v", "a", "", many, many, many, 0, many),
        Row(1, "v", "a", "", many, 10, many // 2, 10, many),
        Row(2, "v", "a", "", 10, many, 10, many, 10),
        Row(3, "v", "a", "", 0, many, 0, many, 0),
        Row(4, "v", "a", "", many, 0, many, 0, many),
    ]

    found = judge(rows, question(Policy(), many))

    for value in (found.log_e_harm, found.max_log_e_harm, found.log_e_clear, found.harm_upper):
        assert abs(value) < 1e18
    assert found.state.value == "harmful"
