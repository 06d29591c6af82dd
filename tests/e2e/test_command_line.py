"""The command line before a running Firedoor: what a person does on the day it matters."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from tests.office import HURRIED, Site, console_answers, free_ports, running, until
from tests.unit.cli.desk import run

CONFIG = (
    HURRIED
    + """[[channel]]
name = "tools"
kind = "files"
upstream = "{vendor}"
poll = "1h"
"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    """Set up as a newcomer does, with one machine that reads and beats."""
    folder = tmp_path_factory.mktemp("site")
    vendor = folder / "vendor"
    vendor.mkdir()
    (vendor / "tool.txt").write_text("1")
    assert run("init", str(folder), "--machine", "till-1").code == 0
    ports = dict(zip(("gate", "intake", "console"), free_ports(3), strict=True))
    path = folder / "firedoor.toml"
    path.write_text(CONFIG.format(**ports, vendor=vendor))
    site = Site(path, vendor)
    with running(path):
        until(lambda: site.ask("release", "list", "tools").code == 0 and site.boardings() == 1)
        # The console reads its token when it starts, which may be after the judge's first answer.
        until(lambda: console_answers(ports["console"]))
        yield site


def test_a_person_can_hold_widen_shut_and_pin_a_release_and_it_is_all_on_record(site, tmp_path):
    """Each verb is decided by the running judge, and the ledger has it with name and reason."""
    first = site.ask("release", "list", "tools", "--json").json()[0]["id"]

    # A machine becomes a client by the script that was printed for it.
    script = site.ask("machine", "enroll", "till-2").out
    etc = tmp_path / "etc"
    environment = os.environ | {"FIREDOOR_ETC": str(etc)}
    subprocess.run(["sh"], input=script, text=True, check=True, env=environment)
    subprocess.run([etc / "heartbeat"], check=True)
    read = next(line[4:] for line in script.splitlines() if line.startswith("#   curl"))
    read = read.replace("/etc/firedoor", str(etc)).replace("FILE", "tool.txt")
    until(lambda: subprocess.run(["sh", "-c", read], cwd=tmp_path).returncode == 0)  # noqa: PLW1510
    assert (tmp_path / "tool.txt").read_text() == "1"
    until(lambda: site.ask("channel", "list", "--json").json()[0]["machines"] == 1)

    second = site.publish("2")
    assert site.door(second) == ("opening", "evidence", 1)

    held = site.act("release", "hold", second[:8])
    assert held.code == 0, held.err
    assert "is held" in held.out
    assert site.door(second)[:2] == ("held", "person")

    assert site.act("release", "resume", second[:8]).code == 0
    assert site.door(second)[:2] == ("opening", "person")

    outcome = site.act("release", "expedite", second[:8], "--budget", "4", "--json").json()
    assert outcome["door"]["everyone"]["budget"] == 5
    assert site.door(second) == ("opening", "expedited", 5)

    assert site.act("release", "shut", second[:8], "--ring", "everyone").code == 0
    assert site.door(second)[:2] == ("shut", "person")

    assert site.act("release", "expedite", second[:8], "--all").code == 0
    assert site.door(second)[:2] == ("open", "expedited")

    assert site.act("release", "pin", "tools", first[:8]).code == 0
    assert site.door(first)[:2] == ("open", "pinned")
    assert site.act("release", "unpin", "tools").code == 0
    assert site.act("release", "resume", "tools").code == 0

    decisions = site.ask("ledger", "show", "--limit", "100", "--json").json()
    by_hand = [d["reason"] for d in decisions if d["kind"] == "door" and d["by"] == "Amira"]
    assert by_hand == [
        *("person", "person", "expedited", "person", "expedited"),
        *("pinned", "pinned"),  # the one that is pinned, and the one it leaves behind
    ]
    assert site.ask("ledger", "verify").code == 0
    assert site.ask("verdict", "replay").code == 0


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("release", "resume"), 1, "resume refused"),
        (("release", "unpin"), 1, "no ring of tools is pinned"),
        (("release", "expedite"), 2, "either a budget or everybody"),
        (("release", "hold", "--ring", "nonsense"), 1, "nonsense"),
    ],
)
def test_what_a_door_refuses_is_told_as_the_judge_said_it(site, words, code, complaint):
    """A refusal that came from the judge reads like any other, with its hint."""
    noun, verb, *options = words
    release = site.ask("release", "list", "tools", "--json").json()[-1]["id"]
    target = "tools" if verb == "unpin" else release

    said = site.act(noun, verb, target, *options)

    assert said.code == code, said.err
    assert said.out == ""
    assert complaint in said.err


def test_another_installations_token_opens_nothing(site, tmp_path):
    """Whoever may act here holds the file of this data directory."""
    assert run("init", str(tmp_path)).code == 0
    listen = site.path.read_text().partition("[console]")[2].split('"')[1]
    release = site.ask("release", "list", "tools", "--json").json()[0]["id"]
    token = tmp_path / "firedoor-data" / "console.token"
    kept = site.path.parent / "firedoor-data" / "console.token"
    right = kept.read_bytes()

    kept.write_bytes(token.read_bytes())
    try:
        said = site.act("release", "hold", release, "--console", f"http://{listen}")
    finally:
        kept.write_bytes(right)

    assert said.code == 1
    assert "acting needs the token" in said.err


def test_when_nothing_runs_reading_goes_on_and_acting_says_how_to_start_it(tmp_path):
    """The night shift looks at a dead host: what is known is still there to be seen."""
    assert run("init", str(tmp_path), "--machine", "till-1").code == 0
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "tool.txt").write_text("1")
    ports = dict(zip(("gate", "intake", "console"), free_ports(3), strict=True))
    path = tmp_path / "firedoor.toml"
    path.write_text(CONFIG.format(**ports, vendor=vendor))
    site = Site(path, vendor)
    with running(path):
        until(lambda: site.ask("release", "list", "tools").code == 0 and site.boardings() == 1)
    release = site.ask("release", "list", "tools", "--json").json()[0]["id"]

    said = site.act("release", "hold", release)

    assert site.ask("release", "show", release).code == 0
    assert said.code == 3
    assert said.err.startswith("error: no console answers at http://127.0.0.1:")
    assert "firedoor up" in said.err
