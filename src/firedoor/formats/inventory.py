"""Inventories: what a machine has, as lists of short texts that many machines share.

An item of packages is ``name version architecture``; of the system and its hardware, ``key=value``.
A list is kept once however many machines have it, so an item names nothing that is one machine's
own.

A stored list is the rising numbers of its items, as differences in bytes of seven bits (LEB128),
deflated: what was installed from one image has consecutive numbers.
"""

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

MAX_ITEMS: Final = 5_000
MAX_ITEM_CHARACTERS: Final = 200
DIGEST_BYTES: Final = 16

_MORE: Final = 0x80
"""LEB128: the bit that says that more of the number follows."""

_MAX_UNPACKED: Final = 5 * MAX_ITEMS


class Part(StrEnum):
    """What of a machine a list is of; they are stored as numbers in this order, from 0."""

    OS = "os"
    HARDWARE = "hardware"
    KERNEL = "kernel"
    DEB = "deb"
    RPM = "rpm"
    PROGRAMS = "programs"
    PATCHES = "patches"
    DRIVERS = "drivers"


_FACTS: Final[Mapping[str, tuple[Part, Mapping[str, str]]]] = {
    "os_version": (
        Part.OS,
        {"name": "os", "version": "os_version", "build": "os_build", "arch": "arch"},
    ),
    "system_info": (
        Part.HARDWARE,
        {"hardware_model": "model", "hardware_vendor": "vendor", "cpu_brand": "cpu"},
    ),
    "kernel_info": (Part.KERNEL, {"version": "kernel"}),
}
_COLUMNS: Final[Mapping[str, tuple[Part, tuple[str, ...]]]] = {
    "deb_packages": (Part.DEB, ("name", "version", "arch")),
    "rpm_packages": (Part.RPM, ("name", "epoch", "version", "release", "arch")),
    "programs": (Part.PROGRAMS, ("name", "version", "publisher")),
    "patches": (Part.PATCHES, ("hotfix_id",)),
    "drivers": (Part.DRIVERS, ("device_name", "version", "provider", "date")),
}


def items_of(table: str, rows: Sequence[Mapping[str, str]]) -> tuple[Part, tuple[str, ...]] | None:
    """The items that a table of osquery's says, in order, each once; None for another table.

    Args:
        table: Its name.
        rows: All of its rows.
    """
    if table in _FACTS:
        part, names = _FACTS[table]
        said = {key: _clean(rows[0].get(column, "")) for column, key in names.items() if rows}
        return part, tuple(sorted(f"{key}={value}" for key, value in said.items() if value))
    if table in _COLUMNS:
        part, columns = _COLUMNS[table]
        items = {_clean(" ".join(row.get(name, "") for name in columns)) for row in rows}
        return part, tuple(sorted(items - {""})[:MAX_ITEMS])
    return None


def facts(items: Iterable[str]) -> dict[str, str]:
    """What items of the form ``key=value`` say."""
    return {key: value for key, equals, value in (i.partition("=") for i in items) if equals}


def digest(items: Sequence[str]) -> bytes:
    """What a list is known by: 16 bytes, the same for the same items."""
    text = "\n".join(items).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest()[:DIGEST_BYTES]


def pack(numbers: Iterable[int]) -> bytes:
    """Pack the numbers of a list's items.

    Args:
        numbers: Not negative, in any order.
    """
    packed, last = bytearray(), 0
    for number in sorted(numbers):
        left, last = number - last, number
        while left >= _MORE:
            packed.append(left % _MORE | _MORE)
            left >>= 7
        packed.append(left)
    return zlib.compress(bytes(packed), 9)


def unpack(blob: bytes) -> Sequence[int]:
    """The numbers in a packed list, rising.

    Raises:
        ValueError: It is none.
    """
    try:
        packed = zlib.decompressobj().decompress(blob, _MAX_UNPACKED)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    numbers: list[int] = []
    number = shift = 0
    for byte in packed:
        number |= (byte % _MORE) << shift
        shift += 7
        if byte < _MORE:
            numbers.append(number + (numbers[-1] if numbers else 0))
            number = shift = 0
    return numbers


def _clean(text: str) -> str:
    # What cannot be printed would break the lines in which an inventory is told and stored.
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())[:MAX_ITEM_CHARACTERS]
