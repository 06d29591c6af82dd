"""Soundness: bytes that rotted on the disk are not served, and asking is paid once."""

import asyncio
import hashlib
import threading

import pytest

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.errors import Unavailable
from firedoor.core.units import Digest
from firedoor.gate.soundness import Soundness

TEXT = b"hello, world"
HELLO = Digest(hashlib.sha256(TEXT).hexdigest())


@pytest.fixture
def blobs(tmp_path):
    blobs = DiskBlobs(tmp_path / "blobs")
    blobs.put(iter([TEXT]))
    return blobs


def rot(blobs):
    with open(blobs.path(HELLO), "r+b") as file:  # noqa: PTH123 - the port speaks in strings
        file.write(b"J")


def test_a_blob_that_rotted_is_refused_and_moved_aside(blobs):
    """A client that does not look would install it; the length is right."""
    rot(blobs)
    soundness = Soundness(blobs.is_sound)

    with pytest.raises(Unavailable, match="changed on the disk"):
        asyncio.run(soundness.check(HELLO))

    assert not soundness.knows(HELLO)
    assert blobs.rotten() == {HELLO}


def test_a_blob_that_came_back_is_served_at_once(blobs):
    """What was refused must not be refused for a day."""
    rot(blobs)
    soundness = Soundness(blobs.is_sound)
    with pytest.raises(Unavailable):
        asyncio.run(soundness.check(HELLO))
    blobs.put(iter([TEXT]))

    asyncio.run(soundness.check(HELLO))

    assert soundness.knows(HELLO)


def test_many_who_ask_at_once_wait_for_one_reading(blobs):
    """A fleet asks for the same file within a minute."""
    readings = []

    def is_sound(digest):
        readings.append(digest)
        return blobs.is_sound(digest)

    soundness = Soundness(is_sound)

    async def many():
        await asyncio.gather(*(soundness.check(HELLO) for _ in range(50)))

    asyncio.run(many())

    assert readings == [HELLO]


def test_a_file_that_takes_long_to_read_is_not_waited_for():
    """A client gives up after half a minute; an image of an operating system takes longer."""
    let_go = threading.Event()

    def is_sound(_digest):
        return not let_go.wait(20)

    soundness = Soundness(is_sound, wait_s=0.01)

    async def ask():
        await soundness.check(HELLO)
        let_go.set()

    asyncio.run(ask())


def test_an_answer_counts_for_a_day_only(blobs):
    """Disks rot meanwhile."""
    soundness = Soundness(blobs.is_sound, counts_s=0.0)
    asyncio.run(soundness.check(HELLO))

    assert not soundness.knows(HELLO)
