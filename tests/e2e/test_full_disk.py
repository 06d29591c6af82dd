"""A full disk, in the running product: what there is goes on being served, nothing breaks.

The data directory lies on a file system of 64 MiB that something else fills.
"""

import contextlib
import hashlib
import os
import sqlite3
import subprocess
from http import HTTPStatus
from pathlib import Path

import pytest
from tests.tree import Tree, until

from firedoor.core.errors import Unavailable
from firedoor.simulator.stage import CHANNEL

LIST = "SHA256SUMS"
SIZE = "64m"
RESERVE = '[storage]\nreserve = "24MiB"\n'
LEFT = 16 << 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system"),
]


@pytest.fixture
def small(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(data)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount a file system")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(data)], check=True)


def fill(ballast: Path, *, leave: int) -> None:
    """Something else takes the disk but for so many bytes."""
    disk = os.statvfs(ballast.parent)
    with contextlib.suppress(OSError), ballast.open("ab") as file:
        file.write(bytes(max(0, disk.f_bavail * disk.f_frsize - leave)))
    if not leave:
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0")


def read(tree: Tree) -> str:
    """A whole release, as a machine reads it; returns its id."""
    listing = tree.get(LIST, "one")
    assert listing.status == HTTPStatus.OK
    for line in listing.body.decode().splitlines():
        digest, _, path = line.partition("  ")
        reply = tree.get(path, "one")
        assert (reply.status, reply.release) == (HTTPStatus.OK, listing.release)
        assert hashlib.sha256(reply.body).hexdigest() == digest
    return listing.release


def error_of(tree: Tree) -> str:
    with contextlib.suppress(Unavailable), tree.judge() as judge:
        return judge.channel(CHANNEL).error
    return ""


def seen(tree: Tree) -> int:
    with contextlib.suppress(Unavailable), tree.judge() as judge:
        return len(judge.snapshots(CHANNEL))
    return 0


def test_a_disk_that_fills_up_stops_the_mirror_and_nothing_else(small):
    """Nobody may lose the release that he has because the logs of the host grew."""
    tree = Tree(small)
    tree.publish("1.0")
    ballast = tree.files.data / "ballast"
    (small / "config.d").mkdir()
    (small / "config.d" / "20-storage.toml").write_text(RESERVE)
    with tree:
        tree.enrol("one")
        tree.until_open(1)
        first = read(tree)

        fill(ballast, leave=LEFT)
        tree.publish("2.0")
        until(lambda: "have to stay free" in error_of(tree), "the mirror refuses", tree.tail)
        assert read(tree) == first
        assert "firedoor channel show" in error_of(tree)

        fill(ballast, leave=0)
        for _ in range(5):
            assert read(tree) == first
        assert seen(tree) == 1

        ballast.unlink()
        until(lambda: seen(tree) == 2, "the second release is mirrored", tree.tail)
        until(lambda: not error_of(tree), "nothing is wrong any more", tree.tail)
        read(tree)
    for database in tree.files.data.glob("*.db"):
        with contextlib.closing(sqlite3.connect(database)) as opened:
            assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_file_that_rots_is_not_served_and_comes_back(tmp_path):
    """The bytes have the right length and the wrong content; only a hash tells."""
    tree = Tree(tmp_path)
    tree.publish("1.0")
    with tree:
        tree.enrol("one")
        tree.until_open(1)
        with tree.judge() as judge:
            (boarding,) = judge.boardings(CHANNEL)
            manifest = judge.manifest(boarding.release)
        path, entry = max(manifest.items(), key=lambda each: each[1].size)
        blob = tree.files.blobs / entry.sha256[:2] / entry.sha256[2:]
        blob.write_bytes(bytes(entry.size))

        assert tree.get(LIST, "one").status == HTTPStatus.OK
        assert tree.get(path, "one").status == HTTPStatus.SERVICE_UNAVAILABLE
        until((tree.files.blobs / "quarantine" / entry.sha256).exists, "it is out of the way")
        until(blob.exists, "it is fetched again", tree.tail)

        reply = tree.get(path, "one")
        assert reply.status == HTTPStatus.OK
        assert hashlib.sha256(reply.body).hexdigest() == entry.sha256
