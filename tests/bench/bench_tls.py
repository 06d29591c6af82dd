"""What TLS costs a served file: the same server plain, and behind the relay.

``python -m tests.bench.bench_tls [--seconds S]``

wrk (1 thread, 32 connections, HTTP/1.1) asks for files of 16 KiB and 1 MiB. The figures are the
CPU time of all serving processes for each completed request, and requests a second; the latter
depend on who else uses the machine. Prints one line of JSON.
"""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

import psutil
from tests.answer_process import answering
from tests.bench.bench_gate import SIZES, write_files
from tests.tls_process import answering_tls

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.authority import Authority, write


def main() -> None:
    """Measure both; print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        root, ca = Path(folder) / "root", Path(folder) / "ca"
        root.mkdir()
        write_files(root)
        now = SystemClock().now().wall_ms
        pair = Authority.create(ca, now).server(["127.0.0.1"], now)
        write(ca / "server.key", pair.key, 0o600)
        write(ca / "server.pem", pair.certificate, 0o644)
        figures = {}
        with answering(root) as (process, port):
            figures["plain"] = _cost(f"http://127.0.0.1:{port}", process.pid, seconds)
        with answering_tls(root, ca) as (process, port):
            figures["tls"] = _cost(f"https://127.0.0.1:{port}", process.pid, seconds)
    print(json.dumps(figures))


def _cost(url: str, pid: int, seconds: int) -> dict[str, dict[str, int]]:
    found = {}
    served = psutil.Process(pid)
    for name in SIZES:
        before = _spent_s(served)
        command = ["wrk", "-t1", "-c32", f"-d{seconds}s", f"{url}/{name}"]
        said = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + 30
        ).stdout
        completed = re.search(r"(\d+) requests in", said)
        if completed is None or "Non-2xx" in said or "Socket errors" in said:
            raise RuntimeError(f"wrk could not be answered by {url}: {said}")
        many = int(completed[1])
        spent_us = (_spent_s(served) - before) * 1e6
        found[name] = {"cpu_us": round(spent_us / many), "per_s": round(many / seconds)}
    return found


def _spent_s(process: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children()))


if __name__ == "__main__":
    main()
