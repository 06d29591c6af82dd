"""Certificates that end: told before, told after, and told once."""

from dataclasses import replace

import pytest
from tests.unit.wire.site import Site

from firedoor.adapters.keys.authority import AUTHORITY_DAYS, ISSUED_DAYS, Authority, write
from firedoor.adapters.keys.file import create_signing_key
from firedoor.adapters.store.register_schema import Issued
from firedoor.config import TlsConfig
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.wire.certificates import WARN_MS, Certificates

DAY_MS = 24 * 3_600_000


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, machines=2)
    yield made
    made.close()


def test_a_person_is_told_weeks_before_and_once_more_after(site, tmp_path):
    """A server with an expired certificate serves nobody, and looks like a silent fleet."""
    began = site.clock.now().wall_ms
    authority = Authority.create(site.files.authority, began)
    pair = authority.server(["gate.example"], began)
    write(site.files.authority / "server.pem", pair.certificate, 0o644)
    own = authority.client("till-01", began)
    site.register.note_certificate(Issued("till-01", own.fingerprint, own.expires))
    folder = site.files.authority
    tls = TlsConfig(folder / "server.pem", folder / "server.key", folder / "ca.pem", None)
    config = replace(site.config, gate=replace(site.config.gate, tls=tls))
    certificates = Certificates(config, site.files, site.store, site.clock)
    ledger = LedgerWriter(site.store, create_signing_key(tmp_path / "key").sign)

    def told(days):
        before = site.store.last_index()
        wall_ms = UnixMs(began + days * DAY_MS)
        with site.store.step():
            certificates.look(ledger, Instant("boot", days * DAY_MS, wall_ms))
        entries = site.store.entries(after=before, limit=10)
        return [str(each.entry.body["note"]) for each in entries if each.entry.body["alert"]]

    warned = ISSUED_DAYS - WARN_MS // DAY_MS
    assert told(1) == []
    assert told(warned - 1) == []
    server, machines = told(warned + 1)
    assert "server.pem of the gate expires on" in server
    assert "till-01" in machines
    assert "till-02" not in machines
    assert told(warned + 2) == []
    (after,) = told(ISSUED_DAYS + 1)
    assert "has expired" in after
    assert told(AUTHORITY_DAYS - 1)
