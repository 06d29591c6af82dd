"""A curve in characters: for terminals without colour, mails and tickets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firedoor.console.language import Language

ROWS: Final = 11

_HEADROOM: Final = 1.3
"""Room above the highest line, so that what has passed it is seen above it."""

_FARTHEST: Final = 2.5
"""How far above the highest line is drawn: beyond, the lines would fall into one."""

_CURVE, _ONE = "*", "."


@dataclass(frozen=True, slots=True)
class Line:
    """A threshold: where it lies, the character it is drawn with, and the words for it."""

    value: float
    mark: str
    says: str


def plot(
    points: Sequence[tuple[int, float]], lines: Sequence[Line], language: Language, width: int
) -> list[str]:
    """Draw log e-values over time against their lines.

    Args:
        points: Time in ms and ln E, oldest first; at least one.
        lines: What the evidence is held against, at least one, each above 0.
        language: For the numbers and times beside it.
        width: Columns there are, >= 40.

    Returns:
        Lines of at most ``width`` columns: the picture, the time axis, the legend.
    """
    values = [value for _, value in points]
    highest = max(line.value for line in lines)
    top = min(max(_HEADROOM * highest, *values), _FARTHEST * highest)
    bottom = max(-math.log(20), min([0.0, *values]))
    step = (top - bottom) / (ROWS - 1) or 1.0

    def row(value: float) -> int:
        return ROWS - 1 - round((min(top, max(bottom, value)) - bottom) / step)

    def beside(value: float) -> int:
        """The row of a value, never that of a line: it is seen to be above or below."""
        for line in lines:
            if row(value) == row(line.value):
                return max(0, row(line.value) + (1 if value < line.value else -1))
        return row(value)

    scale = [(0.0, _ONE), *((line.value, line.mark) for line in lines)]
    labels = {row(value): language.factor(value) for value, _ in scale}
    margin = max(map(len, labels.values()))
    columns = width - margin - 2
    canvas = [[" "] * columns for _ in range(ROWS)]
    for value, mark in scale:
        canvas[row(value)] = [mark] * columns
    before = None
    for column, value in enumerate(_sampled(points, columns)):
        here = beside(value)
        low, high = sorted((here, here if before is None else before))
        for each in range(low, high + 1):
            canvas[each][column] = _CURVE
        before = here
    drawn = [
        f"{labels.get(place, ''):>{margin}} |{''.join(cells)}".rstrip()
        for place, cells in enumerate(canvas)
    ]
    last = points[-1][0]
    start, end = language.time(points[0][0], last), f"{language.time(last, last)} UTC"
    # Dates of the reader's language may have letters of two columns.
    gap = " " * max(1, columns - _columns(start) - _columns(end))
    legend = [f"{line.mark * 3} {language.factor(line.value)}: {line.says}" for line in lines]
    return [*drawn, f"{'':>{margin}}  {start}{gap}{end}", *legend]


def _sampled(points: Sequence[tuple[int, float]], columns: int) -> list[float]:
    """The highest value in each column; where nothing happened, the one before."""
    start, end = points[0][0], points[-1][0]
    span = max(1, end - start)
    peaks: dict[int, float] = {}
    lasts: dict[int, float] = {}
    for time, value in points:
        column = (time - start) * (columns - 1) // span if end > start else columns - 1
        peaks[column] = max(value, peaks.get(column, -math.inf))
        lasts[column] = value
    sampled: list[float] = []
    now = points[0][1]
    for column in range(columns):
        sampled.append(peaks.get(column, now))
        now = lasts.get(column, now)
    return sampled


def _columns(text: str) -> int:
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)  # noqa: PLR2004 - CJK begins
