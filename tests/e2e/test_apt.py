"""A Debian machine with its own apt: one line of its sources names the gate, and nothing else."""

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.apt_fleet import IDLE_S, Fleet, policy, up
from tests.debian import SUITE
from tests.office import Site, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running gate whose first release is adopted."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    with up(fleet):
        yield fleet


def test_a_release_is_held_promoted_and_contained_before_an_unmodified_apt(fleet: Fleet) -> None:
    """What apt prints is what an administrator has always seen; only the time is the door's."""
    site, archive = fleet.site, fleet.archive
    apt = fleet.machine("web-1")

    assert apt.run("install", "tool").returncode == 0
    assert apt.has("tool") == "1.0"

    # Held: the vendor has something newer, and this machine has not been let through.
    archive.add("tool", "1.1")
    archive.publish()
    release = site.synced()
    assert site.act("release", "hold", release).code == 0
    updated = apt.run("update")
    assert (updated.returncode, updated.stderr) == (0, "")
    apt.run("upgrade")
    assert apt.has("tool") == "1.0"

    # Promoted: a person lets it through; one ordinary upgrade installs it.
    assert site.act("release", "expedite", release, "--all").code == 0
    until(lambda: "1.1" in policy(apt))
    assert apt.run("upgrade").returncode == 0
    assert apt.has("tool") == "1.1"

    # Contained: a machine that has read the index of a bad release does not get its packages.
    archive.add("tool", "1.2")
    archive.publish()
    bad = site.synced()
    assert site.act("release", "expedite", bad, "--all").code == 0
    until(lambda: "1.2" in policy(apt))
    assert site.act("release", "shut", bad).code == 0
    until(lambda: site.door(bad)[0] == "shut")
    refused = apt.run("upgrade")
    assert refused.returncode == 100
    assert "404" in refused.stderr
    assert apt.has("tool") == "1.1"


def test_what_upstream_signs_anew_is_served_at_once(fleet: Fleet) -> None:
    """A suite without news is signed again every few days, before clients refuse the old one."""
    site, archive = fleet.site, fleet.archive
    apt = fleet.machine("web-2")
    archive.add("news", "1")
    archive.publish()
    release = site.synced()
    assert site.act("release", "expedite", release, "--all").code == 0
    until(lambda: "Inst news" in policy(apt, "install", "news"))
    boarded, path = site.boardings(), archive.root / "dists" / SUITE / "InRelease"

    archive.publish(valid_for=dt.timedelta(days=7))
    assert site.ask("channel", "sync", "debian", "--by", "Amira").code == 0
    signed = path.read_text().split("Date: ")[1].splitlines()[0]
    lists = apt.root / "var/lib/apt/lists"
    until(
        lambda: (
            apt.run("update").returncode == 0
            and any(signed in file.read_text() for file in lists.glob("*InRelease"))
        )
    )

    assert site.boardings() == boarded
    assert not expiries(site)

    # Upstream signs for an hour only, and then no more: a person is told while there is time.
    archive.publish(valid_for=dt.timedelta(hours=1))
    assert site.ask("channel", "sync", "debian", "--by", "Amira").code == 0
    until(lambda: bool(expiries(site)))
    assert "clients will refuse it from" in expiries(site)[0]


def expiries(site: Site) -> list[str]:
    """What the record says of releases that expire."""
    entries = site.ask("ledger", "show", "--json").json()
    sentences = [str(entry["sentence"]) for entry in entries]
    return [sentence for sentence in sentences if "expires" in sentence]


def test_a_machine_may_act_on_the_index_that_it_read_before_the_door_opened(fleet: Fleet) -> None:
    """Hours pass between update and upgrade; upstream has replaced the package meanwhile."""
    site, archive = fleet.site, fleet.archive
    apt = fleet.machine("web-3")
    archive.add("swift", "1")
    archive.publish()
    assert site.act("release", "expedite", site.synced(), "--all").code == 0
    until(lambda: "Inst swift" in policy(apt, "install", "swift"))

    archive.remove("swift", "1")
    archive.add("swift", "2")
    archive.publish()
    release = site.synced()
    assert site.act("release", "expedite", release, "--all").code == 0
    until(lambda: site.door(release)[0] == "open")
    time.sleep(2 * IDLE_S)  # the session in which it read the index is over

    assert apt.run("install", "swift").returncode == 0
    assert apt.has("swift") == "1"
    until(lambda: "Inst swift" in policy(apt))
    assert apt.run("upgrade").returncode == 0
    assert apt.has("swift") == "2"


def test_where_the_gate_signs_a_contained_release_is_taken_back_by_apt_itself(
    tmp_path: Path,
) -> None:
    """Apt ignores an older date without a word: only a later signature takes it back."""
    fleet = Fleet(tmp_path, signs=True)
    site, archive = fleet.site, fleet.archive
    with up(fleet):
        apt = fleet.machine("web-1")
        assert apt.run("install", "tool").returncode == 0
        archive.add("tool", "1.1")
        archive.publish()
        bad = site.synced()
        assert site.act("release", "expedite", bad, "--all").code == 0
        until(lambda: "Inst tool" in policy(apt))
        assert apt.run("upgrade").returncode == 0
        assert apt.has("tool") == "1.1"

        assert site.act("release", "shut", bad).code == 0
        until(lambda: "Inst tool" in policy(apt))
        assert apt.run("upgrade").returncode == 0
        assert apt.has("tool") == "1.0"

        # The next good release is later still, and nobody has to touch the machine.
        archive.add("tool", "1.2")
        archive.publish()
        good = site.synced()
        assert site.act("release", "expedite", good, "--all").code == 0
        until(lambda: "Inst tool" in policy(apt))
        assert apt.run("upgrade").returncode == 0
        assert apt.has("tool") == "1.2"
