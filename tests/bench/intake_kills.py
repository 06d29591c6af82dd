"""Kill the intake again and again while real clients send to it; every failure counts once.

``python -m tests.bench.intake_kills [--source journal|otlp|ndjson] [--kills N]``, from
``make soak``. Each time the intake is killed at a random moment while clients send, and two things
are looked at: whatever had been acknowledged is on the disk then, and what is sent again later, by
clients that do not know how far they came, counts once. Ends with 1 where either does not hold.

journal: systemd-journal-upload; a machine's journal has grown by a failure and 2,000 other entries.
otlp: OpenTelemetry's SDK and exporter, as a collector, twenty records a request.
ndjson: one request after another of twenty lines with ids, from three connections.
"""

import argparse
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    InMemoryLogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource
from tests.intake_process import REGISTER, SIGNALS, running
from tests.journals import UNIT_FAILED, Writer, journal_file, upload
from tests.otlp import REPORTING, windows

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.units import UnixMs
from firedoor.ports import SignalEvent

TILLS = 4
OTHERS = 2_000
MACHINES = 3_000
"""So many that none has more than its sixty events in a minute."""

A_REQUEST = 20
SENDERS = 3
LATEST_S = 0.25
PATIENCE_S = 10.0


class Source(Protocol):
    """Clients of one kind, and the failures that they have to tell of."""

    def send(self, port: int) -> set[str]:
        """Send until all is taken or the intake is gone; failures that were acknowledged."""
        ...

    def send_again(self, port: int) -> None:
        """Send everything that was not acknowledged to an intake that lives."""
        ...

    def made(self) -> int:
        """Failures so far."""
        ...

    def name_of(self, event: SignalEvent) -> str:
        """The failure that a stored event tells of."""
        ...


class Journals:
    """Four machines that take turns; each sends from its cursor on."""

    def __init__(self, folder: Path, register: MachineRegister) -> None:
        """Begin their journals a minute ago."""
        made = register.enroll_many([(f"till-{n}", {}) for n in range(TILLS)], UnixMs(1))
        self._tokens = [each.signal for each in made]
        self._folder = folder
        begun = time.time_ns() // 1_000_000 - 60_000
        self._journals = [Writer(begun, step_ms=1) for _ in made]
        for each in self._journals:
            each.boots("a")
        self._made = 0

    def send(self, port: int) -> set[str]:
        """See ``Source``."""
        till, unit = self._made % TILLS, f"unit-{self._made}.service"
        self._made += 1
        journal = self._journals[till]
        journal.say(**UNIT_FAILED | {"UNIT": unit})
        for _ in range(OTHERS):
            journal.say(MESSAGE=b"two\nlines")
        journal_file(journal.text(), self._folder / f"{till}.journal")
        journal.entries.clear()
        return {unit} if self._upload(till, port) else set()

    def send_again(self, port: int) -> None:
        """See ``Source``."""
        for till in range(min(TILLS, self._made)):
            assert self._upload(till, port)

    def made(self) -> int:
        """See ``Source``."""
        return self._made

    def name_of(self, event: SignalEvent) -> str:
        """See ``Source``."""
        return str(json.loads(event.detail or "{}")["UNIT"])

    def _upload(self, till: int, port: int) -> bool:
        url = f"http://127.0.0.1:{port}/m/{self._tokens[till]}"
        file, cursor = self._folder / f"{till}.journal", self._folder / f"{till}.cursor"
        return upload(url, file, cursor).returncode == 0


class Requests(ABC):
    """A collector that sends one request after the other over a few connections."""

    def __init__(self, _folder: Path, register: MachineRegister) -> None:
        """Enrol its machines."""
        register.enroll_many([(f"till-{n}", {}) for n in range(MACHINES)], UnixMs(1))
        self._token = register.enroll_collector("all", ["till-*"], UnixMs(1))
        self._made = 0
        self._open: list[int] = []
        self._lock = threading.Lock()

    def send(self, port: int) -> set[str]:
        """See ``Source``."""
        acknowledged: set[str] = set()
        over = threading.Event()

        def one() -> None:
            while not over.is_set():
                with self._lock:
                    number, self._made = self._made, self._made + A_REQUEST
                if self._post(port, number):
                    acknowledged.update(map(str, range(number, number + A_REQUEST)))
                else:
                    over.set()
                    with self._lock:
                        self._open.append(number)

        threads = [threading.Thread(target=one) for _ in range(SENDERS)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return acknowledged

    def send_again(self, port: int) -> None:
        """See ``Source``."""
        for number in self._open:
            assert self._post(port, number)
        self._open.clear()

    def made(self) -> int:
        """See ``Source``."""
        return self._made

    @abstractmethod
    def _post(self, port: int, number: int) -> bool:
        """Post the request that begins with this failure; whether it was acknowledged."""


class Ndjson(Requests):
    """Lines, as a script writes them."""

    def name_of(self, event: SignalEvent) -> str:
        """See ``Source``."""
        return event.key

    def _post(self, port: int, number: int) -> bool:
        now = time.time_ns() // 1_000_000
        lines = [
            {"machine": f"till-{at % MACHINES}", "time": now, "kind": "panic", "id": str(at)}
            for at in range(number, number + A_REQUEST)
        ]
        body = "\n".join(map(json.dumps, lines)).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            headers = {"Authorization": f"Bearer {self._token}"}
            connection.request("POST", "/v1/signals", body, headers)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Otlp(Requests):
    """Records that the SDK makes, sent by its own exporter."""

    def __init__(self, folder: Path, register: MachineRegister) -> None:
        """One logger for each machine, when it is first needed."""
        super().__init__(folder, register)
        self._records: dict[int, list[ReadableLogRecord]] = {}

    def name_of(self, event: SignalEvent) -> str:
        """See ``Source``."""
        return str(json.loads(event.detail or "{}")["body.record_id"])

    def _post(self, port: int, number: int) -> bool:
        # What is sent again is the same record, with the time at which it was made.
        made = self._records.get(number) or self._batch(number)
        self._records[number] = made
        sending = OTLPLogExporter(
            f"http://127.0.0.1:{port}/v1/logs",
            headers={"authorization": f"Bearer {self._token}"},
            timeout=0.5,
        )
        taken = sending.export(made) is LogRecordExportResult.SUCCESS
        if taken:
            del self._records[number]
        return taken

    @staticmethod
    def _batch(number: int) -> list[ReadableLogRecord]:
        found: list[ReadableLogRecord] = []
        for at in range(number, number + A_REQUEST):
            kept = InMemoryLogRecordExporter()
            provider = LoggerProvider(Resource.create({"host.name": f"till-{at % MACHINES}"}))
            provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
            body = windows(1001, REPORTING, record=at)
            provider.get_logger("log").emit(LogRecord(timestamp=time.time_ns(), body=body))
            found += kept.get_finished_logs()
            provider.shutdown()
        return found


class Disk:
    """What is stored, read on from where it was last read."""

    def __init__(self, data: Path, source: Source) -> None:
        """Nothing is read yet."""
        self._data, self._source, self._seq = data, source, 0
        self.counts: Counter[str] = Counter()

    def read(self) -> None:
        """Count what is new."""
        reader = SignalReader(self._data / SIGNALS)
        while page := reader.events_after(self._seq, 10_000):
            for each in page:
                self.counts[self._source.name_of(each.event)] += 1
            self._seq = page[-1].seq
        reader.close()


SOURCES: dict[str, type[Journals | Ndjson | Otlp]] = {
    "journal": Journals,
    "otlp": Otlp,
    "ndjson": Ndjson,
}


def run(name: str, kills: int) -> dict[str, object]:
    """Kill so often, and count."""
    dice, lost, acknowledged = random.Random(7), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        register = MachineRegister(data / REGISTER, SystemClock())
        source: Source = SOURCES[name](data, register)
        register.close()
        disk = Disk(data, source)
        for _ in range(kills):
            with running(data) as (process, port):
                after_s = dice.random() * LATEST_S
                killing = threading.Timer(after_s, os.kill, (process.pid, signal.SIGKILL))
                killing.start()
                taken = source.send(port)
                killing.join()
                process.wait()
            disk.read()
            lost += sum(not disk.counts[each] for each in taken)
            acknowledged += len(taken)
            with running(data) as (_, port):
                source.send_again(port)
        disk.read()
        return {
            "source": name,
            "kills": kills,
            "failures": source.made(),
            "acknowledged_before_a_kill": acknowledged,
            "acknowledged_and_lost": lost,
            "missing": source.made() - len(disk.counts),
            "twice": sum(count > 1 for count in disk.counts.values()),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line for each source."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", choices=SOURCES, action="append")
    parser.add_argument("--kills", type=int, default=100)
    given = parser.parse_args(arguments)
    good = True
    for name in given.source or SOURCES:
        found = run(name, given.kills)
        print(json.dumps(found), flush=True)
        good &= not (found["acknowledged_and_lost"] or found["missing"] or found["twice"])
    sys.exit(int(not good))


if __name__ == "__main__":
    main()
