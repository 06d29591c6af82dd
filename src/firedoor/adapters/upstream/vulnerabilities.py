"""Which vulnerabilities a release names that the one before it did not.

Only what the vendor says of the content: the references of rules, the names of signatures, the
advisories for packages that the release brings. Debian's indices name none, and a directory of
files says nothing of itself: there a person has to (``firedoor release note``).
"""

import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from firedoor.adapters.upstream.repository import unpacked
from firedoor.adapters.upstream.suricata import rules_of
from firedoor.adapters.upstream.unpacked import names_of
from firedoor.core.channel import Kind
from firedoor.core.errors import BadInput, Unavailable, Untrusted
from firedoor.core.release import FileEntry, Manifest, changes
from firedoor.core.units import Digest
from firedoor.formats.cve import cves_in_name, cves_in_rules, expect_few
from firedoor.formats.updateinfo import advisories

NAMING: Final = frozenset({Kind.SURICATA, Kind.CLAMAV, Kind.RPM})
"""Kinds of channels whose releases name vulnerabilities themselves."""

_ADVISORIES: Final = "updateinfo.xml"
_METADATA: Final = "repodata/"


def named_by(
    kind: Kind, old: Manifest, new: Manifest, where: Callable[[Digest], Path]
) -> Mapping[str, str]:
    """CVE identifiers that ``new`` names and ``old`` does not, with the file that names each.

    Args:
        kind: Of the channel; of a kind that is not in ``NAMING`` none is found.
        old: The release before.
        new: The release.
        where: The bytes of a blob.

    Raises:
        Unavailable: A file cannot be read.
        Untrusted: A file makes no sense.
    """
    if kind is Kind.RPM:
        return _advised(old, new, where)
    reads = {Kind.SURICATA: _in_feed, Kind.CLAMAV: _in_database}.get(kind)
    found: dict[str, str] = {}
    if reads is None:
        return found
    # What moves from one file to another is not news: all of the old one is looked at first.
    differ = [(path, before, after) for path, before, after in changes(old, new)]
    known: set[str] = set()
    try:
        for path, before, _ in differ:
            for cve in () if before is None else reads(path, _path(where, before)):
                known.add(cve)
                expect_few(known)
        for path, _, after in differ:
            for cve in () if after is None else reads(path, _path(where, after)):
                if cve not in known:
                    found.setdefault(cve, path)
                    expect_few(found)
    except BadInput as error:
        raise Untrusted(f"the release cannot be searched: {error}") from error
    return found


def _in_feed(path: str, file: Path) -> Iterator[str]:
    if path.endswith(".md5"):
        return
    try:
        for rules in rules_of(path, file):
            yield from sorted(cves_in_rules(rules))
    except (BadInput, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise Untrusted(f"{path} cannot be read: {error}") from error
    except OSError as error:
        raise Unavailable(f"the bytes of {path} cannot be read: {error.strerror}") from error


def _in_database(path: str, file: Path) -> Iterator[str]:
    for name in names_of(path, file):
        yield from cves_in_name(name)


def _advised(old: Manifest, new: Manifest, where: Callable[[Digest], Path]) -> dict[str, str]:
    brought = {
        path.rpartition("/")[2]
        for path, _, after in changes(old, new)
        if after is not None and not path.startswith(_METADATA)
    }
    found: dict[str, str] = {}
    if not brought:
        return found
    for path, file in new.items():
        if not path.startswith(_METADATA) or _ADVISORIES not in path:
            continue
        try:
            for advisory in advisories(unpacked(_path(where, file), path)):
                if advisory.cves and not brought.isdisjoint(advisory.files):
                    found.update(dict.fromkeys(sorted(advisory.cves), path))
                    expect_few(found)
        except BadInput as error:
            raise Untrusted(f"{path} cannot be read: {error}") from error
    return found


def _path(where: Callable[[Digest], Path], file: FileEntry) -> Path:
    return where(file.sha256)
