"""When clients will refuse what is served: long before, a person is told.

A suite says how long its signature counts (Valid-Until). A release that is held for long, or an
upstream that is not renewed any more, ends in a fleet whose updaters all fail on one day; nobody
can hold a release longer than its vendor signed for, without a key of his own.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from firedoor.core.channel import Kind
from firedoor.core.errors import BadInput
from firedoor.core.release import Manifest
from firedoor.core.units import Digest, UnixMs
from firedoor.formats.debian import parse_release, unwrapped
from firedoor.ports import Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.services.stores import JudgeRecords

WARN_MS: Final = 2 * 24 * 3_600_000
"""How long before a suite is refused a person is told."""

_LOOK_MS: Final = 60_000
_SIGNED: Final = ("InRelease", "Release")


class Expiry:
    """Looks at what is served. One thread at a time, within the judge's steps."""

    def __init__(
        self, channels: dict[str, Kind], store: JudgeRecords, read: Callable[[Digest], bytes]
    ) -> None:
        """Nothing is read yet.

        Args:
            channels: Kinds by name.
            store: Where boards and manifests are.
            read: Bytes of a blob. Raises OSError.
        """
        self._channels = channels
        self._store = store
        self._read = read
        self._looked_ms = -_LOOK_MS
        self._known: dict[Digest, UnixMs | None] = {}

    def arrived(self) -> None:
        """Something else may be served now: look at once."""
        self._looked_ms = -_LOOK_MS

    def look(self, ledger: LedgerWriter, now: Instant) -> None:
        """Once a minute: tell of every served release that clients will refuse soon."""
        if now.mono_ms - self._looked_ms < _LOOK_MS:
            return
        self._looked_ms = now.mono_ms
        for board in self._store.board().channels:
            if self._channels.get(board.name) is not Kind.APT:
                continue
            for number, release in board.releases:
                until = self.until(self._store.manifest(release))
                if until is not None and until - now.wall_ms < WARN_MS:
                    self._tell(board.name, number, until, ledger, now)

    def until(self, manifest: Manifest) -> UnixMs | None:
        """When the first of a release's suites expires; None if none ever does."""
        found = [
            self._until(file.sha256)
            for path, file in manifest.items()
            if path.startswith("dists/") and path.rpartition("/")[2] in _SIGNED
        ]
        return min((moment for moment in found if moment is not None), default=None)

    def _until(self, digest: Digest) -> UnixMs | None:
        if digest not in self._known:
            try:
                release = parse_release(unwrapped(self._read(digest)))
            except (OSError, BadInput):
                return None  # a Release of one architecture, or its bytes are away just now
            moment = release.valid_until
            self._known[digest] = None if moment is None else UnixMs(int(moment.timestamp() * 1000))
        return self._known[digest]

    def _tell(
        self, channel: str, number: int, until: UnixMs, ledger: LedgerWriter, now: Instant
    ) -> None:
        over = until <= now.wall_ms
        key = f"expires:{channel}:{number}:{until}:{over}"
        if self._store.cursor(key):
            return
        self._store.put_cursor(key, 1)
        moment = f"{datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M}Z"
        when = f"refuse it since {moment}" if over else f"will refuse it from {moment} on"
        note = (
            f"release {number} expires: clients {when} (Valid-Until of its suite); "
            "upstream has to sign it anew, or a newer release has to open"
        )
        ledger.note(channel, note, now, alert=True)
