"""A sieve: which records cannot fit any definition, seen from their bytes alone.

Most records of a log mean nothing to us. What a definition asks for is written in the bytes of
every record that fits it: the name of a field, and the text it must have. Looking for a few such
words in the bytes is far cheaper than reading the record, and what holds none of them is dropped
unread. A sieve lets too much through, never too little.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from firedoor.core.definition import Condition, Definition

_NOT_TEXT: Final = frozenset({"true", "false", "nan", "inf", "-inf"})
_LEAST: Final = 3
"""Bytes of a word that is worth looking for."""


@dataclass(frozen=True, slots=True)
class Sieve:
    """What to look for in a record.

    Attributes:
        words: One of these is in every record that may fit; empty: nothing can be said.
        rows: For each definition, words of which each has one alternative in a record that fits.
    """

    words: tuple[bytes, ...]
    rows: tuple[tuple[tuple[bytes, ...], ...], ...]

    @classmethod
    def of(cls, rows: Iterable[Definition], inside: Sequence[str]) -> Self:
        """Make the sieve of definitions.

        Args:
            rows: The definitions.
            inside: How the names of fields begin that are written in a record itself.
        """
        found = tuple(
            tuple(
                words
                for each in row.where
                if each.field.startswith(tuple(inside))
                for words in _words(each)
            )
            for row in rows
        )
        return cls(() if not all(found) else _cover(found), found)

    def may_fit(self, record: bytes) -> bool:
        """Whether a record may fit one of the definitions."""
        return any(
            all(any(word in record for word in words) for words in needed) for needed in self.rows
        )


class Search:
    """Where the words of a sieve are in a body, asked from its beginning to its end.

    Each word is looked for once over the whole body, whatever is asked, so nobody can make it
    slow by writing one of them often.
    """

    __slots__ = ("_body", "_places", "_words", "nearest")

    def __init__(self, words: Sequence[bytes], body: bytes) -> None:
        """Begin; without words every place is one."""
        self._body = body
        self._words = words
        self._places = [-1] * len(words)
        self.nearest = -1

    def within(self, at: int, end: int) -> bool:
        """Whether one of the words begins there; never asked for an earlier place afterwards."""
        if self.nearest >= end:
            return False
        if not self._words:
            return True
        for number, place in enumerate(self._places):
            if place < at:
                found = self._body.find(self._words[number], at)
                self._places[number] = found if found >= 0 else len(self._body)
        self.nearest = min(self._places)
        return self.nearest < end


def _words(condition: Condition) -> Iterable[tuple[bytes, ...]]:
    name = max(condition.field.split(".")[1:], key=len, default="")
    if len(name) >= _LEAST and not name.isdigit():
        yield (name.encode(),)
    if condition.values and all(_is_text(value) for value in condition.values):
        yield tuple(sorted(value.encode() for value in condition.values))
    if condition.starts and all(_is_text(start) for start in condition.starts):
        yield tuple(sorted(start.encode() for start in condition.starts))
    if condition.pattern is not None:
        for word in runs(condition.pattern):
            if _is_text(word):
                yield (word.encode(),)


def runs(pattern: re.Pattern[str]) -> Sequence[str]:
    """Runs of characters that are in every text in which the pattern is found.

    Read with care rather than in full: groups are skipped, and where something is said in another
    way than most do, the run is shorter or empty.
    """
    found, depth, inside, at, text = [""], 0, False, 0, pattern.pattern
    if pattern.flags & (re.IGNORECASE | re.VERBOSE):
        return ()
    while at < len(text):
        sign = text[at]
        at += 2 if sign == "\\" else 1
        if inside:
            # What closes a set at its very beginning is one of its characters.
            inside = sign != "]" or text[: at - 1].endswith(("[", "[^"))
        elif sign == "\\" and depth == 0 and not text[at - 1 : at].isalnum():
            found[-1] += text[at - 1 : at]
        elif sign in "()[\\":
            depth += (sign == "(") - (sign == ")")
            inside = sign == "["
            found.append("")
        elif depth:
            continue
        elif sign == "|":
            return ()
        elif sign in "*?{+":
            # What comes before it may be missing; of the runs before that nothing is taken back.
            found[-1:] = [found[-1][:-1], ""]
            if sign == "{":
                at = text.find("}", at) + 1 or len(text)
        elif sign in ".^$":
            found.append("")
        else:
            found[-1] += sign
    return found


def _is_text(value: str) -> bool:
    """Whether nothing but text is ever shown as this: numbers are not written as text."""
    if len(value) < _LEAST or not value.isascii() or value.lower() in _NOT_TEXT:
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


def _cover(rows: Sequence[Sequence[tuple[bytes, ...]]]) -> tuple[bytes, ...]:
    """Few words of which every row needs one, by greed: what most rows need comes first."""
    left, chosen = list(rows), list[bytes]()
    while left:
        offered = sorted({words for row in left for words in row})
        best = max(
            offered,
            key=lambda words: (sum(words in row for row in left) / len(words), len(words[0])),
        )
        chosen.extend(best)
        left = [row for row in left if best not in row]
    # Where a word is, the words that are part of it are too.
    return tuple(
        word
        for word in dict.fromkeys(chosen)
        if not any(other in word for other in chosen if other != word)
    )
