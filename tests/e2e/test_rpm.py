"""A machine with its own dnf: one ``.repo`` file names the gate, and nothing else."""

import hashlib
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.debian import replace
from tests.office import Site, adopting, enrolled, moved_into, until
from tests.rpm import Dnf, Repository

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.units import Digest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CHANNEL = """[[channel]]
name = "{name}"
kind = "rpm"
upstream = "{upstream}"
architectures = ["x86_64"]
trust = ["{keyring}"]
poll = "1h"
session_idle = "200ms"
pool = "{pool}"
"""
IDLE_S = 0.2
NOON = 1_700_000_000


class Fleet:
    """A gate in front of an RPM repository, and machines that read it with dnf."""

    def __init__(self, folder: Path, *, pool: str = "eager") -> None:
        """The vendor has published one release; nothing runs."""
        self.vendor = Repository.new(folder / "vendor")
        self.revision = NOON
        self.vendor.add("tool", "1.0")
        self.vendor.add("other+more", "3~rc1^git", arch="x86_64")
        self.publish()
        self.folder = folder
        keyring = self.vendor.keyring
        self.site = moved_into(
            folder, CHANNEL, self.vendor.root, name="vendor", keyring=keyring, pool=pool
        )

    def publish(self) -> None:
        """The vendor publishes a minute later than before."""
        self.revision += 60
        self.vendor.publish(revision=self.revision)

    def released(self, name: str, version: str) -> str:
        """The vendor replaces a package, publishes, and the release boards; its id."""
        for path in (self.vendor.root / "packages").glob(f"{name}-*.rpm"):
            path.unlink()
        self.vendor.add(name, version)
        self.publish()
        return self.site.synced()

    def let_through(self, release: str, name: str, version: str, dnf: Dnf) -> None:
        """A person lets a release through; returns when this machine is offered it."""
        assert self.site.act("release", "expedite", release, "--all").code == 0
        until(lambda: offered(dnf, name) == version)

    def machine(self, name: str) -> Dnf:
        """Enrol a machine and run the script on it: its dnf has no other source."""
        dnf = Dnf(self.folder / name)
        etc = dnf.root / "etc"
        enrolled(self.site, name, etc=etc / "firedoor", dnf=etc)
        until(lambda: dnf.run("makecache").returncode == 0)
        return dnf


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running gate whose first release is adopted."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    with adopting(fleet.site):
        yield fleet


def opened(site: Site, release: str) -> bool:
    """Whether a release's door is open."""
    return site.door(release)[0] == "open"


def offered(dnf: Dnf, name: str) -> str:
    """The version of a package that a fresh look at the gate offers."""
    time.sleep(2 * IDLE_S)  # whoever asks without a pause goes on in the session that he has
    said = dnf.looked("-q", "repoquery", "--available", "--qf", "%{version}", name)
    return said.strip()


def test_a_release_is_held_promoted_contained_and_taken_back_before_an_unmodified_dnf(
    fleet: Fleet,
) -> None:
    """What dnf prints is what an administrator has always seen; only the time is the door's."""
    site = fleet.site
    dnf = fleet.machine("web-1")
    dnf.looked("install", "tool", "other+more")
    assert (dnf.has("tool"), dnf.has("other+more")) == ("1.0", "3~rc1^git")

    # Held: the vendor has something newer, and this machine has not been let through.
    release = fleet.released("tool", "1.1")
    assert site.act("release", "hold", release).code == 0
    assert "Nothing to do" in dnf.looked("upgrade")

    # Promoted: a person lets it through; one ordinary upgrade installs it.
    fleet.let_through(release, "tool", "1.1", dnf)
    dnf.looked("upgrade")
    assert dnf.has("tool") == "1.1"

    # Contained: a machine that has read the metadata of a bad release does not get its packages.
    bad = fleet.released("tool", "1.2")
    fleet.let_through(bad, "tool", "1.2", dnf)
    late = fleet.machine("web-2")
    until(lambda: offered(late, "tool") == "1.2")
    dnf.looked("upgrade")
    assert dnf.has("tool") == "1.2"
    assert site.act("release", "shut", bad).code == 0
    until(lambda: site.door(bad)[0] == "shut")
    refused = late.run("--setopt=metadata_expire=-1", "install", "tool")
    assert refused.returncode == 1
    assert "404" in refused.stdout + refused.stderr
    assert late.has("tool") == ""

    # Taken back: by distro-sync, which goes down too; upgrade never does.
    until(lambda: offered(dnf, "tool") == "1.1")
    assert "Nothing to do" in dnf.looked("upgrade")
    assert dnf.has("tool") == "1.2"
    dnf.looked("distro-sync")
    assert dnf.has("tool") == "1.1"

    # The next good release needs nobody at the machine.
    fleet.let_through(fleet.released("tool", "1.3"), "tool", "1.3", dnf)
    dnf.looked("distro-sync")
    assert dnf.has("tool") == "1.3"


def test_a_machine_may_act_on_the_metadata_that_it_read_before_the_door_opened(
    fleet: Fleet,
) -> None:
    """Hours pass between a look and an upgrade; upstream has replaced the package meanwhile."""
    dnf = fleet.machine("web-3")
    fleet.let_through(fleet.released("swift", "1"), "swift", "1", dnf)

    release = fleet.released("swift", "2")
    assert fleet.site.act("release", "expedite", release, "--all").code == 0
    until(lambda: fleet.site.door(release)[0] == "open")
    time.sleep(2 * IDLE_S)  # the session in which it read the metadata is over

    done = dnf.run("--setopt=metadata_expire=-1", "install", "swift")
    assert done.returncode == 0, done.stderr
    assert dnf.has("swift") == "1"
    until(lambda: offered(dnf, "swift") == "2")
    dnf.looked("upgrade")
    assert dnf.has("swift") == "2"


def test_metadata_that_were_only_made_anew_board_no_release(fleet: Fleet) -> None:
    """A nightly createrepo changes the date of everything and the content of nothing."""
    dnf = fleet.machine("web-4")
    boarded = fleet.site.boardings()
    fleet.publish()
    text = fleet.vendor.repomd.read_bytes()

    assert fleet.site.ask("channel", "sync", "vendor", "--by", "Amira").code == 0

    def renewed() -> bool:
        dnf.looked("makecache")
        found = dnf.root.glob("var/cache/dnf/*/repodata/repomd.xml")
        return [path.read_bytes() for path in found] == [text]

    until(renewed)
    assert fleet.site.boardings() == boarded


def test_what_no_key_of_the_channel_has_signed_is_refused_and_the_last_good_release_served(
    fleet: Fleet,
) -> None:
    """Whoever takes over a mirror gets no further than the gate, and people are told."""
    dnf = fleet.machine("web-5")
    stranger = Repository.new(fleet.folder / "stranger")
    boarded = fleet.site.boardings()
    good = fleet.vendor.repomd.with_name("repomd.xml.asc").read_bytes()
    forged = stranger.gpg("--armor", "--detach-sign", data=fleet.vendor.repomd.read_bytes())

    def told(what: str) -> None:
        assert fleet.site.ask("channel", "sync", "vendor", "--by", "Amira").code == 0
        until(lambda: what in fleet.site.ask("channel", "show", "vendor").out)

    replace(fleet.vendor.repomd.with_name("repomd.xml.asc"), forged)
    told("no key of the channel has signed it")
    replace(fleet.vendor.repomd.with_name("repomd.xml.asc"), good)

    # Torn: the metadata of the next release are there, and its packages are not yet.
    path = fleet.vendor.add("torn", "1")
    fleet.publish()
    elsewhere = path.rename(fleet.folder / path.name)
    told("listed but not there")
    dnf.looked("install", "tool")
    assert fleet.site.boardings() == boarded

    elsewhere.rename(path)
    fleet.let_through(fleet.site.synced(), "torn", "1", dnf)


def test_a_switch_in_the_middle_of_an_update_never_mixes_two_releases(fleet: Fleet) -> None:
    """Signature, metadata and packages are asked for one by one, and a door moves in between."""
    machines = [fleet.machine(f"busy-{number}") for number in (1, 2)]
    failed: list[str] = []
    runs: list[str] = []
    over = threading.Event()

    def update(dnf: Dnf) -> None:
        while not over.is_set():
            done = dnf.run("--refresh", "install", "moving")
            if done.returncode:
                failed.append(done.stdout + done.stderr)
            runs.append(dnf.has("moving"))
            dnf.run("remove", "moving")

    fleet.let_through(fleet.released("moving", "1"), "moving", "1", machines[0])
    until(lambda: offered(machines[1], "moving") == "1")
    threads = [threading.Thread(target=update, args=(dnf,)) for dnf in machines]
    for thread in threads:
        thread.start()
    try:
        for version in ("2", "3", "4", "5", "6"):
            release = fleet.released("moving", version)
            assert fleet.site.act("release", "expedite", release, "--all").code == 0
            until(partial(opened, fleet.site, release))
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert failed == []
    assert len(set(runs)) > 2
    assert offered(machines[0], "moving") == "6"


def test_packages_are_fetched_when_a_dnf_asks_for_them(tmp_path: Path) -> None:
    """An enterprise distribution has a hundred gigabytes; its machines have a hundredth."""
    fleet = Fleet(tmp_path, pool="lazy")
    blobs = tmp_path / "firedoor-data" / "blobs"

    def held(name: str) -> bool:
        (package,) = (fleet.vendor.root / "packages").glob(f"{name}-*.rpm")
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        return DiskBlobs(blobs).has(Digest(digest))

    with adopting(fleet.site):
        assert (held("tool"), held("other+more")) == (False, False)
        assert "named only" in fleet.site.ask("channel", "show", "vendor").out
        dnf = fleet.machine("web-1")
        dnf.looked("install", "tool")
        assert (dnf.has("tool"), held("tool"), held("other+more")) == ("1.0", True, False)

        # It is in demand: what replaces it is held before a machine can be let in.
        release = fleet.released("tool", "1.1")
        assert (held("tool"), held("other+more")) == (True, False)
        fleet.let_through(release, "tool", "1.1", dnf)
        (package,) = (fleet.vendor.root / "packages").glob("tool-*.rpm")
        package.unlink()
        dnf.looked("upgrade")
        assert dnf.has("tool") == "1.1"

        # What upstream has lost before anybody asked is refused, and said.
        (package,) = (fleet.vendor.root / "packages").glob("other+more-*.rpm")
        package.unlink()
        refused = dnf.run("install", "other+more")
        assert refused.returncode == 1
        assert "404" in refused.stdout + refused.stderr
