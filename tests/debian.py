"""A Debian repository of a vendor of our own: real packages, real indices, real signatures."""

import datetime as dt
import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path
from types import MappingProxyType

from tests.gnupg import gpg

SUITE = "stable"
_VENDOR = ("--local-user", "vendor@example.org")


@dataclass
class Archive:
    """A repository in a directory; ``publish`` brings ``dists`` up to what was added.

    Attributes:
        root: Has ``dists`` and ``pool``.
        home: Of GnuPG, with the vendor's key.
        packages: Stanzas by (package, version).
    """

    root: Path
    home: Path
    packages: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def new(cls, folder: Path) -> "Archive":
        """An empty one with a key of its own."""
        archive = cls(folder / "archive", folder / "gnupg")
        archive.root.mkdir(parents=True)
        archive.home.mkdir(mode=0o700)
        archive.gpg("--quick-gen-key", "Vendor <vendor@example.org>", "ed25519", "sign", "never")
        return archive

    @property
    def keyring(self) -> Path:
        """The public key, as apt and gpgv read it."""
        path = self.home.parent / "vendor.gpg"
        if not path.exists():
            path.write_bytes(self.gpg("--export", "vendor@example.org"))
        return path

    def own_key(self, path: Path) -> Path:
        """An operator's secret key in a file, as the configuration names it."""
        self.gpg("--quick-gen-key", "Gate <gate@example.org>", "ed25519", "sign", "never")
        path.write_bytes(self.gpg("--export-secret-keys", "gate@example.org"))
        path.chmod(0o600)
        return path

    def gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        """Run GnuPG with the vendor's keys."""
        return gpg(self.home, *arguments, data=data)

    def add(
        self,
        name: str,
        version: str,
        *,
        scripts: Mapping[str, str] = MappingProxyType({}),
        files: Mapping[str, str] = MappingProxyType({}),
        fields: str = "",
    ) -> None:
        """Build a package that puts its version into ``/usr/share/NAME/version``.

        Args:
            name: Of the package.
            version: Of the package.
            scripts: Maintainer scripts, by name.
            files: What else it puts onto the disk, by path.
            fields: Lines for its control file: ``Source``, ``Depends``.
        """
        tree = self.root.parent / "build"
        shutil.rmtree(tree, ignore_errors=True)
        content = tree / "usr/share" / name / "version"
        content.parent.mkdir(parents=True)
        content.write_text(f"{version}\n")
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
            f"Maintainer: Vendor <vendor@example.org>\n{fields}"
            f"Description: a package to test with\n"
        )
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text(control)
        for place, text in files.items():
            (tree / place).parent.mkdir(parents=True, exist_ok=True)
            (tree / place).write_text(text)
        for script, text in scripts.items():
            file = tree / "DEBIAN" / script
            file.write_text(text)
            file.chmod(0o755)
        path = Path("pool/main") / name[0] / name / f"{name}_{version}_all.deb"
        deb = self.root / path
        deb.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", tree, deb],
            capture_output=True,
            check=True,
        )
        data = deb.read_bytes()
        self.packages[name, version] = (
            f"{control}Filename: {path}\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
        )

    def remove(self, name: str, version: str) -> None:
        """Take a package out of the index; its file stays until somebody deletes it."""
        del self.packages[name, version]

    def publish(
        self, *, date: dt.datetime | None = None, valid_for: dt.timedelta | None = None
    ) -> None:
        """Write indices and a signed Release. What is mutable is replaced file by file."""
        date = date or dt.datetime.now(dt.UTC)
        suite = self.root / "dists" / SUITE
        text = "\n".join(self.packages[key] for key in sorted(self.packages)).encode()
        lines = []
        for architecture in ("all", "amd64"):
            folder = suite / "main" / f"binary-{architecture}"
            (folder / "by-hash/SHA256").mkdir(parents=True, exist_ok=True)
            index = text if architecture == "amd64" else b""
            for name, data in (
                ("Packages", index),
                ("Packages.gz", gzip.compress(index, mtime=0)),
                ("Packages.xz", lzma.compress(index, preset=1)),
            ):
                digest = hashlib.sha256(data).hexdigest()
                lines.append(f" {digest} {len(data)} main/binary-{architecture}/{name}")
                if name != "Packages":  # as Debian does: named, but not there
                    replace(folder / "by-hash/SHA256" / digest, data)
                    replace(folder / name, data)
        until = [] if valid_for is None else [f"Valid-Until: {_spelled(date + valid_for)}"]
        release = "\n".join(
            [
                "Origin: Vendor",
                "Label: Vendor",
                f"Suite: {SUITE}",
                f"Codename: {SUITE}",
                f"Date: {_spelled(date)}",
                *until,
                "Acquire-By-Hash: yes",
                "Architectures: all amd64",
                "Components: main",
                "SHA256:",
                *lines,
                "",
            ]
        ).encode()
        replace(
            suite / "InRelease",
            self.gpg("--local-user", "vendor@example.org", "--clearsign", data=release),
        )
        replace(suite / "Release", release)
        replace(
            suite / "Release.gpg",
            self.gpg(
                "--local-user", "vendor@example.org", "--detach-sign", "--armor", data=release
            ),
        )


@dataclass
class Apt:
    """A machine's apt and dpkg, in a directory of their own.

    Attributes:
        root: What is ``/`` to dpkg.
    """

    root: Path

    @classmethod
    def new(cls, root: Path, sources: str, *, preferences: str = "", conf: str = "") -> "Apt":
        """An installation without any package, that knows these sources."""
        for folder in (
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "etc/apt/trusted.gpg.d",
            "etc/apt/auth.conf.d",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/cache/apt/archives/partial",
            "var/log/apt",
        ):
            (root / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        (root / "etc/apt/sources.list").write_text(sources)
        (root / "etc/apt/preferences").write_text(preferences)
        (root / "apt.conf").write_text(
            f"""
Dir "{root}";
Dir::Bin::dpkg "/usr/bin/dpkg";
Dir::Etc::main "{root}/none";
Dir::Etc::parts "{root}/etc/apt/apt.conf.d";
Dir::State::status "{root}/var/lib/dpkg/status";
DPkg::Options {{ "--root={root}"; "--force-not-root"; "--force-script-chrootless";
  "--log={root}/var/log/dpkg.log"; }};
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "true";
Acquire::Languages "none";
Acquire::Retries "1";
{conf}
"""
        )
        return cls(root)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run apt-get; says what it printed and how it ended."""
        environment = os.environ | {"APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        return subprocess.run(
            ["apt-get", "-y", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def has(self, name: str) -> str:
        """Version of a package as its own file says; "" where it is not installed."""
        file = self.root / "usr/share" / name / "version"
        return file.read_text().strip() if file.exists() else ""


def replace(path: Path, data: bytes) -> None:
    """Put a file in place at once, as publishers do."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    new.replace(path)


def names(paths: Iterable[str]) -> list[str]:
    """Last parts of some paths."""
    return [path.rpartition("/")[2] for path in paths]


def _spelled(moment: dt.datetime) -> str:
    return format_datetime(moment.astimezone(dt.UTC), usegmt=True).replace("GMT", "UTC")
