"""``firedoor verdict explain``, and the page that says the same, in every situation there is."""

import re
import unicodedata
from html import unescape

import pytest
from tests.unit.cli.situations import SITUATIONS
from tests.unit.console.asking import get
from tests.unit.console.world import World

from firedoor.cli.explanation import COLUMNS, text, wrapped
from firedoor.console import explaining
from firedoor.console.app import make_app
from firedoor.console.language import LANGUAGES, Language
from firedoor.core.cell import Cell, Test
from firedoor.core.signal import SILENCE
from firedoor.core.verdict import Rules, VerdictState, fold, verdict
from firedoor.wire.views import Views

SHOWS = {
    "no_data": (
        "is undecided",
        "Nothing is known yet",
        "No machine has got it.",
        "Nobody is in flight now",
        "release hold",
    ),
    "undecided": (
        "5 machines got it; harmed: 0; outcome not known yet: 5.",
        "at most 5 may be at risk at once now",
        "3 of the 5 machines in flight and none of the 45 control machines would shut it",
        "more installs, if no machine of either side comes to harm",
        "release shut",
    ),
    "cleared": (
        "is cleared",
        "It is safe enough",
        "Firedoor holds nobody back any more.",
        "It is decided.",
        "only more than that is excluded",
    ),
    "walked": (
        "It stayed undecided",
        "step by step, and no harm showed",
        "Never: its doors have ended",
        "this fleet is too small to exclude that",
        "fewer than about 30 installs; so far there are 30",
    ),
    "harmful": (
        "It does harm: of the 3 machines that got it 3 came to harm (went silent)",
        "Contained already",
        "Revert: nothing to type",
        "--state harmed",
        "a verdict of harm stays",
        "fewer than about 2 harmed machines",
        "the judge does not shut it again",
    ),
    "budget_spent": (
        "The harm budget is spent",
        "those in flight are still followed",
        "release resume",
        "are too few, even if all stay well",
        "the door is held and waits for a person",
    ),
    "held": (
        "Amira holds release 2",
        "release resume",
        "the door is held and waits for a person",
    ),
    "adopted": ("has no verdict", "No evidence is claimed", "no machine that got it was compared"),
    "expedited": ("has no verdict", "Amira let release 2 through to every machine"),
    "left_behind": ("It stayed undecided", "Firedoor offers it to nobody new."),
}


@pytest.fixture(scope="module", params=SITUATIONS)
def situation(request, tmp_path_factory):
    """Name, desk and release of one situation; nobody changes it."""
    desk, release = SITUATIONS[request.param](tmp_path_factory.mktemp("situation"))
    yield request.param, desk, release
    desk.site.close()


def prose(text: str) -> str:
    """What was broken into lines, in one."""
    return re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " "))


def test_every_situation_is_explained_with_what_matters_in_it(situation):
    """Somebody has to decide whether to believe it, at night, without a statistician."""
    name, desk, release = situation

    said = desk.run("verdict", "explain", release, "--lang", "en")

    assert said.code == 0, said.err
    for words in SHOWS[name]:
        assert words in prose(said.out), words


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_and_the_command_say_the_same_sentences(situation, language):
    """One catalogue and one order: whoever reads one may quote it to the reader of the other."""
    _, desk, release = situation
    views = Views(desk.site.config, desk.site.files, desk.site.clock)
    facts = views.explain(release)
    assert facts is not None
    app = make_app(views, World(), token="t" * 32, hosts=(), clock=desk.site.clock)

    page = get(app, f"/releases/{release}/explain?lang={language}")
    lines = [line for line, _ in text(Language(language), facts)]

    views.close()
    assert page.status == 200
    shown, printed = unescape(page.text), re.sub(r"\s", "", "".join(lines))
    for part in explaining.parts(Language(language), facts):
        steps = [(step.name, step.command, step.does, step.does_not) for step in part.steps]
        for sentence in (part.title, *part.sentences, *(word for step in steps for word in step)):
            assert sentence in shown
            assert re.sub(r"\s", "", sentence) in printed


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_is_wider_than_a_terminal_but_for_commands(situation, language):
    """Eighty columns, also where a letter takes two; a command stays whole, to be copied."""
    _, desk, release = situation

    lines = desk.run("verdict", "explain", release, "--lang", language).out.splitlines()

    wide = [line for line in lines if _columns(line) > COLUMNS]
    assert [line for line in wide if not line.lstrip().startswith("firedoor ")] == []


def test_a_chinese_explanation_has_no_english_sentence(situation):
    """Commands, names and ids stay as they are."""
    _, desk, release = situation

    said = desk.run("verdict", "explain", release, "--lang", "zh_Hans").out

    own = re.sub(r"firedoor [a-z]+ [^\u4e00-\u9fff]*", "", prose(said))
    assert set(re.findall(r"[A-Za-z]{2,}(?: [A-Za-z]{2,})+", own)) == set()


def test_the_terminals_language_is_spoken(tmp_path, monkeypatch):
    """LC_ALL before LANG, and the one that is named before both."""
    desk, release = SITUATIONS["adopted"](tmp_path)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.delenv("LC_ALL", raising=False)

    by_lang = desk.run("verdict", "explain", release).out
    monkeypatch.setenv("LC_ALL", "C")
    by_lc_all = desk.run("verdict", "explain", release).out
    by_name = desk.run("verdict", "explain", release, "--lang", "zh-Hans").out
    unknown = desk.run("verdict", "explain", release, "--lang", "de")

    desk.site.close()
    assert "没有判断" in by_lang
    assert "has no verdict" in by_lc_all
    assert by_name == by_lang
    assert (unknown.code, unknown.out) == (2, "")
    assert "--lang en | zh" in unknown.err


def test_what_would_shut_it_is_what_the_core_says():
    """The number on the page, put to the core by hand: two of five are no proof, three are."""
    rules = Rules(0.01, 0.05, 0.05, 0.05, ((SILENCE, 1.0),))
    states = [
        verdict(
            fold(rules, [Cell(1, "everyone", 1, 0, Test.HARM, SILENCE, "", 5, 45, silent, 0)])
        ).state
        for silent in (2, 3)
    ]

    assert states == [VerdictState.UNDECIDED, VerdictState.HARMFUL]


@pytest.mark.parametrize("width", [20, 37, 80])
@pytest.mark.parametrize(
    "sentence",
    [
        "A harmless release gets there with a chance of at most 1 %, however often one looks.",
        "以 95 % 的置信度，目前还不能排除任何比例的损害（firedoor machine enroll）。",
        "averyveryverylongwordthatfitsnowhereatall short",
        "",
    ],
)
def test_a_broken_sentence_loses_nothing(sentence, width):
    """And no line begins with a full stop or a comma."""
    lines = [*wrapped(sentence, "  ", width)]

    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", sentence)
    assert all(_columns(line) <= width for line in lines if " " in line.strip())
    assert not any(unicodedata.category(line.strip()[0]) in ("Po", "Pe") for line in lines)


def _columns(line: str) -> int:
    return sum(2 if "\u2e80" <= letter <= "\uffef" else 1 for letter in line)
