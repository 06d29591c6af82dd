"""GnuPG, as tests use it to make and to use a vendor's keys."""

import subprocess
from pathlib import Path

_homes: set[Path] = set()


def gpg(home: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Run GnuPG with the keys of one folder; what it wrote."""
    _homes.add(home)
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    done = subprocess.run([*command, *arguments], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def end_agents(*homes: Path) -> None:
    """End the agents that GnuPG has started for these keys; it starts another when it needs one.

    Each keeps two of the host's inotify instances for as long as its folder is there. 128 are
    all there are, and whoever follows a journal needs one.

    Args:
        homes: Folders of keys, besides those that ``gpg`` was run with.
    """
    _homes.update(homes)
    while _homes:
        command = ["gpgconf", "--homedir", str(_homes.pop()), "--kill", "all"]
        subprocess.run(command, capture_output=True, timeout=30, check=False)
