import asyncio
import gzip
import zlib

import pytest

from firedoor.core.errors import BadInput, TooLarge
from firedoor.intake import body
from firedoor.intake.body import ClientLeft, gunzip, read_body


def read(parts, *, declared=b"", limit=10):
    """Read a body that comes in these parts; None is a client that leaves."""
    waiting = list(parts)

    async def receive():
        part = waiting.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    return asyncio.run(read_body(receive, declared, limit)), waiting


def test_a_chunked_body_is_put_together():
    """Servers hand a body over in pieces of their own choosing."""
    assert read([b"abc", b"", b"def"])[0] == b"abcdef"


def test_a_body_may_be_exactly_as_large_as_the_limit():
    """The limit is a number people may rely on."""
    assert read([b"0123456789"], declared=b"10")[0] == b"0123456789"
    assert read([b"01234", b"56789"])[0] == b"0123456789"


def test_a_declared_size_over_the_limit_is_refused_before_a_byte_is_read():
    """Nothing is gained by reading what will be refused."""
    with pytest.raises(TooLarge):
        read([], declared=b"11")


@pytest.mark.parametrize("declared", [b"", b"3", b"nonsense"])
def test_what_comes_is_counted_whatever_was_declared(declared):
    """A length is a claim."""
    with pytest.raises(TooLarge):
        read([b"012345", b"678901"], declared=declared)
    with pytest.raises(TooLarge):
        read([b"01234567890"], declared=declared)


def test_a_client_that_leaves_is_not_answered():
    """Half a body is no body."""
    with pytest.raises(ClientLeft):
        read([b"abc", None])


def test_a_client_that_never_ends_its_body_is_given_up(monkeypatch):
    """A thousand slow senders must not hold the memory of a thousand bodies for ever."""
    monkeypatch.setattr(body, "_SECONDS", 0.01)
    parts = [b"abc"]

    async def receive():
        if not parts:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": parts.pop(), "more_body": True}

    with pytest.raises(BadInput, match="not complete"):
        asyncio.run(read_body(receive, b"", 10))


def test_gzip_is_unpacked_also_in_members():
    """Log shippers append member to member."""
    assert gunzip(gzip.compress(b"abc") + gzip.compress(b"def"), 6) == b"abcdef"


def test_a_small_body_that_unpacks_to_a_large_one_is_refused_early():
    """A kilobyte of gzip may hold a gigabyte of zeros."""
    bomb = gzip.compress(bytes(10_000_000))

    with pytest.raises(TooLarge):
        gunzip(bomb, 1_000)
    with pytest.raises(TooLarge):
        gunzip(gzip.compress(b"abc") * 3, 8)


@pytest.mark.parametrize(
    "packed",
    [b"", b"not gzip", zlib.compress(b"zlib"), gzip.compress(b"x" * 99)[:-9], b"\x1f\x8b"],
)
def test_a_damaged_gzip_body_is_the_clients_mistake(packed):
    """Nothing of it is believed: its lines may be cut anywhere."""
    with pytest.raises(BadInput):
        gunzip(packed, 1_000)
