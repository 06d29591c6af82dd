"""Logs through OpenTelemetry's own SDK and exporter, to the intake as a process."""

import contextlib
import http.client
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    InMemoryLogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource
from tests.intake_process import REGISTER, SIGNALS, running
from tests.otlp import REPORTING, windows
from tests.tree import until

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.units import UnixMs
from firedoor.intake.app import MAX_BODY, MAX_IN_FLIGHT, SHARES

MACHINES = 50
PATIENCE_S = 20.0
SHARE = MAX_IN_FLIGHT // SHARES
HARMS = (
    (1001, REPORTING),
    (41, "Microsoft-Windows-Kernel-Power"),
    (7034, "Service Control Manager"),
    (1000, "Application Error"),
)
OK = LogRecordExportResult.SUCCESS


@pytest.fixture
def collector(tmp_path):
    """The token of a collector for some machines."""
    register = MachineRegister(tmp_path / REGISTER, SystemClock())
    register.enroll_many([(f"till-{n}", {}) for n in range(MACHINES)], UnixMs(1))
    token = register.enroll_collector("all", ["till-*"], UnixMs(1))
    register.close()
    return token


class Site:
    """Machines whose logs the SDK makes, as it does in a program."""

    def __init__(self) -> None:
        """One logger for each machine."""
        self._made = []
        for number in range(MACHINES):
            kept = InMemoryLogRecordExporter()
            provider = LoggerProvider(Resource.create({"host.name": f"till-{number}"}))
            provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
            self._made.append((provider.get_logger("windowseventlog"), kept))

    def batch(self, number, size=20):
        """Records of some machines, one event each."""
        found = []
        for at in range(size):
            logger, kept = self._made[(number * size + at) % MACHINES]
            kept.clear()
            logger.emit(
                LogRecord(
                    timestamp=time.time_ns(),
                    severity_number=SeverityNumber.ERROR,
                    body=windows(*HARMS[number % len(HARMS)], record=number * size + at),
                )
            )
            found.extend(kept.get_finished_logs())
        return found


def exporter(port, token, **options):
    return OTLPLogExporter(
        f"http://127.0.0.1:{port}/v1/logs",
        headers={"authorization": f"Bearer {token}"},
        compression=Compression.Gzip,
        **options,
    )


def stored(data: Path):
    source = SignalReader(data / SIGNALS)
    events = [stored.event for stored in source.events_after(0, 10**6)]
    source.close()
    return events


def test_what_the_exporter_was_told_is_stored_survives_a_kill_and_counts_once(tmp_path, collector):
    """Promise 7, for logs: 200 survives kill -9, and what is sent again counts once."""
    site = Site()
    batches: list[list[ReadableLogRecord]] = []
    acknowledged: list[list[ReadableLogRecord]] = []
    made = threading.Lock()

    def send(port):
        sending = exporter(port, collector, timeout=0.5)
        for _ in range(60):
            with made:
                batch = site.batch(len(batches))
                batches.append(batch)
            if sending.export(batch) is not OK:
                return
            acknowledged.append(batch)

    with running(tmp_path) as (process, port), ThreadPoolExecutor(3) as senders:
        sent = [senders.submit(send, port) for _ in range(3)]
        deadline = time.monotonic() + PATIENCE_S
        while len(acknowledged) < 40 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        for each in sent:
            each.result()

    after_kill = len(stored(tmp_path))
    assert len(acknowledged) >= 40
    assert after_kill >= 20 * len(acknowledged)

    with running(tmp_path) as (_, port):
        again = exporter(port, collector, timeout=10)
        assert all(again.export(batch) is OK for batch in batches)
    events = stored(tmp_path)
    assert len(events) == 20 * len(batches)
    assert len({(event.machine, event.kind, event.key) for event in events}) == len(events)


def test_an_exporter_outlasts_a_full_disk_and_a_restart(tmp_path, collector):
    """503 is tried again by the exporter itself, on its own terms: nothing is lost."""
    site = Site()
    with running(tmp_path, "--file-limit", "120000") as (_, port):
        sending = exporter(port, collector, timeout=30)
        results: list[LogRecordExportResult] = []
        filling = threading.Thread(
            target=lambda: results.extend(sending.export(site.batch(at, 50)) for at in range(20))
        )
        filling.start()
        before, deadline = -1, time.monotonic() + PATIENCE_S
        while before != len(results) and time.monotonic() < deadline:
            before = len(results)
            time.sleep(1)
    assert len(results) < 20
    with running(tmp_path, "--port", str(port)) as (_, _):
        filling.join(timeout=40)

    assert results == [OK] * 20
    assert len(stored(tmp_path)) == 20 * 50


def test_who_floods_us_is_told_to_wait_and_nobody_else(tmp_path, collector):
    """429 with Retry-After, which the exporter obeys by itself: what it has arrives, once."""
    register = MachineRegister(tmp_path / REGISTER, SystemClock())
    other = register.enroll_collector("other", ["till-*"], UnixMs(1))
    register.close()
    site = Site()
    with running(tmp_path) as (_, port), contextlib.ExitStack() as flood:
        for _ in range(SHARE // MAX_BODY):
            flood.enter_context(held(port, collector, MAX_BODY))
        until(lambda: posted(port, collector, b" " * 100_000) == (429, "5"), "its share is used up")
        sending = exporter(port, collector, timeout=30)
        results: list[LogRecordExportResult] = []
        waiting = threading.Thread(target=lambda: results.append(sending.export(site.batch(0))))
        waiting.start()
        assert exporter(port, other).export(site.batch(1)) is OK
        assert results == []
        flood.close()
        waiting.join(timeout=40)

    assert results == [OK]
    assert len(stored(tmp_path)) == 2 * 20


@contextlib.contextmanager
def held(port, token, size):
    """A body that never ends, and all but its last byte is there."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        head = (
            f"POST /v1/signals HTTP/1.1\r\nHost: intake\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {size}\r\n\r\n"
        )
        connection.sendall(head.encode() + b" " * (size - 1))
        yield


def posted(port, token, body):
    """Status and Retry-After of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST", "/v1/signals", body, {"Authorization": f"Bearer {token}"})
    reply = connection.getresponse()
    connection.close()
    return reply.status, reply.headers["Retry-After"]


def test_the_exporter_drops_what_is_not_its_machines_and_goes_on(tmp_path):
    """Partial success: the records of strangers are gone, the others are stored, once."""
    register = MachineRegister(tmp_path / REGISTER, SystemClock())
    register.enroll_many([(f"till-{n}", {}) for n in range(MACHINES)], UnixMs(1))
    one = register.enroll_collector("one", ["till-7"], UnixMs(1))
    register.close()
    batch = Site().batch(0, MACHINES)

    with running(tmp_path) as (_, port):
        assert exporter(port, one).export(batch) is OK
        assert exporter(port, "wrong").export(batch) is LogRecordExportResult.FAILURE

    assert len(stored(tmp_path)) == 1
