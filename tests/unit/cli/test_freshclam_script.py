"""What the script of ``machine enroll`` makes of a freshclam.conf, run by a real shell."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.unit.cli.desk import run

CHANNELS = """
[[channel]]
name = "clam"
kind = "clamav"
upstream = "http://mirror.example.org/clamav"
databases = ["daily.cvd", "third/rules.yara", "main.cvd"]
[[channel]]
name = "lab"
kind = "clamav"
upstream = "http://mirror.example.org/lab/"
"""
OWN = """# what an administrator wrote
DatabaseOwner clamav
DatabaseMirror db.local.clamav.net
ExcludeDatabase bytecode
DatabaseCustomURL http://feeds.example.org/other.hdb
Checks 12
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An installation with two channels of databases; of one nothing is known yet."""
    assert run("init", str(tmp_path)).code == 0
    with (tmp_path / "firedoor.toml").open("a") as file:
        file.write(CHANNELS)
    return tmp_path


def script(site: Path, *words: str) -> str:
    """What ``machine enroll`` prints."""
    made = run(
        "machine", "enroll", *words, "--gate", "http://gate.example:8080",
        "--config", str(site / "firedoor.toml"),
    )  # fmt: skip
    assert made.code == 0, made.err
    return made.out


def ran(text: str, etc: Path) -> "subprocess.CompletedProcess[str]":
    """The script, run where freshclam's configuration lies in ``etc``."""
    places = {"FIREDOOR_ETC": str(etc / "firedoor"), "FIREDOOR_CLAMAV": str(etc)}
    return subprocess.run(
        ["sh"], input=text, text=True, check=True, env=os.environ | places, capture_output=True
    )


def test_every_address_is_the_gates_and_the_rest_stays(site: Path, tmp_path: Path) -> None:
    """What an administrator set is kept; whatever would go past the gate is taken out, and told."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "freshclam.conf").write_text(OWN)
    text = script(site, "scan-1")

    done = ran(text, etc)
    conf = (etc / "freshclam.conf").read_text().splitlines()

    assert conf[:3] == ["# what an administrator wrote", "DatabaseOwner clamav", "Checks 12"]
    assert "taken out: DatabaseCustomURL http://feeds.example.org/other.hdb" in done.stderr
    assert (etc / "freshclam.conf.before-firedoor").read_text() == OWN
    assert (etc / "freshclam.conf").stat().st_mode & 0o777 == 0o400
    addresses = [line.split()[1] for line in conf if line.startswith("DatabaseCustomURL")]
    assert all(each.startswith("http://scan-1:") for each in addresses)
    # .cvd files first: freshclam 1.4 deletes those that stand behind others.
    assert [each.partition("@")[2] for each in addresses] == [
        "gate.example:8080/clam/daily.cvd",
        "gate.example:8080/clam/main.cvd",
        "gate.example:8080/clam/third/rules.yara",
    ]
    assert "Channel lab has no databases yet" in text


def test_run_again_with_new_tokens_it_replaces_its_own_lines(site: Path, tmp_path: Path) -> None:
    """A machine that is enrolled anew must not ask with tokens of old; nothing else changes."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "freshclam.conf").write_text(OWN)
    ran(script(site, "scan-1"), etc)
    first = (etc / "freshclam.conf").read_text()

    again = ran(script(site, "scan-1", "--rotate"), etc)
    second = (etc / "freshclam.conf").read_text()

    assert again.stderr == ""
    assert len(second.splitlines()) == len(first.splitlines())
    assert second != first
    assert (etc / "freshclam.conf.before-firedoor").read_text() == OWN


def test_a_machine_without_a_freshclam_of_its_own_gets_a_configuration(
    site: Path, tmp_path: Path
) -> None:
    """The package may come after the script."""
    ran(script(site, "scan-1"), tmp_path / "etc")

    assert (tmp_path / "etc/freshclam.conf").read_text().startswith("DNSDatabaseInfo no\n")


def test_a_name_with_a_colon_asks_by_the_token_in_the_path(site: Path) -> None:
    """Basic cannot say such a name."""
    made = run(
        "machine", "enroll", "site:1", "--gate", "https://gate.example",
        "--config", str(site / "firedoor.toml"),
    )  # fmt: skip

    assert made.code == 0, made.err
    assert "DatabaseCustomURL https://gate.example/m/" in made.out
