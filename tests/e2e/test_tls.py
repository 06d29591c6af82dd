"""TLS over real sockets, asked by curl and by raw connections that know nothing of us."""

import hashlib
import http.client
import json
import os
import resource
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from tests.http2 import Connection
from tests.tls_process import answering_tls

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.authority import Authority, write
from firedoor.adapters.server import UNSENT_BYTES
from firedoor.gate.respond import KEEP_BYTES, PIECE_BYTES

FILES = {"index.txt": 16 * 1024, "package.deb": 3 * KEEP_BYTES + 17, "image.bin": 24 * KEEP_BYTES}
ON_THE_WAY = 20 * PIECE_BYTES
"""More than two servers' buffers, the kernel's and a client's with a small one hold together."""


class Site:
    """A directory behind TLS, and an authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "blobs"
        self.root.mkdir()
        for name, size in FILES.items():
            (self.root / name).write_bytes(hashlib.shake_128(name.encode()).digest(size))
        self.authority = Authority.create(folder / "ca", SystemClock().now().wall_ms)
        self.certify()
        self.port = 0
        self.pid = 0

    def certify(self) -> None:
        """Write a server's certificate, as ``firedoor ca renew`` does."""
        pair = self.authority.server(["localhost", "127.0.0.1"], SystemClock().now().wall_ms)
        write(self.folder / "ca" / "server.key", pair.key, 0o600)
        write(self.folder / "ca" / "server.pem", pair.certificate, 0o644)

    def machine(self, name: str, authority: Authority | None = None) -> tuple[str, ...]:
        """Words for curl that show a machine's certificate."""
        now = SystemClock().now().wall_ms
        pair = (authority or self.authority).client(name, now)
        write(self.folder / f"{name}.pem", pair.certificate, 0o600)
        write(self.folder / f"{name}.key", pair.key, 0o600)
        return "--cert", str(self.folder / f"{name}.pem"), "--key", str(self.folder / f"{name}.key")

    def curl(self, path: str, *words: str, check: bool = True) -> bytes:
        """What curl prints."""
        command = ["curl", "-sS", "-m", "30", "--cacert", str(self.authority.path), *words]
        url = f"https://localhost:{self.port}{path}"
        return subprocess.run([*command, url], check=check, capture_output=True, timeout=60).stdout

    def context(self) -> ssl.SSLContext:
        """For a raw client that believes the authority."""
        return ssl.create_default_context(cafile=str(self.authority.path))

    def delivered(self, name: str) -> list[tuple[int, int]]:
        """What was told of a file: (start, end)."""
        told = json.loads(self.curl("/deliveries"))
        return [(start, end) for file, start, end in told if file == name]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("tls"))
    with answering_tls(made.root, made.folder / "ca") as (process, port):
        made.port, made.pid = port, process.pid
        yield made


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mode", ["", "watched/"])
def test_the_bytes_arrive_exactly_over_both_protocols(site, version, name, mode):
    """The first promise of a mirror holds behind TLS as well."""
    body = site.curl(f"/{mode}{name}", version)

    assert body == (site.root / name).read_bytes()


@pytest.mark.parametrize(("word", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_a_client_gets_the_protocol_that_it_asks_for(site, word, version):
    """ALPN; a client that asks for nothing gets HTTP/1.1."""
    assert json.loads(site.curl("/whoami", word))["version"] == version


def test_every_complete_download_is_told_as_complete(site):
    """An install that is not counted delays its release for ever."""
    before = len(site.delivered("package.deb"))

    for _ in range(10):
        site.curl("/watched/package.deb", "--http1.1", "-o", os.devnull)

    told = site.delivered("package.deb")[before:]
    assert_whole(told, times=10)


@pytest.mark.parametrize("order", ["--no-parallel", "--parallel"])
def test_ten_downloads_on_one_connection_of_http2_are_counted_each(site, order):
    """HTTP/2 may mix the replies on the wire; none may be counted for another.

    One after the other, the client stays for one file more: of one that leaves at once the end may
    not be known (ADR 0028).
    """
    before = len(site.delivered("package.deb"))
    url = f"https://localhost:{site.port}/watched/package.deb"
    ten = [word for _ in range(10) for word in ("-o", os.devnull, url)]

    site.curl("/index.txt", "--http2", order, *ten, "-o", os.devnull)

    told = site.delivered("package.deb")[before:]
    assert_whole(told, times=10)


def assert_whole(told: list[tuple[int, int]], times: int) -> None:
    """Every byte of the package was told so often, and its end."""
    size = FILES["package.deb"]
    assert sum(end - start for start, end in told) == times * size
    assert [end for _, end in told].count(size) == times


def test_a_machine_that_breaks_off_is_not_taken_for_installed(site):
    """Only what was on the way may be told too much, and that is bounded."""
    read, before = 100_000, len(site.delivered("image.bin"))
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNSENT_BYTES)
    plain.settimeout(20)
    plain.connect(("127.0.0.1", site.port))
    with site.context().wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(b"GET /watched/image.bin HTTP/1.1\r\nHost: gate\r\n\r\n")
        held = 0
        while held < read and (piece := client.recv(read - held)):
            held += len(piece)
        time.sleep(0.5)  # let everybody fill whatever may be filled

    told = site.delivered("image.bin")[before:]

    assert held == read
    assert PIECE_BYTES <= told[-1][1] <= read + ON_THE_WAY
    assert all(one[1] == other[0] for one, other in pairwise(told))


def test_a_machine_that_breaks_off_on_http2_is_not_taken_for_installed(site):
    """A reply that is reset has not arrived, though the connection may live on."""
    before = len(site.delivered("image.bin"))

    site.curl(
        "/watched/image.bin", "--http2", "--limit-rate", "64k", "-m", "1", "-o", os.devnull,
        check=False,
    )  # fmt: skip

    told = site.delivered("image.bin")[before:]
    assert told
    assert told[-1][1] < FILES["image.bin"]


def test_one_reply_that_is_reset_ends_alone_and_is_not_taken_for_installed(site):
    """A client cancels one of its downloads; the connection and the other replies go on."""
    size, before = FILES["package.deb"], len(site.delivered("package.deb"))
    image_before = len(site.delivered("image.bin"))
    client = Connection(site.port, site.context(), window=UNSENT_BYTES)
    try:
        image = client.get("/watched/image.bin")
        next(client.body(image, widen=False))
        client.reset(image)
        package = b"".join(client.body(client.get("/watched/package.deb"), widen=True))
        index = b"".join(client.body(client.get("/index.txt"), widen=True))
    finally:
        client.close()

    assert package == (site.root / "package.deb").read_bytes()
    assert index == (site.root / "index.txt").read_bytes()
    told = site.delivered("package.deb")[before:]
    assert sum(end - start for start, end in told) == size
    broken_off = site.delivered("image.bin")[image_before:]
    assert broken_off
    # How soon the server learns of it depends on the machine; the whole is never told.
    assert broken_off[-1][1] < FILES["image.bin"]


def test_a_certificate_says_who_it_is_and_none_is_needed(site):
    """Basic and path tokens go on beside certificates."""
    assert json.loads(site.curl("/whoami", *site.machine("till-1")))["name"] == "till-1"
    assert json.loads(site.curl("/whoami"))["name"] is None


def test_a_certificate_of_another_authority_does_not_get_in(site, tmp_path):
    """Whoever can make certificates must not be able to make machines."""
    other = Authority.create(tmp_path / "other", SystemClock().now().wall_ms)
    words = site.machine("till-2", other)

    assert site.curl("/whoami", *words, check=False) == b""


def test_the_servers_own_certificate_is_no_clients(site):
    """What is issued for one purpose is refused for the other."""
    folder = site.folder / "ca"
    words = ("--cert", str(folder / "server.pem"), "--key", str(folder / "server.key"))

    assert site.curl("/whoami", *words, check=False) == b""


def test_the_ports_behind_the_relay_answer_nobody_else(site):
    """Another user of the host could otherwise say that he is any machine."""
    own = [c for c in psutil.Process(site.pid).net_connections() if c.status == "LISTEN"]
    ports = {c.laddr.port for c in own} - {site.port}
    assert len(ports) == 2
    answers = []
    for port in ports:
        words = ["curl", "-s", "-m", "10", "--http2-prior-knowledge", "-w", "%{http_code}"]
        for extra in ([], ["--http1.1"]):
            done = subprocess.run(
                [*words[:4], *(extra or words[4:5]), *words[5:], f"http://127.0.0.1:{port}/whoami"],
                capture_output=True,
                timeout=20,
                check=False,
            )
            answers.append(done.stdout[-3:])

    # A port that speaks the other protocol only says nothing that a client understands.
    assert set(answers) <= {b"403", b"000"}
    assert answers.count(b"403") >= len(ports)


def test_a_renewed_certificate_is_served_without_a_refused_connection(site):
    """Certificates are renewed by timers, at night, while machines poll."""
    failed, stop = [], threading.Event()

    def poll() -> None:
        context = site.context()
        while not stop.is_set():
            client = http.client.HTTPSConnection(
                "localhost", site.port, context=context, timeout=20
            )
            try:
                client.request("GET", "/index.txt")
                if client.getresponse().read() != (site.root / "index.txt").read_bytes():
                    failed.append("other bytes")
            except OSError as error:
                failed.append(repr(error))
            finally:
                client.close()

    before = after = ssl.get_server_certificate(("localhost", site.port))
    polling = threading.Thread(target=poll)
    polling.start()
    try:
        site.certify()
        after = before
        for _ in range(200):
            after = ssl.get_server_certificate(("localhost", site.port))
            if after != before:
                break
            time.sleep(0.05)
        # One that does not fit its key is not used.
        (site.folder / "ca" / "server.pem").write_text(before)
        time.sleep(1.5)
        kept = ssl.get_server_certificate(("localhost", site.port))
    finally:
        stop.set()
        polling.join()
        site.certify()

    assert failed == []
    assert after != before
    assert kept == after


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n"])
def test_slow_connections_keep_nobody_out(site, said):
    """The soak opens ten thousand; here it is some hundreds of each kind."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with _Crowd(site.port, min(400, soft // 2), said):
        assert json.loads(site.curl("/whoami"))["version"] == "2"


class _Crowd:
    """Connections that say something and then nothing more."""

    def __init__(self, port: int, many: int, said: bytes) -> None:
        self._port, self._many, self._said = port, many, said
        self._open: list[socket.socket] = []

    def __enter__(self) -> None:
        for _ in range(self._many):
            each = socket.create_connection(("127.0.0.1", self._port), timeout=20)
            each.sendall(self._said)
            self._open.append(each)

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            each.close()
