"""``firedoor signal test``: what a captured log would tell, before anybody is told."""

import gzip
import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson
from tests.journals import STOPPED, UNIT_FAILED, Writer
from tests.otlp import REPORTING, request, windows
from tests.unit.cli.desk import Said, run

NOW_MS = 1_721_362_140_000
WINDOWS = Path(__file__).parents[2] / "data" / "osquery" / "windows.json"
OURS = """
[[signal]]
name = "till-frozen"
kind = "check-failed"
source = "journal"
where = { MESSAGE = { starts = ["till: frozen"] } }
keep = ["MESSAGE"]
"""


def journal() -> bytes:
    """A boot that ends as it should, one with a failed unit that does not, and a third."""
    writer = Writer(NOW_MS)
    writer.boots("a")
    writer.say(**STOPPED)
    writer.boots("b")
    writer.say(**UNIT_FAILED)
    writer.say(MESSAGE="till: frozen for 3 s", NOTE="secret")
    writer.boots("c")
    return b"".join(writer.entries)


def tried(file: Path, content: bytes, *words: str) -> Said:
    """Write a file and ask what it would tell."""
    file.write_bytes(content)
    return run("signal", "test", str(file), *words)


def told(said: Said) -> list[tuple[str, str]]:
    """Names and kinds of the signals."""
    assert said.code == 0, said.err
    return [(row[2], row[3]) for row in said.rows()[1:]]


def test_a_journal_tells_of_its_boots_and_of_what_fits_a_definition(tmp_path: Path) -> None:
    """Whoever wonders why a machine counted as crashed can look at its own journal."""
    said = tried(tmp_path / "j", journal())

    assert sorted(told(said)) == [
        ("boot-clean", "boot-clean"),
        ("boot-unclean", "boot-unclean"),
        ("unit-failed", "service-failed"),
    ]
    assert "UNIT=sensor.service" in said.out
    assert "read as journal: 3 would be signals" in said.err


def test_definitions_of_ones_own_are_tried_first_and_keep_what_they_name(tmp_path: Path) -> None:
    """An operator writes one, and sees at once what it finds in last night's log."""
    own = tmp_path / "ours.toml"
    own.write_text(OURS)
    said = tried(tmp_path / "j", journal(), "--definitions", str(own))

    assert ("till-frozen", "check-failed") in told(said)
    assert "MESSAGE=till: frozen for 3 s" in said.out
    assert "secret" not in said.out
    listed = run("signal", "definitions", "--definitions", str(own))
    assert listed.rows()[1][0] == "till-frozen"
    assert {"unit-failed", "windows-bugcheck", "osquery-bugcheck"} <= {r[0] for r in listed.rows()}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_request_of_opentelemetry_in_each_of_its_forms(
    tmp_path: Path, *, as_json: bool, packed: bool
) -> None:
    """As it was captured from the wire."""
    made = request(windows(1001, REPORTING), "nothing", resource={"host.name": "till-17"})
    body = MessageToJson(made).encode() if as_json else made.SerializeToString()
    said = tried(tmp_path / "b", gzip.compress(body) if packed else body, "--json")

    capture = json.loads(said.out)
    assert (capture["form"], capture["records"]) == ("otlp", 2)
    (found,) = capture["found"]
    assert (found["machine"], found["signal"], found["stream"]) == (
        "till-17",
        "windows-bugcheck",
        "crash",
    )


def test_results_of_osquery_as_a_request_and_as_lines(tmp_path: Path) -> None:
    """Its filesystem logger writes the same lines that it sends."""
    body = WINDOWS.read_bytes()
    lines = "\n".join(json.dumps(line) for line in json.loads(body)["data"]).encode()

    asked = told(tried(tmp_path / "a", body))
    written = told(tried(tmp_path / "b", lines))
    assert asked == written
    assert ("osquery-bugcheck", "bugcheck") in asked


def test_lines_of_signals_are_named_where_they_are_wrong(tmp_path: Path) -> None:
    """Before a script goes onto a thousand machines."""
    right = {"machine": "till-17", "time": NOW_MS, "kind": "panic", "detail": {"a": "b"}}
    lines = [right, right | {"kind": "sad"}, {"machine": "x"}]
    said = tried(tmp_path / "n", "\n".join(json.dumps(each) for each in lines).encode())

    assert told(said) == [("panic", "panic")]
    assert "line 2: unknown kind 'sad'" in said.err
    assert "line 3:" in said.err


@pytest.mark.parametrize("content", [b"", b"Nov 23 07:00:01 till-17 kernel: panic", b"\x1f\x8bno"])
def test_what_is_none_of_these_is_refused_with_what_would_do(
    tmp_path: Path, content: bytes
) -> None:
    """Text of syslog is the likeliest mistake."""
    said = tried(tmp_path / "x", content)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert run("signal", "test", str(tmp_path / "none")).code == 2
