"""All of a distribution behind a door: packages are fetched when a machine's apt asks for them."""

import threading
import time
from collections.abc import Iterator

import psutil
import pytest
from tests.apt_fleet import Fleet, policy, up
from tests.debian import Archive
from tests.office import until
from tests.servers import Answer, Asked, ToldVendor

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.core.release import FileEntry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Vendor:
    """The archive's own web server: it can be slow, lie, or have lost a file."""

    def __init__(self) -> None:
        """Honest and quick, once it has an archive."""
        self.archive: Archive | None = None
        self.asked: list[str] = []
        self.lies: dict[str, bytes] = {}
        self.go = threading.Event()
        self.go.set()

    def answer(self, asked: Asked) -> Answer:
        """One file of the archive, as it is told to."""
        path = asked.path.removeprefix("/")
        self.asked.append(path)
        assert self.archive is not None
        file = self.archive.root / path
        if path.startswith("pool/"):
            assert self.go.wait(60)
        if not file.is_file():
            return Answer(b"no such file", 404)
        return Answer(self.lies.get(path, file.read_bytes()))

    def times(self, name: str) -> int:
        """How often a file of the pool was asked for."""
        return sum(path.rpartition("/")[2] == name for path in self.asked)


class Town:
    """A running gate, its fleet, and the vendor behind it."""

    def __init__(self, fleet: Fleet, vendor: Vendor, supervisor: int) -> None:
        """Everything runs."""
        self.supervisor = supervisor
        self.fleet = fleet
        self.vendor = vendor
        self.site = fleet.site
        self.archive = fleet.archive
        self.data = fleet.folder / "firedoor-data"
        names = ("InRelease", "other_3_all.deb", "tool_1.0_all.deb")
        self.first = {name: self.holds(self.site.newest(), name) for name in names}

    def entry(self, release: str, name: str) -> FileEntry:
        """A file of a release by the last part of its path."""
        judge = JudgeReader(self.data)
        manifest = judge.manifest(release)
        judge.close()
        return next(file for path, file in manifest.items() if path.rpartition("/")[2] == name)

    def holds(self, release: str, name: str) -> bool:
        """Whether its bytes are on the gate's disk."""
        return DiskBlobs(self.data / "blobs").has(self.entry(release, name).sha256)

    def publish(self, name: str, version: str) -> None:
        """Bring a package to all machines."""
        self.archive.add(name, version)
        self.archive.publish()
        self.opened()

    def opened(self) -> str:
        """What was published is open for all; its id."""
        release = self.site.synced()
        self.open(release)
        return release

    def open(self, release: str) -> None:
        """Let all machines through."""
        assert self.site.act("release", "expedite", release, "--all").code == 0
        until(lambda: self.site.door(release)[0] == "open")

    def notes(self) -> list[str]:
        """What the record says of files that were not served."""
        entries = self.site.ask("ledger", "show", "--json").json()
        return [str(e["sentence"]) for e in entries if "not served" in str(e["sentence"])]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The first release is adopted; of its packages one is always fetched before."""
    vendor = Vendor()
    with ToldVendor(vendor.answer, None) as server:
        more = 'eager = ["other"]\n'
        folder = tmp_path_factory.mktemp("town")
        fleet = Fleet(folder, more=more, upstream=server.url)
        vendor.archive = fleet.archive
        with up(fleet) as supervisor:
            yield Town(fleet, vendor, supervisor)


def test_the_first_release_brings_its_indices_and_what_is_always_fetched(town: Town) -> None:
    """A distribution has hundreds of gigabytes; its machines have a thousandth of them."""
    assert town.first == {"InRelease": True, "other_3_all.deb": True, "tool_1.0_all.deb": False}
    assert town.vendor.times("tool_1.0_all.deb") == 0
    said = town.site.ask("channel", "show", "debian").out
    assert "of their files named only" in said
    assert "missing" not in said


def test_a_package_is_fetched_once_when_machines_ask_for_it(town: Town) -> None:
    """An ordinary apt-get install waits a moment longer, the first time in a fleet."""
    town.publish("shared", "1")
    machines = [town.fleet.machine(f"web-{number}") for number in (1, 2, 3)]
    town.vendor.go.clear()
    codes: list[int] = []
    installs = [
        threading.Thread(
            target=lambda apt=apt: codes.append(apt.run("install", "shared").returncode)
        )
        for apt in machines
    ]
    for install in installs:
        install.start()
    until(lambda: town.vendor.times("shared_1_all.deb") == 1)
    time.sleep(1)  # the others come to the same place meanwhile
    town.vendor.go.set()
    for install in installs:
        install.join(60)

    assert codes == [0, 0, 0]
    assert [apt.has("shared") for apt in machines] == ["1"] * 3
    assert town.vendor.times("shared_1_all.deb") == 1


def test_what_machines_have_asked_for_is_held_before_a_newer_version_boards(town: Town) -> None:
    """Nobody is let into a release whose bytes an upstream could still take away."""
    town.publish("steady", "1")
    assert town.fleet.machine("web-7").run("install", "steady").returncode == 0
    time.sleep(1)  # the gate writes down once a bucket what was asked for
    town.archive.add("steady", "2")
    town.archive.add("unheard-of", "1")
    town.archive.publish()

    release = town.site.synced()

    assert town.holds(release, "steady_2_all.deb")
    gate = GateReader(town.data)
    assert gate.asked("debian") >= {"steady:all"}
    assert len(gate.had("debian", {"steady:all"})) == 1  # who will be the first to try it
    assert gate.had("debian", {"unheard-of:all"}) == frozenset()
    gate.close()
    assert not town.holds(release, "unheard-of_1_all.deb")
    shown = town.site.ask("release", "diff", release, "--json").json()
    assert [path.rpartition("/")[2] for path in shown["named_only"]] == ["unheard-of_1_all.deb"]
    town.open(release)


def test_a_release_whose_bytes_upstream_does_not_give_never_boards(town: Town) -> None:
    """It would be open to machines that could not install it."""
    town.publish("shaky", "1")
    assert town.fleet.machine("web-8").run("install", "shaky").returncode == 0
    time.sleep(1)
    town.archive.add("shaky", "2")
    town.archive.publish()
    path = "pool/main/s/shaky/shaky_2_all.deb"
    town.vendor.lies[path] = b"something else"
    boarded = town.site.boardings()

    assert town.site.ask("channel", "sync", "debian", "--by", "Amira").code == 0
    until(
        lambda: (
            "expected" in town.site.ask("channel", "show", "debian", "--json").json()["last_error"]
        )
    )
    assert town.site.boardings() == boarded

    del town.vendor.lies[path]
    release = town.opened()
    assert town.holds(release, "shaky_2_all.deb")


def test_a_file_upstream_lies_about_is_refused_and_told(town: Town) -> None:
    """The machine keeps what it has, and a person hears of it; wrong bytes go nowhere."""
    apt = town.fleet.machine("web-4")
    town.publish("gadget", "1")
    until(lambda: "Inst gadget" in policy(apt, "install", "gadget"))
    path = "pool/main/g/gadget/gadget_1_all.deb"
    town.vendor.lies[path] = b"x" * (town.archive.root / path).stat().st_size

    refused = apt.run("install", "gadget")

    assert refused.returncode == 100
    assert "503" in refused.stderr
    until(lambda: any("gadget_1_all.deb" in note for note in town.notes()))
    assert apt.has("gadget") == ""
    del town.vendor.lies[path]
    # The gate asks upstream again after a while, and so does apt.
    until(lambda: apt.run("install", "gadget").returncode == 0)
    assert apt.has("gadget") == "1"


def test_a_file_upstream_has_lost_is_not_waited_for(town: Town) -> None:
    """An archive deletes what it has replaced; who needs it is told at once."""
    apt = town.fleet.machine("web-5")
    town.publish("relic", "1")
    until(lambda: "Inst relic" in policy(apt, "install", "relic"))
    (town.archive.root / "pool/main/r/relic/relic_1_all.deb").unlink()

    refused = apt.run("install", "relic")

    assert refused.returncode == 100
    assert "404" in refused.stderr
    assert "relic_1_all.deb" in refused.stderr


def test_a_judge_that_dies_while_a_machine_waits_fetches_when_it_is_back(town: Town) -> None:
    """What is wanted is written down before anybody waits for it."""
    apt = town.fleet.machine("web-6")
    town.publish("late", "1")
    until(lambda: "Inst late" in policy(apt, "install", "late"))
    town.vendor.go.clear()
    codes: list[int] = []
    install = threading.Thread(target=lambda: codes.append(apt.run("install", "late").returncode))
    install.start()
    until(lambda: town.vendor.times("late_1_all.deb") == 1)

    kill_judge(town.supervisor)
    town.vendor.go.set()
    install.join(90)

    assert codes == [0]
    assert apt.has("late") == "1"
    assert town.site.door(town.site.newest())[0] == "open"


def kill_judge(supervisor: int) -> None:
    """Kill -9, as the kernel does when memory runs out."""
    for child in psutil.Process(supervisor).children():
        if "judge" in child.cmdline():
            child.kill()
