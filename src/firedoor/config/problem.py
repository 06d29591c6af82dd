"""What is wrong with a configuration: collected first, then told all at once.

A person who edits a file on a machine far away should need one round, not one for each mistake.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from firedoor.core.errors import BadConfig

Spot = tuple[str | int, ...]
"""Where a value stands in a parsed file: keys, and positions in arrays of tables."""


_LONGEST_SEARCHED: Final = 1_000
"""Lines of the longest file in which a problem's line is looked for; about 2 s at the worst."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing a configuration may not say.

    Attributes:
        origin: File it stands in, as shown to people.
        spot: Where in the file; empty for the file as a whole.
        key: The key's path as shown to people, or "".
        what: What is wrong, a phrase without capital and full stop.
        hint: What to do about it, or "".
        line: Line in the file, from 1, where it is known already.
    """

    origin: str
    spot: Spot
    key: str
    what: str
    hint: str = ""
    line: int | None = None


def refusal(problems: Sequence[Problem], texts: Mapping[str, str]) -> BadConfig:
    """The error that tells all problems, each with file, line and key path.

    Args:
        problems: At least one.
        texts: Contents of the files by ``Problem.origin``, to find the lines in.
    """
    lines = {
        origin: _lines(text, [p.spot for p in problems if p.origin == origin and p.spot])
        for origin, text in texts.items()
    }
    told = []
    for problem in problems:
        line = problem.line or lines.get(problem.origin, {}).get(problem.spot)
        place = problem.origin if line is None else f"{problem.origin}:{line}"
        told.append(": ".join(part for part in (place, problem.key, problem.what) if part))
    if len(problems) == 1:
        return BadConfig(told[0], hint=problems[0].hint)
    rows = [f"{len(problems)} problems in the configuration"]
    for problem, message in zip(problems, told, strict=True):
        rows.append(f"  {message}")
        if problem.hint:
            rows.append(f"    hint: {problem.hint}")
    return BadConfig("\n".join(rows))


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that somebody who wrote ``word`` most likely meant, or ""."""
    found = get_close_matches(word.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return found[0] if found else ""


def _lines(text: str, spots: Sequence[Spot]) -> dict[Spot, int]:
    """Lines, from 1, on which the values at these spots begin.

    The parser keeps no positions, so ask it: a value begins on the line after the last beginning
    of the file that parses without it. That is quadratic, but runs only to tell a problem; in a
    longer file the key path alone has to do.
    """
    found: dict[Spot, int] = {}
    parsed_up_to = 0
    rows = text.split("\n")
    if len(rows) > _LONGEST_SEARCHED:
        return {}
    for count in range(1, len(rows) + 1):
        if len(found) == len(set(spots)):
            break
        try:
            document = tomllib.loads("\n".join(rows[:count]))
        except tomllib.TOMLDecodeError:
            continue
        for spot in spots:
            if spot not in found and _stands(document, spot):
                found[spot] = parsed_up_to + 1
        parsed_up_to = count
    return found


def _stands(document: object, spot: Spot) -> bool:
    for step in spot:
        match document, step:
            case dict(), str() if step in document:
                document = document[step]
            case list(), int() if step < len(document):
                document = document[step]
            case _:
                return False
    return True
