import base64
import configparser
import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.intake_process import running
from tests.servers import Answer, ToldVendor
from tests.unit.cli.desk import run

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.machine import Purpose

RINGS = '[[ring]]\nname = "lab"\nmachines = { site = ["lab"] }\n'


@pytest.fixture
def site(tmp_path):
    """A fresh installation; the options that name it."""
    assert run("init", str(tmp_path), "--machine", "first").code == 0
    with (tmp_path / "firedoor.toml").open("a") as file:
        file.write(RINGS)
    return tmp_path


def on(site, *arguments: str):
    return run("machine", *arguments, "--config", str(site / "firedoor.toml"))


def identify(site, token: str, purpose: Purpose) -> str | None:
    register = MachineRegister(site / "firedoor-data" / "machines.db", SystemClock())
    try:
        known = register.identify(token, purpose)
        return None if known is None else known.name
    finally:
        register.close()


def test_a_machine_is_enrolled_with_two_tokens_for_two_doors(site):
    """A token that reads must not be able to report harm."""
    made = on(site, "enroll", "till-1", "--json").json()

    assert identify(site, made["read"], Purpose.READ) == "till-1"
    assert identify(site, made["signal"], Purpose.SIGNAL) == "till-1"
    assert identify(site, made["read"], Purpose.SIGNAL) is None


def test_attributes_put_a_machine_into_its_ring(site):
    """Business order: the lab before the tills."""
    on(site, "enroll", "bench-1", "--set", "site=lab", "--set", "model=x1")

    (row,) = [row for row in on(site, "list", "--json").json() if row["name"] == "bench-1"]

    assert row["attributes"] == {"model": "x1", "site": "lab"}
    assert row["ring"] == "lab"


def test_rotating_gives_new_tokens_and_can_move_the_machine(site):
    """A leaked token is replaced without a visit; the old one works until the new one is there."""
    old = on(site, "enroll", "till-1", "--set", "site=prague", "--set", "model=x1", "--json").json()

    new = on(site, "enroll", "till-1", "--rotate", "--set", "site=lab", "--json").json()

    (row,) = [row for row in on(site, "list", "--json").json() if row["name"] == "till-1"]
    assert new["read"] != old["read"]
    assert identify(site, old["read"], Purpose.READ) == "till-1"
    assert identify(site, new["read"], Purpose.READ) == "till-1"
    assert row["attributes"] == {"model": "x1", "site": "lab"}


def test_enrolling_twice_is_refused_with_the_way_out(site):
    """New tokens by accident would cut off the machine that has the old ones."""
    said = on(site, "enroll", "first")

    assert said.code == 1
    assert "enrolled already" in said.err
    assert "--rotate" in said.err


def test_a_revoked_machine_is_refused_and_listed_only_on_request(site):
    """A stolen till."""
    made = on(site, "enroll", "till-1", "--json").json()

    said = on(site, "revoke", "till-1")

    names = [row["name"] for row in on(site, "list", "--json").json()]
    everybody = {
        row["name"]: row["revoked_ms"] for row in on(site, "list", "--revoked", "--json").json()
    }
    assert said.code == 0
    assert identify(site, made["read"], Purpose.READ) is None
    assert names == ["first"]
    assert everybody["till-1"]
    assert on(site, "revoke", "till-1").code == 1


def test_a_file_of_names_is_enrolled_all_or_none(site, tmp_path):
    """Half an enrolment of ten thousand machines is worse than none."""
    names = tmp_path / "names"
    names.write_text("till-1\n\n  till-2  \ntill-3\n")

    said = on(site, "enroll", "--from", str(names), "--set", "site=lab")
    made = [json.loads(line) for line in said.out.splitlines()]
    names.write_text("till-4\ntill-1\n")
    again = on(site, "enroll", "--from", str(names))

    assert [each["machine"] for each in made] == ["till-1", "till-2", "till-3"]
    assert identify(site, made[1]["read"], Purpose.READ) == "till-2"
    assert again.code == 1
    assert again.out == ""
    assert "till-4" not in on(site, "list").out


def test_a_collector_speaks_for_the_machines_it_is_bound_to(site):
    """One agent posts for a whole site; it must not speak for another."""
    made = on(site, "enroll", "relay", "--collector", "till-*", "--collector", "kiosk-*").json()

    assert made["read"] is None
    assert identify(site, made["signal"], Purpose.SIGNAL) == "relay"
    assert "relay speaks for till-* kiosk-*" in on(site, "list").err
    assert on(site, "revoke", "relay", "--collector").code == 0
    assert identify(site, made["signal"], Purpose.SIGNAL) is None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["till-1", "--from", "names"],
        ["till-1", "--set", "site"],
        ["till-1", "--set", "=prague"],
        ["till 1"],
        ["till-1", "--collector", "x", "--rotate"],
        ["till-1", "--gate", "gate.example:8080"],
        ["till-1", "--gate", "http://gate.example/\nreboot"],
        ["--from", "no such file"],
    ],
)
def test_an_enrolment_that_makes_no_sense_enrols_nobody(site, arguments):
    """The register has no undo but revoking."""
    said = on(site, "enroll", *arguments)

    assert said.code == 2
    assert [row["name"] for row in on(site, "list", "--json").json()] == ["first"]


def test_an_unknown_channel_is_refused_before_the_machine_is_enrolled(site):
    """The tokens would have been printed into a script that does not work."""
    said = on(site, "enroll", "till-1", "--channel", "nonsense")

    assert said.code == 1
    assert [row["name"] for row in on(site, "list", "--json").json()] == ["first"]


def test_without_a_data_directory_nothing_is_made_by_the_way(tmp_path):
    """A mistyped --data must not leave a register of its own behind."""
    path = tmp_path / "firedoor.toml"
    path.write_text('data = "data"\n')

    said = run("machine", "enroll", "till-1", "--config", str(path))

    assert said.code == 3
    assert not (tmp_path / "data").exists()


def test_the_printed_script_makes_a_client_that_the_gate_knows(site, tmp_path):
    """Run as it was printed, with the real curl and wget; its directory is the one asked for."""
    with ToldVendor(lambda _: Answer(b"content"), None) as gate:
        said = on(site, "enroll", "till-1", "--gate", gate.url, "--channel", "")
        etc = client(said.out, tmp_path)
        shown = [line[4:] for line in said.out.splitlines() if line.startswith("#   ")]
        for command in shown[:2]:
            ready = command.replace("/etc/firedoor", str(etc)).replace("FILE", "a.txt")
            subprocess.run(["sh", "-euc", ready], cwd=tmp_path, check=True, capture_output=True)

        first, second = gate.asked

    assert len(shown) == 3
    assert first.path == second.path == "/CHANNEL/a.txt"
    for asked in (first, second):
        token = read_token(asked.headers["Authorization"])
        assert identify(site, token, Purpose.READ) == "till-1"
    token = shown[2].split("/m/")[1].split("/")[0]
    assert identify(site, token, Purpose.READ) == "till-1"


def test_the_printed_heartbeat_is_heard_by_a_real_intake(site, tmp_path):
    """A snippet that was never run is a promise, not a tool."""
    data = site / "firedoor-data"
    with running(data) as (_, port):
        said = on(site, "enroll", "till-1", "--intake", f"http://127.0.0.1:{port}")
        etc = client(said.out, tmp_path)
        subprocess.run([etc / "heartbeat"], check=True)

        reader = SignalReader(data / "intake.db")
        batches = reader.batches_after(0, 10)
        reader.close()

    assert [list(batch.heartbeats) for batch in batches] == [[2]]


def test_nobody_but_root_can_read_the_clients_tokens(site, tmp_path):
    """Users of a machine must not be able to speak as the machine."""
    etc = client(on(site, "enroll", "till-1").out, tmp_path)

    assert {path.stat().st_mode & 0o077 for path in etc.iterdir()} == {0}


def test_the_printed_timer_beats_as_often_as_is_expected(site, tmp_path):
    """A machine whose timer is slower than the configuration would count as silent."""
    path = site / "firedoor.toml"
    path.write_text(path.read_text().replace('#heartbeat = "60s"', 'heartbeat = "90s"'))
    etc = client(on(site, "enroll", "till-1").out, tmp_path)

    units = {each: configparser.ConfigParser() for each in ("service", "timer")}
    for suffix, unit in units.items():
        unit.read(etc / f"firedoor-heartbeat.{suffix}")

    assert units["timer"]["Timer"]["OnUnitActiveSec"] == "90000ms"
    assert units["service"]["Service"]["ExecStart"] == f'"{etc}/heartbeat"'


def client(script: str, folder: Path) -> Path:
    """Run a printed script; the directory it wrote."""
    etc = folder / "etc"
    environment = os.environ | {"FIREDOOR_ETC": str(etc)}
    subprocess.run(["sh"], input=script, text=True, check=True, cwd=folder, env=environment)
    return etc


def read_token(authorization: str) -> str:
    user, _, password = (
        base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    )
    assert user == "till-1"
    return password


def test_what_a_machines_tools_call_it_is_bound_to_it_and_to_no_other(site):
    """Two machines behind one name would share their harm; the refusal says how to go on."""
    on(site, "enroll", "till-1", "--identity", "machine-id=0AB1", "--identity", "host-name=T1")

    refused = on(site, "enroll", "till-2", "--identity", "machine-id=0ab1")
    shown = on(site, "show", "till-1", "--json").json()

    assert refused.code == 1
    assert "machine-id=0ab1 is bound to till-1" in refused.err
    assert "machine revoke till-1" in refused.err
    assert on(site, "show", "till-2").code == 1, "nothing of it was enrolled"
    assert shown["identities"] == {"machine-id": ["0ab1"], "host-name": ["t1"]}


def test_an_identity_moves_with_rotate_and_is_freed_by_revoke(site):
    """A reinstalled machine has another machine id, and a replaced one gives its own back."""
    on(site, "enroll", "till-1", "--identity", "machine-id=a")
    on(site, "enroll", "till-1", "--rotate", "--identity", "machine-id=b")
    on(site, "enroll", "till-2", "--identity", "machine-id=a")
    on(site, "revoke", "till-1")

    on(site, "enroll", "till-3", "--identity", "machine-id=b")

    listed = {row["name"]: row["identities"] for row in on(site, "list", "--json").json()}
    assert listed["till-2"] == {"machine-id": ["a"]}
    assert listed["till-3"] == {"machine-id": ["b"]}


@pytest.mark.parametrize("text", ["till-1", "serial=1", "machine-id=", "host-name=a\nb"])
def test_an_identity_that_is_none_is_refused_with_the_kinds_there_are(site, text):
    """A typing mistake must not bind a machine to nonsense."""
    refused = on(site, "enroll", "till-1", "--identity", text)

    assert refused.code == 2
    assert "hint:" in refused.err
