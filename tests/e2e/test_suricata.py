"""A machine with its own suricata-update: one source names the gate, and nothing else."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.debian import replace
from tests.office import Site, adopting, enrolled, moved_into, until
from tests.suricata import FEED, Client, md5, packed, publish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CHANNEL = """[[channel]]
name = "{name}"
kind = "suricata"
upstream = "{upstream}"
feeds = ["{feed}"]
poll = "1h"
session_idle = "200ms"
preflight = false
"""
IDLE_S = 0.2


class Fleet:
    """A gate in front of a vendor of rules, and machines that read it with suricata-update."""

    def __init__(self, folder: Path) -> None:
        """The vendor has published one release; nothing runs."""
        self.folder = folder
        self.vendor = folder / "vendor"
        self.vendor.mkdir()
        publish(self.vendor, "worm")
        self.site = moved_into(folder, CHANNEL, self.vendor, name="rules", feed=FEED)

    def released(self, *messages: str) -> str:
        """The vendor publishes these rules, and the release boards; its id."""
        publish(self.vendor, *messages)
        return self.site.synced()

    def opened(self, *messages: str) -> str:
        """The vendor publishes, and a person lets it through; its id."""
        release = self.released(*messages)
        assert self.site.act("release", "expedite", release, "--all").code == 0
        until(lambda: self.site.door(release)[0] == "open")
        return release

    def machine(self, name: str) -> Client:
        """Enrol a machine and run the script on it: it has no other source."""
        client = Client(self.folder / name)
        enrolled(self.site, name, etc=client.root / "firedoor", suricata=client.root)
        until(lambda: client.run("--fail").returncode == 0)
        return client


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running gate whose first release is adopted."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    with adopting(fleet.site):
        yield fleet


def shown(site: Site, words: str) -> bool:
    """Whether a person who looks at the channel is told this."""
    return words in site.ask("channel", "show", "rules").out


def longer(items: list[tuple[str, str]], length: int) -> bool:
    """Whether there are more than so many."""
    return len(items) > length


def updated(client: Client) -> list[str]:
    """The rules after a run in a session of its own."""
    time.sleep(2 * IDLE_S)
    done = client.run("--fail")
    assert done.returncode == 0, done.stdout
    return client.messages()


def test_a_release_is_held_promoted_contained_and_taken_back_before_suricata_update(
    fleet: Fleet,
) -> None:
    """The client looks at the digest first: it has to be that of the feed it would be given."""
    site = fleet.site
    fleet.opened("virus")
    client = fleet.machine("sensor-1")
    until(lambda: updated(client) == ["virus"])

    # Held: the digest is the old one, so the client does not even ask for the feed.
    release = fleet.released("virus", "scan")
    assert site.act("release", "hold", release).code == 0
    time.sleep(2 * IDLE_S)
    assert "Remote checksum has not changed" in client.run("--fail").stdout
    assert client.messages() == ["virus"]

    # Promoted: a person lets it through; one ordinary run has it.
    assert site.act("release", "expedite", release, "--all").code == 0
    until(lambda: updated(client) == ["scan", "virus"])

    # Contained and taken back: the next run gets the rules before, without a word to the client.
    bad = fleet.opened("everything is a virus")
    until(lambda: updated(client) == ["everything is a virus"])
    late = fleet.machine("sensor-2")
    until(lambda: updated(late) == ["everything is a virus"])
    assert site.act("release", "shut", bad).code == 0
    until(lambda: updated(client) == ["scan", "virus"])
    until(lambda: updated(late) == ["scan", "virus"])
    assert "Remote checksum has not changed" in client.run("--fail").stdout


def test_a_broken_feed_boards_nowhere_and_the_last_good_rules_are_served_on(fleet: Fleet) -> None:
    """The client itself takes it for a feed without rules, and ends well with none."""
    site = fleet.site
    good = updated(client := fleet.machine("sensor-3"))
    boarded, feed = site.boardings(), (fleet.vendor / FEED).read_bytes()

    for broken, told in (
        (feed[: len(feed) // 2], "cannot be"),
        (packed({"readme.txt": b""}), "has no rule that is enabled"),
    ):
        replace(fleet.vendor / FEED, broken)
        assert site.ask("channel", "sync", "rules", "--by", "Amira").code == 0
        until(partial(shown, site, told))
        assert updated(client) == good
    assert site.boardings() == boarded
    replace(fleet.vendor / FEED, feed)


def test_a_first_run_that_is_refused_is_seen_only_with_fail(fleet: Fleet) -> None:
    """Without --fail it ends well and writes rules without this feed; so the script names it."""
    client = fleet.machine("sensor-4")
    assert client.messages() != []
    assert fleet.site.ask("machine", "revoke", "sensor-4").code == 0
    for path in (client.root / "update/cache").iterdir():
        path.unlink()

    until(lambda: client.run("--fail").returncode == 1)
    assert client.messages() != []
    quiet = client.run()
    assert quiet.returncode == 0
    assert client.messages() == []

    assert "--fail" in fleet.site.ask("channel", "show", "rules").out


def test_a_switch_in_the_middle_of_a_run_never_mixes_two_releases(fleet: Fleet) -> None:
    """A digest of one release and the feed of another: the client checks it against nothing."""
    client = fleet.machine("sensor-5")
    failed: list[str] = []
    fetched: list[tuple[str, str]] = []
    over = threading.Event()

    def update() -> None:
        while not over.is_set():
            done = client.run("--fail", "-v")
            if done.returncode:
                failed.append(done.stdout)
            if "Fetching" in done.stdout:
                (cached,) = (client.root / "update/cache").glob(f"*{FEED}")
                said = done.stdout.split("remote checksum=|")[1].split("|")[0]
                fetched.append((said, md5(cached.read_bytes())))
            time.sleep(IDLE_S)

    thread = threading.Thread(target=update)
    thread.start()
    try:
        for number in range(6):
            fleet.opened(f"switch {number}")
            until(partial(longer, fetched, number))
    finally:
        over.set()
        thread.join()

    assert failed == []
    assert len(fetched) >= 6
    assert all(said == got for said, got in fetched)
