"""Stanzas of a Debian index, as apt reads them."""

import pytest

from firedoor.core.errors import BadInput
from firedoor.formats.debian import packages

DIGEST = "ab" * 32
STANZA = (
    "Package: sl\n"
    "Description: a train\n"
    " Package: no field, as the line goes on\n"
    "Version:5.02-1\n"
    "ARCHITECTURE:\tamd64 \n"
    "filename: ./pool/main/s/sl/sl_5.02-1_amd64.deb\n"
    "Size: 12\n"
    f"sha256: {DIGEST.upper()}"
)


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n \t\r\n\n"])
def test_names_of_fields_are_in_any_case(end):
    """As apt does not look at the case, and the last line need not end."""
    (package,) = packages([(STANZA + end).encode()])

    assert package == (
        "sl", "5.02-1", "amd64", "pool/main/s/sl/sl_5.02-1_amd64.deb", DIGEST, 12,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["Filename", "FILENAME", "filename"])
def test_of_two_fields_the_first_counts_whatever_their_case(name):
    """Or a machine would be sent to another file than the one that was looked at."""
    (package,) = packages([f"{STANZA}\n{name}: evil.deb\n".encode()])

    assert package.path == "pool/main/s/sl/sl_5.02-1_amd64.deb"


def test_where_the_index_is_cut_does_not_matter():
    """It is read in pieces."""
    text = f"{STANZA}\n\n{STANZA.replace('sl', 'cowsay')}\n".encode()

    whole = list(packages([text]))

    assert [each.name for each in whole] == ["sl", "cowsay"]
    for size in (1, 2, 7, 64):
        assert list(packages(text[at : at + size] for at in range(0, len(text), size))) == whole


@pytest.mark.parametrize("name", ["Package", "Version", "filename", "Size", "sha256"])
def test_a_package_without_what_it_takes_is_refused_by_what_it_lacks(name):
    """An empty field is none."""
    lacking = "".join(
        f"{name}: \n" if line.startswith(f"{name}:") else f"{line}\n" for line in STANZA.split("\n")
    )

    with pytest.raises(BadInput, match=name.lower()):
        list(packages([lacking.encode()]))


def test_what_is_not_text_is_refused():
    """A name in another encoding would be another name to every reader."""
    with pytest.raises(BadInput, match="UTF-8"):
        list(packages([STANZA.encode().replace(b"sl\n", b"s\xff\n", 1)]))
