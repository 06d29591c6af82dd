"""Arrivals: what the mirror brought becomes a release that may board."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from firedoor.config import ChannelConfig
from firedoor.core.release import Manifest, changes, release_id
from firedoor.ports import Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.services.records import PICKED, WAITING, Seen, StoredRelease
from firedoor.services.room import STORAGE
from firedoor.services.snapshot import Snapshot
from firedoor.services.stores import JudgeRecords

_ERROR_LIMIT: Final = 500
_INDEXES: Final = ("SHA256SUMS", "SHA256SUMS.txt", "index.json")


class Arrivals:
    """Takes over snapshots. One thread at a time, within the judge's steps."""

    def __init__(self, store: JudgeRecords) -> None:
        """Nothing is read yet."""
        self._store = store
        self._known: dict[str, Snapshot] = {}

    def take(
        self,
        channel: ChannelConfig,
        snapshot: Snapshot,
        now: Instant,
        dressed: Manifest | None = None,
    ) -> str:
        """Take over a good snapshot, as it is or as clients are to read it; return its id."""
        name, manifest = channel.name, snapshot.manifest if dressed is None else dressed
        release = release_id(name, channel.kind, manifest)
        listing = next((each for each in _INDEXES if each in manifest), "")
        self._store.add_release(
            StoredRelease(
                id=release,
                channel=name,
                created_ms=now.wall_ms,
                listing=listing,
                size=snapshot.total_bytes,
                files=len(manifest),
            ),
            manifest,
        )
        if (
            channel.traits.freshness
            and not channel.is_signed
            and any(True for _ in changes(self._store.manifest(release), manifest))
        ):
            # The same content with a new signature: clients refuse the old one when it expires.
            self._store.renew_release(release, manifest)
        seen = self._store.snapshots(name)
        if not seen or seen[-1].release != release:
            self._store.add_snapshot(name, release, now.wall_ms, WAITING)
        state = self._store.channel(name)
        self._store.put_channel(replace(state, synced_ms=now.wall_ms, error="", failures=0))
        if self._known.get(name) != snapshot:
            # A step that fails builds this anew with all the rest, so it is written again.
            self._store.put_last_snapshot(name, snapshot.to_bytes())
            self._known[name] = snapshot
        return release

    def picked(
        self, channel: ChannelConfig, release: str, manifest: Manifest, base: int, now: Instant
    ) -> None:
        """Take over a release that a person has put together. It boards next.

        Args:
            channel: Its channel.
            release: Its id.
            manifest: Its files.
            base: Boarding number of what machines have: what it was made of.
            now: The moment.
        """
        size = sum(file.size for file in manifest.values())
        stored = StoredRelease(release, channel.name, now.wall_ms, "", size, len(manifest))
        self._store.add_release(stored, manifest)
        self._store.add_snapshot(channel.name, release, now.wall_ms, PICKED)
        self._store.put_cursor(_made_of(channel.name), base)

    def due(
        self,
        channel: str,
        base: int,
        whole: Callable[[str], bool],
        note: Callable[[str], None],
    ) -> Seen | None:
        """What is to board next: what a person has picked, else the newest snapshot.

        A pick waits for its files, and nobody waits for it meanwhile. It lapses when machines have
        got something newer than what it was made of: it would take them back.

        Args:
            channel: Name of the channel.
            base: Boarding number of what machines have.
            whole: Whether all of a release is held that machines are about to ask for.
            note: Tells people.
        """
        seen = self._store.snapshots(channel)
        for each in reversed(seen):
            if each.state != PICKED:
                continue
            if self._store.cursor(_made_of(channel)) != base:
                self._store.set_snapshot(each.seq, "skipped")
                note(f"release {each.release[:12]}, which was picked, is of what machines had")
            elif whole(each.release):
                return each
        rest = [each for each in seen if each.state != PICKED]
        return rest[-1] if rest and rest[-1].waits else None

    def failed(self, channel: str, error: str, now: Instant, ledger: LedgerWriter) -> None:
        """Note why a look brought nothing. People are told where the reason is our own disk."""
        # A vendor may answer anything; an entry of the ledger has bounds.
        error = error[:_ERROR_LIMIT].encode("utf-8", "replace").decode()
        state = self._store.channel(channel)
        if not error.startswith(STORAGE):
            if state.error != error:
                ledger.note(channel, f"upstream: {error}", now)
        elif not state.error.startswith(STORAGE):
            # Once: how much is free changes from look to look.
            ledger.note(channel, error, now, alert=True)
        self._store.put_channel(replace(state, error=error, failures=state.failures + 1))


def _made_of(channel: str) -> str:
    return f"picked:{channel}"
