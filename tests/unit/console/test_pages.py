import re
from html.parser import HTMLParser

import msgspec
import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import console, get

from firedoor.console import phrases
from firedoor.console.language import LANGUAGES, Language
from firedoor.console.model import DecisionView, Judgement
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


@pytest.mark.parametrize("scene", scenes.SCENES)
def test_a_chinese_page_says_nothing_in_english(scene):
    """Names and quotations stay as they were written; every sentence of ours is Chinese."""
    reader = Reader()

    reader.feed(get(console(scenes.SCENES[scene]()), "/?lang=zh_Hans").text)

    names = {"Amira Haddad", "control rooms"}
    assert set(re.findall(r"[A-Za-z]{2,}(?: [A-Za-z]{2,})+", reader.own)) <= names


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_persons_reason_stands_as_they_wrote_it(name):
    """Once where the door is and once where it was decided, in quotation marks."""
    text = get(console(scenes.large()), f"/?lang={name}").text

    reason = "two sites report slow logons; looking</q>"
    assert f'<q lang="">{reason}' in text
    assert f'<q class="sentence" lang="">{reason}' in text


def test_a_reason_that_is_only_in_the_record_is_quoted_with_it():
    """Better a sentence of English too many than the reason lost."""
    decision = msgspec.structs.replace(scenes.large().ledger[-1], note="")

    assert phrases.quoted(decision).endswith(
        "nobody new gets it; two sites report slow logons; looking"
    )


@pytest.mark.parametrize("kind", ["boarded", "seed-revealed", "note", "tea-made"])
def test_every_kind_of_entry_has_words(kind):
    """Also one that a newer judge writes."""
    entry = DecisionView(index=0, time_ms=0, kind=kind)

    assert len({phrases.decided(Language(name), entry) for name in LANGUAGES}) == 2


def test_the_verdict_says_what_it_rests_on():
    """The same numbers in both languages: how many, how sure, and what is asked for."""
    text = {
        name: get(console(scenes.cleared()), f"/?lang={name}").text.replace("\u00a0", " ")
        for name in LANGUAGES
    }

    assert "Machines it reached: 118; known to be well: 118; harmed: 0." in text["en"]
    for words in ("已到达机器：118 台", "确认正常：118 台", "受损：0 台", "达到 100 时门会关闭"):
        assert words in text["zh_Hans"]
    assert "The e-value against it is 0.31; at 100 the door shuts." in text["en"]
    assert "e 值为 0.31" in text["zh_Hans"]
    assert "harms more than 2.4 % of the machines" in text["en"]
    assert "超过 2.4 % 的安装机器" in text["zh_Hans"]


def test_a_channel_that_waits_for_a_person_says_so():
    """Nothing boards any more; whoever does not read it here waits for updates in vain."""
    world = scenes.shut()
    world.views = [
        msgspec.structs.replace(
            world.views[0], blocked=True, pinned={"lab": scenes.FIRST}, refused=scenes.THIRD
        )
    ]
    app = console(world)

    english, chinese = get(app, "/").text, get(app, "/?lang=zh_Hans").text

    assert "Release 2 is served and nothing is in flight." in english
    assert "boards only when a person resumes the channel" in english
    assert "Ring lab is pinned to release 1f0a9c4e7d0a, so nothing newer boards." in english
    assert "The vendor offers release 3e77d2059b77, which was shut" in english
    assert "版本 3e77d2059b77 曾被关闭" in chinese
    assert "要等有人恢复此通道" in chinese
    assert "环 lab 已固定在版本 1f0a9c4e7d0a" in chinese


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


class Reader(HTMLParser):
    """Keeps what the console itself says: no quotations, commands, addresses and identifiers."""

    FOREIGN = frozenset({"q", "code", "pre", "script", "nav"})

    def __init__(self) -> None:
        super().__init__()
        self.own = ""
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Enter a quotation, or read what a screen reader says."""
        self.depth += tag in self.FOREIGN
        said = (text for name, text in attrs if name in ("title", "aria-label", "alt"))
        self.own += "".join(f"|{text}|" for text in said)

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        self.depth -= tag in self.FOREIGN

    def handle_data(self, data: str) -> None:
        """Keep it unless it is quoted."""
        if not self.depth:
            self.own += f"|{data}|"


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
