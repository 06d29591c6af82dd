"""A shelf: what a release names is the same, wherever the table lies."""

import hashlib
import os
from pathlib import Path

import pytest

from firedoor.adapters.store.shelf import LARGE_BYTES, shelved
from firedoor.core.packed import Packed, pack
from firedoor.core.release import FileEntry, changes
from firedoor.core.units import Digest

FILES = 5_000


def entry(number: int) -> FileEntry:
    return FileEntry(Digest(hashlib.sha256(b"%d" % number).hexdigest()), number, "text/plain")


@pytest.fixture(scope="module")
def manifest() -> Packed:
    return Packed(pack((f"pool/main/package-{n:06}.deb", entry(n)) for n in range(FILES)))


def test_a_manifest_on_the_disk_says_the_same(manifest, tmp_path):
    """A machine that read an older index gets what that index names."""
    on_disk = shelved(manifest, tmp_path)

    assert on_disk is not manifest
    assert on_disk == manifest
    assert manifest == on_disk
    assert list(on_disk) == list(manifest)
    assert dict(on_disk.items()) == dict(manifest.items())
    assert on_disk["pool/main/package-004711.deb"] == entry(4711)
    assert "pool/main/package-004711.de" not in on_disk
    assert list(changes(manifest, on_disk)) == []


def test_it_leaves_nothing_behind(manifest, tmp_path):
    """A gate that is killed must not fill the disk with names of old packages."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, no paths

    on_disk = shelved(manifest, tmp_path)

    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208 - as above
    assert shelved(on_disk, tmp_path) is on_disk


def test_a_small_manifest_stays_in_memory(tmp_path):
    """Most channels have ten files; a descriptor for each release would be the larger cost."""
    small = Packed(pack([("a", entry(1))]))

    assert len(small.data) < LARGE_BYTES
    assert shelved(small, tmp_path) is small


def test_a_disk_that_takes_nothing_leaves_the_manifest_in_memory(manifest):
    """On a full disk the gate goes on serving."""
    assert shelved(manifest, Path("/dev/null/nowhere")) is manifest
