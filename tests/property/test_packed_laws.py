"""Laws of packed manifests: bytes that answer as the mapping they were made of."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_content_laws import entries, manifests, paths

from firedoor.core.channel import Kind
from firedoor.core.errors import BadInput
from firedoor.core.packed import Packed, pack, packed
from firedoor.core.release import FileEntry, canonical_manifest, changes, diff, release_id
from firedoor.core.units import Digest


@given(manifests, paths)
def test_a_packed_manifest_answers_as_the_mapping_it_was_made_of(
    manifest: dict[str, FileEntry], other: str
) -> None:
    """The gate serves from it; a path that is not there must be a 404 and nothing near it."""
    table = packed(manifest)

    assert dict(table.items()) == manifest
    assert list(table) == sorted(manifest)
    assert len(table) == len(manifest)
    assert all(table[path] == manifest[path] for path in manifest)
    assert table.get(other) == manifest.get(other)
    assert table.get("\ud800") is None
    assert packed(table) is table


@given(manifests, manifests, entries)
def test_two_packed_releases_differ_where_their_mappings_do(
    old: dict[str, FileEntry], new: dict[str, FileEntry], entry: FileEntry
) -> None:
    """What changed decides whose delivery counts as an install."""
    new |= dict.fromkeys(list(old)[::2], entry) | {path: old[path] for path in list(old)[1::2]}

    found = list(changes(packed(old), packed(new)))

    assert found == [
        (path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
    assert diff(packed(old), packed(new)) == diff(old, new)


@given(manifests)
def test_the_id_of_a_release_is_that_of_its_canonical_form(manifest: dict[str, FileEntry]) -> None:
    """Ids are in every ledger: however a manifest is held, they stay what they were."""
    form = b'{"channel":"tools","kind":"files","manifest":%b,"v":1}' % canonical_manifest(manifest)

    assert release_id("tools", Kind.FILES, packed(manifest)) == hashlib.sha256(form).hexdigest()
    assert release_id("tools", Kind.FILES, manifest) == hashlib.sha256(form).hexdigest()


@given(manifests, st.data())
def test_a_packed_manifest_that_was_cut_is_refused(
    manifest: dict[str, FileEntry], data: st.DataObject
) -> None:
    """Half a table would deny files that are in the release."""
    table = packed(manifest).data[:]
    kept = data.draw(st.integers(0, len(table) - 1))

    with pytest.raises(BadInput):
        Packed(table[:kept])
    with pytest.raises(BadInput):
        Packed(table + b"x")


def test_files_out_of_order_are_not_packed() -> None:
    """A search by halves would not find them."""
    entry = FileEntry(Digest("0" * 64), 1, "text/plain")

    for names in (["b", "a"], ["a", "a"]):
        with pytest.raises(BadInput, match="comes after"):
            pack((name, entry) for name in names)
    with pytest.raises(BadInput, match=r"\.\."):
        pack([("../a", entry)])
    with pytest.raises(BadInput, match="media types"):
        pack(
            (f"{number:03}", FileEntry(Digest("0" * 64), 1, f"x/{number}")) for number in range(257)
        )
