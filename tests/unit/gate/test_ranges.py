"""Which part of a file a client asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.gate.ranges import asked_part

SIZE = 1000
HUGE = b"9" * 4000


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (b"bytes=0-0", range(1)),
        (b"bytes=0-511", range(512)),
        (b"bytes=500-", range(500, SIZE)),
        (b"bytes=-1", range(999, SIZE)),
        (b"bytes=-5000", range(SIZE)),
        (b"bytes=-" + HUGE, range(SIZE)),
        (b"bytes=10-" + HUGE, range(10, SIZE)),
        (b"bytes=999-999", range(999, SIZE)),
        (b"Bytes= 000000000000000000000001-2 ", range(1, 3)),
    ],
)
def test_a_single_range_is_that_part_of_the_file(header, part):
    """Resumed downloads and freshclam's look at a header depend on it."""
    assert asked_part(header, SIZE) == part


@pytest.mark.parametrize("header", [b"bytes=1000-", b"bytes=" + HUGE + b"-", b"bytes=-0"])
def test_a_part_beyond_the_end_cannot_be_had(header):
    """An empty range is the sign for 416."""
    assert asked_part(header, SIZE) == range(0)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=-",
        b"bytes=--5",
        b"bytes=5-4",
        b"bytes=1-2,4-5",
        b"bytes=1-2, bytes=1-2",
        b"bytes=a-b",
        b"bytes=0x1-2",
        b"bytes=+1-2",
        b"bytes=1 - 2",
        b"bytes=\xd9\xa1-\xd9\xa2",
        b"bytes=" + b"1" * 5000 + b"-",
        b"items=0-1",
    ],
)
def test_what_is_no_single_range_is_ignored(header):
    """The whole file is always a right answer; an error would stop an update."""
    assert asked_part(header, SIZE) is None


def test_an_empty_file_has_no_parts():
    """There is no Content-Range for nothing: the last zero of its bytes are the whole file."""
    assert asked_part(b"bytes=-5", 0) is None
    assert asked_part(b"bytes=0-", 0) == range(0)


_WORDS = st.lists(st.sampled_from([b"bytes=", b"-", b",", b" ", b"0", b"7", b"18", b"\xff"]))


@given(header=st.one_of(_WORDS.map(b"".join), st.binary()), size=st.integers(0, 20))
def test_no_header_reaches_outside_the_file(header, size):
    """The header is written by a stranger; the positions go to pread."""
    part = asked_part(header, size)

    assert part is None or not part or (part.step == 1 and 0 <= part.start < part.stop <= size)
