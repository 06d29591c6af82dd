"""Which releases can still be given to a machine, and what they take on the disk.

Two things are asked: what the rule keeps, and what is really there. Files rot, and whoever
restores a backup may have left the blobs out.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from firedoor.adapters.blobs.disk import sizes_on_disk
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.cli import output
from firedoor.cli.context import Place
from firedoor.core.errors import Unavailable
from firedoor.core.units import Digest
from firedoor.wire.housekeeping import kept_releases


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is there of a channel's releases.

    Attributes:
        kept: Ids of the releases whose bytes the rule keeps.
        files: Release id -> digest and size of each of its files, bytes.
        stored: Digests of the files that are on the disk, as long as they have to be.
    """

    kept: frozenset[str]
    files: Mapping[str, Mapping[Digest, int]]
    stored: frozenset[Digest]

    def state(self, release: str) -> str:
        """What is there of a release: its size, or why nobody should count on it."""
        files = self.files.get(release, {})
        there = len(self.stored & files.keys())
        if there < len(files) or not files:
            return "partly missing" if there else "missing"
        return output.size(sum(files.values())) if release in self.kept else "not kept"

    def sentence(self) -> str:
        """What the kept releases take together; a file they share counts once."""
        sizes: dict[Digest, int] = {}
        for release in self.kept:
            sizes.update(self.files.get(release, {}))
        there = sum(size for digest, size in sizes.items() if digest in self.stored)
        lacking = len(sizes.keys() - self.stored)
        said = f"{len(self.kept)} releases, {output.size(there)}"
        return f"{said}; {lacking:,} of their files missing" if lacking else said


def holdings(place: Place, channel: str, releases: Iterable[str] = ()) -> Holdings:
    """What is there of the kept releases of a channel, and of ``releases``.

    Nothing is kept before the judge's first run.
    """
    try:
        with place.judge() as judge, ExitStack() as stack, judge.snapshot():
            now_ms = int(time.time() * 1000)
            kept = kept_releases(judge, _gate(place, stack), place.config, channel, now_ms)
            files = {each: _files(judge, each) for each in kept.union(releases)}
    except Unavailable:
        return Holdings(frozenset(), {}, frozenset())
    sizes: dict[Digest, int] = {}
    for each in files.values():
        sizes.update(each)
    found = sizes_on_disk(place.files.blobs, sizes)
    stored = frozenset(digest for digest, size in found.items() if size == sizes[digest])
    return Holdings(kept, files, stored)


def _files(judge: JudgeReader, release: str) -> dict[Digest, int]:
    return {entry.sha256: entry.size for entry in judge.manifest(release).values()}


def _gate(place: Place, stack: ExitStack) -> GateReader | None:
    try:
        return stack.enter_context(place.gate())
    except Unavailable:
        return None
