"""Refusing: every mistake is named with its place and a way out."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.config.texts import RINGS, TOOLS, refused, written

from firedoor.config import (
    explain,
    from_text,
    load,
)
from firedoor.core.errors import BadConfig

# Refusing


TUF = TOOLS.replace('"files"', '"tuf"')


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[policy]\n\nbudgte = 5", "firedoor.toml:3: policy.budgte: unknown key", '"budget"?'),
        ("[polcy]\nx = 1", "firedoor.toml:1: polcy: unknown key", '"policy"?'),
        ("budget = 5", "firedoor.toml:1: budget: unknown key", "belongs under [policy]"),
        ("[gate]\ndata = 'x'", "gate.data: unknown key", "before the first [heading]"),
        ("[time]\nbucket = 60", "firedoor.toml:2: time.bucket: expected a duration", "add a unit"),
        ("[policy]\nsoak = '1 hour'", 'found "1 hour"', "units are d, h, m, s, ms"),
        ("[policy]\nalpha_warn = 5", "expected a number between 0 and 1", "5 percent as 0.05"),
        ("[policy]\nbudget = 0", 'expected "auto" or a whole number', ""),
        ("[policy]\nmode = 'dry'", 'expected "enforce" or "shadow"', ""),
        ("[policy]\nrestart_of = ['a.service']", "alone, not by", "leave it out"),
        (
            TOOLS + "takes_effect = 'restart'\nrestart_of = " + str([f"s{n}" for n in range(21)]),
            "found 21",
            "",
        ),
        ("[policy]\ncontrol = 0", "0 is for shadow mode", "write 0.10, or more"),
        ("[gate]\nidentify = 'basic'", "expected a list of texts", 'write ["basic"]'),
        ("[gate]\nidentify = ['basic', 'token']", 'found "token"', ""),
        ("[gate]\nidentify = []", "found an empty list", ""),
        ("[console]\nlisten = '0.0.0.0:8082'", "no sign-in yet", '"127.0.0.1:8082"'),
        ("[gate]\nlisten = '0.0.0.0:8081'", "gate.listen: taken already", "another port"),
        ("gate = 5", "gate: expected one table, headed [gate]", ""),
        ("[channel]\nname = 'x'", "each headed [[channel]]", "two brackets"),
        ("[[channel]]\nkind = 'files'", "firedoor.toml:1: channel[0]: has no name", "add name"),
        ("[[channel]]\nname = 'x'\nkind = 'files'", 'channel.x: "upstream" is missing', "add ups"),
        ("[[channel]]\nname = 'm'\nkind='files'\nupstream='/x'", "channel[0].name", "another"),
        (TOOLS.replace('"files"', '"zip"'), "kind: expected a kind of updater", "plain files"),
        (TUF + "trust = ['/k', '/l']", "begin with one root", "name the oldest"),
        (TUF + "trust = ['/k']\nmetadata = '../x'", "a directory below the upstream", "upstream"),
        (TOOLS.replace('"files"', '"apt"') + "trust = ['/k']", 'needs "suites"', "add suites"),
        (TOOLS + 'trust = ["/k"]', 'only a channel of kind "apt" or "rpm" or "tuf" has', "correct"),
        (TOOLS + 'suites = ["stable"]', 'only a channel of kind "apt" has "suites"', "correct"),
        (TOOLS + "session_max = '1s'", "cannot be idle for 2s", "at least session_idle"),
        (TOOLS + "first = 'hold'", 'expected "adopt"', ""),
        (TOOLS + TOOLS, "firedoor.toml:8: channel.tools: stands twice", "only another file"),
        (RINGS + "alpha_harm = 0.1", "a ring cannot override this", "under [policy]"),
        ("[[ring]]\nname='a'", "no machine could ever be in this ring", "add machines"),
        ("[[ring]]\nname='a'\nmachines={s='x'}", "for s a list of texts", 'write ["x"]'),
        (RINGS.replace('= "lab"\ns', '= "labs"\ns'), 'there is no ring "labs"', '"lab"?'),
        (RINGS.replace("budget = 2", "after = 'lab'"), "this ring waits for itself", "begin"),
        (RINGS.replace("budget = 2", "after = 'offices'"), "lab after offices after lab", "begin"),
        (RINGS.replace("budget = 2", "after = 'everyone'"), "waits for all others", "rings:"),
        ("[[ring]]\nname='everyone'\nmachines={s=['x']}", "takes all that no other", "leave out"),
        ("[time]\nsilence_min = '1m'", "firedoor.toml:2: time.settle: signs of life", "shorter"),
        ("[time]\nbucket = '6m'", "firedoor.toml:2: time.silence_min: a deadline of 5m", "6m"),
        ("[policy]\nalpha_warn = 0.001", "shut before anybody is warned", "at least alpha_harm"),
        ("[alert]\nwebhook='http://h/'\ncommand=['x']", "one alert hook", "keep one"),
        ("[policy]\nbudget 5", "firedoor.toml:2: this is not TOML", "the line reads: budget 5"),
        ("x = 1\nx = 2", "firedoor.toml:2: this is not TOML", "stands twice"),
        ("\n\nx = [1,", "firedoor.toml:3: this is not TOML", "x = [1,"),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_a_way_out(text, message, hint):
    """A message is good if its reader does not have to open the manual."""
    error = refused(text)

    assert message in str(error)
    assert hint in error.hint
    assert "problems" not in str(error)


def test_all_mistakes_are_told_at_once():
    """A file on a machine far away is edited once, not once for each mistake."""
    error = refused(
        """\
        [time]
        bucket = 60
        [policy]
        budgte = 5

        control = [
          1,
        ]
        [[channel]]
        name = "tools"
        kind = "fils"
        """
    )

    rows = str(error).splitlines()
    told = [row.strip() for row in rows if not row.strip().startswith("hint:")]
    assert [row.split(":")[1] for row in told[1:]] == ["2", "4", "6", "11", "10"]
    assert told[0] == "5 problems in the configuration"
    assert 'channel.tools: "upstream" is missing' in told[-1]
    assert '    hint: did you mean "budget"?' in rows


def test_a_mistake_in_a_generated_file_is_told_without_searching_for_its_line():
    """Thousands of channels are no reason to keep a person waiting for a message."""
    error = refused("# channel\n" * 5_000 + "bugdet = 1")

    assert str(error) == "firedoor.toml: bugdet: unknown key"


def test_mistakes_in_two_files_each_name_their_file(tmp_path):
    """With drop-ins, "which file?" is the first question."""
    path = written(tmp_path, main="a = 1", _10_x="\n[time]\nbucket = 1")

    with pytest.raises(BadConfig) as caught:
        load(path)

    assert "firedoor.toml:1: a: unknown key" in str(caught.value)
    assert "config.d/10-x.toml:3: time.bucket: expected" in str(caught.value)


def test_a_contradiction_between_files_is_placed_where_it_was_written(tmp_path):
    """Each file is right alone; the blame belongs to what the operator can change."""
    path = written(tmp_path, main=RINGS, _10_x="\n[[ring]]\nname = 'lab'\nafter = 'offices'")

    with pytest.raises(BadConfig, match=r"^config\.d/10-x\.toml:4: ring\.lab\.after: these rings"):
        load(path)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    """The first thing that happens to a new user."""
    with pytest.raises(BadConfig, match="there is no configuration at") as caught:
        load(tmp_path / "firedoor.toml")
    assert caught.value.hint == "firedoor init writes one"


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path):
    """TOML is UTF-8; the line saves a search for an invisible character."""
    path = tmp_path / "firedoor.toml"
    path.write_bytes(b"\n# caf\xe9\n")

    with pytest.raises(BadConfig, match=r"firedoor\.toml:2: not UTF-8"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        TOOLS.replace("vendor.example", "u:hunter2@vendor.example"),
        "[alert]\nwebhook = 'htps://hooks.example/hunter2'",
        "[alert]\nwebhook = https://hooks.example/hunter2",
    ],
    ids=["upstream", "misspelt webhook", "webhook without quotes"],
)
def test_a_refusal_does_not_repeat_a_secret(text):
    """Error messages are copied into tickets."""
    error = refused(text)

    assert "hunter2" not in f"{error} {error.hint}"


SCALARS = st.one_of(
    st.sampled_from(
        ["auto", "tools", "everyone", "files", "apt", "1h", "0s", "127.0.0.1:1", "/srv", "adopt"]
    ),
    st.integers(-1, 100),
    st.floats(-1, 2),
    st.booleans(),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3), SCALARS)
NAMES = st.sampled_from(
    ["name", "kind", "upstream", "after", "machines", "budget", "alpha_warn", "alpha_harm",
     "settle", "silence_min", "listen", "identify", "session_max",
     "webhook", "command", "data", "odd key"]
)  # fmt: skip
TABLE = st.dictionaries(NAMES, VALUES, max_size=4)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["time", "gate", "console", "policy", "alert", "channel", "ring", "data"]),
    VALUES | TABLE | st.lists(TABLE, max_size=3),
)


def as_toml(value: object) -> str:
    """A value as inline TOML, written here so that a test does not trust what it tests."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return f"{{{', '.join(f'{as_toml(k)} = {as_toml(v)}' for k, v in value.items())}}}"
        case list():
            return f"[{', '.join(as_toml(one) for one in value)}]"
        case str():
            escaped = "".join(f"\\U{ord(character):08x}" for character in value)
            return f'"{escaped}"'
        case _:
            return repr(value)


@given(DOCUMENTS)
def test_any_document_gives_a_configuration_or_a_reason(document):
    """Whatever is written, nobody meets a traceback."""
    text = "\n".join(f"{name} = {as_toml(value)}" for name, value in document.items())
    assert set(tomllib.loads(text)) == set(document)

    try:
        config = from_text(text)
    except BadConfig as error:
        assert str(error)  # noqa: PT017 - either outcome is right
    else:
        assert explain(config)
