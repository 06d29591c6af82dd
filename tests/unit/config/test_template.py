"""The file that init writes, and the reference page, held to the table of keys."""

import re
import tomllib
from pathlib import Path

import pytest

from firedoor.config import defaults, from_text, keys, template

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"

OWN_KEYS = [
    (keys.DATA.name, keys.DATA),
    *((f"{table}.{key.name}", key) for table, known in keys.TABLES.items() for key in known),
    *(
        (f"{table}.{key.name}", key)
        for table, known in keys.LISTS.items()
        for key in known
        if key not in keys.POLICY
    ),
]
"""Every key where it is at home: path in the reference, key."""


def uncommented() -> str:
    """The template with every key in force, save the second of the two alert hooks."""
    text = re.sub(r"^#(?=[a-z_]+ = |\[\[)", "", template(), flags=re.MULTILINE)
    return re.sub(r"^command = .*$", "", text, flags=re.MULTILINE)


def test_the_template_says_nothing_but_the_defaults():
    """A fresh installation must behave as documented, and follow when a default improves."""
    assert from_text(template()) == defaults()


def test_every_comment_of_the_template_shows_the_default_it_stands_for():
    """Whoever takes the # away from a line must change nothing by it."""
    document = tomllib.loads(uncommented())

    for table, known in keys.TABLES.items():
        # What is nothing when it is left out stands there as an example.
        standing = {key.name for key in known if key.written}
        shown = {name: value for name, value in document[table].items() if name in standing}
        expected = {k.name: tomllib.loads(f"x = {k.written}")["x"] for k in known if k.written}
        assert shown == expected, table
    assert document["data"] == str(defaults().data)


def test_the_examples_of_the_template_are_a_valid_configuration():
    """A person who takes away every # has a channel and two rings that work."""
    config = from_text(uncommented())

    assert config.policy == defaults().policy
    shortest = '[[channel]]\nname="tools"\nkind="files"\nupstream="https://vendor.example/tools/"'
    assert config.channels == from_text(shortest).channels
    assert [ring.name for ring in config.rings] == ["lab", "offices", "everyone"]


def test_the_template_takes_a_directory_whatever_it_is_called(tmp_path):
    """The command init writes the place it has just made."""
    data = tmp_path / 'so "called"'

    assert from_text(template(str(data))).data == data
    assert from_text(template()).data == defaults().data


@pytest.mark.parametrize(("path", "key"), OWN_KEYS, ids=[path for path, _ in OWN_KEYS])
def test_every_setting_is_documented_with_its_default(path, key):
    """A setting without a heading in the reference does not exist; a wrong default is worse."""
    sections = REFERENCE.read_text(encoding="utf-8").split("\n## ")
    found = [section for section in sections if section.startswith(f"`{path}`\n")]

    assert len(found) == 1, f"## `{path}`"
    line = found[0].splitlines()[1]
    if key.written:
        assert line == f"Default: `{key.written}`"
    else:
        # Nobody is in a ring without machines, so only "everyone" may leave them out.
        by_kind = [each for known in keys.NEEDED_BY.values() for each in known]
        needed = key.needed or key is keys.MACHINES or key in by_kind
        assert line.startswith("Required" if needed else "Optional.")


def test_the_reference_describes_no_setting_that_does_not_exist():
    """A key that was removed must leave its description too."""
    headings = re.findall(r"^## `([a-z_.]+)`$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(headings) == sorted(path for path, _ in OWN_KEYS)


def test_the_reference_names_what_a_ring_may_override():
    """The list in the prose and the table in the code are the same list."""
    reference = REFERENCE.read_text(encoding="utf-8")
    sentence = re.search(r"A `\[\[ring\]\]` may repeat (.*); the others", reference)

    assert sentence is not None
    assert re.findall(r"`(\w+)`", sentence[1]) == [key.name for key in keys.RING_POLICY]
