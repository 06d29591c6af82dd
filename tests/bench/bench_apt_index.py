"""Looks at a distribution whose packages are only named, and a pick: time, memory, requests.

    python -m tests.bench.bench_apt_index [PACKAGES]

A repository of our own with so many packages in its index, signed by its own key; no package is
there, so any look that fetched one would fail.
"""

import hashlib
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.debian import SUITE, Archive

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.openpgp import Keyring
from firedoor.adapters.upstream.apt import AptUpstream, Selection
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.ports import BlobStore, Fetched, Listed
from firedoor.services.mirror import take_snapshot
from firedoor.services.snapshot import Snapshot
from firedoor.wire.picking import pick

PACKAGES = 63_000


class Counted:
    """A directory that counts what is asked of it."""

    def __init__(self, root: Path) -> None:
        """Nothing was asked."""
        self._directory = DirectoryUpstream(root, SystemClock())
        self.requests = 0

    def read(self, path: str, most: int) -> bytes | None:
        """As the directory does."""
        self.requests += 1
        return self._directory.read(path, most)

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """As the directory does; what is held is not asked for."""
        if listed.sha256 is None or not into.has(listed.sha256):
            self.requests += 1
        return self._directory.fetch(listed, known, into)


def fill(archive: Archive, count: int, version: str) -> None:
    """Name so many packages, a tenth of them in this version."""
    for number in range(count):
        name = f"package-{number:06d}"
        mine = version if number % 10 == 0 else "1.2-3+deb12u1"
        path = f"pool/main/p/{name}/{name}_{mine}_amd64.deb"
        digest = hashlib.sha256(path.encode()).hexdigest()
        text = "A line of the kind that descriptions have, so that an index is as long as one. " * 4
        archive.packages[name, ""] = (
            f"Package: {name}\nVersion: {mine}\nArchitecture: amd64\n"
            f"Maintainer: Vendor <vendor@example.org>\nDescription: {text}\n"
            f"Filename: {path}\nSize: {50_000 + number}\nSHA256: {digest}\n"
        )


def publish(archive: Archive, count: int, version: str) -> None:
    """The vendor publishes, in a process of his own: his memory is not ours."""

    def work() -> None:
        fill(archive, count, version)
        archive.publish()

    vendor = multiprocessing.get_context("fork").Process(target=work)
    vendor.start()
    vendor.join()


def main(count: int) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.new(Path(folder))
        blobs = DiskBlobs(Path(folder) / "blobs")
        source = Counted(archive.root)

        def look(what: str, before: Snapshot | None) -> Snapshot:
            source.requests = 0
            began = time.perf_counter()
            upstream = AptUpstream(
                source,
                Keyring([archive.keyring]),
                Selection((SUITE,), ("main",), ("amd64",)),
                blobs,
                SystemClock(),
                previous={} if before is None else before.manifest,
                ours=before is not None,
                deferred=lambda path: path.startswith("pool/"),
            )
            snapshot = take_snapshot(upstream, blobs, before, wanted=lambda _: False)
            took = time.perf_counter() - began
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{what:12} {took:7.2f} s {source.requests:4} requests {most:7.0f} MiB at most")
            return snapshot

        publish(archive, count, "2")
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{count} packages; {most:.0f} MiB before the first look")
        first = look("first", None)
        look("unchanged", first)
        publish(archive, count, "3")
        newer = look("a tenth new", first)
        began = time.perf_counter()
        pick(first.manifest, newer.manifest, ["package-000010"], blobs)
        took = time.perf_counter() - began
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{'one picked':12} {took:7.2f} s {0:4} requests {most:7.0f} MiB at most")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PACKAGES)
