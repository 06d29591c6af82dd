"""Machines with their own freshclam, and every address in its configuration is the gate's."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.clamav import Freshclam, hashes, publish, signed
from tests.office import HURRIED, Site, console_answers, free_ports, running, until
from tests.unit.cli.desk import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CONFIG = (
    HURRIED
    + """[[channel]]
name = "clam"
kind = "clamav"
upstream = "{upstream}"
poll = "1h"
session_idle = "400ms"
"""
)
IDLE_S = 0.4
OLD, NEW = b"an old virus", b"a new virus"


class Fleet:
    """A gate in front of a vendor of databases, and machines that read it with freshclam."""

    def __init__(self, folder: Path) -> None:
        """The vendor has published one release; nothing runs."""
        self.vendor = folder / "vendor"
        publish(self.vendor, test_cvd=signed(4), lab_hdb=hashes(("Lab.Old", OLD)))
        self.folder = folder
        assert run("init", str(folder)).code == 0
        self.ports = dict(zip(("gate", "intake", "console"), free_ports(3), strict=True))
        path = folder / "firedoor.toml"
        path.write_text(CONFIG.format(**self.ports, upstream=self.vendor))
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


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running gate whose first release is adopted."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
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
