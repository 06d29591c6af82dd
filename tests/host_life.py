"""The life of a machine with ClamAV, on a network of its own: ``python -m tests.host_life FOLDER``.

Nobody talks to it. Its freshclam runs again and again, as its timer has it; its scanner is told by
freshclam that there is something new, and started again now and then, as machines are; a heartbeat
is sent by the program that ``machine enroll`` has written. What a check of the machine finds is
sent by curl, with the credentials that lie beside that program.

What has become of it is written, a line of JSON for each turn, into ``FOLDER/journal``.
"""

import argparse
import contextlib
import hashlib
import json
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CLEAN = Path("/bin/ls")
"""A file of every system, which no signature should know."""

INTAKE = "http://10.83.0.1:8081"


class Host:
    """A machine.

    Args:
        folder: Has ``etc``, ``db`` and ``virus``, a file that is to be found.
        starts: In how many turns the scanner is started again once.
    """

    def __init__(self, folder: Path, starts: int) -> None:
        self._folder = folder
        self._conf = folder / "etc/clamd.conf"
        self._socket = folder / "clamd.sock"
        self._starts = starts
        self._told = ""
        self._scanner: subprocess.Popen[bytes] | None = None

    def turn(self, number: int) -> Mapping[str, Any]:
        """One update, one check of the machine; what has become of it."""
        updated = self._run("freshclam", f"--config-file={self._folder}/etc/freshclam.conf")
        if number % self._starts == 0:
            self._start()
        harm = self._harm()
        if harm != self._told and (not harm or self._tells(harm)):
            self._told = harm
        return {
            "turn": number,
            "freshclam": updated.returncode,
            "harm": harm,
            "told": self._told,
            "has": {file.name: _hash(file) for file in sorted(self._folder.glob("db/*.*"))},
            "finds": self._finds(self._folder / "virus"),
            "received": _received(),
        }

    def _start(self) -> None:
        """Stop the scanner and start it, as a boot does."""
        if self._scanner:
            self._scanner.terminate()
            self._scanner.wait()
        self._socket.unlink(missing_ok=True)
        with (self._folder / "clamd.log").open("ab") as log:
            self._scanner = subprocess.Popen(
                ["clamd", f"--config-file={self._conf}"], stdout=log, stderr=log
            )
        for _ in range(1000):
            if self._scanner.poll() is not None or self._socket.exists():
                break
            time.sleep(0.02)

    def _harm(self) -> str:
        """What is wrong here, as a kind of signal."""
        if self._scanner and self._scanner.poll() is not None:
            return "service-failed"
        return "false-positive" if self._finds(CLEAN) else ""

    def _finds(self, file: Path) -> str:
        """Name of the signature that the running scanner finds in a file, or ""."""
        done = self._run(
            "clamdscan", "--no-summary", f"--config-file={self._conf}", "--stdout", str(file)
        )
        _, _, said = done.stdout.strip().partition(": ")
        return said.removesuffix(" FOUND") if said.endswith(" FOUND") else ""

    def _tells(self, kind: str) -> bool:
        signal = {
            "machine": self._folder.name,
            "time": datetime.now(UTC).isoformat(),
            "kind": kind,
        }
        words = ["curl", "-fsS", "-m", "5", "-o", "/dev/null"]
        words += ["--netrc-file", str(self._folder / "etc/firedoor/intake.netrc")]
        words += ["-H", "Content-Type: application/x-ndjson", "--data-binary", json.dumps(signal)]
        return self._run(*words, f"{INTAKE}/v1/signals").returncode == 0

    def _run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        # What goes wrong here is found in what it does, not taken for the end of the machine.
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        return subprocess.CompletedProcess(words, -1, "", "")


def main() -> None:
    """Live until somebody ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pause", type=float, default=1.0, help="between two turns, seconds")
    parser.add_argument("--starts", type=int, default=2, help="turns between starts of the scanner")
    chosen = parser.parse_args()
    host = Host(chosen.folder, chosen.starts)
    heartbeat = chosen.folder / "etc/firedoor/heartbeat"
    # A little sooner than every two pauses, as it is configured: whoever is late is taken for gone.
    often = f"while sleep {1.2 * chosen.pause}; do '{heartbeat}'; done"
    subprocess.Popen(["sh", "-c", often])
    number = 0
    with (chosen.folder / "journal").open("a") as journal:
        while True:
            print(json.dumps(host.turn(number)), file=journal, flush=True)
            number += 1
            time.sleep(chosen.pause)


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _received() -> int:
    """Bytes that have come in by the one cable."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "eth0":
            return int(counts.split()[0])
    return 0


if __name__ == "__main__":
    main()
