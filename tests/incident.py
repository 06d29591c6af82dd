"""A bad release of signatures meets twelve machines, each on a network of its own.

``python -m tests.incident [--only NAME] [--times N]``, as root; ``make incident``.

A vendor, Firedoor and every machine have a network each. The vendor reaches nobody but Firedoor,
and no machine reaches anything but Firedoor. The machines are those of ``tests.host_life``: real
freshclam and clamd, set up once by the script of ``machine enroll``, and let alone from then on.

What happens is told on stderr; one line of JSON for each incident says what came of it. Who has
had the bad release is known three times: from Firedoor's records, from what lay on the machines
after each of their turns, and from what came over their cables, as the release is large. Exit code
1 if more machines were hurt than the budget, or one is not healed; 2 if there can be no
networks of their own here.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.clamav import MALFORMED, Freshclam, hashes, publish
from tests.host_life import CLEAN
from tests.networks import APART, ROOT, missing, plugged, python, switched
from tests.office import Site, console_answers, running
from tests.unit.cli.desk import run

HOSTS = 12
BUDGET = 3
TURNS = 2
"""For so many a machine has to live on before it is called well: harm may show in the second."""
PATIENCE_S = 120
CANNOT = 2
GATE = "http://10.83.0.1:8080"
INTAKE = "http://10.83.0.1:8081"
CONFIG = """
data = "firedoor-data"
[time]
bucket = "{bucket}ms"
heartbeat = "{heartbeat}ms"
silence_min = "{silence}ms"
settle = "{bucket}ms"
[policy]
budget = {budget}
soak = "{soak}ms"
[gate]
listen = "10.83.0.1:8080"
[intake]
listen = "10.83.0.1:8081"
[console]
listen = "127.0.0.1:8082"

[[channel]]
name = "vendor"
kind = "clamav"
upstream = "http://10.84.0.2:8000"
databases = ["lab.hdb"]
poll = "1h"
session_idle = "{idle}ms"
preflight = false

[[channel]]
name = "own"
kind = "clamav"
upstream = "{own}"
poll = "1h"
session_idle = "{idle}ms"
preflight = false
"""

OLD, NEW = b"an old virus", b"a new virus"
_BULK = [(f"Lab.Bulk-{number}", b"%d" % number) for number in range(20_000)]


@dataclass(frozen=True)
class Incident:
    """A release that does harm, and how.

    Attributes:
        name: What it is called.
        tests: Whether the machines' freshclam tests what it gets (``TestDatabases``).
        brings: What the release has besides new signatures that are good.
        harm: The kind of signal that a machine sends.
        remedy: The signature that has to be ignored for all the others to be used, or "".
    """

    name: str
    tests: bool
    brings: bytes
    harm: str
    remedy: str

    @property
    def release(self) -> bytes:
        """The database as the vendor publishes it."""
        return hashes(("Lab.Old", OLD), ("Lab.New", NEW), *_BULK) + self.brings


INCIDENTS = (
    Incident(
        "false-positive", True, hashes(("Lab.FP", CLEAN.read_bytes())), "false-positive", "Lab.FP"
    ),
    Incident("dead-scanner", False, MALFORMED, "service-failed", ""),
)
FIRST = hashes(("Lab.Old", OLD))


@dataclass
class Host:
    """A machine as it is looked at from outside.

    Attributes:
        client: Its directories.
        process: Its life.
    """

    client: Freshclam
    process: "subprocess.Popen[str]"

    @property
    def name(self) -> str:
        """As it is enrolled."""
        return self.client.root.name

    def turns(self) -> list[dict[str, Any]]:
        """What has become of it, turn by turn."""
        journal = self.client.root / "journal"
        if not journal.exists():
            return []
        lines = journal.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def last(self) -> dict[str, Any]:
        """Its last turn."""
        return self.turns()[-1]

    def settings(self) -> dict[str, bytes]:
        """All that somebody could have changed on it: every file but what freshclam brings."""
        files = (self.client.root / "etc").rglob("*")
        return {str(file): file.read_bytes() for file in files if file.is_file()}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an incident.

    Attributes:
        incident: Its name.
        hosts: Names of all machines.
        budget: Of the release.
        door: State and reason when nobody else got it.
        recorded: Machines that were given the release, by Firedoor's records.
        fetched: Machines on which it lay.
        received: Machines that more bytes came to than an ordinary life brings.
        hurt: Machines that came to harm.
        healed: Machines that were hurt, and are well by what they fetched themselves.
        used: Machines that use the release at the end and are well: it was shut, or remedied.
        touched: Machines of which anything is another than before the release.
        stopped_s: Seconds from the release to when nobody else got it.
        healed_s: Seconds from then to when all machines were well.
    """

    incident: str
    hosts: list[str]
    budget: int
    door: str
    recorded: list[str]
    fetched: list[str]
    received: list[str]
    hurt: list[str]
    healed: list[str]
    used: list[str]
    touched: list[str]
    stopped_s: float
    healed_s: float

    @property
    def contained(self) -> bool:
        """Whether a few were hurt, the others never had it, and all are well by themselves."""
        return (
            0 < len(self.hurt) <= len(self.fetched) <= self.budget < len(self.hosts)
            and set(self.hurt) <= set(self.fetched)
            and self.recorded == self.fetched == self.received
            and self.healed == self.hurt
            and self.used in ([], self.hosts)
            and not self.touched
        )


def play(incident: Incident, folder: Path, pace: float) -> Outcome:
    """Let it happen, in a network of the caller's own; all times are ``pace`` times as long."""
    with _stage(incident, folder, pace) as stage:
        site, hosts = stage.site, stage.hosts
        settings = {host.name: host.settings() for host in hosts}
        quiet = {host.name: host.last["received"] for host in hosts}
        publish(stage.vendor, lab_hdb=incident.release)
        bad = site.synced()
        published = time.monotonic()
        _say(f"{incident.name}: release {bad[:8]} is out")

        _until(lambda: _is_stopped(site, bad), "nobody else gets it")
        stopped = time.monotonic()
        door = " ".join(site.door(bad)[:2])
        _say(f"its door: {door}")
        if incident.remedy:
            _ignore(stage, incident.remedy, bad)
        else:
            _shut(stage, bad)
        found = {host.name: host.turns() for host in hosts}
        hurt = [name for name, turns in found.items() if any(turn["harm"] for turn in turns)]
        healed = time.monotonic()
        _say(f"{len(hurt)} of {len(hosts)} machines were hurt, and all are well")
        shown = site.ask("release", "machines", bad, "--json").json()
        digest = _digest(incident.release)

        if incident.remedy:
            _expedite(stage, digest, bad)
        return Outcome(
            incident=incident.name,
            hosts=[host.name for host in hosts],
            budget=BUDGET,
            door=door,
            recorded=sorted(each["machine"] for each in shown if each["arm"] == "treated"),
            fetched=[
                name
                for name, turns in found.items()
                if any(turn["has"].get("lab.hdb") == digest for turn in turns)
            ],
            received=[
                name
                for name, turns in found.items()
                if turns[-1]["received"] - quiet[name] > len(incident.release)
            ],
            hurt=hurt,
            healed=[name for name in hurt if not found[name][-1]["harm"]],
            used=[
                host.name
                for host in hosts
                if host.last["has"].get("lab.hdb") == digest and not host.last["harm"]
            ],
            touched=[
                host.name
                for host in hosts
                if host.settings() != settings[host.name] or host.process.poll() is not None
            ],
            stopped_s=round(stopped - published, 1),
            healed_s=round(healed - stopped, 1),
        )


def main() -> int:
    """Play the incidents; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[each.name for each in INCIDENTS])
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument(
        "--pace", type=float, default=1.0, help="2 takes twice as long, for a busy machine"
    )
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not chosen.apart:
        if why := missing():
            print(f"error: no networks can be made here: {why}\nhint: run it as root")
            return CANNOT
        # In place of this process, so that whoever ends it ends everything.
        os.chdir(ROOT)
        os.execvp(APART[0], [*APART, *python("tests.incident", *sys.argv[1:], "--apart")])  # noqa: S606 - no shell
    switched("machines", "10.83.0.1/24")
    switched("vendors", "10.84.0.1/24")
    played = []
    for incident in INCIDENTS * chosen.times:
        if chosen.only in (None, incident.name):
            folder = Path(tempfile.mkdtemp(prefix="incident-"))
            try:
                played.append(play(incident, folder, chosen.pace))
            except AssertionError as error:
                print(f"error: {error}\nhint: what everybody said lies in {folder}")
                return 1
            print(json.dumps(asdict(played[-1])), flush=True)
            if played[-1].contained:
                shutil.rmtree(folder)
            else:
                _say(f"{incident.name}: not contained; what everybody said lies in {folder}")
    for name in dict.fromkeys(each.incident for each in played):
        hurt = sorted(len(each.hurt) for each in played if each.incident == name)
        _say(f"{name}: hurt {hurt}, of {HOSTS} machines each time; budget {BUDGET}")
    return 0 if all(each.contained for each in played) else 1


@dataclass
class _Stage:
    site: Site
    vendor: Path
    own: Path
    hosts: list[Host] = field(default_factory=list)

    @property
    def operator(self) -> Site:
        """The channel of databases of our own."""
        return Site(self.site.path, self.own, "own")


@contextlib.contextmanager
def _stage(incident: Incident, folder: Path, pace: float) -> Iterator[_Stage]:
    vendor, own, home = folder / "vendor", folder / "own", folder / "firedoor"
    publish(vendor, lab_hdb=FIRST)
    publish(own, ignored_ign2=b"# nothing is ignored\n")
    assert run("init", str(home)).code == 0
    path = home / "firedoor.toml"
    path.write_text(_config(own, pace))
    stage = _Stage(Site(path, vendor, "vendor"), vendor, own)
    serving = [sys.executable, "-m", "http.server", "8000", "--directory", str(vendor)]
    with contextlib.ExitStack() as ends:
        ends.enter_context(plugged(serving, "vendors", 0, "10.84.0.2/24", log=folder / "served"))
        ends.enter_context(running(path))
        channels = (stage.site, stage.operator)
        _until(lambda: all(_has_release(each) for each in channels), "both channels have a release")
        _until(lambda: console_answers(8082), "the console answers")
        _say("Firedoor is up")
        for number in range(1, HOSTS + 1):
            stage.hosts.append(
                ends.enter_context(_host(stage.site, folder, number, incident, pace))
            )
        _say(f"{HOSTS} machines are up")
        _until(
            lambda: (
                all(len(host.turns()) > 3 for host in stage.hosts)
                and all(_is_heard(stage.site, host) for host in stage.hosts)
            ),
            "the machines are known",
        )
        yield stage


@contextlib.contextmanager
def _host(site: Site, folder: Path, number: int, incident: Incident, pace: float) -> Iterator[Host]:
    name = _name(number)
    client = Freshclam.new(folder / name, tests=incident.tests)
    scanner = client.root / "etc/clamd.conf"
    scanner.write_text(
        f"DatabaseDirectory {client.root}/db\nLocalSocket {client.root}/clamd.sock\n"
        "Foreground yes\nUser root\n"
    )
    with client.conf.open("a") as conf:
        conf.write(f"NotifyClamd {scanner}\n")
    (client.root / "virus").write_bytes(OLD)
    enrol = site.ask("machine", "enroll", name, "--gate", GATE, "--intake", INTAKE)
    client.enroll(enrol.out)
    living = python("tests.host_life", str(client.root), "--pause", str(pace))
    address = f"10.83.0.{number + 1}/24"
    with plugged(living, "machines", number, address, log=client.root / "said") as process:
        yield Host(client, process)


def _config(own: Path, pace: float) -> str:
    times = {"bucket": 200, "heartbeat": 2000, "silence": 8000, "soak": 5000, "idle": 500}
    return CONFIG.format(
        budget=BUDGET, own=own, **{name: round(ms * pace) for name, ms in times.items()}
    )


def _shut(stage: _Stage, bad: str) -> None:
    """Take a release back, where nobody has yet, and wait until that has reached everybody."""
    if stage.site.door(bad)[0] == "held":
        # In a fleet this small the budget is spent before the evidence is enough to shut it.
        assert stage.site.act("release", "shut", bad).code == 0
    _lives_on(stage, lambda host: host.last["has"].get("lab.hdb") == _digest(FIRST))


def _ignore(stage: _Stage, signature: str, bad: str) -> None:
    """Have one signature ignored by all machines."""
    own = stage.operator
    assert signature in own.ask("release", "remedy", bad).out.splitlines()
    ignored = f"{signature}\n".encode()
    publish(stage.own, ignored_ign2=ignored)
    assert own.act("release", "expedite", own.synced(), "--all").code == 0
    _lives_on(stage, lambda host: host.last["has"].get("ignored.ign2") == _digest(ignored))


def _expedite(stage: _Stage, digest: str, release: str) -> None:
    """Let everybody have a release."""
    assert stage.site.act("release", "expedite", release, "--all").code == 0
    _lives_on(stage, lambda host: host.last["has"].get("lab.hdb") == digest)
    _say("all machines use the release, without its bad signature")


def _lives_on(stage: _Stage, done: Callable[[Host], bool]) -> None:
    """Wait until it is done on every machine, and each has lived well for some turns since."""
    _until(lambda: all(map(done, stage.hosts)), "the machines have fetched it")
    then = {host.name: len(host.turns()) for host in stage.hosts}
    _until(
        lambda: all(
            len(host.turns()) > then[host.name] + TURNS and not host.last["harm"]
            for host in stage.hosts
        ),
        "the machines are well",
    )


def _is_stopped(site: Site, release: str) -> bool:
    return site.door(release)[:2] in (("shut", "harmful"), ("held", "budget spent"))


def _has_release(site: Site) -> bool:
    said = site.ask("release", "list", site.channel, "--json")
    return said.code == 0 and bool(said.json())


def _is_heard(site: Site, host: Host) -> bool:
    return bool(site.ask("machine", "show", host.name, "--json").json()["heartbeats"])


def _until(done: Callable[[], object], what: str) -> None:
    """Wait, but not for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.5)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _name(number: int) -> str:
    return f"scan-{number:02}"


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
