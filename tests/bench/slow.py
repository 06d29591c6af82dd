"""Ten thousand connections that say something and nothing more: who else is still answered?

``python tests/bench/slow.py [--connections N]``; part of ``make soak``.

Each kind of slowness is tried against the plain listener and the TLS one: connections that say
nothing, half a head of a request, half a handshake. A client then asks for a file
ten times, on new connections. One line of JSON for each: how long its slowest answer took,
seconds, and what memory the serving processes have. Exit code 1 if any was not answered.
"""

import argparse
import contextlib
import json
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))  # a script knows its own folder only

from tests.answer_process import answering
from tests.tls_process import answering_tls

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.authority import Authority, write

KINDS = {
    "nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: gate\r\n",
    "half a handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
}
PATIENCE_S = 60
ASKED = 10


def main() -> int:
    """Try every kind against both listeners; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    many = parser.parse_args().connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        (root / "index.txt").write_bytes(b"index")
        now = SystemClock().now().wall_ms
        authority = Authority.create(Path(folder) / "ca", now)
        pair = authority.server(["localhost"], now)
        write(Path(folder) / "ca" / "server.key", pair.key, 0o600)
        write(Path(folder) / "ca" / "server.pem", pair.certificate, 0o644)
        trust = str(authority.path)
        for kind, said in KINDS.items():
            if kind != "half a handshake":
                with answering(root) as (process, port):
                    held &= _report("plain", kind, said, port, process.pid, many, "")
            with answering_tls(root, Path(folder) / "ca") as (process, port):
                held &= _report("tls", kind, said, port, process.pid, many, trust)
    return 0 if held else 1


def _report(  # noqa: PLR0917 - a row
    listener: str, kind: str, said: bytes, port: int, pid: int, many: int, trust: str
) -> bool:
    figures: dict[str, object] = {"listener": listener, "kind": kind}
    context = ssl.create_default_context(cafile=trust or None)
    context.check_hostname = False
    with contextlib.ExitStack() as crowd:
        opened = 0
        for _ in range(many):
            each = crowd.enter_context(socket.socket())
            each.settimeout(5)
            with contextlib.suppress(OSError):
                each.connect(("127.0.0.1", port))
                if trust and kind == "half a head":
                    each = crowd.enter_context(context.wrap_socket(each))
                each.sendall(said)
                opened += 1
        time.sleep(1)
        took = []
        for _ in range(ASKED):
            began = time.monotonic()
            if not _answered(port, trust):
                break
            took.append(time.monotonic() - began)
        served = psutil.Process(pid)
        memory = sum(each.memory_info().rss for each in (served, *served.children()))
    figures |= {
        "opened": opened,
        "answered": len(took),
        "slowest_s": round(max(took, default=0), 2),
    }
    figures["memory_mib"] = memory >> 20
    print(json.dumps(figures), flush=True)
    return len(took) == ASKED


def _answered(port: int, trust: str) -> bool:
    scheme, words = ("https", ["--cacert", trust]) if trust else ("http", [])
    url = f"{scheme}://localhost:{port}/index.txt"
    done = subprocess.run(
        ["curl", "-s", "-4", "-m", str(PATIENCE_S), *words, url],
        capture_output=True,
        check=False,
        timeout=PATIENCE_S + 10,
    )
    return done.stdout == b"index"


if __name__ == "__main__":
    sys.exit(main())
