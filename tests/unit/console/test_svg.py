"""The pictures. ``python -m tests.unit.console.test_svg`` draws the golden ones anew."""

import math
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.console import svg
from firedoor.console.language import Language
from firedoor.core.door import State

GOLDEN = Path(__file__).parent / "golden"
SHUT = svg.Line(math.log(100), "shuts above this line", "shut")
WARN = svg.Line(math.log(20), "warns above this line", "warn")
OPENS = svg.Line(0.025, "opens below this line", "opens", below=True)
ENGLISH = Language("en")
WORDS = svg.Words("over time", "11:00:00", "12:00:00 UTC", "now", ENGLISH.factor)
SHARES = svg.Words("over time", "11:00:00", "12:00:00 UTC", "now", ENGLISH.percent)
RISING = [(tick * 1000, tick * 0.7) for tick in range(9)]
FALLING = [(tick * 1000, math.exp(-tick / 2)) for tick in range(9)]

PICTURES = {
    **{f"door-{state.value}": svg.door(state, 0.13, state.value) for state in State},
    "marks": svg.marks(
        [("harmed", 1), ("flight", 3), ("well", 4), ("control", 8), ("later", 5)], "machines"
    ),
    "marks-bar": svg.marks([("harmed", 1), ("well", 900), ("later", 90_000)], "machines"),
    "slots": svg.slots(5, 2, 1, "slots"),
    "evidence": svg.evidence(RISING, SHUT, WARN, WORDS),
    "bound": svg.bound(FALLING, OPENS, SHARES),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_as_it_was_approved(name):
    """Somebody looked at these; a change has to be looked at again."""
    assert PICTURES[name] == (GOLDEN / f"{name}.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_well_formed_and_says_what_it_shows(name):
    """It stands inline in the page, and screen readers read its title."""
    root = ET.fromstring(PICTURES[name])  # noqa: S314 - our own text

    assert root.get("aria-label")
    assert root.findtext("title") == root.get("aria-label")


@given(share=st.floats(0, 1), more=st.floats(0, 1))
def test_the_more_machines_are_admitted_the_wider_the_door(share, more):
    """The picture never says less for more."""
    low, high = sorted((share, more))

    assert _gap(svg.door(State.OPENING, low, "")) <= _gap(svg.door(State.OPENING, high, ""))


def test_one_machine_of_a_million_leaves_the_door_ajar():
    """Closed would be untrue: somebody has it."""
    assert _gap(svg.door(State.OPENING, 1e-6, "")) > 0
    assert _gap(svg.door(State.OPENING, 0, "")) == 0


@given(
    counts=st.lists(
        st.tuples(
            st.sampled_from(["harmed", "flight", "well", "control", "later", "has"]),
            st.integers(0, 30),
        ),
        max_size=6,
    )
)
def test_each_machine_of_a_small_fleet_has_a_mark(counts):
    """Nobody is drawn twice or left out."""
    drawn = svg.marks(counts, "")

    assert drawn.count('class="mark ') == sum(count for _, count in counts)


def test_one_harmed_machine_of_a_hundred_thousand_is_visible():
    """It is the news; in proportion it would be a hundredth of a pixel."""
    bar = svg.marks([("harmed", 1), ("well", 99_999)], "")

    width = re.search(r'class="part harmed" x="0" y="0" width="([\d.]+)"', bar)
    assert width is not None
    assert float(width[1]) >= 5


@given(window=st.integers(0, 30), flight=st.integers(0, 15), harmed=st.integers(0, 15))
def test_slots_show_every_taken_place_even_when_the_window_shrank(window, flight, harmed):
    """The window may fall below what is taken; the taken places do not vanish."""
    drawn = svg.slots(window, flight, harmed, "")

    assert max(window, flight + harmed) <= svg.MOST_SLOTS
    assert drawn.count('class="slot harmed"') == harmed
    assert drawn.count('class="slot flight"') == flight
    assert drawn.count('class="slot free"') == max(0, window - flight - harmed)


def test_the_highest_point_of_a_long_history_is_kept():
    """Thinning for the screen must not hide that the evidence once crossed the line."""
    series = [(tick, 0.1) for tick in range(2000)]
    series[777] = (777, SHUT.value + 1)

    assert _highest(svg.evidence(series, SHUT, WARN, WORDS)) < _y(SHUT, series)


@given(
    values=st.lists(st.floats(-700, 700), min_size=1, max_size=300),
    alpha=st.sampled_from([0.01, 0.001, 1e-9]),
)
def test_the_curve_stays_on_the_paper(values, alpha):
    """Whatever the numbers are."""
    line = svg.Line(-math.log(alpha), "shut", "shut")
    drawn = svg.evidence(list(enumerate(values)), line, WARN, WORDS)

    heights = [float(y) for y in re.findall(r'(?:class="now"[^>]* cy="|V)(-?[\d.]+)', drawn)]
    assert heights
    assert 0 <= min(heights) <= max(heights) <= 196


@given(log_e=st.floats(-20, 700))
def test_the_numbers_at_the_axis_stay_on_the_paper(log_e):
    """Strong evidence has long numbers; half of one would be read as another one."""
    drawn = svg.evidence([(0, 0.0), (1, log_e)], SHUT, WARN, WORDS)

    ticks = re.findall(r'class="tick" x="([\d.]+)" y="[\d.]+" text-anchor="end">([^<]+)<', drawn)
    # 14 units high where the screen is narrow, and a digit is 0.556 of that wide.
    assert len(ticks) >= 3
    assert all(float(x) >= 14 * 0.556 * len(says.replace(",", "")) for x, says in ticks)


def test_a_curve_that_has_only_begun_writes_its_value_beside_the_axis():
    """Not over the numbers of the axis."""
    drawn = svg.evidence([(0, 0.0)], SHUT, WARN, WORDS)

    assert re.search(r'class="now-text" x="54" y="[\d.]+" text-anchor="start"', drawn)


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=50), delta=st.floats(0.001, 0.5))
def test_any_bound_can_be_drawn(values, delta):
    """Also 0, which has no logarithm."""
    line = svg.Line(delta, "opens", "opens")

    drawn = ET.fromstring(svg.bound(list(enumerate(values)), line, SHARES))  # noqa: S314
    assert drawn.tag.endswith("svg")


def test_words_cannot_become_markup():
    """Titles and labels are data."""
    evil = '"><script>'
    words = svg.Words(evil, evil, evil, evil, lambda _: evil)

    drawn = svg.evidence(RISING, svg.Line(4.6, evil, "shut"), WARN, words)

    assert "<script>" not in drawn
    assert "<script>" not in svg.door(State.OPEN, 1, evil)


def _gap(picture: str) -> float:
    leaves = re.findall(r'class="leaf" x="([\d.]+)" y="40" width="([\d.]+)"', picture)
    (left, left_width), (right, _) = leaves
    return round(float(right) - float(left) - float(left_width), 1)


def _highest(picture: str) -> float:
    curve = re.search(r'class="curve" d="([^"]+)"', picture)
    assert curve is not None
    return min(float(y) for y in re.findall(r"V([\d.]+)", curve[1]))


def _y(line: svg.Line, series: list[tuple[int, float]]) -> float:
    drawn = svg.evidence(series, line, WARN, WORDS)
    found = re.search(r'class="line line-shut" d="M[\d.]+ ([\d.]+)H', drawn)
    assert found is not None
    return float(found[1])


if __name__ == "__main__":
    for title, picture in PICTURES.items():
        (GOLDEN / f"{title}.svg").write_text(picture, encoding="utf-8")
