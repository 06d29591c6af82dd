"""A TUF root of the operator's own, and the key by which the gate signs what clients read.

Two keys: ``root.key`` signs roots and nothing else, and may lie on a stick in a safe;
``online.key`` signs timestamp, snapshot and targets, day and night. Whoever steals the second is
locked out by the next root. Roots are numbered and stay: a client goes from its own to the newest
one by one.

Source: TUF specification 1.0.34, 4.3 (root) and 6.1 (key rotation); python-tuf 7 (metadata API).
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from firedoor.adapters.keys.authority import write
from firedoor.adapters.keys.file import read_secret
from firedoor.core.errors import BadConfig, BadInput, Rejected, Unavailable
from firedoor.core.units import UnixMs
from firedoor.formats.tuf import TIMESTAMP, TargetMeta, role_path

ROOT_DAYS: Final = 365
"""How long a root counts unless somebody says otherwise."""

MOST_ROLE_BYTES: Final = 5_000_000
"""Clients refuse longer targets (python-tuf, ``targets_max_length``)."""

_ROOT_KEY: Final = "root.key"
_ONLINE_KEY: Final = "online.key"
_ROOT_FILE: Final = re.compile(r"([1-9][0-9]{0,8})\.root\.json")
_ONLINE: Final = (Timestamp.type, Snapshot.type, Targets.type)
_MAKE: Final = "firedoor tuf init DIRECTORY makes them"


class OwnRoot:
    """The roots in a folder, and the keys they name.

    Attributes:
        folder: Has ``N.root.json`` and ``online.key``.
        roots: Bytes of every root by its version, from 1 without a gap.
        expires: When the newest is refused, UTC.
    """

    def __init__(self, folder: Path) -> None:
        """Read the roots, and check that the newest is signed as it demands.

        Raises:
            BadConfig: One is missing or makes no sense.
        """
        self.folder = folder
        self.roots = {number: _read(folder / f"{number}.root.json") for number in _numbers(folder)}
        if sorted(self.roots) != list(range(1, len(self.roots) + 1)) or not self.roots:
            raise BadConfig(f"{folder} does not have all roots from 1.root.json on", hint=_MAKE)
        self._newest = _root(self.roots[self.version], folder)
        self.expires = self._newest.signed.expires

    @property
    def version(self) -> int:
        """Version of the newest root."""
        return len(self.roots)

    @classmethod
    def create(cls, folder: Path, now: UnixMs, days: int = ROOT_DAYS) -> "OwnRoot":
        """Make both keys (0600) and the first root; never over others.

        Raises:
            Rejected: There is something already.
            Unavailable: The disk would not take it.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"cannot make {folder}: {error.strerror}") from error
        for name in (_ROOT_KEY, _ONLINE_KEY, "1.root.json"):
            if (folder / name).exists():
                raise Rejected(
                    f"{folder / name} is there already, and nothing was changed",
                    hint="firedoor tuf renew makes the next root; clients that know this one "
                    "would refuse another",
                )
        root, online = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
        made = Root(version=1, expires=_after(now, days), consistent_snapshot=True)
        made.add_key(root.public_key, Root.type)
        for role in _ONLINE:
            made.add_key(online.public_key, role)
        write(folder / _ROOT_KEY, root.private_bytes, 0o600)
        write(folder / _ONLINE_KEY, online.private_bytes, 0o600)
        _publish(folder, made, root)
        return cls(folder)

    def renew(
        self,
        now: UnixMs,
        days: int = ROOT_DAYS,
        *,
        root_key: Path | None = None,
        new_key: bool = False,
        new_root_key: bool = False,
    ) -> "OwnRoot":
        """Make the next root.

        Args:
            now: From when it counts.
            days: How long, >= 1.
            root_key: Where the root's key is; left out, in the folder.
            new_key: The gate signs with a new key from now on.
            new_root_key: Roots are signed with a new key from the next one on; it takes the place
                of the old one.

        Raises:
            BadConfig: The root's key is missing, or another one.
            Unavailable: The disk would not take it.
        """
        place = root_key or self.folder / _ROOT_KEY
        root = _signer(place)
        made = self._newest.signed
        if root.public_key.keyid not in made.roles[Root.type].keyids:
            raise BadConfig(f"{place} is not the key that the newest root names")
        made.version, made.expires = self.version + 1, _after(now, days)
        signers = [root]
        if new_key:
            online = CryptoSigner.generate_ed25519()
            for role in _ONLINE:
                _only(made, online, role)
            # Before the root that names it: a crash in between is told, and done again.
            write(self.folder / _ONLINE_KEY, online.private_bytes, 0o600)
        if new_root_key:
            signers.append(CryptoSigner.generate_ed25519())
            _only(made, signers[-1], Root.type)
            write(place.with_name(f"{place.name}.next"), signers[-1].private_bytes, 0o600)
        _publish(self.folder, made, *signers)
        if new_root_key:
            place.with_name(f"{place.name}.next").replace(place)
        return OwnRoot(self.folder)

    def signer(self) -> CryptoSigner:
        """The key that the gate signs by.

        Raises:
            BadConfig: It is missing, others may read it, or the newest root does not name it.
        """
        found = _signer(self.folder / _ONLINE_KEY)
        roles = self._newest.signed.roles
        if any(found.public_key.keyid not in roles[role].keyids for role in _ONLINE):
            raise BadConfig(
                f"the newest root in {self.folder} does not name {_ONLINE_KEY}",
                hint="firedoor tuf renew --new-key makes another, and a root that names it",
            )
        return found

    def signed(
        self, targets: Mapping[str, TargetMeta], version: int, expires: datetime
    ) -> dict[str, bytes]:
        """The files of all roles of a repository that has these targets, by path.

        Args:
            targets: By name.
            version: Of timestamp, snapshot and targets; higher than any that a client has seen.
            expires: When they are refused, UTC.

        Raises:
            BadConfig: As of ``signer``.
            BadInput: These are more targets than clients read, or they cannot be written down.
        """
        try:
            return self._signed(targets, version, expires)
        except RepositoryError as error:
            raise BadInput(f"the targets cannot be signed: {error}") from error

    def _signed(
        self, targets: Mapping[str, TargetMeta], version: int, expires: datetime
    ) -> dict[str, bytes]:
        signer = self.signer()
        named = {name: _target(name, target) for name, target in targets.items()}
        role = _bytes(Metadata(Targets(version=version, expires=expires, targets=named)), signer)
        if len(role) > MOST_ROLE_BYTES:
            raise BadInput(
                f"{len(targets)} targets are more than clients read in one role",
                hint="leave out sign: the vendor's roles are served as they are",
            )
        meta = {"targets.json": _described(version, role)}
        snapshot = _bytes(Metadata(Snapshot(version=version, expires=expires, meta=meta)), signer)
        stamp = Timestamp(
            version=version, expires=expires, snapshot_meta=_described(version, snapshot)
        )
        return {
            **{role_path(Root.type, number): data for number, data in self.roots.items()},
            role_path(Targets.type, version): role,
            role_path(Snapshot.type, version): snapshot,
            TIMESTAMP: _bytes(Metadata(stamp), signer),
        }


def newest_root(folder: Path) -> int:
    """Version of the newest root in a folder; 0 where there is none. Raises BadConfig."""
    return max(_numbers(folder), default=0)


def _numbers(folder: Path) -> list[int]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise BadConfig(f"{folder} cannot be read: {error.strerror}", hint=_MAKE) from error
    return [int(found[1]) for name in names if (found := _ROOT_FILE.fullmatch(name))]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadConfig(f"the root {path} cannot be read: {error.strerror}") from error


def _root(data: bytes, folder: Path) -> Metadata[Root]:
    try:
        found = Metadata[Root].from_bytes(data)
        found.signed.verify_delegate(Root.type, found.signed_bytes, found.signatures)
    except (DeserializationError, RepositoryError, AttributeError) as error:
        raise BadConfig(f"the newest root in {folder} is none: {error}") from error
    return found


def _signer(path: Path) -> CryptoSigner:
    try:
        return CryptoSigner(load_pem_private_key(read_secret(path, "TUF key"), None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadConfig(f"{path} is no unencrypted private key in PEM form") from error


def _only(root: Root, signer: CryptoSigner, role: str) -> None:
    """Let a role be signed by this key and no other."""
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    root.add_key(signer.public_key, role)


def _publish(folder: Path, root: Root, *signers: CryptoSigner) -> None:
    signed = Metadata(root)
    for signer in signers:
        signed.sign(signer, append=True)
    write(folder / f"{root.version}.root.json", signed.to_bytes(), 0o644)


def _bytes(
    role: Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp], by: CryptoSigner
) -> bytes:
    role.sign(by)
    return role.to_bytes()


def _described(version: int, data: bytes) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def _target(name: str, target: TargetMeta) -> TargetFile:
    custom = {} if target.custom is None else {"custom": target.custom}
    return TargetFile(target.length, dict(target.hashes), name, custom)


def _after(now: UnixMs, days: int) -> datetime:
    return datetime.fromtimestamp(now // 1000, UTC) + timedelta(days=days)
