"""Blob stores: a blob that is visible is complete, durable and right."""

import hashlib
from collections.abc import Iterator

import pytest

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.errors import Untrusted
from firedoor.core.units import Digest
from firedoor.ports import BlobStore

HELLO = Digest(hashlib.sha256(b"hello, world").hexdigest())


@pytest.fixture(params=["disk"])
def blobs(request, tmp_path) -> BlobStore:
    match request.param:
        case "disk":
            return DiskBlobs(tmp_path / "blobs")
        case other:
            raise AssertionError(other)


def breaks_off() -> Iterator[bytes]:
    yield b"hello, "
    raise ConnectionResetError


def bytes_of(blobs: BlobStore, digest: Digest) -> bytes:
    with open(blobs.path(digest), "rb") as file:  # noqa: PTH123 - the port speaks in strings
        return file.read()


def test_what_was_put_is_there_byte_for_byte(blobs):
    """Machines get the vendor's bytes, not something like them."""
    digest, size = blobs.put(iter([b"hello, ", b"", b"world"]))

    assert (digest, size) == (HELLO, 12)
    assert blobs.has(HELLO)
    assert bytes_of(blobs, HELLO) == b"hello, world"


def test_an_empty_file_is_a_file(blobs):
    """Vendors publish empty files, and clients notice when they are missing."""
    digest, size = blobs.put(iter([]))

    assert size == 0
    assert bytes_of(blobs, digest) == b""


def test_bytes_that_break_a_promise_leave_nothing(blobs):
    """A wrong body must not become servable under any name."""
    wrong = Digest(hashlib.sha256(b"something else").hexdigest())

    with pytest.raises(Untrusted, match=HELLO):
        blobs.put(iter([b"hello, world"]), expected=wrong)

    assert not blobs.has(wrong)
    assert not blobs.has(HELLO)


def test_a_stream_that_breaks_off_leaves_nothing_and_keeps_its_error(blobs):
    """The caller must see its own fault, to try again, and half a file must not be seen at all."""
    with pytest.raises(ConnectionResetError):
        blobs.put(breaks_off())

    assert not blobs.has(Digest(hashlib.sha256(b"hello, ").hexdigest()))


def test_putting_the_same_bytes_again_is_harmless(blobs):
    """A mirror that starts over meets what it stored before."""
    blobs.put(iter([b"hello, world"]))

    again = blobs.put(iter([b"hello, world"]), expected=HELLO)

    assert again == (HELLO, 12)
    assert bytes_of(blobs, HELLO) == b"hello, world"


def test_scrubbing_a_sound_store_finds_nothing(blobs):
    """A scrub that cries wolf would take releases from machines."""
    for text in (b"a", b"b", b"c"):
        blobs.put(iter([text]))

    assert list(blobs.scrub()) == []


def test_a_rotten_blob_is_found_put_aside_and_can_be_healed(blobs):
    """Disks forget. Rotten bytes must not reach a machine, and a new copy must be welcome."""
    blobs.put(iter([b"sound"]))
    blobs.put(iter([b"hello, world"]))
    with open(blobs.path(HELLO), "r+b") as file:  # noqa: PTH123 - the port speaks in strings
        file.write(b"J")

    assert list(blobs.scrub()) == [HELLO]
    assert not blobs.has(HELLO)
    assert list(blobs.scrub()) == []

    blobs.put(iter([b"hello, world"]), expected=HELLO)
    assert list(blobs.scrub()) == []
    assert bytes_of(blobs, HELLO) == b"hello, world"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "AB" * 32, "a" * 63, "a" * 65])
def test_only_a_digest_names_a_blob(blobs, name):
    """A name from a manifest must not lead out of the store."""
    with pytest.raises(ValueError, match="digest"):
        blobs.path(Digest(name))
    with pytest.raises(ValueError, match="digest"):
        blobs.has(Digest(name))
    with pytest.raises(ValueError, match="digest"):
        blobs.put(iter([b"x"]), expected=Digest(name))
