"""What a served file costs the gate, next to nginx and aptly's server on the same files.

``python -m tests.bench.bench_gate [--rounds N] [--seconds S] [--answering-alone]``
``python -m tests.bench.bench_gate --gate-url http://127.0.0.1:8080/channel/ --gate-pid N
  [--gate-pid M ...] [--header "Authorization: Basic ..."]``

nginx (one worker, sendfile, no access log), ``aptly serve`` and the gate are pinned to core 0, wrk
(1 thread, 32 connections) to core 1, and asked in turn. The figure is the CPU time of the serving
processes per completed request: requests per second depend on who else uses the machine, and wrk
is the slower side for large files. The ratio is the median over the rounds, each of one round's
pair. Then gate and nginx are asked for 16 KiB by 256 connections, and the latency that 99 % of
the requests kept is compared.

The gate is the real one, started here with the whole process tree, asked by an enrolled machine.
``--answering-alone`` measures ``tests.answer_process`` instead: without identity and sessions.
A gate given by ``--gate-url`` must serve the files that ``--write`` makes. Gates
are pinned to core 0 for the time of the run. Prints one line of JSON.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from random import Random

import psutil
from tests.answer_process import answering
from tests.bench.whole_tree import files_of, running

SIZES = {"1k.bin": 1024, "16k.bin": 16 * 1024, "1m.bin": 1024 * 1024}
TARGETS = {"16k.bin": 2.5, "1m.bin": 1.2}
"""What the ratio to nginx may be."""

TARGET_P99 = 3.0
CROWD = 256
"""Connections whose slowest hundredth is looked at."""

_SERVER_CORE, _CLIENT_CORE = 0, 1
_NGINX_CONF = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types {{ }}
    default_type application/octet-stream;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def write_files(root: Path) -> None:
    """The two files that are asked for; the same bytes every time."""
    for name, size in SIZES.items():
        (root / name).write_bytes(Random(size).randbytes(size))


@contextlib.contextmanager
def nginx(root: Path, prefix: Path) -> Iterator[tuple[str, list[int]]]:
    """Its URL and the process ids that serve."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (prefix / "nginx.conf").write_text(_NGINX_CONF.format(port=port, root=root))
    command = ["taskset", "-c", str(_SERVER_CORE), "nginx", "-e", "stderr"]
    with subprocess.Popen([*command, "-p", str(prefix), "-c", "nginx.conf"]) as master:
        try:
            for _ in range(250):
                workers = psutil.Process(master.pid).children()
                if workers and _answers(port):
                    break
                time.sleep(0.02)
            else:
                raise RuntimeError("nginx did not start")
            yield f"http://127.0.0.1:{port}/", [worker.pid for worker in workers]
        finally:
            master.terminate()


@contextlib.contextmanager
def aptly(root: Path, prefix: Path) -> Iterator[tuple[str, list[int]]]:
    """``aptly serve`` on an empty repository, with the files beside it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = prefix / "aptly.conf"
    configuration.write_text(json.dumps({"rootDir": str(prefix / "aptly")}))
    command = ["aptly", f"-config={configuration}"]
    publish = ["publish", "repo", "-skip-signing", "-distribution=bench", "-architectures=amd64"]
    for words in (["repo", "create", "bench"], [*publish, "bench"]):
        subprocess.run([*command, *words], capture_output=True, check=True, timeout=60)
    for file in root.iterdir():
        (prefix / "aptly/public" / file.name).hardlink_to(file)
    serve = ["taskset", "-c", str(_SERVER_CORE), *command, "serve", f"-listen=127.0.0.1:{port}"]
    with subprocess.Popen(serve, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(250):
                if _answers(port):
                    break
                time.sleep(0.02)
            else:
                raise RuntimeError("aptly did not start")
            yield f"http://127.0.0.1:{port}/", [process.pid]
        finally:
            process.terminate()


def p99_ms(url: str, seconds: int, headers: Sequence[str]) -> float:
    """Latency that 99 % of the requests of a crowd kept."""
    said = _wrk(url, seconds, headers, "--latency", f"-c{CROWD}")
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said)
    if found is None:
        raise RuntimeError(f"wrk told no latency: {said}")
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


def cost_us(url: str, pids: Sequence[int], seconds: int, headers: Sequence[str]) -> float:
    """CPU microseconds per completed request, of all threads of the serving processes."""
    before = _cpu_ns(pids)
    said = _wrk(url, seconds, headers, "-c32")
    spent = _cpu_ns(pids) - before
    completed = re.search(r"(\d+) requests in", said)
    if completed is None or not int(completed[1]):
        raise RuntimeError(f"wrk was not answered by {url}: {said}")
    return spent / int(completed[1]) / 1e3


def _wrk(url: str, seconds: int, headers: Sequence[str], *words: str) -> str:
    command = ["taskset", "-c", str(_CLIENT_CORE), "wrk", "-t1", f"-d{seconds}s", "--timeout=20s"]
    sent = [word for header in headers for word in ("-H", header)]
    said = subprocess.run(
        [*command, *words, *sent, url],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk could not be answered by {url}: {said}")
    return said


def compare(
    ours: Callable[[str], float],
    nginx: Callable[[str], float],
    aptly: Callable[[str], float],
    rounds: int,
) -> dict[str, dict[str, object]]:
    """Ask all in turn, who is first changing, and take medians."""
    figures: dict[str, dict[str, object]] = {}
    for name in SIZES:
        asked = {"gate": ours, "nginx": nginx, "aptly": aptly}
        rows = []
        for number in range(rounds):
            sides = sorted(asked) if number % 2 else sorted(asked, reverse=True)
            rows.append({side: asked[side](name) for side in sides})
        ratios = sorted(row["gate"] / row["nginx"] for row in rows)
        figures[name] = {
            **{f"{side}_us": round(statistics.median(r[side] for r in rows), 1) for side in asked},
            "ratio": round(statistics.median(ratios), 2),
            "ratios": [round(ratio, 2) for ratio in ratios],
            "target": TARGETS.get(name),
            "ratio_to_aptly": round(statistics.median(r["gate"] / r["aptly"] for r in rows), 2),
        }
    return figures


def compare_crowds(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> dict[str, object]:
    """The same for latencies."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            gate, other = ours(), theirs()
        else:
            other, gate = theirs(), ours()
        pairs.append((gate, other))
    ratios = sorted(gate / other for gate, other in pairs)
    return {
        "connections": CROWD,
        "gate_p99_ms": round(statistics.median(gate for gate, _ in pairs), 1),
        "nginx_p99_ms": round(statistics.median(other for _, other in pairs), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "target": TARGET_P99,
    }


def main() -> None:
    """Run the comparison and print it."""
    given = _arguments()
    if given.write:
        write_files(given.write)
        return
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root = scratch / "root"
        root.mkdir(mode=0o755)
        scratch.chmod(0o755)  # nginx's worker is another user
        write_files(root)
        if given.gate_url:
            url, pids, what = given.gate_url, given.gate_pid, "gate"
            for pid in pids:
                stack.enter_context(_pinned(pid))
        elif given.answering_alone:
            pin = ("taskset", "-c", str(_SERVER_CORE))
            process, port = stack.enter_context(answering(root, *pin))
            url, pids, what = f"http://127.0.0.1:{port}/", [process.pid], "answering alone"
        else:
            tree = stack.enter_context(running(scratch, files_of(scratch), root))
            url, pids, what = f"{tree.urls['gate']}/bench/", [tree.pids["gate"]], "the whole gate"
            stack.enter_context(_pinned(pids[0]))
            given.header.append(tree.authorization)
        other_url, other_pids = stack.enter_context(nginx(root, scratch))

        def ours(name: str) -> float:
            return cost_us(url + name, pids, given.seconds, given.header)

        def theirs(name: str) -> float:
            return cost_us(other_url + name, other_pids, given.seconds, ())

        third_url, third_pids = stack.enter_context(aptly(root, scratch))

        def thirds(name: str) -> float:
            return cost_us(third_url + name, third_pids, given.seconds, ())

        figures = compare(ours, theirs, thirds, given.rounds)
        figures["crowd"] = compare_crowds(
            lambda: p99_ms(f"{url}16k.bin", given.seconds, given.header),
            lambda: p99_ms(f"{other_url}16k.bin", given.seconds, ()),
            given.rounds,
        )
    print(json.dumps({"bench": "gate", "measured": what, **figures, **_circumstances(given)}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--gate-url", help="folder of the two files, with the slash at the end")
    parser.add_argument("--gate-pid", type=int, action="append", default=[])
    parser.add_argument("--header", action="append", default=[], help="as a machine would send it")
    parser.add_argument("--answering-alone", action="store_true")
    parser.add_argument("--write", type=Path, help="only write the files into this folder")
    given = parser.parse_args()
    if bool(given.gate_url) != bool(given.gate_pid):
        parser.error("--gate-url and --gate-pid go together")
    return given


def _circumstances(given: argparse.Namespace) -> dict[str, object]:
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return {
        "rounds": given.rounds,
        "seconds": given.seconds,
        "load": round(os.getloadavg()[0], 1),
        "nginx": said.strip().rpartition("/")[2],
        "granian": version("granian"),
        "uvloop": version("uvloop"),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


@contextlib.contextmanager
def _pinned(pid: int) -> Iterator[None]:
    """All threads of a process on the servers' core, for a while."""
    threads = [thread.id for thread in psutil.Process(pid).threads()]
    before = {thread: os.sched_getaffinity(thread) for thread in threads}
    for thread in threads:
        os.sched_setaffinity(thread, {_SERVER_CORE})
    try:
        yield
    finally:
        for thread, cores in before.items():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cores)


def _cpu_ns(pids: Sequence[int]) -> int:
    # Time on a processor to the nanosecond, first field of schedstat; stat(5) counts whole ticks.
    each = (file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in each)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


if __name__ == "__main__":
    main()
