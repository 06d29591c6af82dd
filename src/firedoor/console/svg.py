"""Pictures as SVG text: the door, the machines, the slots, the curves. Pure functions.

Everything carries a class and no colour: the style sheet paints it, for light and for dark.
Nothing depends on colour alone: each state and each kind of machine has a shape of its own.
Words come in as arguments, so the pictures are in the reader's language.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from markupsafe import Markup

from firedoor.core.door import State

MOST_DOTS: Final = 240
"""Up to so many machines each gets a mark of its own; beyond, they become a bar."""

MOST_SLOTS: Final = 30
"""Up to so many slots each gets a box of its own; beyond, they become a bar."""

_MOST_POINTS = 160
_WIDTH = 420.0


def door(state: State, share: float, title: str) -> Markup:
    """Draw a door of two sliding leaves, as far open as machines have been let through.

    Args:
        state: Where the door is; an open one is drawn fully open.
        share: Share of the ring's machines that were admitted, in [0, 1].
        title: What the picture shows, for those who do not see it.
    """
    if state is State.OPEN:
        share = 1.0
    # A door that let one machine of a thousand through has to look ajar, not closed.
    gap = 0.0 if share <= 0 else max(5.0, 104 * min(1.0, share))
    left, right = 100 - gap / 2, 100 + gap / 2
    shape = [
        '<rect class="frame" x="36" y="34" width="128" height="106" rx="3"/>',
        '<rect class="beyond" x="42" y="40" width="116" height="100"/>',
        _floor(gap),
        _leaf(max(42.0, left - 58), left, handle=left - 8),
        _leaf(right, min(158.0, right + 58), handle=right + 4),
        '<path class="ground" d="M8 140H192"/>',
    ]
    if state is State.SHUT:
        shape.append('<rect class="bar" x="28" y="80" width="144" height="14" rx="2"/>')
        stripes = "".join(f"M{x} 80l-8 14" for x in range(46, 170, 18))
        shape.append(f'<path class="bar-mark" d="{stripes}"/>')
    shape.append('<rect class="lamp" x="78" y="6" width="44" height="22" rx="5"/>')
    shape.append(f'<path class="lamp-mark" d="{_LAMPS[state]}"/>')
    return _svg(f"door door-{state.value}", 200, 146, title, shape)


def marks(counts: Sequence[tuple[str, int]], title: str) -> Markup:
    """Draw one mark per machine, or a bar where there are too many.

    Args:
        counts: Kind of mark and number of machines, in the order they are drawn. A kind is
            one of ``harmed``, ``flight``, ``well``, ``control``, ``later``, ``has``.
        title: What the picture shows, for those who do not see it.
    """
    total = sum(count for _, count in counts)
    if total > MOST_DOTS:
        return _bar("marks", counts, 22, title)
    kinds = [kind for kind, count in counts for _ in range(count)]
    columns = min(30, max(15, math.ceil(len(kinds) / 6)))
    pitch = _WIDTH / columns
    rows = max(1, math.ceil(len(kinds) / columns))
    shape = [
        mark(kind, (place % columns + 0.5) * pitch, (place // columns + 0.5) * pitch)
        for place, kind in enumerate(kinds)
    ]
    return _svg("marks", _WIDTH, rows * pitch, title, shape)


def key(kind: str) -> Markup:
    """Draw a single mark for a legend; it has no title, the legend says what it is."""
    size = 'viewBox="0 0 16 16" width="16" height="16"'
    body = f'<svg class="key" {size} aria-hidden="true">{mark(kind, 8, 8)}</svg>'
    return Markup(body)  # noqa: S704 - numbers and our own constants only


def mark(kind: str, x: float, y: float) -> str:
    """One machine's mark, about 11 units wide, around a point."""
    match kind:
        case "harmed":
            body = f"M{_n(x - 4.5)} {_n(y - 4.5)}l9 9m0 -9l-9 9"
            return f'<path class="mark harmed" d="{body}"/>'
        case "flight":
            return f'<circle class="mark flight" cx="{_n(x)}" cy="{_n(y)}" r="4.2"/>'
        case "control":
            body = f"M{_n(x)} {_n(y - 4)}l4 4l-4 4l-4 -4z"
            return f'<path class="mark control" d="{body}"/>'
        case "well" | "has":
            return f'<circle class="mark {kind}" cx="{_n(x)}" cy="{_n(y)}" r="5"/>'
        case _:
            return f'<circle class="mark later" cx="{_n(x)}" cy="{_n(y)}" r="2.6"/>'


def slots(window: int, in_flight: int, harmed: int, title: str) -> Markup:
    """Draw the window: one box per slot, taken by machines in flight and by harmed ones.

    Args:
        window: Slots there are, >= 0. More may be taken than there are: the window can shrink.
        in_flight: Slots taken by machines whose outcome is open, >= 0.
        harmed: Slots kept by harmed machines, >= 0.
        title: What the picture shows, for those who do not see it.
    """
    free = max(0, window - in_flight - harmed)
    counts = (("harmed", harmed), ("flight", in_flight), ("free", free))
    total = sum(count for _, count in counts)
    if total > MOST_SLOTS:
        return _bar("slots", counts, 22, title)
    kinds = [kind for kind, count in counts for _ in range(count)]
    pitch = 28
    columns = 15
    shape: list[str] = []
    for place, kind in enumerate(kinds):
        x, y = place % columns * pitch, place // columns * pitch
        shape.append(
            f'<rect class="slot {kind}" x="{x + 2}" y="{y + 2}" width="22" height="22" rx="5"/>'
        )
        if kind != "free":
            shape.append(mark(kind, x + 13, y + 13))
    rows = max(1, math.ceil(len(kinds) / columns))
    return _svg("slots", _WIDTH, rows * pitch, title, shape)


@dataclass(frozen=True, slots=True)
class Line:
    """A threshold in a chart.

    Attributes:
        value: Where it lies, in the unit of the chart.
        says: The words beside it.
        kind: Class of the line: ``shut``, ``warn`` or ``opens``.
        below: The words stand below the line, not above it.
    """

    value: float
    says: str
    kind: str
    below: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a chart.

    Attributes:
        title: What the picture shows, for those who do not see it.
        start: Time of the first point.
        end: Time of the last point.
        now: The last value, written at the last point.
        value: Writes a value of the axis: an e-value from its logarithm, a share.
    """

    title: str
    start: str
    end: str
    now: str
    value: Callable[[float], str]


Series = Sequence[tuple[int, float]]
"""Time in ms and value, oldest first."""


def evidence(series: Series, shut: Line, warn: Line, words: Words) -> Markup:
    """Draw the evidence of harm over time against the lines that warn and shut.

    Args:
        series: Time and log e-value.
        shut: The line at ln(1/alpha_harm).
        warn: The line at ln(1/alpha_warn).
        words: The words.
    """
    values = [value for _, value in series]
    top = max([shut.value * 1.22, *(value * 1.08 for value in values)])
    # Evidence for harmlessness has no line to reach; a wide empty band below would only shrink
    # the part that matters.
    bottom = max(-math.log(20), min([-math.log(3), *values]))
    least, most = math.ceil(bottom / math.log(10)), math.floor(top / math.log(10))
    step = 1 + (most - least) // 6
    heights = [power * math.log(10) for power in range(least, most + 1, step)]
    ticks = [(height, words.value(height)) for height in heights]
    plot = _Plot(series, bottom, top, lambda value: value, ticks)
    band = plot.band(shut.value, top, "zone-shut")
    return plot.draw("evidence", band, (shut, warn), words)


def bound(series: Series, opens: Line, words: Words) -> Markup:
    """Draw the upper bound of excess harm over time against the line below which a door opens.

    Args:
        series: Time and bound, in (0, 1].
        opens: The line at delta.
        words: The words.
    """
    floor = min([opens.value, *(max(value, 1e-6) for _, value in series)]) / 2.2
    least = math.floor(math.log10(floor))
    ticks = [
        (math.log(10.0**power), words.value(10.0**power))
        for power in range(least, 1)
        if 10.0**power >= floor
    ]
    plot = _Plot(
        series, math.log(floor), math.log(1.25), lambda value: math.log(max(value, 1e-6)), ticks
    )
    line = Line(math.log(opens.value), opens.says, opens.kind, opens.below)
    band = plot.band(math.log(floor), line.value, "zone-open")
    return plot.draw("bound", band, (line,), words)


_LAMPS: Final = {
    State.WAITING: "M90 17h.1M100 17h.1M110 17h.1",
    State.OPENING: "M92 11l6 6l-6 6M102 11l6 6l-6 6",
    State.OPEN: "M91 17l6 6l12 -12",
    State.SHUT: "M94 11l12 12M106 11l-12 12",
    State.HELD: "M95 11v12M105 11v12",
    State.SUPERSEDED: "M92 17h16",
}

_HEIGHT = 196.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 8.0, 24.0
_LETTER = 8.6
"""Width of a letter of a tick where it is largest: on a narrow screen, in units of the paper."""

Ticks = Sequence[tuple[float, str]]
"""Value, in the unit of the scale, and the words beside it."""


class _Plot:
    """Where times and values lie on the paper."""

    def __init__(
        self,
        series: Series,
        bottom: float,
        top: float,
        scale: Callable[[float], float],
        ticks: Ticks,
    ) -> None:
        self._ticks = ticks
        self._left = max(_LEFT, 10 + _LETTER * max((len(says) for _, says in ticks), default=0))
        self._points = _thin([(time, scale(value)) for time, value in series])
        self._bottom = bottom
        self._top = top
        self._start = self._points[0][0] if self._points else 0
        self._span = max(1, self._points[-1][0] - self._start) if self._points else 1

    def x(self, time_ms: int) -> float:
        return self._left + (time_ms - self._start) / self._span * (_WIDTH - self._left - _RIGHT)

    def y(self, value: float) -> float:
        inside = min(self._top, max(self._bottom, value))
        share = (inside - self._bottom) / (self._top - self._bottom)
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    def band(self, low: float, high: float, kind: str) -> str:
        top, bottom = self.y(high), self.y(low)
        return (
            f'<rect class="{kind}" x="{_n(self._left)}" y="{_n(top)}" '
            f'width="{_n(_WIDTH - self._left - _RIGHT)}" height="{_n(bottom - top)}"/>'
        )

    def draw(self, kind: str, band: str, lines: Sequence[Line], words: Words) -> Markup:
        shape = [band]
        for value, text in self._ticks:
            shape.append(f'<path class="grid" d="{self._across(value)}"/>')
            shape.append(_text(text, self._left - 7, self.y(value) + 3.5, "tick", "end"))
        shape += [
            f'<path class="line line-{line.kind}" d="{self._across(line.value)}"/>'
            for line in lines
        ]
        if self._points:
            shape += self._curve(words.now, falls=kind == "bound")
        # After the curve, so that it never hides what the lines mean.
        for line in lines:
            y = self.y(line.value) + (13 if line.below else -5)
            shape.append(_text(line.says, self._left + 6, y, f"says says-{line.kind}", "start"))
        shape.append(_text(words.start, self._left, _HEIGHT - 7, "tick", "start"))
        shape.append(_text(words.end, _WIDTH - _RIGHT, _HEIGHT - 7, "tick", "end"))
        return _svg(f"chart {kind}", _WIDTH, _HEIGHT, words.title, shape)

    def _across(self, value: float) -> str:
        return f"M{_n(self._left)} {_n(self.y(value))}H{_n(_WIDTH - _RIGHT)}"

    def _curve(self, now: str, *, falls: bool) -> list[str]:
        first, *rest = self._points
        path = f"M{_n(self.x(first[0]))} {_n(self.y(first[1]))}"
        path += "".join(f"H{_n(self.x(time))}V{_n(self.y(value))}" for time, value in rest)
        time, value = self._points[-1]
        x, y = self.x(time), self.y(value)
        above = y > _TOP + 26 and not falls
        below = y < _HEIGHT - _BOTTOM - 18
        # A curve that has only begun must not write its value over the axis.
        begun = x - self._left < 10 + _LETTER * len(now)
        return [
            f'<path class="curve" d="{path}"/>',
            f'<circle class="now" cx="{_n(x)}" cy="{_n(y)}" r="4"/>',
            _text(
                now,
                x + 8 if begun else min(x, _WIDTH - _RIGHT) - 8,
                y - 8 if above or not below else y + 18,
                "now-text",
                "start" if begun else "end",
            ),
        ]


def _thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if len(points) <= _MOST_POINTS:
        return points
    # The highest point stays in, whatever its place: it is what a reader looks for.
    peak = max(range(len(points)), key=lambda place: points[place][1])
    last = len(points) - 1
    kept = {place * last // (_MOST_POINTS - 1) for place in range(_MOST_POINTS)} | {peak}
    return [points[place] for place in sorted(kept)]


def _bar(kind: str, counts: Sequence[tuple[str, int]], height: int, title: str) -> Markup:
    present = [(name, count) for name, count in counts if count > 0]
    total = sum(count for _, count in present)
    # The smallest share still shows: one harmed machine of ten thousand is the news.
    widths = [max(6.0, count / total * _WIDTH) for _, count in present]
    squeeze = _WIDTH / sum(widths) if widths else 1.0
    shape: list[str] = []
    x = 0.0
    for (name, _), width in zip(present, widths, strict=True):
        shape.append(
            f'<rect class="part {name}" x="{_n(x)}" y="0" '
            f'width="{_n(width * squeeze)}" height="{height}"/>'
        )
        x += width * squeeze
    return _svg(f"{kind} bar", _WIDTH, height, title, shape, stretch=True)


def _leaf(left: float, right: float, *, handle: float) -> str:
    width = right - left
    if width < 1:
        return ""
    body = f'<rect class="leaf" x="{_n(left)}" y="40" width="{_n(width)}" height="100"/>'
    if width < 20:  # noqa: PLR2004 - no room for a window
        return body
    middle = left + width / 2
    return (
        body
        + f'<rect class="pane" x="{_n(middle - 7)}" y="52" width="14" height="22" rx="2"/>'
        + f'<rect class="handle" x="{_n(handle)}" y="84" width="4" height="20" rx="2"/>'
    )


def _floor(gap: float) -> str:
    if gap <= 0:
        return ""
    return (
        f'<path class="path" d="M{_n(100 - gap / 2)} 140L{_n(100 - gap / 4)} 112'
        f'H{_n(100 + gap / 4)}L{_n(100 + gap / 2)} 140z"/>'
    )


def _text(text: str, x: float, y: float, kind: str, anchor: str) -> str:
    return (
        f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _svg(
    kind: str,
    width: float,
    height: float,
    title: str,
    shape: Sequence[str],
    *,
    stretch: bool = False,
) -> Markup:
    said = escape(title, quote=True)
    fit = ' preserveAspectRatio="none"' if stretch else ""
    return Markup(  # noqa: S704 - the only foreign text is escaped here and in _text
        f'<svg class="{kind}" viewBox="0 0 {_n(width)} {_n(height)}"{fit} role="img" '
        f'aria-label="{said}"><title>{said}</title>{"".join(shape)}</svg>'
    )


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
