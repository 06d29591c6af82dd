"""Laws of lists and releases: what no vendor's bytes may break."""

import json
from contextlib import suppress
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from firedoor.core import release
from firedoor.core.channel import Kind
from firedoor.core.errors import BadInput
from firedoor.core.release import (
    Change,
    FileEntry,
    Release,
    canonical_manifest,
    check_path,
    diff,
    media_type,
)
from firedoor.core.units import Digest, UnixMs
from firedoor.formats.listing import parse_json, parse_page, parse_sums

digests = st.text("0123456789abcdef", min_size=64, max_size=64).map(Digest)
segments = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="/\\"),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in {".", ".."})
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)
entries = st.builds(FileEntry, digests, st.integers(0, 2**60), paths.map(media_type))
manifests = st.dictionaries(paths, entries, max_size=6)

# Bytes near enough to the real thing to get past the first check.
pieces = st.sampled_from(
    [
        b"<a", b" href", b"=", b'"', b"'", b">", b"<!--", b"-->", b"<script>", b"</script>", b"../",
        b"/", b"%2f", b"%00", b"%", b"&#46;", b"&amp;", b"?C=N", b"#", b"http:", b"x", b" ", b"\n",
        b"\\", b"\xff", b"a" * 64, b"  ", b" *", b"SHA256 (", b") = ", b"[", b"]", b"{", b"}",
        b'"path":', b'"sha256":', b'"size":', b"-1", b"1e9", b",", b"null", b'"a"', b"\xef\xbb\xbf",
    ]
)  # fmt: skip
odd = st.lists(pieces, max_size=6).map(lambda some: b"".join(some).decode("latin-1"))
rows = st.lists(
    st.fixed_dictionaries(
        {"path": odd | paths},
        optional={"sha256": digests | odd, "size": st.integers(-1, 2**60) | odd},
    ),
    max_size=4,
)
foreign = st.one_of(
    st.lists(pieces, max_size=40).map(b"".join),
    st.binary(max_size=200),
    # The real thing, but for its names.
    st.lists(odd | paths, max_size=4).map(
        lambda names: "".join(f'<a href="{name}">x</a>' for name in names).encode()
    ),
    st.lists(st.tuples(digests, odd | paths), max_size=4).map(
        lambda lines: "".join(f"{digest}  {name}\n" for digest, name in lines).encode()
    ),
    rows.map(lambda some: json.dumps(some).encode()),
)


@pytest.mark.parametrize(
    "names",
    [lambda data: parse_page(data).files, parse_sums, parse_json],
    ids=["page", "sums", "json"],
)
def test_the_bytes_below_do_name_files_now_and_then(names):
    """If the readers refused them all, the laws below would say nothing."""

    def names_some(data):
        with suppress(BadInput):
            return bool(names(data))
        return False

    often_enough = settings(max_examples=5_000, phases=[Phase.generate])

    assert names_some(find(foreign, names_some, settings=often_enough))


@given(st.text("ab.-_~+/\\\n\x7fä", max_size=12) | paths | st.text("a", min_size=90))
def test_what_the_short_look_at_a_path_passes_the_close_one_would_too(path):
    """Most paths are passed by one pattern; it may pass nothing that must not be."""
    if release.USUAL_PATH.fullmatch(path):
        assert path.isprintable()
        assert "\\" not in path
        assert not {"", ".", ".."} & set(path.split("/"))
        assert len(path.encode()) <= release.MAX_PATH_BYTES
        assert max(map(len, path.split("/"))) <= release.MAX_SEGMENT_BYTES


@given(foreign)
def test_no_page_names_a_child_that_could_be_elsewhere(data):
    """Whatever a server prints: a name is one segment that stays in its directory, or an error."""
    with suppress(BadInput):
        page = parse_page(data)
        for name in page.files + page.directories:
            assert check_path(name) == name
            assert "/" not in name


@given(foreign)
def test_no_list_names_a_path_that_could_lead_out(data):
    """Whatever a vendor lists: a path stays in the channel and a digest is one, or an error."""
    for parse in (parse_sums, parse_json):
        with suppress(BadInput):
            for path, promise in parse(data).items():
                assert check_path(path) == path
                assert promise.sha256 is None or len(promise.sha256) == 64
                assert promise.size is None or promise.size >= 0


@given(st.sets(segments), st.sets(segments))
def test_a_page_that_escapes_its_names_is_read_back(files, directories):
    """Any name a file can have comes through the escaping servers do."""
    names = [quote(name) for name in files] + [f"{quote(name)}/" for name in directories]
    text = "".join(f'<a href="./{escape(name)}">{escape(name)}</a>' for name in names)

    page = parse_page(text.encode())

    assert (set(page.files), set(page.directories)) == (files, directories)


@given(st.dictionaries(paths.filter(lambda path: not path.startswith("./")), digests))
def test_a_checksum_list_is_read_back(sums):
    """In either of its modes."""
    gnu = "".join(f"{digest}  {path}\n" for path, digest in sums.items())
    bsd = "".join(f"SHA256 ({path}) = {digest}\n" for path, digest in sums.items())

    for text in (gnu, bsd):
        assert {path: p.sha256 for path, p in parse_sums(text.encode()).items()} == sums


@given(manifests)
def test_a_manifest_has_one_spelling_and_says_everything(manifest):
    """Equal manifests have equal bytes, so equal releases have equal ids."""
    shuffled = dict(reversed(manifest.items()))

    assert canonical_manifest(shuffled) == canonical_manifest(manifest)
    assert json.loads(canonical_manifest(manifest)) == {
        path: {"sha256": entry.sha256, "size": entry.size, "type": entry.type}
        for path, entry in manifest.items()
    }
    made = [Release.of("web", Kind.FILES, form, UnixMs(0)).id for form in (manifest, shuffled)]
    assert made[0] == made[1]


@given(manifests, manifests)
def test_two_manifests_have_one_id_only_if_they_are_equal(one, other):
    """A verdict is about one content."""
    ids = [Release.of("web", Kind.FILES, form, UnixMs(0)).id for form in (one, other)]

    assert (ids[0] == ids[1]) == (one == other)


@given(manifests, manifests)
def test_the_difference_turns_the_old_release_into_the_new(old, new):
    """Nothing that changed is left out of what people are shown, and nothing is made up."""
    result = dict(old)
    for artefact in diff(old, new):
        assert artefact.old_sha256 == (old[artefact.path].sha256 if artefact.path in old else None)
        assert artefact.purl.isascii()
        if artefact.change is Change.REMOVED:
            del result[artefact.path]
        else:
            assert (artefact.change is Change.ADDED) == (artefact.path not in old)
            assert new[artefact.path].sha256 == artefact.new_sha256
            result[artefact.path] = new[artefact.path]

    assert result == new
