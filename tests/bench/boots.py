"""Machines that boot again and again: real Debians, whose process 1 is systemd.

``make soak``, or ``python -m pytest tests/bench/boots.py`` as root after
``scripts/bootable-debian``.
"""

import contextlib
import gzip
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import urllib3
from tests.apt_fleet import Fleet, up
from tests.booted import BOOTABLE, Booted, check_inotify
from tests.debian import SUITE
from tests.office import Site, until

from firedoor.adapters.store.signals import SignalReader

pytestmark = [
    pytest.mark.timeout(600),
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


REAL = 4
PLAYED = 40
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


def with_heartbeats(booted: Booted) -> Booted:
    """What the script of the enrolment tells to run for signs of life."""
    for word in ("link", "enable"):
        for suffix in ("service", "timer"):
            booted.run("systemctl", word, f"/etc/firedoor/firedoor-heartbeat.{suffix}")
    return booted


def version(booted: Booted) -> str:
    """Version of the tool as its own file says."""
    return booted.read("usr/share/tool/version").strip()


def upgrades(booted: Booted) -> int:
    """How often it has looked for upgrades by itself."""
    return booted.journal().count("Finished upgrade.service")


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
        done = upgrades(rescued)
        until(lambda: upgrades(rescued) > done + 2)
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
    until(lambda: REACHED in looping.journal(), 90)
    assert "the gate does not answer: booting on" in looping.journal()
    assert version(looping) == "1.0"


def is_shut(site: Site, release: str) -> bool:
    """Whether its door is."""
    return site.door(release)[0] == "shut"


class Crowd:
    """Machines that are only played: they read what apt reads, and are gone once they have 1.x."""

    def __init__(self, fleet: Fleet, count: int) -> None:
        """They are enrolled, with one collector that speaks for all of them."""
        names = fleet.folder / "names"
        names.write_text("".join(f"played-{number}\n" for number in range(count)))
        made = fleet.site.ask("machine", "enroll", "--from", str(names)).out.splitlines()
        collector = fleet.site.ask("machine", "enroll", "relay", "--collector", "played-*").json()
        self._signals = f"http://127.0.0.1:{fleet.ports['intake']}/m/{collector['signal']}"
        self._gate = f"http://127.0.0.1:{fleet.ports['gate']}"
        self._read = {row["machine"]: row["read"] for row in map(json.loads, made)}

    def live(self, done: Callable[[], bool], patience_s: float) -> None:
        """All of them poll and beat once in some seconds, until it is done."""
        deadline = time.monotonic() + patience_s
        while not done():
            assert time.monotonic() < deadline, "waited in vain"
            said = []
            for name, token in list(self._read.items()):
                kind = "boot-unclean" if self._polls(token) else "heartbeat"
                said.append({"machine": name, "time": int(time.time() * 1000), "kind": kind})
                if kind == "boot-unclean":
                    del self._read[name]
            self._say(said)
            time.sleep(1)

    def _polls(self, token: str) -> bool:
        """Read the indices and what is new; whether that was bad."""
        here = f"{self._gate}/m/{token}/debian"
        _got(f"{here}/dists/{SUITE}/InRelease")
        index = gzip.decompress(_got(f"{here}/dists/{SUITE}/main/binary-amd64/Packages.gz"))
        bad = re.search(rb"^Filename: (.*/tool_1\.[1-9]_all\.deb)$", index, re.MULTILINE)
        if bad is not None:
            _got(f"{here}/{bad[1].decode()}")
        return bad is not None

    def _say(self, signals: list[dict[str, object]]) -> None:
        body = "\n".join(map(json.dumps, signals)).encode()
        kind = {"Content-Type": "application/x-ndjson"}
        reply = urllib3.request("POST", f"{self._signals}/v1/signals", body=body, headers=kind)
        assert reply.status == 200


def _got(url: str) -> bytes:
    reply = urllib3.request("GET", url, timeout=30)
    assert reply.status == 200, url
    return reply.data


def test_what_the_rescues_say_shuts_the_door_and_the_machines_come_back(
    tmp_path: Path, plugs: ExitStack
) -> None:
    """No person does anything: loops are heard, the judge shuts, machines go back.

    Who gets a release is drawn by lot: a loop among the few that really boot may take a second.
    """
    fleet = Fleet(tmp_path)
    site = fleet.site
    # Real machines on few cores: their hearts beat more slowly than a test's clockwork.
    text = site.path.read_text()
    for key, value in {"heartbeat": "5s", "silence_min": "30s"}.items():
        text = re.sub(rf'^{key} = ".*"$', f'{key} = "{value}"', text, flags=re.MULTILINE)
    site.path.write_text(text)
    with up(fleet):
        machines = [
            with_heartbeats(machine(fleet, plugs, f"web-{number}", "--rescue"))
            for number in range(REAL)
        ]
        for each in machines:
            each.switch_on()
        crowd = Crowd(fleet, PLAYED)
        crowd.live(lambda: all(upgrades(each) > 1 for each in machines), 60)

        for last in range(1, 5):
            fleet.archive.remove("tool", f"1.{last - 1}")
            fleet.archive.add("tool", f"1.{last}", files=LOOPS, scripts=STARTS)
            fleet.archive.publish()
            bad = site.synced()
            crowd.live(partial(is_shut, site, bad), 150)
            assert site.door(bad)[1] == "harmful"
            if any(each.boots > 1 for each in machines):
                break

        looped = [each for each in machines if each.boots > 1]
        assert looped
        crowd.live(lambda: all(version(each) == "1.0" for each in machines), 60)
        boots = [each.boots for each in machines]
        done = [upgrades(each) for each in machines]
        crowd.live(
            lambda: all(upgrades(each) > n + 1 for each, n in zip(machines, done, strict=True)), 60
        )
        assert boots == [each.boots for each in machines]
    with contextlib.closing(SignalReader(tmp_path / "firedoor-data/intake.db")) as signals:
        told = {each.event.machine for each in signals.events_after(0, 1_000)}
    numbers = {row["name"]: row["no"] for row in site.ask("machine", "list", "--json").json()}
    assert {numbers[each.name] for each in looped} <= told
