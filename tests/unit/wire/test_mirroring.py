"""The mirror's threads: one channel's trouble is nobody else's, and never goes unnoticed."""

import queue
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.servers import raw_vendor, trickle

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.config import ChannelConfig, from_text
from firedoor.core.units import Digest
from firedoor.wire.mirroring import Mirror, Result

WITHIN_S = 20.0

Mirroring = Callable[..., Mirror]


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    directory = tmp_path / "vendor"
    directory.mkdir()
    (directory / "av.db").write_text("1")
    return directory


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def mirroring(blobs: DiskBlobs) -> Iterator[Mirroring]:
    """Starts a mirror, and stops it in the end."""
    with ExitStack() as running:

        def start(*channels: ChannelConfig, into: DiskBlobs = blobs, **limits: Any) -> Mirror:
            mirror = Mirror(channels, into, SystemClock(), lambda _: b"", **limits)
            mirror.start()
            running.callback(mirror.stop)
            return mirror

        yield start


def channel(name: str, upstream: str | Path) -> ChannelConfig:
    text = f'data = "data"\n[[channel]]\nname = "{name}"\nkind = "files"\nupstream = "{upstream}"\n'
    return from_text(text, base=Path("/")).channels[0]


def next_of(mirror: Mirror) -> Result:
    return mirror.results.get(timeout=WITHIN_S)


HEAD = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece"), [(HEAD, b"x"), (CONTINUE, CONTINUE)], ids=["header", "100"]
)
def test_a_vendor_without_end_keeps_no_other_vendor_waiting(mirroring, vendor, head, piece):
    """Whoever runs one of the channels could otherwise stop the security fixes of all others."""
    with raw_vendor(trickle(head, piece)) as url:
        mirror = mirroring(channel("slow", url), channel("good", vendor))
        first = next_of(mirror)
        mirror.sync("good")
        second = next_of(mirror)
        mirror.sync_all()
        third = next_of(mirror)

    assert [result.channel for result in (first, second, third)] == ["good"] * 3
    assert all(result.snapshot for result in (first, second, third))


def test_a_look_without_end_is_ended_and_reported(mirroring):
    """An operator who is told can act; one who sees last week's release cannot know why."""
    with raw_vendor(trickle(HEAD, b"x")) as url:
        result = next_of(mirroring(channel("slow", url), look_s=0.3))

    assert result.channel == "slow"
    assert result.snapshot is None
    assert "took too long" in result.error


def test_a_directory_that_gives_faults_is_reported_and_looked_at_again(mirroring, tmp_path):
    """Mounts go stale, and come back."""
    mirror = mirroring(channel("mount", tmp_path / ("a" * 300)))
    first = next_of(mirror)
    mirror.sync("mount")
    second = next_of(mirror)

    assert first == second
    assert "name too long" in first.error


class ForgetfulBlobs(DiskBlobs):
    """Fails once in a way that nobody foresaw."""

    failed = False

    def put(self, chunks: Iterator[bytes], expected: Digest | None = None) -> tuple[Digest, int]:
        """As the port says, the second time."""
        if not self.failed:
            self.failed = True
            raise RuntimeError("nobody foresaw this")
        return super().put(chunks, expected)


def test_a_fault_that_nobody_foresaw_is_reported_and_the_channel_goes_on(
    mirroring, vendor, tmp_path
):
    """A thread that died would leave a channel without updates, and all looking well."""
    mirror = mirroring(channel("av", vendor), into=ForgetfulBlobs(tmp_path / "forgetful"))
    first = next_of(mirror)
    mirror.sync("av")
    second = next_of(mirror)

    assert first.error == "RuntimeError: nobody foresaw this"
    assert first.snapshot is None
    assert second.snapshot is not None
    assert list(second.snapshot.manifest) == ["av.db"]


def test_a_mirror_that_is_stopped_looks_no_more(mirroring, vendor):
    """The judge that stops must not be handed what it cannot write down."""
    mirror = mirroring(channel("av", vendor))
    next_of(mirror)

    mirror.stop()
    mirror.sync("av")

    with pytest.raises(queue.Empty):
        mirror.results.get(timeout=0.5)
