"""What of a TUF repository expires is told before clients refuse it, and not every day."""

import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.judge import JudgeStore
from firedoor.config import from_text
from firedoor.core.board import Board, ChannelBoard, Lane
from firedoor.core.release import FileEntry, Manifest
from firedoor.core.units import Digest, UnixMs
from firedoor.ports import Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.services.records import StoredRelease
from firedoor.wire.expiry import Expiry

HOUR = 3_600
DAY = 24 * HOUR
CONFIG = """
data = "data"
[[channel]]
name = "agent"
kind = "tuf"
upstream = "/vendor"
trust = ["/root.json"]
"""
RELEASES = ("a" * 64, "b" * 64)


class House:
    """A judge's store with two releases, and the expiry of their roles."""

    def __init__(self, folder: Path, more: str = "") -> None:
        """Nothing is served."""
        config = from_text(CONFIG + more, base=folder)
        self.now = SystemClock().now()
        self.blobs: dict[Digest, bytes] = {}
        self.store = JudgeStore(folder)
        self.ledger = LedgerWriter(self.store, lambda data: hashlib.sha512(data).digest())
        self.expiry = Expiry(config.channels, self.store, self.blobs.__getitem__)

    def serve(self, number: int, **ends_s: float) -> None:
        """The newest release is served, whose roles expire so many seconds from now."""
        manifest: dict[str, FileEntry] = {}
        for role, seconds in ends_s.items():
            moment = dt.datetime.fromtimestamp(self.now.wall_ms // 1000 + seconds, dt.UTC)
            data = f'{{"signed": {{"expires": "{moment:%Y-%m-%dT%H:%M:%SZ}"}}}}'.encode()
            digest = Digest(hashlib.sha256(data).hexdigest())
            self.blobs[digest] = data
            manifest[f"metadata/{role}.json"] = FileEntry(digest, len(data), "application/json")
        self.store_release(RELEASES[number - 1], manifest)
        lanes, named = (Lane("all", number),), ((number, RELEASES[number - 1]),)
        with self.store.step():
            version = self.store.board().version + 1
            self.store.put_board(Board(version, (ChannelBoard("agent", lanes, named),)))

    def store_release(self, release: str, manifest: Manifest) -> None:
        """The newest that upstream has."""
        with self.store.step():
            stored = StoredRelease(release, "agent", self.now.wall_ms, "", 0, len(manifest))
            self.store.add_release(stored, manifest)
            self.store.renew_release(release, manifest)
            self.store.add_snapshot("agent", release, self.now.wall_ms, "waiting")

    def told(self, later_s: int = 0) -> list[str]:
        """Time passes; what people have been told since the beginning."""
        wall_ms = UnixMs(self.now.wall_ms + later_s * 1000)
        self.now = Instant(self.now.boot, self.now.mono_ms + later_s * 1000, wall_ms)
        self.expiry.arrived()
        with self.store.step():
            self.expiry.look(self.ledger, self.now)
        return [str(each.entry.body["note"]) for each in self.store.entries(after=-1)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def test_a_timestamp_that_is_made_every_day_is_told_when_nobody_has_made_the_next(
    house: House,
) -> None:
    """An alert a day would be read by nobody; none at all ends in a fleet that refuses all."""
    for _ in range(3):
        house.serve(1, timestamp=DAY, snapshot=7 * DAY)
        assert house.told() == []
        assert house.told(12 * HOUR) == []

    (told,) = house.told(5 * HOUR)
    assert "clients will refuse it from" in told
    assert "expires of metadata/timestamp.json" in told
    assert house.told(HOUR) == [told]
    assert "refuse it since" in house.told(8 * HOUR)[1]


def test_what_upstream_has_left_behind_is_told_at_once(house: House) -> None:
    """Nobody makes its timestamp anew: from now on there is only so long to decide."""
    house.serve(1, timestamp=DAY)
    assert house.told() == []

    house.store_release(RELEASES[1], {})

    assert "with a root of your own you can hold for longer" in house.told()[0]


def test_the_root_of_ones_own_is_told_a_month_before(tmp_path: Path) -> None:
    """Its key is in a safe, and who has the other key of the safe is on holiday."""
    house = House(tmp_path, 'sign = "/etc/firedoor/tuf"\n')
    roles = {"1.root": 20 * DAY, "2.root": 40 * DAY, "timestamp": 20 * DAY}
    house.serve(1, **roles)
    assert house.told() == []

    (told,) = house.told(11 * DAY)
    assert "make the next root: firedoor tuf renew /etc/firedoor/tuf" in told
    house.store.close()
