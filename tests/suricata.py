"""A vendor of rules, and a machine's own suricata-update."""

import hashlib
import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.debian import replace

FEED = "vendor.rules.tar.gz"


def rules(*messages: str) -> bytes:
    """A file of rules that say so when any packet is seen."""
    lines = [
        f'alert ip any any -> any any (msg:"{message}"; sid:{number}; rev:1;)'
        for number, message in enumerate(messages, 1)
    ]
    return "\n".join(["# rules to test with", *lines, ""]).encode()


def packed(files: dict[str, bytes]) -> bytes:
    """An archive as vendors publish it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def publish(folder: Path, *messages: str) -> bytes:
    """Put a feed of these rules in place; what it is."""
    feed = packed({"rules/classification.config": b"", "rules/all.rules": rules(*messages)})
    replace(folder / FEED, feed)
    return feed


def md5(data: bytes) -> str:
    """The digest that suricata-update computes itself."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass
class Client:
    """A machine's suricata-update, with all that it keeps in one directory.

    Attributes:
        root: What is ``/var/lib/suricata`` elsewhere.
    """

    root: Path

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run it as if the last download were long ago; says what it printed and how it ended."""
        # Where Suricata itself is installed, its own rules would be among them.
        own = self.root / "update.yaml"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(f"dist-rule-directory: {self.root / 'none'}\n")
        command = ["suricata-update", "-c", str(own), "-D", str(self.root)]
        command += ["-o", str(self.root / "rules")]
        here = ["--now", "--no-test", "--no-reload", "--suricata-version", "7.0.3"]
        return subprocess.run(
            [*command, *here, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def messages(self) -> list[str]:
        """What the rules that it has written would say."""
        file = self.root / "rules/suricata.rules"
        text = file.read_text() if file.exists() else ""
        return sorted(line.split('"')[1] for line in text.splitlines() if line[:5] == "alert")
