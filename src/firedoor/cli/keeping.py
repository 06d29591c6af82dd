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
from firedoor.cli.context import Place
from firedoor.core.errors import Unavailable
from firedoor.core.release import Manifest
from firedoor.core.units import Digest
from firedoor.services.room import spelled
from firedoor.wire.housekeeping import kept_releases


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is there of a channel's releases.

    Attributes:
        kept: Ids of the releases whose bytes the rule keeps.
        files: Release id -> digest and size of each of its files, bytes.
        stored: Digests of the files that are on the disk, as long as they have to be.
        may_lack: Digests of files that may be named only: fetched when a machine asks for them.
    """

    kept: frozenset[str]
    files: Mapping[str, Mapping[Digest, int]]
    stored: frozenset[Digest]
    may_lack: frozenset[Digest] = frozenset()

    def state(self, release: str) -> str:
        """What is there of a release: its size, or why nobody should count on it."""
        files = self.files.get(release, {})
        lacking = files.keys() - self.stored
        there = len(files) - len(lacking)
        if lacking - self.may_lack or not files:
            return "partly missing" if there else "missing"
        if release not in self.kept:
            return "not kept"
        said = spelled(sum(size for each, size in files.items() if each in self.stored))
        return f"{said} held, {len(lacking):,} files named only" if lacking else said

    def sentence(self) -> str:
        """What the kept releases take together; a file they share counts once."""
        sizes: dict[Digest, int] = {}
        for release in self.kept:
            sizes.update(self.files.get(release, {}))
        there = sum(size for digest, size in sizes.items() if digest in self.stored)
        lacking = sizes.keys() - self.stored
        missing, named = lacking - self.may_lack, lacking & self.may_lack
        said = f"{len(self.kept)} releases, {spelled(there)}"
        if missing:
            said += f"; {len(missing):,} of their files missing"
        if named:
            more = spelled(sum(sizes[digest] for digest in named))
            said += f"; {len(named):,} of their files named only ({more}), fetched when asked for"
        return said


def holdings(place: Place, channel: str, releases: Iterable[str] = ()) -> Holdings:
    """What is there of the kept releases of a channel, and of ``releases``.

    Nothing is kept before the judge's first run.
    """
    try:
        with place.judge() as judge, ExitStack() as stack, judge.snapshot():
            now_ms = int(time.time() * 1000)
            kept = kept_releases(judge, _gate(place, stack), place.config, channel, now_ms)
            manifests = {each: judge.manifest(each) for each in kept.union(releases)}
            files = {name: _files(manifest) for name, manifest in manifests.items()}
    except Unavailable:
        return Holdings(frozenset(), {}, frozenset())
    sizes: dict[Digest, int] = {}
    for each in files.values():
        sizes.update(each)
    found = sizes_on_disk(place.files.blobs, sizes)
    stored = frozenset(digest for digest, size in found.items() if size == sizes[digest])
    config = next((each for each in place.config.channels if each.name == channel), None)
    may_lack = frozenset[Digest]()
    if config is not None and config.is_lazy:
        may_lack = frozenset(
            entry.sha256
            for manifest in manifests.values()
            for path, entry in manifest.items()
            if entry.sha256 not in stored and config.may_lack(path)
        )
    return Holdings(kept, files, stored, may_lack)


def _files(manifest: Manifest) -> dict[Digest, int]:
    return {entry.sha256: entry.size for entry in manifest.values()}


def _gate(place: Place, stack: ExitStack) -> GateReader | None:
    try:
        return stack.enter_context(place.gate())
    except Unavailable:
        return None
