"""A look at Debian's main/amd64 beside aptly's: time, memory, requests.

``python -m tests.bench.bench_mirror [--rounds N] [--packages N]``

The upstream is one repository on loopback, served by nginx: the index that this machine's own apt
has of bookworm main amd64, signed by a key of ours; where apt has none, one of the same size is
made. No package is there. In each round both begin with nothing, look, and look again with nothing
changed, each look in a process of its own, in turn. Firedoor looks from a process that is up
(the judge's), so ``looks`` has its time from where that would begin; ``seconds`` counts the start
of our interpreter and what it imports as well, as if each look were a command.

Firedoor keeps the snapshot and names packages without fetching them (ADR 0025). aptly would fetch
all packages of a mirror; it gets a filter that none passes, so that it reads, verifies and parses
the same metadata and nothing more. Prints one line of JSON.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.bench_apt_index import PACKAGES, fill
from tests.debian import SUITE, Archive
from tests.servers import nginx_server

TARGET_TIME: Final = 1.5
TARGET_MEMORY: Final = 1.0
_LISTS: Final = Path("/var/lib/apt/lists")
_INDEX: Final = "*_dists_bookworm_main_binary-amd64_Packages*"
_CAT: Final = "/usr/lib/apt/apt-helper"
_PATIENCE_S: Final = 300
_MEASURE: Final = """
import json, os, sys, time
began = time.monotonic()
null = os.open(os.devnull, os.O_WRONLY)
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
                      file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
_, status, used = os.wait4(pid, 0)
if status:
    raise SystemExit(f"{sys.argv[1]} ended with {os.waitstatus_to_exitcode(status)}")
took = time.monotonic() - began
print(json.dumps([took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
_CONFIGURATION: Final = """
data = "{data}"
[[channel]]
name = "debian"
kind = "apt"
upstream = "{url}"
suites = ["{suite}"]
components = ["main"]
architectures = ["amd64"]
trust = ["{keyring}"]
"""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look cost."""

    seconds: float
    cpu_s: float
    mib: float
    requests: int
    looks: float


def main() -> int:
    """Measure both; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--packages", type=int, default=PACKAGES, help="if apt has no index")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        archive = Archive.new(root)
        real = _publish(archive, given.packages)
        with _counted(archive.root, root / "nginx") as (url, log):
            rounds = []
            for number in range(given.rounds):
                sides = [_firedoor, _aptly] if number % 2 else [_aptly, _firedoor]
                folder = root / f"round-{number}"
                folder.mkdir()
                rounds.append({side.__name__: side(folder, url, archive, log) for side in sides})
    ours = [each["_firedoor"] for each in rounds]
    theirs = [each["_aptly"] for each in rounds]
    said = subprocess.run(["aptly", "version"], capture_output=True, text=True, check=True).stdout
    figures: dict[str, object] = {
        "bench": "mirror",
        "packages": real or given.packages,
        "index": "of bookworm" if real else "made",
        "aptly": said.split()[-1],
    }
    for at, name in enumerate(("first", "unchanged")):
        figures[name] = {
            "firedoor": [asdict(each[at]) for each in ours],
            "aptly": [asdict(each[at]) for each in theirs],
            "time_ratio": _ratio([each[at].looks for each in ours], theirs, at, "seconds"),
            "with_start_ratio": _ratio([each[at].seconds for each in ours], theirs, at, "seconds"),
            "cpu_ratio": _ratio([each[at].cpu_s for each in ours], theirs, at, "cpu_s"),
            "memory_ratio": _ratio([each[at].mib for each in ours], theirs, at, "mib"),
        }
    figures |= {
        "targets": {"time": TARGET_TIME, "memory": TARGET_MEMORY},
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    print(json.dumps(figures))
    return 0


def _ratio(ours: list[float], theirs: list[list[Look]], at: int, what: str) -> float:
    other = [getattr(each[at], what) for each in theirs]
    return round(float(statistics.median(a / b for a, b in zip(ours, other, strict=True))), 2)


def _firedoor(folder: Path, url: str, archive: Archive, log: Path) -> list[Look]:
    path = folder / "firedoor.toml"
    (folder / "data").mkdir()
    text = _CONFIGURATION.format(
        data=folder / "data", url=url, suite=SUITE, keyring=archive.keyring
    )
    path.write_text(text)
    command = [sys.executable, "-m", "tests.bench.mirror_look", str(path)]
    result = folder / "look"
    looks = []
    for _ in range(2):
        look = _timed([*command, str(result)], log)
        looks.append(replace(look, looks=round(float(result.read_text()), 2)))
    return looks


def _aptly(folder: Path, url: str, archive: Archive, log: Path) -> list[Look]:
    path = folder / "aptly.conf"
    path.write_text(json.dumps({"rootDir": str(folder / "aptly"), "gpgProvider": "gpg"}))
    aptly = ["aptly", f"-config={path}"]
    create = [*aptly, "mirror", "create", "-architectures=amd64", f"-keyring={archive.keyring}"]
    nothing = "-filter=Name (= none-of-all)"
    subprocess.run(
        [*create, nothing, "debian", url, SUITE, "main"],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=_PATIENCE_S,
    )
    update = [*aptly, "mirror", "update", f"-keyring={archive.keyring}", "debian"]
    return [_timed(update, log) for _ in range(2)]


def _timed(command: Sequence[str], log: Path) -> Look:
    before = len(log.read_bytes().splitlines())
    # The most memory of a process counts that of who forked it, so a small one does.
    small = [sys.executable, "-I", "-S", "-c", _MEASURE, *command]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        small, stdout=subprocess.PIPE, env=environment, check=True, text=True, timeout=_PATIENCE_S
    )
    took, cpu_s, mib = json.loads(done.stdout)
    requests = len(log.read_bytes().splitlines()) - before
    return Look(round(took, 2), round(cpu_s, 2), round(mib, 1), requests, round(took, 2))


def _publish(archive: Archive, count: int) -> int:
    """Fill and sign it, in a process that gives its memory back; packages of the real index."""
    index = next(iter(sorted(_LISTS.glob(_INDEX))), None)
    real = 0
    if index is not None:
        done = subprocess.run([_CAT, "cat-file", str(index)], capture_output=True, check=True)
        stanzas = done.stdout.decode().strip().split("\n\n")
        real = len(stanzas)

    def work() -> None:
        if index is None:
            fill(archive, count, "2")
        else:
            archive.packages |= {(str(at), ""): f"{one}\n" for at, one in enumerate(stanzas)}
        archive.publish()

    vendor = multiprocessing.get_context("fork").Process(target=work)
    vendor.start()
    vendor.join()
    return real


@contextlib.contextmanager
def _counted(root: Path, prefix: Path) -> Iterator[tuple[str, Path]]:
    """The server, and a file with a line for each of its requests."""
    with nginx_server(root, prefix, access_log="requests") as url:
        yield url, prefix / "requests"


if __name__ == "__main__":
    sys.exit(main())
