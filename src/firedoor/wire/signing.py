"""Signing anew: a channel whose clients believe the operator's key and no vendor's.

apt ignores an index with an older date than the one it has, without a word; TUF clients refuse a
lower version. So whoever wants to take a release back has to offer its predecessor under a later
date or a higher version, and only the holder of a key that the clients believe can. Each time that
the board gives other releases to somebody, all that it names are signed again, the older ones
first: whatever a machine is given next is later than what it had.

Source: clients.md 2 and 3.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from firedoor.adapters.keys.openpgp import SigningKey
from firedoor.adapters.keys.tuf import OwnRoot, newest_root
from firedoor.config import ChannelConfig
from firedoor.core.board import Board, ChannelBoard
from firedoor.core.errors import BadConfig, BadInput, Unavailable
from firedoor.core.release import FileEntry, Manifest, media_type
from firedoor.core.units import Digest
from firedoor.formats.checksums import SHA256
from firedoor.formats.debian import redated, unwrapped
from firedoor.formats.tuf import (
    CONTENT,
    TargetMeta,
    parse_content,
    role_file,
    role_path,
    target_paths,
)
from firedoor.ports import Instant
from firedoor.services.stores import JudgeRecords

VALID_FOR: Final = dt.timedelta(days=7)
"""How long clients take what was signed: a machine that sees no gate stops updating after it."""

_AGAIN_S: Final = 2 * 24 * 3_600
_NAMES: Final = ("InRelease", "Release", "Release.gpg")

_EDITIONS: Final = 6
"""Of one release: a client in the middle of an update asks for what its timestamp names."""

Put = Callable[[bytes], tuple[Digest, int]]
"""Stores bytes, durable on return. Raises Unavailable."""

Read = Callable[[Digest], bytes]
"""Bytes of a blob. Raises OSError."""

Renewed = tuple[str, Manifest]
"""Id of a release, and how clients are to read it from now on."""


class Signer(Protocol):
    """How the clients of one kind are told by a key of the operator's what they are to have."""

    is_quick: bool
    """Whether it is done in milliseconds, by this process alone."""

    def state(self) -> int:
        """What changes when all has to be signed again. Raises Unavailable."""
        ...

    def sign(self, manifest: Manifest, date: int) -> Manifest:
        """A release as clients are to read it, later than all signed before.

        Args:
            manifest: The release, by the vendor or as it was signed the last time.
            date: Unix seconds, higher than at any time before.

        Raises:
            Unavailable: It cannot be signed now.
            OSError: A blob cannot be read.
        """
        ...


class Signatory:
    """Signs for all channels that have a key. One thread at a time."""

    def __init__(
        self,
        channels: tuple[ChannelConfig, ...],
        store: JudgeRecords,
        *,
        read: Read,
        put: Put,
    ) -> None:
        """Nothing is signed yet.

        Args:
            channels: All channels; those without a key are left alone.
            store: Where boards and manifests are.
            read: Bytes of a blob.
            put: Stores bytes.

        Raises:
            BadConfig: A key cannot be read.
        """
        self._signers: dict[str, Signer] = {}
        for channel in channels:
            if channel.apt is not None and channel.apt.sign is not None:
                self._signers[channel.name] = _Apt(SigningKey(channel.apt.sign), read, put)
            if channel.tuf is not None and channel.tuf.sign is not None:
                OwnRoot(channel.tuf.sign).signer()
                self._signers[channel.name] = _Tuf(channel.tuf.sign, read, put)
        self._store = store
        self._signed: dict[str, tuple[object, ...]] = {}
        self._last: dict[str, int] = {}

    def forget(self) -> None:
        """What was signed may not have been kept: sign it again."""
        self._signed.clear()

    def arrived(self, channel: str, manifest: Manifest, now: Instant) -> Manifest:
        """What of a new snapshot clients are to read.

        Raises:
            Unavailable: It cannot be signed now.
            OSError: A blob cannot be read.
        """
        return self._anew(channel, manifest, now) if channel in self._signers else manifest

    def renewed(self, board: Board, now: Instant, *, quick: bool = False) -> Iterator[Renewed]:
        """Releases that have to be signed again, now that the board is this one.

        Args:
            board: What is served to whom.
            now: The moment.
            quick: Only of channels that are signed in milliseconds.

        Raises:
            Unavailable: They cannot be signed now; ask again.
            OSError: A blob cannot be read.
        """
        for each in board.channels:
            signer = self._signers.get(each.name)
            if signer is None or (quick and not signer.is_quick):
                continue
            state = (signer.state(), *_given(each))
            old = now.wall_ms // 1000 - self._date(each.name) > _AGAIN_S
            if self._signed.get(each.name) == state and not old:
                continue
            for _, release in sorted(each.releases):
                yield release, self._anew(each.name, self._store.manifest(release), now)
            self._signed[each.name] = state

    def dates(self) -> Mapping[str, int]:
        """The latest date by the cursor that remembers it, Unix seconds."""
        return {_cursor(channel): date for channel, date in self._last.items()}

    def _anew(self, channel: str, manifest: Manifest, now: Instant) -> Manifest:
        date = self._last[channel] = max(now.wall_ms // 1000, self._date(channel) + 1)
        return self._signers[channel].sign(manifest, date)

    def _date(self, channel: str) -> int:
        return self._last.get(channel) or self._store.cursor(_cursor(channel))


class _Apt:
    """Suites with a later date, by an OpenPGP key."""

    is_quick = False

    def __init__(self, key: SigningKey, read: Read, put: Put) -> None:
        self._key = key
        self._read = read
        self._put = put

    def state(self) -> int:
        return 0

    def sign(self, manifest: Manifest, date: int) -> Manifest:
        moment = dt.datetime.fromtimestamp(date, dt.UTC)
        files = dict(manifest.items())
        for folder in {path.rpartition("/")[0] for path in files if _is_signed(path)}:
            source = files.get(f"{folder}/InRelease") or files[f"{folder}/Release"]
            text = redated(unwrapped(self._read(source.sha256)), moment, VALID_FOR)
            digest, size = self._put(self._key.signed(text))
            for name in _NAMES:
                files.pop(f"{folder}/{name}", None)
            path = f"{folder}/InRelease"
            files[path] = FileEntry(digest, size, media_type(path))
        return files


class _Tuf:
    """Targets with a higher version, by a root of the operator's own.

    The version is the date: it rises even where nobody remembers the last one.
    """

    is_quick = True

    def __init__(self, folder: Path, read: Read, put: Put) -> None:
        self._folder = folder
        self._read = read
        self._put = put

    def state(self) -> int:
        try:
            return newest_root(self._folder)
        except BadConfig as error:
            raise Unavailable(str(error), hint=error.hint) from error

    def sign(self, manifest: Manifest, date: int) -> Manifest:
        expires = dt.datetime.fromtimestamp(date, dt.UTC) + VALID_FOR
        files = {CONTENT: manifest[CONTENT]}
        targets = {}
        try:
            for name, target in parse_content(self._read(manifest[CONTENT].sha256)).items():
                file = _file_of(manifest, name, target)
                # Its own digest first: clients ask by the first one.
                hashes = {SHA256: str(file.sha256), **target.hashes}
                files.update(dict.fromkeys(target_paths(name, hashes, prefixed=True), file))
                targets[name] = TargetMeta(target.length, hashes, target.custom)
            signed = OwnRoot(self._folder).signed(targets, date, expires)
        except (BadConfig, BadInput) as error:
            raise Unavailable(str(error), hint=error.hint) from error
        stored = {path: self._put(data) for path, data in signed.items()}
        first = manifest.get(role_path("root", 1))
        if first is not None and first.sha256 == stored[role_path("root", 1)][0]:
            files.update({path: manifest[path] for path in _earlier(manifest)})
        for path, (digest, size) in stored.items():
            files[path] = FileEntry(digest, size, media_type(path))
        return files


def _file_of(manifest: Manifest, name: str, target: TargetMeta) -> FileEntry:
    """The file of a target, by the vendor's names or by ours."""
    for prefixed in (True, False):
        for path in target_paths(name, target.hashes, prefixed=prefixed):
            file = manifest.get(path)
            if file is not None:
                return file
    raise BadInput(f"the release has no file of its target {name!a}")


def _earlier(manifest: Manifest) -> list[str]:
    """Files of roles as they were signed the last few times."""
    roles: dict[str, list[tuple[int, str]]] = {}
    for path in manifest:
        file = role_file(path)
        if file is not None and file.version and file.role != "root":
            roles.setdefault(file.role, []).append((file.version, path))
    return [path for found in roles.values() for _, path in sorted(found)[1 - _EDITIONS :]]


def _given(board: ChannelBoard) -> tuple[object, ...]:
    """Who is given what: where it changes, somebody may be given something older than before."""
    lanes = ((lane.ring, lane.base, lane.candidate, lane.revoked) for lane in board.lanes)
    return tuple(sorted(board.releases)), tuple(lanes)


def _cursor(channel: str) -> str:
    return f"signed:{channel}"


def _is_signed(path: str) -> bool:
    """A suite's own Release, and not that of one of its architectures."""
    folders, _, name = path.rpartition("/")
    return name in _NAMES and folders.startswith("dists/") and "/binary-" not in folders
