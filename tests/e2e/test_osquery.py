"""The intake as `firedoor serve` runs it, asked over TLS 1.2 by what osquery sends."""

import contextlib
import gzip
import http
import http.client
import json
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.osquery import RECORDED, believed
from tests.secured_intake import SecuredIntake

pytestmark = pytest.mark.timeout(120)

# kTLSCiphers in osquery/remote/transports/tls.h, without the names that OpenSSL 3 has dropped.
CIPHERS = "ECDH+AESGCM:DH+AESGCM:ECDH+AES256:DH+AES256:RSA+AESGCM:RSA+AES:!aNULL:!MD5:!SHA"


@dataclass
class Node:
    """A machine's osquery.

    Attributes:
        port: Of the intake.
        authority: ``--tls_server_certs``.
        host: ``--host_identifier``.
        secret: ``--enroll_secret_path``.
        own: ``--tls_client_cert`` and ``--tls_client_key``.
        key: The node key, once enrolled.
        header: Whether it is new enough to send the node key in a header.
    """

    port: int
    authority: Path
    host: str
    secret: str = ""
    own: tuple[Path, Path] | None = None
    key: str = ""
    header: bool = True

    def send(self, path: str, name: str, *, compress: bool = False) -> tuple[int, bytes]:
        """Send what is recorded; status and body."""
        text = (RECORDED / f"{name}.json").read_text()
        made_up = {"ENROLL_SECRET": self.secret, "NODE_KEY": self.key, "till-17": self.host}
        for old, new in made_up.items():
            text = text.replace(old, new)
        headers = json.loads((RECORDED / "headers.json").read_text())
        if self.key and self.header:
            headers["Authorization"] = f"NodeKey {self.key}"
        body = text.encode()
        if compress:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        context = ssl.create_default_context(cafile=str(self.authority))
        context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        if self.own is not None:
            context.load_cert_chain(*self.own)
        asked = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=20)
        with contextlib.closing(asked):
            asked.request("POST", f"/osquery/{path}", body, headers)
            reply = asked.getresponse()
            return reply.status, reply.read()

    def told(self, path: str, name: str, **more: Any) -> Any:
        """What it is told when it sends this, and believes."""
        status, body = self.send(path, name, **more)
        assert believed(status, body), body
        return json.loads(body)

    def enroll(self) -> None:
        """Enrol."""
        self.key = str(self.told("enroll", "enroll")["node_key"])


def node_of(place: SecuredIntake, name: str, *words: str) -> Node:
    """Enrol a machine; its osquery, not enrolled itself."""
    made = place.ask("machine", "enroll", name, "--json", *words).json()
    return Node(place.port, place.authority, name, made["signal"])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> SecuredIntake:
    return SecuredIntake.made(tmp_path_factory.mktemp("osquery"))


def test_a_windows_machine_is_evidence_after_one_flags_file(place: SecuredIntake) -> None:
    """Enrol, schedule, inventory, a blue screen: what osquery sends, over the TLS it speaks."""
    node = node_of(place, "till-17", "--identity", "osquery=till-17")
    with place.serving():
        node.enroll()
        schedule = node.told("config", "asking")["schedule"]
        asked = node.told("distributed/read", "asking")["queries"]
        node.told("distributed/write", "answers")
        first = node.told("log", "windows", compress=True)
        again = node.told("log", "windows")
        once = node.told("distributed/read", "asking")["queries"]

    assert "firedoor_eventlog" in schedule
    assert set(asked) >= {"firedoor_programs", "firedoor_os_version"}
    assert once == {}, "its inventory is known"
    assert first["accepted"] == 5
    assert (again["accepted"], again["duplicates"]) == (0, 5)
    shown = place.ask("machine", "show", "till-17", "--json").json()
    assert shown["told"]["model"] == "Beetle M-III"
    assert shown["inventory"]["patches"]["items"] == ["KB5015684", "KB5040427"]
    source = place.reader()
    number = place.ask("machine", "list", "--json").json()
    no = next(row["no"] for row in number if row["name"] == "till-17")
    kinds = sorted(e.event.kind for e in source.events_after(0, 100) if e.event.machine == no)
    source.close()
    assert kinds == ["boot-unclean", "bugcheck", "coredump", "service-failed"]


def test_nothing_that_was_answered_is_lost_when_the_intake_is_killed(place: SecuredIntake) -> None:
    """What was answered is deleted by osquery: it has to be on the disk by then."""
    node = node_of(place, "till-18")
    with place.serving() as process:
        node.enroll()
        told = node.told("log", "windows")
        process.kill()
        process.wait(timeout=30)
    with place.serving():
        again = node.told("log", "windows", compress=True)

    assert told["accepted"] == 5
    assert again["accepted"] <= 1, "an unwritten heartbeat may count again"
    assert again["duplicates"] >= 4


def test_a_certificate_is_enough(place: SecuredIntake, tmp_path: Path) -> None:
    """Where machines have certificates no secret need lie on them; osquery wants a key anyway."""
    made = place.ask("machine", "enroll", "till-19", "--certificate", "--json").json()
    own = (tmp_path / "own.pem", tmp_path / "own.key")
    for file, text in zip(own, (made["certificate"], made["key"]), strict=True):
        file.write_text(text)
    node = Node(place.port, place.authority, "till-19", own=own)
    with place.serving():
        node.enroll()
        assert node.told("log", "windows")["accepted"] == 5
        assert place.ask("machine", "revoke", "till-19").code == 0
        status, body = node.send("log", "windows")

    assert status == 401
    assert json.loads(body)["node_invalid"] is True


def test_a_refusal_is_never_taken_for_a_success(place: SecuredIntake) -> None:
    """No status is looked at by osquery: an answer it believes makes it delete its logs."""
    node = node_of(place, "till-20")
    with place.serving():
        node.enroll()
        assert place.ask("machine", "revoke", "till-20").code == 0
        refused = node.send("log", "windows")
        node.key, node.secret = "", "fds_00000000000000000000000000000000"
        unknown = node.send("enroll", "enroll")
        nowhere = node.send("carve", "asking")
        wrong = node.send("log", "headers")

    for status, body in (refused, unknown, nowhere, wrong):
        assert status >= 400
        assert not believed(status, body), body


def test_a_collector_enrols_linux_machines_by_what_osquery_calls_them(place: SecuredIntake) -> None:
    """One secret for the fleet's image; each machine is bound to what its tools call it."""
    node_of(place, "db.example", "--identity", "osquery=web-1")
    secret = place.ask("machine", "enroll", "fleet", "--collector", "db.*").json()["signal"]
    node = Node(place.port, place.authority, "web-2", secret, header=False)
    with place.serving():
        status, body = node.send("enroll", "enroll")
        assert not believed(status, body), "web-2 is not the collector's"
        node.host = "WEB-1"
        node.enroll()
        node.told("log", "linux", compress=True)
        time.sleep(0.5)  # a bucket: inventories are stored at its end

    shown = place.ask("machine", "show", "db.example", "--json").json()
    assert shown["inventory"]["deb"]["items"] == [
        "bash 5.2.15-2+b7 amd64",
        "openssl 3.0.13-1~deb12u1 amd64",
    ]
    assert shown["told"]["os"] == "Debian GNU/Linux"
