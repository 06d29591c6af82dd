"""CVE identifiers: how they are written, and where vendors name them.

Source: the CVE record format (``CVE-`` year ``-`` four digits or more); Suricata's user guide
(``reference:cve,2021-44228``; rule writers also put ``cve CVE_2021_44228`` into the metadata);
ClamAV's signature names (``Html.Exploit.CVE_2021_44228-1``).
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from firedoor.core.errors import BadInput

MAX_LINE_BYTES: Final = 1 << 20
"""A line longer than this is an attack or a broken file."""

MOST_CVES: Final = 50_000
"""More are named by no content that anybody wrote."""

_CVE: Final = re.compile(r"CVE-(?:19|20)[0-9]{2}-[0-9]{4,10}")
_IN_A_NAME: Final = re.compile(
    r"(?<![A-Za-z0-9])CVE[-_]((?:19|20)[0-9]{2})[-_]([0-9]{4,10})(?![0-9])", re.IGNORECASE
)
_IN_A_RULE: Final = re.compile(
    rb"(?:reference\s*:\s*cve\s*,\s*(?:CVE[-_])?|\bcve\s+CVE[-_])"
    rb"((?:19|20)[0-9]{2})[-_]([0-9]{4,10})(?![0-9])",
    re.IGNORECASE,
)


def cve_id(text: str) -> str:
    """An identifier in its one spelling, ``CVE-2021-44228``.

    Raises:
        BadInput: It is none.
    """
    spelled = text.strip().upper()
    if _CVE.fullmatch(spelled) is None:
        raise BadInput(f"{text[:40]!a} is no CVE identifier", hint="such as CVE-2021-44228")
    return spelled


def cves_in_name(name: str) -> Iterator[str]:
    """Identifiers that the name of a signature is made of."""
    for year, number in _IN_A_NAME.findall(name):
        yield f"CVE-{year}-{number}"


def cves_in_rules(chunks: Iterable[bytes]) -> set[str]:
    """Identifiers that the enabled rules of a ``.rules`` file refer to.

    Args:
        chunks: The file, cut anywhere.

    Raises:
        BadInput: A line is too long, or they are too many.
    """
    found: set[str] = set()
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        found.update(each for line in lines for each in _of_rule(line))
        if len(rest) > MAX_LINE_BYTES:
            raise BadInput(f"a line is longer than {MAX_LINE_BYTES} bytes")
        expect_few(found)
    found.update(_of_rule(rest))
    return found


def expect_few(found: Collection[str]) -> None:
    """Refuse what would fill a memory or a database. Raises BadInput."""
    if len(found) > MOST_CVES:
        raise BadInput(f"it names more than {MOST_CVES} vulnerabilities")


def _of_rule(line: bytes) -> Iterator[str]:
    if not line.lstrip().startswith(b"#"):
        for year, number in _IN_A_RULE.findall(line):
            yield f"CVE-{year.decode()}-{number.decode()}"
