"""What machines wait for is fetched beside the looks at upstream, once, and verified."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.office import until
from tests.servers import Answer, ToldVendor

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.gate import GateWriter
from firedoor.config import ChannelConfig, from_text
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest
from firedoor.services.records import Bucket
from firedoor.services.supply import Wanted
from firedoor.wire.mirroring import Mirror
from firedoor.wire.supplying import Demand, asked_of, lacking

PATH = "pool/main/t/tool/tool_1_all.deb"
BYTES = b"the package"
DIGEST = Digest(hashlib.sha256(BYTES).hexdigest())
FILE = Wanted("debian", PATH, DIGEST, len(BYTES))
AT = SystemClock().now()


def channel(upstream: str, more: str = "") -> ChannelConfig:
    """A channel of kind apt."""
    text = f"""[[channel]]
name = "debian"
kind = "apt"
upstream = "{upstream}"
suites = ["stable"]
trust = ["/usr/share/keyrings/none.gpg"]
poll = "30d"
{more}
"""
    return from_text(text).channels[0]


class Vendor:
    """Has one package; may be slow, lie, or have lost it."""

    def __init__(self) -> None:
        """Honest and quick."""
        self.body: bytes | None = BYTES
        self.times = 0
        self.go = threading.Event()
        self.go.set()

    def answer(self, asked: object) -> Answer:
        """The package; nothing else is there."""
        if not getattr(asked, "path", "").endswith(".deb"):
            return Answer(b"", 404)
        self.times += 1
        assert self.go.wait(20)
        return Answer(b"", 404) if self.body is None else Answer(self.body)


class House:
    """A mirror, and the gate's database that it reads."""

    def __init__(self, folder: Path, vendor: Vendor, mirror: Mirror, gate: GateWriter) -> None:
        """Everything runs."""
        self.blobs = DiskBlobs(folder / "blobs")
        self.vendor = vendor
        self.mirror = mirror
        self.gate = gate


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A mirror that runs."""
    vendor = Vendor()
    with ExitStack() as stack, ToldVendor(vendor.answer, None) as server:
        gate = GateWriter(tmp_path)
        stack.callback(gate.close)
        blobs = DiskBlobs(tmp_path / "blobs")
        mirror = Mirror((channel(server.url),), blobs, SystemClock(), lambda _: b"", gate=tmp_path)
        mirror.start()
        stack.callback(mirror.stop)
        stack.callback(vendor.go.set)
        yield House(tmp_path, vendor, mirror, gate)


def test_what_the_gate_wrote_down_is_fetched(house: House) -> None:
    """No look at upstream has to come first, and none is waited for."""
    house.gate.want(FILE, AT)

    until(lambda: house.blobs.has(DIGEST))

    assert Path(house.blobs.path(DIGEST)).read_bytes() == BYTES


def test_a_file_that_is_on_its_way_is_not_fetched_twice(house: House) -> None:
    """Machines give up and come back while a large package travels."""
    house.vendor.go.clear()
    for _ in range(5):
        house.gate.want(FILE, AT)
    until(lambda: house.vendor.times == 1)
    house.mirror.want(FILE)
    house.vendor.go.set()
    until(lambda: house.blobs.has(DIGEST))
    house.gate.want(FILE, AT)
    other = b"other"
    house.vendor.body = other
    digest = Digest(hashlib.sha256(other).hexdigest())
    house.gate.want(Wanted("debian", "pool/o/o_1_all.deb", digest, len(other)), AT)
    until(lambda: house.blobs.has(digest))

    assert house.vendor.times == 2


@pytest.mark.parametrize(
    ("body", "gone", "said"),
    [
        (b"something", False, "expected"),
        (BYTES + b"!", False, "expected"),
        (None, True, "not there"),
    ],
)
def test_what_upstream_does_not_give_is_refused_with_its_reason(
    house: House, *, body: bytes | None, gone: bool, said: str
) -> None:
    """Wrong bytes are never held, so nobody can be given them."""
    house.vendor.body = body
    house.gate.want(FILE, AT)

    refusal = house.mirror.refused.get(timeout=20)

    assert (refusal.path, refusal.gone) == (PATH, gone)
    assert said in refusal.error
    assert not house.blobs.has(DIGEST)
    house.vendor.body = BYTES
    house.gate.want(FILE, AT)
    until(lambda: house.blobs.has(DIGEST))


def test_what_was_wanted_before_the_judge_began_is_fetched(tmp_path: Path) -> None:
    """It died while machines waited, and they wait still."""
    gate = GateWriter(tmp_path)
    gate.want(FILE, AT)
    demand = Demand(tmp_path)

    assert [file.path for file in demand.fresh()] == [PATH]
    assert demand.fresh() == []
    gate.want(FILE, AT)
    assert [file.number for file in demand.fresh()] == [2]
    gate.close()


def test_rows_of_another_database_are_read_from_its_beginning(tmp_path: Path) -> None:
    """Numbers of one mean nothing in another."""
    demand = Demand(tmp_path)
    for _ in range(2):
        gate = GateWriter(tmp_path)
        gate.want(FILE, AT)
        assert len(demand.fresh()) == 1
        gate.close()
        for file in tmp_path.glob("gate.db*"):
            file.unlink()


def test_what_machines_ever_asked_for_is_known_after_a_restart(tmp_path: Path) -> None:
    """What changes of it is fetched before a release boards."""
    assert asked_of(tmp_path, "debian") == frozenset()
    gate = GateWriter(tmp_path)
    bucket = Bucket(
        "a",
        False,
        (),
        (),
        (),
        (),
        (),
        1,
        asked=[("debian", "tool:all", 7), ("debian", "tool:all", 0)],
    )
    gate.flush(bucket, AT)
    gate.flush(bucket, AT)
    gate.close()

    assert asked_of(tmp_path, "debian") == {"tool:all"}
    assert asked_of(tmp_path, "other") == frozenset()
    assert asked_of(None, "debian") == frozenset()


def test_only_what_changed_and_is_asked_for_has_to_be_held_before_boarding() -> None:
    """The rest is fetched by the first who needs it, and most of it by nobody."""
    old = {f"pool/{name}_1_all.deb": file("1") for name in ("a", "b", "c")}
    new = {
        "dists/stable/InRelease": file("0"),
        "pool/a_2_all.deb": file("2"),  # changed and asked for
        "pool/b_2_all.deb": file("3"),  # changed
        "pool/c_1_all.deb": file("1"),  # asked for, as it was
        "pool/d_1_all.deb": file("4"),  # changed and asked for, and held
        "pool/e_2_all.deb": file("5"),  # changed and asked for, and always fetched
    }
    asked = {"a:all", "c:all", "d:all", "e:all"}
    here = channel("http://vendor.example", 'eager = ["e"]')

    found = lacking(here, old, new, asked, lambda digest: digest == file("4").sha256)

    assert [each.path for each in found] == ["pool/a_2_all.deb"]
    eager = channel("http://vendor.example", 'pool = "eager"')
    assert lacking(eager, old, new, asked, lambda _: False) == []


def file(digit: str) -> FileEntry:
    """A file with a digest of one digit."""
    return FileEntry(Digest(digit * 64), 1, "t")
