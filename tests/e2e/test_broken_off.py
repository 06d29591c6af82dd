"""A download that is broken off in the middle is never told as whole: over all three ways.

The files are so short that the server, the relay and the kernel take all of them although the
client reads nothing: what was handed over and what has arrived are as far apart as they can be.
"""

import contextlib
import json
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.answer_process import answering
from tests.http2 import Connection
from tests.tls_process import answering_tls

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.authority import Authority, write
from firedoor.gate.respond import KEEP_BYTES, PIECE_BYTES

HOST = "127.0.0.1"
WINDOW = 16 * 1024
SIZES = {"index": PIECE_BYTES - 1, "package": PIECE_BYTES + 4096}
"""One is sent from memory in one piece, the other in two."""

IMAGE = 2 * KEEP_BYTES

ASK = b"GET /watched/%b HTTP/1.1\r\nHost: gate\r\n\r\n"


class Site:
    """Files, served plain and behind TLS."""

    def __init__(self, root: Path, ca: Path, plain: int, tls: int) -> None:
        self.root, self._ca, self._ports = root, ca, {"http": plain, "https": tls}

    def told(self, way: str, name: str) -> list[tuple[int, int]]:
        """What was told of a file, (start, end), once it is known of all replies."""
        said = json.loads(self.get(way, "deliveries"))
        return [(start, end) for file, start, end in said if file == name]

    def get(self, way: str, path: str, *words: str) -> bytes:
        """What curl gets; the two listeners count apart."""
        scheme, _, version = way.partition("-")
        url = f"{scheme}://localhost:{self._ports[scheme]}/{path}"
        command = ["curl", "-sS", "-4", "-m", "30", "--cacert", str(self._ca / "ca.pem"), *words]
        command += ["--http2"] if version else ["--http1.1"]
        return subprocess.run([*command, url], check=True, capture_output=True, timeout=60).stdout

    def finished(self, way: str) -> int:
        """How many replies the server has taken."""
        return int(json.loads(self.get(way, "finished")))

    def break_off(self, way: str, name: str) -> None:
        """Ask for a file, wait until the server has taken all of it, and reset."""
        before = self.finished(way)
        with contextlib.ExitStack() as opened:
            reset = self._ask_only(way, name, opened)
            for _ in range(200):
                if self.finished(way) > before:
                    break
                time.sleep(0.01)
            assert self.finished(way) > before
            reset()

    def _ask_only(self, way, name, opened):
        context = ssl.create_default_context(cafile=self._ca / "ca.pem")
        if way == "https-2":
            client = Connection(self._ports["https"], context, window=WINDOW)
            opened.callback(client.close)
            # One that nobody counts first, sent by its path: it must not stand in for the other.
            assert b"".join(client.body(client.get("/image"), widen=True))
            stream = client.get(f"/watched/{name}")
            next(client.body(stream, widen=False))
            return lambda: client.reset(stream)
        client = opened.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW // 2)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.settimeout(20)
        client.connect((HOST, self._ports[way]))
        if way == "https":
            context.set_alpn_protocols(["http/1.1"])
            client = opened.enter_context(context.wrap_socket(client, server_hostname="localhost"))
        client.sendall(ASK % name.encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 200 ")
        return client.close


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    root, ca = (Path(tmp_path_factory.mktemp(name)) for name in ("root", "of"))
    ca /= "ca"
    for name, size in {**SIZES, "image": IMAGE}.items():
        (root / name).write_bytes(bytes(size))
    now = SystemClock().now().wall_ms
    pair = Authority.create(ca, now).server(["localhost"], now)
    write(ca / "server.key", pair.key, 0o600)
    write(ca / "server.pem", pair.certificate, 0o644)
    with answering(root) as (_, plain), answering_tls(root, ca) as (_, tls):
        yield Site(root, ca, plain, tls)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("way", ["http", "https", "https-2"])
def test_a_download_that_is_broken_off_is_never_told_as_whole(site, way, name):
    """It would count as an install, and the silence of the machine as the silence of the update."""
    before = len(site.told(way, name))

    site.break_off(way, name)

    parts = site.told(way, name)[before:]
    assert all(end < SIZES[name] for _, end in parts)

    site.get(way, f"watched/{name}", "-o", "/dev/null")

    assert [end for _, end in site.told(way, name)[before:]].count(SIZES[name]) == 1


@pytest.mark.parametrize("way", ["http", "https", "https-2"])
def test_downloads_on_one_connection_are_each_told_as_whole(site, way):
    """What has arrived is counted for the connection, and has to be for each reply on it."""
    before = len(site.told(way, "package"))
    paths = [f"watched/package?{number}" for number in range(20)]
    urls = [word for path in paths[1:] for word in ("-o", "/dev/null", _url(site, way, path))]

    site.get(way, paths[0], *urls, "-o", "/dev/null")

    ends = [end for _, end in site.told(way, "package")[before:]]
    assert ends.count(SIZES["package"]) == 20


def _url(site, way, path):
    scheme = way.partition("-")[0]
    return f"{scheme}://localhost:{site._ports[scheme]}/{path}"  # noqa: SLF001 - of this file
