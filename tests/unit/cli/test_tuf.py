"""A TUF root of one's own, from the command line to what a machine is told."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.tuf import Repository
from tests.unit.cli.desk import Said, run

CHANNEL = """
[[channel]]
name = "agent"
kind = "tuf"
upstream = "{upstream}"
trust = ["{trust}"]
"""


class Desk:
    """A configuration with a channel of kind ``tuf``."""

    def __init__(self, folder: Path) -> None:
        """Nothing is signed anew."""
        self.folder = folder
        self.vendor = Repository.new(folder / "vendor")
        self.own = folder / "own"
        assert run("init", str(folder)).code == 0
        self.path = folder / "firedoor.toml"
        channel = CHANNEL.format(upstream=self.vendor.root, trust=self.vendor.trusted)
        self.path.write_text(self.path.read_text() + channel)

    def ask(self, *words: str) -> Said:
        """Run a command with this configuration."""
        return run(*words, "--config", str(self.path))

    def told(self, machine: str) -> dict[str, str]:
        """What the script of ``machine enroll`` leaves on a machine."""
        script = self.ask("machine", "enroll", machine, "--gate", "http://gate:8080").out
        place = self.folder / machine
        there = {
            "PATH": "/usr/bin:/bin",
            "FIREDOOR_ETC": f"{place}/etc",
            "FIREDOOR_TUF": f"{place}",
        }
        subprocess.run(["sh"], input=script, text=True, check=True, env=there)
        assert (place / "agent.json").stat().st_mode & 0o077 == 0
        said: dict[str, str] = json.loads((place / "agent.json").read_text())
        return said


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_machine_is_told_two_addresses_and_the_vendors_root(desk: Desk) -> None:
    """The program that is there already goes on with its own client."""
    said = desk.told("web-1")

    assert said["metadata_base_url"].startswith("http://gate:8080/m/")
    assert said["metadata_base_url"].endswith("/agent/metadata/")
    assert said["target_base_url"].endswith("/agent/targets/")
    assert Path(said["root"]).read_bytes() == desk.vendor.trusted.read_bytes()
    assert "revert" not in desk.ask("channel", "show", "agent").out


def test_with_a_root_of_ones_own_machines_begin_with_that(desk: Desk) -> None:
    """What ``tuf init`` prints is the line that makes it so."""
    made = run("tuf", "init", str(desk.own))
    assert made.code == 0, made.err
    desk.path.write_text(desk.path.read_text() + made.out)

    assert desk.ask("config", "check").code == 0
    said = desk.told("web-1")

    assert Path(said["root"]).read_bytes() == (desk.own / "1.root.json").read_bytes()
    assert "revert" in desk.ask("channel", "show", "agent").out


def test_a_root_is_made_once_and_renewed(desk: Desk) -> None:
    """Every year somebody has to, and should see until when it counts."""
    assert run("tuf", "init", str(desk.own), "--days", "10").code == 0
    again = run("tuf", "init", str(desk.own))
    assert again.code == 1
    assert "firedoor tuf renew" in again.err

    before = run("tuf", "show", str(desk.own), "--json").json()
    renewed = run("tuf", "renew", str(desk.own), "--days", "30")
    after = run("tuf", "show", str(desk.own), "--json").json()

    assert renewed.code == 0
    assert (before["root"], after["root"]) == ("1", "2")
    assert before["until"] < after["until"]
    assert after["until"] in renewed.out


def test_a_trust_that_is_no_root_is_told_before_anybody_is_enrolled(desk: Desk) -> None:
    """The vendor's web server answers with a page where there is no such file."""
    desk.vendor.trusted.write_text("<html>not found</html>")

    refused = desk.ask("machine", "enroll", "web-1")

    assert refused.code == 2
    assert "no root of a TUF repository" in refused.err
    assert "web-1" not in desk.ask("machine", "list").out
