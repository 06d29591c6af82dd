"""Releases: same content, same id; what changed; and paths that cannot lead anywhere else."""

import hashlib

import pytest

from firedoor.core import channel
from firedoor.core.channel import Kind, Traits
from firedoor.core.errors import BadInput
from firedoor.core.release import (
    MAX_PATH_BYTES,
    MAX_SEGMENT_BYTES,
    Artefact,
    Change,
    FileEntry,
    Release,
    check_path,
    diff,
    file_purl,
    is_digest,
    media_type,
    release_id,
)
from firedoor.core.units import Digest, UnixMs

A, B = Digest("a" * 64), Digest("b" * 64)
ONE = FileEntry(A, 1, "text/plain")
TWO = FileEntry(B, 2, "text/plain")


def test_an_id_can_be_recomputed_with_nothing_but_a_hash():
    """Anyone who holds the manifest can check the id, in any language."""
    by_hand = (
        '{"channel":"web","kind":"files","manifest":{'
        f'"a/b.txt":{{"sha256":"{A}","size":1,"type":"text/plain"}},'
        f'"\u706b":{{"sha256":"{B}","size":2,"type":"text/plain"}}'
        '},"v":1}'
    )

    found = release_id("web", Kind.FILES, {"\u706b": TWO, "a/b.txt": ONE})

    assert found == hashlib.sha256(by_hand.encode()).hexdigest()


def test_whatever_distinguishes_releases_is_in_the_id():
    """Two different releases under one id would make every verdict about both."""
    ids = [
        release_id("web", Kind.FILES, {"a": ONE}),
        release_id("web2", Kind.FILES, {"a": ONE}),
        release_id("web", Kind.FILES, {"b": ONE}),
        release_id("web", Kind.FILES, {"a": TWO}),
        release_id("web", Kind.FILES, {"a": ONE, "b": ONE}),
        release_id("web", Kind.FILES, {}),
    ]

    assert len(set(ids)) == len(ids)


def test_a_resigned_index_is_the_same_release(monkeypatch):
    """A refresh is served at once and opens no door: its content was judged already."""
    table = {Kind.FILES: Traits(1, 1, 1, undo=(), freshness=("InRelease",))}
    monkeypatch.setattr(channel, "_TRAITS", table)

    before = release_id("web", Kind.FILES, {"a": ONE, "InRelease": ONE})
    after = release_id("web", Kind.FILES, {"a": ONE, "InRelease": TWO})

    assert before == after
    assert before != release_id("web", Kind.FILES, {"a": TWO, "InRelease": TWO})


def test_a_release_cannot_be_changed_after_it_was_named():
    """An immutable release is the promise everything else rests on."""
    manifest = {"b": TWO, "a": ONE}
    release = Release.of("web", Kind.FILES, manifest, UnixMs(5))

    manifest["c"] = ONE

    assert list(release.manifest) == ["a", "b"]
    assert release.id == release_id("web", Kind.FILES, {"a": ONE, "b": TWO})
    with pytest.raises(TypeError):
        release.manifest["c"] = ONE  # type: ignore[index]  # what the type forbids, tried anyway


def test_the_same_content_at_another_time_is_the_same_release():
    """When it was mirrored is for people."""
    first = Release.of("web", Kind.FILES, {"a": ONE}, UnixMs(1))
    later = Release.of("web", Kind.FILES, {"a": ONE}, UnixMs(2))

    assert first.id == later.id
    assert len({first, first}) == 1


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("../a", ONE),
        ("a", FileEntry(Digest("A" * 64), 1, "text/plain")),
        ("a", FileEntry(A, -1, "text/plain")),
        ("a", FileEntry(A, 1, "text/pl\u00e4in")),
        ("a", FileEntry(A, 1, "text/plain\r\nX-Evil: 1")),
    ],
    ids=["path", "digest", "size", "type", "header"],
)
def test_a_release_of_nonsense_is_refused(path, entry):
    """The gate trusts manifests: they become file names and header lines."""
    with pytest.raises(BadInput):
        Release.of("web", Kind.FILES, {path: entry}, UnixMs(0))


def test_the_difference_names_what_was_added_changed_and_removed():
    """People decide on what changed, and the ledger records it by package URL."""
    old = {"gone": ONE, "same": ONE, "up date.gz": ONE}
    new = {"same": ONE, "up date.gz": TWO, "new": TWO}

    assert diff(old, new) == (
        Artefact("gone", Change.REMOVED, A, None, f"pkg:generic/gone?checksum=sha256:{A}"),
        Artefact("new", Change.ADDED, None, B, f"pkg:generic/new?checksum=sha256:{B}"),
        Artefact(
            "up date.gz", Change.CHANGED, A, B, f"pkg:generic/up%20date.gz?checksum=sha256:{B}"
        ),
    )


def test_a_package_url_keeps_the_folders_and_escapes_the_rest():
    """Tools of others split it at the slashes."""
    assert file_purl("a+b/\u706b?#@.gz", A) == (
        f"pkg:generic/a%2Bb/%E7%81%AB%3F%23%40.gz?checksum=sha256:{A}"
    )


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b.c",
        "..a/b..",
        "...",
        "a b",
        "\u706b/\u9632",
        "%2e%2e",
        "a" * MAX_SEGMENT_BYTES,
        "C:x",
    ],
)
def test_an_ordinary_path_is_allowed(path):
    """Vendors have odd names, and a name we refuse is a channel we cannot mirror."""
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/./b",
        "../a",
        "a/../../b",
        "a\\b",
        "a\x00b",
        "a\nb",
        "a\x7f",
        "a\x85b",
        "a\ud800",
        "a" * (MAX_SEGMENT_BYTES + 1),
        "\u706b" * 86,
        "a/" * (MAX_PATH_BYTES // 2) + "a",
    ],
)
def test_a_path_that_could_lead_elsewhere_or_break_a_line_is_refused(path):
    """It is joined to directories and URLs, printed in logs and put into headers."""
    with pytest.raises(BadInput) as caught:
        check_path(path)

    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/rules.tar.GZ", "application/gzip"),
        ("notes.txt", "text/plain"),
        ("dir.txt/file", "application/octet-stream"),
        (".txt", "application/octet-stream"),
        ("engine.bin", "application/octet-stream"),
    ],
)
def test_the_type_of_a_file_is_a_matter_of_its_name(path, expected):
    """Asking the vendor or the platform would make a new release of old bytes."""
    assert media_type(path) == expected


def test_only_lower_case_hexadecimal_is_a_digest():
    """Two spellings of one digest would be two blobs."""
    assert is_digest(A)
    assert not any(map(is_digest, ["", "A" * 64, "a" * 63, "g" * 64, "a" * 64 + "\n"]))
