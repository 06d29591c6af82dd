"""Databases of ClamAV, a vendor's signed ones and our own, and a machine with freshclam."""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.debian import replace

_ROOT = Path(__file__).parent.parent
_SIGNED = _ROOT / ".tools/clamav"


def signed(version: int) -> bytes:
    """The vendor's own test database of this version, 3 to 6 with signatures in it."""
    path = _SIGNED / f"test-{version}.cvd"
    if not path.exists():
        done = subprocess.run(
            [_ROOT / "scripts/vendor-databases"], capture_output=True, check=False, timeout=120
        )
        if done.returncode:
            pytest.skip(done.stderr.decode().strip().splitlines()[-1])
    return path.read_bytes()


def hashes(*named: tuple[str, bytes]) -> bytes:
    """A database that finds files by their bytes: (name of the signature, the file's bytes)."""
    lines = (
        f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}:{len(data)}:{name}\n"
        for name, data in named
    )
    return "".join(lines).encode()


MALFORMED = b"this is no hash\n"
"""What freshclam finds out when it loads it."""


@dataclass
class Freshclam:
    """A machine's freshclam, in a directory of its own.

    Attributes:
        root: Has ``etc/freshclam.conf`` and ``db``.
    """

    root: Path

    @classmethod
    def new(cls, root: Path, *, tests: bool = True) -> "Freshclam":
        """As the package leaves it, but for its places; ``tests`` whether it loads what it got."""
        (root / "db").mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "etc/freshclam.conf").write_text(
            f"DatabaseOwner root\nUpdateLogFile {root}/log\nDatabaseDirectory {root}/db\n"
            "DNSDatabaseInfo current.cvd.clamav.net\nDatabaseMirror db.local.clamav.net\n"
            f"ScriptedUpdates yes\nTestDatabases {'yes' if tests else 'no'}\n"
        )
        return cls(root)

    @property
    def conf(self) -> Path:
        """Its configuration."""
        return self.root / "etc/freshclam.conf"

    def enroll(self, script: str) -> str:
        """Run the script of ``machine enroll`` on it; what that said to its reader."""
        etc = self.root / "etc"
        places = {"FIREDOOR_ETC": str(etc / "firedoor"), "FIREDOOR_CLAMAV": str(etc)}
        done = subprocess.run(
            ["sh"], input=script, text=True, check=True, env=os.environ | places, stderr=-1
        )
        return done.stderr

    def run(self) -> "subprocess.CompletedProcess[str]":
        """One update, as its timer or daemon makes it."""
        return subprocess.run(
            ["freshclam", f"--config-file={self.conf}", "--stdout"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self) -> "subprocess.Popen[bytes]":
        """One update that the test does not wait for."""
        return subprocess.Popen(
            ["freshclam", f"--config-file={self.conf}", "--quiet"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def addresses(self) -> list[str]:
        """What its configuration asks for, in order."""
        lines = (line.split() for line in self.conf.read_text().splitlines())
        return [words[1] for words in lines if words and words[0] == "DatabaseCustomURL"]

    def has(self, name: str) -> bytes:
        """A database as it is installed; empty where it is not."""
        file = self.root / "db" / name
        return file.read_bytes() if file.exists() else b""

    def finds(self, file: Path) -> str:
        """Name of the signature that clamscan finds in a file with these databases, or ""."""
        done = subprocess.run(
            ["clamscan", "--no-summary", "-d", str(self.root / "db"), str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        _, _, said = done.stdout.strip().partition(": ")
        return said.removesuffix(" FOUND") if said.endswith(" FOUND") else ""


def publish(folder: Path, **files: bytes) -> None:
    """Put databases into a vendor's directory; ``lab_hdb`` is ``lab.hdb``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        replace(folder / name.replace("_", "."), data)
