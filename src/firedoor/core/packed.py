"""Packed manifests: a table of files that is read where it lies, sorted by path.

A distribution's release has sixty thousand files; as Python objects they are thirty megabytes in
every process that looks at one of them. Packed they are bytes, a path is found by bisection in
some microseconds, and two releases are compared in one walk.

::

    "FDM1"  count  types  names      little-endian, 4 bytes each: files, media types, bytes of names
    media types                      each one byte of length, then ASCII
    ends of names                    count x 4 bytes: where the name of each file ends
    files                            count x 41 bytes: SHA-256, size (8 bytes), number of the type
    names                            UTF-8, in rising order, nothing between them

The order of UTF-8 is the order of code points, so it is also that of Python's strings.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, Protocol

from firedoor.core.errors import BadInput
from firedoor.core.release import FileEntry, Manifest, check_path
from firedoor.core.units import Digest

_MAGIC: Final = b"FDM1"
_HEAD: Final = struct.Struct("<4sIII")
_END: Final = struct.Struct("<I")
_FILE: Final = struct.Struct("<32sQB")
_MOST_TYPES: Final = 256
_REMEMBERED: Final = 4_096


def pack(files: Iterable[tuple[str, FileEntry]]) -> bytes:
    """Pack files that come in the order of their paths.

    Args:
        files: (path, file), each path once, rising. They are read once and not kept.

    Raises:
        BadInput: A path may not be, or the order is wrong, or there are too many media types.
    """
    names, table, ends = bytearray(), bytearray(), array("I")
    types: dict[str, int] = {}
    last = ""
    for path, file in files:
        if path <= last:
            raise BadInput(f"the path {path!a} comes after {last!a}")
        last = check_path(path)
        names += path.encode()
        ends.append(len(names))
        kind = types.setdefault(file.type, len(types))
        if kind >= _MOST_TYPES:
            raise BadInput(f"a release has more than {_MOST_TYPES} media types")
        table += _FILE.pack(bytes.fromhex(file.sha256), file.size, kind)
    spelled = b"".join(bytes([len(each)]) + each.encode("ascii") for each in types)
    head = _HEAD.pack(_MAGIC, len(ends), len(types), len(names))
    return b"".join((head, spelled, _little(ends), table, names))


class Table(Protocol):
    """Bytes that are read by slices, wherever they lie."""

    def __len__(self) -> int:
        """How many bytes there are."""
        ...

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of them."""
        ...


class Packed(Mapping[str, FileEntry]):
    """A packed manifest, read-only.

    Attributes:
        data: The table.
    """

    def __init__(self, data: Table) -> None:
        """Look at what ``pack`` made; nothing is copied.

        Raises:
            BadInput: It is something else, or was cut.
        """
        try:
            magic, count, types, names = _HEAD.unpack(data[: _HEAD.size])
            at, self._types = _HEAD.size, list[str]()
            for _ in range(types):
                (length,) = data[at : at + 1]
                self._types.append(data[at + 1 : at + 1 + length].decode("ascii"))
                at += 1 + length
        except (struct.error, ValueError) as error:
            raise BadInput("a packed manifest cannot be read") from error
        self.data = data
        # Most machines ask for the same few files.
        self._at = lru_cache(_REMEMBERED)(self._find)
        self._count: int = count
        self._ends = at
        self._files = at + _END.size * count
        self._names = self._files + _FILE.size * count
        if magic != _MAGIC or self._names + names != len(data):
            raise BadInput("a packed manifest is cut or of another format")

    def __getitem__(self, path: str) -> FileEntry:
        """The file at a path.

        Raises:
            KeyError: There is none.
        """
        file = self._at(path)
        if file is None:
            raise KeyError(path)
        return file

    def _find(self, path: str) -> FileEntry | None:
        try:
            wanted = path.encode()
        except UnicodeEncodeError:
            return None
        number = bisect_left(range(self._count), wanted, key=self._name)
        if number == self._count or self._name(number) != wanted:
            return None
        return self._file(number)

    def __eq__(self, other: object) -> bool:
        """Say whether it names the same files; two tables of the same files are the same bytes."""
        if isinstance(other, Packed):
            return self.data[:] == other.data[:]
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # as every other mapping

    def __len__(self) -> int:
        """How many files there are."""
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Paths, rising."""
        if not isinstance(self.data, bytes):
            return iter(Packed(self.data[:]))
        return (self._name(number).decode() for number in range(self._count))

    def items(self) -> ItemsView[str, FileEntry]:
        """Paths and files, rising by path."""
        return _Items(self)

    def pairs(self) -> Iterator[tuple[str, FileEntry]]:
        """Paths and files, rising by path, each made when it is asked for."""
        # All of a table that does not lie in memory is read at once, for as long as it takes.
        if not isinstance(self.data, bytes):
            yield from Packed(self.data[:]).pairs()
            return
        for number in range(self._count):
            yield self._name(number).decode(), self._file(number)

    def _name(self, number: int) -> bytes:
        start = self._end(number - 1) if number else 0
        return self.data[self._names + start : self._names + self._end(number)]

    def _end(self, number: int) -> int:
        at = self._ends + _END.size * number
        return int.from_bytes(self.data[at : at + _END.size], "little")

    def _file(self, number: int) -> FileEntry:
        at = self._files + _FILE.size * number
        digest, size, kind = _FILE.unpack(self.data[at : at + _FILE.size])
        return FileEntry(Digest(digest.hex()), size, self._types[kind])


class _Items(ItemsView[str, FileEntry]):
    _mapping: Packed

    def __iter__(self) -> Iterator[tuple[str, FileEntry]]:
        return self._mapping.pairs()


def packed(manifest: Manifest) -> Packed:
    """A manifest in its packed form; one that is packed already as it is."""
    if isinstance(manifest, Packed):
        return manifest
    return Packed(pack(sorted(manifest.items())))


def _little(numbers: "array[int]") -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)
