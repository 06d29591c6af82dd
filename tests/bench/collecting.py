"""Kill the collection of unneeded content at random moments: does anything go that is needed?

``python tests/bench/collecting.py [--kills N] [--seed S]``; part of ``make soak``.

A vendor publishes all the time, the real judge mirrors and collects every tenth of a second, the
real gate serves machines that read whole releases and check every byte. The judge is killed
without warning, at random moments, and started again at once. Prints one line of JSON; exit code 1
if a machine got an error or a wrong byte, if a kept release lacks a file afterwards, or if the
collections after the last kill leave a file that nobody needs.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # a script knows its own folder only

from tests.tree import Tree, until

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.blobs.layout import stored_in
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.config import load
from firedoor.core.units import Digest
from firedoor.simulator.stage import CHANNEL
from firedoor.wire.housekeeping import kept_releases

LIST = "SHA256SUMS"
REST_MS = 6_000
AT_WORK = 0.85
"""How often it is killed at its work; else while it starts, which takes seconds."""

MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
_SETTINGS = """
[policy]
mode = "shadow"

[[channel]]
name = "demo"
keep = 1
poll = "300ms"
session_max = "2s"
"""


@dataclass
class Reader:
    """A machine that reads a whole release, again and again.

    Attributes:
        files: Files that it got, whole and right.
        wrong: What it got instead of a file that its list names.
    """

    tree: Tree
    name: str
    files: int = 0
    wrong: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        """Read until told to stop."""
        while not self.done.wait(0.25):
            listing = self.tree.get(LIST, self.name)
            if listing.status != HTTPStatus.OK:
                self.wrong.append(f"{LIST}: {listing.status}")
                continue
            for line in listing.body.decode().splitlines():
                digest, _, path = line.partition("  ")
                reply = self.tree.get(path, self.name)
                if reply.release != listing.release:
                    break  # The session was over: the next begins with another list.
                if hashlib.sha256(reply.body).hexdigest() == digest:
                    self.files += 1
                else:
                    self.wrong.append(f"{path} of {listing.release[:12]}: {reply.status}")


@dataclass
class Judge:
    """The judge's process, started again whenever it was killed."""

    config: Path
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "tests.judge_process", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--rest-ms", str(REST_MS)], stdout=log, stderr=log
            )

    def kill(self) -> None:
        """Kill it, as a crash would."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def deleted(self) -> int:
        """Blobs that its collections have said they deleted."""
        log = self.log.read_text(errors="replace")
        return sum(map(int, re.findall(r"blobs_swept\W+blobs=([0-9]+)", log)))


def torment(root: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill so often while releases flow; return what was found."""
    chance = random.Random(seed)
    tree = Tree(root)
    tree.publish("0")
    versions = count(1)
    with tree:
        (root / "config.d" / "20-collecting.toml").write_text(_SETTINGS)
        tree.kill_everything()
        tree.start()
        readers = [Reader(tree, name) for name in ("one", "two")]
        tree.enrol(*(reader.name for reader in readers))
        until(lambda: tree.is_at(1, "open"), "the first release is open", tree.tail)
        judge = Judge(root / "firedoor.toml", root / "judge.log")
        with tree.down("judge"):
            judge.start()
            threads = [threading.Thread(target=reader.read) for reader in readers]
            for thread in threads:
                thread.start()
            try:
                for _ in range(kills):
                    tree.publish(str(next(versions)))
                    if chance.random() < AT_WORK:
                        seen = _seen(tree)
                        until(partial(_more_than, tree, seen), "the judge is at work")
                    until_s = time.monotonic() + chance.uniform(0.0, 6.0)
                    while time.monotonic() < until_s:
                        tree.publish(str(next(versions)))
                        time.sleep(chance.uniform(0.2, 0.8))
                    judge.kill()
                    judge.start()
            finally:
                for reader in readers:
                    reader.done.set()
                for thread in threads:
                    thread.join()
            try:
                return {
                    "kills": kills,
                    "published": next(versions) - 1,
                    "boarded": _boarded(tree),
                    **_settled(tree, root),
                    "deleted": judge.deleted(),
                    "files_read": sum(reader.files for reader in readers),
                    "wrong": [each for reader in readers for each in reader.wrong],
                }
            finally:
                judge.kill()


def _settled(tree: Tree, root: Path) -> dict[str, object]:
    """What lacks at once; what is left over when the collections have had their time."""
    lacking = sorted(_needed(tree, root) - {blob.digest for blob in stored_in(tree.files.blobs)})
    blobs = DiskBlobs(tree.files.blobs)
    changed = list(blobs.scrub())

    def orphans() -> set[Digest]:
        return {blob.digest for blob in stored_in(tree.files.blobs)} - _needed(tree, root)

    begin = time.monotonic()
    with contextlib.suppress(AssertionError):
        until(lambda: not orphans(), "all that nobody needs is gone", patience_s=60)
    left = sorted(orphans())
    strays = [each.name for each in (tree.files.blobs / "incoming").iterdir()]
    # Once more: what went since may not have been needed either.
    lacking += sorted(_needed(tree, root) - {blob.digest for blob in stored_in(tree.files.blobs)})
    return {
        "lacking": lacking,
        "changed": changed,
        "orphans": left,
        "strays": strays,
        "settled_s": round(time.monotonic() - begin, 1),
    }


def _seen(tree: Tree) -> int:
    with tree.judge() as judge:
        return len(judge.snapshots(CHANNEL))


def _more_than(tree: Tree, seen: int) -> bool:
    return _seen(tree) > seen


def _boarded(tree: Tree) -> int:
    with tree.judge() as judge:
        return len(judge.boardings(CHANNEL))


def _needed(tree: Tree, root: Path) -> set[Digest]:
    config = load(root / "firedoor.toml")
    with (
        contextlib.closing(JudgeReader(tree.files.data)) as judge,
        contextlib.closing(GateReader(tree.files.data)) as gate,
        judge.snapshot(),
    ):
        kept = kept_releases(judge, gate, config, CHANNEL, time.time_ns() // 1_000_000)
        return {each.sha256 for one in kept for each in judge.manifest(one).values()}


def main() -> int:
    """Run; print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20240719)
    given = parser.parse_args()
    # In memory, if there is such a place: processes die here, not the disk.
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        found = torment(Path(folder), given.kills, given.seed)
    bad = [name for name in ("lacking", "changed", "orphans", "strays", "wrong") if found[name]]
    held = not bad and bool(found["deleted"]) and bool(found["files_read"])
    print(json.dumps({"bench": "collecting", "held": held, **found}))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
