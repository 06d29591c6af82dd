"""Memory of a gate that serves many releases of a distribution at a time.

``python -m tests.bench.bench_manifests [--files N] [--releases N]``

Each release has every file of a Debian suite by name; a hundred paths are asked of each, as
machines do that read an older index. Prints a line of JSON: MiB that only this process has, with
the manifests in memory and read from the disk.
"""

import argparse
import gc
import hashlib
import json
import multiprocessing
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from firedoor.adapters.store.shelf import shelved
from firedoor.core.packed import Packed, pack
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest

_ASKED = 100


def main() -> None:
    """Measure both, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=63_000)
    parser.add_argument("--releases", type=int, default=20)
    given = parser.parse_args()
    found = {
        where: _measured(given.files, given.releases, on_disk=where == "on_disk")
        for where in ("in_memory", "on_disk")
    }
    print(json.dumps({"bench": "manifests", **vars(given), "mib": found}))


def _measured(files: int, releases: int, *, on_disk: bool) -> float:
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_hold, args=(theirs, files, releases, on_disk))
    child.start()
    found = float(ours.recv())
    child.join()
    return found


def _hold(told: Connection, files: int, releases: int, on_disk: bool) -> None:  # noqa: FBT001 - through a pipe
    own = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        before = own.memory_full_info().uss
        held = []
        for number in range(releases):
            made = Packed(_packed(files, number))
            held.append(shelved(made, Path(folder)) if on_disk else made)
            del made
            for asked in range(_ASKED):
                assert _path(asked * files // _ASKED, number) in held[-1]
        gc.collect()
        told.send(round((own.memory_full_info().uss - before) / 2**20, 1))


def _packed(files: int, number: int) -> bytes:
    paths = sorted(_path(each, number) for each in range(files))
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    return pack((path, FileEntry(Digest(digest), 1, "")) for path in paths)


def _path(each: int, number: int) -> str:
    # A hundredth of the packages has another version in each release.
    version = number if each % 100 == 0 else 0
    name = f"package-with-a-name-{each:06}"
    return f"pool/main/{name[:1]}/{name}/{name}_1.{version}-1_amd64.deb"


if __name__ == "__main__":
    main()
