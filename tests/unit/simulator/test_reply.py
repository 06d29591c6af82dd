"""Reading replies in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.errors import TooLarge
from firedoor.simulator.reply import HEAD_BYTES, BadReply, Reply, ReplyReader

PLAIN = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 5\r\n\r\nhello'
CHUNKED = (
    b'HTTP/1.1 200 OK\r\nETag: "a"\r\nTransfer-Encoding: chunked\r\n\r\n'
    b"3\r\nhel\r\n2;note=x\r\nlo\r\n0\r\nTrailer: t\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN


@given(
    st.sampled_from([PLAIN, CHUNKED, CONTINUED]),
    st.lists(st.integers(0, 150), max_size=12),
)
def test_a_reply_reads_the_same_however_it_is_cut(text: bytes, cuts: list[int]) -> None:
    """TCP promises no boundaries; a client that relies on them fails under load only."""
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    exposed: list[Reply] = []
    reader = ReplyReader(100, exposed.append)

    replies = [reader.feed(text[start:end]) for start, end in pairwise(edges)]

    assert replies[:-1] == [None] * (len(replies) - 1)
    last = replies[-1]
    assert last is not None
    assert (last.status, last.headers["etag"], last.body) == (200, '"a"', b"hello")
    assert len(exposed) == 1
    assert reader.keeps_alive


@given(st.binary(max_size=300))
def test_noise_is_refused_or_waited_out_but_never_a_fault(noise: bytes) -> None:
    """A machine in the fleet must survive whatever a broken server sends it."""
    reader = ReplyReader(100)
    try:
        reply = reader.feed(b"HTTP/1.1 200 OK\r\n" + noise)
    except (BadReply, TooLarge):
        return

    assert reply is None or len(reply.body) <= 100


def test_exposure_is_told_at_the_first_byte_of_the_body_not_of_the_head() -> None:
    """The ground truth of who received a release hangs on this moment."""
    exposed: list[Reply] = []
    reader = ReplyReader(100, exposed.append)

    reader.feed(PLAIN[:-5])
    before = list(exposed)
    reader.feed(b"h")

    assert before == []
    assert [reply.headers["etag"] for reply in exposed] == ['"a"']


def test_a_reply_without_a_body_exposes_nobody() -> None:
    """A poll that is told "unchanged" is not an exposure, whatever length its head names."""
    exposed: list[Reply] = []
    reader = ReplyReader(100, exposed.append)

    reply = reader.feed(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")

    assert reply is not None
    assert reply.status == 304
    assert exposed == []


def test_a_reply_without_a_length_ends_with_its_connection() -> None:
    """Old servers answer so."""
    reader = ReplyReader(100)

    assert reader.feed(b"HTTP/1.0 200 OK\r\n\r\nhel") is None
    assert reader.feed(b"lo") is None
    assert reader.end().body == b"hello"
    assert not reader.keeps_alive


@pytest.mark.parametrize("text", [b"", PLAIN[:9], PLAIN[:-1], CHUNKED[:-2]])
def test_a_reply_that_breaks_off_is_not_taken_for_whole(text: bytes) -> None:
    """Half a file that counts as a file would be installed."""
    reader = ReplyReader(100)
    reader.feed(text)

    with pytest.raises(BadReply):
        reader.end()


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * (HEAD_BYTES + 1),
    ],
)
def test_what_is_no_reply_is_refused(text: bytes) -> None:
    """Going on after nonsense would read one answer as another's."""
    with pytest.raises(BadReply):
        ReplyReader(100).feed(text)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n",
    ],
)
def test_a_body_over_the_limit_is_refused_as_soon_as_it_is_known(text: bytes) -> None:
    """A server must not be able to fill the memory of the simulator."""
    with pytest.raises(TooLarge):
        ReplyReader(100).feed(text)


def test_a_connection_that_says_close_or_more_than_asked_is_not_used_again() -> None:
    """The next answer on it could belong to nobody's question."""
    says_close, says_more = ReplyReader(100), ReplyReader(100)

    says_close.feed(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    says_more.feed(PLAIN + b"HTTP/1.1 200")

    assert not says_close.keeps_alive
    assert not says_more.keeps_alive
