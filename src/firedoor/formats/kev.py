"""A list of vulnerabilities that are known to be exploited, in the format of CISA's KEV catalogue.

::

    {"catalogVersion": "2026.11.20", "dateReleased": "2026-11-20T15:00:12.5432Z", "count": 1,
     "vulnerabilities": [{"cveID": "CVE-2021-44228", "vulnerabilityName": "...",
                          "dateAdded": "2021-12-10", "knownRansomwareCampaignUse": "Known", ...}]}

Further fields are skipped; what is read is checked, and a list that was cut short is refused by
its own count. Its texts are somebody else's: they are shortened, and control characters go.

Source: CISA's schema of the catalogue (known_exploited_vulnerabilities_schema.json).
"""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from firedoor.core.errors import BadInput
from firedoor.formats.cve import cve_id

MOST_ENTRIES: Final = 200_000
"""More is no list that anybody keeps by hand."""

_LONGEST_NAME: Final = 160
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Exploited:
    """One vulnerability.

    Attributes:
        cve: Its identifier.
        name: What the list calls it; may be "".
        added: Day it came on the list, ``YYYY-MM-DD``.
        ransomware: It is known to be used by ransomware.
    """

    cve: str
    name: str
    added: str
    ransomware: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A whole list.

    Attributes:
        version: The list's own number of itself; may be "".
        entries: By identifier, rising, each once.
    """

    version: str
    entries: tuple[Exploited, ...]


class _Entry(msgspec.Struct):
    cve: str = msgspec.field(name="cveID")
    added: str = msgspec.field(name="dateAdded")
    name: str = msgspec.field(name="vulnerabilityName", default="")
    ransomware: str = msgspec.field(name="knownRansomwareCampaignUse", default="")


class _List(msgspec.Struct):
    vulnerabilities: list[_Entry]
    count: int | None = None
    version: str = msgspec.field(name="catalogVersion", default="")


def parse_kev(data: bytes) -> Catalogue:
    """Read a whole list.

    Raises:
        BadInput: It is no such list, is cut short, or has no entry.
    """
    try:
        found = msgspec.json.decode(data, type=_List)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"no list of exploited vulnerabilities: {error}") from error
    entries = found.vulnerabilities
    if found.count is not None and found.count != len(entries):
        raise BadInput(f"the list says that it has {found.count} entries, and has {len(entries)}")
    if not entries:
        # An empty list would take every suggestion away without a word.
        raise BadInput("the list has no entry")
    if len(entries) > MOST_ENTRIES:
        raise BadInput(f"the list has more than {MOST_ENTRIES} entries")
    kept = {each.cve: each for each in map(_exploited, entries)}
    return Catalogue(_plain(found.version), tuple(kept[cve] for cve in sorted(kept)))


def _exploited(entry: _Entry) -> Exploited:
    if _DAY.fullmatch(entry.added) is None:
        raise BadInput(f"{entry.cve[:40]!a} was added on {entry.added[:40]!a}, which is no day")
    return Exploited(
        cve=cve_id(entry.cve),
        name=_plain(entry.name),
        added=entry.added,
        ransomware=entry.ransomware.strip().lower() == "known",
    )


def _plain(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())[:_LONGEST_NAME]
