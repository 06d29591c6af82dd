"""Healing: what the disk gave back changed is told, and fetched again where that is possible."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.loop import AV, Loop, memory

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.units import Digest
from firedoor.wire.files import Files
from firedoor.wire.healing import Healer

DATABASE = "one"


class Ward:
    """A loop with one release whose bytes are on a disk, its vendor, and a healer."""

    def __init__(self, loop: Loop, vendor: Path) -> None:
        """The release is served."""
        self.loop, self.vendor = loop, vendor
        loop.clock.wall_ms = round(time.time() * 1000)
        self.blobs = DiskBlobs(Files(loop.config.data).blobs)
        self.database, _ = self.blobs.put(iter([DATABASE.encode()]))
        self.blobs.put(iter([b"always the same"]))
        loop.publish(DATABASE)
        loop.bucket(2)
        vendor.mkdir()
        channels = tuple(replace(each, upstream=str(vendor)) for each in loop.config.channels)
        self.told: list[tuple[str, str, bool]] = []
        self.healer = Healer(
            replace(loop.config, channels=channels),
            Files(loop.config.data),
            self.blobs,
            loop.clock,
            lambda channel, text, *, alert: self.told.append((channel, text, alert)),
        )

    def rot(self, digest: Digest) -> None:
        """The disk gives back other bytes, and somebody finds out."""
        Path(self.blobs.path(digest)).write_bytes(b"rot")
        assert list(self.blobs.scrub()) == [digest]


@pytest.fixture
def ward(tmp_path):
    with memory() as store:
        loop = Loop(store, 3)
        ward = Ward(loop, tmp_path / "vendor")
        yield ward
        ward.healer.close()
        loop.close()


def test_a_file_that_rotted_is_fetched_again_and_told_once(ward):
    """Machines get 503 for it until then; the disk should be looked at."""
    (ward.vendor / "av.db").write_text(DATABASE)
    ward.rot(ward.database)

    assert ward.healer.look() == 1
    assert ward.healer.look() == 0
    assert ward.healer.look(again=True) == 0

    assert ward.blobs.has(ward.database)
    ((channel, text, alert),) = ward.told
    assert (channel, alert) == (AV, True)
    assert "av.db" in text
    assert "was fetched again" in text
    assert "look at the disk" in text


def test_a_file_that_upstream_has_no_more_is_told_with_what_to_do(ward):
    """An older release: nobody but a backup can bring it back, and machines ask for it now."""
    (ward.vendor / "av.db").write_text("two")
    ward.rot(ward.database)

    assert ward.healer.look() == 0
    ward.healer.look(again=True)

    ((_, text, alert),) = ward.told
    assert alert
    assert "cannot be fetched again" in text
    assert "firedoor channel import" in text
    assert "pin another release" in text


def test_what_could_not_be_fetched_is_tried_again_later(ward):
    """The vendor was away when the file was found."""
    ward.rot(ward.database)
    ward.healer.look()
    (ward.vendor / "av.db").write_text(DATABASE)

    assert ward.healer.look() == 0
    assert ward.healer.look(again=True) == 1


def test_a_file_that_nobody_needs_is_nobodys_loss(ward):
    """It waits for the collection; an alert would send somebody to look for nothing."""
    unneeded, _ = ward.blobs.put(iter([b"left over"]))
    ward.rot(unneeded)

    assert ward.healer.look() == 0
    assert ward.told == []
    assert unneeded == Digest(hashlib.sha256(b"left over").hexdigest())
