"""An RPM repository of a vendor of our own: real packages, real metadata, real signatures."""

import gzip
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.debian import replace
from tests.gnupg import gpg

_SPEC = """
Name: {name}
Version: {version}
Release: 1
Summary: a package to test with
License: none
{arch}
%description
It says its version. {note}
%install
mkdir -p %{{buildroot}}/usr/share/{name}
echo {version} > %{{buildroot}}/usr/share/{name}/version
%files
/usr/share/{name}/version
"""


@dataclass
class Repository:
    """A repository in a directory; ``publish`` brings ``repodata`` up to what was added.

    Attributes:
        root: Has ``repodata`` and ``packages``.
        home: Of GnuPG, with the vendor's key.
    """

    root: Path
    home: Path

    @classmethod
    def new(cls, folder: Path) -> "Repository":
        """An empty one with a key of its own."""
        repository = cls(folder / "repository", folder / "gnupg")
        (repository.root / "packages").mkdir(parents=True)
        repository.home.mkdir(mode=0o700)
        repository.gpg("--quick-gen-key", "Vendor <vendor@example.org>", "ed25519", "sign", "never")
        return repository

    def copy(self, folder: Path) -> "Repository":
        """The same repository elsewhere, with the same key."""
        root = shutil.copytree(self.root, folder / "repository")
        home = shutil.copytree(self.home, folder / "gnupg", ignore=shutil.ignore_patterns("S.*"))
        return Repository(root, home)

    @property
    def keyring(self) -> Path:
        """The public key, as gpgv reads it."""
        path = self.home.parent / "vendor.gpg"
        if not path.exists():
            path.write_bytes(self.gpg("--export", "vendor@example.org"))
        return path

    @property
    def repomd(self) -> Path:
        """The file that names all others."""
        return self.root / "repodata/repomd.xml"

    def gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        """Run GnuPG with the vendor's keys."""
        return gpg(self.home, *arguments, data=data)

    def add(self, name: str, version: str, *, arch: str = "noarch", note: str = "") -> Path:
        """Build and sign a package that puts its version into ``/usr/share/NAME/version``."""
        build = self.root.parent / "build"
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir()
        spec = build / "package.spec"
        line = "BuildArch: noarch" if arch == "noarch" else ""
        spec.write_text(_SPEC.format(name=name, version=version, arch=line, note=note))
        words = ["--define", f"_topdir {build}", "--define", f"_rpmdir {build}", "--target", arch]
        _run("rpmbuild", "-bb", "--quiet", *words, str(spec), home=self.home)
        (built,) = build.glob("*/*.rpm")
        signer = ["--define", "_gpg_name vendor@example.org", "--define", "__gpg /usr/bin/gpg"]
        _run("rpmsign", "--addsign", *signer, str(built), home=self.home)
        return Path(shutil.move(built, self.root / "packages" / built.name))

    def remove(self, name: str, version: str) -> None:
        """Take a package away; what was published before still names it."""
        for path in (self.root / "packages").glob(f"{name}-{version}-1.*.rpm"):
            path.unlink()

    def publish(self, *, revision: int, words: tuple[str, ...] = ()) -> None:
        """Write metadata and their signature; files of the metadata before stay for a while.

        Args:
            revision: Taken for the time of everything, too.
            words: More options of createrepo_c.
        """
        times = ("--revision", str(revision), "--set-timestamp-to-revision")
        folder = str(self.root)
        _run("createrepo_c", "-q", "--no-database", "--retain-old-md", "9", *times, *words, folder)
        self.sign()

    def sign(self) -> None:
        """Sign ``repomd.xml`` as it is."""
        replace(
            self.repomd.with_name("repomd.xml.asc"),
            self.gpg("--armor", "--detach-sign", data=self.repomd.read_bytes()),
        )

    def repack(self, suffix: str, pack: Callable[[bytes], bytes]) -> None:
        """Pack ``primary`` otherwise than createrepo_c did, and sign what names it.

        Args:
            suffix: Says how, to whoever reads it.
            pack: Packs it.
        """
        (path,) = self.repomd.parent.glob("*-primary.xml.gz")
        old, new = path.read_bytes(), pack(gzip.decompress(path.read_bytes()))
        named = [hashlib.sha256(each).hexdigest() for each in (old, new)]
        replace(path.with_name(f"{named[1]}-primary.xml.{suffix}"), new)
        text = self.repomd.read_bytes()
        for before, after in (
            (f"{named[0]}-primary.xml.gz", f"{named[1]}-primary.xml.{suffix}"),
            (named[0], named[1]),
            (f"<size>{len(old)}</size>", f"<size>{len(new)}</size>"),
        ):
            assert before.encode() in text
            text = text.replace(before.encode(), after.encode())
        replace(self.repomd, text)
        self.sign()

    def change(self, old: bytes, new: bytes) -> None:
        """Put other words into ``repomd.xml``, and sign that."""
        text = self.repomd.read_bytes()
        assert old in text
        replace(self.repomd, text.replace(old, new))
        self.sign()


@dataclass
class Dnf:
    """A machine's dnf and rpm, in a directory of their own.

    Attributes:
        root: What is ``/`` to rpm.
    """

    root: Path

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run dnf; says what it printed and how it ended."""
        etc = self.root / "etc"
        (etc / "dnf").mkdir(parents=True, exist_ok=True)
        (etc / "dnf/dnf.conf").write_text(f"[main]\nreposdir={etc}/yum.repos.d\nplugins=0\n")
        command = ["dnf", "-y", "--config", str(etc / "dnf/dnf.conf")]
        here = ["--installroot", str(self.root), "--releasever", "1", "--forcearch", "x86_64"]
        return subprocess.run(
            [*command, *here, *words],
            env=os.environ | {"LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def looked(self, *words: str) -> str:
        """What dnf says after a fresh look at the gate; ends well."""
        done = self.run("--refresh", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def has(self, name: str) -> str:
        """Version of a package as its own file says; "" where it is not installed."""
        file = self.root / "usr/share" / name / "version"
        return file.read_text().strip() if file.exists() else ""


def _run(*command: str, home: Path | None = None) -> None:
    environment = os.environ if home is None else os.environ | {"GNUPGHOME": str(home)}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
