"""Log records per second through the real intake, beside a bare parse by ``protobuf``.

``python -m tests.bench.bench_otlp [--records N] [--connections C] [--repeat R]``

A collector posts requests of 1,000 records of 10 attributes each, protobuf, 1 % of them events
of Windows, over loopback to the real process, which answers when what they mean is durable. The
figure that counts is the CPU time of the server process. Beside it: ``protobuf``, whose parser is
written in C, parses the same bytes and does nothing with them; and reads the attributes too.
"""

import argparse
import asyncio
import json
import platform
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import psutil
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from tests.intake_process import REGISTER, SIGNALS, running
from tests.otlp import REPORTING, request, windows

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.units import UnixMs

RECORDS = 1_000
EVENTS = 10
"""Of each request: 1 %."""

MACHINES = 1_000


def bodies(count: int) -> list[bytes]:
    """Requests as a collector sends them, each of another machine."""
    now = time.time_ns()
    made = []
    for number in range(count):
        said = [f"request {at} was answered in 12 ms" for at in range(RECORDS - EVENTS)]
        events = [windows(1001, REPORTING, record=number * EVENTS + at) for at in range(EVENTS)]
        attributes = {f"http.request.attribute.{at}": f"value {at} of {number}" for at in range(10)}
        one = request(
            *said,
            *events,
            resource={"host.name": f"host-{number % MACHINES:04d}"},
            attributes=attributes,
            time_ns=now + number,
            observed_ns=now + number,
        )
        made.append(one.SerializeToString())
    return made


async def post_all(port: int, token: str, batches: Sequence[bytes], connections: int) -> None:
    """Post all batches over some connections."""
    waiting = iter(batches)

    async def post() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            head = (
                "POST /v1/logs HTTP/1.1\r\nHost: intake\r\nContent-Type: application/x-protobuf\r\n"
                f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            status = await reader.readline()
            if b" 200 " not in status:
                raise RuntimeError(status.decode())
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            if length:
                raise RuntimeError((await reader.readexactly(length)).decode("utf-8", "replace"))
        writer.close()

    await asyncio.gather(*(post() for _ in range(connections)))


def intake(batches: Sequence[bytes], connections: int) -> float:
    """CPU seconds the intake takes for these requests."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        register = MachineRegister(data / REGISTER, SystemClock())
        register.enroll_many([(f"host-{n:04d}", {}) for n in range(MACHINES)], UnixMs(1))
        token = register.enroll_collector("all", ["host-*"], UnixMs(1))
        register.close()
        with running(data) as (process, port):
            server = psutil.Process(process.pid)
            before = server.cpu_times()
            asyncio.run(post_all(port, token, batches, connections))
            after = server.cpu_times()
        source = SignalReader(data / SIGNALS)
        events = len(source.events_after(0, 10**7))
        source.close()
    if events != len(batches) * EVENTS:
        raise RuntimeError(f"{events} events are stored, not {len(batches) * EVENTS}")
    return after.user + after.system - before.user - before.system


def parse(batches: Sequence[bytes], *, read: bool) -> float:
    """CPU seconds ``protobuf`` takes to parse these requests, and to read the attributes."""
    began = time.process_time()
    for body in batches:
        found = ExportLogsServiceRequest.FromString(body)
        if read:
            for logs in found.resource_logs:
                for scope in logs.scope_logs:
                    for one in scope.log_records:
                        _ = {pair.key: pair.value.string_value for pair in one.attributes}
    return time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    batches = bodies(given.records // RECORDS)
    count = len(batches) * RECORDS
    rates = {
        "intake": [count / intake(batches, given.connections) for _ in range(given.repeat)],
        "protobuf, parsed": [count / parse(batches, read=False) for _ in range(given.repeat)],
        "protobuf, attributes read": [
            count / parse(batches, read=True) for _ in range(given.repeat)
        ],
    }
    best = {name: max(found) for name, found in rates.items()}
    result = {
        "records": count,
        "bytes a record": round(sum(map(len, batches)) / count),
        "records/s/core": {name: [round(each) for each in found] for name, found in rates.items()},
        "intake / protobuf, parsed": round(best["intake"] / best["protobuf, parsed"], 2),
        "intake / protobuf, attributes read": round(
            best["intake"] / best["protobuf, attributes read"], 2
        ),
        "protobuf": version("protobuf"),
        "python": platform.python_version(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
