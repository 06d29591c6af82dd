"""The mirror's patience: with vendors that ask for it, with mounts that hang, with broken files."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Answer, Asked, ToldVendor, serving

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.config import ChannelConfig, from_text
from firedoor.core.units import Digest
from firedoor.wire.mirroring import Mirror, Result

WITHIN_S = 20.0


Mirroring = Callable[..., Mirror]


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def mirroring() -> Iterator[Mirroring]:
    """Starts a mirror of one channel, and stops it in the end."""
    with ExitStack() as running:

        def start(upstream: str | Path, into: DiskBlobs, poll: str = "10m", **more: Any) -> Mirror:
            mirror = Mirror((channel(upstream, poll),), into, SystemClock(), lambda _: b"", **more)
            mirror.start()
            running.callback(mirror.stop)
            return mirror

        yield start


def channel(upstream: str | Path, poll: str) -> ChannelConfig:
    text = f'[[channel]]\nname = "av"\nkind = "files"\nupstream = "{upstream}"\npoll = "{poll}"'
    return from_text(text, base=Path("/")).channels[0]


def next_of(mirror: Mirror) -> Result:
    return mirror.results.get(timeout=WITHIN_S)


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


A, B = b"file a", b"file b"
SUMS = f"{digest_of(A)}  a\n{digest_of(B)}  b\n".encode()


# Retry-After


def busy(_: Asked) -> Answer:
    return Answer(b"", 429, {"Retry-After": "3600"})


def test_a_vendor_that_wants_an_hour_of_peace_gets_it_from_look_to_look(mirroring, blobs):
    """Vendors ban whoever does not listen, and then there are no updates at all."""
    with ToldVendor(busy, None) as vendor:
        mirror = mirroring(vendor.url, blobs, poll="10ms")
        first = next_of(mirror)
        mirror.sync_all()
        time.sleep(0.3)

        assert "asks to come back in 3600 seconds" in first.error
        assert mirror.results.empty()
        assert len(vendor.asked) == 1


def test_a_person_may_ask_a_vendor_that_wants_to_be_left_alone(mirroring, blobs):
    """Whoever has the vendor on the telephone knows more than a header."""
    with ToldVendor(busy, None) as vendor:
        mirror = mirroring(vendor.url, blobs, poll="10ms")
        next_of(mirror)
        vendor.answer = serving({"a": A, "b": B}, SUMS)
        mirror.sync("av")
        asked = next_of(mirror)

        assert asked.snapshot is not None


def test_a_person_who_asks_a_busy_vendor_in_vain_does_not_wear_out_its_patience(mirroring, blobs):
    """It is asked once; what it says then holds."""
    with ToldVendor(busy, None) as vendor:
        mirror = mirroring(vendor.url, blobs, poll="10ms")
        next_of(mirror)
        mirror.sync("av")
        again = next_of(mirror)
        time.sleep(0.3)

        assert "asks to come back in 3600 seconds" in again.error
        assert mirror.results.empty()
        assert len(vendor.asked) == 2


# A look that hangs


class StuckBlobs(DiskBlobs):
    """Storing hangs until it is let go: as a read from a mount does whose server is gone."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.go = threading.Event()

    def put(self, chunks: Iterator[bytes], expected: Digest | None = None) -> tuple[Digest, int]:
        """As the port says, some time."""
        assert self.go.wait(WITHIN_S)
        return super().put(chunks, expected)


def test_a_look_that_hangs_is_reported_once_while_it_hangs(mirroring, tmp_path):
    """Nothing can end it, but the operator can look at the mount."""
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "av.db").write_text("1")
    stuck = StuckBlobs(tmp_path / "stuck")
    mirror = mirroring(vendor, stuck, poll="10ms", patience_s=0.1)

    hangs = next_of(mirror)
    time.sleep(0.3)
    assert mirror.results.empty()
    stuck.go.set()
    arrived = next_of(mirror)

    assert hangs.snapshot is None
    assert hangs.error.startswith("still looking since 20")
    assert hangs.error.endswith("the directory is slow or hangs")
    assert arrived.snapshot is not None


def test_a_look_may_take_as_long_as_the_operator_lets_pass_between_two(mirroring, tmp_path):
    """A large first mirror is no fault."""
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "av.db").write_text("1")
    stuck = StuckBlobs(tmp_path / "stuck")
    mirror = mirroring(vendor, stuck, poll="10m", patience_s=0.1)

    time.sleep(0.3)
    assert mirror.results.empty()
    stuck.go.set()
    assert next_of(mirror).snapshot is not None


# Broken and missing files


@pytest.fixture(params=["list", "no list"])
def files(request):
    """What a vendor offers, with promised digests and without."""
    return {"a": A, "b": B, **({"SHA256SUMS": SUMS} if request.param == "list" else {})}


def test_a_file_that_rotted_is_fetched_again_though_nothing_changed_upstream(
    mirroring, tmp_path, blobs, files
):
    """The list of files is as it was: that must not be taken for having the files."""
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    for name, data in files.items():
        (vendor / name).write_bytes(data)
        os.utime(vendor / name, (1_000_000_000,) * 2)
    mirror = mirroring(vendor, blobs)
    first = next_of(mirror).snapshot
    Path(blobs.path(digest_of(A))).write_bytes(b"rotten")
    assert list(blobs.scrub()) == [digest_of(A)]

    mirror.sync_all()
    second = next_of(mirror).snapshot

    assert first is not None and second is not None
    assert second.manifest == first.manifest
    assert list(blobs.scrub()) == []
    assert Path(blobs.path(digest_of(A))).read_bytes() == A


def test_a_file_that_upstream_broke_keeps_no_other_from_being_repaired(mirroring, blobs):
    """The list still promises both; machines get the other one."""
    offered = {"a": A, "b": B}
    with ToldVendor(serving(offered, SUMS), None) as vendor:
        mirror = mirroring(vendor.url, blobs)
        assert next_of(mirror).snapshot is not None
        for data in (A, B):
            Path(blobs.path(digest_of(data))).unlink()
        offered["a"] = b"not what was promised"
        mirror.sync_all()
        broken = next_of(mirror)

        assert broken.snapshot is None
        assert "expected" in broken.error
        assert not blobs.has(digest_of(A))
        assert blobs.has(digest_of(B))
        # And the broken one too, as soon as upstream is right again.
        offered["a"] = A
        mirror.sync_all()
        assert next_of(mirror).snapshot is not None
        assert blobs.has(digest_of(A))


def test_every_file_of_a_snapshot_counts_as_needed_when_it_is_handed_over(
    mirroring, tmp_path, files, blobs
):
    """The judge may take a while to write it down, and no release names the files before."""
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    for name, data in files.items():
        (vendor / name).write_bytes(data)
        blobs.put(iter([data]))
        os.utime(vendor / name, (1_000_000_000,) * 2)
        os.utime(blobs.path(digest_of(data)), (1_000_000_000,) * 2)
    began_ms = SystemClock().now().wall_ms - 1000
    mirror = mirroring(vendor, blobs)
    assert next_of(mirror).snapshot is not None
    for _ in range(2):
        assert all(blob.needed_ms >= began_ms for blob in blobs.stored())
        for data in files.values():
            os.utime(blobs.path(digest_of(data)), (1_000_000_000,) * 2)
        mirror.sync_all()
        assert next_of(mirror).snapshot is not None
