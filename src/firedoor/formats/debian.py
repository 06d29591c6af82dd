"""Debian repositories: ``Release`` files and ``Packages`` indices.

Whoever calls ``parse_release`` has checked the signature; nothing else here is believed. Indices
are read as a stream: a distribution's has sixty thousand stanzas and fifty megabytes.

Source: Debian repository format (DebianRepository/Format), RFC 822 dates.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import format_datetime, parsedate_to_datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from firedoor.core.errors import BadInput
from firedoor.core.release import check_path
from firedoor.core.units import Digest
from firedoor.formats.checksums import parse_digest, parse_size

MAX_STANZA_BYTES: Final = 1 << 20
"""A stanza longer than this is an attack or a broken file; Debian's longest has 60 KB."""

_SIGNED: Final = b"-----BEGIN PGP SIGNED MESSAGE-----"
_FIELD: Final = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_END_OF_STANZA: Final = re.compile(rb"\n[ \t\r]*\n")
_NAMED: Final = ("package", "version", "architecture", "filename", "size", "sha256")
_MARKS: Final = tuple((name, b"\n%b:" % name.encode()) for name in _NAMED)


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file that a ``Release`` names, relative to its own directory.

    Attributes:
        sha256: Its digest.
        size: In bytes, >= 0.
    """

    sha256: Digest
    size: int


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """What a suite's ``Release`` says.

    Attributes:
        fields: All fields of one line, by name in lower case.
        date: When it was made.
        valid_until: When clients refuse it, or None.
        components: Their names.
        architectures: Their names, ``all`` too if it is there.
        by_hash: Whether indices are also there under their digests.
        files: Path below the suite -> digest and size.
    """

    fields: Mapping[str, str]
    date: dt.datetime
    valid_until: dt.datetime | None
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    by_hash: bool
    files: Mapping[str, IndexFile]


class Package(NamedTuple):
    """A binary package as an index names it; a tuple, as a distribution has sixty thousand.

    Attributes:
        name: Of the package.
        version: Of the package.
        architecture: Of the package.
        path: Of its file, relative to the repository.
        sha256: Digest of the file.
        size: In bytes, >= 0.
    """

    name: str
    version: str
    architecture: str
    path: str
    sha256: Digest
    size: int


def parse_release(text: bytes) -> ReleaseFile:
    """Read a ``Release`` whose signature was checked.

    Raises:
        BadInput: It makes no sense, or has no SHA-256 digests (which apt would refuse as well).
    """
    fields, tables = _fields(_text(text))
    if "sha256" not in tables:
        raise BadInput("the Release file has no SHA256 section")
    date = _date(fields.get("date", ""), "Date")
    until = fields.get("valid-until", "")
    return ReleaseFile(
        fields=MappingProxyType(fields),
        date=date,
        valid_until=_date(until, "Valid-Until") if until else None,
        components=tuple(fields.get("components", "").split()),
        architectures=tuple(fields.get("architectures", "").split()),
        by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
        files=MappingProxyType(dict(_file(line) for line in tables["sha256"])),
    )


def unwrapped(signed: bytes) -> bytes:
    """The text within a clear signature that was checked before; what has none as it is.

    Source: RFC 4880, 7 (a line that begins with a dash is written with "- " before it).
    """
    if not signed.startswith(_SIGNED):
        return signed
    _, _, rest = signed.partition(b"\n\n")
    text, _, _ = rest.partition(b"\n-----BEGIN PGP SIGNATURE-----")
    return b"\n".join(line.removeprefix(b"- ") for line in text.split(b"\n"))


def redated(text: bytes, date: dt.datetime, valid_for: dt.timedelta) -> bytes:
    """The same ``Release`` with another date, and a time from which clients refuse it.

    Everything else stays, digests before all.
    """
    lines = [
        line
        for line in text.split(b"\n")
        if not line.lower().startswith((b"date:", b"valid-until:"))
    ]
    at = next((n for n, line in enumerate(lines) if line[:1] in b" \t" and line), 1) - 1
    lines[at:at] = [
        f"Date: {_spelled(date)}".encode(),
        f"Valid-Until: {_spelled(date + valid_for)}".encode(),
    ]
    return b"\n".join(lines)


def packages(chunks: Iterable[bytes]) -> Iterator[Package]:
    """Packages of an unpacked index, in its order, each made when it is asked for.

    Args:
        chunks: The index, cut anywhere.

    Raises:
        BadInput: A stanza is too long, or names a package without what it takes to fetch it.
    """
    return map(package_in, stanzas(chunks))


def stanzas(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Stanzas of an unpacked index, in its order, as they are written; without what ends them.

    Args:
        chunks: The index, cut anywhere.

    Raises:
        BadInput: A stanza is too long.
    """
    rest = b""
    for chunk in chunks:
        rest += chunk
        at = 0
        for end in _END_OF_STANZA.finditer(rest):
            if (stanza := rest[at : end.start()].strip(b"\n")).strip():
                yield stanza
            at = end.end()
        rest = rest[at:]
        if len(rest) > MAX_STANZA_BYTES:
            raise BadInput(f"a stanza of the index is longer than {MAX_STANZA_BYTES} bytes")
    if rest.strip():
        yield rest.strip(b"\n")


def package_in(stanza: bytes) -> Package:
    """What a stanza of an index says of its package.

    Raises:
        BadInput: It names a package without what it takes to fetch it.
    """
    found: dict[str, str] = {}
    # The names of fields are in any case. To look for each takes half of what a pattern does that
    # is tried at each line. The first wins, as for apt, and nobody reads a second one: it could
    # name another file.
    lowered = b"\n" + stanza.lower()
    try:
        for name, mark in _MARKS:
            at = lowered.find(mark)
            if at >= 0:
                begin = at + len(mark) - 1
                end = stanza.find(b"\n", begin)
                value = stanza[begin:] if end < 0 else stanza[begin:end]
                found[name] = value.strip(b" \t").decode()
    except UnicodeDecodeError as error:
        raise BadInput("a text of the repository is not UTF-8") from error
    if len(found) < len(_NAMED) or not all(found.values()):
        missing = [name for name in _NAMED if not found.get(name)]
        name = found.get("package", "?")
        raise BadInput(f"the package {name!r} of the index has no {', '.join(missing)}")
    return Package(
        name=found["package"],
        version=found["version"],
        architecture=found["architecture"],
        path=check_path(found["filename"].removeprefix("./")),
        sha256=parse_digest(found["sha256"]),
        size=parse_size(found["size"]),
    )


def _fields(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Fields of one line, and the lines of those that have several."""
    fields: dict[str, str] = {}
    tables: dict[str, list[str]] = {}
    name = ""
    for line in text.split("\n"):
        if line[:1] in (" ", "\t"):
            if not name:
                raise BadInput("the Release file begins with a continuation")
            tables.setdefault(name, []).append(line.strip())
        elif line.strip():
            match = _FIELD.fullmatch(line.rstrip("\r"))
            if match is None:
                raise BadInput(f"a line of the Release file is no field: {line[:80]!a}")
            name = match[1].lower()
            if name in fields:
                raise BadInput(f"the Release file has the field {name!r} twice")
            fields[name] = match[2].strip()
        elif fields:
            name = ""
    return fields, tables


def _file(line: str) -> tuple[str, IndexFile]:
    try:
        digest, size, path = line.split()
    except ValueError:
        raise BadInput(f"the Release file lists {line[:80]!a}") from None
    return check_path(path), IndexFile(parse_digest(digest), parse_size(size))


def _date(text: str, field: str) -> dt.datetime:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        raise BadInput(f"the Release file has no {field} that can be read: {text!a}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _spelled(moment: dt.datetime) -> str:
    return format_datetime(moment.astimezone(dt.UTC), usegmt=True).replace("GMT", "UTC")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput("a text of the repository is not UTF-8") from error
