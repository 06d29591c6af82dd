"""What it takes to keep the snapshot of a distribution from one look at upstream to the next.

    python -m tests.bench.bench_snapshot [FILES]

Prints seconds, bytes and megabytes; a name is as long as those of Debian, its digest is random.
"""

import hashlib
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from firedoor.adapters.store.judge import JudgeStore
from firedoor.core.release import FileEntry, media_type
from firedoor.core.units import Digest
from firedoor.services.snapshot import Snapshot

FILES = 63_000


def files(count: int) -> Iterator[tuple[str, FileEntry]]:
    """A pool of so many packages, by path."""
    for number in range(count):
        name = f"package-{number:06d}"
        path = f"pool/main/p/{name}/{name}_1.{number % 9}.2-3+deb12u1_amd64.deb"
        digest = Digest(hashlib.sha256(path.encode()).hexdigest())
        yield path, FileEntry(digest, 50_000 + number, media_type(path))


def timed(what: str, work: Callable[[], object]) -> None:
    """Do it and say how long it took, and the most memory it had besides."""
    tracemalloc.start()
    began = time.perf_counter()
    kept = work()
    took = time.perf_counter() - began
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    print(f"{what:42} {took:8.3f} s {held / 1e6:8.1f} MB held {most / 1e6:8.1f} MB at most")


def main(count: int) -> None:
    """Measure."""
    snapshot = Snapshot.gathered(files(count), {})
    stored = snapshot.to_bytes()
    again = Snapshot.from_bytes(stored)
    with tempfile.TemporaryDirectory() as folder:
        store = JudgeStore(Path(folder))

        def keep() -> None:
            with store.step():
                store.put_channel(replace(store.channel("debian"), synced_ms=1))
                store.put_last_snapshot("debian", stored)

        def fail() -> None:
            with store.step():
                store.put_channel(replace(store.channel("debian"), error="x", failures=1))

        timed("to what is stored", snapshot.to_bytes)
        timed("written the first time", keep)
        timed("state of the channel read", lambda: store.channel("debian"))
        timed("a look that failed is noted", fail)
        timed("back from what is stored", lambda: Snapshot.from_bytes(stored))
        timed("compared with an equal one", lambda: again == snapshot)
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        print(f"{count} files: {len(stored)} bytes stored, {size} in the database and its log")
        store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else FILES)
