"""A gate in front of a Debian repository of our own, and machines that read it with their apt."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.debian import SUITE, Apt, Archive
from tests.office import HURRIED, Site, console_answers, free_ports, running, until
from tests.unit.cli.desk import run

CONFIG = (
    HURRIED
    + """[[channel]]
name = "debian"
kind = "apt"
upstream = "{upstream}"
suites = ["{suite}"]
architectures = ["amd64"]
trust = ["{keyring}"]
poll = "1h"
session_idle = "200ms"
"""
)
IDLE_S = 0.2


class Fleet:
    """A gate in front of a Debian repository, and machines that read it with apt."""

    def __init__(
        self, folder: Path, *, signs: bool = False, more: str = "", upstream: str = ""
    ) -> None:
        """The vendor has published one release; nothing runs."""
        self.archive = Archive.new(folder / "vendor")
        self.archive.add("tool", "1.0")
        self.archive.add("other", "3")
        self.archive.publish()
        self.folder = folder
        assert run("init", str(folder)).code == 0
        self.ports = dict(zip(("gate", "intake", "console"), free_ports(3), strict=True))
        path = folder / "firedoor.toml"
        path.write_text(
            CONFIG.format(
                **self.ports,
                upstream=upstream or self.archive.root,
                suite=SUITE,
                keyring=self.archive.keyring,
            )
        )
        if signs:
            key = self.archive.own_key(folder / "gate.key")
            path.write_text(f'{path.read_text()}sign = "{key}"\n')
        path.write_text(path.read_text() + more)
        self.site = Site(path, self.archive.root, "debian")

    def machine(self, name: str, *words: str, gate: str = "") -> Apt:
        """Enrol a machine and run the script on it: its apt has no other source."""
        gate = gate or f"http://127.0.0.1:{self.ports['gate']}"
        script = self.site.ask("machine", "enroll", name, "--gate", gate, *words).out
        apt = Apt.new(self.folder / name, "")
        etc = apt.root / "etc"
        places = {"FIREDOOR_ETC": str(etc / "firedoor"), "FIREDOOR_APT": str(etc / "apt")}
        subprocess.run(["sh"], input=script, text=True, check=True, env=os.environ | places)
        until(lambda: apt.run("update").returncode == 0)
        return apt


@contextmanager
def up(fleet: Fleet) -> Iterator[int]:
    """The gate runs, and its first release is adopted; gives the supervisor's process id."""
    with running(fleet.site.path) as process:
        until(lambda: fleet.site.ask("release", "list", "debian").code == 0)
        until(lambda: fleet.site.boardings() == 1)
        until(lambda: console_answers(fleet.ports["console"]))
        yield process.pid


def policy(apt: Apt, *words: str) -> str:
    """What apt would do after an update; an upgrade, if nothing else is named."""
    time.sleep(2 * IDLE_S)  # whoever asks without a pause goes on in the session that he has
    assert apt.run("update").returncode == 0
    return apt.run("--simulate", *(words or ("upgrade",))).stdout
