"""The authority of a small site."""

import subprocess

import pytest
from tests.clocks import HandClock

from firedoor.adapters.keys.authority import Authority, expiry_of, is_issued_by, names_of, write
from firedoor.core.errors import BadConfig, BadInput, Rejected, Unavailable
from firedoor.core.units import UnixMs

NOW = HandClock().now().wall_ms


@pytest.fixture
def authority(tmp_path):
    return Authority.create(tmp_path / "ca", NOW)


def test_its_key_is_its_owners_alone(authority, tmp_path):  # noqa: ARG001 - it makes the file
    """Whoever reads it can be any machine."""
    key = tmp_path / "ca" / "ca.key"
    assert key.stat().st_mode & 0o777 == 0o600

    key.chmod(0o644)

    with pytest.raises(BadConfig):
        Authority(tmp_path / "ca")


def test_it_is_never_made_over_another(authority, tmp_path):
    """All that the first one has issued would be refused."""
    with pytest.raises(Rejected):
        Authority.create(tmp_path / "ca", NOW)
    assert Authority(tmp_path / "ca").pem == authority.pem


@pytest.mark.parametrize(("client", "purpose"), [(True, "sslclient"), (False, "sslserver")])
def test_openssl_takes_what_it_issues_for_its_purpose_only(authority, tmp_path, client, purpose):
    """Certificates are for programs that others wrote."""
    pair = authority.client("till-1", NOW) if client else authority.server(["gate.example"], NOW)
    write(tmp_path / "one.pem", pair.certificate, 0o644)
    moment = str(NOW // 1000 + 60)

    def verify(wanted):
        command = ["openssl", "verify", "-attime", moment, "-purpose", wanted, "-CAfile"]
        files = [str(tmp_path / "ca" / "ca.pem"), str(tmp_path / "one.pem")]
        return subprocess.run([*command, *files], capture_output=True, check=False).returncode == 0

    assert verify(purpose)
    assert not verify("sslserver" if client else "sslclient")


def test_a_server_has_its_names_and_an_end(authority, tmp_path):
    """Renewing it needs no other note of what it was for."""
    pair = authority.server(["gate.example", "10.0.0.5", "fd00::5"], NOW)
    write(tmp_path / "server.pem", pair.certificate, 0o644)

    assert names_of(tmp_path / "server.pem") == ["gate.example", "10.0.0.5", "fd00::5"]
    assert expiry_of(tmp_path / "server.pem") == pair.expires > NOW
    assert is_issued_by(tmp_path / "server.pem", tmp_path / "ca" / "ca.pem")
    assert not is_issued_by(tmp_path / "server.pem", tmp_path / "server.pem")
    with pytest.raises(Unavailable):
        is_issued_by(tmp_path / "none.pem", tmp_path / "ca" / "ca.pem")


def test_a_name_that_no_certificate_can_hold_is_refused(authority):
    """Before a token is made for a machine that could never use its certificate."""
    with pytest.raises(BadInput):
        authority.client("a" * 65, NOW)
    with pytest.raises(BadInput):
        authority.server([], NOW)
    with pytest.raises(BadInput):
        authority.server(["münchen.example"], UnixMs(NOW))
