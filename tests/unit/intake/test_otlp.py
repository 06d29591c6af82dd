"""Logs that an OpenTelemetry exporter sends: what is taken, and what it is told."""

import asyncio
import gzip
import json
import sqlite3

import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from tests.asgi import ask
from tests.otlp import NOW_NS, REPORTING, rejected, request, windows
from tests.unit.intake.posting import World

from firedoor.core.errors import Unavailable
from firedoor.core.host_id import HostId, HostIdKind
from firedoor.core.signal import Reports
from firedoor.core.units import UnixMs

TILL = 1
"""Its number: the first that is enrolled."""

LOGS = "/v1/logs"
PROTOBUF = "application/x-protobuf"
XML = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='Service Control Manager' Guid='{555908d1}' EventSourceName='Service'/>"
    "<EventID Qualifiers='49152'>7034</EventID></System></Event>"
)
BUGCHECK = windows(1001, REPORTING)
LINUX = {"MESSAGE": "Oops: 0000 [#1] SMP", "_TRANSPORT": "kernel", "PRIORITY": "2"}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.app = made.make(max_body=100_000)
    yield made
    made.close()


def send(world, made, token=None, **headers):
    body = made if isinstance(made, bytes) else made.SerializeToString()
    sent = {"content_type": PROTOBUF, **headers}
    return world.post(body, token, LOGS, **sent)


def kinds(world):
    return [(event.kind, json.loads(event.detail)["signal"]) for event in world.events()]


@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        (windows(1001, REPORTING), "bugcheck", "windows-bugcheck"),
        (windows(41, "Microsoft-Windows-Kernel-Power"), "boot-unclean", "windows-kernel-power"),
        (windows(6008, "EventLog"), "boot-unclean", "windows-unexpected-shutdown"),
        (windows(7031, "Service Control Manager"), "service-failed", "windows-service-failed"),
        (windows(7034, "Service Control Manager"), "service-failed", "windows-service-failed"),
        (windows(1000, "Application Error"), "coredump", "windows-application-error"),
        (
            XML,
            "service-failed",
            "windows-service-failed-xml",
        ),
        (LINUX, "panic", "journald-kernel-panic"),
        (
            {"MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c", "_PID": "1", "UNIT": "a.service"},
            "service-failed",
            "journald-unit-failed",
        ),
        ({"MESSAGE_ID": "fc2e22bc6ee647b6b90729ab34a250b1"}, "coredump", "journald-core-dump"),
        ('{"bug_type":"210","timestamp":"2026-05-15 03:14:22.00 +0200"}', "panic", "macos-panic"),
        ('{"app_name":"Tills","bug_type":"309"}', "coredump", "macos-crash"),
        ("Previous shutdown cause: -62", "boot-unclean", "macos-unexpected-shutdown"),
    ],
)
def test_what_the_collectors_receivers_send_is_a_signal(world, body, kind, name):
    """Evidence without a new agent: the collector's own layouts, as protobuf and as JSON."""
    made = request(body)

    first = send(world, made)
    as_json = json.dumps(MessageToDict(made)).encode()
    second = send(world, as_json, content_type="application/json")

    assert (first.status, first.body) == (200, b"")
    assert (second.status, second.json()) == (200, {})
    assert kinds(world) == [(kind, name)] * 2


@pytest.mark.parametrize(
    "body",
    [
        windows(1001, "Microsoft-Windows-Windows Error Reporting"),
        windows(42, "Microsoft-Windows-Kernel-Power"),
        "the till printed 41 receipts",
        {"MESSAGE": "a user wrote Kernel panic", "_TRANSPORT": "syslog"},
        "kernel: (AppleSMC) Previous shutdown cause: 5",
        {
            "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c",
            "_PID": "1",
            "UNIT": "otelcol-contrib.service",
        },
    ],
)
def test_what_says_no_harm_is_taken_and_not_stored(world, body):
    """A machine's logs are its own; only what a definition names is kept."""
    reply = send(world, request(body))

    assert (reply.status, reply.body) == (200, b"")
    assert world.events() == []


def test_a_record_sent_again_counts_once_and_a_real_repeat_counts(world):
    """Exporters retry what was stored and not answered; a collector reads its files again."""
    made = request(BUGCHECK)
    seen_later = request(BUGCHECK, observed_ns=NOW_NS + 5)
    another = request(windows(1001, REPORTING, record=2))

    for each in (made, made, seen_later, another):
        assert send(world, each).status == 200

    assert len(world.events()) == 2


def test_records_of_one_request_that_differ_in_their_time_alone_are_two(world):
    """The same words at two moments are two events."""
    made = request(BUGCHECK)
    request(BUGCHECK, time_ns=NOW_NS + 1, into=made)

    send(world, made)

    assert len(world.events()) == 2


@pytest.mark.parametrize("name", ["host.name", "host.id", "service.instance.id"])
def test_a_collector_speaks_for_the_machines_its_resources_name(world, name):
    """One collector for a site: each record counts for the machine it came from."""
    made = request(BUGCHECK, resource={name: "TILL-17"})

    reply = send(world, made, world.collector)

    assert reply.body == b""
    assert [event.machine for event in world.events()] == [TILL]


def test_records_of_machines_that_are_not_its_own_are_rejected_and_the_others_kept(world):
    """A collector cannot accuse another site's machines; an exporter does not retry these."""
    made = request(BUGCHECK, resource={"host.name": "till-17"})
    request(BUGCHECK, BUGCHECK, resource={"host.name": "pos-1"}, into=made)
    request(BUGCHECK, into=made)

    reply = send(world, made, world.collector)
    count, why = rejected(reply.body)

    assert reply.status == 200 and count == 3
    assert "not bound to 'pos-1'" in why and "host.name" in why
    assert len(world.events()) == 1


def test_a_machine_is_itself_whatever_it_calls_itself_unless_that_is_another(world):
    """Host names need not be names of the register; but nobody speaks for its neighbour."""
    own = request(BUGCHECK, resource={"host.name": "WIN-7F3K.corp"})
    forged = request(BUGCHECK, resource={"host.name": "pos-1"})

    assert rejected(send(world, own).body) == (0, "")
    assert rejected(send(world, forged).body)[0] == 1
    assert [event.machine for event in world.events()] == [TILL]


def test_a_fresh_record_is_a_sign_of_life_once_in_half_an_interval(world):
    """Any signal shows that a machine lives; a chatty one must not cost a commit each time."""
    for _ in range(3):
        send(world, request("nothing special"))
    send(world, request("from a spool", time_ns=NOW_NS - 10**12))

    assert world.heard() == [[TILL]]


def test_what_is_sent_as_json_by_a_browser_or_by_hand_is_taken(world):
    """The exporter for JavaScript writes whole numbers as numbers, others as text."""
    for number, time in ((1001, str(NOW_NS)), ("1001", NOW_NS + 1)):
        identity = [{"key": "id", "value": {"intValue": number}}]
        # Some keep the names of the protobuf file.
        provider = [{"key": "name", "value": {"string_value": REPORTING}}]
        event = [
            {"key": "event_id", "value": {"kvlistValue": {"values": identity}}},
            {"key": "provider", "value": {"kvlist_value": {"values": provider}}},
        ]
        said = {"kvlistValue": {"values": event}}
        record = {"timeUnixNano": time, "traceId": "00" * 16, "body": said, "droppedCount": None}
        scope = {"scope": {"name": "js"}, "logRecords": [record]}
        body = json.dumps({"resourceLogs": [{"resource": {}, "scopeLogs": [scope]}]}).encode()

        # In chunks, as that exporter sends it.
        reply = world.post(
            [body[:20], body[20:]], path=LOGS, content_type="application/json; charset=utf-8"
        )

        assert (reply.status, reply.json()) == (200, {})
    assert kinds(world) == [("bugcheck", "windows-bugcheck")] * 2


def test_a_packed_body_is_unpacked_and_a_bomb_is_refused(world):
    """Exporters pack with gzip; what unpacks to more than the limit is not held in memory."""
    packed = gzip.compress(request(BUGCHECK).SerializeToString())
    bomb = gzip.compress(bytes(10_000_000))

    assert send(world, packed, content_encoding="gzip").status == 200
    assert send(world, bomb, content_encoding="gzip").status == 413
    assert len(world.events()) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\x0a\xff", {}, 400),
        (b"\x0b\x0c", {}, 400),
        (b"{", {"content_type": "application/json"}, 400),
        (b'{"resourceLogs": 5}', {"content_type": "application/json"}, 400),
        (b"[" * 90_000, {"content_type": "application/json"}, 400),
        (b"", {"content_type": "text/plain"}, 415),
        (b"", {"content_encoding": "zstd"}, 415),
        (b"", {"authorization": "Bearer nonsense"}, 401),
        (bytes(100_001), {}, 413),
        (b"\x0a\x00" * 70_000, {}, 413),
    ],
)
def test_what_cannot_be_read_is_told_in_the_senders_own_form(world, body, headers, status):
    """The protocol wants a google.rpc.Status, packed as the request was."""
    world.app = world.make(max_body=1_000_000 if len(body) == 140_000 else 100_000)
    reply = send(world, body, **headers)

    assert reply.status == status
    told = reply.header("content-type")
    if told == PROTOBUF:
        assert Status.FromString(reply.body).message
    else:
        assert reply.json().get("message") or reply.json()["detail"]


def test_a_store_that_fails_is_answered_503_and_the_retry_is_stored_once(world, monkeypatch):
    """After 500 an exporter drops its records; after 503 it sends them again."""

    def full(_received, _deliveries):
        raise Unavailable("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "append", full)
        refused = send(world, request(BUGCHECK))
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "append", lambda *_: (_ for _ in ()).throw(sqlite3.Error("odd")))
        odd = send(world, request(BUGCHECK))

    assert (refused.status, refused.header("retry-after")) == (503, "5")
    assert (odd.status, odd.header("retry-after")) == (503, "5")
    assert send(world, request(BUGCHECK)).status == 200
    assert len(world.events()) == 1 and world.heard() == [[TILL]]


def test_a_flood_of_one_kind_is_cut_off_and_told(world):
    """Whoever has a machine's token cannot fill the disk with it."""
    made = request(*(windows(1001, REPORTING, record=number) for number in range(100)))

    count, why = rejected(send(world, made).body)

    assert count == 40 and "60 signals" in why
    assert len(world.events()) == 60


def test_logs_are_posted(world):
    """Anything else than a POST is a mistake of whoever configured it."""
    assert asyncio.run(ask(world.app, "GET", LOGS)).status == 405


@pytest.mark.parametrize(
    ("attribute", "kind", "said"),
    [
        ("host.name", HostIdKind.HOST_NAME, "WIN-7F3K.corp.example"),
        ("host.id", HostIdKind.MACHINE_ID, "4c4c4544003158108051b4c04f4d3632"),
        ("host.id", HostIdKind.HOST_ID, "i-0a1b2c3d"),
    ],
)
def test_what_a_machine_is_called_by_its_tools_is_bound_to_it(world, attribute, kind, said):
    """Names of the register are ours; a collector does not know them."""
    for name, value in (("till-17", said), ("pos-1", "theirs")):
        world.register.rotate(name, UnixMs(2), [HostId(kind, value.lower())])
    made = request(BUGCHECK, resource={attribute: said})
    request(BUGCHECK, resource={attribute: "theirs"}, into=made)

    count, why = rejected(send(world, made, world.collector).body)

    assert [event.machine for event in world.events()] == [TILL]
    assert count == 1 and "not bound to 'pos-1'" in why


def test_whose_logs_come_is_one_that_tells(world):
    """Logs fall silent by themselves, so they are no heartbeats; but a crash would be in them."""
    world.app = world.make(bucket_ms=10, max_body=100_000)
    send(world, request({"MESSAGE": "all is well"}))

    assert world.reporting() == {TILL: Reports.TELLS}
