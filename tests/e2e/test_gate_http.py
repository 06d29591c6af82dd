"""Files over the real server and real sockets, asked by clients that know nothing of us."""

import asyncio
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.answer_process import RELEASE, Files, answering

from firedoor.adapters.server import UNSENT_BYTES, DirectServer
from firedoor.gate.respond import KEEP_BYTES, PIECE_BYTES

FILES = {
    "empty.txt": 0,
    "index.txt": 16 * 1024,
    "database.bin": KEEP_BYTES,
    "package.deb": 3 * KEEP_BYTES + 17,
    "image.bin": 24 * KEEP_BYTES,
}
ON_THE_WAY = 16 * PIECE_BYTES
"""More than the server, the kernel and a client with small buffers hold between them."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory) -> Iterator[tuple[Path, int]]:
    """A server over a few files; yields their directory and its port."""
    root = tmp_path_factory.mktemp("blobs")
    for name, size in FILES.items():
        (root / name).write_bytes(hashlib.shake_128(name.encode()).digest(size))
    with answering(root) as (_, port):
        yield root, port


def _get(port: int, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers=sent)
        reply = connection.getresponse()
        return reply, reply.read()
    finally:
        connection.close()


def _delivered(port: int, name: str) -> list[tuple[int, int]]:
    told = json.loads(_get(port, "/deliveries")[1])
    return [(start, end) for file, start, end in told if file == name]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mode", ["", "watched/", "dated/"])
def test_the_bytes_arrive_exactly_with_their_length_and_date(gate, name, mode):
    """The first promise of a mirror, whatever way the file is sent."""
    root, port = gate
    content = (root / name).read_bytes()

    reply, body = _get(port, f"/{mode}{name}")

    assert (reply.status, body) == (200, content)
    assert reply.getheader("Content-Length") == str(len(content))
    assert reply.getheader("ETag") == f'"{hashlib.sha256(content).hexdigest()}"'
    assert reply.getheader("Firedoor-Release") == RELEASE
    assert reply.getheader("Content-Encoding") is None
    assert reply.getheader("Transfer-Encoding") is None
    # RFC 9110, 6.6.1: an origin server with a clock must send Date.
    assert parsedate_to_datetime(str(reply.getheader("Date"))).tzinfo is not None


def test_curl_resumes_a_broken_download_on_the_same_bytes(gate, tmp_path):
    """What a person does on a bad line."""
    root, port = gate
    content = (root / "package.deb").read_bytes()
    part = tmp_path / "package.deb"
    part.write_bytes(content[:1_000_000])

    _curl("--continue-at", "-", "--output", str(part), f"http://127.0.0.1:{port}/package.deb")

    assert part.read_bytes() == content


def test_curl_revalidates_by_tag_and_by_date(gate, tmp_path):
    """Most polls end here; the body must not travel, and the connection must stay in step."""
    _, port = gate
    url = f"http://127.0.0.1:{port}/dated/index.txt"
    tag = tmp_path / "tag"
    _curl("--etag-save", str(tag), "--output", os.devnull, url)
    ask = ("--output", os.devnull, "--write-out", "%{http_code} %{size_download}\n")

    # Two requests on one connection: a 304 with a body would spoil the second.
    by_tag = _curl("--etag-compare", str(tag), *ask, url, *ask, url)
    by_date = _curl("--header", "If-Modified-Since: Sun, 22 Nov 2026 07:26:30 GMT", *ask, url)
    by_later = _curl("--header", "If-Modified-Since: Sun, 22 Nov 2026 07:26:31 GMT", *ask, url)

    assert by_tag.split("\n")[0] == "304 0"
    assert by_date == "304 0\n"
    assert by_later == f"200 {FILES['index.txt']}\n"


def test_head_leaves_the_connection_in_step(gate):
    """A HEAD that sent a body would be read as the next reply."""
    root, port = gate
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    connection.request("HEAD", "/package.deb")
    head = connection.getresponse()
    assert (head.read(), head.getheader("Content-Length")) == (b"", str(FILES["package.deb"]))
    connection.request("GET", "/index.txt")
    assert connection.getresponse().read() == (root / "index.txt").read_bytes()
    connection.close()


def test_every_complete_download_is_told_as_complete(gate):
    """The server reports the end of a reply as a disconnect; it must not eat the last piece."""
    _, port = gate
    size = FILES["package.deb"]
    before = len(_delivered(port, "package.deb"))

    for _ in range(20):
        _get(port, "/watched/package.deb")

    told = _delivered(port, "package.deb")[before:]
    assert sum(end - start for start, end in told) == 20 * size
    assert [end for _, end in told].count(size) == 20


def test_a_machine_that_breaks_off_is_not_taken_for_installed(gate):
    """Only what was on the way may be told too much, and that is bounded."""
    _, port = gate
    read = 100_000
    before = len(_delivered(port, "image.bin"))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNSENT_BYTES)
        client.settimeout(20)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /watched/image.bin HTTP/1.1\r\nHost: gate\r\n\r\n")
        held = 0
        while held < read and (piece := client.recv(read - held)):
            held += len(piece)
        time.sleep(0.5)  # let the server fill whatever it may fill

    # What it was sent is told when the server sees that it has gone.
    deadline = time.monotonic() + 20
    while not (told := _delivered(port, "image.bin")[before:]) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert held == read
    assert PIECE_BYTES <= told[-1][1] <= read + ON_THE_WAY
    assert told[0][0] == 0
    assert all(one[1] == other[0] for one, other in pairwise(told))


def test_a_blob_cut_on_the_disk_is_refused_and_the_gate_goes_on(tmp_path):
    """Disk trouble with one file is no reason to stop serving the others."""
    (tmp_path / "bad.bin").write_bytes(b"b" * (2 * KEEP_BYTES))
    (tmp_path / "good.bin").write_bytes(b"good")
    with answering(tmp_path) as (_, port):
        (tmp_path / "bad.bin").write_bytes(b"b" * KEEP_BYTES)

        refused, _ = _get(port, "/bad.bin")
        _, good = _get(port, "/good.bin")

    assert (refused.status, refused.getheader("Retry-After")) == (503, "10")
    assert good == b"good"


@pytest.mark.parametrize("path", ["/image.bin", "/watched/image.bin"])
def test_the_server_stops_in_time_although_a_client_reads_for_ever(tmp_path, path):
    """A restart of Firedoor must be short: silence of the gate looks like harm."""
    (tmp_path / "image.bin").write_bytes(bytes(24 * KEEP_BYTES))
    with answering(tmp_path) as (process, port), socket.socket() as client:
        client.connect(("127.0.0.1", port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: gate\r\n\r\n".encode())
        assert client.recv(100)

        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=3) == 0


def test_a_machine_that_asks_during_a_restart_is_answered_after_it(tmp_path):
    """The socket outlives the server, so a restart of Firedoor is a pause and not an outage."""
    (tmp_path / "index.txt").write_bytes(b"index")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asyncio.run(_serve_while(listener, tmp_path, lambda: _get(port, "/index.txt")))

        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"GET /index.txt HTTP/1.1\r\nHost: gate\r\n\r\n")
            reply = asyncio.run(_serve_while(listener, tmp_path, lambda: client.recv(4096)))

    assert reply.startswith(b"HTTP/1.1 200 OK")


def test_what_the_application_forgot_to_catch_is_logged(capfd, caplog):
    """A bug that only shows as "500" on a machine far away is found by nobody."""

    async def faulty(*_: object) -> None:
        raise ZeroDivisionError("a planted fault")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reply, _ = asyncio.run(_serve_while(listener, faulty, lambda: _get(port, "/")))

    assert reply.status == 500
    assert "a planted fault" in caplog.text
    assert capfd.readouterr().out == ""


async def _serve_while(
    listener: socket.socket, app: Path | Callable[..., Any], ask: Callable[[], Any]
) -> Any:
    server = DirectServer(Files(app) if isinstance(app, Path) else app, listener)
    serving = asyncio.create_task(server.serve())
    try:
        return await asyncio.to_thread(ask)
    finally:
        server.stop()
        await serving


def _curl(*arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
