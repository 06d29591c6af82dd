"""What the script of `machine enroll` writes for osquery, and what the page says of it."""

import os
import re
import stat
import subprocess
from pathlib import Path

from tests.unit.cli.desk import run

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "osquery.md"
SECURE = "https://intake.example:8081"


def written(tmp_path, *words):
    """Set up, enrol a machine, run its script; the folder it has written."""
    assert run("init", str(tmp_path), "--machine", "first").code == 0
    config = str(tmp_path / "firedoor.toml")
    if "--certificate" in words:
        assert run("ca", "init", "--config", config).code == 0
    script = run("machine", "enroll", "till-17", *words, "--config", config).out
    etc = tmp_path / "etc"
    places = {"FIREDOOR_ETC": str(etc)}
    subprocess.run(["sh"], input=script, text=True, check=True, env=os.environ | places)
    return etc


def names(flags):
    return re.findall(r"^(--\w+)=", flags, re.MULTILINE)


def test_osquery_is_given_its_flags_and_a_secret_that_only_root_reads(tmp_path):
    """One flags file, and the machine's osquery is evidence."""
    etc = written(tmp_path, "--intake", SECURE)

    flags = (etc / "osquery.flags").read_text()

    assert "--tls_hostname=intake.example:8081\n" in flags
    assert f"--enroll_secret_path={etc}/osquery.secret\n" in flags
    assert (etc / "osquery.secret").read_text().startswith("fds_")
    assert stat.S_IMODE((etc / "osquery.secret").stat().st_mode) == 0o600
    assert '"' not in flags, "osquery takes quotes for part of the value"


def test_a_machines_certificate_is_in_its_flags(tmp_path):
    """It shows the same certificate as the machine's other clients."""
    etc = written(tmp_path, "--intake", SECURE, "--certificate")

    flags = (etc / "osquery.flags").read_text()

    assert f"--tls_client_cert={etc}/machine.pem\n" in flags
    assert f"--tls_client_key={etc}/machine.key\n" in flags


def test_without_tls_there_is_nothing_for_osquery(tmp_path):
    """Nothing but TLS is spoken by osquery: flags for a plain intake would only fail later."""
    assert not (written(tmp_path) / "osquery.flags").exists()


def test_the_page_explains_every_flag(tmp_path):
    """A flag that nobody explains is one that nobody dares to change."""
    etc = written(tmp_path, "--intake", SECURE, "--certificate")
    text = PAGE.read_text()
    [shown] = re.findall(r"^```text\n(--.*?)^```", text, re.MULTILINE | re.DOTALL)

    explained = re.findall(r"^\| `(--\w+)` \|", text, re.MULTILINE)

    written_flags = set(names((etc / "osquery.flags").read_text()))
    assert set(names(shown)) == set(explained)
    # Written where the intake's own certificate is of an authority of ours.
    assert written_flags | {"--tls_server_certs"} == set(explained)
