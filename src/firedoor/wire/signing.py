"""Signing anew: a channel whose clients believe the operator's key and no vendor's.

apt ignores an index with an older date than the one it has, without a word. So whoever wants to
take a release back has to offer its predecessor under a later date, and only the holder of a key
that the clients believe can. Each time that the board names other releases, all that it names are
signed again, the older ones first: whatever a machine is given next is later than what it had.

Source: clients.md 2.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from firedoor.adapters.keys.openpgp import SigningKey
from firedoor.config import ChannelConfig
from firedoor.core.board import Board
from firedoor.core.release import FileEntry, Manifest, media_type
from firedoor.core.units import Digest
from firedoor.formats.debian import redated, unwrapped
from firedoor.ports import Instant
from firedoor.services.stores import JudgeRecords

VALID_FOR: Final = dt.timedelta(days=7)
"""How long clients take what was signed: a machine that sees no gate stops updating after it."""

_AGAIN_S: Final = 2 * 24 * 3_600
_NAMES: Final = ("InRelease", "Release", "Release.gpg")


class Signatory:
    """Signs for all channels that have a key. One thread at a time."""

    def __init__(
        self,
        channels: tuple[ChannelConfig, ...],
        store: JudgeRecords,
        *,
        read: Callable[[Digest], bytes],
        put: Callable[[bytes], tuple[Digest, int]],
    ) -> None:
        """Nothing is signed yet.

        Args:
            channels: All channels; those without a key are left alone.
            store: Where boards and manifests are.
            read: Bytes of a blob. Raises OSError.
            put: Stores bytes, durable on return. Raises Unavailable.

        Raises:
            BadConfig: A key cannot be read.
        """
        self._keys = {
            channel.name: SigningKey(channel.apt.sign)
            for channel in channels
            if channel.apt is not None and channel.apt.sign is not None
        }
        self._store = store
        self._read = read
        self._put = put
        self._signed: dict[str, tuple[tuple[int, str], ...]] = {}
        self._last: dict[str, int] = {}

    def arrived(self, channel: str, manifest: Manifest, now: Instant) -> Manifest:
        """What of a new snapshot clients are to read.

        Raises:
            Unavailable: It cannot be signed now.
            OSError: A blob cannot be read.
        """
        return self._anew(channel, manifest, now) if channel in self._keys else manifest

    def renewed(self, board: Board, now: Instant) -> Iterator[tuple[str, Manifest]]:
        """Releases that have to be signed again, now that the board is this one.

        Raises:
            Unavailable: They cannot be signed now; ask again.
            OSError: A blob cannot be read.
        """
        for each in board.channels:
            if each.name not in self._keys:
                continue
            named = tuple(sorted(each.releases))
            old = now.wall_ms // 1000 - self._date(each.name) > _AGAIN_S
            if self._signed.get(each.name) == named and not old:
                continue
            for _, release in named:
                yield release, self._anew(each.name, self._store.manifest(release), now)
            self._signed[each.name] = named

    def dates(self) -> Mapping[str, int]:
        """The latest date by the cursor that remembers it, Unix seconds."""
        return {_cursor(channel): date for channel, date in self._last.items()}

    def _anew(self, channel: str, manifest: Manifest, now: Instant) -> Manifest:
        date = self._last[channel] = max(now.wall_ms // 1000, self._date(channel) + 1)
        moment = dt.datetime.fromtimestamp(date, dt.UTC)
        files = dict(manifest.items())
        for folder in {path.rpartition("/")[0] for path in files if _is_signed(path)}:
            source = files.get(f"{folder}/InRelease") or files[f"{folder}/Release"]
            text = redated(unwrapped(self._read(source.sha256)), moment, VALID_FOR)
            digest, size = self._put(self._keys[channel].signed(text))
            for name in _NAMES:
                files.pop(f"{folder}/{name}", None)
            path = f"{folder}/InRelease"
            files[path] = FileEntry(digest, size, media_type(path))
        return files

    def _date(self, channel: str) -> int:
        return self._last.get(channel) or self._store.cursor(_cursor(channel))


def _cursor(channel: str) -> str:
    return f"signed:{channel}"


def _is_signed(path: str) -> bool:
    """A suite's own Release, and not that of one of its architectures."""
    folders, _, name = path.rpartition("/")
    return name in _NAMES and folders.startswith("dists/") and "/binary-" not in folders
