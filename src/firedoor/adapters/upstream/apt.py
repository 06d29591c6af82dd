"""A Debian repository as an upstream: suites, their indices, and the packages these name.

Nothing is believed but a suite's signed ``Release``: every index has its digest there, and every
package its own in an index. So a mirror that lies, or lags, or is cut off in the middle is found
out by its first wrong byte.

Both names of an index are part of a release: its own, and the one made of its digest. Clients that
find a new ``InRelease`` and old indices elsewhere ask for the second.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from firedoor.adapters.upstream import index
from firedoor.adapters.upstream.index import Limits
from firedoor.adapters.upstream.repository import (
    Signatures,
    as_read,
    is_wanted,
    one_at_each_path,
    unpacked,
)
from firedoor.core.errors import BadInput, Unavailable, Untrusted
from firedoor.core.release import Manifest
from firedoor.core.units import Digest
from firedoor.formats.debian import IndexFile, Package, ReleaseFile, packages, parse_release
from firedoor.ports import BlobStore, Clock, Fetched, Listed, Source


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a repository a channel mirrors.

    Attributes:
        suites: Directories below ``dists/``: ``bookworm``, ``bookworm-security``.
        components: Their names; empty for all.
        architectures: Their names, to which ``all`` belongs; empty for all.
        packages: Shell patterns of package names; empty for all.
    """

    suites: tuple[str, ...]
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


class AptUpstream:
    """A Debian repository, in part or whole. For one thread at a time.

    Args:
        source: The server or directory that has ``dists/`` and ``pool/``.
        signatures: The keys it is believed by.
        selection: Which part of it.
        blobs: Where indices are kept; they are read to know the packages.
        clock: Tells whether a suite has expired.
        previous: Files of the last snapshot: no suite goes back behind it.
        ours: The last snapshot was taken with this selection: of suites that are as they were,
            no index is read again.
        limits: How much is believed to be one channel's content.
        deferred: Whether a package's file need not be fetched before somebody asks for it.
    """

    def __init__(
        self,
        source: Source,
        signatures: Signatures,
        selection: Selection,
        blobs: BlobStore,
        clock: Clock,
        *,
        previous: Manifest = MappingProxyType({}),
        ours: bool = False,
        limits: Limits | None = None,
        deferred: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._deferred = deferred
        self._source = source
        self._previous = previous
        self._ours = ours
        self._signatures = signatures
        self._selection = selection
        self._blobs = blobs
        self._clock = clock
        self._limits = limits or Limits()
        self._listed: tuple[list[Listed], tuple[Listed, ...]] | None = None

    def index(self) -> tuple[Listed, ...]:
        """List the files now, sorted by path. Asks upstream for every suite's ``Release``.

        Raises:
            Unavailable: Upstream does not answer, or has no such suite.
            Untrusted: A signature, a digest or an index is wrong, or a suite has expired.
            UpstreamMoved: An index is named and not there: upstream is being updated.
        """
        suites = {suite: self._release(suite) for suite in self._selection.suites}
        if self._ours and all(map(self._is_as_before, suites.values())):
            return tuple(
                Listed(path, file.sha256, file.size, self._deferred(path))
                for path, file in self._previous.items()
            )
        # What is signed names the rest by digests, so a second look at the same need not read on.
        signed = [file for files, _ in suites.values() for file in files]
        if self._listed is not None and self._listed[0] == signed:
            return self._listed[1]
        files = (file for suite, parts in suites.items() for file in self._suite(suite, *parts))
        listed = index.in_order("the repository", one_at_each_path(files), self._limits)
        self._listed = signed, listed
        return listed

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """Bring one file's bytes into ``into``; an index is asked for by its digest."""
        return self._source.fetch(listed, known, into)

    def _is_as_before(self, signed: tuple[list[Listed], ReleaseFile]) -> bool:
        """Whether a suite's signed files are those of the last snapshot, and so all they name."""
        known = [(listed, self._previous.get(listed.path)) for listed in signed[0]]
        return all(file is not None and file.sha256 == each.sha256 for each, file in known)

    def _suite(self, suite: str, files: list[Listed], release: ReleaseFile) -> Iterator[Listed]:
        at = f"dists/{suite}/"
        yield from files
        named = {path: release.files[path] for path in self._wanted(release)}
        for path, file in named.items():
            yield Listed(at + path, file.sha256, file.size)
            if release.by_hash:
                folder = path.rpartition("/")[0]
                by_hash = f"{at}{folder}/by-hash/SHA256/{file.sha256}"
                yield Listed(by_hash, file.sha256, file.size)
        read = [path for path in named if path.rpartition("/")[2] in _READABLE]
        if not read:
            raise Unavailable(
                f"the suite {suite} has no index of the components and architectures wanted",
                hint=f"it has {', '.join(release.components)} for "
                f"{', '.join(release.architectures)}",
            )
        for path in _first_packings(read):
            for package in self._packages(at, path, named[path], by_hash=release.by_hash):
                deferred = self._deferred(package.path)
                yield Listed(package.path, package.sha256, package.size, deferred)

    def _release(self, suite: str) -> tuple[list[Listed], ReleaseFile]:
        """A suite's signed files as they are now, and what they say."""
        at = f"dists/{suite}/"
        signed = self._source.read(f"{at}InRelease", self._limits.max_index_bytes)
        if signed is not None:
            text, files = self._text(f"{at}InRelease", signed), [as_read(f"{at}InRelease", signed)]
        else:
            beside = [
                self._source.read(at + name, self._limits.max_index_bytes)
                for name in ("Release", "Release.gpg")
            ]
            if beside[0] is None or beside[1] is None:
                raise Unavailable(
                    f"upstream has no signed suite {suite}",
                    hint="look for dists/ at the address of the channel's upstream",
                )
            text = beside[0]
            self._signatures.verify(text, beside[1])
            files = [as_read(f"{at}Release", text), as_read(f"{at}Release.gpg", beside[1])]
        release = index.understood(f"{at}Release", parse_release, text)
        self._expect_of_now(suite, release)
        before = self._date_before(at)
        if before is not None and release.date < before:
            raise Untrusted(
                f"the suite {suite} went back from {before:%Y-%m-%d %H:%M:%S}Z "
                f"to {release.date:%Y-%m-%d %H:%M:%S}Z",
                hint="a mirror lags, or somebody serves an old copy; no client would take it",
            )
        return files, release

    def _text(self, where: str, signed: bytes) -> bytes:
        try:
            return self._signatures.verified(signed)
        except Untrusted as error:
            raise Untrusted(f"{where}: {error}", hint=error.hint) from error

    def _date_before(self, at: str) -> dt.datetime | None:
        """When the suite of the last snapshot was made, as far as it can still be read."""
        file = self._previous.get(f"{at}InRelease")
        try:
            if file is not None:
                text = self._signatures.verified(self._blob(file.sha256))
            elif (file := self._previous.get(f"{at}Release")) is not None:
                text = self._blob(file.sha256)
            else:
                return None
            return parse_release(text).date
        except (OSError, Untrusted, BadInput):
            return None  # its bytes rotted, or its key is believed no more

    def _blob(self, digest: Digest) -> bytes:
        return Path(self._blobs.path(digest)).read_bytes()

    def _expect_of_now(self, suite: str, release: ReleaseFile) -> None:
        now = dt.datetime.fromtimestamp(self._clock.now().wall_ms / 1000, dt.UTC)
        if release.valid_until is not None and release.valid_until < now:
            raise Untrusted(
                f"the suite {suite} expired at {release.valid_until:%Y-%m-%d %H:%M}Z",
                hint="upstream is not renewed any more, or somebody serves an old copy of it",
            )
        names = {release.fields.get(name, "") for name in ("suite", "codename")}
        # "bookworm-security/updates" of old, "stable/updates": the first part names the suite.
        if suite.split("/", maxsplit=1)[0] not in {name.split("/")[0] for name in names}:
            raise Untrusted(
                f"the suite {suite} says that it is {' or '.join(sorted(names - {''}))}",
                hint="name the suite as its Release file does",
            )

    def _wanted(self, release: ReleaseFile) -> list[str]:
        """Indices that are mirrored: of one file every packing, unpacked only where none is."""
        chosen = [path for path in release.files if self._is_wanted(path)]
        packed = {path.rpartition(".")[0] for path in chosen if path.endswith(_PACKED)}
        return [path for path in chosen if path.endswith(_PACKED) or path not in packed]

    def _is_wanted(self, path: str) -> bool:
        component, _, within = _halves(path)
        folder, _, name = within.partition("/")
        if self._selection.components and component not in self._selection.components:
            return False
        if folder == "i18n":
            return name.startswith("Translation-en")
        architectures = self._selection.architectures
        architecture = folder.removeprefix("binary-")
        mine = not architectures or architecture in (*architectures, "all")
        return folder != architecture and mine and name.startswith(("Packages", "Release"))

    def _packages(self, at: str, path: str, file: IndexFile, *, by_hash: bool) -> Iterator[Package]:
        """Packages of one index that the channel wants."""
        folder = path.rpartition("/")[0]
        # By its digest, an index that belongs to this Release is there while a newer one comes.
        where = f"{at}{folder}/by-hash/SHA256/{file.sha256}" if by_hash else at + path
        self._source.fetch(Listed(where, file.sha256, file.size), None, self._blobs)
        patterns = self._selection.packages
        found = packages(unpacked(Path(self._blobs.path(file.sha256)), path))
        try:
            for package in found:
                if is_wanted(package.name, patterns):
                    yield package
        except BadInput as error:
            raise Untrusted(f"cannot read {at}{path}: {error}", hint=error.hint) from error


def _halves(path: str) -> tuple[str, str, str]:
    """Component, a slash, and folder with name: components may have slashes themselves."""
    folders, _, name = path.rpartition("/")
    component, slash, folder = folders.rpartition("/")
    return component, slash, f"{folder}/{name}"


def _first_packings(paths: Sequence[str]) -> list[str]:
    """Of each index one packing, the one that is quickest to read."""
    best: dict[str, str] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in best or _READABLE.index(name) < _READABLE.index(
            best[folder].rpartition("/")[2]
        ):
            best[folder] = path
    return list(best.values())


_READABLE: Final = ("Packages.gz", "Packages", "Packages.xz", "Packages.bz2")
"""Names of indices that we can read, the quickest first."""

_PACKED: Final = (".xz", ".gz", ".bz2", ".zst", ".lz4", ".lzma")
