"""An unmodified apt over https: it believes the site's authority and shows its own certificate."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.apt_fleet import Fleet, up
from tests.debian import Apt
from tests.office import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def _with_tls(folder: Path) -> Fleet:
    fleet = Fleet(folder)
    made = fleet.site.ask("ca", "init", "--name", "localhost")
    assert made.code == 0, made.err
    drop_ins = folder / "config.d"
    drop_ins.mkdir()
    (drop_ins / "10-tls.toml").write_text(made.out)
    return fleet


def test_apt_is_known_by_its_certificate_until_it_is_revoked(tmp_path: Path) -> None:
    """The script of `machine enroll --certificate` is all that an administrator runs."""
    fleet = _with_tls(tmp_path)
    with up(fleet):
        script = fleet.site.ask("machine", "enroll", "web-1", "--certificate").out
        apt = Apt.new(tmp_path / "web-1", "")
        etc = apt.root / "etc"
        places = {"FIREDOOR_ETC": str(etc / "firedoor"), "FIREDOOR_APT": str(etc / "apt")}
        subprocess.run(["sh"], input=script, text=True, check=True, env=os.environ | places)
        # Without its token nothing but the certificate is left.
        for credentials in (etc / "apt" / "auth.conf.d").iterdir():
            credentials.unlink()

        until(lambda: apt.run("update").returncode == 0)
        assert apt.run("install", "tool").returncode == 0
        assert apt.has("tool") == "1.0"
        heartbeat = subprocess.run([etc / "firedoor" / "heartbeat"], check=False, timeout=60)
        assert heartbeat.returncode == 0

        assert fleet.site.ask("machine", "revoke", "web-1").code == 0
        refused = apt.run("update")

    assert "401" in refused.stdout + refused.stderr
    assert refused.returncode != 0
