"""A store with a border: what is over it is refused, and leaves nothing."""

import hashlib
from pathlib import Path

import pytest

from firedoor.adapters.blobs.bounded import BoundedBlobs
from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.errors import Unavailable
from firedoor.core.units import Digest
from firedoor.services.room import Limits

TEXT = b"twelve bytes"


@pytest.fixture
def blobs(tmp_path):
    return DiskBlobs(tmp_path / "blobs")


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def limits(budget: int) -> Limits:
    return Limits(budget=budget, reserve=1)


def test_a_file_that_ends_within_the_budget_is_stored_and_the_next_is_not(blobs):
    """The mirror stops at its border; what it has stays and can be served."""
    bounded = BoundedBlobs(blobs, limits(len(TEXT)))
    bounded.put(iter([TEXT]))

    with pytest.raises(Unavailable, match=r"storage\.budget"):
        bounded.put(iter([b"x"]))

    assert [blob.digest for blob in blobs.stored()] == [digest_of(TEXT)]
    assert not list((Path(blobs.path(digest_of(TEXT))).parent.parent / "incoming").iterdir())


def test_what_is_urgent_is_stored_beyond_the_budget(blobs):
    """A machine waits for a file of a release that is open to it."""
    blobs.put(iter([TEXT]))

    BoundedBlobs(blobs, limits(1), urgent=True).put(iter([b"x"]))

    assert blobs.has(digest_of(b"x"))


def test_a_release_without_room_is_refused_before_its_first_byte(blobs):
    """Half a release fills the disk and helps nobody; the message says how much it lacks."""
    blobs.put(iter([TEXT]))
    bounded = BoundedBlobs(blobs, limits(3 * len(TEXT)))

    bounded.expect([(digest_of(TEXT), len(TEXT)), (digest_of(b"2"), 2 * len(TEXT))])
    with pytest.raises(Unavailable, match="it needs 25 B and there is room for 24 B"):
        bounded.expect([(digest_of(TEXT), len(TEXT)), (digest_of(b"2"), 2 * len(TEXT) + 1)])


def test_a_release_whose_files_are_all_there_needs_no_room(blobs):
    """A store that is full still follows an upstream that went back to an earlier release."""
    blobs.put(iter([TEXT]))

    BoundedBlobs(blobs, limits(1)).expect([(digest_of(TEXT), len(TEXT))])


def test_the_count_follows_what_is_stored_and_deleted(blobs):
    """Counted wrong, the border would wander until nothing, or everything, is refused."""
    assert blobs.space().used == 0
    blobs.put(iter([TEXT]))
    blobs.put(iter([TEXT]))
    blobs.put(iter([b"abc"]))
    assert blobs.space().used == len(TEXT) + 3

    blobs.discard(digest_of(b"abc"), 1 << 60)

    assert blobs.space().used == len(TEXT)
    assert blobs.space(count=True).used == len(TEXT)
