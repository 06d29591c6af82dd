"""Targets that are signed anew: whoever is given something older gets it under a higher version."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tuf import Repository
from tuf.api.exceptions import BadVersionNumberError, DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.tuf import OwnRoot
from firedoor.adapters.store.judge import JudgeStore
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.tuf import TufUpstream
from firedoor.config import from_text
from firedoor.core.board import Board, ChannelBoard, Lane
from firedoor.core.errors import BadConfig, Unavailable
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.arrivals import Arrivals
from firedoor.services.mirror import take_snapshot
from firedoor.wire.signing import VALID_FOR, Signatory

CONFIG = """
data = "data"
[[channel]]
name = "agent"
kind = "tuf"
upstream = "{upstream}"
trust = ["{trust}"]
sign = "{sign}"
"""


class House:
    """A judge's store and signatory, and a vendor without consistent snapshots."""

    def __init__(self, folder: Path) -> None:
        """Two releases have arrived, numbered 1 and 2."""
        self.clock = SystemClock()
        self.now = self.clock.now()
        self.vendor = Repository.new(folder / "vendor", consistent=False)
        self.own = OwnRoot.create(folder / "own", self.now.wall_ms)
        text = CONFIG.format(
            upstream=self.vendor.root, trust=self.vendor.trusted, sign=self.own.folder
        )
        self.config = from_text(text, base=folder)
        self.config.data.mkdir()
        self.blobs = DiskBlobs(folder / "blobs")
        self.store = JudgeStore(self.config.data)
        self.signatory = self.started()
        self.releases = [self.arrived(f"tool {number}") for number in (1, 2)]

    def started(self) -> Signatory:
        """A signatory that remembers nothing but what is stored."""
        return Signatory(
            self.config.channels,
            self.store,
            read=lambda digest: Path(self.blobs.path(digest)).read_bytes(),
            put=lambda data: self.blobs.put(iter((data,))),
        )

    def arrived(self, tool: str) -> str:
        """The vendor publishes, the mirror looks, and the judge takes it over."""
        self.vendor.add("bin/tool", tool.encode(), algorithms=("sha512",), urgent=True)
        self.vendor.publish()
        upstream = TufUpstream(
            DirectoryUpstream(self.vendor.root, self.clock),
            self.vendor.trusted.read_bytes(),
            self.blobs,
        )
        snapshot = take_snapshot(upstream, self.blobs)
        dressed = self.signatory.arrived("agent", snapshot.manifest, self.now)
        with self.store.step():
            channel = self.config.channel("agent")
            return Arrivals(self.store).take(channel, snapshot, self.now, dressed)

    def published(self, *lanes: Lane) -> list[str]:
        """A board gives these releases; which of them were signed for it, in order."""
        numbers = {lane.base for lane in lanes} | {lane.candidate for lane in lanes} - {0}
        named = tuple((number, self.releases[number - 1]) for number in sorted(numbers))
        board = Board(1, (ChannelBoard("agent", lanes, named),))
        renewed = list(self.signatory.renewed(board, self.now, quick=True))
        with self.store.step():
            for release, manifest in renewed:
                self.store.renew_release(release, manifest)
            for cursor, date in self.signatory.dates().items():
                self.store.put_cursor(cursor, date)
        return [release for release, _ in renewed]

    def later(self, seconds: int) -> None:
        """Time passes."""
        wall_ms = UnixMs(self.now.wall_ms + seconds * 1000)
        self.now = Instant(self.now.boot, self.now.mono_ms + seconds * 1000, wall_ms)


class Gate(FetcherInterface):
    """What a client is served of one release at a time."""

    def __init__(self, house: House) -> None:
        """Release 1."""
        self._house = house
        self.number = 1

    def _fetch(self, url: str) -> Iterator[bytes]:
        release = self._house.releases[self.number - 1]
        file = self._house.store.manifest(release).get(url.removeprefix("gate:/"))
        if file is None:
            raise DownloadHTTPError(url, 404)
        yield Path(self._house.blobs.path(file.sha256)).read_bytes()


class Client:
    """python-tuf on a machine that was given the operator's first root."""

    def __init__(self, folder: Path, house: House) -> None:
        """It has looked at nothing yet."""
        self.folder = folder
        self.gate = Gate(house)
        self.root = house.own.roots[1]
        folder.mkdir()

    def got(self, number: int) -> bytes:
        """The tool after a fresh look, while a release is served."""
        self.gate.number = number
        places = (str(self.folder), "gate:/metadata/", str(self.folder), "gate:/targets/")
        client = Updater(*places, fetcher=self.gate, bootstrap=self.root)
        target = client.get_targetinfo("bin/tool")
        assert target is not None
        assert target.custom == {"urgent": True}
        return Path(client.download_target(target)).read_bytes()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def test_a_client_goes_back_when_the_door_shuts_in_its_ring_alone(
    house: House, tmp_path: Path
) -> None:
    """In another ring the release goes on; which releases are named has not changed."""
    client, other = Client(tmp_path / "one", house), Client(tmp_path / "two", house)
    lab, shops = Lane("lab", 1, 2), Lane("shops", 1, 2)
    house.published(lab, shops)
    assert client.got(1) == b"tool 1"
    assert client.got(2) == other.got(2) == b"tool 2"
    with pytest.raises(BadVersionNumberError):
        client.got(1)

    assert house.published(Lane("lab", 1, revoked=(2,)), shops) == house.releases

    assert client.got(1) == b"tool 1"
    assert other.got(2) == b"tool 2"
    assert house.published(Lane("lab", 1, revoked=(2,)), shops) == []


def test_versions_rise_without_anybodys_memory(house: House, tmp_path: Path) -> None:
    """A judge whose database was lost must not lock out the fleet."""
    client = Client(tmp_path / "one", house)
    house.published(Lane("lab", 2))
    assert client.got(2) == b"tool 2"

    house.later(5)
    house.store.close()
    (house.config.data / "judge.db").unlink()
    house.store = JudgeStore(house.config.data)
    house.signatory = house.started()
    house.releases = [house.arrived(f"tool {number}") for number in (3, 4)]
    house.published(Lane("lab", 1))

    assert client.got(1) == b"tool 3"


def test_a_client_in_the_middle_finds_the_roles_that_its_timestamp_names(house: House) -> None:
    """Doors move while it reads one file after the other; but not for ever."""
    first = set(house.store.manifest(house.releases[0]))
    seen = []
    for number in range(12):
        house.later(1)
        house.published(Lane("lab", 1, revoked=(number + 5,)))
        seen.append(set(house.store.manifest(house.releases[0])))

    assert first < seen[3]
    assert not {path for path in first if "snapshot" in path} & seen[-1]
    assert len({path for path in seen[-1] if "snapshot" in path}) == 6


def test_what_is_signed_is_signed_again_long_before_it_expires(house: House) -> None:
    """Nothing changes for a month, and no client notices."""
    lane = Lane("lab", 1)
    house.published(lane)
    signed = []
    for _ in range(30):
        house.later(24 * 3_600)
        signed.append(bool(house.published(lane)))

    longest = max(len(days) for days in "".join("x" if each else " " for each in signed).split("x"))
    assert (longest + 1) * 24 * 3_600 < VALID_FOR.total_seconds() / 2
    assert 5 < sum(signed) < 20


def test_the_next_root_reaches_clients_without_a_restart(house: House, tmp_path: Path) -> None:
    """Somebody has run ``firedoor tuf renew``; all is signed with what it names."""
    client = Client(tmp_path / "one", house)
    house.published(Lane("lab", 1))
    client.got(1)
    house.own.renew(house.now.wall_ms, new_key=True)
    house.later(1)

    assert house.published(Lane("lab", 1)) == house.releases[:1]
    assert client.got(1) == b"tool 1"
    assert "metadata/2.root.json" in house.store.manifest(house.releases[0])


def test_a_key_that_is_missing_is_told_at_the_start_and_waited_for_later(house: House) -> None:
    """A stick that was pulled out must not end a judge that shuts doors."""
    (house.own.folder / "online.key").rename(house.own.folder / "away")

    with pytest.raises(BadConfig, match=r"online\.key"):
        house.started()
    with pytest.raises(Unavailable, match=r"online\.key"):
        house.published(Lane("lab", 1))

    (house.own.folder / "away").rename(house.own.folder / "online.key")
    assert house.published(Lane("lab", 1)) == house.releases[:1]
