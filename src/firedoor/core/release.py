"""A release: an immutable snapshot of a channel's content.

A release is its manifest: path -> (sha256, size, type). Its id is the digest of the channel,
the kind and the manifest without the kind's freshness files, so that two snapshots with the
same content are the same release however often upstream re-signs it, and whichever mirror
they came from.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import quote

from firedoor.core.channel import Kind, traits
from firedoor.core.errors import BadInput
from firedoor.core.units import Digest, UnixMs

_T = TypeVar("_T")

ID_VERSION: Final = 1
"""Version of the form that is hashed into a release's id."""

MAX_PATH_BYTES: Final = 1024
MAX_SEGMENT_BYTES: Final = 255
"""What common file systems allow for one name."""

SHORTEST_PREFIX: Final = 6
"""Digits of a release id that have to be given at least."""

_ID_DIGITS: Final = 64
_HEX: Final = frozenset("0123456789abcdef")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_USUAL_SEGMENT: Final = r"[\w+~%=@,:-][\w.+~%=@,:-]{0,99}"
USUAL_PATH: Final = re.compile(rf"(?:{_USUAL_SEGMENT}/){{0,8}}{_USUAL_SEGMENT}", re.ASCII)
"""Nearly all paths are like this, and it says so at a third of what it takes to look closely."""

_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_DEFAULT_TYPE: Final = "application/octet-stream"
# A fixed table, not the vendor's Content-Type and not the platform's MIME database: the type is
# part of the id, and the same bytes must not board again because a mirror or Python was renewed.
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "asc": "text/plain",
        "bz2": "application/x-bzip2",
        "conf": "text/plain",
        "css": "text/css",
        "csv": "text/csv",
        "deb": "application/vnd.debian.binary-package",
        "gz": "application/gzip",
        "htm": "text/html",
        "html": "text/html",
        "js": "text/javascript",
        "json": "application/json",
        "md": "text/markdown",
        "pdf": "application/pdf",
        "rpm": "application/x-rpm",
        "rules": "text/plain",
        "tar": "application/x-tar",
        "tgz": "application/gzip",
        "toml": "application/toml",
        "txt": "text/plain",
        "xml": "application/xml",
        "xz": "application/x-xz",
        "yaml": "application/yaml",
        "yml": "application/yaml",
        "zip": "application/zip",
        "zst": "application/zstd",
    }
)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a release.

    Attributes:
        sha256: Digest of the upstream bytes.
        size: Their length in bytes, >= 0.
        type: Media type, a function of the path alone (``media_type``).
    """

    sha256: Digest
    size: int
    type: str


Manifest = Mapping[str, FileEntry]
"""Relative POSIX path -> file."""


@dataclass(frozen=True, slots=True)
class Release:
    """An immutable snapshot of a channel's content. Make one with ``Release.of``.

    Attributes:
        id: ``release_id`` of the rest: 64 lower-case hexadecimal digits.
        channel: Name of the channel.
        kind: Kind of updater that reads it.
        manifest: All files, freshness files too; read-only.
        created_ms: When the snapshot was taken. For people; no part of the id.
    """

    id: str
    channel: str
    kind: Kind
    manifest: Manifest = field(hash=False)
    created_ms: UnixMs

    @classmethod
    def of(cls, channel: str, kind: Kind, manifest: Manifest, created_ms: UnixMs) -> "Release":
        """Build a release and compute its id; the manifest is copied and sealed.

        Raises:
            BadInput: A path or an entry of the manifest may not be.
        """
        for path, entry in manifest.items():
            _check_entry(check_path(path), entry)
        sealed = MappingProxyType(dict(sorted(manifest.items())))
        return cls(release_id(channel, kind, sealed), channel, kind, sealed, created_ms)


class Change(StrEnum):
    """What happened to a file between two releases."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that differs between two releases: what a machine would notice of the new one.

    Attributes:
        path: Path within the channel.
        change: Added, changed or removed.
        old_sha256: Digest in the older release, None if added.
        new_sha256: Digest in the newer release, None if removed.
        purl: Package URL of the newer bytes, of the older ones if removed.
    """

    path: str
    change: Change
    old_sha256: Digest | None
    new_sha256: Digest | None
    purl: str


def canonical_manifest(manifest: Manifest) -> bytes:
    """The manifest as canonical JSON: sorted keys, no spaces, UTF-8. Equal iff the manifests are.

    Source: the subset of RFC 8785 that objects, plain strings and integers need.
    """
    return _canonical(_plain(manifest))


def release_id(channel: str, kind: Kind, manifest: Manifest) -> str:
    """Id of the release with this content: sha256 of canonical {v, channel, kind, manifest}.

    Freshness files of the kind are left out, so a re-signed but unchanged snapshot keeps its id.

    Returns:
        64 lower-case hexadecimal digits.
    """
    known = traits(kind)
    hashed = hashlib.sha256()
    # The canonical spelling of an object with these four members, a file at a time.
    hashed.update(b'{"channel":%b,"kind":%b,"manifest":{' % (_spelled(channel), _spelled(kind)))
    comma = b""
    for path, file in _rising(manifest):
        if not known.is_freshness(path):
            hashed.update(b"%b%b:%b" % (comma, _spelled(path), _canonical(_fields(file))))
            comma = b","
    hashed.update(b'},"v":%d}' % ID_VERSION)
    return hashed.hexdigest()


def id_prefix(text: str) -> str:
    """A release id, or a beginning of one, as a person or script gives it; in lower case.

    Raises:
        BadInput: It is too short or too long, or has other than hexadecimal digits.
    """
    digits = text.lower()
    if not _HEX.issuperset(digits) or not SHORTEST_PREFIX <= len(digits) <= _ID_DIGITS:
        raise BadInput(
            f"{_shown(text)} is no release id",
            hint=f"give {SHORTEST_PREFIX} to {_ID_DIGITS} hexadecimal digits of it, "
            "as firedoor release list shows them",
        )
    return digits


def diff(old: Manifest, new: Manifest) -> tuple[Artefact, ...]:
    """What a machine that goes from ``old`` to ``new`` would notice, sorted by path."""
    artefacts = []
    for path, before, after in changes(old, new):
        changed = Change.REMOVED if after is None else Change.CHANGED
        artefacts.append(
            Artefact(
                path=path,
                change=Change.ADDED if before is None else changed,
                old_sha256=before.sha256 if before else None,
                new_sha256=after.sha256 if after else None,
                purl=file_purl(path, _either(after, before).sha256),
            )
        )
    return tuple(artefacts)


def changes(
    old: Manifest, new: Manifest
) -> Iterator[tuple[str, FileEntry | None, FileEntry | None]]:
    """Paths at which two manifests differ, rising, with the files of the older and the newer.

    One walk over both; manifests that come in the order of their paths are not copied.
    """
    left, right = _rising(old), _rising(new)
    before, after = next(left, None), next(right, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before[0] < after[0]):
            yield *_either(before, after), None
            before = next(left, None)
        elif before is None or after[0] < before[0]:
            yield after[0], None, after[1]
            after = next(right, None)
        else:
            if before[1] != after[1]:
                yield before[0], before[1], after[1]
            before, after = next(left, None), next(right, None)


def file_purl(path: str, sha256: Digest) -> str:
    """Package URL of one file by path and digest.

    Source: purl specification, type ``generic``; every path segment percent-encoded.
    """
    name = "/".join(quote(segment, safe="") for segment in path.split("/"))
    return f"pkg:generic/{name}?checksum=sha256:{sha256}"


def check_path(path: str) -> str:
    """Return ``path`` if a release may hold a file there.

    A path is relative and POSIX: segments joined by ``/``, none of them empty, ``.`` or ``..``,
    without backslash, control characters or lone surrogates, within the length limits. So it
    can be joined to a directory or a URL without leaving it.

    Raises:
        BadInput: It may not.
    """
    wrong = _wrong_with(path)
    if wrong:
        raise BadInput(f"the path {_shown(path)} {wrong}")
    return path


def media_type(path: str) -> str:
    """Media type of a file by the suffix of its path; octets if the suffix is not known."""
    name = path.rpartition("/")[2]
    stem, _, suffix = name.rpartition(".")
    return _TYPES.get(suffix.lower(), _DEFAULT_TYPE) if stem else _DEFAULT_TYPE


def is_digest(text: str) -> bool:
    """Whether ``text`` is a SHA-256 in 64 lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def _wrong_with(path: str) -> str:
    """What is wrong with a path, or nothing."""
    if USUAL_PATH.fullmatch(path):
        return ""
    if _FORBIDDEN.search(path):
        return "has a control character, a backslash or a lone surrogate"
    encoded = path.encode()
    if len(encoded) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    for segment in encoded.split(b"/"):
        if segment in {b"", b".", b".."}:
            return "is absolute, or has an empty, '.' or '..' segment"
        if len(segment) > MAX_SEGMENT_BYTES:
            return f"has a segment longer than {MAX_SEGMENT_BYTES} bytes"
    return ""


def _shown(path: str) -> str:
    """The path as an error message may print it: escaped and short."""
    limit = 80
    return ascii(path if len(path) <= limit else path[:limit] + "...")


def _rising(manifest: Manifest) -> Iterator[tuple[str, FileEntry]]:
    # A dict is in the order in which somebody filled it; what is packed is in order already.
    pairs = manifest.items()
    return iter(sorted(pairs) if isinstance(manifest, dict | MappingProxyType) else pairs)


def _either(one: _T | None, other: _T | None) -> _T:
    found = other if one is None else one
    if found is None:
        raise ValueError("neither is there")
    return found


def _check_entry(path: str, entry: FileEntry) -> None:
    if not is_digest(entry.sha256):
        raise BadInput(f"the manifest entry of {_shown(path)} has no SHA-256 digest")
    if isinstance(entry.size, bool) or entry.size < 0:
        raise BadInput(f"the manifest entry of {_shown(path)} has no size")
    if not (entry.type.isascii() and entry.type.isprintable()):
        raise BadInput(f"the manifest entry of {_shown(path)} has no media type")


def _plain(manifest: Manifest) -> dict[str, dict[str, str | int]]:
    return {path: _fields(file) for path, file in manifest.items()}


def _fields(file: FileEntry) -> dict[str, str | int]:
    return {"sha256": file.sha256, "size": file.size, "type": file.type}


def _spelled(text: str) -> bytes:
    return _canonical(str(text))


def _canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
