"""Signals from scripts: what a machine that runs them would do, against a running intake."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.office import Office, adopting, enrolled, moved_into
from tests.unit.cli.desk import Said, run

from firedoor.adapters.store.signals import SignalReader
from firedoor.ports import SignalEvent

CHANNEL = """[[channel]]
name = "{name}"
kind = "files"
upstream = "{upstream}"
poll = "1h"
"""
SNIPPET = Path(__file__).parents[2] / "docs" / "reference" / "intake.md"


class Till:
    """A machine beside a running Firedoor."""

    def __init__(self, office: Office, folder: Path) -> None:
        """It has run the script of ``machine enroll``."""
        self.office, self.folder = office, folder
        enrolled(office, "till-17", etc=folder / "etc")
        self.intake = f"http://127.0.0.1:{office.ports['intake']}"

    def send(self, *words: str) -> Said:
        """Run ``firedoor signal send`` with what the script has left."""
        own = ("--credentials", str(self.folder / "etc/intake.netrc"), "--intake", self.intake)
        return run("signal", "send", *words, *own)

    def events(self) -> list[SignalEvent]:
        """What the intake has on its disk."""
        reader = SignalReader(self.office.path.parent / "firedoor-data" / "intake.db")
        found = [stored.event for stored in reader.events_after(0, 100)]
        reader.close()
        return found


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Till]:
    folder = tmp_path_factory.mktemp("till")
    vendor = folder / "vendor"
    vendor.mkdir()
    (vendor / "tool.txt").write_text("1")
    office = moved_into(folder, CHANNEL, vendor, name="tools")
    with adopting(office):
        yield Till(office, folder)


def test_a_script_tells_of_a_failed_check_in_one_line(till: Till) -> None:
    """It need not know more than what happened: the credentials say whose it is."""
    said = till.send("check-failed", "--detail", "check=login", "--id", "one")
    assert (said.code, said.out) == (0, "accepted 1, known before 0\n"), said.err

    again = till.send("check-failed", "--detail", "check=login", "--id", "one")
    assert again.out == "accepted 0, known before 1\n"
    (event,) = [each for each in till.events() if each.key == "one"]
    assert (event.kind, json.loads(event.detail or "")) == ("check-failed", {"check": "login"})


def test_lines_on_stdin_are_sent_as_they_are_and_what_is_wrong_is_named(till: Till) -> None:
    """A collector has its lines already; exit 1 says that some were not taken."""
    right = {"machine": "till-17", "time": 1, "kind": "boot-clean", "id": "two"}
    lines = [right, right | {"machine": "till-18"}, right | {"kind": "sad", "id": "three"}]
    body = "\n".join(json.dumps(each) for each in lines)
    own = ["--credentials", str(till.folder / "etc/intake.netrc"), "--intake", till.intake]
    told = subprocess.run(
        [sys.executable, "-m", "firedoor", "signal", "send", "-", *own, "--json"],
        input=body,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    taken = json.loads(told.stdout)
    assert taken["accepted"] == 1
    assert [each["line"] for each in taken["rejected"]] == [2, 3]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["sad"], 2, "there is no kind 'sad'"),
        (["panic", "--detail", "login"], 2, "--detail is KEY=TEXT"),
        (["panic", "--intake", "http://127.0.0.1:9"], 3, "no intake answers"),
        (["panic", "--intake", "nonsense"], 2, "is no address"),
        (["panic", "--machine", "till-18"], 1, "may not speak for"),
        (["panic", "--credentials", "/nowhere/token"], 2, "cannot be read"),
    ],
)
def test_what_goes_wrong_is_said_with_what_to_do(
    till: Till, words: list[str], code: int, says: str
) -> None:
    """A script that fails at night is read by somebody who did not write it."""
    own = []
    if "--intake" not in words:
        own += ["--intake", till.intake]
    if "--credentials" not in words:
        own += ["--credentials", str(till.folder / "etc/intake.netrc")]
    said = run("signal", "send", *words, *own)
    assert said.code == code, said.err
    assert says in said.err


def test_the_read_token_is_told_from_the_signal_token(till: Till) -> None:
    """Both are printed by one command."""
    token = till.folder / "wrong"
    token.write_text("fdr_" + "0" * 32)
    said = run(
        "signal", "send", "panic", "--machine", "till-17",
        "--intake", till.intake, "--credentials", str(token),
    )  # fmt: skip
    assert said.code == 1
    assert "token" in said.err
    assert "fdr_" not in said.err


def test_the_snippet_of_the_documents_does_the_same_without_firedoor(till: Till) -> None:
    """Machines have a shell and curl, and need no more."""
    text = SNIPPET.read_text()
    script = text.split("```sh\n", 1)[1].split("```", 1)[0]
    there = os.environ | {"FIREDOOR_ETC": str(till.folder / "etc"), "FIREDOOR_INTAKE": till.intake}
    done = subprocess.run(
        ["sh", "-s", "check-failed", "backup"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env=there,
    )
    assert done.returncode == 0, done.stderr
    kept = [json.loads(each.detail) for each in till.events() if each.detail]
    assert {"text": "backup"} in kept
