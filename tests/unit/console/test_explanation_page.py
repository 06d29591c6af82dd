"""The page that explains a verdict."""

import re

import msgspec
import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import console, get
from tests.unit.console.test_pages import Page, Reader

from firedoor.console import advising, explaining
from firedoor.console.facts import Advice, Facts, Move
from firedoor.console.language import LANGUAGES, Language

# The release each scene is about.
ABOUT = {
    "adopted": scenes.FIRST,
    "opening": scenes.SECOND,
    "cleared": scenes.SECOND,
    "held": scenes.THIRD,
    "shut": scenes.THIRD,
    "large": scenes.THIRD,
}


def page(scene: str, language: str = "en") -> str:
    reply = get(
        console(scenes.SCENES[scene]()), f"/releases/{ABOUT[scene]}/explain?lang={language}"
    )
    assert reply.status == 200
    return reply.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("scene", ABOUT)
def test_every_moment_is_explained_in_every_language(scene, language):
    """A page that fails is worst when it is needed."""
    text = page(scene, language)

    assert f'<html lang="{language.replace("_", "-")}">' in text
    assert "%(" not in text
    parts = re.findall(r'<section class="card part" id="(\w+)"', text)
    assert parts[:2] == ["verdict", "do"]
    assert parts[-1] == "limits"
    assert len(parts) == (3 if scene == "adopted" else 9)


@pytest.mark.parametrize("scene", ABOUT)
def test_the_page_keeps_its_own_policy(scene):
    """No inline script, style or handler: under the policy it would silently not work."""
    found = Page()

    found.feed(page(scene))

    assert found.inline == []
    assert found.open == []


@pytest.mark.parametrize("scene", ABOUT)
def test_a_chinese_explanation_says_nothing_in_english(scene):
    """Names, commands and ids stay as they were written."""
    reader = Reader()

    reader.feed(page(scene, "zh_Hans"))

    own = re.sub(r"firedoor [a-z]+ [^\u4e00-\u9fff]*", "", reader.own)
    own = own.replace("a site with a name that is rather long, Ústí nad Labem", "")
    names = {"Amira Haddad", "control rooms"}
    assert set(re.findall(r"[A-Za-z]{2,}(?: [A-Za-z]{2,})+", own)) <= names


def test_every_release_on_the_front_page_leads_to_its_explanation():
    """Whoever sees "held" wants to know what it means, without knowing an address."""
    text = get(console(scenes.shut()), "/").text

    for release in (scenes.FIRST, scenes.SECOND, scenes.THIRD):
        assert f'<a href="/releases/{release}/explain">' in text


def test_the_switch_of_language_stays_on_the_page():
    """It is a link, and leads back to what is being read."""
    assert f'href="/releases/{scenes.THIRD}/explain?lang=zh_Hans"' in page("shut")


def test_a_name_of_others_cannot_become_markup():
    """An attribute's value is text of whoever enrols machines."""
    world = scenes.shut()
    made = world.explain
    world.explain = lambda release: _renamed(made(release))  # type: ignore[method-assign]  # a fake

    text = get(console(world), f"/releases/{scenes.THIRD}/explain").text

    assert "<script>alert" not in text
    assert "site=&lt;script&gt;alert" in text


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"/releases/{scenes.THIRD[:8]}/explain", 200),
        (f"/releases/{'0' * 64}/explain", 404),
        ("/releases/3e77/explain", 400),
        ("/releases/..%2F..%2Fetc/explain", 400),
    ],
)
def test_a_release_is_found_by_the_beginning_of_its_id(target, status):
    """As in the API; and what is no release is no page."""
    assert get(console(scenes.shut()), target).status == status


def test_the_page_follows_the_release():
    """It is remembered until something changes, and no longer."""
    world = scenes.opening()
    app = console(world)
    target = f"/releases/{scenes.SECOND}/explain"
    before = get(app, target).text
    later = scenes.cleared()

    world.show(later.boarded[-1], later.views[0])

    assert "lets machines through a few at a time" in before
    assert "holds nobody back any more" in get(app, target).text


def _renamed(facts):

    worst = msgspec.structs.replace(facts.groups[0], value="<script>alert(1)</script>")
    return msgspec.structs.replace(facts, groups=(worst, *facts.groups[1:]))


def facts_in(scene: str) -> Facts:
    facts = scenes.SCENES[scene]().explain(ABOUT[scene])
    assert facts is not None
    return facts


def told(facts: Facts, key: str, language: str = "en") -> str:
    """The sentences of one part."""
    (part,) = [each for each in explaining.parts(Language(language), facts) if each.key == key]
    return " ".join(part.sentences)


def test_a_warning_is_told_as_one():
    """It is no verdict, but nothing clears a release under it."""
    facts = facts_in("opening")
    warned = msgspec.structs.replace(
        facts,
        warn=True,
        release=msgspec.structs.replace(
            facts.release, verdict=msgspec.structs.replace(facts.release.verdict, forecast_s=None)
        ),
    )

    assert "a warning stands" in told(warned, "verdict")
    assert "nothing can while the warning stands" in told(warned, "change")
    assert told(warned, "when") == "Nobody can say: the warning has to fade first."


def test_groups_that_are_listed_as_harmed_are_named():
    """Where a list was made: the table alone names nobody."""
    facts = facts_in("shut")
    worst, *others = facts.groups
    listed = (msgspec.structs.replace(worst, named=True), *others)

    assert "Named as harmed" not in told(facts, "machines")
    assert "Named as harmed, with few innocents among them: site=Praha-1." in told(
        msgspec.structs.replace(facts, groups=listed), "machines"
    )


def test_a_client_that_does_not_go_back_is_not_said_to():
    """Stock updaters ignore an older index: saying "reverted" would be the worst lie of all."""
    moves = [each.move for each in advising.advice(facts_in("shut").release, reverts=False)]

    assert Move.STAYS in moves
    assert Move.REVERT not in moves


@pytest.mark.parametrize("move", Move)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_move_says_what_it_does_and_what_it_does_not(move, language):
    """A command without its limits is an invitation to trust it too far."""
    each = Advice(move=move)
    speaks = Language(language)

    said = [f(speaks, each) for f in (advising.name, advising.does, advising.does_not)]

    assert all(said)
    assert not any("%(" in words for words in said)
