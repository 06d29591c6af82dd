"""Files that break off in the middle: only their rest is asked for, and the digest decides."""

import hashlib

import pytest
from tests.servers import Answer
from tests.unit.adapters.upstream.reading import reading, stored

from firedoor.core.errors import Unavailable, Untrusted
from firedoor.core.units import Digest
from firedoor.ports import Listed

LONG = bytes(range(256)) * 400
CUT = 60_000
FILE = Listed("feed.bin", Digest(hashlib.sha256(LONG).hexdigest()), len(LONG))
ETAG = {"ETag": '"v1"'}


def broken(body=LONG):
    """The first part of a file, and then the end of the connection."""
    return Answer(body[:CUT], headers=ETAG, announced=len(body))


def part(asked, body=LONG, status=206):
    """What a server has from a byte on."""
    begin = int(asked.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    span = {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"}
    return Answer(body[begin:], status, span)


def test_only_the_rest_of_a_file_is_asked_for(vendor, upstream, blobs):
    """A database of 200 MB over a line that breaks every 100 MB would never come."""
    vendor.answer = lambda asked: part(asked) if asked.headers["Range"] else broken()

    assert upstream.fetch(FILE, None, blobs).entry.size == len(LONG)

    _, second = vendor.asked
    assert (second.headers["Range"], second.headers["If-Range"]) == (f"bytes={CUT}-", '"v1"')


def test_a_rest_that_breaks_off_is_resumed_too(vendor, upstream, blobs):
    """Each time from where it is."""

    def answer(asked):
        if not asked.headers["Range"]:
            return broken()
        rest = part(asked)
        if len(vendor.asked) > 2:
            return rest
        return Answer(rest.body[:10_000], 206, rest.headers, announced=len(rest.body))

    vendor.answer = answer

    assert upstream.fetch(FILE, None, blobs).entry.size == len(LONG)
    assert [asked.headers["Range"] for asked in vendor.asked] == [
        None, f"bytes={CUT}-", f"bytes={CUT + 10_000}-",
    ]  # fmt: skip


@pytest.mark.parametrize("status", [200, 416, 404])
def test_where_there_is_no_rest_all_of_it_is_asked_for_again(vendor, upstream, blobs, status):
    """A server that knows no ranges, or has another file by now."""

    def answer(asked):
        if asked.headers["Range"]:
            return Answer(LONG if status == 200 else b"", status)
        return broken() if len(vendor.asked) == 1 else Answer(LONG)

    vendor.answer = answer

    assert upstream.fetch(FILE, None, blobs).entry.size == len(LONG)
    assert len(vendor.asked) == 3


def test_a_rest_of_another_file_is_never_believed(vendor, upstream, blobs, tmp_path):
    """Two halves of two versions are neither; a server that splices is told by the digest."""
    other = LONG[::-1]
    vendor.answer = lambda asked: part(asked, other) if asked.headers["Range"] else broken()

    with pytest.raises(Untrusted):
        upstream.fetch(FILE, None, blobs)

    assert stored(tmp_path) == []


def test_a_rest_that_begins_elsewhere_is_none(vendor, time, blobs, tmp_path):
    """Content-Range says what the bytes are."""

    def answer(asked):
        if not asked.headers["Range"]:
            return broken()
        return Answer(LONG[CUT + 1 :], 206, {"Content-Range": f"bytes {CUT + 1}-"})

    vendor.answer = answer

    with pytest.raises(Unavailable, match="answered 206 to a part of a file"):
        reading(vendor.url, time, attempts=2).fetch(FILE, None, blobs)
    assert stored(tmp_path) == []


def test_a_file_without_a_promise_is_asked_for_anew(vendor, upstream, blobs):
    """Nobody could tell that its halves belong together."""
    vendor.answer = lambda _: broken() if len(vendor.asked) == 1 else Answer(LONG)

    upstream.fetch(Listed("feed.bin", None, None), None, blobs)

    assert [asked.headers["Range"] for asked in vendor.asked] == [None, None]
