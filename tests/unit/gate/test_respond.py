"""What goes out for one request, without a server."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from firedoor.core.release import FileEntry
from firedoor.core.units import Digest
from firedoor.gate.respond import KEEP_BYTES, PIECE_BYTES, Answerer

RELEASE = "7e" * 32
ASSIGNED_S = 1_795_332_390
DATE = "Sun, 22 Nov 2026 07:26:30 GMT"


@dataclass
class Client:
    """Sends one request at a time and writes down what comes back."""

    answerer: Answerer
    root: Path
    pathsend: bool = True
    leaves_after: int | None = None
    delivered: list[tuple[int, int]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    def store(self, content: bytes, media: str = "text/plain") -> FileEntry:
        """Put a blob where the answerer will look for it."""
        digest = hashlib.sha256(content).hexdigest()
        (self.root / digest).write_bytes(content)
        return FileEntry(Digest(digest), len(content), media)

    def ask(
        self,
        entry: FileEntry,
        method: str = "GET",
        *,
        sent: Mapping[str, str] | None = None,
        dated: bool = True,
        immutable_name: bool = False,
        watched: bool = False,
        repeated: tuple[tuple[bytes, bytes], ...] = (),
    ) -> "Client":
        """One request for one file."""
        self.body, self.complete, self.status = b"", False, 0
        lines = [(key.lower().encode(), value.encode()) for key, value in (sent or {}).items()]

        async def run() -> None:
            self._left = asyncio.Event()
            await self.answerer.answer(
                {"extensions": {"http.response.pathsend": {}} if self.pathsend else {}},
                self._receive,
                self.send,
                method=method,
                headers=[*lines, *repeated],
                entry=entry,
                path=str(self.root / entry.sha256),
                release=RELEASE,
                last_modified=ASSIGNED_S if dated else None,
                immutable_name=immutable_name,
                delivered=(lambda *part: self.delivered.append(part)) if watched else None,
            )

        asyncio.run(run())
        return self

    async def send(self, message: Mapping[str, Any]) -> None:
        """What the server does with an event of the reply."""
        match message["type"]:
            case "http.response.start":
                assert self.status == 0
                self.status = message["status"]
                self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
                assert len(self.headers) == len(message["headers"])
            case "http.response.pathsend":
                self.paths.append(message["path"])
                self.body += Path(message["path"]).read_bytes()  # noqa: ASYNC240 - it is the server
                self.complete = True
            case "http.response.body" if not self._left.is_set():
                self.body += message["body"]
                self.complete = not message.get("more_body", False)
        if self.leaves_after is not None and len(self.body) >= self.leaves_after:
            self._left.set()
        await asyncio.sleep(0)

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}


@pytest.fixture
def client(tmp_path):
    """A client of a fresh answerer over an empty store."""
    return Client(Answerer(), tmp_path)


SIZES = [0, 1, PIECE_BYTES, PIECE_BYTES + 1, KEEP_BYTES, KEEP_BYTES + 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("pathsend", [False, True])
def test_every_way_of_sending_sends_the_exact_bytes(client, size, watched, pathsend):
    """Memory, pathsend and pieces are an optimisation; a machine must not see a difference."""
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    client.pathsend = pathsend
    entry = client.store(content)

    for _ in range(2):
        reply = client.ask(entry, watched=watched)

        assert (reply.status, reply.complete, reply.body) == (200, True, content)
        assert reply.headers["content-length"] == str(size)


def test_a_reply_carries_what_clients_and_caches_rely_on(client):
    """The headers of the interface (interfaces.md, Gate), and no coding of the bytes."""
    entry = client.store(b"content")

    reply = client.ask(entry)

    assert reply.headers == {
        "content-length": "7",
        "content-type": "text/plain",
        "x-content-type-options": "nosniff",
        "accept-ranges": "bytes",
        "etag": f'"{entry.sha256}"',
        "last-modified": DATE,
        "cache-control": "private, no-cache",
        "vary": "Authorization",
        "firedoor-release": RELEASE,
    }


def test_a_digest_named_file_may_be_cached_for_ever_and_a_mutable_one_never(client):
    """A stale cache would be a second release in the same session."""
    entry = client.store(b"content")

    by_hash = client.ask(entry, immutable_name=True).headers["cache-control"]
    mutable = client.ask(entry).headers["cache-control"]

    assert by_hash == "private, immutable, max-age=31536000"
    assert mutable == "private, no-cache"


def test_a_file_without_a_known_type_is_octets(client):
    """A guess by the client could turn data into a script."""
    assert client.ask(client.store(b"?", media="")).headers["content-type"] == (
        "application/octet-stream"
    )


def test_not_modified_keeps_the_headers_that_identify_the_release(client):
    """A 304 is how most polls end: it must still say which release the machine is on."""
    entry = client.store(b"content")
    etag = f'"{entry.sha256}"'

    for condition in ({"If-None-Match": etag}, {"If-Modified-Since": DATE}):
        reply = client.ask(entry, sent=condition)

        assert (reply.status, reply.body, reply.complete) == (304, b"", True)
        assert reply.headers == {
            "etag": etag,
            "last-modified": DATE,
            "cache-control": "private, no-cache",
            "vary": "Authorization",
            "firedoor-release": RELEASE,
        }


@pytest.mark.parametrize(
    ("condition", "has"),
    [("If-None-Match: {etag}", True), ("If-None-Match: W/{etag}", True),
     ("If-None-Match: *", False), ("If-Modified-Since: " + DATE, False)],
)  # fmt: skip
def test_who_names_the_bytes_it_has_needs_no_other_to_have_installed(client, condition, has):
    """From a release before with the same file: it would never count as having installed."""
    entry = client.store(b"content")
    name, _, value = condition.partition(": ")

    sent = {name: value.format(etag=f'"{entry.sha256}"')}
    assert client.ask(entry, sent=sent, watched=True).status == 304

    assert client.delivered == ([(0, len(b"content"))] if has else [])


def test_a_channel_without_dates_sends_none(client):
    """Libcurl throws a body away whose date is older than its file (clients.md, fact 1)."""
    reply = client.ask(client.store(b"x"), sent={"If-Modified-Since": DATE}, dated=False)

    assert (reply.status, reply.body) == (200, b"x")
    assert "last-modified" not in reply.headers


def test_repeated_condition_lines_are_one_list(client):
    """RFC 9110, 5.3: the tag may stand in the second line."""
    entry = client.store(b"x")
    lines = ((b"if-none-match", b'"a"'), (b"if-none-match", f'"{entry.sha256}"'.encode()))

    assert client.ask(entry, repeated=lines).status == 304


def test_a_part_is_sent_with_its_place_in_the_whole(client):
    """What apt and freshclam need to resume."""
    content = bytes(range(256)) * 1024
    entry = client.store(content)

    reply = client.ask(entry, sent={"Range": "bytes=100000-", "If-Range": f'"{entry.sha256}"'})

    assert (reply.status, reply.body, reply.complete) == (206, content[100_000:], True)
    assert reply.headers["content-range"] == f"bytes 100000-{len(content) - 1}/{len(content)}"
    assert reply.headers["content-length"] == str(len(content) - 100_000)
    assert reply.headers["etag"] == f'"{entry.sha256}"'


def test_a_download_begun_on_another_release_starts_again(client):
    """No mix: the second half of a file never comes from another release."""
    reply = client.ask(client.store(b"new"), sent={"Range": "bytes=1-", "If-Range": '"old"'})

    assert (reply.status, reply.body) == (200, b"new")


def test_two_range_lines_are_ignored(client):
    """Two lines are several parts, and those are not served."""
    lines = ((b"range", b"bytes=0-0"), (b"range", b"bytes=1-1"))

    assert client.ask(client.store(b"abc"), repeated=lines).body == b"abc"


def test_a_part_that_does_not_exist_is_answered_with_the_length(client):
    """A client that has all of it learns so."""
    reply = client.ask(client.store(b"abc"), sent={"Range": "bytes=3-"}, watched=True)

    assert (reply.status, reply.body, reply.complete) == (416, b"", True)
    assert reply.headers["content-range"] == "bytes */3"
    assert reply.headers["content-length"] == "0"
    assert client.delivered == []


@pytest.mark.parametrize("size", [3, KEEP_BYTES + 1])
def test_head_tells_the_same_and_sends_nothing(client, size):
    """HEAD never delivers, so it never counts as an installation; Range is for GET alone."""
    entry = client.store(b"h" * size)
    get = dict(client.ask(entry).headers)

    head = client.ask(entry, "HEAD", sent={"Range": "bytes=0-0"}, watched=True)

    assert (head.status, head.body, head.complete, head.headers) == (200, b"", True, get)
    assert client.delivered == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", ""])
def test_only_get_and_head_are_answered(client, method):
    """The gate is for reading."""
    reply = client.ask(client.store(b"x"), method)

    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert json.loads(reply.body)["status"] == 405


def test_a_client_that_insists_on_other_bytes_is_told_so(client):
    """If-Match is the client's own guard against a mix."""
    reply = client.ask(client.store(b"x"), sent={"If-Match": '"other"'})

    assert (reply.status, reply.body, reply.headers["content-length"]) == (412, b"", "0")


@pytest.mark.parametrize("size", [10, PIECE_BYTES * 2, KEEP_BYTES + 1])
@pytest.mark.parametrize("damage", ["missing", "short", "long"])
@pytest.mark.parametrize("sent", [{}, {"Range": "bytes=2-5"}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_damaged_blob_is_never_a_short_success(client, size, damage, sent, method):
    """A truncated 200 would be installed; 503 is asked again later."""
    entry = client.store(b"d" * size)
    blob = client.root / entry.sha256
    match damage:
        case "missing":
            blob.unlink()
        case "short":
            blob.write_bytes(b"d" * (size - 1))
        case _:
            blob.write_bytes(b"d" * (size + 1))

    reply = client.ask(entry, method, sent=sent, watched=True)

    assert (reply.status, reply.headers["retry-after"], reply.complete) == (503, "10", True)
    assert (reply.body == b"") is (method == "HEAD")
    assert client.delivered == []


def test_a_blob_cut_while_it_is_sent_breaks_the_reply(client, monkeypatch):
    """The length was promised already: the only honest end is a broken connection."""
    entry = client.store(b"c" * (PIECE_BYTES * 3))
    cut = client.root / entry.sha256
    send = client.send

    async def send_and_cut(message: Mapping[str, Any]) -> None:
        await send(message)
        cut.write_bytes(b"c" * PIECE_BYTES)

    monkeypatch.setattr(client, "send", send_and_cut)
    reply = client.ask(entry, watched=True)

    assert (reply.status, reply.complete, len(reply.body)) == (200, False, PIECE_BYTES)
    assert client.delivered == [(0, PIECE_BYTES)]


@pytest.mark.parametrize("size", [1, PIECE_BYTES, PIECE_BYTES * 2 + 5])
def test_a_complete_delivery_is_told_in_order_and_without_gaps(client, size):
    """Installed is counted from these numbers: every byte, once."""
    client.ask(client.store(b"w" * size), watched=True)

    covered = [position for part in client.delivered for position in range(*part)]
    assert covered == list(range(size))


def test_an_empty_file_is_delivered_too(client):
    """A file that became empty is a change like any other."""
    client.ask(client.store(b""), watched=True)

    assert client.delivered == [(0, 0)]


def test_parts_are_told_by_their_place_in_the_file(client):
    """Two halves in two requests make a whole."""
    entry = client.store(b"r" * 1000)

    client.ask(entry, sent={"Range": "bytes=600-"}, watched=True)
    client.ask(entry, sent={"Range": "bytes=0-599"}, watched=True)

    assert client.delivered == [(600, 1000), (0, 600)]


def test_a_client_that_leaves_is_not_told_as_served(client):
    """A machine that lost its connection has not installed."""
    client.leaves_after = PIECE_BYTES * 2

    client.ask(client.store(b"l" * (PIECE_BYTES * 20)), watched=True)

    assert client.delivered
    assert client.delivered[-1][1] <= PIECE_BYTES * 2
    assert not client.complete


def test_a_server_that_says_so_by_an_error_ends_the_reply(client, monkeypatch):
    """ASGI 2.4 lets ``send`` raise OSError when nobody listens; that is no fault of ours."""
    send = client.send

    async def refusing(message: Mapping[str, Any]) -> None:
        if client.body:
            raise OSError
        await send(message)

    monkeypatch.setattr(client, "send", refusing)
    client.ask(client.store(b"o" * (PIECE_BYTES * 4)), watched=True)

    assert client.delivered == [(0, PIECE_BYTES)]


def test_memory_is_bounded_and_drops_what_was_used_least_lately(tmp_path):
    """A channel with more small files than memory must not eat the machine it runs on."""
    client = Client(Answerer(memory_bytes=250), tmp_path)
    first, second, third = (client.store(letter * 100) for letter in (b"1", b"2", b"3"))
    for entry in (first, second, first, third):
        client.ask(entry)
    for entry in (first, second, third):
        (tmp_path / entry.sha256).unlink()

    statuses = [client.ask(entry).status for entry in (first, second, third)]

    assert statuses == [200, 503, 200]


def test_a_file_larger_than_all_memory_is_served_without_it(tmp_path):
    """Zero memory is slow, not broken."""
    client = Client(Answerer(memory_bytes=0), tmp_path)
    entry = client.store(b"big")

    assert [client.ask(entry).body for _ in range(2)] == [b"big", b"big"]


def test_one_file_under_two_names_keeps_each_names_headers(client):
    """Heads are kept by what they say, not by the digest alone."""
    text = client.store(b"same", media="text/plain")
    page = client.store(b"same", media="text/html")

    assert client.ask(text).headers["content-type"] == "text/plain"
    assert client.ask(page).headers["content-type"] == "text/html"
    assert "last-modified" not in client.ask(text, dated=False).headers
