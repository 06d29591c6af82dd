"""A Debian that really boots: systemd as process 1, in a container of systemd-nspawn.

``scripts/bootable-debian`` makes the root that all of them share; what one writes is its own. It
has the host's network, so it reaches what listens on loopback. Only root can boot one.
"""

import contextlib
import ctypes
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

BOOTABLE = Path(__file__).parents[1] / ".tools/bootable"
REBOOT = 133  # how systemd-nspawn --keep-unit ends when its machine reboots
_HIERARCHIES = [
    Path("/sys/fs/cgroup") / each
    for each in ("unified", "systemd", "")
    if (Path("/sys/fs/cgroup") / each / "cgroup.procs").exists()
]


class Booted:
    """A machine with a disk of its own, which boots again whenever it reboots.

    Attributes:
        name: Of the machine.
        root: What its disk has, also while it is down.
        boots: How often it was started.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """A fresh disk; nothing runs."""
        self.name = name
        self.root = folder / name / "root"
        self.boots = 0
        self._own = folder / name / "own"
        self._work = folder / name / "work"
        for each in (self.root, self._own, self._work):
            each.mkdir(parents=True)
        (self._own / "var/log/journal").mkdir(parents=True)
        self._console = folder / name / "console"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._live)

    @contextlib.contextmanager
    def plugged_in(self) -> Iterator["Booted"]:
        """The disk is there, and in the end nothing is left of it but files."""
        layers = f"lowerdir={BOOTABLE},upperdir={self._own},workdir={self._work}"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", self.root], check=True)
        try:
            yield self
        finally:
            self._stopped.set()
            for switch in (each / "cgroup.kill" for each in self._groups()):
                if switch.exists():
                    switch.write_text("1")
            if self._thread.is_alive():
                self._thread.join(20)
            subprocess.run(["umount", "--lazy", self.root], check=True)
            for each in self._groups():
                _take_away(each)

    def run(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command on the disk while the machine is down."""
        return subprocess.run(
            ["chroot", self.root, *words],
            env={"PATH": "/usr/sbin:/usr/bin", "SYSTEMD_OFFLINE": "1", "LC_ALL": "C"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def write(self, path: str, text: str) -> None:
        """Put a file on the disk."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, path: str) -> str:
        """What a file on the disk has; "" where there is none."""
        with contextlib.suppress(FileNotFoundError):
            return (self.root / path).read_text(errors="replace")
        return ""

    def switch_on(self) -> None:
        """From now on it boots, and boots again."""
        self._thread.start()

    def console(self) -> str:
        """What it has printed in all its boots."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def journal(self) -> str:
        """What it has written down in all its boots, as its journal still knows it."""
        command = ["journalctl", "-q", "--no-pager", "-D", str(self.root / "var/log/journal")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    def _groups(self) -> list[Path]:
        return [each / f"firedoor-{os.getpid()}-{self.name}" for each in _HIERARCHIES[:2]]

    def _live(self) -> None:
        """Boot until somebody switches it off; a bounded number of times."""
        groups = self._groups()
        for group in groups:
            group.mkdir(exist_ok=True)
        enter = "; ".join(f"echo $$ >{shlex.quote(str(each))}/cgroup.procs" for each in groups)
        # systemd-nspawn wants a /run in memory, and a place of its own for what it keeps there.
        container = (
            f"{enter}; mount -t tmpfs tmpfs /run && exec systemd-nspawn --quiet --register=no "
            f"--keep-unit --console=pipe --link-journal=no --timezone=off --resolv-conf=off "
            f"--machine={self.name} --directory={shlex.quote(str(self.root))} --boot"
        )
        environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        while not self._stopped.is_set() and self.boots < 100:
            self.boots += 1
            with self._console.open("ab") as console:
                done = subprocess.run(
                    ["unshare", "--mount", "--propagation", "private", "sh", "-c", container],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    check=False,
                )
            if done.returncode != REBOOT:
                return


def check_inotify() -> None:
    """Say why systemd would end at once, without a word, where the host has no inotify left."""
    instance = ctypes.CDLL(None).inotify_init1(os.O_CLOEXEC)
    assert instance >= 0, "no inotify instance is left: sysctl fs.inotify.max_user_instances=1024"
    os.close(instance)


def _take_away(group: Path) -> None:
    """Remove an empty control group with all that is in it."""
    folders = [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]
    deadline = time.monotonic() + 10
    while folders:
        try:
            folders[0].rmdir()
        except OSError:  # what was killed there is not gone yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            folders.pop(0)
