"""RPM repositories: ``repomd.xml`` and the ``primary`` index it names.

Whoever calls ``parse_repomd`` has checked the signature, if there is one; nothing else here is
believed. XML is read as a stream, without document types and so without entities, and no deeper
or longer than such files are.

Source: createrepo_c and librepo (repomd, primary); RFC 3986 (an ``href`` is escaped).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote
from xml.parsers import expat

from firedoor.core.errors import BadInput
from firedoor.core.release import check_path
from firedoor.formats.checksums import Checksum, parse_checksum, parse_size

MAX_MARK_BYTES: Final = 1 << 20
"""A tag or a text longer than this is an attack or a broken file."""

_DEEPEST: Final = 16
_LONGEST_TEXT: Final = 4096
_LATEST: Final = 253_402_300_799  # the last second of the year 9999
_NUMBER: Final = re.compile(r"[0-9]{1,18}")

_REPOMD: Final = "/repomd"
_DATA: Final = "/repomd/data"
_REVISION: Final = "/repomd/revision"
_OF_REPOMD: Final = frozenset(
    {_REPOMD, _DATA, _REVISION}
    | {f"{_DATA}/{name}" for name in ("checksum", "location", "size", "timestamp")}
)

_METADATA: Final = "/metadata"
_PACKAGE: Final = "/metadata/package"
_OF_PRIMARY: Final = frozenset(
    {_METADATA, _PACKAGE}
    | {f"{_PACKAGE}/{name}" for name in ("name", "arch", "checksum", "location", "size")}
)


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """A file that ``repomd.xml`` names.

    Attributes:
        type: What is in it: ``primary``, ``filelists``, ``updateinfo``, ..
        path: Relative to the repository.
        checksum: Of its bytes as they are served.
        size: In bytes, >= 0, or None where it is not said.
        timestamp: When it was made, Unix seconds; 0 where it is not said.
    """

    type: str
    path: str
    checksum: Checksum
    size: int | None
    timestamp: int


@dataclass(frozen=True, slots=True)
class Repomd:
    """What a ``repomd.xml`` says.

    Attributes:
        revision: The vendor's own number of it, any text; often the time.
        files: In its order.
    """

    revision: str
    files: tuple[MetadataFile, ...]

    @property
    def moment(self) -> tuple[int, int]:
        """Rises with every newer one: when its newest file was made, then its revision."""
        newest = max((file.timestamp for file in self.files), default=0)
        return newest, int(self.revision) if _NUMBER.fullmatch(self.revision) else 0

    @property
    def primary(self) -> MetadataFile:
        """The index of packages.

        Raises:
            BadInput: There is none, or more than one.
        """
        found = [file for file in self.files if file.type == "primary"]
        if len(found) != 1:
            raise BadInput(f"repomd.xml names {len(found) or 'no'} primary indices")
        return found[0]


@dataclass(frozen=True, slots=True)
class Package:
    """A package as ``primary`` names it.

    Attributes:
        name: Of the package.
        architecture: ``x86_64``, ``noarch``, ``src``, ..
        path: Of its file, relative to the repository.
        checksum: Of the file.
        size: In bytes, >= 0, or None where it is not said.
    """

    name: str
    architecture: str
    path: str
    checksum: Checksum
    size: int | None


def parse_repomd(text: bytes) -> Repomd:
    """Read a ``repomd.xml``.

    Raises:
        BadInput: It makes no sense, or names a file without what it takes to check it.
    """
    files: list[MetadataFile] = []
    parts: dict[str, Element] = {}
    revision = ""
    for element in elements((text,), _OF_REPOMD):
        if element.path == _DATA:
            files.append(_metadata_file(element, parts))
            parts = {}
        elif element.path == _REVISION:
            revision = element.text
        else:
            _remember(parts, element)
    return Repomd(revision, tuple(files))


def packages(chunks: Iterable[bytes]) -> Iterator[Package]:
    """Packages of an unpacked ``primary``, in its order, each made when it is asked for.

    Args:
        chunks: The index, cut anywhere.

    Raises:
        BadInput: It is no such index, or names a package without what it takes to fetch it.
    """
    parts: dict[str, Element] = {}
    for element in elements(chunks, _OF_PRIMARY):
        if element.path == _PACKAGE:
            yield _package(parts)
            parts = {}
        else:
            _remember(parts, element)


@dataclass(frozen=True, slots=True)
class Element:
    """An element that has ended.

    Attributes:
        path: Names from the root down, each after a slash.
        attributes: By their names as written.
        text: Without white space around it; that of its children is left out.
    """

    path: str
    attributes: Mapping[str, str]
    text: str


def elements(chunks: Iterable[bytes], wanted: frozenset[str]) -> Iterator[Element]:
    """Some elements of a file, as they end.

    Args:
        chunks: The file, cut anywhere.
        wanted: Paths of those that are asked for; the shortest is that of the root.

    Raises:
        BadInput: It is not well-formed, has another root, or is deeper or longer than any such
            file.
    """
    reader = _Reader(wanted)
    for chunk in chunks:
        reader.feed(chunk)
        yield from reader.found
        reader.found.clear()
    reader.feed(b"", last=True)
    yield from reader.found


class _Reader:
    """Collects elements as they end.

    Args:
        wanted: Paths of those that are collected; the shortest is that of the root.
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self.found: list[Element] = []
        self._wanted = wanted
        self._root = min(wanted, key=len)
        self._paths = [""]
        self._open: list[dict[str, str]] = []
        self._text: list[str] = []
        self._length = 0
        self._fed = 0
        self._expat = expat.ParserCreate()
        self._expat.StartDoctypeDeclHandler = _refuse_doctype
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        """Read on. Raises BadInput."""
        try:
            self._expat.Parse(chunk, last)
        except expat.ExpatError as error:
            raise BadInput(f"no well-formed XML: {error}") from error
        self._fed += len(chunk)
        # What is not a whole tag yet is kept by the parser, however long it becomes.
        if self._fed - self._expat.CurrentByteIndex > MAX_MARK_BYTES:
            raise BadInput(f"a tag or a text is longer than {MAX_MARK_BYTES} bytes")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._paths) > _DEEPEST:
            raise BadInput(f"elements are nested deeper than {_DEEPEST}")
        path = f"{self._paths[-1]}/{name}"
        if len(self._paths) == 1 and path != self._root:
            raise BadInput(f"the root is {name[:80]!a}, not {self._root[1:]!a}")
        self._paths.append(path)
        if path in self._wanted:
            self._open.append(attributes)
            self._text, self._length = [], 0
            self._expat.CharacterDataHandler = self._read
        else:
            self._expat.CharacterDataHandler = None

    def _end(self, _name: str) -> None:
        self._expat.CharacterDataHandler = None
        path = self._paths.pop()
        if path in self._wanted:
            self.found.append(Element(path, self._open.pop(), "".join(self._text).strip()))
            self._text, self._length = [], 0

    def _read(self, text: str) -> None:
        self._length += len(text)
        if self._length > _LONGEST_TEXT:
            raise BadInput(f"the text of {self._paths[-1]} is longer than {_LONGEST_TEXT}")
        self._text.append(text)


def _refuse_doctype(*_: object) -> None:
    raise BadInput("the XML declares a document type")


def _remember(parts: dict[str, Element], element: Element) -> None:
    name = element.path.rpartition("/")[2]
    if parts.setdefault(name, element) is not element:
        # The second could name another file to whoever reads on.
        raise BadInput(f"an entry has two of {name!a}")


def _metadata_file(data: Element, parts: Mapping[str, Element]) -> MetadataFile:
    kind = data.attributes.get("type", "")
    what = f"the {kind[:80]!a} of repomd.xml"
    return MetadataFile(
        type=kind,
        path=_path(what, parts),
        checksum=_checksum(what, parts),
        size=parse_size(parts["size"].text) if "size" in parts else None,
        # Some write fractions of a second.
        timestamp=_seconds(parts["timestamp"].text) if "timestamp" in parts else 0,
    )


def _package(parts: Mapping[str, Element]) -> Package:
    name = parts["name"].text if "name" in parts else ""
    what = f"the package {name[:80]!a}"
    if not name or "arch" not in parts:
        raise BadInput(f"{what} of the index has no name or no architecture")
    size = parts["size"].attributes.get("package") if "size" in parts else None
    return Package(
        name=name,
        architecture=parts["arch"].text,
        path=_path(what, parts),
        checksum=_checksum(what, parts),
        size=None if size is None else parse_size(size),
    )


def _checksum(what: str, parts: Mapping[str, Element]) -> Checksum:
    if "checksum" not in parts:
        raise BadInput(f"{what} has no checksum")
    element = parts["checksum"]
    return parse_checksum(element.attributes.get("type", ""), element.text)


def _path(what: str, parts: Mapping[str, Element]) -> str:
    location = parts["location"].attributes if "location" in parts else {}
    if location.get("xml:base"):
        raise BadInput(
            f"{what} lies at another address, {location['xml:base'][:80]!a}",
            hint="machines would fetch it from there, past the gate: mirror that address instead",
        )
    if not location.get("href"):
        raise BadInput(f"{what} has no location")
    # Clients ask for the address as it is written, and servers take the escapes away.
    plain = unquote(location["href"], errors="surrogateescape")
    return check_path(plain.removeprefix("./"))


def _seconds(text: str) -> int:
    whole = text.partition(".")[0]
    if _NUMBER.fullmatch(whole) is None or int(whole) > _LATEST:
        raise BadInput(f"{text[:80]!a} is no time")
    return int(whole)
