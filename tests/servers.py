"""Real servers to mirror from: python's http.server, nginx, and one that does as it is told."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

NGINX = shutil.which("nginx")

_NGINX_CONF = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 64; }}
http {{
    access_log {access_log};
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types {{ }}
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        autoindex on;
    }}
}}
"""


@contextlib.contextmanager
def python_server(root: Path) -> Iterator[str]:
    """``python -m http.server``: HTTP/1.0, no ETag, 304 to any date that is not older."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--directory", str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            port = int(said.partition(" port ")[2].split()[0])
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


@contextlib.contextmanager
def nginx_server(root: Path, prefix: Path, *, access_log: str = "off") -> Iterator[str]:
    """``nginx`` with autoindex: HTTP/1.1, chunked listings, ETag from time and size."""
    assert NGINX is not None
    prefix.mkdir()
    port = _free_port()
    (prefix / "nginx.conf").write_text(
        _NGINX_CONF.format(port=port, root=root, access_log=access_log)
    )
    command = [NGINX, "-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", "stderr"]
    with (
        (prefix / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(port, process, prefix / "log")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Message
    connection: int


@dataclass(frozen=True)
class Answer:
    """What to send back. ``announced`` lies about the length; None leaves the header out."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int | None = -1
    chunked: bool = False
    byte_pause_s: float = 0.0


class ToldVendor:
    """A threaded HTTP/1.1 server on loopback that answers as a function tells it."""

    def __init__(self, answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None) -> None:
        self.asked: list[Asked] = []
        self.answer = answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}/"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5
            wbufsize = -1  # head and body in one segment: Nagle would hold each body back 40 ms

            def do_GET(self) -> None:
                asked = Asked(self.command, self.path, self.headers, self.client_address[1])
                vendor.asked.append(asked)
                answer = vendor.answer(asked)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self._send_length(answer)
                self.end_headers()
                if self.command == "HEAD":
                    return
                with contextlib.suppress(OSError):
                    self._send_body(answer)

            do_HEAD = do_GET  # noqa: N815 - the name http.server looks for

            def _send_length(self, answer: Answer) -> None:
                if answer.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                elif answer.announced is None:
                    self.send_header("Connection", "close")
                elif answer.status != 304:
                    length = len(answer.body) if answer.announced < 0 else answer.announced
                    self.send_header("Content-Length", str(length))
                    self.close_connection = length != len(answer.body)

            def _send_body(self, answer: Answer) -> None:
                if answer.chunked:
                    # The last, empty chunk never comes.
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(answer.body), answer.body))
                    self.close_connection = True
                elif answer.byte_pause_s:
                    for byte in answer.body:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        time.sleep(answer.byte_pause_s)
                else:
                    self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

        return Handler


@contextlib.contextmanager
def raw_vendor(
    send: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server on loopback that reads one request and sends what no sane server would.

    ``send`` runs once for each connection, in a thread of its own, until it returns or the other
    side has gone.
    """

    def talk(connected: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as open_:
            open_.enter_context(connected)
            if tls:
                connected = open_.enter_context(tls.wrap_socket(connected, server_side=True))
            connected.recv(1 << 16)
            send(connected)

    def accept() -> None:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

    listening = socket.create_server(("127.0.0.1", 0))
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listening.close()


def trickle(head: bytes, piece: bytes, pause_s: float = 0.05) -> Callable[[socket.socket], None]:
    """For ``raw_vendor``: the head at once, then a piece now and then, for half a minute."""

    def send(connected: socket.socket) -> None:
        connected.sendall(head)
        for _ in range(int(30 / pause_s)):
            connected.sendall(piece)
            time.sleep(pause_s)

    return send


def serving(files: Mapping[str, bytes], sums: bytes | None = None) -> Callable[[Asked], Answer]:
    """Answers of a vendor with a checksum list and strong ETags; ``files`` may change meanwhile."""

    def answer(asked: Asked) -> Answer:
        name = asked.path.removeprefix("/")
        body = sums if name == "SHA256SUMS" else files.get(name)
        if body is None:
            return Answer(b"no such file", 404)
        etag = f'"{hash(body):x}"'
        if asked.headers.get("If-None-Match") == etag:
            return Answer(b"", 304, {"ETag": etag})
        return Answer(body, 200, {"ETag": etag})

    return answer


def page(*names: str) -> bytes:
    """A directory page."""
    return "".join(f'<a href="{name}">{name}</a>\n' for name in names).encode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"nginx did not start: {log.read_text()}")
