"""Advisories of an RPM repository: which packages an update is made of, and which CVEs it names.

Source: libdnf and createrepo_c (updateinfo.xml): ``update`` elements with ``reference`` s of type
"cve" and the file names of their packages.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from firedoor.core.errors import BadInput
from firedoor.formats.cve import cves_in_name
from firedoor.formats.rpm import elements

_UPDATES: Final = "/updates"
_UPDATE: Final = f"{_UPDATES}/update"
_REFERENCE: Final = f"{_UPDATE}/references/reference"
_FILE: Final = f"{_UPDATE}/pkglist/collection/package/filename"
_WANTED: Final = frozenset({_UPDATES, _UPDATE, _REFERENCE, _FILE})
_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class Advisory:
    """One update that the vendor tells of.

    Attributes:
        cves: CVE identifiers that it names.
        files: Names of its packages' files, without folders.
    """

    cves: frozenset[str]
    files: frozenset[str]


def advisories(chunks: Iterable[bytes]) -> Iterator[Advisory]:
    """Advisories of an unpacked ``updateinfo``, in its order.

    Args:
        chunks: The file, cut anywhere.

    Raises:
        BadInput: It is no such file.
    """
    cves: set[str] = set()
    files: set[str] = set()
    for element in elements(chunks, _WANTED):
        match element.path:
            case p if p == _REFERENCE:
                if element.attributes.get("type", "").lower() == "cve":
                    said = (element.attributes.get(name, "") for name in ("id", "title", "href"))
                    cves.update(cve for text in said for cve in cves_in_name(text))
            case p if p == _FILE:
                files.add(element.text.rpartition("/")[2])
            case p if p == _UPDATE:
                yield Advisory(frozenset(cves), frozenset(files))
                cves, files = set(), set()
            case _:
                pass
        if len(cves) + len(files) > _MOST:
            raise BadInput(f"an advisory names more than {_MOST} vulnerabilities and files")
