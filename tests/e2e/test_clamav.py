"""Machines with their own freshclam, and every address in its configuration is the gate's."""

import base64
import signal
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.clamav import MALFORMED, Freshclam, hashes, publish, signed
from tests.office import HURRIED, Site, console_answers, free_ports, running, until
from tests.unit.cli.desk import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG = (
    HURRIED
    + """[[channel]]
name = "clam"
kind = "clamav"
upstream = "{upstream}"
poll = "1h"
session_idle = "{idle}"
preflight = {preflight}
{more}
"""
)
IDLE_S = 0.4
OLD, NEW = b"an old virus", b"a new virus"
FIRST = {"lab_hdb": hashes(("Lab.Old", OLD))}


class Fleet:
    """A gate in front of a vendor of databases, and machines that read it with freshclam."""

    def __init__(
        self,
        folder: Path,
        first: Mapping[str, bytes] = FIRST,
        *,
        idle: str = f"{IDLE_S:g}s",
        more: str = "",
        preflight: bool = False,
    ) -> None:
        """The vendor has published its ``first`` release; nothing runs."""
        self.vendor = folder / "vendor"
        publish(self.vendor, **first)
        self.folder = folder
        assert run("init", str(folder)).code == 0
        self.ports = dict(zip(("gate", "intake", "console"), free_ports(3), strict=True))
        path = folder / "firedoor.toml"
        words = {"idle": idle, "more": more, "preflight": str(preflight).lower()}
        path.write_text(CONFIG.format(**self.ports, upstream=self.vendor, **words))
        self.site = Site(path, self.vendor, "clam")

    def machine(self, name: str, *, tests: bool = True) -> Freshclam:
        """Enrol a machine and run the script on it: its freshclam knows no other address."""
        gate = f"http://127.0.0.1:{self.ports['gate']}"
        script = self.site.ask("machine", "enroll", name, "--gate", gate).out
        client = Freshclam.new(self.folder / name, tests=tests)
        client.enroll(script)
        until(lambda: client.run().returncode == 0)
        return client


def updated(client: Freshclam) -> str:
    """What an update says, begun after the session before it is over."""
    time.sleep(2 * IDLE_S)
    done = client.run()
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def up(fleet: Fleet) -> Iterator[None]:
    """The gate runs, and its first release is adopted."""
    with running(fleet.site.path):
        until(lambda: fleet.site.ask("release", "list", "clam").code == 0)
        until(lambda: fleet.site.boardings() == 1)
        until(lambda: console_answers(fleet.ports["console"]))
        yield


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A running gate whose first release is adopted, for one test: a vendor never goes back."""
    first = {"test_cvd": signed(4), "ignored_ign2": b"# nothing is ignored\n", **FIRST}
    fleet = Fleet(tmp_path / "fleet", first)
    with up(fleet):
        yield fleet


def test_a_release_is_held_promoted_and_taken_back_before_an_unmodified_freshclam(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Older databases go back in too, with the vendor's signature still checked by the client."""
    site = fleet.site
    client = fleet.machine("scan-1")
    found = tmp_path / "found"
    found.write_bytes(NEW)
    assert client.has("test.cvd") == signed(4)

    # Held: what it has is what it gets, whatever the vendor published meanwhile.
    publish(fleet.vendor, test_cvd=signed(6), lab_hdb=hashes(("Lab.Old", OLD), ("Lab.New", NEW)))
    release = site.synced()
    assert site.act("release", "hold", release).code == 0
    updated(client)
    assert client.has("test.cvd") == signed(4)
    assert client.finds(found) == ""

    # Promoted: one ordinary update.
    assert site.act("release", "expedite", release, "--all").code == 0
    until(lambda: "test.cvd updated" in updated(client))
    assert client.has("test.cvd") == signed(6)
    assert client.finds(found) == "Lab.New.UNOFFICIAL"

    # Shut: nobody new gets it, and at its next update the machine has the old databases again.
    assert site.act("release", "shut", release).code == 0
    until(lambda: site.door(release)[0] == "shut")
    until(lambda: "test.cvd updated" in updated(client))
    assert client.has("test.cvd") == signed(4)
    assert client.finds(found) == ""


def test_one_bad_signature_is_ignored_while_the_rest_goes_on_working(
    fleet: Fleet, tmp_path: Path
) -> None:
    """A false positive on a file of the system: nobody wants to lose the other thousand."""
    site, vendor = fleet.site, fleet.vendor
    client = fleet.machine("scan-2")
    system, virus = tmp_path / "system", tmp_path / "virus"
    system.write_bytes(b"a file of every system")
    virus.write_bytes(NEW)
    publish(
        vendor,
        test_cvd=signed(6),
        lab_hdb=hashes(("Lab.Old", OLD), ("Lab.New", NEW), ("Lab.FP", system.read_bytes())),
    )
    release = site.synced()
    assert site.act("release", "expedite", release, "--all").code == 0
    until(lambda: "lab.hdb updated" in updated(client))
    assert client.finds(system) == "Lab.FP.UNOFFICIAL"

    listed = site.ask("release", "remedy", release)
    assert "Lab.FP" in listed.out.splitlines()
    assert "Lab.Old" not in listed.out.splitlines()
    publish(vendor, ignored_ign2=b"Lab.FP\n")
    assert site.act("release", "expedite", site.synced(), "--all").code == 0

    until(lambda: "ignored.ign2 updated" in updated(client))
    assert client.finds(system) == ""
    assert client.finds(virus) == "Lab.New.UNOFFICIAL"


def test_a_release_that_freshclam_throws_away_is_shut_by_what_the_gate_sees(
    tmp_path: Path,
) -> None:
    """Nothing of ours runs on the machines; their own test of the database is the sensor."""
    fleet = Fleet(tmp_path, more='budget = 5\nsoak = "0s"')
    site = fleet.site
    with up(fleet):
        clients = [fleet.machine(f"scan-{number}") for number in range(16)]
        for _ in range(3):  # their habits are learnt
            for client in clients:
                assert client.run().returncode == 0
        publish(fleet.vendor, lab_hdb=MALFORMED)
        bad = site.synced()

        codes = set()
        for _ in range(120):
            if site.door(bad)[0] == "shut":
                break
            codes |= {client.run().returncode for client in clients}
            time.sleep(2 * IDLE_S)  # who asks without a pause goes on with the session it has
        assert site.door(bad)[:2] == ("shut", "harmful")

        shown = site.ask("release", "show", bad, "--json").json()
        assert codes == {0, 8}  # 8: "Database test FAILED", and what it has stays
        assert shown["harmed"] == shown["exposed"] < len(clients)
        # All go on with what they had, and nobody has to be healed.
        time.sleep(2 * IDLE_S)
        for client in clients:
            assert client.run().returncode == 0
            assert client.has("lab.hdb") == hashes(("Lab.Old", OLD))

        # And the next release, which they take, is let through by what they show.
        publish(fleet.vendor, lab_hdb=hashes(("Lab.Old", OLD), ("Lab.New", NEW)))
        good = site.synced()
        for _ in range(120):
            if site.door(good)[0] == "open":
                break
            assert {client.run().returncode for client in clients} == {0}
            time.sleep(2 * IDLE_S)
        assert site.door(good)[0] == "open"
        assert site.ask("release", "show", good, "--json").json()["harmed"] == 0


def test_a_door_that_moves_in_the_middle_of_a_run_mixes_nothing(tmp_path: Path) -> None:
    """Freshclam asks for one database after the other, and takes its time with each."""
    many = [(f"Lab.{number}", b"%d" % number) for number in range(200_000)]
    old, new = hashes(*many), hashes(*many, ("Lab.New", NEW))
    fleet = Fleet(tmp_path, {"a_hdb": old, "z_hdb": old}, idle="10s")
    with up(fleet):
        site = fleet.site
        client, other = fleet.machine("scan-1"), fleet.machine("scan-2")
        first, last = client.addresses()
        middle = hashes(*many, ("Lab.Middle", OLD))
        publish(fleet.vendor, a_hdb=middle, z_hdb=middle)
        assert site.act("release", "expedite", site.synced(), "--all").code == 0
        time.sleep(10.5)
        until(lambda: fetched(other.addresses()[0]) == middle)

        # It has begun with the release in the middle, and stands still between two files.
        before = (client.root / "log").read_text().count("Testing database")
        running_one = client.start()
        until(lambda: (client.root / "log").read_text().count("Testing database") > before)
        running_one.send_signal(signal.SIGSTOP)
        assert client.has("z.hdb") == old
        publish(fleet.vendor, a_hdb=new, z_hdb=new)
        assert site.act("release", "expedite", site.synced(), "--all").code == 0
        third = fleet.machine("scan-3")
        assert third.has("a.hdb") == third.has("z.hdb") == new
        running_one.send_signal(signal.SIGCONT)
        assert running_one.wait(60) == 0

        assert (first.rpartition("/")[2], last.rpartition("/")[2]) == ("a.hdb", "z.hdb")
        assert client.has("a.hdb") == client.has("z.hdb") == middle


def fetched(address: str) -> bytes:
    """What the gate answers, asked as its owner asks."""
    parts = urlsplit(address)
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    url = f"http://{parts.hostname}:{parts.port}{parts.path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {credentials}"})
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - our own gate
        return bytes(reply.read())
