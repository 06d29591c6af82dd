"""Bodies that break off, trickle, lie about their size, or are packed."""

import random
import time as real_time

import pytest
from tests.servers import Answer, Asked, raw_vendor, trickle
from tests.unit.adapters.upstream.reading import (
    BODY,
    FILE,
    HEAD,
    PROMISED,
    in_turn,
    reading,
    stored,
)

from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.index import Limits
from firedoor.core.errors import Unavailable, Untrusted
from firedoor.ports import Listed


@pytest.mark.parametrize(
    "broken",
    [Answer(BODY, announced=len(BODY) + 9), Answer(BODY, chunked=True)],
    ids=["announced", "chunked"],
)
@pytest.mark.parametrize("listed", [FILE, PROMISED], ids=["plain", "promised"])
def test_a_body_that_breaks_off_is_asked_for_again(vendor, upstream, blobs, broken, listed):
    """Half a file with a valid name is the most dangerous thing a network can do."""
    vendor.answer = in_turn(broken, Answer(BODY))

    assert upstream.fetch(listed, None, blobs).entry.size == len(BODY)
    assert len(vendor.asked) == 2


def test_a_body_that_always_breaks_off_leaves_nothing(vendor, upstream, blobs, tmp_path):
    """After the last attempt the store is as it was."""
    vendor.answer = in_turn(Answer(BODY, announced=len(BODY) + 9))

    with pytest.raises(Unavailable, match="IncompleteRead"):
        upstream.fetch(FILE, None, blobs)

    assert stored(tmp_path) == []


def test_a_body_without_length_needs_a_promise(vendor, upstream, blobs):
    """Where the end of the connection is the end of the file, nobody knows that it was whole."""
    vendor.answer = in_turn(Answer(BODY, announced=None))

    with pytest.raises(Unavailable, match="without a length"):
        upstream.fetch(FILE, None, blobs)
    assert upstream.fetch(PROMISED, None, blobs).entry.sha256 == PROMISED.sha256


def test_a_body_that_trickles_ends_too(vendor, blobs, time):
    """A byte now and then would keep the channel busy for ever."""
    vendor.answer = in_turn(Answer(BODY, byte_pause_s=0.5))

    with pytest.raises(Unavailable, match=r"longer than 0\.1 s"):
        reading(vendor.url, time, attempts=1, reply_s=0.1).fetch(FILE, None, blobs)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"H"),
        (HEAD, b"x"),
        (HEAD + b"Content-Length: 18\r\nX-Pad: ", b"x"),
        (CONTINUE, CONTINUE),
        (b"HTTP/1.1 302 Found\r\nLocation: /on\r\n", b"x"),
        (CHUNKED + b"\r\n", b"0"),
        (CHUNKED + b"Connection: close\r\n\r\n", b"0"),
        (CHUNKED + b"\r\n0\r\n", b"x"),
    ],
    ids=["status", "header", "long header", "100", "redirect", "size", "last reply", "trailer"],
)
def test_whatever_trickles_ends_too(time, blobs, tmp_path, head, piece):
    """No part of a reply may keep a channel busy for ever, or be believed when it was cut off."""
    with raw_vendor(trickle(head, piece)) as url:
        upstream = reading(url, time, attempts=1, reply_s=0.3)

        for listed in (FILE, PROMISED):
            with pytest.raises(Unavailable, match=r"longer than 0\.3 s"):
                upstream.fetch(listed, None, blobs)

    assert stored(tmp_path) == []


def test_redirects_share_the_time_of_one_request(vendor, time, blobs):
    """Each hop within the limit, and no end: five slow hops are one slow reply."""

    def answer(asked: Asked) -> Answer:
        real_time.sleep(0.2)
        return Answer(b"", 302, {"Location": asked.path + "x"})

    vendor.answer = answer

    with pytest.raises(Unavailable, match=r"longer than 0\.5 s"):
        reading(vendor.url, time, attempts=1, reply_s=0.5).fetch(FILE, None, blobs)


def test_a_look_that_takes_too_long_ends_in_the_middle_of_a_reply(vendor, time, blobs):
    """And nothing is asked after it, however many attempts are left."""
    vendor.answer = in_turn(Answer(BODY, byte_pause_s=0.5))
    until_ms = time.now().mono_ms + 200
    upstream = HttpUpstream(vendor.url, random.Random(7), time, sleep=time.sleep, until_ms=until_ms)

    with pytest.raises(Unavailable, match="took too long"):
        upstream.fetch(FILE, None, blobs)
    with pytest.raises(Unavailable, match="took too long"):
        upstream.index()

    assert len(vendor.asked) == 1


def test_a_file_announced_too_large_is_refused_before_it_travels(vendor, time, blobs):
    """Only the header had to be read."""
    vendor.answer = in_turn(Answer(b"", announced=10**12))

    with pytest.raises(Untrusted, match="larger than 100 bytes"):
        reading(vendor.url, time, Limits(max_file_bytes=100)).fetch(FILE, None, blobs)


def test_a_length_that_is_no_number_is_no_length(vendor, upstream, blobs):
    """Garbage in a header is the vendor's fault, and must not be ours."""
    vendor.answer = in_turn(Answer(BODY, announced=None, headers={"Content-Length": "9" * 5000}))

    with pytest.raises(Unavailable, match="without a length"):
        upstream.fetch(FILE, None, blobs)


def test_a_file_that_lies_about_its_size_is_cut_at_the_limit(vendor, time, blobs, tmp_path):
    """Without a length the limit has to hold while the bytes come."""
    vendor.answer = in_turn(Answer(b"x" * 200, chunked=True))

    with pytest.raises(Untrusted, match="larger than 100 bytes"):
        reading(vendor.url, time, Limits(max_file_bytes=100)).fetch(FILE, None, blobs)

    assert stored(tmp_path) == []


def test_a_packed_body_is_refused_unless_the_file_is_packed_itself(vendor, upstream, blobs):
    """What is hashed and served is the vendor's file, not what a proxy made of it."""
    vendor.answer = in_turn(Answer(BODY, headers={"Content-Encoding": "gzip"}))

    with pytest.raises(Untrusted, match="gzip"):
        upstream.fetch(FILE, None, blobs)
    assert upstream.fetch(Listed("rules.tar.gz", None, None), None, blobs).entry.size == len(BODY)
