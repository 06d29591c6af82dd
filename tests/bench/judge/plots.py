"""Two pictures for the page, as SVG text; they paint themselves for light and for dark."""

import math
from collections.abc import Sequence
from html import escape

from tests.bench.judge.contests import FleetScore
from tests.bench.judge.score import Scores
from tests.bench.rules.catalogue import RULES
from tests.bench.streams.policies import POLICIES

_STYLE = (
    "<style>svg{background:#fff}text{font:11px sans-serif;fill:#222}.title{font-size:13px}"
    ".grid{stroke:#ccc;stroke-width:.6;fill:none}.them{fill:#888}.us{fill:#0a7d4f}"
    ".rule{stroke:#0a7d4f;fill:none;stroke-dasharray:3 3}"
    "@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ddd}"
    ".grid{stroke:#444}.them{fill:#888}.us{fill:#3fcf8e}}</style>"
)
_LEFT, _TOP, _WIDE, _HIGH = 60.0, 34.0, 560.0, 300.0
_LEADER = 12.0  # a label that is farther from its point is tied to it
_LEAST_RATE = 0.3  # per 1000: where "none in 2000 runs" is drawn


def operating_points(scores: Scores, scenario: str, healthy: str, title: str) -> str:
    """False halts against machines harmed, a point for each rule: down and left is better."""
    bad, good = scores.get(scenario, {}), scores.get(healthy, {})
    keys = [rule.key for rule in RULES if rule.key in bad and rule.key in good]
    most = max([1.0, *(bad[key].harmed for key in keys)])
    low, high = 0.0, math.log10(most * 1.3)

    def x(rate: float) -> float:
        span = math.log10(1000.0 / _LEAST_RATE)
        return _LEFT + math.log10(max(rate, _LEAST_RATE) / _LEAST_RATE) / span * _WIDE

    def y(harmed: float) -> float:
        share = (math.log10(max(harmed, 1.0)) - low) / (high - low)
        return _TOP + (1.0 - share) * _HIGH

    shape: list[str] = []
    for rate in (_LEAST_RATE, 1.0, 10.0, 100.0, 1000.0):
        shape.append(f'<path class="grid" d="M{x(rate):.1f} {_TOP}V{_TOP + _HIGH}"/>')
        says = "none" if rate == _LEAST_RATE else f"{rate:g}"
        shape.append(_text(says, x(rate), _TOP + _HIGH + 15, "middle"))
    for power in range(int(high) + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0**power
            if math.log10(value) <= high:
                shape.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f}h{_WIDE}"/>')
                shape.append(_text(f"{value:g}", _LEFT - 6, y(value) + 4, "end"))
    groups: dict[tuple[int, int], list[str]] = {}
    for key in keys:
        at = round(x(1000.0 * good[key].halt_rate)), round(y(bad[key].harmed))
        groups.setdefault(at, []).append(key)
    boxes = [(px - 7.0, py - 7.0, px + 7.0, py + 7.0) for px, py in groups]
    for (px, py), names in sorted(groups.items()):
        ours = any(name.startswith("firedoor") for name in names)
        shape.append(f'<circle class="{"us" if ours else "them"}" cx="{px}" cy="{py}" r="5"/>')
        short = ", ".join(name.split(" ")[0] if len(names) > 3 else name for name in names)
        left, line = _free_place(boxes, px, py, 5.6 * len(short))
        boxes.append((left, line - 9, left + 5.6 * len(short), line + 2))
        if abs(line - 4 - py) > _LEADER:
            near = left - 2 if left > px else px - 7.0
            shape.append(f'<path class="grid" d="M{px} {py}L{near:.1f} {line - 4:.1f}"/>')
        begins, anchor = (left, "start") if left > px else (px - 9.0, "end")
        shape.append(_text(short, begins, line, anchor))
    shape.append(
        _text(
            "false halts per 1000 healthy releases", _LEFT + _WIDE / 2, _TOP + _HIGH + 32, "middle"
        )
    )
    return _svg(_WIDE + 90, _HIGH + 80, title, shape)


def _free_place(
    boxes: Sequence[tuple[float, float, float, float]], px: float, py: float, wide: float
) -> tuple[float, float]:
    """Where a label of this width goes: its left end and line; near its point, over nothing."""
    places = [
        (abs(shift) + 20.0 * on_left, px - 9.0 - wide if on_left else px + 9.0, py + 4.0 + shift)
        for shift in range(-90, 91, 3)
        for on_left in (False, True)
    ]
    for _, left, line in sorted(places):
        inside = left > _LEFT and left + wide < _LEFT + _WIDE + 25 and _TOP < line < _TOP + _HIGH
        if inside and not any(
            left < x1 and left + wide > x0 and line - 9 < y1 and line + 2 > y0
            for x0, y0, x1, y1 in boxes
        ):
            return left, line
    return px + 9.0, py + 4.0


def blast(found: Sequence[FleetScore], harm: float, title: str) -> str:
    """Machines killed by a release, policy by policy, on a logarithmic scale."""
    cells = {x.policy: x for x in found if x.harm == harm}
    rows = [policy.name for policy in POLICIES if policy.name in cells]
    most = math.log10(8_500_000)
    left, wide, pitch = 170.0, 430.0, 18.0
    shape: list[str] = []
    for power in range(8):
        px = left + min(1.0, power / most) * wide
        if power <= most:
            shape.append(f'<path class="grid" d="M{px:.1f} {_TOP}v{pitch * len(rows):.1f}"/>')
            shape.append(_text(f"{10**power:,}".replace(",", " "), px, _TOP - 5, "middle"))
    for number, name in enumerate(rows):
        top = _TOP + number * pitch
        width = math.log10(max(1.0, cells[name].harmed)) / most * wide
        ours = name.startswith(("firedoor", "valve"))
        shape.append(_text(name, left - 6, top + 12, "end"))
        shape.append(
            f'<rect class="{"us" if ours else "them"}" x="{left}" y="{top + 3:.1f}" '
            f'width="{max(1.5, width):.1f}" height="{pitch - 6}"/>'
        )
        value = f"{cells[name].harmed:,.0f}".replace(",", " ")
        shape.append(_text(value, left + width + 5, top + 12, "start"))
    return _svg(left + wide + 80, _TOP + pitch * len(rows) + 20, title, shape)


def _text(says: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(says)}</text>'


def _svg(width: float, height: float, title: str, shape: Sequence[str]) -> str:
    said = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" role="img">{_STYLE}<title>{said}</title>'
        f'<text class="title" x="8" y="16">{said}</text>{"".join(shape)}</svg>\n'
    )
