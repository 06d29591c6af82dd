"""Bytes per second of a journal through the real intake, beside systemd-journal-remote's.

``python -m tests.bench.bench_journal [--mebibytes N] [--repeat R]``

One stream of entries as a server has them, some with binary fields, a few of them signals, is
posted to the intake in chunks as ``systemd-journal-upload`` sends it, and written into a journal
file by ``systemd-journal-remote``, which is what receives journals elsewhere. What counts is the
CPU time of the process that receives, by the kernel's account. The stream repeats itself after
some 16 MiB, which spares the one that writes it all down and not the one that looks at it.
"""

import argparse
import itertools
import json
import os
import platform
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psutil
from tests.intake_process import REGISTER, SIGNALS, running
from tests.journals import REMOTE, UNIT_FAILED, Writer

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.config.definitions import shipped
from firedoor.core.definition import LogSource
from firedoor.core.units import UnixMs
from firedoor.formats.journal import Scanner

MIB = 1024 * 1024
BASE_BYTES = 16 * MIB
CHUNK = 64 * 1024 - 16
SERVICES = ("nginx", "postgresql", "sshd", "cron", "node-exporter", "sensor", "systemd-resolved")


def entries(start_ms: int, dice: random.Random) -> bytes:
    """Some 16 MiB of entries: most of services, some of the kernel and of systemd itself."""
    journal, size = Writer(start_ms, step_ms=2), 0
    while size < BASE_BYTES:
        kind = dice.random()
        if kind < 0.08:
            size += len(journal.say(**_kernel(dice)))
        elif kind < 0.16:
            size += len(journal.say(**_systemd(dice)))
        elif kind < 0.18:
            trace = "\n".join(f'  File "app.py", line {dice.randrange(999)}' for _ in range(12))
            size += len(journal.say(**_service(dice, trace.encode())))
        elif kind < 0.1802:
            size += len(journal.say(**UNIT_FAILED))
        else:
            words = " ".join(f"{dice.getrandbits(40):x}" for _ in range(dice.randrange(2, 14)))
            size += len(journal.say(**_service(dice, f"GET /{words} 200")))
    return journal.text()


def _service(dice: random.Random, message: str | bytes) -> dict[str, str | bytes]:
    name, pid = dice.choice(SERVICES), str(dice.randrange(300, 60_000))
    return {
        "_TRANSPORT": "stdout",
        "_STREAM_ID": f"{dice.getrandbits(128):032x}",
        "SYSLOG_IDENTIFIER": name,
        "SYSLOG_FACILITY": "3",
        "MESSAGE": message,
        "_PID": pid,
        "_UID": "997",
        "_GID": "997",
        "_COMM": name,
        "_EXE": f"/usr/bin/{name}",
        "_CMDLINE": f"/usr/bin/{name} --config /etc/{name}/{name}.conf --no-color",
        "_CAP_EFFECTIVE": "0",
        "_SYSTEMD_CGROUP": f"/system.slice/{name}.service",
        "_SYSTEMD_UNIT": f"{name}.service",
        "_SYSTEMD_SLICE": "system.slice",
        "_SYSTEMD_INVOCATION_ID": f"{dice.getrandbits(128):032x}",
        "_SELINUX_CONTEXT": "unconfined",
    }


def _kernel(dice: random.Random) -> dict[str, str | bytes]:
    return {
        "_TRANSPORT": "kernel",
        "SYSLOG_IDENTIFIER": "kernel",
        "SYSLOG_FACILITY": "0",
        "_SOURCE_MONOTONIC_TIMESTAMP": str(dice.randrange(10**9)),
        "_KERNEL_SUBSYSTEM": "pci",
        "_KERNEL_DEVICE": "+pci:0000:00:1f.2",
        "_UDEV_SYSNAME": "0000:00:1f.2",
        "MESSAGE": f"eth0: link up, 1000 Mbps, full duplex, flow {dice.getrandbits(32):x}",
    }


def _systemd(dice: random.Random) -> dict[str, str | bytes]:
    name = dice.choice(SERVICES)
    return {
        **_service(dice, f"Started {name}.service - a service of this machine."),
        "MESSAGE_ID": "39f53479d3a045ac8e11786248231fbf",
        "_TRANSPORT": "journal",
        "_PID": "1",
        "JOB_RESULT": "done",
        "JOB_TYPE": "start",
        "UNIT": f"{name}.service",
        "CODE_FILE": "src/core/job.c",
        "CODE_LINE": "718",
        "CODE_FUNC": "job_emit_done_message",
    }


def pieces(base: bytes, size: int) -> Iterator[bytes]:
    """The stream, cut as curl cuts it."""
    view = memoryview(base)
    cut = [bytes(view[at : at + CHUNK]) for at in range(0, len(base), CHUNK)]
    return itertools.chain.from_iterable(itertools.repeat(cut, max(1, size // len(base))))


def scanned(base: bytes, size: int) -> float:
    """CPU seconds of the scanner alone, in this process."""
    scanner = Scanner(shipped().of(LogSource.JOURNAL))
    start = time.process_time()
    for piece in pieces(base, size):
        scanner.feed(piece)
    scanner.end()
    return time.process_time() - start


def received(base: bytes, size: int) -> tuple[float, int, int]:
    """CPU seconds of the intake's process, events that it stored, and MiB that it grew by."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        register = MachineRegister(data / REGISTER, SystemClock())
        [made] = register.enroll_many([("till-1", {})], UnixMs(1))
        register.close()
        with running(data) as (process, port):
            server = psutil.Process(process.pid)
            _post(port, made.signal, pieces(base, len(base)))
            before, resident = server.cpu_times(), server.memory_info().rss
            _post(port, made.signal, pieces(base, size))
            after, grown = server.cpu_times(), server.memory_info().rss - resident
        reader = SignalReader(data / SIGNALS)
        stored = len(reader.events_after(0, 10**9))
        reader.close()
    cpu = after.user + after.system - before.user - before.system
    return cpu, stored, grown // MIB


def _post(port: int, token: str, body: Iterator[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"POST /m/{token}/upload HTTP/1.1\r\nHost: bench\r\nTransfer-Encoding: chunked\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/vnd.fdo.journal\r\n\r\n")
        for piece in body:
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 202"), answer


def remote(base: bytes, size: int) -> float:
    """CPU seconds of systemd-journal-remote, which writes the same stream into a file."""
    with tempfile.TemporaryDirectory() as folder:
        command = [REMOTE, f"--output={folder}/stream.journal", "-"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdin is not None
        for piece in pieces(base, size):
            process.stdin.write(piece)
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
    assert status == 0, status
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mebibytes", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    base = entries(time.time_ns() // 1_000_000 - 60_000, random.Random(20240719))
    size = max(1, given.mebibytes * MIB // len(base)) * len(base)
    ours, theirs, alone, stored, grown = [], [], [], 0, 0
    for _ in range(given.repeat):
        cpu, stored, grown = received(base, size)
        ours.append(size / cpu / 1e6)
        theirs.append(size / remote(base, size) / 1e6)
        alone.append(size / scanned(base, size) / 1e6)
    ours.sort()
    theirs.sort()
    print(
        json.dumps(
            {
                "bench": "journal",
                "megabytes": round(size / 1e6),
                "entries": base.count(b"\n\n") * (size // len(base)),
                "intake_mb_per_core_second": round(ours[len(ours) // 2], 1),
                "scanner_mb_per_core_second": round(sorted(alone)[len(alone) // 2], 1),
                "journal_remote_mb_per_core_second": round(theirs[len(theirs) // 2], 1),
                "ratio": round(ours[len(ours) // 2] / theirs[len(theirs) // 2], 1),
                "events_stored": stored,
                "intake_grew_mib": grown,
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in ("granian", "uvloop")},
                },
                "cores": os.cpu_count(),
            }
        )
    )


if __name__ == "__main__":
    main()
