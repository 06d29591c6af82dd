"""Blob stores: what is needed stays, whatever a sweep thinks at the same moment."""

import hashlib
import os
import threading

import pytest

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.units import Digest

DAY_MS = 86_400_000
TEXT = b"hello, world"
HELLO = Digest(hashlib.sha256(TEXT).hexdigest())
LONG_AGO_S = 1_000_000_000
LONG_AGO_MS = LONG_AGO_S * 1000


@pytest.fixture
def blobs(tmp_path):
    return DiskBlobs(tmp_path / "blobs")


def age(blobs):
    os.utime(blobs.path(HELLO), (LONG_AGO_S, LONG_AGO_S))


def test_a_blob_nobody_needed_for_long_is_deleted_and_a_needed_one_is_not(blobs):
    """The disk must not fill; a release must not lose a file."""
    blobs.put(iter([TEXT]))
    fresh, _ = blobs.put(iter([b"fresh"]))
    age(blobs)

    assert blobs.discard(HELLO, LONG_AGO_MS + 1)
    assert not blobs.discard(fresh, LONG_AGO_MS + 1)
    assert [blob.digest for blob in blobs.stored()] == [fresh]


def test_a_blob_that_is_claimed_is_not_deleted(blobs):
    """A mirror that finds a file on the disk relies on finding it there when it is served."""
    blobs.put(iter([TEXT]))
    age(blobs)

    assert blobs.claim(HELLO)

    assert not blobs.discard(HELLO, LONG_AGO_MS + DAY_MS)
    assert blobs.has(HELLO)


def test_a_blob_that_is_stored_again_is_needed_again(blobs):
    """A file that upstream offers again is as new as any other."""
    blobs.put(iter([TEXT]))
    age(blobs)

    blobs.put(iter([TEXT]))

    assert not blobs.discard(HELLO, LONG_AGO_MS + DAY_MS)


def test_what_took_a_day_to_arrive_is_new_when_it_is_there(blobs, tmp_path):
    """The file was begun long ago; what counts is when it became a blob."""

    def slowly():
        yield TEXT
        for begun in (tmp_path / "blobs" / "incoming").iterdir():
            os.utime(begun, (LONG_AGO_S, LONG_AGO_S))

    blobs.put(slowly())

    assert not blobs.discard(HELLO, LONG_AGO_MS + DAY_MS)


def test_what_is_not_there_cannot_be_claimed_or_deleted(blobs):
    """The caller has to fetch it, and must be told so."""
    assert not blobs.claim(HELLO)
    assert not blobs.discard(HELLO, LONG_AGO_MS)


def test_a_claim_and_a_deletion_never_both_succeed(blobs):
    """Else a snapshot would name a file that is gone, and machines would get errors for it."""
    for _ in range(200):
        blobs.put(iter([TEXT]))
        age(blobs)
        claimed: list[bool] = []
        together = threading.Barrier(2)

        def claim(together=together, claimed=claimed):
            together.wait()
            claimed.append(blobs.claim(HELLO))

        other = threading.Thread(target=claim)
        other.start()
        together.wait()
        deleted = blobs.discard(HELLO, LONG_AGO_MS + 1)
        other.join()

        assert claimed != [deleted]
        assert blobs.has(HELLO) is not deleted


def test_rotten_blobs_and_half_written_files_go_in_the_end(blobs, tmp_path):
    """They are kept for a person to look at, not for ever."""
    blobs.put(iter([TEXT]))
    with open(blobs.path(HELLO), "r+b") as file:  # noqa: PTH123 - the port speaks in strings
        file.write(b"J")
    age(blobs)
    assert list(blobs.scrub()) == [HELLO]
    moved = tmp_path / "blobs" / "quarantine" / HELLO
    moved_ms = moved.stat().st_ctime_ns // 1_000_000
    stray = tmp_path / "blobs" / "incoming" / "left"
    stray.write_bytes(b"half")

    assert blobs.discard_rotten(moved_ms) == (1, 4)
    assert not stray.exists()
    assert moved.exists()
    assert blobs.discard_rotten(moved_ms + 1) == (1, len(TEXT))
    assert not moved.exists()


def test_a_file_that_is_being_written_is_no_leftover(blobs):
    """A sweep runs while mirrors fetch."""

    def swept():
        yield b"hello, "
        assert blobs.discard_rotten(LONG_AGO_MS) == (0, 0)
        yield b"world"

    blobs.put(swept())

    assert blobs.has(HELLO)
