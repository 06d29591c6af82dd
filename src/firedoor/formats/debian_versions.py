"""Versions of Debian packages, and what a package needs of others.

Source: Debian policy 5.6.12 (order of versions), 7.1 (relations).
"""

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final, NamedTuple

_PARTS: Final = re.compile(r"([^0-9]*)([0-9]*)")
_RELATION: Final = re.compile(
    r"\s*([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?",
    re.IGNORECASE,
)


class Relation(NamedTuple):
    """One package that would do.

    Attributes:
        name: Of the package.
        operator: ``<<``, ``<=``, ``=``, ``>=`` or ``>>``; "" where any version does.
        version: That it is compared with, or "".
    """

    name: str
    operator: str
    version: str

    def __str__(self) -> str:
        """As it is written in a ``Depends``."""
        return f"{self.name} ({self.operator} {self.version})" if self.operator else self.name

    def is_met_by(self, version: str) -> bool:
        """Whether a version of that package does."""
        order = compare(version, self.version) if self.operator else 0
        # A single < or > is an old spelling of the one that takes equality in.
        return {
            "": True,
            "<<": order < 0,
            "<=": order <= 0,
            "<": order <= 0,
            "=": order == 0,
            ">=": order >= 0,
            ">": order >= 0,
            ">>": order > 0,
        }[self.operator]


def compare(one: str, other: str) -> int:
    """Which version is the newer one: < 0, 0 or > 0, as of subtraction."""
    first, second = _halves(one), _halves(other)
    if first[0] != second[0]:
        return first[0] - second[0]
    return _compare_part(first[1], second[1]) or _compare_part(first[2], second[2])


def relations(text: str) -> Iterator[tuple[Relation, ...]]:
    """What a ``Depends`` asks for: of each group one has to be there. What makes no sense is none.

    Args:
        text: The value of the field.
    """
    for group in text.split(","):
        found = [_RELATION.match(each) for each in group.split("|")]
        known = tuple(Relation(m[1], m[2] or "", m[3] or "") for m in found if m is not None)
        if known and len(known) == len(found):
            yield known


def _halves(version: str) -> tuple[int, str, str]:
    """Epoch, upstream's version and Debian's revision."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    number = int(epoch) if epoch.isascii() and epoch.isdigit() else 0
    return (number, upstream, revision) if dash else (number, rest, "")


def _compare_part(one: str, other: str) -> int:
    """Texts and numbers in turn; a number that is not there is 0."""
    for first, second in zip_longest(_pieces(one), _pieces(other), fillvalue=("", 0)):
        if first[0] != second[0]:
            for left, right in zip_longest(first[0], second[0], fillvalue=""):
                if left != right:
                    return _weight(left) - _weight(right)
        if first[1] != second[1]:
            return first[1] - second[1]
    return 0


def _pieces(part: str) -> list[tuple[str, int]]:
    return [(m[1], int(m[2] or 0)) for m in _PARTS.finditer(part) if m[0]]


def _weight(character: str) -> int:
    """A tilde comes before the end, letters come before all other characters."""
    if character == "~":
        return -1
    if not character:
        return 0
    return ord(character) if character.isalpha() else ord(character) + 256
