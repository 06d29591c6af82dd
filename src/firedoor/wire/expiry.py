"""When clients will refuse what is served: long before, a person is told.

A suite says how long its signature counts (Valid-Until), every role of a TUF repository when it
expires. A release that is held for long, or an upstream that is not renewed any more, ends in a
fleet whose updaters all fail on one day; nobody can hold a release longer than its vendor signed
for, without a key of his own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from firedoor.config import ChannelConfig
from firedoor.core.channel import Kind
from firedoor.core.errors import BadInput
from firedoor.core.release import Manifest
from firedoor.core.units import Digest, UnixMs
from firedoor.formats.debian import parse_release, unwrapped
from firedoor.formats.tuf import newest, parse_expires
from firedoor.ports import Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.services.stores import JudgeRecords

WARN_MS: Final = 2 * 24 * 3_600_000
"""How long before a suite or a role is refused a person is told."""

ROOT_WARN_MS: Final = 30 * 24 * 3_600_000
"""The same of the operator's own root: its key has to be fetched from a safe."""

_SHARE: Final = 3
"""Of what is made every day a person is told when a third of its time is left."""

_ROOT: Final = "expires of its root"
_LOOK_MS: Final = 60_000
_SIGNED: Final = ("InRelease", "Release")


@dataclass(frozen=True, slots=True)
class Ends:
    """A file that clients refuse one day.

    Attributes:
        what: What it is, for people.
        digest: Of its bytes.
        until: When it is refused.
        warn_ms: How long before a person is told.
        made_daily: It may never have as long: whoever makes it does so every day.
    """

    what: str
    digest: Digest
    until: UnixMs
    warn_ms: int = WARN_MS
    made_daily: bool = False


class Expiry:
    """Looks at what is served. One thread at a time, within the judge's steps."""

    def __init__(
        self,
        channels: Iterable[ChannelConfig],
        store: JudgeRecords,
        read: Callable[[Digest], bytes],
    ) -> None:
        """Nothing is read yet.

        Args:
            channels: All channels.
            store: Where boards and manifests are.
            read: Bytes of a blob. Raises OSError.
        """
        self._channels = {channel.name: channel for channel in channels}
        self._store = store
        self._read = read
        self._looked_ms = -_LOOK_MS
        self._known: dict[Digest, UnixMs | None] = {}
        self._lives: dict[Digest, int] = {}

    def arrived(self) -> None:
        """Something else may be served now: look at once."""
        self._looked_ms = -_LOOK_MS

    def look(self, ledger: LedgerWriter, now: Instant) -> None:
        """Once a minute: tell of every served release that clients will refuse soon."""
        if now.mono_ms - self._looked_ms < _LOOK_MS:
            return
        self._looked_ms = now.mono_ms
        for board in self._store.board().channels:
            channel = self._channels.get(board.name)
            if channel is None or channel.kind not in (Kind.APT, Kind.TUF):
                continue
            offered = self._store.snapshots(board.name)[-1:]
            for number, release in board.releases:
                ends = self._ends(channel, self._store.manifest(release))
                left_behind = not offered or offered[0].release != release
                first = min(ends, key=lambda each: each.until - each.warn_ms, default=None)
                if first is not None and self._is_near(first, now, left_behind=left_behind):
                    self._tell(channel, number, first, ledger, now)

    def _is_near(self, ends: Ends, now: Instant, *, left_behind: bool) -> bool:
        left = ends.until - now.wall_ms
        if not ends.made_daily or left_behind:
            return left < ends.warn_ms  # what upstream has left behind, nobody makes anew
        return left < min(ends.warn_ms, self._lives.setdefault(ends.digest, left) // _SHARE)

    def _ends(self, channel: ChannelConfig, manifest: Manifest) -> Iterator[Ends]:
        """What of a release expires, of a TUF repository the newest file of each role."""
        if channel.kind is Kind.TUF:
            for role, path in newest(manifest).items():
                digest = manifest[path].sha256
                until = self._until(digest, parse_expires)
                if until is not None and role == "root":
                    own = ROOT_WARN_MS if channel.is_signed else WARN_MS
                    yield Ends(_ROOT, digest, until, own)
                elif until is not None:
                    yield Ends(f"expires of {path}", digest, until, made_daily=True)
            return
        for path, file in manifest.items():
            if path.startswith("dists/") and path.rpartition("/")[2] in _SIGNED:
                until = self._until(file.sha256, _valid_until)
                if until is not None:
                    yield Ends("Valid-Until of its suite", file.sha256, until)

    def _until(
        self, digest: Digest, moment_of: Callable[[bytes], datetime | None]
    ) -> UnixMs | None:
        if digest not in self._known:
            try:
                moment = moment_of(self._read(digest))
            except (OSError, BadInput):
                return None  # a Release of one architecture, or its bytes are away just now
            self._known[digest] = None if moment is None else UnixMs(int(moment.timestamp() * 1000))
        return self._known[digest]

    def _tell(
        self, channel: ChannelConfig, number: int, ends: Ends, ledger: LedgerWriter, now: Instant
    ) -> None:
        over = ends.until <= now.wall_ms
        key = f"expires:{channel.name}:{number}:{ends.until}:{over}"
        if self._store.cursor(key):
            return
        self._store.put_cursor(key, 1)
        moment = f"{datetime.fromtimestamp(ends.until / 1000, UTC):%Y-%m-%d %H:%M}Z"
        when = f"refuse it since {moment}" if over else f"will refuse it from {moment} on"
        note = (
            f"release {number} expires: clients {when} ({ends.what}); {_what_to_do(channel, ends)}"
        )
        ledger.note(channel.name, note, now, alert=True)


def _valid_until(data: bytes) -> datetime | None:
    return parse_release(unwrapped(data)).valid_until


def _what_to_do(channel: ChannelConfig, ends: Ends) -> str:
    if channel.is_signed and ends.what == _ROOT and channel.tuf is not None:
        return f"make the next root: firedoor tuf renew {channel.tuf.sign}"
    if channel.is_signed:
        return "the log of the judge says why it does not sign anew"
    own = "" if channel.kind is Kind.APT else "; with a root of your own you can hold for longer"
    return f"upstream has to sign it anew, or a newer release has to open{own}"
