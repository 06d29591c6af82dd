"""A TUF repository of a vendor of our own, signed with real keys, and a client's own python-tuf."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tests.debian import replace
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient import Updater

_TOP = ("root", "timestamp", "snapshot", "targets")


def days(count: float) -> datetime:
    """A moment so many days from now."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=count)


@dataclass
class Repository:
    """A repository in a directory; ``publish`` writes what was set.

    Attributes:
        root: Has ``metadata`` and ``targets``.
        consistent: Names of files begin with their version or digest.
        signers: A key for each role.
        roles: Targets roles by name.
    """

    root: Path
    consistent: bool = True
    signers: dict[str, CryptoSigner] = field(default_factory=dict)
    roles: dict[str, Targets] = field(default_factory=dict)
    version: int = 0
    root_version: int = 0
    expires: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def new(cls, folder: Path, *, consistent: bool = True) -> "Repository":
        """One with keys of its own, its first root, and nothing else."""
        made = cls(folder, consistent)
        (folder / "metadata").mkdir(parents=True)
        (folder / "targets").mkdir()
        made.signers = {role: CryptoSigner.generate_ed25519() for role in _TOP}
        made.expires = {role: days(30) for role in _TOP}
        made.roles = {"targets": Targets(expires=days(30))}
        made.sign_root()
        return made

    @property
    def trusted(self) -> Path:
        """The first root."""
        return self.root / "metadata/1.root.json"

    def sign_root(self, *also: CryptoSigner) -> None:
        """Publish a root with the keys as they are; ``also`` sign those that it replaces."""
        self.root_version += 1
        made = Root(
            version=self.root_version,
            expires=self.expires["root"],
            consistent_snapshot=self.consistent,
        )
        for role in _TOP:
            made.add_key(self.signers[role].public_key, role)
        signed = Metadata(made)
        for signer in (self.signers["root"], *also):
            signed.sign(signer, append=True)
        self.write(f"{self.root_version}.root.json", signed.to_bytes())

    def write(self, name: str, data: bytes) -> None:
        """Put a file of a role in place."""
        path = self.root / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data)

    def add(self, name: str, data: bytes, *, role: str = "targets", **said: Any) -> TargetFile:
        """Put a target in place, and into a role; what published roles name stays there."""
        algorithms = said.pop("algorithms", ("sha256",))
        hashes = {each: hashlib.new(each, data).hexdigest() for each in algorithms}
        target = TargetFile(len(data), hashes, name, {"custom": said} if said else None)
        self.roles[role].targets[name] = target
        self.place(name, data, hashes)
        return target

    def place(self, name: str, data: bytes, hashes: dict[str, str]) -> None:
        """Put the bytes of a target where clients ask for them."""
        folder, slash, last = name.rpartition("/")
        names = [f"{folder}{slash}{each}.{last}" for each in hashes.values()]
        for each in names if self.consistent else [name]:
            path = self.root / "targets" / each
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, data)

    def delegate(self, name: str, *paths: str, by: str = "targets", **also: Any) -> None:
        """A new role for some targets, with a key of its own unless it has one."""
        signer = self.signers.setdefault(name, CryptoSigner.generate_ed25519())
        self.roles.setdefault(name, Targets(expires=days(30)))
        above = self.roles[by]
        if above.delegations is None:
            above.delegations = Delegations({}, {})
        assert above.delegations.roles is not None
        key: Key = signer.public_key
        above.delegations.keys[key.keyid] = key
        above.delegations.roles[name] = DelegatedRole(
            name, [key.keyid], 1, also.get("terminating", False), paths=list(paths)
        )

    def publish(self, *, version: int = 0, renewed: bool = False) -> None:
        """Sign and write all roles.

        Args:
            version: Of all; one more than before if left out.
            renewed: Only snapshot and timestamp are made anew.
        """
        self.version = version or self.version + 1
        meta = {}
        for name, role in self.roles.items():
            if not renewed:
                role.version = self.version
                role.expires = self.expires.get(name, days(30))
                self.sign(name, role)
            meta[f"{name}.json"] = MetaFile(role.version)
        snapshot = Snapshot(version=self.version, expires=self.expires["snapshot"], meta=meta)
        data = self.sign("snapshot", snapshot)
        self.stamp(MetaFile(self.version, len(data), {"sha256": hashlib.sha256(data).hexdigest()}))

    def stamp(self, snapshot: MetaFile) -> None:
        """Sign and write the timestamp."""
        expires = self.expires["timestamp"]
        made = Timestamp(version=self.version, expires=expires, snapshot_meta=snapshot)
        self.sign("timestamp", made)

    def sign(self, name: str, role: Any) -> bytes:
        """Sign and write one role; its bytes."""
        signed = Metadata(role)
        signed.sign(self.signers[name])
        data = signed.to_bytes()
        versioned = self.consistent and name != "timestamp"
        self.write(f"{role.version}.{name}.json" if versioned else f"{name}.json", data)
        return data


@dataclass
class Client:
    """A program on a machine that updates itself by python-tuf.

    Attributes:
        folder: Where it keeps roles and targets, and what it was told by ``machine enroll``.
        metadata: URL of the roles.
        targets: URL of the targets.
        root: The root that it came with.
    """

    folder: Path
    metadata: str
    targets: str
    root: bytes

    @classmethod
    def told(cls, folder: Path, conf: Path) -> "Client":
        """A client as the configuration that ``machine enroll`` wrote says."""
        said = json.loads(conf.read_text())
        folder.mkdir(parents=True, exist_ok=True)
        root = Path(said["root"]).read_bytes()
        return cls(folder, said["metadata_base_url"], said["target_base_url"], root)

    def looked(self) -> Updater:
        """A fresh look; raises as the library does."""
        for name in ("roles", "targets"):
            (self.folder / name).mkdir(exist_ok=True)
        updater = Updater(
            str(self.folder / "roles"),
            self.metadata,
            str(self.folder / "targets"),
            self.targets,
            bootstrap=self.root,
        )
        updater.refresh()
        return updater

    def got(self, *names: str) -> list[bytes]:
        """Targets of these names after one fresh look."""
        updater = self.looked()
        found = []
        for name in names:
            target = updater.get_targetinfo(name)
            assert target is not None, f"there is no {name}"
            found.append(Path(updater.download_target(target)).read_bytes())
        return found
