"""The authority of a small site, from the command line."""

import pytest
from tests.unit.cli.desk import run


@pytest.fixture
def site(tmp_path):
    assert run("init", str(tmp_path), "--machine", "till-1").code == 0
    return tmp_path


def ask(site, *words):
    return run(*words, "--config", str(site / "firedoor.toml"))


def test_what_init_prints_is_the_configuration(site):
    """And a machine's script speaks https from then on."""
    made = ask(site, "ca", "init", "--name", "gate.example")
    assert made.code == 0, made.err
    (site / "config.d").mkdir()
    (site / "config.d" / "10-tls.toml").write_text(made.out)

    assert ask(site, "config", "check").code == 0
    script = ask(site, "machine", "enroll", "till-2", "--certificate").out

    assert "https://gate.example:8080" in script
    assert "http://" not in script
    assert script.count("PRIVATE KEY") == 2
    shown = ask(site, "ca", "show", "--json").json()
    assert [(row["what"], row["name"]) for row in shown[1:]] == [
        ("server", "gate.example"),
        ("machine", "till-2"),
    ]


def test_an_authority_is_not_replaced_and_its_server_is_renewed_for_its_names(site):
    """The first would end all certificates; the second ends none."""
    assert ask(site, "ca", "init", "--name", "gate.example").code == 0
    before = (site / "firedoor-data" / "ca" / "server.pem").read_bytes()

    again = ask(site, "ca", "init", "--name", "other.example")
    renewed = ask(site, "ca", "renew")

    assert again.code == 1
    assert "gate.example" in renewed.out
    assert (site / "firedoor-data" / "ca" / "server.pem").read_bytes() != before


def test_without_an_authority_no_certificate_is_promised(site):
    """Nothing is enrolled: its tokens could not be shown again."""
    refused = ask(site, "machine", "enroll", "till-2", "--certificate")

    assert refused.code == 2
    assert "firedoor ca init" in refused.err
    assert "till-2" not in ask(site, "machine", "list").out


def test_a_certificate_that_does_not_fit_is_told_before_the_gate_starts(site):
    """`config check` reads what a role would stumble over."""
    made = ask(site, "ca", "init", "--name", "gate.example")
    (site / "config.d").mkdir()
    (site / "config.d" / "10-tls.toml").write_text(made.out)
    folder = site / "firedoor-data" / "ca"
    (folder / "server.pem").write_bytes((folder / "ca.pem").read_bytes())

    refused = ask(site, "config", "check")

    assert refused.code == 2
    assert "is not the key of" in refused.err
