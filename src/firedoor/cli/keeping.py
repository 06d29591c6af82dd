"""Which releases can still be given to a machine, and what they take on the disk.

Two things are asked: what the rule keeps, and what is really there. Files rot, and whoever
restores a backup may have left the blobs out.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec

from firedoor.adapters.blobs.layout import disk_of, sizes_on_disk, stored_in
from firedoor.adapters.store.gate import GateReader
from firedoor.cli.context import Place
from firedoor.core.errors import Unavailable
from firedoor.core.release import Manifest
from firedoor.core.units import Digest
from firedoor.services.room import Limits, Space, spelled
from firedoor.wire.housekeeping import kept_releases, rest_of


class Kept(msgspec.Struct, frozen=True):
    """What the kept releases of a channel take together; a file they share counts once.

    Attributes:
        releases: How many they are.
        held_files: Their files that are on the disk.
        held_bytes: Size of these.
        named_files: Files that are named only, and fetched when a machine asks for them.
        named_bytes: Size of these.
        missing_files: Files that should be on the disk and are not.
    """

    releases: int = 0
    held_files: int = 0
    held_bytes: int = 0
    named_files: int = 0
    named_bytes: int = 0
    missing_files: int = 0


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

    def together(self) -> Kept:
        """What the kept releases take."""
        sizes: dict[Digest, int] = {}
        for release in self.kept:
            sizes.update(self.files.get(release, {}))
        lacking = sizes.keys() - self.stored
        named = lacking & self.may_lack
        return Kept(
            releases=len(self.kept),
            held_files=len(sizes) - len(lacking),
            held_bytes=sum(size for digest, size in sizes.items() if digest in self.stored),
            named_files=len(named),
            named_bytes=sum(sizes[digest] for digest in named),
            missing_files=len(lacking) - len(named),
        )

    def sentence(self) -> str:
        """The same for people."""
        kept = self.together()
        said = f"{kept.releases} releases, {spelled(kept.held_bytes)}"
        if kept.missing_files:
            said += f"; {kept.missing_files:,} of their files missing"
        if kept.named_files:
            more = spelled(kept.named_bytes)
            said += (
                f"; {kept.named_files:,} of their files named only ({more}), fetched when asked for"
            )
        return said


def holdings(place: Place, channel: str, releases: Iterable[str] = ()) -> Holdings:
    """What is there of the kept releases of a channel, and of ``releases``.

    Nothing is kept before the judge's first run.
    """
    try:
        with place.judge() as judge, ExitStack() as stack, judge.snapshot():
            now_ms = int(time.time() * 1000)
            kept = kept_releases(judge, gate_of(place, stack), place.config, channel, now_ms)
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


@dataclass(frozen=True, slots=True)
class Costs:
    """What a channel takes on the disk, bytes, and what could be had back.

    Attributes:
        alone: Files that only kept releases of this channel name.
        shared: Files that kept releases of other channels name as well.
        old_names: Of ``alone``: kept only because machines may still ask for what they read.
        unneeded: All that is stored and no kept release of any channel names.
        due: Of this: not needed for so long that the next collection may delete it.
        space: All that is stored, and the disk.
    """

    alone: int
    shared: int
    old_names: int
    unneeded: int
    due: int
    space: Space


def costs(place: Place, channel: str) -> Costs | None:
    """What a channel takes on the disk; None before the judge's first run."""
    root, now_ms = place.files.blobs, int(time.time() * 1000)
    try:
        stored = {blob.digest: blob for blob in stored_in(root)}
        with place.judge() as judge, ExitStack() as stack, judge.snapshot():
            gate = gate_of(place, stack)

            def named(of: str, *, old_names: bool = True) -> set[Digest]:
                kept = kept_releases(judge, gate, place.config, of, now_ms, old_names=old_names)
                entries = (each for one in kept for each in judge.manifest(one).values())
                return {each.sha256 for each in entries} & stored.keys()

            mine, lasting = named(channel), named(channel, old_names=False)
            others = set[Digest]().union(*(named(of) for of in judge.channels() if of != channel))
        free, total = disk_of(root)
    except Unavailable:
        return None

    def size(digests: Iterable[Digest]) -> int:
        return sum(stored[digest].size for digest in digests)

    unneeded = stored.keys() - mine - others
    before_ms = now_ms - rest_of(place.config)
    return Costs(
        alone=size(mine - others),
        shared=size(mine & others),
        old_names=size(mine - others - lasting),
        unneeded=size(unneeded),
        due=size(digest for digest in unneeded if stored[digest].needed_ms < before_ms),
        space=Space(size(stored), free, total),
    )


def cost_facts(costs: Costs, limits: Limits) -> list[tuple[str, str]]:
    """The lines of a printout that say what a channel costs."""
    mine = f"{spelled(costs.alone)} are this channel's alone"
    if costs.shared:
        mine += f", {spelled(costs.shared)} are other channels' too"
    if costs.old_names:
        mine += (
            f"; {spelled(costs.old_names)} stay only for machines that have read an older index, "
            "three days at most"
        )
    frees = spelled(costs.due)
    if later := costs.unneeded - costs.due:
        frees += f"; {spelled(later)} more when nobody has needed it for a day"
    return [
        ("of that", mine),
        ("all channels", limits.sentence(costs.space)),
        ("next collection frees", frees),
    ]


def gate_of(place: Place, stack: ExitStack) -> GateReader | None:
    """The gate's store until the stack ends; None before the gate's first run."""
    try:
        return stack.enter_context(place.gate())
    except Unavailable:
        return None


def _files(manifest: Manifest) -> dict[Digest, int]:
    return {entry.sha256: entry.size for entry in manifest.values()}
