"""What foreign XML may do to the reader of RPM indices: be read, or be refused."""

from contextlib import suppress
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from firedoor.core.errors import BadInput
from firedoor.formats.rpm import packages, parse_repomd

PRIMARY = (
    b'<?xml version="1.0"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" '
    b'xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="2">'
    + b"".join(
        b'<package type="rpm"><name>tool%d</name><arch>noarch</arch>'
        b'<checksum type="sha256" pkgid="YES">%064x</checksum><summary>a &amp; b</summary>'
        b'<size package="%d" archive="1"/><location href="p/tool%%2B%d.rpm"/>'
        b'<format><rpm:provides><rpm:entry name="a"/></rpm:provides></format></package>'
        % (each, each, each, each)
        for each in range(2)
    )
    + b"</metadata>"
)
WORDS = st.sampled_from(
    [
        *b"<repomd> </repomd> <data> <data/> </data> <checksum> </checksum> <package>".split(),
        *b"<location/> </package> <metadata> </metadata> <name>x</name> <?a?> &lt; &a;".split(),
        b'<data type="primary">',
        b'<checksum type="sha">',
        b'<location href="a"/>',
        b"0" * 40,
        b"<!DOCTYPE x>",
        b'<!DOCTYPE repomd [<!ENTITY a "b">]>',
    ]
)


@given(st.lists(st.integers(0, len(PRIMARY)), max_size=8))
def test_an_index_says_the_same_wherever_its_chunks_are_cut(cuts):
    """The network cuts where it likes, also within a tag or an escape."""
    edges = [0, *sorted(cuts), len(PRIMARY)]
    chunks = [PRIMARY[a:b] for a, b in pairwise(edges)]

    found = list(packages(chunks))

    assert found == list(packages([PRIMARY]))
    assert [each.path for each in found] == ["p/tool+0.rpm", "p/tool+1.rpm"]
    assert [each.size for each in found] == [0, 1]


@given(st.one_of(st.binary(max_size=200), st.lists(WORDS, max_size=12).map(b"".join)))
@example(b"\xff\xfe<\x00r\x00e\x00")
@example(b"<repomd><data/></repomd>")
def test_any_bytes_are_read_or_refused(data):
    """A traceback in the mirror's thread would tell nobody what is wrong upstream."""
    for read in (parse_repomd, lambda text: list(packages([text]))):
        with suppress(BadInput):
            read(data)
