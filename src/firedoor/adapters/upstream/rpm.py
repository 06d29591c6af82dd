"""An RPM repository as an upstream: ``repomd.xml``, the metadata it names, and the packages.

Nothing is believed but ``repomd.xml``, and that only if it is signed where the channel has keys:
every metadata file has its checksum there, and every package its own in ``primary``. So a mirror
that lies, or lags, or is cut off in the middle is found out by its first wrong byte.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firedoor.adapters.upstream import index
from firedoor.adapters.upstream.index import Limits
from firedoor.adapters.upstream.repository import (
    Signatures,
    as_read,
    is_wanted,
    nothing_before,
    one_at_each_path,
    unpacked,
)
from firedoor.core.errors import BadInput, Unavailable, Untrusted, UpstreamMoved
from firedoor.formats.checksums import SHA256, Checksum
from firedoor.formats.rpm import MetadataFile, Package, Repomd, packages, parse_repomd
from firedoor.ports import BlobStore, Clock, Fetched, Listed, Source

REPOMD: Final = "repodata/repomd.xml"
SIGNATURE: Final = f"{REPOMD}.asc"

_MOST_AHEAD_S: Final = 24 * 3600
_NO_ARCHITECTURE: Final = "noarch"
_READABLE: Final = ("xml", "gz", "xz", "bz2", "zst")


@dataclass(frozen=True, slots=True)
class Packages:
    """Which packages of a repository a channel mirrors.

    Attributes:
        architectures: Their names, to which ``noarch`` belongs; empty for all.
        packages: Shell patterns of package names; empty for all.
    """

    architectures: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


class RpmUpstream:
    """An RPM repository, its metadata in whole, its packages in part or whole. For one thread.

    Args:
        source: The server or directory that has ``repodata/``.
        signatures: The keys that ``repomd.xml`` has to be signed by, or None: by none.
        selection: Which packages.
        blobs: Where indices are kept; they are read to know the packages.
        clock: Tells what lies in the future.
        previous: A file of the last snapshot by its path, or None: the repository does not go
            back behind it.
        limits: How much is believed to be one channel's content.
        deferred: Whether a package's file need not be fetched before somebody asks for it: of
            those whose SHA-256 the repository promises.
    """

    def __init__(
        self,
        source: Source,
        signatures: Signatures | None,
        selection: Packages,
        blobs: BlobStore,
        clock: Clock,
        *,
        previous: Callable[[str], Fetched | None] = nothing_before,
        limits: Limits | None = None,
        deferred: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._source = source
        self._signatures = signatures
        self._selection = selection
        self._blobs = blobs
        self._clock = clock
        self._previous = previous
        self._limits = limits or Limits()
        self._deferred = deferred
        self._promises: dict[str, Checksum] = {}
        self._right: dict[Checksum, Fetched] = {}
        self._last: tuple[list[Listed], tuple[Listed, ...]] = ([], ())

    def index(self) -> tuple[Listed, ...]:
        """List the files now, sorted by path. Asks upstream for ``repomd.xml``.

        Raises:
            Unavailable: Upstream does not answer, or has no repository there.
            Untrusted: A signature, a checksum or an index is wrong, or the repository went back.
            UpstreamMoved: An index is named and not there: upstream is being updated.
        """
        files, repomd = self._repomd()
        if self._last[0] != files:
            # The same ``repomd.xml`` names the same files, by their checksums.
            self._promises = {}
            named = one_at_each_path([*files, *self._named(repomd)])
            self._last = files, index.in_order("the repository", named, self._limits)
        return self._last[1]

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """Bring one file's bytes into ``into`` and verify them.

        Where another checksum than SHA-256 is promised, the validator remembers it: bytes that
        were found right once are not fetched again.

        Raises:
            Unavailable: Upstream does not answer, or nothing can be stored.
            Untrusted: The bytes are not what was promised.
            UpstreamMoved: The file is named and not there.
        """
        promise = self._promises.get(listed.path)
        if promise is None:
            return self._source.fetch(listed, known, into)
        known = self._right.get(promise, known)
        if known and known.validator == str(promise) and into.claim(known.entry.sha256):
            return known
        fetched = self._source.fetch(listed, None, into)
        with Path(into.path(fetched.entry.sha256)).open("rb") as opened:
            found = hashlib.file_digest(opened, promise.algorithm).hexdigest()
        if found != promise.digits:
            raise Untrusted(f"{listed.path}: its {promise.algorithm} is {found}, not as promised")
        self._right[promise] = Fetched(fetched.entry, str(promise))
        return self._right[promise]

    def _named(self, repomd: Repomd) -> Iterator[Listed]:
        for file in repomd.files:
            yield self._listed(file)
        for package in self._packages(index.understood(REPOMD, _primary_of, repomd)):
            self._expect_as_before(package)
            yield self._listed(package)

    def _repomd(self) -> tuple[list[Listed], Repomd]:
        """The signed files as they are now, and what they say."""
        text = self._source.read(REPOMD, self._limits.max_index_bytes)
        if text is None:
            raise Unavailable(
                f"upstream has no {REPOMD}",
                hint="look for repodata/ at the address of the channel's upstream",
            )
        files = [as_read(REPOMD, text)]
        signature = self._source.read(SIGNATURE, self._limits.max_index_bytes)
        if signature is not None:
            files.append(as_read(SIGNATURE, signature))
        if self._signatures is not None:
            self._verify(self._signatures, text, signature)
        repomd = index.understood(REPOMD, parse_repomd, text)
        if repomd.moment[0] > self._clock.now().wall_ms // 1000 + _MOST_AHEAD_S:
            # Once it were believed, all that comes after it would be refused as older.
            raise Untrusted(
                f"the repository is {_spelled(repomd)}, which is in the future",
                hint="look at the clocks, the vendor's and this host's",
            )
        before = self._before()
        if before is not None and repomd.moment < before.moment:
            raise Untrusted(
                f"the repository went back from {_spelled(before)} to {_spelled(repomd)}",
                hint="a mirror lags, or somebody serves an old copy; a vendor that takes "
                "something back has to publish it anew",
            )
        return files, repomd

    def _verify(self, signatures: Signatures, text: bytes, signature: bytes | None) -> None:
        if signature is None:
            raise Untrusted(
                f"upstream has no {SIGNATURE}, and the channel has keys to check it by",
                hint="a vendor that signs nothing but packages has none: leave out trust, and "
                "let its address begin with https",
            )
        try:
            signatures.verify(text, signature)
        except Untrusted as error:
            # The two are not replaced at once.
            if self._source.read(REPOMD, self._limits.max_index_bytes) != text:
                raise UpstreamMoved(f"{REPOMD} changed while its signature was read") from error
            raise Untrusted(f"{REPOMD}: {error}", hint=error.hint) from error

    def _before(self) -> Repomd | None:
        """The ``repomd.xml`` of the last snapshot, as far as it can still be read."""
        known = self._previous(REPOMD)
        try:
            return None if known is None else parse_repomd(self._path(known).read_bytes())
        except (OSError, BadInput):
            return None  # its bytes rotted

    def _packages(self, primary: MetadataFile) -> Iterator[Package]:
        """Packages of the index that the channel wants."""
        packing = primary.path.rpartition(".")[2]
        if packing not in _READABLE:
            raise Unavailable(
                f"{primary.path} is packed as {packing!r}, which this version does not read",
                hint="ask for one in gz, xz or zst (createrepo_c --general-compress-type=gz)",
            )
        known = self._previous(primary.path)
        file = self.fetch(self._listed(primary), known, self._blobs)
        chosen = self._selection
        architectures = {*chosen.architectures, _NO_ARCHITECTURE}
        try:
            for package in packages(unpacked(self._path(file), primary.path)):
                mine = not chosen.architectures or package.architecture in architectures
                if mine and is_wanted(package.name, chosen.packages):
                    yield package
        except BadInput as error:
            raise Untrusted(f"cannot read {primary.path}: {error}", hint=error.hint) from error

    def _expect_as_before(self, package: Package) -> None:
        """Refuse other bytes under a name that machines may be asking for right now."""
        known = self._previous(package.path)
        if known is None:
            return
        promise = package.checksum
        before = (f"{SHA256}:{known.entry.sha256}", known.validator)
        said = [each for each in before if each.startswith(f"{promise.algorithm}:")]
        if said and str(promise) not in said:
            raise Untrusted(
                f"{package.path} changed under the same name",
                hint="a vendor that builds or signs a package anew has to raise its release",
            )

    def _listed(self, file: MetadataFile | Package) -> Listed:
        """A file with what is promised of it; what ``Listed`` cannot say is remembered."""
        if file.checksum.algorithm != SHA256 and (
            self._promises.setdefault(file.path, file.checksum) != file.checksum
        ):
            raise Untrusted(f"upstream promises two different files at {file.path}")
        sha256 = file.checksum.sha256
        told = sha256 is not None and file.size is not None
        deferred = told and isinstance(file, Package) and self._deferred(file.path)
        return Listed(file.path, sha256, file.size, deferred)

    def _path(self, file: Fetched) -> Path:
        return Path(self._blobs.path(file.entry.sha256))


def _primary_of(repomd: Repomd) -> MetadataFile:
    return repomd.primary


def _spelled(repomd: Repomd) -> str:
    made = dt.datetime.fromtimestamp(repomd.moment[0], dt.UTC)
    return f"revision {repomd.revision[:40]!a} of {made:%Y-%m-%d %H:%M:%S}Z"
