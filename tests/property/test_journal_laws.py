"""Laws of reading a journal as it streams."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.journal_reference import read
from tests.journals import STARTED, STOPPED, UNIT_FAILED, exported

from firedoor.config.definitions import shipped
from firedoor.core.definition import LogSource
from firedoor.formats.journal import LONGEST_ENTRY, LONGEST_VALUE, Scanner

ROWS = shipped().of(LogSource.JOURNAL)
FAILED = exported(UNIT_FAILED)

# Little things that the format is made of, put together in ways it does not allow as well.
text = st.sampled_from(
    [
        b"",
        b"hello",
        b"Oops: 0000 [#1]",
        b"a=b",
        b"\xff",
        b"\xc3\xbc",
        b"\0",
        b"\0\0\0\0\0\0\0\0",
        b"x" * (LONGEST_ENTRY - 1),
        b"x" * LONGEST_ENTRY,
    ]
)
name = st.sampled_from(
    [b"MESSAGE", b"_BOOT_ID", b"UNIT", b"COREDUMP", b"_CMDLINE", b"lower", b"A", b"N" * 64]
)
boot = st.sampled_from([b"_BOOT_ID=%s\n" % (letter * 32) for letter in (b"a", b"b", b"c")])
length = st.sampled_from([0, 1, 5, 10, 300, 2**32, 2**56 + 1, 2**63, 2**64 - 1])


@st.composite
def binary(draw: st.DrawFn) -> bytes:
    """A binary field: mostly right."""
    value = draw(st.sampled_from([FAILED, b"two\nlines", b"", b"\n\n", b"y" * (LONGEST_VALUE + 9)]))
    said = draw(st.one_of(st.just(len(value)), length)) if draw(st.booleans()) else len(value)
    end = draw(st.sampled_from([b"\n", b"\n", b"\n", b""]))
    return draw(name) + b"\n" + said.to_bytes(8, "little") + value + end


line = st.one_of(
    boot,
    st.builds(lambda field, value: field + b"=" + value + b"\n", name, text),
    binary(),
    st.sampled_from(
        [b"\n", b"junk\n", b"A\n", b"\n\n", FAILED, exported(STOPPED), exported(STARTED)]
    ),
)
journal = st.lists(line, max_size=24).map(b"".join)


def scanned(pieces):
    """What the scanner makes of pieces that it looks at one by one."""
    scanner, found = Scanner(ROWS, at_once=0), []
    for piece in pieces:
        found += scanner.feed(piece)
    return found + scanner.end()


@settings(max_examples=300, deadline=None)
@given(data=journal, cuts=st.lists(st.integers(0, 2_000), max_size=12))
@example(data=FAILED + b"A\n" + bytes([9, 0, 0, 0, 0, 0, 0, 0]), cuts=[])
@example(data=b"A\n" + bytes(8) + b"\n\n" + FAILED, cuts=[3, 9])
def test_wherever_a_journal_is_cut_it_says_what_a_slow_reader_finds_in_it(data, cuts):
    """Chunks are cut anywhere; a field's value may look like entries; lengths lie."""
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[begin:end] for begin, end in pairwise(places)]

    found = scanned(pieces)

    assert found == read(ROWS, data)


@settings(max_examples=60, deadline=None)
@given(data=journal)
def test_byte_by_byte_is_as_good_as_at_once(data):
    """Whoever sends single bytes is read like everybody else."""
    data = data[:3_000]
    assert scanned([data[at : at + 1] for at in range(len(data))]) == scanned([data])
