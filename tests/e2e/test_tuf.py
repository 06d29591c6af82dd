"""A machine with its own python-tuf: two addresses name the gate, a root says whom to believe.

``FIREDOOR_SWITCHES=100`` switches a hundred times; without it a few are enough.
"""

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.debian import replace
from tests.office import adopting, enrolled, moved_into, until
from tests.tuf import Client, Repository, days
from tests.unit.cli.desk import run
from tuf.api.exceptions import BadVersionNumberError, DownloadHTTPError, ExpiredMetadataError
from tuf.api.metadata import Metadata, Root, Timestamp

SWITCHES = int(os.environ.get("FIREDOOR_SWITCHES", "3"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 20 * SWITCHES)]

CHANNEL = """[[channel]]
name = "{name}"
kind = "tuf"
upstream = "{upstream}"
trust = ["{trust}"]
poll = "1h"
session_idle = "200ms"
"""
IDLE_S = 0.2
ROLE = "team/of rules"  # clients escape what stands between them and a directory


class Fleet:
    """A gate in front of a TUF repository, and programs that update themselves by python-tuf."""

    def __init__(self, folder: Path, *, signed: bool) -> None:
        """The vendor has published one release; nothing runs."""
        self.folder = folder
        self.vendor = Repository.new(folder / "vendor")
        self.vendor.delegate(ROLE, "rules/*")
        self.publish("1")
        text, self.own = CHANNEL, folder / "own"
        if signed:
            text += run("tuf", "init", str(self.own)).out
        trust = self.vendor.trusted
        self.site = moved_into(folder, text, self.vendor.root, name="vendor", trust=trust)

    def publish(self, version: str) -> None:
        """The vendor publishes a version of everything."""
        self.vendor.add("tool", f"tool {version}".encode())
        self.vendor.add("rules/a.txt", f"rules {version}".encode(), role=ROLE)
        self.vendor.publish()

    def released(self, version: str) -> str:
        """The vendor publishes, and the release boards; its id."""
        self.publish(version)
        return self.site.synced()

    def opened(self, release: str) -> None:
        """A person lets a release through."""
        assert self.site.act("release", "expedite", release, "--all").code == 0
        until(lambda: self.site.door(release)[0] == "open")

    def shut(self, release: str) -> None:
        """A person shuts a release."""
        assert self.site.act("release", "shut", release).code == 0
        until(lambda: self.site.door(release)[0] == "shut")

    def machine(self, name: str) -> Client:
        """Enrol a machine and run the script on it: its program is told nothing else."""
        folder = self.folder / name
        enrolled(self.site, name, etc=folder / "etc", tuf=folder / "tuf")
        return Client.told(folder, folder / "tuf/vendor.json")

    def renewed(self, client: Client) -> None:
        """The vendor signs anew what there is; returns when this client has read it."""
        self.vendor.publish(renewed=True)
        assert self.site.ask("channel", "sync", "vendor", "--by", "Amira").code == 0

        def read() -> bool:
            has(client)
            text = (client.folder / "roles/timestamp.json").read_bytes()
            return Metadata[Timestamp].from_bytes(text).signed.version == self.vendor.version

        until(read)

    def noted(self) -> str:
        """What the ledger has."""
        return self.site.ask("ledger", "show", "--json").out

    def told(self, what: str) -> None:
        """Somebody asks for what the vendor has; ``channel show`` says this of it."""
        assert self.site.ask("channel", "sync", "vendor", "--by", "Amira").code == 0
        until(lambda: what in self.site.ask("channel", "show", "vendor").out)


def has(client: Client) -> tuple[bytes, ...]:
    """What a program has after a fresh look, in a session of its own."""
    time.sleep(2 * IDLE_S)
    return tuple(client.got("tool", "rules/a.txt"))


def of(version: str) -> tuple[bytes, ...]:
    """What a program has of a version."""
    return f"tool {version}".encode(), f"rules {version}".encode()


@pytest.fixture(scope="module")
def verbatim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Clients read the vendor's signatures."""
    fleet = Fleet(tmp_path_factory.mktemp("verbatim"), signed=False)
    with adopting(fleet.site):
        yield fleet


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fleet]:
    """Of one test: a release that others left shut would never be signed anew for clients."""
    fleet = Fleet(tmp_path, signed=False)
    with adopting(fleet.site):
        yield fleet


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Clients read the operator's."""
    fleet = Fleet(tmp_path_factory.mktemp("signed"), signed=True)
    with adopting(fleet.site):
        yield fleet


def test_a_release_is_held_promoted_and_contained_before_an_unmodified_client(
    verbatim: Fleet,
) -> None:
    """With the vendor's signatures a client goes forward, or stays; nothing else is promised."""
    site, client = verbatim.site, verbatim.machine("web-1")
    before = has(client)

    release = verbatim.released("2")
    assert site.act("release", "hold", release).code == 0
    assert has(client) == before != of("2")

    verbatim.opened(release)
    until(lambda: has(client) == of("2"))

    bad = verbatim.released("3")
    verbatim.opened(bad)
    late = verbatim.machine("web-2")
    until(lambda: has(client) == of("3"))
    seen = late.looked()
    target = seen.get_targetinfo("tool")
    assert target is not None
    verbatim.shut(bad)

    # A client that has read the bad release's roles does not get its targets, ...
    with pytest.raises(DownloadHTTPError):
        seen.download_target(target)
    # ... one that comes new gets the release before, and who had it keeps its files.
    assert has(verbatim.machine("web-3")) == of("2")
    with pytest.raises(BadVersionNumberError):
        has(client)

    verbatim.opened(verbatim.released("4"))
    until(lambda: has(client) == of("4"))


def test_what_is_wrong_upstream_is_told_and_the_last_good_release_served_on(
    fresh: Fleet,
) -> None:
    """Whoever takes over a mirror gets no further than the gate."""
    vendor, client = fresh.vendor, fresh.machine("web-4")
    fresh.renewed(client)  # there is a version to go back from
    good = has(client)
    boarded = fresh.site.boardings()
    roles = [path for path in (vendor.root / "metadata").rglob("*") if path.is_file()]
    files = {path: path.read_bytes() for path in roles}
    right, version = vendor.signers["timestamp"], vendor.version

    def put_back() -> None:
        vendor.signers["timestamp"], vendor.version = right, version
        vendor.expires["timestamp"] = days(30)
        for role in vendor.roles.values():
            role.version = version
        for path, data in files.items():
            replace(path, data)

    vendor.signers["timestamp"] = Repository.new(fresh.folder / "stranger").signers["root"]
    vendor.publish(renewed=True)
    fresh.told("timestamp.json is not signed as the trusted root demands")
    put_back()

    vendor.expires["timestamp"] = days(-1)
    vendor.publish(renewed=True)
    fresh.told("the repository has expired")
    put_back()

    vendor.publish(version=1)
    fresh.told("the repository went back")
    put_back()

    tool = vendor.roles["targets"].targets["tool"]
    vendor.roles["targets"].targets["../../etc/cron.d/x"] = tool
    vendor.publish()
    fresh.told("'..' segment")
    del vendor.roles["targets"].targets["../../etc/cron.d/x"]
    put_back()

    assert has(client) == good
    assert fresh.site.boardings() == boarded


def test_a_timestamp_that_is_renewed_reaches_clients_and_boards_no_release(
    fresh: Fleet,
) -> None:
    """Vendors sign the same content anew every day, before the last signature expires."""
    client = fresh.machine("web-5")
    has(client)
    boarded = fresh.site.boardings()
    fresh.renewed(client)
    assert fresh.site.boardings() == boarded


def test_a_held_release_that_expires_is_told_before_clients_refuse_it(fresh: Fleet) -> None:
    """Nobody can hold for longer than the vendor signed for, without a root of his own."""
    client = fresh.machine("web-6")
    fresh.vendor.expires["timestamp"] = days(15 / 86_400)
    fresh.renewed(client)
    fresh.vendor.expires["timestamp"] = days(30)
    release = fresh.released("5")
    assert fresh.site.act("release", "hold", release).code == 0
    until(lambda: "expires of metadata/timestamp.json" in fresh.noted())
    assert "with a root of your own you can hold for longer" in fresh.noted()

    def refused() -> bool:
        try:
            has(client)
        except ExpiredMetadataError:
            return True
        return False

    until(refused)
    fresh.opened(release)
    until(lambda: has(fresh.machine("web-7")) == of("5"))


def test_with_a_root_of_ones_own_a_release_is_taken_back_by_the_client_itself(
    signed: Fleet,
) -> None:
    """The previous targets under a higher version: to the client this is one more update."""
    client = signed.machine("web-1")
    before = has(client)
    bad = signed.released("2")
    assert has(client) == before != of("2")
    signed.opened(bad)
    until(lambda: has(client) == of("2"))

    signed.shut(bad)
    assert has(client) == before

    signed.opened(signed.released("3"))
    until(lambda: has(client) == of("3"))


def test_roots_of_ones_own_are_followed_by_clients_that_know_the_first(signed: Fleet) -> None:
    """A key that was lost is replaced without touching a machine."""
    client = signed.machine("web-2")
    good = has(client)

    done = run("tuf", "renew", str(signed.own), "--new-key", "--new-root-key", "--days", "20")
    assert done.code == 0, done.err

    def renewed() -> bool:
        has(client)
        root = Metadata[Root].from_file(str(client.folder / "roles/root.json")).signed
        return root.version == 2

    until(renewed)
    assert has(client) == good
    # It counts for less than a month: somebody has to be told to fetch the key from the safe.
    until(lambda: "make the next root" in signed.noted())


@pytest.mark.parametrize("mode", ["verbatim", "signed"])
def test_a_switch_in_the_middle_of_an_update_never_mixes_two_releases(
    mode: str, request: pytest.FixtureRequest
) -> None:
    """Roles and targets are asked for one by one, and a door moves in between."""
    fleet: Fleet = request.getfixturevalue(mode)
    clients = [fleet.machine(f"busy-{mode}-{number}") for number in (1, 2, 3)]
    failed: list[str] = []
    refused: list[str] = []
    shutting = threading.Event()
    runs: list[tuple[bytes, ...]] = []
    over = threading.Event()

    def update(client: Client) -> None:
        while not over.is_set():
            try:
                runs.append(tuple(client.got("tool", "rules/a.txt")))
            except Exception as error:  # noqa: BLE001 - whatever a client trips over counts
                # Who is in the middle of a release that is shut gets no more of it.
                (refused if shutting.is_set() else failed).append(repr(error))
            time.sleep(1.5 * IDLE_S * (len(runs) % 2))

    def got(what: tuple[bytes, ...]) -> bool:
        return runs[-1:] == [what]

    good = of("")
    threads = [threading.Thread(target=update, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        for number in range(SWITCHES):
            release = fleet.released(f"s{number}")
            fleet.opened(release)
            until(partial(got, of(f"s{number}")))
            # Two that are shut in a row would wait for a person.
            if mode == "signed" and number % 2:
                shutting.set()
                fleet.shut(release)
                until(partial(got, good))
                time.sleep(2 * IDLE_S)
                shutting.clear()
            else:
                good = of(f"s{number}")
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert failed == []
    assert all("status 404" in error for error in refused), refused
    assert len(refused) <= len(clients) * SWITCHES
    assert all(rules == tool.replace(b"tool", b"rules") for tool, rules in runs)
    assert len(set(runs)) > 2
