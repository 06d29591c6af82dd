"""What ``machine enroll --journal`` writes, and that the real client reads it."""

import os
import shlex
import stat
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
from tests.unit.cli.desk import Said, run

from firedoor.cli.shipping import journal_client
from firedoor.cli.snippets import Own, Target


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An installation."""
    assert run("init", str(tmp_path)).code == 0
    return tmp_path


def enroll(site: Path, *words: str) -> Said:
    """What ``machine enroll`` prints for a machine that reaches the intake by its name."""
    config, intake = str(site / "firedoor.toml"), "http://gate.example:8081"
    return run("machine", "enroll", *words, "--intake", intake, "--config", config)


def written(tmp_path: Path, script: str) -> tuple[Path, str]:
    """Run a script where nothing of the host's is touched; what it wrote, and what it said."""
    root = tmp_path / "root"
    places = {"FIREDOOR_ETC": str(root / "firedoor"), "FIREDOOR_SYSTEMD": str(root / "systemd")}
    done = subprocess.run(
        ["sh"],
        input=script,
        text=True,
        check=True,
        env=os.environ | places,
        capture_output=True,
        timeout=30,
    )
    return root / "systemd", done.stderr


def conf(path: Path) -> ConfigParser:
    """A file of systemd's."""
    found = ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    found.optionxform = str  # type: ignore[assignment,method-assign]  # keys are case-sensitive
    found.read(path)
    return found


def test_only_who_asks_sends_the_journal(site: Path) -> None:
    """A machine may ship it to somebody else, who would be cut off."""
    assert "journal-upload" not in enroll(site, "web-1").out


def test_the_script_says_where_to_and_lets_the_client_go_on(site: Path, tmp_path: Path) -> None:
    """Both files, with what clients.md measured to be needed."""
    said = enroll(site, "web-1", "--journal")
    systemd, _ = written(tmp_path, said.out)

    upload = systemd / "journal-upload.conf.d" / "firedoor.conf"
    token = next(line for line in said.out.splitlines() if "fds_" in line).split()[-1]
    assert conf(upload)["Upload"]["URL"] == f"http://gate.example:8081/m/{token}"
    assert not upload.stat().st_mode & stat.S_IRWXO
    unit = conf(systemd / "system" / "systemd-journal-upload.service.d" / "firedoor.conf")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert dict(unit["Service"]) == {"Restart": "always", "RestartSec": "15"}


def test_whoever_got_the_journal_until_now_is_named(site: Path, tmp_path: Path) -> None:
    """It is taken from them: an operator has to see it."""
    before = tmp_path / "root" / "systemd" / "journal-upload.conf"
    before.parent.mkdir(parents=True)
    before.write_text("[Upload]\nURL=https://logs.example\n")

    _, said = written(tmp_path, enroll(site, "web-1", "--journal").out)

    assert said.strip() == "the journal goes no longer to https://logs.example"


@pytest.mark.parametrize(
    ("intake", "url"),
    [
        ("https://gate.example", "https://gate.example:443/m/token"),
        ("http://[2001:db8::1]", "http://[2001:db8::1]:80/m/token"),
        ("https://gate.example:8081", "https://gate.example:8081/m/token"),
    ],
)
def test_the_address_has_its_port(intake: str, url: str) -> None:
    """Without one the client adds its own behind the path, and asks for nothing that is there."""
    target = Target(gate="http://gate.example", intake=intake, channel="av")

    script = journal_client("token", target, Own(), shown=False).splitlines()
    [line] = [line for line in script if line.startswith("printf '[Upload]")]
    assert shlex.split(line)[2] == url


def test_a_certificate_stands_for_the_token_where_the_intake_asks_for_one(tmp_path: Path) -> None:
    """A token in an address ends up in logs; a key does not."""
    target = Target(
        gate="https://gate.example",
        intake="https://gate.example:8081",
        channel="av",
        ca="authority",
    )
    own = Own("certificate", "key")
    etc = tmp_path / "root" / "firedoor"
    etc.mkdir(parents=True)
    for name in ("ca.pem", "machine.pem", "machine.key"):
        (etc / name).write_text(name)
    head = f'set -eu\netc="{etc}"\numask 077\n'

    systemd, _ = written(tmp_path, head + journal_client("token", target, own, shown=True))

    upload = conf(systemd / "journal-upload.conf.d" / "firedoor.conf")["Upload"]
    assert upload["URL"] == "https://gate.example:8081"
    for key, name in (
        ("TrustedCertificateFile", "ca.pem"),
        ("ServerCertificateFile", "machine.pem"),
        ("ServerKeyFile", "machine.key"),
    ):
        assert Path(upload[key]).read_text() == name
    assert not Path(upload["ServerKeyFile"]).stat().st_mode & stat.S_IRWXO


def test_over_tls_the_client_is_kept_from_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    """By itself it looks for one at a fixed place, and gives up without."""
    target = Target(gate="http://gate.example", intake="https://gate.example:8081", channel="av")
    head = f'set -eu\netc="{tmp_path}"\numask 077\n'

    systemd, _ = written(tmp_path, head + journal_client("token", target, Own(), shown=True))

    upload = conf(systemd / "journal-upload.conf.d" / "firedoor.conf")["Upload"]
    assert upload["URL"] == "https://gate.example:8081/m/token"
    assert (upload["ServerKeyFile"], upload["ServerCertificateFile"]) == ("-", "-")


def test_it_is_refused_where_there_is_no_script(site: Path) -> None:
    """--from prints tokens alone; the page says how to write the files for many."""
    refused = enroll(site, "web-1", "--journal", "--json")

    assert refused.code == 2
    assert "docs/howto/journal.md" in refused.err
