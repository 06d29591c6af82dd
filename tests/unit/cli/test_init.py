import stat

import pytest
from tests.unit.cli.desk import run

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import load_root_key, load_signing_key, load_token
from firedoor.adapters.store.register import MachineRegister
from firedoor.config import load
from firedoor.core.machine import Purpose
from firedoor.wire.files import Files


@pytest.fixture
def made(tmp_path):
    """What init printed and wrote."""
    said = run("init", str(tmp_path / "site"), "--machine", "till-1")
    assert said.code == 0, said.err
    return said, tmp_path / "site"


def test_init_makes_everything_a_first_day_needs(made):
    """Between installing and the first update stands one command."""
    _, folder = made
    config = load(folder / "firedoor.toml")
    files = Files(config.data)

    assert config.data == folder / "firedoor-data"
    assert load_root_key(files.root_key)
    assert len(load_signing_key(files.ledger_key).public_key) == 32
    assert load_token(files.console_token)


def test_nobody_else_on_the_host_can_look_into_the_data(made):
    """Keys, tokens' digests and the list of machines are nobody else's business."""
    _, folder = made
    data = folder / "firedoor-data"

    for path in (data, data / "keys", data / "machines.db", data / "console.token"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_first_machine_can_use_what_was_printed(made):
    """Its tokens are printed this once; what is stored are their digests."""
    said, folder = made
    tokens = {word for word in said.out.split() if word.startswith(("fdr_", "fds_"))}
    register = MachineRegister(folder / "firedoor-data" / "machines.db", SystemClock())

    known = {
        purpose
        for token in tokens
        for purpose in Purpose
        if (identity := register.identify(token, purpose)) and identity.name == "till-1"
    }

    register.close()
    assert known == {Purpose.READ, Purpose.SIGNAL}


def test_what_was_made_is_never_overwritten(made):
    """A second run by mistake must not cost the keys that everything was promised with."""
    _, folder = made
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    said = run("init", str(folder))

    assert said.code == 1
    assert "is there already" in said.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_lost_configuration_does_not_cost_the_keys(made):
    """The data directory alone is reason enough to refuse."""
    _, folder = made
    (folder / "firedoor.toml").unlink()

    said = run("init", str(folder))

    assert said.code == 1
    assert not (folder / "firedoor.toml").exists()


def test_a_machine_cannot_have_a_name_that_breaks_the_script(tmp_path):
    """The script is run by root."""
    said = run("init", str(tmp_path / "site"), "--machine", "a; reboot")

    assert said.code == 2
    assert not (tmp_path / "site").exists()


def test_the_next_steps_are_talk_and_not_data(made):
    """The script on stdout may be piped to the machine it is for."""
    said, _ = made

    assert said.out.startswith("#!/bin/sh\n")
    assert "next:" in said.err
    assert "firedoor up" in said.err
