"""What ``machine enroll --rescue`` writes, and that it is refused where it could not work."""

import os
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.unit.cli.desk import Said, run

CHANNEL = """
[[channel]]
name = "debian_main"
kind = "apt"
upstream = "http://mirror.example.org/debian"
suites = ["bookworm"]
components = ["main"]
trust = ["/usr/share/keyrings/debian-archive-keyring.gpg"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An installation with one channel of kind apt."""
    assert run("init", str(tmp_path)).code == 0
    with (tmp_path / "firedoor.toml").open("a") as file:
        file.write(CHANNEL)
    return tmp_path


def enroll(site: Path, *words: str, gate: str = "http://gate.example:8080") -> Said:
    """What ``machine enroll`` prints."""
    config = str(site / "firedoor.toml")
    return run("machine", "enroll", *words, "--gate", gate, "--config", config)


def written(site: Path, gate: str) -> Path:
    """Run the script where nothing of the host's is touched; the directory that it writes."""
    etc = site / "etc"
    places = {"FIREDOOR_ETC": str(etc / "firedoor"), "FIREDOOR_APT": str(etc / "apt")}
    text = enroll(site, "web-1", "--rescue", gate=gate).out
    subprocess.run(
        ["sh"], input=text, text=True, check=True, env=os.environ | places, capture_output=True
    )
    return etc / "firedoor"


@pytest.fixture
def etc(site: Path) -> Path:
    """What the script has written, run where nothing of the host's is touched."""
    return written(site, "http://gate.example:8080")


def test_only_who_asks_gets_the_rescue_and_the_list_tells_who_has_it(site: Path) -> None:
    """A machine without it is lost in a boot loop: one has to know which."""
    without, with_it = enroll(site, "web-1"), enroll(site, "web-2", "--rescue", "--set", "site=x")
    rows = run("machine", "list", "--json", "--config", str(site / "firedoor.toml")).json()

    assert "rescue" not in without.out
    assert "firedoor-rescue.target" in with_it.out
    known = {row["name"]: row["attributes"] for row in rows}
    assert known["web-1"] == {}
    assert known["web-2"] == {"site": "x", "rescue": "yes"}


@pytest.mark.parametrize("words", [["web-1", "--json"], ["--from", "names"]])
def test_a_rescue_that_nobody_would_be_shown_is_refused(site: Path, words: list[str]) -> None:
    """The list would tell of a rescue that the machine has not got."""
    said = enroll(site, *words, "--rescue")

    assert said.code == 2
    assert "docs/howto/rescue.md" in said.err


def test_without_a_channel_to_go_back_in_the_rescue_is_refused(tmp_path: Path) -> None:
    """Its unit would run at the third boot, and could do nothing."""
    assert run("init", str(tmp_path)).code == 0

    said = enroll(tmp_path, "web-1", "--rescue")

    assert said.code == 2
    assert "no channel is of kind apt" in said.err


def test_systemd_finds_nothing_wrong_with_the_units(etc: Path) -> None:
    """A unit that systemd does not read is a rescue that never comes."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("no systemd here")
    units = sorted(
        path for path in etc.iterdir() if path.suffix in {".service", ".target", ".timer"}
    )
    assert len(units) == 7

    done = subprocess.run(
        [verify, "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )

    # Of other units of the host it may complain.
    assert [line for line in done.stderr.splitlines() if "firedoor" in line] == []


def test_the_third_boot_in_a_row_that_may_not_last_is_the_rescues(etc: Path) -> None:
    """Two are an administrator in a hurry; and what has lasted is forgotten."""
    told = [ran(etc, "boot") for _ in range(3)]
    assert [bool(each) for each in told] == [False, False, True]
    assert (etc.parent / "boots").read_text() == "3\n"

    ran(etc, "settled")
    assert not ran(etc, "boot")


def test_a_count_that_the_crash_has_spoilt_is_none(etc: Path) -> None:
    """Half a file must not keep the machine from booting, nor start a rescue."""
    (etc.parent / "boots").write_text("3\0\0 rm -rf")

    assert not ran(etc, "boot")
    assert (etc.parent / "boots").read_text() == "1\n"


@pytest.mark.parametrize("gate", ["http://gate.example:8080", "https://[2001:db8::1]:8443"])
def test_the_index_that_apt_is_to_forget_is_the_one_that_it_keeps(site: Path, gate: str) -> None:
    """Left where it is, apt would take no older one; and no other source's may go."""
    etc = written(site, gate)
    source = etc.parent / "apt/sources.list.d/firedoor-debian_main.sources"
    asked = ["apt-get", "--print-uris", "update"]
    options = {
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": site,
    }
    for name, value in options.items():
        asked += ["-o", f"{name}={value}"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    kept = [line.split()[1] for line in told.splitlines()]
    (line,) = [each for each in (etc / "rescue").read_text().splitlines() if "$lists" in each]
    pattern = line.split('"$lists"')[1]

    assert len(kept) > 1
    assert all(fnmatch(name, pattern) for name in kept)
    assert not fnmatch(kept[0].replace("debian", "other"), pattern)


def ran(etc: Path, verb: str) -> str:
    """Run the script beside the count in ``etc``'s folder; what went wrong.

    It asks the host's systemd for a target that the host has not got.
    """
    done = subprocess.run(
        [etc / "rescue", verb],
        env=os.environ | {"STATE_DIRECTORY": str(etc.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr
