"""What ``DirectServer`` does with bytes that no library would send."""

import contextlib
import json
import socket
import time

import pytest
from tests.answer_process import answering
from tests.bench.bench_gate import write_files

ASK = b"GET /%b HTTP/1.1\r\nHost: gate\r\n%b\r\n"
LONG = 1024 * 1024
SHORT = 16 * 1024


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of the gate's answering; two files."""
    root = tmp_path_factory.mktemp("root")
    write_files(root)
    with answering(root) as (_, port):
        yield port


@contextlib.contextmanager
def client(port):
    """A connection that gives up."""
    with socket.create_connection(("127.0.0.1", port), 20) as opened:
        yield opened


def all_of(opened):
    """What comes until the server closes."""
    held = bytearray()
    while piece := opened.recv(1 << 16):
        held += piece
    return bytes(held)


def test_requests_that_come_at_once_are_answered_in_turn(port):
    """A client like apt sends ten and waits; in another order it would have others' bytes."""
    names = [b"16k.bin", b"1m.bin"] * 5
    with client(port) as opened:
        asked = [ASK % (name, b"") for name in names[:-1]]
        opened.sendall(b"".join(asked) + ASK % (names[-1], b"Connection: close\r\n"))
        said = all_of(opened)

    lengths = [
        int(head.split(b"\r\n", 1)[0])
        for head in said.split(b"\r\ncontent-length: ")[1:]
        if head.split(b"\r\n", 1)[0].isdigit()
    ]
    assert lengths == [SHORT, LONG] * 5
    assert said.count(b"HTTP/1.1 200 OK\r\n") == 10
    assert len(said) > 5 * (SHORT + LONG)


@pytest.mark.parametrize("name", [b"16k.bin", b"1m.bin"])
def test_a_head_may_come_byte_by_byte_and_be_read_slowly(port, name):
    """Networks cut wherever they like."""
    with client(port) as opened:
        for byte in ASK % (name, b"Connection: close\r\n"):
            opened.sendall(bytes([byte]))
        time.sleep(0.3)
        head, _, body = all_of(opened).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close" in head
    assert len(body) == (SHORT if name == b"16k.bin" else LONG)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: gate\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: gate\r\nX: " + b"x" * 70_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: gate\r\n" + b"x:\r\n" * 16_000 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: gate\r\n" + b"x:\r\n" * 100 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: gate\r\n\r\n", b"431"),
        (b"G" * 70_000, b"431"),
        (b"GET /16k.bin\r\n\r\n", b"400"),
        (b"GET /16k.bin HTTP/1.1\nHost: gate\n\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"CONNECT gate:22 HTTP/1.1\r\nHost: gate\r\n\r\n", b"400"),
        (
            ASK % (b"", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
            b"400",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n",
            b"400",
        ),
    ],
)
def test_what_is_no_request_is_refused_once(port, said, status):
    """Who cannot be understood is told so, and what follows is not taken for a request either."""
    with client(port) as opened:
        opened.sendall(said)
        opened.sendall(ASK % (b"16k.bin", b""))
        opened.shutdown(socket.SHUT_WR)
        told = all_of(opened)

    assert told.startswith(b"HTTP/1.1 " + status)
    assert told.count(b"HTTP/1.1") == 1


def test_what_follows_a_body_is_not_taken_for_a_request(port):
    """The one who wrote the body may be another than the one who owns the connection."""
    smuggled = ASK % (b"1m.bin", b"")
    with client(port) as opened:
        opened.sendall(ASK % (b"16k.bin", b"Content-Length: %d\r\n" % len(smuggled)) + smuggled)
        opened.shutdown(socket.SHUT_WR)
        told = all_of(opened)

    assert told.count(b"HTTP/1.1 200") == 1
    assert SHORT < len(told) < 2 * SHORT


def test_a_hundred_header_fields_are_read(port):
    """Proxies add theirs; the limit is far from what anybody sends who means it."""
    with client(port) as opened:
        opened.sendall(ASK % (b"16k.bin", b"Connection: close\r\n" + b"x:\r\n" * 98))
        told = all_of(opened)

    assert told.startswith(b"HTTP/1.1 200 ")


def test_who_asks_before_it_sends_a_body_gets_its_answer_at_once(port):
    """``Expect: 100-continue``: nobody here wants the body, and the client must not wait for us."""
    with client(port) as opened:
        opened.sendall(ASK % (b"16k.bin", b"Expect: 100-continue\r\nContent-Length: 5\r\n"))
        told = all_of(opened)

    assert told.startswith(b"HTTP/1.1 200 ")
    assert b"100 Continue" not in told


@pytest.mark.parametrize("fields", [b"", b"Connection: keep-alive\r\n"])
def test_a_client_of_http_1_0_is_told_that_its_connection_ends(port, fields):
    """It would wait for the end of a connection that stays."""
    with client(port) as opened:
        opened.sendall(b"GET /16k.bin HTTP/1.0\r\n" + fields + b"\r\n")
        head, _, body = all_of(opened).partition(b"\r\n\r\n")

    assert b"\r\nconnection: close" in head
    assert len(body) == SHORT


def test_heads_among_others_have_no_bodies(port):
    """A body after HEAD would be read as the next reply; one before it as the next request."""
    with client(port) as opened:
        head = (ASK % (b"1m.bin", b"")).replace(b"GET", b"HEAD")
        opened.sendall(
            head * 3
            + ASK % (b"16k.bin", b"")
            + head.replace(b"\r\n\r\n", b"\r\nContent-Length: 7\r\n\r\nGET / H")
            + ASK % (b"1m.bin", b"")
        )
        told = all_of(opened)

    assert told.count(b"HTTP/1.1 200 OK\r\n") == 5
    assert told.count(b"\r\ncontent-length: %d\r\n" % LONG) == 4
    assert len(told) < 2 * SHORT


def test_a_client_that_resumes_what_broke_off_is_told_as_complete(port):
    """It asks for the bytes it lacks and for no others: what it took of a part must count."""
    got = 0
    while got < LONG:
        with client(port) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SHORT)
            opened.sendall(ASK % (b"watched/1m.bin", b"Range: bytes=%d-\r\n" % got))
            held = bytearray()
            while b"\r\n\r\n" not in held:
                held += opened.recv(4096)
            more = len(held.partition(b"\r\n\r\n")[2])
            until = min(LONG - got, 300_000)
            while more < until:
                more += len(opened.recv(min(1 << 16, until - more)))
            got += more
    told: list[tuple[int, int]] = []
    after = time.monotonic() + 10
    while time.monotonic() < after and not covers(told, LONG):
        told = deliveries(port)

    assert covers(told, LONG)


def deliveries(port):
    """(start, end) of what was told of the long file."""
    with client(port) as opened:
        opened.sendall(ASK % (b"deliveries", b"Connection: close\r\n"))
        said = json.loads(all_of(opened).partition(b"\r\n\r\n")[2])
    return sorted((start, end) for name, start, end in said if name == "1m.bin")


def covers(parts, size):
    """Whether the parts leave no gap."""
    end = 0
    for start, stop in parts:
        if start > end:
            return False
        end = max(end, stop)
    return end == size
