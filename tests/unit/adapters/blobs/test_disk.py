"""Blobs on disk: what crashes, full disks and other processes leave."""

import fcntl
import os
import resource
import stat
import subprocess
import sys

import pytest

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.errors import Unavailable

# Puts three megabytes and is killed by itself in the middle of the second blob.
_DIES_WHILE_PUTTING = """
import os, signal, sys
from pathlib import Path
from firedoor.adapters.blobs.disk import DiskBlobs

def dies():
    yield b"x" * 1_000_000
    os.kill(os.getpid(), signal.SIGKILL)
    yield b"y"

blobs = DiskBlobs(Path(sys.argv[1]))
blobs.put(iter([b"whole"]))
blobs.put(dies())
"""


def files_under(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def root(tmp_path):
    return tmp_path / "blobs"


def test_blobs_lie_in_shards_and_everyone_may_read_them(root):
    """The gate may run as another user than the mirror, and one flat folder would be slow."""
    blobs = DiskBlobs(root)

    digest, _ = blobs.put(iter([b"hello"]))

    place = root / digest[:2] / digest[2:]
    assert files_under(root) == [place]
    assert blobs.path(digest) == str(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o644


def test_a_killed_process_leaves_whole_blobs_only(root):
    """After kill -9 nothing half-written is visible, and the next start cleans up."""
    done = subprocess.run([sys.executable, "-c", _DIES_WHILE_PUTTING, str(root)], check=False)
    assert done.returncode == -9
    assert [len(path.read_bytes()) for path in files_under(root / "incoming")] == [1_000_000]

    blobs = DiskBlobs(root)

    assert files_under(root / "incoming") == []
    assert [path.read_bytes() for path in files_under(root)] == [b"whole"]
    assert list(blobs.scrub()) == []


def test_a_starting_process_spares_what_another_is_writing(root):
    """Gate and judge share the directory: a restart of one must not break the other's mirror."""
    blobs = DiskBlobs(root)

    def chunks():
        yield b"first half, "
        DiskBlobs(root)
        yield b"second half"

    digest, size = blobs.put(chunks())

    assert size == 23
    assert blobs.has(digest)


def test_a_leftover_nobody_writes_any_more_is_removed(root):
    """The lock tells a leftover from work in progress, not its age."""
    DiskBlobs(root)
    stray, busy = root / "incoming" / "stray", root / "incoming" / "busy"
    stray.write_bytes(b"?")
    busy.write_bytes(b"?")
    with busy.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        DiskBlobs(root)

    assert files_under(root) == [busy]


def test_a_full_disk_leaves_nothing_and_says_so(root):
    """Fail static: no room means no new release, never half of one."""
    blobs = DiskBlobs(root)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Unavailable, match="cannot keep blobs") as caught:
            blobs.put(iter([b"x" * 60_000, b"y" * 60_000]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert caught.value.hint
    assert files_under(root) == []
    assert blobs.put(iter([b"x" * 60_000, b"y" * 60_000]))[1] == 120_000


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_directory_that_may_not_be_written_is_unavailable(root):
    """A wrong owner is the operator's to mend, and the hint says so."""
    blobs = DiskBlobs(root)
    (root / "incoming").chmod(0o500)

    with pytest.raises(Unavailable) as caught:
        blobs.put(iter([b"x"]))

    assert "write" in caught.value.hint


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path):
    """The parent is the operator's: making it up could fill the wrong disk."""
    with pytest.raises(Unavailable):
        DiskBlobs(tmp_path / "missing" / "blobs")


def test_a_rotten_blob_is_kept_for_a_person_to_look_at(root):
    """Evidence of a failing disk or of tampering is not thrown away."""
    blobs = DiskBlobs(root)
    digest, _ = blobs.put(iter([b"sound"]))
    (root / digest[:2] / digest[2:]).write_bytes(b"rotten")

    list(blobs.scrub())

    assert (root / "quarantine" / digest).read_bytes() == b"rotten"


def test_a_scrub_passes_over_what_is_no_blob(root):
    """A stray file of an administrator is not rot."""
    blobs = DiskBlobs(root)
    digest, _ = blobs.put(iter([b"sound"]))
    (root / digest[:2] / "README").write_text("do not touch")

    assert list(blobs.scrub()) == []
