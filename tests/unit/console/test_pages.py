import re
from html.parser import HTMLParser

import msgspec
import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import console, get

from firedoor.console import phrases
from firedoor.console.language import LANGUAGES, Language
from firedoor.console.model import Judgement
from firedoor.core.door import Reason, State


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("scene", scenes.SCENES)
def test_every_moment_can_be_shown_in_every_language(scene, name):
    """From "nothing configured" to "harmful": a page that fails is worst when it is needed."""
    reply = get(console(scenes.SCENES[scene]()), f"/?lang={name}")

    assert reply.status == 200
    assert f'<html lang="{name.replace("_", "-")}">' in reply.text
    assert "%(" not in reply.text


@pytest.mark.parametrize("scene", scenes.SCENES)
def test_the_page_keeps_its_own_policy(scene):
    """No inline script, style or handler: under the policy it would silently not work."""
    page = Page()

    page.feed(get(console(scenes.SCENES[scene]()), "/").text)

    assert page.inline == []
    assert page.open == []


def test_the_page_is_complete_without_javascript():
    """A still picture with door, machines, curves, thresholds in words, and decisions."""
    text = get(console(scenes.opening()), "/").text

    assert "Release 2 is being tried on 26 of 200 machines." in text
    for picture in ("door door-opening", "marks", "slots", "chart evidence", "chart bound"):
        assert f'class="{picture}"' in text
    for words in (
        "shuts above this line",
        "opens below this line",
        "<b>11 machines</b> may be at risk at once: 8 in flight, 0 harmed, 3 free.",
        "A decision is to be expected in about 6 minutes.",
        "boarded: 2 files changed; budget 5, delta 0.025",
    ):
        assert words in text


def test_a_shut_door_names_the_machines_that_need_help():
    """And says honestly that nothing has been undone on them."""
    text = get(console(scenes.shut()), "/").text

    assert "Release 3 is harmful. It was stopped after 7 of 200 machines" in text
    assert text.count("needs a remedy") == 6
    assert "rolled back" not in text


def test_what_others_wrote_is_never_markup():
    """Vendors, machines and operators name things; the console only repeats them."""
    world = scenes.shut()
    evil = "<script>alert(1)</script>"
    world.views = [
        msgspec.structs.replace(world.views[0], upstream=evil, last_error=evil, state=evil)
    ]
    world.enrolled = [
        msgspec.structs.replace(each, machine=f"{each.machine}{evil}", harm=evil, undo=evil)
        for each in world.enrolled
    ]
    world.ledger = [
        msgspec.structs.replace(each, by=evil, sentence=evil, channel=evil, ring=evil)
        for each in world.ledger
    ]
    release = world.boarded[-1]
    door = msgspec.structs.replace(
        release.door["everyone"], state=State.HELD, reason=Reason.PERSON, by=evil, note=evil
    )
    world.boarded[-1] = msgspec.structs.replace(release, door={evil: door, "lab": door})

    text = get(console(world), "/").text

    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


def test_the_choice_of_language_is_remembered():
    """One click, not one on every visit; the cookie says nothing else and no script reads it."""
    app = console(scenes.opening())

    chosen = get(app, "/?lang=zh_Hans").headers["set-cookie"]
    later = get(app, "/", cookie=chosen.split(";")[0], accept_language="en")

    assert "HttpOnly" in chosen and "SameSite=strict" in chosen
    assert 'lang="zh-Hans"' in later.text


def test_the_page_is_rendered_once_per_change():
    """A hundred viewers of one change cost one rendering."""
    world = scenes.opening()
    app = console(world)
    get(app, "/")

    world.ledger.clear()  # not announced by version(), so nobody may see it
    assert "boarded: 2 files" in get(app, "/").text

    world.changes += 1
    assert "boarded: 2 files" not in get(app, "/").text


def test_a_held_door_says_when_the_evidence_alone_would_open_it():
    """The operator who holds a good release should know what waiting costs."""
    world = scenes.large()
    held = next(each for each in world.boarded if each.id == scenes.THIRD)
    cleared = msgspec.structs.replace(
        held, verdict=msgspec.structs.replace(held.verdict, state=Judgement.CLEARED)
    )
    world.show(cleared, world.views[0])

    assert "By the evidence alone the door would open now" in get(console(world), "/").text
    assert "By the evidence alone" not in get(console(scenes.large()), "/").text


@pytest.mark.parametrize("state", State)
def test_every_state_and_reason_has_words(state):
    """The core may grow a reason; the page must not fall over it."""
    english = Language("en")
    door = msgspec.structs.replace(scenes.opening().boarded[-1].door["everyone"], state=state)

    for reason in Reason:
        assert phrases.because(english, state, reason)
        assert "7" in phrases.headline(english, 7, msgspec.structs.replace(door, reason=reason))


def test_a_signal_kind_nobody_knows_speaks_for_itself():
    """Operators may send kinds of their own."""
    assert phrases.harm(Language("en"), "fan-stopped") == "fan-stopped"


class Page(HTMLParser):
    """Finds what the policy forbids, and tags that were never closed."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the policy forbids."""
        names = {name for name, _ in attrs}
        if tag == "style" or "style" in names or any(re.match(r"on\w+$", name) for name in names):
            self.inline.append(tag)
        if tag == "script" and "src" not in names:
            self.inline.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself."""
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self.open.pop() == tag
