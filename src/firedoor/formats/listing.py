"""The lists vendors publish of their files: checksum files, JSON lists, directory pages.

Foreign bytes in, relative paths and what the list promises about them out. Nothing a list says
is believed beyond its form: a name that could leave the channel is an error where the vendor
names it as a file, and skipped where a page merely links to it. Every function is linear in
its input, so the only limit a caller has to set is the number of bytes it reads.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Final
from urllib.parse import unquote

from firedoor.core.errors import BadInput
from firedoor.core.release import check_path, is_digest
from firedoor.core.units import Digest


@dataclass(frozen=True, slots=True)
class Promise:
    """What a list says a file will be.

    Attributes:
        sha256: Digest of its bytes, or None where the list has none.
        size: Its length in bytes, >= 0, or None.
    """

    sha256: Digest | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What a directory page links to, one level deep.

    Attributes:
        files: Names of files, sorted, each one segment.
        directories: Names of sub-directories without the slash, sorted, each one segment.
    """

    files: tuple[str, ...]
    directories: tuple[str, ...]


# A digest, a space, a mode character (" " text, "*" binary), the name: GNU coreutils.
_GNU_LINE: Final = re.compile(r"([0-9A-Fa-f]{64}) [ *](.+)")
# The tagged form of the BSDs and of `sha256sum --tag`.
_BSD_LINE: Final = re.compile(r"SHA256 \((.+)\) = ([0-9A-Fa-f]{64})")
_ESCAPE: Final = re.compile(r"\\(.?)")
_ESCAPED: Final = {"\\": "\\", "n": "\n", "r": "\r"}

_HIDDEN: Final = (
    (re.compile(r"<!--"), re.compile(r"-->")),
    (re.compile(r"<script\b", re.IGNORECASE), re.compile(r"</script\b", re.IGNORECASE)),
    (re.compile(r"<style\b", re.IGNORECASE), re.compile(r"</style\b", re.IGNORECASE)),
)
_ATTRIBUTE: Final = re.compile(
    r"""\s+([^\s=>"'/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?"""
)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# Schemes of addresses without a host that pages really link to.
_ELSEWHERE: Final = frozenset({"http", "https", "javascript", "mailto", "tel"})


def parse_sums(data: bytes) -> Mapping[str, Promise]:
    """Read a ``SHA256SUMS`` file: GNU text and binary lines, escaped lines, BSD tagged lines.

    Empty lines and lines that begin with ``#`` are skipped; a leading ``./`` of a name is cut.

    Raises:
        BadInput: A line is none of these, a name may not be a path, or one name has two digests.
    """
    promises: dict[str, Promise] = {}
    for number, line in enumerate(_text(data, "checksum list").split("\n"), 1):
        bare = line.removesuffix("\r")
        if not bare or bare.startswith("#"):
            continue
        name, digest = _sums_line(bare, number)
        _promise(promises, name, Promise(Digest(digest.lower())))
    return promises


def parse_json(data: bytes) -> Mapping[str, Promise]:
    """Read a JSON list of files.

    Accepted are ``["a", ...]``, ``[{"path": "a", "sha256": "...", "size": 1}, ...]`` (digest and
    size optional, other fields ignored), and either of them as the field ``files`` of an object.

    Raises:
        BadInput: It is not JSON of this shape, a name may not be a path, or one name is promised
            two different things.
    """
    try:
        plain = json.loads(_text(data, "JSON list"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the list is not JSON: {error}") from error
    if isinstance(plain, dict):
        plain = plain.get("files")
    if not isinstance(plain, list):
        raise BadInput(
            "the JSON has no list of files",
            hint='it should be ["a", ...], [{"path": "a"}, ...] or {"files": [...]}',
        )
    promises: dict[str, Promise] = {}
    for number, item in enumerate(plain, 1):
        name, promise = _json_item(item, number)
        _promise(promises, name, promise)
    return promises


def parse_page(data: bytes) -> Page:
    """Read the HTML page a server prints for a directory.

    Every link to a direct child counts: a bare name is a file, a name with a slash at its end a
    sub-directory, whatever the page looks like around it. Skipped are links that lead elsewhere:
    to the parent, with a host, a usual scheme (``mailto:``, ``javascript:``, ...), from the root,
    with a query (sort links) or a fragment, or more than one level down.

    Raises:
        BadInput: A child's name may not be a path (escaped slash, control character, not UTF-8),
            or may be an address (``a:b``; a name with a colon is written ``./a:b`` or ``a%3Ab``).
            Skipping it would make a release that silently lacks a file.
    """
    # What is not UTF-8 becomes lone surrogates: harmless around a link, refused inside one.
    text = _visible(data.decode("utf-8", errors="surrogateescape"))
    files: set[str] = set()
    directories: set[str] = set()
    for href in _links(text):
        name = _child(href)
        if name is None:
            continue
        bare = name.removesuffix("/")
        if "/" in check_path(bare):
            raise BadInput(f"the page links to {bare!a}: a name with a slash in it")
        (directories if name != bare else files).add(bare)
    return Page(tuple(sorted(files)), tuple(sorted(directories)))


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"the {what} is not UTF-8: {error.reason} at {error.start}") from error


def _sums_line(line: str, number: int) -> tuple[str, str]:
    """Name and digest of one line of a checksum list."""
    escaped = line.startswith("\\")
    body = line[1:] if escaped else line
    if gnu := _GNU_LINE.fullmatch(body):
        digest, name = gnu.groups()
    elif bsd := _BSD_LINE.fullmatch(body):
        name, digest = bsd.groups()
    else:
        raise BadInput(
            f"line {number} of the checksum list is not a checksum: {line[:60]!a}",
            hint="lines look like '<64 hex digits>  <name>' or 'SHA256 (<name>) = <64 hex digits>'",
        )
    return (_unescape_name(name, number) if escaped else name), digest


def _unescape_name(name: str, number: int) -> str:
    def meant(escape: re.Match[str]) -> str:
        try:
            return _ESCAPED[escape[1]]
        except KeyError as error:
            raise BadInput(f"line {number} of the checksum list has a wrong escape") from error

    return _ESCAPE.sub(meant, name)


def _json_item(item: object, number: int) -> tuple[str, Promise]:
    match item:
        case str(name):
            return name, Promise()
        case dict() if isinstance(path := item.get("path"), str):
            return path, Promise(_json_digest(item.get("sha256")), _json_size(item.get("size")))
        case _:
            raise BadInput(f'item {number} of the JSON list is neither a name nor has a "path"')


def _json_digest(value: object) -> Digest | None:
    match value:
        case None:
            return None
        case str() if is_digest(value.lower()):
            return Digest(value.lower())
        case _:
            raise BadInput('a "sha256" of the JSON list is not 64 hexadecimal digits')


def _json_size(value: object) -> int | None:
    match value:
        case None:
            return None
        case int() if value >= 0 and not isinstance(value, bool):
            return value
        case _:
            raise BadInput('a "size" of the JSON list is not a number of bytes')


def _promise(promises: dict[str, Promise], name: str, promise: Promise) -> None:
    path = check_path(name.removeprefix("./"))
    if promises.setdefault(path, promise) != promise:
        raise BadInput(f"the list promises two different things about {path!a}")


def _visible(text: str) -> str:
    """The page without comments, scripts and styles; an unclosed one hides the rest."""
    for opening, closing in _HIDDEN:
        kept = []
        at = 0
        while hidden := opening.search(text, at):
            kept.append(text[at : hidden.start()])
            end = closing.search(text, hidden.end())
            at = end.end() if end else len(text)
        text = "".join(kept) + text[at:] if kept else text
    return text


def _links(text: str) -> Iterator[str]:
    """The ``href`` of every ``<a>``, unescaped, in order."""
    # Cut at "<" first: no tag is searched beyond the next one, so a page of half tags stays linear.
    for tag in text.split("<")[1:]:
        if tag[:1] not in {"a", "A"}:
            continue
        at = 1
        while attribute := _ATTRIBUTE.match(tag, at):
            at = attribute.end()
            if attribute[1].lower() == "href":
                yield unescape(next((value for value in attribute.groups()[1:] if value), ""))
                break


def _child(href: str) -> str | None:
    """Name of the direct child a link leads to (``/`` at its end: a directory), or None."""
    link = href.strip(" \t\r\n\f")
    if "?" in link or "#" in link:
        return None
    scheme = _SCHEME.match(link)
    if scheme and scheme[1].lower() in _ELSEWHERE:
        return None
    link = link.removeprefix("./")
    inner = link.removesuffix("/")
    if not inner or "/" in inner:
        return None
    if scheme:
        raise BadInput(
            f"the page links to {inner!a}: a file with a colon in its name, or another address",
            hint="let the server write './' before such names, or publish a SHA256SUMS",
        )
    try:
        name = unquote(inner, errors="strict")
    except UnicodeDecodeError as error:
        raise BadInput(f"the page links to {inner!a}: not UTF-8") from error
    if name in {".", ".."}:
        return None
    return name + link[len(inner) :]
