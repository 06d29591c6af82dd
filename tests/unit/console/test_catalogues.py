"""The two catalogues and the sources agree, so that no reader meets a foreign sentence."""

import re
from importlib import resources
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po
from jinja2 import Environment

from firedoor.console.language import LANGUAGES

CONSOLE = Path(str(resources.files("firedoor.console")))
CHANNEL = CONSOLE.parent / "core" / "channel.py"
TEMPLATES = sorted((CONSOLE / "templates").glob("*.html"))
KEYWORDS = {"_": None, "say": None, "gettext": None, "ngettext": (1, 2)}
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
SPOKEN = re.compile(r'\b(?:title|alt|aria-label|placeholder|content|data-[\w-]+)="([^"]*)"')
# Not language: what browsers read, and names that are the same everywhere.
BARE = {"#", "·", "UTC", "openapi.json", "/api/channels", "/metrics"}


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_sentence_of_the_console_is_in_the_catalogue_and_no_other(name):
    """A missing id shows English to a Chinese reader; a stale one misleads translators."""
    assert {_key(message.id) for message in _catalogue(name) if message.id} == set(_sources())


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_sentence_is_translated_with_the_same_placeholders(name):
    """A lost placeholder hides a number, an invented one breaks the page."""
    wrong = []
    for message in _catalogue(name):
        if not message.id:
            continue
        wanted = set(PLACEHOLDER.findall(_key(message.id)))
        spoken = [message.string] if isinstance(message.string, str) else message.string
        for text in spoken or ():
            # "one machine" may name the number in words.
            spare = {"count"} if not isinstance(message.id, str) else set()
            if not text or not wanted - spare <= set(PLACEHOLDER.findall(text)) <= wanted:
                wrong.append(message.id)
    assert wrong == []


@pytest.mark.parametrize("name", LANGUAGES)
def test_nothing_is_marked_as_a_guess(name):
    """A fuzzy translation is one nobody has read."""
    assert [message.id for message in _catalogue(name) if message.id and message.fuzzy] == []


def test_chinese_is_chinese():
    """A copied English sentence would pass every other test here."""
    same = [
        message.id
        for message in _catalogue("zh_Hans")
        if message.id and not re.search(r"[\u4e00-\u9fff]", str(message.string))
    ]
    assert same == ["%(time)s UTC"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_bare_text(template):
    """Every word a reader sees goes through the catalogue."""
    data = [
        text
        for _, kind, text in Environment(autoescape=True).lex(template.read_text(encoding="utf-8"))
        if kind == "data"
    ]
    markup = "\x00".join(data)

    attributes = [found for found in SPOKEN.findall(markup) if re.search(r"[A-Za-z]{2}", found)]
    outside = re.sub(r"<[^>]*>", "\x01", markup)
    words = {word.strip() for word in re.split(r"[\x00\x01]", outside)}

    assert {word for word in words if re.search(r"[^\W\d_]", word)} <= BARE
    assert [each for each in attributes if not _for_browsers(each)] == []


def _for_browsers(value: str) -> bool:
    return value == "light dark" or value.startswith("width=device-width")


def _sources() -> dict[str, str]:
    found = extract_from_dir(
        CONSOLE, [("**.py", "python"), ("templates/**.html", "jinja2")], {}, keywords=KEYWORDS
    )
    sentences = {_key(message): file for file, _, message, *_ in found}
    # What is told of each kind of client stands with the kind.
    for _, message, *_ in extract_from_file("python", CHANNEL, keywords=KEYWORDS):
        sentences[_key(message)] = CHANNEL.name
    return sentences


def _key(message: object) -> str:
    return message if isinstance(message, str) else "\x00".join(message)  # type: ignore[arg-type]  # Babel: a pair for plurals


def _catalogue(name: str) -> Catalog:
    path = CONSOLE / "locale" / name / "LC_MESSAGES" / "console.po"
    with path.open("rb") as lines:
        return read_po(lines, locale=name)
