"""The rescue of ``machine enroll --rescue``, run as its units run it, before a real gate.

Machines that really boot, and boot again, are in ``tests/bench/boots.py``.
"""

import os
import subprocess
from pathlib import Path

import pytest
from tests.apt_fleet import Fleet, policy, up
from tests.debian import SUITE, Apt, Archive
from tests.office import until

from firedoor.adapters.store.signals import SignalReader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def rescue(apt: Apt, verb: str) -> "subprocess.CompletedProcess[str]":
    """Run the script as a unit does; apt keeps to the directory of its own."""
    places = {
        "APT_CONFIG": str(apt.root / "apt.conf"),
        "STATE_DIRECTORY": str(apt.root / "var/lib"),
        "RUNTIME_DIRECTORY": str(apt.root / "run"),
    }
    return subprocess.run(
        [apt.root / "etc/firedoor/rescue", verb],
        env=os.environ | places,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("form", [(), ("--one-line",)])
def test_a_machine_goes_back_to_what_the_gate_offers_and_to_nothing_else(
    tmp_path: Path, form: tuple[str, ...]
) -> None:
    """Verbatim: apt by itself never takes an older index, and would stay at the bad package."""
    fleet = Fleet(tmp_path)
    site, archive = fleet.site, fleet.archive
    archive.add("shared", "1")
    archive.publish()
    intake = f"http://127.0.0.1:{fleet.ports['intake']}"
    with up(fleet):
        apt = fleet.machine("web-1", "--rescue", "--intake", intake, *form)
        assert apt.run("install", "tool", "other", "shared").returncode == 0
        offered = rescue(apt, "heal")
        assert "the gate offers what is installed" in offered.stdout
        assert apt.has("tool") == "1.0"

        # Newer than what the gate has: put in by hand, and from a source that is still there.
        archive.add("other", "9")
        archive.remove("other", "9")
        by_hand = archive.root / "pool/main/o/other/other_9_all.deb"
        assert apt.run("install", str(by_hand)).returncode == 0
        elsewhere = Archive.new(tmp_path / "elsewhere")
        elsewhere.add("shared", "1+fixed")
        elsewhere.publish()
        (apt.root / "etc/apt/sources.list").write_text(
            f"deb [signed-by={elsewhere.keyring}] file:{elsewhere.root} {SUITE} main\n"
        )
        archive.add("tool", "1.1")
        archive.publish()
        bad = site.synced()
        assert site.act("release", "expedite", bad, "--all").code == 0
        until(lambda: "1.1" in policy(apt))
        assert apt.run("upgrade").returncode == 0
        assert (apt.has("tool"), apt.has("shared")) == ("1.1", "1+fixed")

        assert site.act("release", "shut", bad).code == 0
        until(lambda: site.door(bad)[0] == "shut")
        assert "1.0" not in policy(apt)
        # Reset in the middle of an installation: dpkg has notes that nobody has read.
        known = (apt.root / "var/lib/dpkg/status").read_text().split("\n\n")
        (installed,) = [each for each in known if each.startswith("Package: tool\n")]
        (apt.root / "var/lib/dpkg/updates/0001").write_text(
            installed.replace("ok installed", "ok half-configured").rstrip() + "\n"
        )
        assert "dpkg was interrupted" in apt.run("upgrade").stderr

        done = rescue(apt, "heal")

        assert "this machine has what the gate offers" in done.stdout, done.stderr
        assert (apt.has("tool"), apt.has("other"), apt.has("shared")) == ("1.0", "9", "1+fixed")
        assert "0 upgraded" in policy(apt)
    # Both times it was the same boot.
    (heard,) = SignalReader(tmp_path / "firedoor-data/intake.db").events_after(0, 10)
    assert heard.event.kind == "boot-unclean"
