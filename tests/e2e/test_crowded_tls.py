"""The TLS relay when it is full, and with a client that hardly reads."""

import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.http2 import Connection
from tests.tls_process import answering_tls

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.authority import Authority, write
from firedoor.adapters.tls.context import TlsFiles, make_context
from firedoor.adapters.tls.peers import INNER, Peers
from firedoor.adapters.tls.relay import Onward, Relay, Way

MOST = 40
OTHER = "127.0.0.2"
ASK = b"GET /whoami HTTP/1.1\r\nHost: gate\r\n\r\n"


@pytest.fixture(scope="module")
def ca(tmp_path_factory) -> Path:
    """The folder of an authority, with a server's certificate."""
    folder = Path(tmp_path_factory.mktemp("ca"))
    now = SystemClock().now().wall_ms
    pair = Authority.create(folder / "ca", now).server(["localhost", INNER], now)
    write(folder / "ca/server.key", pair.key, 0o600)
    write(folder / "ca/server.pem", pair.certificate, 0o644)
    return folder / "ca"


def asked(port, ca, word):
    """Which protocol a client of another address is answered in."""
    command = ["curl", "-sS", "-m", "20", word, "--cacert", str(ca / "ca.pem")]
    done = subprocess.run(
        [*command, "--interface", OTHER, f"https://localhost:{port}/whoami"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)["version"]


def test_a_crowd_on_http2_keeps_nobody_out(tmp_path, ca):
    """The server behind has room for fewer than the relay, and lets the others wait for ever."""
    with answering_tls(tmp_path, ca, MOST) as (_, port), contextlib.ExitStack() as opened:
        for _ in range(2 * MOST):
            context = ssl.create_default_context(cafile=ca / "ca.pem")
            with contextlib.suppress(OSError):
                each = Connection(port, context, window=65_536)
                opened.callback(each.close)
                each.get("/whoami")
        assert asked(port, ca, "--http2") == "2"
        assert asked(port, ca, "--http1.1") == "1.1"


def test_a_crowd_that_goes_on_asking_pushes_out_nobody_else(tmp_path, ca):
    """Whoever was served least recently went first: a machine between two of its requests."""
    context = ssl.create_default_context(cafile=ca / "ca.pem")
    context.set_alpn_protocols(["http/1.1"])

    def opening(source):
        plain = socket.create_connection((INNER, port), 20, (source, 0))
        return opened.enter_context(context.wrap_socket(plain, server_hostname="localhost"))

    def answer(client):
        client.sendall(ASK)
        return client.recv(1 << 16)

    with answering_tls(tmp_path, ca, MOST) as (_, port), contextlib.ExitStack() as opened:
        machine = opening(OTHER)
        assert answer(machine).startswith(b"HTTP/1.1 200 ")
        for _ in range(2 * MOST):
            with contextlib.suppress(OSError):
                answer(opening(INNER))
        assert answer(machine).startswith(b"HTTP/1.1 200 ")


def test_who_reads_a_drip_now_and_then_does_not_stay(ca):
    """A few bytes in a minute would keep a connection, and what is held of its reply, for ever."""
    stopped = threading.Event()
    context = make_context(TlsFiles(ca / "server.pem", ca / "server.key"), http2=False)
    with (
        socket.create_server((INNER, 0)) as listener,
        socket.create_server((INNER, 0)) as inner,
        contextlib.closing(Peers()) as peers,
    ):
        way = Way(inner.getsockname()[1], MOST)
        relay = Relay(listener, Onward(way), peers, context, connections=MOST, slow_s=1)
        running = threading.Thread(target=relay.run, args=(stopped.is_set,))
        running.start()
        sending = threading.Thread(target=_send, args=(inner, 1 << 26))
        sending.start()
        try:
            ended = _drips(listener.getsockname(), ca)
        finally:
            stopped.set()
            running.join()
            relay.drain(0)
            sending.join()

    assert ended


def _send(inner: socket.socket, count: int) -> None:
    accepted, _ = inner.accept()
    with accepted, contextlib.suppress(OSError):
        accepted.sendall(bytes(count))


def _drips(address: tuple[str, int], ca: Path) -> bool:
    """Whether a client is ended that reads half a kilobyte twenty times a second, for 20 s."""
    context = ssl.create_default_context(cafile=ca / "ca.pem")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    plain.settimeout(20)
    plain.connect(address)
    with context.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(b"x")
        for _ in range(400):
            try:
                if not client.recv(512):
                    return True
            except OSError:
                return True
            time.sleep(0.05)
    return False
