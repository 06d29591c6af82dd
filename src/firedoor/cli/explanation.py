"""An explanation as text of eighty columns: the parts of the page, without the page."""

import math
import unicodedata
from collections.abc import Iterator

from firedoor.cli.plot import Line, plot
from firedoor.console import explaining
from firedoor.console.explaining import Part, Table
from firedoor.console.facts import Facts
from firedoor.console.language import Language

COLUMNS = 80

_INDENT = "   "
_POINT = "- "
_LARGEST_WRITTEN_OUT = 1e6


def text(language: Language, facts: Facts) -> Iterator[tuple[str, bool]]:
    """Write an explanation.

    Returns:
        Lines of at most ``COLUMNS`` columns (a command is never broken), and whether each is a
        heading.
    """
    yield explaining.title(language, facts), True
    for place, part in enumerate(explaining.parts(language, facts), 1):
        yield "", False
        yield f"{place}. {part.title}", True
        for line in _part(language, facts, part):
            yield line, False


def wrapped(sentence: str, indent: str, width: int = COLUMNS) -> Iterator[str]:
    """Break a sentence at spaces, and anywhere between Chinese letters."""
    line = ""
    for piece in _pieces(sentence):
        if line and _columns(indent + line + piece.rstrip()) > width:
            yield indent + line.rstrip()
            line = ""
        line += piece if line else piece.lstrip()
    if line.strip():
        yield indent + line.rstrip()


def e_value(log_e: float) -> str:
    """An e-value from its natural logarithm in plain letters, readable at any size."""
    if log_e > math.log(_LARGEST_WRITTEN_OUT):
        return f"10^{log_e / math.log(10):.0f}"
    return f"{math.exp(log_e):,.3g}"


def _part(language: Language, facts: Facts, part: Part) -> Iterator[str]:
    for sentence in part.sentences:
        begin = _INDENT + _POINT if part.is_list else _INDENT
        first, *more = wrapped(sentence, " " * len(begin))
        yield begin + first.lstrip()
        yield from more
    if part.table is not None:
        yield ""
        yield from _table(part.table)
    if part.key == "evidence" and facts.track:
        yield ""
        yield from _curve(language, facts)
    for step in part.steps:
        yield ""
        yield from wrapped(step.name, _INDENT)
        if step.command:
            # Whole, however long: it is there to be copied.
            yield f"{_INDENT}  {step.command}"
        yield from wrapped(step.does, f"{_INDENT}  ")
        yield from wrapped(step.does_not, f"{_INDENT}  ")


def _curve(language: Language, facts: Facts) -> Iterator[str]:
    lines = facts.release.thresholds
    marks = (
        Line(lines.log_e_shut, "=", language.gettext("shuts above this line")),
        Line(lines.log_e_warn, "-", language.gettext("a warning: no door opens above this line")),
    )
    points = [(point.time_ms, point.log_e_harm) for point in facts.track]
    drawn = plot(points, marks, language, COLUMNS - len(_INDENT))
    yield from (_INDENT + line for line in drawn)
    yield f"{_INDENT}*** {language.gettext('Evidence of harm')}"


def _table(table: Table) -> Iterator[str]:
    """Columns side by side; the first one on the left, the numbers on the right."""
    rows = [table.headings, *table.rows]
    widths = [max(_columns(row[place]) for row in rows) for place in range(len(table.headings))]
    # A name of somebody else's may be of any length; the numbers have to stay in sight.
    widths[0] = min(widths[0], COLUMNS - len(_INDENT) - sum(widths[1:]) - 2 * (len(widths) - 1))
    for row in rows:
        first, *numbers = row
        *above, last = [*wrapped(first, "", widths[0])] or [""]
        yield from (_INDENT + line for line in above)
        cells = [last + " " * (widths[0] - _columns(last))]
        cells += [
            " " * (width - _columns(cell)) + cell
            for width, cell in zip(widths[1:], numbers, strict=True)
        ]
        yield (_INDENT + "  ".join(cells)).rstrip()


def _pieces(sentence: str) -> Iterator[str]:
    """What must not be broken: words with the space behind them, and single Chinese letters."""
    word = ""
    for letter in sentence:
        if word and _is_wide(letter) and not _closes(letter):
            yield word
            word = ""
        word += letter
        if letter == " ":
            yield word
            word = ""
    if word:
        yield word


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _closes(letter: str) -> bool:
    """Whether a letter must not begin a line: a full stop, a comma, a closing bracket."""
    return unicodedata.category(letter) in ("Po", "Pe", "Pf")


def _columns(words: str) -> int:
    return sum(2 if _is_wide(letter) else 1 for letter in words)
