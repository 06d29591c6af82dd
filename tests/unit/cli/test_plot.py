import math

import pytest

from firedoor.cli.plot import ROWS, Line, plot
from firedoor.console.language import LANGUAGES, Language

LINES = (Line(math.log(100), "=", "shuts"), Line(math.log(20), "-", "warns"))
MINUTE = 60_000


def picture(values, width=77, language="en"):
    points = [(place * MINUTE, value) for place, value in enumerate(values)]
    return plot(points, LINES, Language(language), width)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [40, 77])
@pytest.mark.parametrize(
    "values", [[0.0], [0.0, 0.0], [0, 3, 6], [-9.0, 0, 2], [0, 900.0], [0, 1] * 400]
)
def test_a_curve_of_any_shape_fits_the_terminal(values, width, language):
    """One point, none that moves, evidence beyond every number, and a year of ticks."""
    drawn = picture(values, width, language)

    assert len(drawn) == ROWS + 1 + len(LINES)
    assert all(len(line) <= width for line in drawn[: ROWS + 1])
    assert sum("*" in line for line in drawn) >= 1


def test_evidence_that_shut_the_door_is_drawn_above_the_line():
    """The one thing the picture is for, without colour."""
    drawn = picture([0, 0, 1, 2, 5])[:ROWS]

    shuts = next(place for place, line in enumerate(drawn) if "=" in line)
    warns = next(place for place, line in enumerate(drawn) if "-" in line)
    assert drawn[shuts].startswith("100 |")
    assert shuts < warns
    for just_above in (math.log(100), 4.7, 5):
        assert any("*" in line for line in picture([0, 0, 1, just_above])[:shuts])
    for just_below in (4.0, 4.6):
        assert not any("*" in line for line in picture([0, 0, 1, just_below])[:shuts])


def test_a_peak_that_lasted_one_tick_of_a_thousand_is_seen():
    """A door that was shut by it would otherwise have been shut by nothing."""
    values = [0.0] * 1000
    values[500] = 6.0

    assert "*" in picture(values)[0]
