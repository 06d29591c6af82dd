import math

import pytest
from tests.unit.console.world import NOW

from firedoor.console.language import LANGUAGES, Language, choose, load, named, rfc3339


@pytest.mark.parametrize(
    ("asked", "remembered", "accepted", "name"),
    [
        (None, None, "", "en"),
        (None, None, "zh-CN,zh;q=0.9,en;q=0.8", "zh_Hans"),
        (None, None, "zh-Hans", "zh_Hans"),
        (None, None, "en-GB,zh;q=0.5", "en"),
        (None, None, "zh;q=0.3,en;q=0.9", "en"),
        (None, None, "de", "en"),
        (None, None, "zh;q=0", "en"),
        (None, None, ";;q=x,,zh;q=", "zh_Hans"),
        (None, "zh_Hans", "en", "zh_Hans"),
        ("en", "zh_Hans", "zh", "en"),
        ("zh-Hans", None, "en", "zh_Hans"),
        ("../../etc", None, "en", "en"),
    ],
)
def test_the_readers_choice_wins_then_the_cookie_then_the_browser(
    asked, remembered, accepted, name
):
    """And whatever a header says, the answer is a language there is."""
    assert choose(asked, remembered, accepted) == name


def test_a_small_share_is_never_shown_as_nothing():
    """Saying that 0 % harm cannot be excluded would be a lie."""
    english = Language("en")

    assert english.percent(0.0004) == "0.04\u00a0%"
    assert english.percent(0.0243) == "2.4\u00a0%"
    assert english.percent(1.0) == "100\u00a0%"


@pytest.mark.parametrize(
    ("share", "written"), [(0.00003, "0.003\u00a0%"), (4e-7, "0.00004\u00a0%"), (0.0, "0\u00a0%")]
)
def test_a_share_of_a_large_fleet_keeps_two_digits(share, written):
    """Three in a hundred thousand machines is a figure somebody waits for."""
    assert Language("en").percent(share) == written


@pytest.mark.parametrize(
    ("e_value", "written"),
    [
        (0.31, "0.31"),
        (412, "410"),
        (48_000, "48,000"),
        (1e6, "1,000,000"),
        (1e7, "10⁷"),
        (5e9, "5 × 10⁹"),
        (1e300, "10³⁰⁰"),
        (2e-9, "2 × 10⁻⁹"),
    ],
)
def test_an_e_value_can_be_read_at_any_size(e_value, written):
    """Nobody counts the zeros of a number, and three hundred of them do not fit."""
    assert Language("en").factor(math.log(e_value)) == written


def test_an_e_value_beyond_every_number_is_still_written():
    """A thousand silent machines make one; the page must not fall over it."""
    assert Language("zh_Hans").factor(1000 * math.log(10)) == "10¹⁰⁰⁰"


def test_every_language_speaks():
    """Loaded from the committed catalogues, without a build step."""
    spoken = {each.gettext("shut") for each in load().values()}

    assert spoken == {"shut", "已关闭"}


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_time_of_another_day_shows_its_day(name):
    """At midnight "23:59:58" alone would be ambiguous."""
    language = Language(name)

    assert language.time(NOW, NOW) == "12:00:00"
    assert "2026" in language.time(NOW - 86_400_000, NOW)


def test_times_for_scripts_are_rfc_3339():
    """In UTC, to the millisecond, always the same width."""
    assert rfc3339(NOW + 7) == "2026-11-22T12:00:00.007Z"


@pytest.mark.parametrize("name", ["zh", "zh-CN", "zh_CN", "zh_Hans", "zh-Hans", "ZH"])
def test_chinese_is_understood_by_all_its_usual_names(name):
    """LANG=zh_CN always worked; what was asked for by name was refused."""
    assert named(name) == "zh_Hans"
    assert choose(name, None, "en") == "zh_Hans"
    assert named("xx") is None
