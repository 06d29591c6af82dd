import asyncio
import gzip
import random
import zlib

import pytest

from firedoor.core.errors import BadInput, TooLarge, TooMuch, Unavailable
from firedoor.intake import body
from firedoor.intake.body import MAX_MEMBERS, Budget, ClientLeft, gunzip, read_body, unpack

FREE = 4 * 1024


def account(total=1_000_000):
    return Budget(total).open()


def read(parts, *, declared=b"", limit=10):
    """Read a body that comes in these parts; None is a client that leaves."""
    waiting = list(parts)

    async def receive():
        part = waiting.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    return asyncio.run(read_body(receive, declared, limit, account())), waiting


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
        asyncio.run(read_body(receive, b"", 10, account()))


def test_a_client_that_never_begins_its_body_is_given_up_too(monkeypatch):
    """A length was declared and no byte ever came: the connection must not stay for ever."""
    monkeypatch.setattr(body, "_SECONDS", 0.01)

    async def receive():
        await asyncio.Event().wait()

    async def patiently():
        async with asyncio.timeout(10):
            await read_body(receive, b"10", 10, account())

    with pytest.raises(BadInput, match="not complete"):
        asyncio.run(patiently())


def test_bodies_in_flight_are_bounded_and_what_was_answered_makes_room():
    """Forty slow senders of eight megabytes must not take three hundred of memory."""
    budget = Budget(10_000)

    with budget.open() as first, budget.open() as second:
        first.add(FREE + 6_000)
        with pytest.raises(Unavailable):
            second.add(FREE + 4_001)
        first.add(4_000)
        with pytest.raises(Unavailable):
            first.add(1)
    with budget.open() as third:
        third.add(FREE + 10_000)


def test_a_sender_holds_its_share_and_leaves_the_rest_to_others():
    """One that floods us shuts out itself."""
    budget = Budget(10_000, 4_000)

    with budget.open("a") as first, budget.open("a") as second, budget.open("b") as other:
        first.add(FREE + 3_000)
        with budget.open("a") as third, pytest.raises(TooMuch):
            third.add(FREE + 1_001)
        second.add(FREE + 1_000)
        other.add(FREE + 4_000)
        with budget.open() as stranger, pytest.raises(Unavailable, match="too many bodies are"):
            stranger.add(FREE + 2_001)
    with budget.open("a") as again:
        again.add(FREE + 4_000)


def test_a_request_that_is_its_senders_only_one_may_take_what_there_is():
    """What is decoded takes many times its size: it must not be refused for ever."""
    budget = Budget(10_000, 4_000)

    with budget.open("a") as only:
        only.add(FREE + 2_000)
        only.add(7_000)
        with budget.open("a") as second:
            second.add(FREE)
            with pytest.raises(TooMuch):
                second.add(1)


def test_a_body_that_others_left_no_room_for_is_turned_away_while_it_comes():
    """What counts is what came, whatever was declared."""
    parts = [bytes(FREE), bytes(600), bytes(600)]

    async def receive():
        return {"type": "http.request", "body": parts.pop(0), "more_body": True}

    with pytest.raises(Unavailable):
        asyncio.run(read_body(receive, b"", 100_000, account(1_000)))
    assert parts == []


def test_a_small_body_is_taken_however_full_it_is():
    """A machine's own heartbeat must get through beside those who hold everything."""
    with account(0) as full:
        full.add(FREE)
        with pytest.raises(Unavailable):
            full.add(1)


@pytest.mark.parametrize("size", [20_000, 300_000])
def test_what_a_body_unpacks_to_is_paid_for_as_well(size):
    """A few hundred bytes of gzip are megabytes once unpacked, in whichever thread."""
    packed = gzip.compress(random.Random(1).randbytes(size))

    assert len(asyncio.run(unpack(packed, size, account(size)))) == size
    with pytest.raises(Unavailable):
        asyncio.run(unpack(packed, size, account(size - FREE - 1)))


def test_gzip_is_unpacked_also_in_members():
    """Log shippers append member to member."""
    assert gunzip(gzip.compress(b"abc") + gzip.compress(b"def"), 6) == b"abcdef"


def test_members_of_every_size_are_put_together():
    """A body is fed to the unpacker in slices, and a member may end anywhere in one."""
    dice = random.Random(7)
    parts = [dice.randbytes(size) for size in (0, 1, 65_500, 65_536, 200_000, 3, 65_535)]

    packed = b"".join(map(gzip.compress, parts))

    assert gunzip(packed, 1_000_000) == b"".join(parts)


def test_members_are_counted():
    """Two hundred thousand empty members once kept the whole intake waiting for eleven seconds."""
    empty = gzip.compress(b"")

    assert gunzip(gzip.compress(b"a") * MAX_MEMBERS, 100) == b"a" * MAX_MEMBERS
    with pytest.raises(BadInput, match="members"):
        gunzip(empty * 200_000, 100)


def test_a_small_body_that_unpacks_to_a_large_one_is_refused_early():
    """A kilobyte of gzip may hold a gigabyte of zeros."""
    bomb = gzip.compress(bytes(10_000_000))

    with pytest.raises(TooLarge):
        gunzip(bomb, 1_000)
    with pytest.raises(TooLarge):
        gunzip(gzip.compress(b"abc") * 3, 8)


@pytest.mark.parametrize(
    "packed",
    [b"", b"not gzip", zlib.compress(b"zlib"), gzip.compress(b"x" * 99, mtime=0)[:-9], b"\x1f\x8b"],
)
def test_a_damaged_gzip_body_is_the_clients_mistake(packed):
    """Nothing of it is believed: its lines may be cut anywhere."""
    with pytest.raises(BadInput):
        gunzip(packed, 1_000)
