"""Journals for tests: export text, journal files made of it, and the real client that uploads them.

systemd's own programs make and send the files, so what is tested is what machines send.
"""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REMOTE = "/lib/systemd/systemd-journal-remote"
UPLOAD = "/lib/systemd/systemd-journal-upload"
MACHINE = "0123456789abcdef0123456789abcdef"

STARTED = {
    "MESSAGE_ID": "f77379a8490b408bbe5f6940505a777b",
    "_TRANSPORT": "driver",
    "MESSAGE": "Journal started",
}
STOPPED = {
    "MESSAGE_ID": "d93fb3c9c24d451a97cea615ce59c00b",
    "_TRANSPORT": "driver",
    "MESSAGE": "Journal stopped",
}
UNIT_FAILED = {
    "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c",
    "_PID": "1",
    "UNIT": "sensor.service",
    "UNIT_RESULT": "exit-code",
    "MESSAGE": "sensor.service: Failed with result 'exit-code'.",
}


def exported(fields: Mapping[str, str | bytes]) -> bytes:
    """One entry in the export format; bytes become a binary field."""
    out = bytearray()
    for name, value in fields.items():
        if isinstance(value, bytes):
            out += name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
        else:
            out += f"{name}={value}\n".encode()
    return bytes(out) + b"\n"


@dataclass
class Writer:
    """Writes a machine's journal as export text.

    Attributes:
        now_ms: The machine's clock, Unix ms; moves on with every entry.
        boot: Present boot.
        machine: Its machine id.
        step_ms: From one entry to the next.
        entries: What was written.
    """

    now_ms: int
    boot: str = "a" * 32
    machine: str = MACHINE
    step_ms: int = 1_000
    entries: list[bytes] = field(default_factory=list)
    _up_ms: int = 1_000

    def boots(self, letter: str) -> None:
        """Another boot begins; its identity is made of one letter."""
        self.boot = letter * 32
        self._up_ms = 1_000
        self.say(**STARTED)

    def say(self, **fields: str | bytes) -> bytes:
        """One entry, a step after the last."""
        self.now_ms += self.step_ms
        self._up_ms += self.step_ms
        number = len(self.entries) + 1
        cursor = f"s={'5' * 32};i={number:x};b={self.boot};m={self._up_ms * 1000:x}"
        entry = exported(
            {
                "__CURSOR": f"{cursor};t={self.now_ms * 1000:x};x={number:x}",
                "__REALTIME_TIMESTAMP": f"{self.now_ms * 1000}",
                "__MONOTONIC_TIMESTAMP": f"{self._up_ms * 1000}",
                "_BOOT_ID": self.boot,
                "_MACHINE_ID": self.machine,
                "_HOSTNAME": "till-1",
                "PRIORITY": "6",
                "MESSAGE": f"entry {number}",
                **fields,
            }
        )
        self.entries.append(entry)
        return entry

    def passes(self, ms: int) -> None:
        """Time in which nothing is logged."""
        self.now_ms += ms
        self._up_ms += ms

    def stop(self) -> None:
        """The machine is shut down as it should be."""
        self.say(**STOPPED)

    def text(self) -> bytes:
        """All of it."""
        return b"".join(self.entries)


def journal_file(text: bytes, path: Path) -> Path:
    """A journal file with these entries; more may be added by calling it again."""
    subprocess.run(
        [REMOTE, f"--output={path}", "-"], input=text, check=True, capture_output=True, timeout=60
    )
    return path


def upload(url: str, file: Path, cursor: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """Send a file to its end with the real client, from where it has got before."""
    command = [
        UPLOAD,
        f"--url={url}",
        f"--file={file}",
        f"--save-state={cursor}",
        "--follow=no",
        *more,
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def joined(entries: Iterable[bytes]) -> bytes:
    """Entries in a row."""
    return b"".join(entries)
