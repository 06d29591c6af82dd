"""Machines that boot again and again: real Debians, whose process 1 is systemd.

``make soak``, or ``python -m pytest tests/bench/boots.py`` as root after
``scripts/bootable-debian``.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.apt_fleet import Fleet, up
from tests.booted import BOOTABLE, Booted, check_inotify
from tests.office import until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        os.geteuid() != 0 or not BOOTABLE.exists(), reason="as root, after scripts/bootable-debian"
    ),
]

# As a vendor's driver or sensor does: started when it is installed and at every boot.
LOOPS = {
    "lib/systemd/system/tool.service": """
[Service]
Type=oneshot
ExecStart=systemctl reboot --force --force
[Install]
WantedBy=multi-user.target
"""
}
STARTS = {
    "postinst": "#!/bin/sh\nset -e\nsystemctl daemon-reload\n"
    "systemctl enable tool\nsync\nsystemctl start tool\n"
}
UPGRADES = """
[Service]
Type=oneshot
ExecStart=apt-get -q update
ExecStart=apt-get -q -y upgrade
"""
AGAIN = """
[Timer]
OnActiveSec=1
OnUnitInactiveSec=2
AccuracySec=100ms
[Install]
WantedBy=timers.target
"""


REACHED = "Reached target multi-user.target"


@pytest.fixture
def plugs() -> Iterator[ExitStack]:
    """What is plugged in here is taken out in the end."""
    check_inotify()
    with ExitStack() as stack:
        yield stack


def machine(fleet: Fleet, plugs: ExitStack, name: str, *words: str) -> Booted:
    """A Debian that was enrolled, has tool 1.0 and upgrades by itself; it is down yet."""
    gate, intake = (f"http://127.0.0.1:{fleet.ports[role]}" for role in ("gate", "intake"))
    given = fleet.site.ask("machine", "enroll", name, "--gate", gate, "--intake", intake, *words)
    booted = plugs.enter_context(Booted(fleet.folder / "machines", name).plugged_in())
    done = booted.run("sh", stdin=given.out)
    assert done.returncode == 0, done.stderr
    until(lambda: booted.run("apt-get", "update").returncode == 0)
    done = booted.run("apt-get", "install", "-y", "tool")
    assert done.returncode == 0, done.stderr
    booted.write("etc/systemd/system/upgrade.service", UPGRADES)
    booted.write("etc/systemd/system/upgrade.timer", AGAIN)
    booted.run("systemctl", "enable", "upgrade.timer")
    return booted


def version(booted: Booted) -> str:
    """Version of the tool as its own file says."""
    return booted.read("usr/share/tool/version").strip()


def booting_on(booted: Booted, *, more: int) -> Callable[[], bool]:
    """Whether it has booted so many times more, from now."""
    before = booted.boots
    return lambda: booted.boots >= before + more


def test_only_a_machine_with_the_rescue_comes_back_once_the_door_is_shut(
    tmp_path: Path, plugs: ExitStack
) -> None:
    """Verbatim, so not even apt's own next run would go back; and the loop never reaches it."""
    fleet = Fleet(tmp_path)
    site = fleet.site
    with up(fleet):
        rescued = machine(fleet, plugs, "web-1", "--rescue")
        other = machine(fleet, plugs, "web-2")
        for each in (rescued, other):
            each.switch_on()

        fleet.archive.add("tool", "1.1", files=LOOPS, scripts=STARTS)
        fleet.archive.publish()
        bad = site.synced()
        assert site.act("release", "expedite", bad, "--all").code == 0
        for each in (rescued, other):
            until(booting_on(each, more=4))
            assert version(each) == "1.1"

        assert site.act("release", "shut", bad).code == 0
        until(lambda: version(rescued) == "1.0")
        boots = rescued.boots
        # It goes on upgrading by itself, and stays what it is.
        done = rescued.journal().count("Finished upgrade.service")
        until(lambda: rescued.journal().count("Finished upgrade.service") > done + 2)
        until(booting_on(other, more=5))
        assert (rescued.boots, version(rescued), version(other)) == (boots, "1.0", "1.1")


def test_a_gate_that_is_down_delays_no_healthy_boot_and_stops_no_other(
    tmp_path: Path, plugs: ExitStack
) -> None:
    """A rescue that waited for ever would be a worse loop; a minute is all it has."""
    fleet = Fleet(tmp_path)
    with up(fleet):
        healthy, looping = (machine(fleet, plugs, name, "--rescue") for name in ("a", "b"))
    healthy.write("var/lib/firedoor/boots", "1\n")
    looping.write("var/lib/firedoor/boots", "2\n")
    for each in (healthy, looping):
        each.switch_on()

    until(lambda: REACHED in healthy.journal())
    assert "asking the gate" not in healthy.journal()
    assert healthy.read("var/lib/firedoor/boots") == "2\n"
    until(lambda: "asking the gate" in looping.journal())
    assert REACHED not in looping.journal()
    until(lambda: REACHED in looping.journal(), patience_s=90)
    assert "the gate does not answer: booting on" in looping.journal()
    assert version(looping) == "1.0"
