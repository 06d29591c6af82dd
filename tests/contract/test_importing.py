"""Importing a mirror that exists: nothing is copied, and nothing is believed that is not signed.

The mirror is a real Debian repository, signed by GnuPG, as apt-mirror, debmirror or aptly leave it
in a directory; plain files are as anybody would rsync them.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.debian import SUITE, Archive

from firedoor.adapters.blobs.disk import DiskBlobs, Way
from firedoor.adapters.clock import SystemClock
from firedoor.config import from_text
from firedoor.core.errors import FiredoorError, Unavailable
from firedoor.core.units import Digest
from firedoor.ports import Listed
from firedoor.services.room import Limits
from firedoor.wire.importing import Imported, Importer, expect_owner

OTHER_DISK = Path("/dev/shm")  # noqa: S108 - the one other file system that Linux always has
POOL = "pool/main"
APT = """
[[channel]]
name = "debian"
kind = "apt"
upstream = "{upstream}"
suites = ["{suite}"]
architectures = ["amd64"]
trust = ["{trust}"]
"""
FILES = """
[[channel]]
name = "tools"
kind = "files"
upstream = "{upstream}"
"""

Import = Callable[..., Imported]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    archive = Archive.new(tmp_path_factory.mktemp("vendor"))
    archive.add("tool", "1.0")
    archive.add("other", "3")
    archive.publish()
    return archive


@pytest.fixture
def archive(made: Archive, tmp_path: Path) -> Archive:
    shutil.copytree(made.root, tmp_path / "archive")
    return Archive(tmp_path / "archive", made.home)


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def importing(archive: Archive, blobs: DiskBlobs) -> Import:
    def run(
        directory: Path,
        *,
        upstream: Path | None = None,
        limits: Limits | None = None,
        lacking: tuple[Listed, ...] = (),
    ) -> Imported:
        text = APT.format(
            upstream=upstream or archive.root, suite=SUITE, trust=archive.keyring.absolute()
        )
        channel = from_text(text).channel("debian")
        importer = Importer(
            channel,
            directory,
            blobs=blobs,
            limits=limits or Limits(reserve=1),
            clock=SystemClock(),
        )
        return importer.run(lacking)

    return run


def debs(root: Path) -> list[Path]:
    return sorted((root / POOL).rglob("*.deb"))


def inode_of(blobs: DiskBlobs, deb: Path) -> int:
    return os.stat(blobs.path(Digest(sha256_of(deb)))).st_ino  # noqa: PTH116 - the port speaks in strings


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_mirror_on_the_same_disk_is_taken_over_without_a_copy(importing, archive, blobs):
    """A mirror of Debian has half a terabyte; nobody has that twice."""
    found = importing(archive.root)

    assert found.index == "directory"
    assert found.files[Way.COPIED] == 0
    assert found.files[Way.CLONED] + found.files[Way.LINKED] >= 2
    assert found.wrong == []
    for deb in debs(archive.root):
        assert blobs.has(Digest(sha256_of(deb)))
        assert found.files[Way.CLONED] or inode_of(blobs, deb) == deb.stat().st_ino
    assert list(blobs.scrub()) == []


def test_taking_over_twice_takes_nothing_the_second_time(importing, archive):
    """A person who is not sure whether it was done does it again."""
    first, second = importing(archive.root), importing(archive.root)

    assert second.files == {Way.HELD: first.files.total()}


def test_what_the_index_does_not_promise_is_left_alone(importing, archive, blobs):
    """The old mirror may have been tampered with, or have rotted: nobody ever looked."""
    tampered, sound = debs(archive.root)
    tampered.write_bytes(tampered.read_bytes()[:-1] + b"x")

    found = importing(archive.root)

    assert found.wrong == [str(tampered.relative_to(archive.root))]
    assert not blobs.has(Digest(sha256_of(tampered)))
    assert blobs.has(Digest(sha256_of(sound)))


def test_a_tree_that_another_key_signed_is_checked_by_the_index_of_upstream(
    importing, archive, tmp_path, blobs
):
    """Aptly signs what it publishes with the operator's key; the packages are the vendor's."""
    public = tmp_path / "public"
    shutil.copytree(archive.root / "pool", public / "pool")
    other = Archive.new(tmp_path / "of-aptly")
    other.add("tool", "1.0")
    other.publish()
    shutil.copytree(other.root / "dists", public / "dists")

    found = importing(public)

    assert found.index == "upstream"
    assert found.why
    assert found.files[Way.COPIED] == 0
    assert all(blobs.has(Digest(sha256_of(deb))) for deb in debs(public))


def test_a_directory_without_any_index_to_believe_is_refused(importing, tmp_path):
    """A person who named the wrong folder must read which would be the right one."""
    empty = tmp_path / "empty"
    empty.mkdir()

    with pytest.raises(FiredoorError, match="neither the directory") as refused:
        importing(empty, upstream=empty)

    assert "what upstream has at its address" in refused.value.hint


def test_what_others_may_write_into_is_copied(importing, archive, blobs):
    """A link is the same file: whoever writes into it would write into what machines get."""
    for deb in debs(archive.root):
        deb.chmod(0o664)

    found = importing(archive.root)

    assert found.files[Way.CLONED] or found.files[Way.COPIED] >= 2
    for deb in debs(archive.root):
        assert inode_of(blobs, deb) != deb.stat().st_ino


@pytest.mark.skipif(not os.access(OTHER_DISK, os.W_OK), reason="needs a second file system")
def test_a_mirror_on_another_disk_is_copied_within_the_budget(importing, archive, tmp_path, blobs):
    """It cannot be linked, and a copy takes room like anything else."""
    away = OTHER_DISK / f"firedoor-{os.getpid()}-{tmp_path.name}"
    shutil.copytree(archive.root, away)
    try:
        if away.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("the temporary folder is on the same file system")
        with pytest.raises(Unavailable, match=r"storage\.budget"):
            importing(away, limits=Limits(budget=1, reserve=1))
        found = importing(away)
    finally:
        shutil.rmtree(away)

    assert found.files[Way.COPIED] >= 2
    assert list(blobs.scrub()) == []


def test_a_link_that_leaves_the_directory_is_not_followed(importing, archive, tmp_path):
    """Whoever can write into the mirror must not make Firedoor read other files of the host."""
    deb, _ = debs(archive.root)
    moved = tmp_path / "elsewhere.deb"
    deb.rename(moved)
    deb.symlink_to(moved)

    assert importing(archive.root).wrong == [str(deb.relative_to(archive.root))]


def test_a_file_that_only_a_kept_release_names_comes_back(importing, archive, blobs):
    """It rotted, the vendor has deleted it, and an old mirror still has it."""
    old = archive.root / POOL / "old_1_all.deb"
    old.write_bytes(b"an older version")
    listed = Listed(f"{POOL}/old_1_all.deb", Digest(sha256_of(old)), old.stat().st_size)

    importing(archive.root, lacking=(listed,))

    assert blobs.has(Digest(sha256_of(old)))


def test_plain_files_are_taken_over(tmp_path, blobs):
    """A folder of tools, with a list of sums or without one."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "tool").write_bytes(b"1.0")
    channel = from_text(FILES.format(upstream=folder)).channel("tools")

    found = Importer(
        channel, folder, blobs=blobs, limits=Limits(reserve=1), clock=SystemClock()
    ).run()

    assert found.files.total() == 1
    assert blobs.has(Digest(sha256_of(folder / "tool")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_another_user_than_the_stores_is_refused(tmp_path):
    """The judge could neither mark nor delete what root has put there."""
    store = tmp_path / "blobs"
    store.mkdir()
    os.chown(store, 12345, 12345)

    with pytest.raises(FiredoorError, match="belongs to another user") as refused:
        expect_owner(store)

    assert "sudo -u '#12345'" in refused.value.hint
