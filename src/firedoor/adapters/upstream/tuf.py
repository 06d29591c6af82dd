"""A TUF repository as an upstream: roles from the trusted root on, and the targets they name.

The four roles that every repository has are read by the client that the specification's authors
keep: what it refuses for a signature, a date or a version, is refused here with its words. It
starts from what the last snapshot had, so that no version goes back. The roles below them are all
read, which no client does, and every target that a client could find is mirrored.

Source: TUF specification 1.0.34, 5 (client workflow); python-tuf 7 (ngclient).
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final, TypeVar

from tuf.api import exceptions as tuf
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from firedoor.adapters.upstream import index
from firedoor.adapters.upstream.index import Limits
from firedoor.adapters.upstream.repository import one_at_each_path
from firedoor.core.errors import FiredoorError, Unavailable, Untrusted, UpstreamMoved
from firedoor.core.release import Manifest, check_path
from firedoor.core.units import Digest
from firedoor.formats.checksums import SHA256
from firedoor.formats.tuf import (
    CONTENT,
    METADATA,
    TARGETS,
    TIMESTAMP,
    TargetMeta,
    content,
    newest,
    role_file,
    role_path,
    target_paths,
)
from firedoor.ports import BlobStore, Fetched, Listed, Source

MOST_ROLES: Final = 4_096
"""Delegated roles of one repository; more are refused."""

MOST_ROLE_BYTES: Final = 256 << 20
"""Bytes of all their files together; more are refused."""

_CONFIG: Final = UpdaterConfig()
_HERE: Final = "upstream:/"
_HISTORY: Final = "root_history"
_GONE: Final = 404
_S = TypeVar("_S", bound=Signed)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a repository has its files, relative to the address of the channel's upstream.

    Attributes:
        metadata: Directory of the roles, with a slash at its end; "" for the address itself.
        targets: Directory of the targets, likewise.
    """

    metadata: str = METADATA
    targets: str = TARGETS


@dataclass(slots=True)
class _Read:
    """One reading of a repository.

    Attributes:
        files: Bytes of every role's file, by the path that clients ask for.
        roles: Targets roles by name.
        consistent: The repository has consistent snapshots.
        snapshot: What it says of all roles.
        role_bytes: How long the files of delegated roles are together.
    """

    files: dict[str, bytes]
    consistent: bool
    snapshot: Snapshot
    roles: dict[str, Targets] = field(default_factory=dict)
    role_bytes: int = 0

    def found(self, name: str) -> TargetFile | None:
        """A target as a client finds it, from the most trusted role that has it."""
        waiting, visited = [Targets.type], set[str]()
        while waiting and len(visited) <= _CONFIG.max_delegations:
            role = waiting.pop()
            if role in visited:
                continue
            target = self.roles[role].targets.get(name)
            if target is not None:
                return target
            visited.add(role)
            delegations = self.roles[role].delegations
            if delegations is not None:
                children: list[str] = []
                for child, terminating in delegations.get_roles_for_target(name):
                    children.append(child)
                    if terminating:
                        waiting = []
                        break
                waiting += reversed(children)
        return None


class TufUpstream:
    """A TUF repository, whole. For one thread at a time.

    Args:
        source: The server or directory that has it.
        root: Bytes of the root that is trusted, the oldest that any client begins with.
        blobs: Where the files go; what the last snapshot had is read there.
        layout: Where the repository has its files.
        previous: Files of the last snapshot: no role goes back behind it.
        limits: How much is believed to be one channel's content.
    """

    def __init__(
        self,
        source: Source,
        root: bytes,
        blobs: BlobStore,
        *,
        layout: Layout | None = None,
        previous: Manifest = MappingProxyType({}),
        limits: Limits | None = None,
    ) -> None:
        self._source = source
        self._root = root
        self._blobs = blobs
        self._layout = layout or Layout()
        self._previous = previous
        self._limits = limits or Limits()
        self._targets: dict[str, tuple[TargetFile, tuple[str, ...]]] = {}

    def index(self) -> tuple[Listed, ...]:
        """List the files now, sorted by path. Asks upstream for roots and the timestamp.

        Raises:
            Unavailable: Upstream does not answer, or has no repository there.
            Untrusted: A signature, a digest, a version or a date is wrong, or a name may not be.
            UpstreamMoved: Upstream changed while it was read.
        """
        reader = _Reader(self._source, self._layout.metadata, self._limits.max_index_bytes)
        try:
            read = self._top(reader)
            self._delegated(read, reader)
        except (tuf.RepositoryError, tuf.DownloadError) as error:
            raise self._refusal(reader, error) from error
        except OSError as error:
            raise Unavailable(f"the repository cannot be looked at: {error}") from error
        files = [*self._kept(read), *self._stored(read), *self._named(read)]
        return index.in_order("the repository", one_at_each_path(files), self._limits)

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """Bring one file's bytes into ``into``, and check every digest that a role promises.

        Where another than SHA-256 is promised, the validator remembers it: bytes that were found
        right once are not fetched again.

        Raises:
            Unavailable: Upstream does not answer, or nothing can be stored.
            Untrusted: The bytes are not what was promised.
            UpstreamMoved: The file is named and not there.
        """
        held = index.held(listed, known, into)
        if listed.path not in self._targets:
            if held is None:
                raise UpstreamMoved(f"{listed.path} has been put aside", hint="it is read again")
            return held
        target, names = self._targets[listed.path]
        promise = ",".join(f"{name}:{digits}" for name, digits in sorted(target.hashes.items()))
        if known and known.validator == promise and into.claim(known.entry.sha256):
            return known
        fetched = held or self._asked(listed, names, into)
        if set(target.hashes) == {SHA256}:
            return fetched
        try:
            with Path(into.path(fetched.entry.sha256)).open("rb") as opened:
                target.verify_length_and_hashes(opened)
        except tuf.LengthOrHashMismatchError as error:
            raise Untrusted(f"{listed.path} is not as promised: {error}") from error
        return Fetched(fetched.entry, promise)

    def _asked(self, listed: Listed, names: tuple[str, ...], into: BlobStore) -> Fetched:
        """The file under the first of its names that upstream has it under."""
        for name in names[:-1]:
            try:
                return self._source.fetch(replace(listed, path=name), None, into)
            except UpstreamMoved:
                continue
        return self._source.fetch(replace(listed, path=names[-1]), None, into)

    def _top(self, reader: "_Reader") -> _Read:
        """Root, timestamp, snapshot and targets, as the client takes them."""
        with TemporaryDirectory() as folder:
            place = Path(folder)
            self._begin(place)
            client = Updater(folder, f"{_HERE}/", fetcher=reader, bootstrap=self._root)
            client.refresh()
            top = {role: (place / f"{role}.json").read_bytes() for role in (Root.type, *_TOP)}
            root = _understood(top[Root.type], Root)
            # Roots of another repository may lie beside, where somebody changed the trust.
            chain = range(checked_root(self._root), root.version + 1)
            roots = {
                role_path(Root.type, number): (
                    place / _HISTORY / f"{number}.root.json"
                ).read_bytes()
                for number in chain
            }
        snapshot = _understood(top[Snapshot.type], Snapshot)
        targets = _understood(top[Targets.type], Targets)
        consistent = bool(root.consistent_snapshot)
        files = roots | {TIMESTAMP: top[Timestamp.type]}
        for signed, data in ((snapshot, top[Snapshot.type]), (targets, top[Targets.type])):
            files[role_path(signed.type, signed.version if consistent else 0)] = data
        return _Read(files, consistent, snapshot, {Targets.type: targets})

    def _begin(self, place: Path) -> None:
        """Give the client what it would have kept from the last time."""
        (place / _HISTORY).mkdir()
        for path in self._previous:
            file = role_file(path)
            data = self._blob(path) if file is not None and file.role == Root.type else None
            if data is not None:
                (place / _HISTORY / path.removeprefix(METADATA)).write_bytes(data)
        for role, path in newest(self._previous).items():
            data = self._blob(path) if role in _TOP else None
            if data is not None:
                (place / f"{role}.json").write_bytes(data)

    def _delegated(self, read: _Read, reader: "_Reader") -> None:
        """All roles that some target could be found in, each as its delegators demand."""
        waiting = deque([(Targets.type, 0)])
        files: dict[str, bytes] = {}
        while waiting:
            name, depth = waiting.popleft()
            for child in _children(read.roles[name]):
                if child not in files:
                    if len(files) >= MOST_ROLES or depth >= _CONFIG.max_delegations:
                        raise _endless(f"{name} delegates to {child}")
                    index.understood("the repository", check_path, role_path(child))
                    files[child] = self._role(child, name, read, reader)
                    waiting.append((child, depth + 1))
                else:
                    _verified(files[child], child, name, read)

    def _role(self, name: str, delegator: str, read: _Read, reader: "_Reader") -> bytes:
        """Bytes of a delegated role; from the last snapshot where they still are what is named."""
        meta = read.snapshot.meta.get(f"{name}.json")
        if meta is None:
            raise tuf.RepositoryError(f"the role {name} was delegated but is not in the snapshot")
        path = role_path(name, meta.version if read.consistent else 0)
        data = self._blob(path)
        try:
            signed = None if data is None else _verified(data, name, delegator, read)
        except tuf.RepositoryError:
            signed = None
        if data is None or signed is None:
            most = meta.length or _CONFIG.targets_max_length
            data = reader.download_bytes(f"{_HERE}/{path.removeprefix(METADATA)}", most)
            signed = _verified(data, name, delegator, read)
        read.role_bytes += len(data)
        if read.role_bytes > MOST_ROLE_BYTES:
            raise _endless(f"the roles below targets have more than {MOST_ROLE_BYTES} bytes")
        read.roles[name] = signed
        read.files[path] = data
        return data

    def _kept(self, read: _Read) -> Iterator[Listed]:
        """Of each role the version before: who has read an older timestamp asks for it."""
        versions = {file.role: file.version for path in read.files if (file := role_file(path))}
        before = [
            path
            for path in self._previous
            if (file := role_file(path)) and 0 < file.version < versions.get(file.role, 0)
        ]
        for path in newest(before).values():
            entry = self._previous[path]
            if path not in read.files and self._blobs.claim(entry.sha256):
                yield Listed(path, entry.sha256, entry.size)

    def _stored(self, read: _Read) -> Iterator[Listed]:
        """The files of the roles: what was checked is what is kept."""
        for path, data in read.files.items():
            yield self._put(path, data)

    def _named(self, read: _Read) -> Iterator[Listed]:
        """What the roles name: every target that a client can find, and the list of them."""
        self._targets = {}
        known: dict[str, TargetMeta] = {}
        for name in sorted({name for role in read.roles.values() for name in role.targets}):
            target = read.found(name)
            if target is None:
                continue
            known[name] = TargetMeta(
                target.length, dict(target.hashes), target.unrecognized_fields.get("custom")
            )
            paths = target_paths(name, target.hashes, prefixed=read.consistent)
            there = tuple(self._layout.targets + path.removeprefix(TARGETS) for path in paths)
            promised = target.hashes.get(SHA256)
            for path in dict.fromkeys(paths):
                self._targets[path] = target, there
                yield Listed(path, None if promised is None else Digest(promised), target.length)
        yield self._put(CONTENT, content(known))

    def _put(self, path: str, data: bytes) -> Listed:
        # Through the store's own door: a file that is there already is not written again.
        digest = Digest(hashlib.sha256(data).hexdigest())
        if not self._blobs.claim(digest):
            self._blobs.put(iter((data,)), digest)
        return Listed(path, digest, len(data))

    def _blob(self, path: str) -> bytes | None:
        """A file of the last snapshot, as far as it can still be read."""
        entry = self._previous.get(path)
        # Claimed, for where it is signed anew no release has it: while upstream is away for days,
        # what it must not go back behind must not be swept.
        if entry is None or not self._blobs.claim(entry.sha256):
            return None
        try:
            return Path(self._blobs.path(entry.sha256)).read_bytes()
        except OSError:
            return None

    def _refusal(self, reader: "_Reader", error: Exception) -> FiredoorError:
        """Why a repository is refused, in the words of whoever has to do something about it."""
        if isinstance(error.__cause__, FiredoorError):
            return error.__cause__
        if reader.moved():
            return UpstreamMoved(f"the repository changed while it was read: {error}")
        match error:
            case tuf.DownloadHTTPError():
                return Unavailable(
                    f"upstream has no {reader.last}",
                    hint="look where it has its roles, and set metadata of the channel",
                )
            case tuf.DownloadLengthMismatchError():
                return Untrusted(f"{reader.last} is too long: {error}")
            case tuf.UnsignedMetadataError():
                return Untrusted(
                    f"{reader.last} is not signed as the trusted root demands: {error}",
                    hint="look at the trust of the channel; a vendor that changes its keys signs "
                    "a new root with the old ones",
                )
            case tuf.ExpiredMetadataError():
                return Untrusted(
                    f"the repository has expired: {error}",
                    hint="upstream is not renewed any more, or somebody serves an old copy of it",
                )
            case tuf.BadVersionNumberError():
                return Untrusted(
                    f"the repository went back: {error}",
                    hint="a mirror lags, or somebody serves an old copy; no client would take it",
                )
            case _:
                return Untrusted(f"{reader.last} is refused: {error}")


class _Reader(FetcherInterface):
    """What the client reads upstream by.

    Attributes:
        last: Path of what was read last.
    """

    def __init__(self, source: Source, folder: str, most: int) -> None:
        self._source = source
        self._folder = folder
        self._most = most
        self._timestamp: bytes | None = None
        self.last = ""

    def moved(self) -> bool:
        """Whether upstream has published since its timestamp was read."""
        if self._timestamp is None:
            return False
        return self._read(f"{Timestamp.type}.json") != self._timestamp

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(f"{_HERE}/")
        self.last = self._folder + name
        data = self._read(name)
        if data is None:
            raise tuf.DownloadHTTPError(f"there is no {self.last}", _GONE)
        if name == f"{Timestamp.type}.json":
            self._timestamp = data
        return iter((data,))

    def _read(self, name: str) -> bytes | None:
        return self._source.read(self._folder + name, self._most)


_TOP: Final = (Timestamp.type, Snapshot.type, Targets.type)


def checked_root(data: bytes) -> int:
    """The version of a root that somebody means to trust.

    Raises:
        Untrusted: It is none, or is not signed as it demands itself.
    """
    try:
        root = Metadata[Root].from_bytes(data)
        if not isinstance(root.signed, Root):
            raise Untrusted("it is no root of a TUF repository")
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except (DeserializationError, tuf.RepositoryError) as error:
        raise Untrusted(f"it is no root of a TUF repository: {error}") from error
    return root.signed.version


def _children(role: Targets) -> Iterator[str]:
    """Names of the roles that a role delegates to."""
    delegations = role.delegations
    if delegations is None:
        return
    if delegations.succinct_roles is not None:
        if delegations.succinct_roles.number_of_bins > MOST_ROLES:
            raise _endless(f"it delegates to {delegations.succinct_roles.number_of_bins} roles")
        yield from delegations.succinct_roles.get_roles()
    yield from delegations.roles or ()


def _verified(data: bytes, name: str, delegator: str, read: _Read) -> Targets:
    """A delegated role, if it is what the snapshot names and its delegator demands.

    Raises:
        RepositoryError: It is not.
    """
    meta = read.snapshot.meta[f"{name}.json"]
    meta.verify_length_and_hashes(data)
    try:
        role = Metadata[Targets].from_bytes(data)
    except DeserializationError as error:
        raise tuf.RepositoryError(f"the role {name} cannot be read: {error}") from error
    if not isinstance(role.signed, Targets):
        raise tuf.RepositoryError(f"the role {name} is none of targets")
    read.roles[delegator].verify_delegate(name, role.signed_bytes, role.signatures)
    if role.signed.version != meta.version:
        raise tuf.BadVersionNumberError(
            f"the role {name} has version {role.signed.version}, its snapshot names {meta.version}"
        )
    if role.signed.is_expired():
        raise tuf.ExpiredMetadataError(f"the role {name} expired at {role.signed.expires}")
    return role.signed


def _understood(data: bytes, kind: type[_S]) -> _S:
    signed: Signed = Metadata[Targets].from_bytes(data).signed
    if not isinstance(signed, kind):
        raise tuf.RepositoryError(f"a {kind.type} is a {signed.type}")
    return signed


def _endless(why: str) -> Untrusted:
    return Untrusted(
        f"the delegations do not end: {why}",
        hint="no client follows them as far; ask the vendor",
    )
