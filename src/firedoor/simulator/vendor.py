"""A sample vendor: a directory tree behind an ordinary download server.

``python -m firedoor.simulator.vendor serve DIRECTORY`` answers GET and HEAD on loopback as the
download servers of real vendors do: listings, ``ETag``, ``Last-Modified``, 304. ``... publish
DIRECTORY VERSION`` puts a release there; from Python it is `publish`.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import partial
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO, get_args
from urllib.parse import quote, unquote, urlsplit

from firedoor.core.units import Digest
from firedoor.simulator.content import LIST, Defect, compose, digest_of, write_list

ENGINE_BYTES = 64 * 1024
IDLE_S = 60.0
"""A kept-alive connection that asks nothing for so long gives its thread back."""

_NAME_WIDTH = 50
_SIZE_WIDTH = 19


@dataclass(frozen=True, slots=True)
class Published:
    """A release as the vendor knows it.

    Attributes:
        version: What its version file says.
        list: Digest of its list: the name under which a fleet's journal speaks of it.
        files: Path and digest of every file on the list, sorted by path.
    """

    version: str
    list: Digest
    files: tuple[tuple[str, Digest], ...]


def publish(
    directory: Path,
    version: str,
    *,
    defect: Defect = "none",
    size: int = ENGINE_BYTES,
    seed: int = 0,
) -> Published:
    """Put a release where the vendor serves it.

    The new tree is written aside and moved in file by file, the list last. So every file is
    whole at any time, and whoever reads the list first finds each file as listed *or newer*.
    "Newer" is the torn state, unavoidable on any server that keeps one name for changing
    content: a reader who holds the old list, while files of the new release are moving in, sees
    digests that do not match. A mirror must refuse that snapshot and look again; after the move
    of the list there is nothing torn left to see. Files with unchanged bytes are not touched and
    keep their ``ETag``. One publisher at a time.

    Args:
        directory: The vendor's tree; made if missing.
        version: Name of the release.
        defect: What is wrong with the content.
        size: Bytes of the engine file, >= 0.
        seed: Same arguments, same bytes.

    Returns:
        Version and digests.
    """
    files = compose(version, defect=defect, size=size, seed=seed)
    listing = write_list(files)
    directory.mkdir(parents=True, exist_ok=True)
    # Beside the tree, not in it: a mirror of the directory never meets half a release.
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as aside:
        for path, data in files.items():
            _write(Path(aside, path), data)
        _write(Path(aside, LIST), listing)
        for path, data in files.items():
            target = directory / path
            if target.exists() and target.read_bytes() == data:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(aside, path).replace(target)
        Path(aside, LIST).replace(directory / LIST)
    digests = tuple((path, digest_of(data)) for path, data in sorted(files.items()))
    return Published(version=version, list=digest_of(listing), files=digests)


class Vendor(ThreadingHTTPServer):
    """Serve a directory tree on loopback; a thread for each connection.

    Args:
        directory: What is served; names that begin with a dot are not.
        port: TCP port, or 0 for any that is free (then read ``server_port``).
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, directory: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), partial(_Handler, directory))

    def handle_error(self, request: object, client_address: object) -> None:
        """Be silent about clients that vanish within an answer; tell of the rest."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as received


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve or publish; prints one JSON line when it is done, or ready.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(prog="firedoor.simulator.vendor", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="serve a tree on loopback until told to stop")
    serve.add_argument("directory", type=Path)
    serve.add_argument("--port", type=int, default=0, help="0 = any free port")
    serve.add_argument("--duration", type=float, default=3600.0, help="seconds, at most")
    put = verbs.add_parser("publish", help="put a release into a tree")
    put.add_argument("directory", type=Path)
    put.add_argument("version")
    put.add_argument("--defect", choices=get_args(Defect), default="none")
    put.add_argument("--size", type=int, default=ENGINE_BYTES, help="bytes of the engine")
    put.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    if asked.verb == "publish":
        release = publish(
            asked.directory, asked.version, defect=asked.defect, size=asked.size, seed=asked.seed
        )
        _say({"version": release.version, "list": release.list})
    else:
        _serve(asked.directory, asked.port, asked.duration)
    return 0


def _serve(directory: Path, port: int, duration: float) -> None:
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with Vendor(directory, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        _say({"port": server.server_port})
        done.wait(duration)
        server.shutdown()
        thread.join()


def _say(fact: dict[str, str | int]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class _Handler(BaseHTTPRequestHandler):
    """One connection. Only reads; everything else is 501 by the base class."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    wbufsize = -1  # head and body leave in one segment; without it Nagle holds back small files

    def __init__(self, directory: Path, *connection: Any) -> None:
        self._directory = directory
        super().__init__(*connection)  # answers the requests, too

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        asked = unquote(urlsplit(self.path).path)
        parts = [part for part in asked.split("/") if part]
        if "\0" in asked or any(part.startswith(".") for part in parts):
            return self._refuse()
        path = self._directory.joinpath(*parts)
        if path.is_dir():
            return self._list(path, asked)
        with contextlib.ExitStack() as stack:
            try:
                # Opened before it is measured: the validators belong to the bytes that are
                # sent, even when a publication replaces the name meanwhile.
                file = stack.enter_context(path.open("rb"))
            except OSError:
                return self._refuse()
            return self._send_file(file)

    def _send_file(self, file: BinaryIO) -> None:
        facts = os.fstat(file.fileno())
        etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        fresh = self._is_known(etag, int(facts.st_mtime))
        self.send_response(HTTPStatus.NOT_MODIFIED if fresh else HTTPStatus.OK)
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", formatdate(facts.st_mtime, usegmt=True))
        if fresh:
            self.end_headers()
            return
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(facts.st_size))
        self.end_headers()
        if self.command == "GET":
            copyfileobj(file, self.wfile)

    def _is_known(self, etag: str, modified: int) -> bool:
        """RFC 9110, 13.2.2: a recipient must ignore the date where there is an If-None-Match."""
        if (tags := self.headers.get("If-None-Match")) is not None:
            return tags.strip() == "*" or etag in {
                tag.strip().removeprefix("W/") for tag in tags.split(",")
            }
        if (since := self.headers.get("If-Modified-Since")) is not None:
            with contextlib.suppress(ValueError):
                return modified <= parsedate_to_datetime(since).timestamp()
        return False

    def _list(self, directory: Path, asked: str) -> None:
        if not asked.endswith("/"):
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", quote(asked) + "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        page = _listing(directory, asked)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(page)

    def _refuse(self) -> None:
        # The base class's error page would close the connection.
        self.send_response(HTTPStatus.NOT_FOUND)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  named by the base
        """Say nothing: what was asked is in the fleet's journal and the gate's log."""


def _listing(directory: Path, asked: str) -> bytes:
    """A directory as nginx shows it: directories first, then files, each by name."""
    title = escape(f"Index of {asked}")
    lines = [] if asked == "/" else ['<a href="../">../</a>']
    entries = [entry for entry in directory.iterdir() if not entry.name.startswith(".")]
    for entry in sorted(entries, key=lambda entry: (not entry.is_dir(), entry.name)):
        try:
            facts = entry.stat()
        except FileNotFoundError:
            continue  # moved away between listing and looking
        name = entry.name + ("/" if entry.is_dir() else "")
        size = "-" if entry.is_dir() else str(facts.st_size)
        date = f"{datetime.fromtimestamp(facts.st_mtime, UTC):%d-%b-%Y %H:%M}"
        gap = " " * max(1, _NAME_WIDTH - len(name) + 1)
        lines.append(f'<a href="{quote(name)}">{escape(name)}</a>{gap}{date} {size:>{_SIZE_WIDTH}}')
    body = "\r\n".join(lines)
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1><hr>"
        f"<pre>{body}\r\n</pre><hr></body>\r\n</html>\r\n"
    ).encode()


if __name__ == "__main__":
    sys.exit(main())
