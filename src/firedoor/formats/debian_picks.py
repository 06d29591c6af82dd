"""Indices of Debian repositories put together: an older one with some packages of a newer one.

Packages of one source are built for each other, and often say so to the letter; so all that are
made from a source are taken together or not at all.

Source: Debian repository format (DebianRepository/Format); Debian policy 5.6.1 (Source).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from firedoor.core.errors import BadInput
from firedoor.formats.debian import IndexFile

_DIGESTS: Final = (b"md5sum", b"sha1", b"sha256", b"sha512")
_KEPT: Final = b"sha256"


def field(stanza: bytes, name: str) -> str:
    """The value of a stanza's field, its lines joined by spaces; "" where it has none.

    Raises:
        BadInput: It is not UTF-8.
    """
    mark = b"\n%b:" % name.lower().encode()
    at = (b"\n" + stanza.lower()).find(mark)
    if at < 0:
        return ""
    lines = stanza[at + len(mark) - 1 :].split(b"\n")
    value = [lines[0]]
    for line in lines[1:]:
        if line[:1] not in (b" ", b"\t"):
            break
        value.append(line)
    try:
        return b" ".join(line.strip() for line in value).decode()
    except UnicodeDecodeError as error:
        raise BadInput("a text of the repository is not UTF-8") from error


def source_of(stanza: bytes) -> str:
    """Name of the source that a package is made from; its own where it does not say."""
    return field(stanza, "source").partition("(")[0].strip() or field(stanza, "package")


def source_version_of(stanza: bytes) -> str:
    """Version of that source; the package's own where it does not say."""
    _, _, version = field(stanza, "source").partition("(")
    return version.partition(")")[0].strip() or field(stanza, "version")


def sources_named(stanzas: Iterable[bytes], names: Collection[str]) -> dict[str, str]:
    """Sources that are called so, or from which packages that are called so are made.

    Returns:
        Name -> source, for the names that were found.
    """
    found: dict[str, str] = {}
    for stanza in stanzas:
        source, package = source_of(stanza), field(stanza, "package")
        if source in names:
            found[source] = source
        if package in names:
            # What is called like a source is meant to be that source.
            found.setdefault(package, source)
    return found


def merged(old: Iterable[bytes], new: Iterable[bytes], sources: Collection[str]) -> Iterator[bytes]:
    """Stanzas of ``old`` but for those of some sources, and those of them as ``new`` has them."""
    for stanza in old:
        if source_of(stanza) not in sources:
            yield stanza
    yield from of_sources(new, sources)


def of_sources(stanzas: Iterable[bytes], sources: Collection[str]) -> Iterator[bytes]:
    """Stanzas of packages that are made from some sources."""
    return (stanza for stanza in stanzas if source_of(stanza) in sources)


def written(stanzas: Iterable[bytes], at_once: int = 1 << 18) -> Iterator[bytes]:
    """An index of these stanzas, in pieces of about so many bytes."""
    pieces: list[bytes] = []
    size = 0
    for stanza in stanzas:
        pieces.append(stanza + b"\n\n")
        size += len(pieces[-1])
        if size >= at_once:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces)


def relisted(text: bytes, changed: Mapping[str, IndexFile], gone: Collection[str]) -> bytes:
    """A ``Release`` that names some of its files anew. Of its digests the SHA-256 ones stay.

    Args:
        text: Without its signature.
        changed: Path below the suite -> what it is now.
        gone: Paths below the suite that it is to name no more.
    """
    lines: list[bytes] = []
    table = b""
    for line in text.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if table in (b"", _KEPT):
                lines += [line] if not table else _row(line, changed, gone)
            continue
        name = line.partition(b":")[0].lower()
        table = name if name in _DIGESTS else b""
        if table in (b"", _KEPT):
            lines.append(line)
    return b"\n".join(lines)


def _row(line: bytes, changed: Mapping[str, IndexFile], gone: Collection[str]) -> list[bytes]:
    path = line.split()[-1].decode("utf-8", "replace")
    if path in gone:
        return []
    file = changed.get(path)
    return [line if file is None else f" {file.sha256} {file.size:>8} {path}".encode()]
