"""Snapshots: all files of an upstream at one moment, and how they are kept from poll to poll.

::

    "FDS1"  length      little-endian, 4 bytes: of what follows
    packed manifest     as in ``core.packed``
    validators          JSON, path -> what says later that the file is unchanged

A distribution names sixty thousand files, and its index promises the digest of each: nothing has
to be remembered of them but that. So they stay packed.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import msgspec

from firedoor.core.errors import BadInput
from firedoor.core.packed import Packed, pack, packed
from firedoor.core.release import FileEntry, check_path, is_digest
from firedoor.core.units import Digest
from firedoor.ports import Fetched

_MAGIC: Final = b"FDS1"
_HEAD: Final = struct.Struct("<4sI")
_VERSION: Final = 1
_VALIDATORS: Final = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All files of an upstream at one moment.

    Attributes:
        manifest: Path -> file, as a release holds it; read-only.
        validators: What says later that a file is unchanged, by path, where anything does.
    """

    manifest: Packed = field(hash=False)
    validators: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, files: Mapping[str, Fetched]) -> "Snapshot":
        """A snapshot of these files, by path.

        Raises:
            BadInput: A path may not be.
        """
        validators = {path: file.validator for path, file in files.items() if file.validator}
        return cls(packed({path: file.entry for path, file in files.items()}), validators)

    @classmethod
    def gathered(
        cls, files: Iterable[tuple[str, FileEntry]], validators: Mapping[str, str]
    ) -> "Snapshot":
        """A snapshot of files that come in the order of their paths, each read once.

        Raises:
            BadInput: A path may not be, or the order is wrong.
        """
        # The table is whole before the validators are looked at: they may be found on the way.
        table = Packed(pack(files))
        return cls(table, MappingProxyType(dict(validators)))

    @property
    def total_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.size for file in self.manifest.values())

    def files(self) -> Iterator[tuple[str, Fetched]]:
        """Paths and files as they were fetched, rising by path, each made when it is asked for."""
        for path, file in self.manifest.pairs():
            yield path, Fetched(file, self.validators.get(path, ""))

    def fetched(self, path: str) -> Fetched | None:
        """A file as it was fetched, or None if there is none."""
        file = self.manifest.get(path)
        return None if file is None else Fetched(file, self.validators.get(path, ""))

    def to_bytes(self) -> bytes:
        """The snapshot for ``from_bytes``: what is kept from one poll to the next."""
        table = self.manifest.data[:]
        validators = msgspec.json.encode(dict(self.validators), order="sorted")
        return zlib.compress(_HEAD.pack(_MAGIC, len(table)) + table + validators, 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Snapshot":
        """Read what ``to_bytes`` wrote, or the JSON of versions before it.

        Raises:
            BadInput: It is no snapshot. Going on without a previous snapshot is always right, it
                only costs traffic.
        """
        if data.startswith(b"{"):
            return _from_json(data)
        try:
            plain = zlib.decompress(data)
            magic, length = _HEAD.unpack_from(plain)
            validators = _VALIDATORS.decode(plain[_HEAD.size + length :])
        except (zlib.error, struct.error, msgspec.DecodeError) as error:
            raise BadInput(f"a stored snapshot cannot be read: {error}") from error
        if magic != _MAGIC:
            raise BadInput("a stored snapshot is of another format")
        return cls(Packed(plain[_HEAD.size : _HEAD.size + length]), validators)


class _StoredFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    size: int
    type: str
    validator: str


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    files: dict[str, _StoredFile]


def _from_json(data: bytes) -> Snapshot:
    try:
        stored = msgspec.json.decode(data, type=_Stored)
    except msgspec.DecodeError as error:
        raise BadInput(f"a stored snapshot cannot be read: {error}") from error
    if stored.v != _VERSION:
        raise BadInput(f"a stored snapshot has version {stored.v}, not {_VERSION}")
    return Snapshot.of({path: _restored(path, file) for path, file in stored.files.items()})


def _restored(path: str, stored: _StoredFile) -> Fetched:
    if not is_digest(stored.sha256) or stored.size < 0:
        raise BadInput(f"a stored snapshot has no digest or size for {check_path(path)}")
    entry = FileEntry(Digest(stored.sha256), stored.size, stored.type)
    return Fetched(entry, stored.validator)
