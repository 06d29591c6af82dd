"""TUF repositories: names of files, and what a release of targets is."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.errors import BadInput
from firedoor.formats.tuf import (
    RoleFile,
    TargetMeta,
    content,
    newest,
    parse_content,
    parse_expires,
    role_file,
    target_paths,
)

TARGETS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1),
    st.builds(
        TargetMeta,
        st.integers(0, 1 << 50),
        st.dictionaries(st.sampled_from(["sha256", "sha512"]), st.text("0123456789abcdef")),
        st.none() | st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(0, 9)),
    ),
)


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("metadata/timestamp.json", RoleFile("timestamp", 0)),
        ("metadata/12.root.json", RoleFile("root", 12)),
        ("metadata/3.a/b.json", RoleFile("a/b", 3)),
        ("metadata/x.7.json", RoleFile("x.7", 0)),
        ("metadata/notes.txt", None),
        ("targets/3.root.json", None),
    ],
)
def test_the_name_of_a_file_says_which_role_it_is(path: str, known: RoleFile | None) -> None:
    """What expires, and what may be dropped, is told by the newest file of each role."""
    assert role_file(path) == known


def test_nine_comes_before_ten() -> None:
    """Versions are numbers; by the letter, the ninth would be the newest for ever."""
    paths = ["metadata/9.root.json", "metadata/10.root.json", "metadata/timestamp.json", "x"]

    assert newest(paths) == {
        "root": "metadata/10.root.json",
        "timestamp": "metadata/timestamp.json",
    }


def test_a_target_is_asked_for_by_each_of_its_digests() -> None:
    """Which one a client takes is its own affair."""
    hashes = {"sha256": "aa", "sha512": "bb"}

    assert target_paths("a/b.c", hashes, prefixed=True) == ("targets/a/aa.b.c", "targets/a/bb.b.c")
    assert target_paths("b", hashes, prefixed=False) == ("targets/b",)


@settings(max_examples=40)
@given(TARGETS)
def test_the_content_of_a_release_is_read_as_it_was_written(
    targets: dict[str, TargetMeta],
) -> None:
    """And is the same bytes in whatever order the roles had them."""
    data = content(targets)

    assert parse_content(data) == targets
    assert content(dict(reversed(targets.items()))) == data


def test_a_role_says_when_it_expires_or_is_none() -> None:
    """Whatever has rotted on the disk must not end the judge."""
    data = b'{"signatures": [], "signed": {"expires": "2027-01-02T03:04:05Z", "x": 1}}'

    assert parse_expires(data) == dt.datetime(2027, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    for wrong in (b"", b"{}", data.replace(b"2027", b"year"), b"\xff"):
        with pytest.raises(BadInput):
            parse_expires(wrong)
    for wrong in (b"", b"[]", b'{"a": {"length": "x"}}'):
        with pytest.raises(BadInput):
            parse_content(wrong)
