import pytest
from tests.unit.console.scenes import NOW

from firedoor.console.language import LANGUAGES, Language, choose, load, rfc3339


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
