import gc
import io
import itertools
import math
import sys
from dataclasses import replace

import duckdb
import msgspec
import pytest
from tests.unit.cli.desk import run

from firedoor.core.cell import Cell, Test
from firedoor.core.errors import BadInput, TooLarge
from firedoor.core.evidence import series
from firedoor.core.verdict import Rules, fold, verdict
from firedoor.formats import counts
from firedoor.formats.counts import Row, by_release, cells, fleet, read_rows

ALONE = Rules(0.001, 0.05, 0.05, 0.01, (("silence", 1.0),))
STRATA = ("model", "site", "os")
HEAD = "time,release,signal,stratum,treated,control,treated_harmed,control_harmed\n"


@pytest.fixture
def judge(tmp_path):
    """Judges the rows given, below the usual headings."""

    def ask(rows: str, *options: str, head: str = HEAD):
        path = tmp_path / "counts.csv"
        path.write_text(head + rows)
        return run("judge", str(path), *options)

    return ask


def test_a_release_that_bricks_what_installs_it_is_harmful(judge):
    """The answer is "no": a script that asks before it goes on must stop."""
    said = judge("2026-11-22T12:00:00Z,v3,silence,,5,45,5,0\n", "--json")

    (found,) = said.json()
    assert said.code == 1
    assert found["state"] == "harmful"
    assert found["alpha_harm"] == 0.01
    assert found["machines"] == 50


def test_a_release_that_harms_nobody_is_cleared_once_enough_have_it(judge):
    """By a fleet of a thousand at its own delta: a budget of five machines in a thousand."""
    rows = "".join(f"{hour * 3_600_000},v2,crash,,250,250,0,0\n" for hour in range(8))

    said = judge(rows, "--follow-up", "1", "--json")

    (found,) = said.json()
    assert said.code == 0
    assert found["state"] == "cleared"
    assert found["harm_upper"] <= found["delta"]


def test_few_counts_decide_nothing_and_that_is_no_failure(judge):
    """Undecided is the usual answer at first; a script goes on asking."""
    said = judge("1,v2,crash,,3,27,0,0\n")

    assert said.code == 0
    assert "verdict\tundecided" in said.out


def test_the_judge_always_says_what_it_cannot_know(judge):
    """The guarantee needs random cohorts, and a file does not tell how they were made."""
    said = judge("1,v2,crash,,3,27,0,0\n", "--json")

    assert "cannot know whether chance chose" in said.err
    assert said.json()[0]["randomised"] is None


def test_releases_are_judged_one_by_one(judge):
    """One bad release among them is enough for the exit code, and does not stain the others."""
    said = judge("1,v2,silence,,5,45,0,0\n1,v3,silence,,5,45,5,0\n", "--json")

    assert said.code == 1
    assert {each["release"]: each["state"] for each in said.json()} == {
        "v2": "undecided",
        "v3": "harmful",
    }


def test_the_same_counts_give_the_verdict_that_the_gate_gave(judge, day):
    """It is the same judge, and whoever doubts the gate can ask it alone."""
    verdict_of_the_gate = day.desk.run("verdict", "show", day.bad, "--json").json()
    (cell,) = [c for c in verdict_of_the_gate["cells"] if c["test"] == "harm"]
    row = (
        f"1,x,silence,,{cell['treated']},{cell['control']},{cell['treated_harmed']},"
        f"{cell['control_harmed']}\n"
    )

    (found,) = judge(row, "--json").json()

    # The gate looks at groups, too; without them its cell says what the row says.
    (weighed,) = fold(ALONE, [msgspec.convert(cell, Cell)]).streams
    looking_at_groups = fold(replace(ALONE, attributes=STRATA), [msgspec.convert(cell, Cell)])
    assert found["log_e_harm"] == weighed.log_e
    assert looking_at_groups.log_e == verdict_of_the_gate["log_e_harm"]


def test_rows_are_taken_in_the_order_of_their_times(judge):
    """An export sorted by signal must not change what is concluded."""
    rows = [f"{t},v,{s},,20,200,{h},1\n" for s in ("a", "b") for t, h in ((1, 3), (2, 0), (9, 2))]
    mixed = [rows[i] for i in (5, 0, 3, 2, 4, 1)]

    (one,), (other,) = judge("".join(rows), "--json").json(), judge("".join(mixed), "--json").json()

    assert other["log_e_clear"] == one["log_e_clear"]
    assert other["log_e_harm"] == pytest.approx(one["log_e_harm"], abs=1e-12)


def test_clearance_takes_the_signals_of_one_interval_together_on_the_careful_side():
    """A machine that crashed and fell silent is one machine; nobody can tell from counts."""
    text = HEAD + "1,v,crash,lab,10,50,3,4\n1,v,silence,lab,9,48,2,6\n1,v,crash,shop,7,7,0,0\n"

    found = list(cells(by_release(read_rows(text.splitlines()))["v"]))

    clear = [cell for cell in found if cell.test is Test.CLEARANCE]
    assert [cell.seq for cell in found] == [1, 2, 3, 4, 5]
    assert [(c.stratum, c.treated, c.control) for c in clear] == [("lab", 10, 50), ("shop", 7, 7)]
    assert (clear[0].treated_harmed, clear[0].control_harmed, clear[0].installed) == (5, 6, 9)


def test_known_installs_count_instead_of_all_treated():
    """Whoever knows who installed it gets the sharper, honest bound."""
    text = HEAD.replace("\n", ",installed\n") + "1,v,crash,,10,50,0,0,4\n"

    found = list(cells(read_rows(text.splitlines())))

    assert found[-1].installed == 4


def test_the_fleet_is_the_largest_interval_over_all_strata():
    """It sets the defaults, as the active machines do in the gate."""
    text = HEAD + "1,v,a,x,5,5,0,0\n1,v,b,x,6,6,0,0\n1,v,a,y,10,10,0,0\n2,v,a,x,9,9,0,0\n"

    assert fleet(read_rows(text.splitlines())) == 32


def test_an_hour_later_is_a_later_epoch():
    """Wealth is kept for harm that begins late; epochs are those of the gate."""
    hours = (0, 1, 23, 24, 25, 240)
    text = HEAD + "".join(f"{hour * 3_600_000},v,a,,1,1,0,0\n" for hour in hours)

    found = [c.epoch for c in cells(read_rows(text.splitlines())) if c.test is Test.HARM]

    assert found == [0, 1, 23, 24, 25, 101]


def test_alphas_and_delta_are_the_ones_asked_for(judge):
    """Whoever judges for others brings their own risk."""
    options = ("--alpha-harm", "0.002", "--alpha-clear", "0.1", "--delta", "0.3")

    (found,) = judge("1,v,a,,10,90,0,0\n", *options, "--json").json()
    rules = Rules(0.002, 0.05, 0.1, 0.3, (("a", 1.0),))
    text = HEAD + "1,v,a,,10,90,0,0\n"
    expected = verdict(fold(rules, cells(read_rows(text.splitlines()))))

    assert (found["alpha_harm"], found["alpha_clear"], found["delta"]) == (0.002, 0.1, 0.3)
    assert found["log_e_clear"] == expected.log_e_clear
    assert found["harm_upper"] == expected.harm_upper


@pytest.mark.parametrize("option", ["--alpha-harm", "--alpha-clear", "--delta"])
@pytest.mark.parametrize("value", ["0", "1", "-0.1", "nan"])
def test_a_risk_that_is_no_share_is_refused(judge, option, value):
    """At 0 nothing is ever decided, at 1 everything at once."""
    said = judge("1,v,a,,10,90,0,0\n", f"{option}={value}")

    assert said.code == 2
    assert option in said.err


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("x,v,a,,3,4,1,0", "time 'x' is neither RFC 3339 nor Unix milliseconds"),
        ("2026-11-22T12:00:00,v,a,,3,4,1,0", "has no zone"),
        ("1,,a,,3,4,1,0", "release is empty"),
        ("1,v, ,,3,4,1,0", "signal is empty"),
        ("1,v,a,,3,4,4,0", "treated_harmed is 4, of 3 machines"),
        ("1,v,a,,3,4,1,5", "control_harmed is 5, of 4 machines"),
        ("1,v,a,,-3,4,1,0", "treated is '-3', which is no count"),
        ("1,v,a,,3.0,4,1,0", "treated is '3.0', which is no count"),
        ("1,v,a,,3,4,1", "more or fewer fields"),
        ("1,v,a,,3,4,1,0,9", "more or fewer fields"),
        ('1,v,"a,,3,4,1,0', "line 4"),
    ],
)
def test_a_bad_row_is_named_by_its_line(judge, row, complaint):
    """Counts that cannot be would make evidence that is none."""
    said = judge(f"1,v,a,,3,4,1,0\n1,v,a,,3,4,1,0\n{row}\n")

    assert said.code == 2
    assert said.out == ""
    assert "line 4" in said.err
    assert complaint in said.err


def test_many_bad_rows_are_not_all_told():
    """A file of the wrong kind must not fill the screen."""
    with pytest.raises(BadInput, match="and 30 more"):
        read_rows((HEAD + "nonsense\n" * 40).splitlines())


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(",stratum", ""),
        HEAD.replace("\n", ",instaled\n"),
        HEAD.replace("\n", ",time\n"),
        "",
    ],
)
def test_headings_that_are_not_those_are_refused(judge, head):
    """A misspelt column that is left out silently would change the verdict."""
    said = judge("1,v,a,,3,4,1,0\n", head=head)

    assert said.code == 2
    assert "line 1: " in said.err


def test_a_file_without_rows_is_no_evidence_of_anything(judge):
    """An export that failed must not read as "undecided"."""
    said = judge("")

    assert said.code == 2
    assert "no counts" in said.err


def test_a_parquet_file_that_is_none_is_refused_by_its_name(tmp_path):
    """Better than a thousand complaints about line 1."""
    path = tmp_path / "counts.parquet"
    path.write_bytes(b"PAR1\x15\x04\x15\x10PAR1")

    said = run("judge", str(path))

    assert said.code == 2
    assert "counts.parquet cannot be read as Parquet" in said.err


def test_a_dash_reads_what_another_program_counted(monkeypatch):
    """``query | firedoor judge -``."""
    text = io.TextIOWrapper(io.BytesIO((HEAD + "1,v3,silence,,5,45,5,0\n").encode()))
    monkeypatch.setattr(sys, "stdin", text)

    assert run("judge", "-").code == 1


def test_spreadsheets_write_a_mark_before_the_headings(tmp_path):
    """A byte order mark is no part of the first column's name."""
    path = tmp_path / "counts.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode() + b"1,v,a,,3,4,1,0\r\n")

    assert run("judge", str(path)).code == 0


def test_more_rows_than_are_read_are_refused_before_they_fill_the_memory(monkeypatch):
    """A stream without end must come to an end."""
    monkeypatch.setattr(counts, "MOST_ROWS", 100)
    taken = itertools.count()
    lines = itertools.chain([HEAD], (f"{next(taken)},v,a,,1,1,0,0\n" for _ in itertools.count()))

    with pytest.raises(TooLarge, match="more than 100 rows") as refused:
        read_rows(lines)

    assert next(taken) == 101
    assert "longer intervals" in refused.value.hint


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_judged_a_stride_at_a_time():
    """Ten strata, minute by minute for a week; the cells of all of them are never held at once."""
    rows = [
        Row(minute * 60_000, "v", "a", f"s{s}", 100, 900, int(minute % 97 == 0), s % 5, 100)
        for minute in range(10_000)
        for s in range(10)
    ]
    held: list[int] = []

    def handed():
        for number, cell in enumerate(cells(rows)):
            yield cell
            if number % 40_000 == 39_999:
                held.append(sum(isinstance(thing, Cell) for thing in gc.get_objects()))

    found = series.fold({"a": 1.0}, 0.01, handed())

    assert 0 < max(held) <= 2 * series.STRIDE
    assert found.streams["a"].treated == 10_000_000
    assert found.matured.installed == 10_000_000
    assert math.isfinite(found.max_log_e)


@pytest.mark.parametrize(("word", "code"), [("declared", 0), ("yes", 2)])
def test_only_the_caller_can_say_that_chance_chose(judge, word, code):
    """One word, so that nobody says it by accident; it is repeated as theirs."""
    said = judge("1,v,a,,3,27,0,0\n", "--randomised", word, "--json")

    assert said.code == code
    if not code:
        assert said.json()[0]["randomised"] == "declared"
        assert "the caller's word" in said.err


def test_a_burst_of_machines_that_fail_together_is_one_observation(judge):
    """A site that went dark by itself is no proof against a release that it happened to have."""
    row = "1,v3,silence,,5,45,5,0\n"

    assert judge(row).code == 1
    assert judge(row, "--together").code == 0


def test_contradicting_rows_are_named(judge):
    """Only their author knows which is true; a plain repeat counts once."""
    said = judge("1,v,a,,3,4,1,0\n1,v,a,,3,4,1,0\n1,v,a,,3,4,2,0\n")

    assert said.code == 2
    assert "line 4: line 2 gives other counts" in said.err


def test_a_table_may_come_from_another_program_too(monkeypatch, tmp_path):
    """``query --parquet | firedoor judge -``."""
    path = tmp_path / "counts.parquet"
    duckdb.execute(
        "COPY (SELECT 1 AS time, 'v3' AS release, 'silence' AS signal, '' AS stratum, 5 AS treated,"
        " 45 AS control, 5 AS treated_harmed, 0 AS control_harmed) TO ? (FORMAT parquet)",
        [str(path)],
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))

    assert run("judge", "-").code == 1
