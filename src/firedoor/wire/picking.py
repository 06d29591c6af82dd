"""Picking: a release of what machines have, with some packages of a newer one.

A distribution's snapshot brings forty updates of which one cannot wait. Where the operator's own
key signs, no vendor's signature is lost by putting that one into the indices of the release
before: all its bytes are the vendor's, checked against the vendor's index when it was mirrored.

::

    base ----------- indices without the source ---.
                                                   +--> indices, Release --> signed as any other
    newer release -- stanzas of the source --------'
"""

import bz2
import hashlib
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from firedoor.adapters.upstream.repository import unpacked
from firedoor.core.errors import BadInput, Unavailable
from firedoor.core.release import FileEntry, Manifest, media_type
from firedoor.core.units import Digest
from firedoor.formats import debian_picks as picks
from firedoor.formats.debian import IndexFile, package_in, stanzas, unwrapped
from firedoor.formats.debian_versions import Relation, compare, relations
from firedoor.ports import BlobStore

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_READABLE: Final = ("Packages.gz", "Packages", "Packages.zst", "Packages.xz", "Packages.bz2")
_SIGNED: Final = ("InRelease", "Release")
_NEEDS: Final = ("pre-depends", "depends")
_CLASHES: Final = ("breaks", "conflicts")
_ALL: Final = "binary-all"
_NAMED: Final = 3


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


_PACKERS: Final[Mapping[str, Callable[[], _Packer]]] = {
    "Packages": _Plain,
    "Packages.gz": lambda: zlib.compressobj(wbits=31),
    "Packages.zst": zstd.ZstdCompressor,
    # Of what is read once the quickest will do: the best takes five times as long.
    "Packages.xz": lambda: lzma.LZMACompressor(preset=1),
    "Packages.bz2": bz2.BZ2Compressor,
}


@dataclass(frozen=True, slots=True)
class Picked:
    """What came of it.

    Attributes:
        manifest: The release; its ``InRelease`` is not signed yet.
        sources: What was picked: each source and its version.
    """

    manifest: Manifest
    sources: tuple[str, ...]


def pick(base: Manifest, newer: Manifest, names: Iterable[str], blobs: BlobStore) -> Picked:
    """Put some packages of a newer release into an older one.

    Args:
        base: The older one.
        newer: Where they are.
        names: Of packages or of sources; all packages of their sources come.
        blobs: Has the indices of both; what is made new goes there.

    Raises:
        BadInput: ``newer`` has no such package, or nothing of it that ``base`` has not; or it needs
            others of ``newer`` in a version that ``base`` has not.
        Unavailable: An index is not held, or there is no room.
    """
    old, new = _Indices(base, blobs), _Indices(newer, blobs)
    final = _Final(old, new, _sources(new, frozenset(names)))
    changes = {folder: change for folder in old.folders if (change := final.change(folder))}
    if not changes:
        what = ", ".join(sorted(final.sources))
        raise BadInput(f"what machines have has {what} as the newer release has it")
    _expect_same_indices(final, changes)
    for change in changes.values():
        _expect_newer(change)
    _expect_needs(final, changes)
    files = dict(base.items())
    for path in _left(final, changes):
        files.pop(path, None)
    for change in changes.values():
        files.update(_files_of(change, base, newer))
    for root, folders in _by_suite(base, changes).items():
        _write(files, root, folders, final, blobs)
    fresh = (each for change in changes.values() for each in set(change.after) - set(change.before))
    versions = {f"{picks.source_of(each)} {picks.source_version_of(each)}" for each in fresh}
    return Picked(files, tuple(sorted(versions)))


def _expect_same_indices(final: "_Final", changes: "Mapping[str, _Change]") -> None:
    """Refuse where the two releases have what is picked in different indices.

    An architecture that comes or goes is more than a package: it would be taken from machines.
    """
    for folder, change in changes.items():
        if change.before and folder not in final.new.folders:
            raise BadInput(f"the newer release has no {folder}, where machines have what is picked")
    for folder in final.new.folders.keys() - final.old.folders.keys():
        if any(True for _ in picks.of_sources(final.new.stanzas(folder), final.sources)):
            raise BadInput(f"the newer release has what is picked in {folder}, which is new itself")


def _expect_newer(change: "_Change") -> None:
    """Refuse what would take machines back."""
    was = _newest(change.before)
    for name, version in _newest(change.after).items():
        if name in was and compare(version, was[name]) < 0:
            raise BadInput(
                f"{name} would go back from {was[name]} to {version}",
                hint="firedoor release pin goes back to a whole release",
            )


def _newest(stanzas: Iterable[bytes]) -> dict[str, str]:
    """The highest version of each package."""
    found: dict[str, str] = {}
    for stanza in stanzas:
        name, version = picks.field(stanza, "package"), picks.field(stanza, "version")
        if name not in found or compare(version, found[name]) > 0:
            found[name] = version
    return found


def _files_of(
    change: "_Change", base: Manifest, newer: Manifest
) -> Iterator[tuple[str, FileEntry]]:
    """Files of what is picked; a channel may mirror the files of some packages only."""
    had = {each.name for stanza in change.before if (each := package_in(stanza)).path in base}
    for stanza in change.after:
        package = package_in(stanza)
        file = newer.get(package.path)
        if file is not None and file.sha256 == package.sha256:
            yield package.path, file
        elif package.name in had or not change.before:
            raise BadInput(f"the newer release has no file of its package {package.name}")


def _sources(new: "_Indices", names: frozenset[str]) -> frozenset[str]:
    """Sources of which packages are asked for."""
    found: dict[str, str] = {}
    for folder in new.folders:
        found = picks.sources_named(new.stanzas(folder), names) | found
    if missing := sorted(names - found.keys()):
        raise BadInput(
            f"the newer release has no package {', '.join(missing)}",
            hint="name packages or sources as apt-cache show does",
        )
    return frozenset(found.values())


class _Indices:
    """The package indices of a release, by folder."""

    def __init__(self, manifest: Manifest, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.folders: dict[str, dict[str, FileEntry]] = {}
        for path, file in manifest.items():
            folder, _, name = path.rpartition("/")
            if name in _PACKERS and folder.startswith("dists/") and "/by-hash/" not in path:
                self.folders.setdefault(folder, {})[name] = file

    def stanzas(self, folder: str) -> Iterator[bytes]:
        """Stanzas of one index; none where there is no such index."""
        packings = self.folders.get(folder)
        if packings is None:
            return iter(())
        name = min(packings, key=_READABLE.index)
        file = Path(self._blobs.path(packings[name].sha256))
        return stanzas(unpacked(file, name))


class _Change(NamedTuple):
    """Stanzas of what is picked in one index, before and after."""

    before: list[bytes]
    after: list[bytes]


@dataclass(frozen=True, slots=True)
class _Final:
    """The indices that are made: ``old`` with some sources of ``new``."""

    old: _Indices
    new: _Indices
    sources: frozenset[str]

    def stanzas(self, folder: str) -> Iterator[bytes]:
        """Stanzas of one index as it is made."""
        return picks.merged(self.old.stanzas(folder), self.new.stanzas(folder), self.sources)

    def change(self, folder: str) -> _Change | None:
        """What picking changes in one index; None for nothing."""
        before, after = (
            sorted(picks.of_sources(indices.stanzas(folder), self.sources))
            for indices in (self.old, self.new)
        )
        return None if before == after else _Change(before, after)


def _expect_needs(final: _Final, changes: Mapping[str, _Change]) -> None:
    """Refuse what could be installed from one of the two releases, and not from what is made.

    Packages that are picked, which may need others of the newer release; and those that stay,
    which may need what goes.
    """
    known = {folder.rpartition("/")[2] for folder in final.old.folders}
    for architecture in sorted(known - {_ALL}) or [_ALL]:
        mine = [f for f in final.old.folders if f.rpartition("/")[2] in (architecture, _ALL)]
        theirs = [f for f in final.new.folders if f.rpartition("/")[2] in (architecture, _ALL)]
        after = [stanza for folder in mine if folder in changes for stanza in changes[folder].after]
        before = [stanza for f in mine if f in changes for stanza in changes[f].before]
        names = frozenset(picks.field(stanza, "package") for stanza in before)
        stays = (
            (group, picks.field(stanza, "package"))
            for folder in mine
            for stanza in final.old.stanzas(folder)
            if picks.source_of(stanza) not in final.sources
            for group in _needs(stanza)
            if any(each.name in names for each in group)
        )
        wants = {
            group: picks.field(stanza, "package") for stanza in after for group in _needs(stanza)
        }
        wanted = dict(stays)
        clashes = {
            each: picks.field(stanza, "package")
            for stanza in after
            for name in _CLASHES
            for group in relations(picks.field(stanza, name))
            for each in group
        }
        asked = frozenset(each.name for group in (*wants, *wanted) for each in group)
        asked |= {each.name for each in clashes}
        has = _versions((s for f in mine for s in final.stanzas(f)), asked)
        was = _versions((s for f in mine for s in final.old.stanzas(f)), asked)
        had = _versions((s for f in theirs for s in final.new.stanzas(f)), asked)
        unmet = [
            f"{package} needs {' or '.join(map(str, group))}"
            for source, groups in ((had, wants), (was, wanted))
            for group, package in groups.items()
            if _is_met(group, source) and not _is_met(group, has)
        ]
        unmet += [
            f"{package} goes with no {each}"
            for each, package in clashes.items()
            if _is_in_all(each, has) and not _is_in_all(each, had)
        ]
        if unmet:
            more = f" and {len(unmet) - _NAMED:,} more" if len(unmet) > _NAMED else ""
            raise BadInput(
                f"no machine could install it: {'; '.join(unmet[:_NAMED])}{more}",
                hint="pick that as well",
            )


def _needs(stanza: bytes) -> Iterator[tuple[Relation, ...]]:
    """What a package needs: of each group one."""
    for name in _NEEDS:
        yield from relations(picks.field(stanza, name))


def _versions(found: Iterable[bytes], names: frozenset[str]) -> dict[str, set[str]]:
    """Versions in which packages of these names are there, also by what others provide."""
    versions: dict[str, set[str]] = {}
    for stanza in found:
        name = picks.field(stanza, "package")
        if name in names:
            versions.setdefault(name, set()).add(picks.field(stanza, "version"))
        for group in relations(picks.field(stanza, "provides")):
            if group[0].name in names:
                versions.setdefault(group[0].name, set()).add(group[0].version)
    return versions


def _is_met(group: tuple[Relation, ...], versions: Mapping[str, set[str]]) -> bool:
    return any(
        not each.operator or (version and each.is_met_by(version))
        for each in group
        for version in versions.get(each.name, ())
    )


def _is_in_all(relation: Relation, versions: Mapping[str, set[str]]) -> bool:
    """Whether there is such a package, and a relation holds for every version of it."""
    there = versions.get(relation.name, set())
    return bool(there) and all(version and relation.is_met_by(version) for version in there)


def _left(final: _Final, changes: Mapping[str, _Change]) -> set[str]:
    """Files of packages that no index names any more."""
    left = {package_in(stanza).path for change in changes.values() for stanza in change.before}
    for folder in final.old.folders:
        for stanza in final.stanzas(folder):
            left.discard(package_in(stanza).path)
    return left


def _by_suite(base: Manifest, changes: Mapping[str, _Change]) -> dict[str, list[str]]:
    """Folders that change, by the suite whose Release names them."""
    found: dict[str, list[str]] = {}
    for folder in changes:
        parts = folder.split("/")
        roots = ("/".join(parts[:length]) for length in range(2, len(parts) + 1))
        root = next((r for r in roots if any(f"{r}/{name}" in base for name in _SIGNED)), None)
        if root is None:
            raise BadInput(f"no Release names the index in {folder}")
        found.setdefault(root, []).append(folder)
    return found


def _write(
    files: dict[str, FileEntry],
    root: str,
    folders: Iterable[str],
    final: "_Final",
    blobs: BlobStore,
) -> None:
    """Write the indices of a suite that change, and its Release; they take their places."""
    listed: dict[str, IndexFile] = {}
    for folder in folders:
        within = folder[len(root) + 1 :]
        # A Release names what an index is without its packing, whether or not it is there so.
        listed[f"{within}/Packages"] = _hashed(picks.written(final.stanzas(folder)))
        for name, was in final.old.folders[folder].items():
            index = picks.written(final.stanzas(folder))
            digest, size = blobs.put(_packed(index, _PACKERS[name]()))
            listed[f"{within}/{name}"] = IndexFile(digest, size)
            paths = [f"{folder}/{name}"]
            if files.pop(_by_hash(folder, was.sha256), None) is not None:
                paths.append(_by_hash(folder, digest))
            files.update({path: FileEntry(digest, size, media_type(path)) for path in paths})
    signed = next(files[f"{root}/{name}"] for name in _SIGNED if f"{root}/{name}" in files)
    text = unwrapped(_read(blobs, signed.sha256))
    # Other packings are not made, and differences to earlier indices lead elsewhere.
    indices = tuple(path for path in listed if path.endswith("/Packages"))
    gone = {path for path in _paths(text) if path.startswith(indices)} - listed.keys()
    digest, size = blobs.put(iter((picks.relisted(text, listed, gone),)))
    for name in (*_SIGNED, "Release.gpg"):
        files.pop(f"{root}/{name}", None)
    files[f"{root}/InRelease"] = FileEntry(digest, size, media_type("InRelease"))


def _hashed(chunks: Iterable[bytes]) -> IndexFile:
    hashed, size = hashlib.sha256(), 0
    for chunk in chunks:
        hashed.update(chunk)
        size += len(chunk)
    return IndexFile(Digest(hashed.hexdigest()), size)


def _paths(text: bytes) -> set[str]:
    """All paths that a Release names."""
    return {
        line.split()[-1].decode("utf-8", "replace")
        for line in text.split(b"\n")
        if line[:1] in (b" ", b"\t") and line.strip()
    }


def _by_hash(folder: str, digest: Digest) -> str:
    return f"{folder}/by-hash/SHA256/{digest}"


def _packed(chunks: Iterable[bytes], packer: _Packer) -> Iterator[bytes]:
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()


def _read(blobs: BlobStore, digest: Digest) -> bytes:
    try:
        return Path(blobs.path(digest)).read_bytes()
    except OSError as error:
        raise Unavailable(f"an index cannot be read: {error.strerror}") from error
