"""Configuration: reading, merging, refusing, and telling where a value came from."""

import tomllib
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.config import (
    Config,
    compose,
    defaults,
    explain,
    explain_policy,
    from_text,
    load,
    notices,
)
from firedoor.config.fragment import Source
from firedoor.core.errors import BadConfig, NotFound
from firedoor.core.ring import EVERYONE

TOOLS = """
[[channel]]
name = "tools"
kind = "files"
upstream = "https://vendor.example/tools/"
"""

RINGS = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
budget = 2

[[ring]]
name = "offices"
machines = { site = ["prague", "brno"] }
after = "lab"
soak = "3h"
"""


def refused(text: str) -> BadConfig:
    """The error a text is refused with."""
    with pytest.raises(BadConfig) as caught:
        from_text(dedent(text), origin="firedoor.toml")
    return caught.value


def written(directory: Path, **files: str) -> Path:
    """Write ``firedoor.toml`` and drop-ins; return the main file's path."""
    (directory / "config.d").mkdir()
    for name, text in files.items():
        path = "firedoor" if name == "main" else f"config.d/{name[1:].replace('_', '-')}"
        (directory / f"{path}.toml").write_text(dedent(text), encoding="utf-8")
    return directory / "firedoor.toml"


# What holds


def test_an_empty_file_is_a_safe_configuration():
    """The defaults of decisions.md 1, as numbers in the units the code works in."""
    config = from_text("")

    assert config == defaults()
    assert config.time.bucket_ms == config.time.heartbeat_ms == config.time.settle_ms == 60_000
    assert config.time.silence_min_ms == 300_000
    assert config.gate.identify == ("certificate", "basic", "path")
    assert config.intake.max_body_bytes == 8 * 2**20
    assert config.console.listen.loopback
    assert (config.policy.budget, config.policy.control) == (None, 0.10)
    assert (config.policy.soak_ms, config.policy.patience_ms) == (3_600_000, 604_800_000)
    assert [ring.name for ring in config.rings] == [EVERYONE]


def test_a_channel_takes_the_session_of_its_kind():
    """A session that ends too early mixes two releases; the kind was measured."""
    channel = from_text(TOOLS).channel("tools")

    assert (channel.session_idle_ms, channel.session_max_ms) == (2_000, 60_000)
    assert (channel.poll_ms, channel.first, channel.unknown) == (600_000, "adopt", "refuse")
    assert channel.directory is None


def test_a_local_directory_is_an_upstream():
    """The roles choose the adapter by this."""
    text = TOOLS.replace("https://vendor.example/tools/", "/srv/tools")

    assert from_text(text).channel("tools").directory == "/srv/tools"


def test_the_ring_overrides_the_channel_and_the_channel_overrides_the_policy():
    """Order of authority (decisions.md 7), also where the stronger one says "auto"."""
    config = from_text(
        "[policy]\nbudget = 9\nsoak = '2h'\ncontrol = 0.2\n"
        + TOOLS
        + "budget = 'auto'\ncontrol = 0.3\n"
        + RINGS
    )

    lab = config.policy_for("tools", "lab")
    offices = config.policy_for("tools", "offices")
    assert (lab.budget, lab.soak_ms, lab.control) == (2, 7_200_000, 0.3)
    assert (offices.budget, offices.soak_ms, offices.control) == (None, 10_800_000, 0.3)
    assert config.policy.budget == 9
    assert config.ring("lab").budget == 2


def test_a_channel_that_does_not_exist_is_met_with_the_nearest_name():
    """The hint of a person's typing error on the command line."""
    config = from_text(TOOLS)

    with pytest.raises(NotFound) as channel:
        config.channel("tool")
    with pytest.raises(NotFound):
        config.policy_for("tools", "lab")
    assert channel.value.hint == 'did you mean "tools"?'


def test_the_largest_sum_in_flight_counts_rings_that_run_side_by_side():
    """Offices wait for the lab, everyone for both: never more than the largest one alone."""
    chain = from_text(TOOLS + RINGS)
    side_by_side = from_text(TOOLS + RINGS.replace('after = "lab"', "") + "budget = 4")

    assert chain.largest_in_flight("tools") == 20  # "auto" of a fleet nobody has counted
    counted = {"offices": 100, EVERYONE: 40}
    assert chain.largest_in_flight("tools", counted) == 5
    assert side_by_side.largest_in_flight("tools", counted) == 6
    few = {"lab": 1, "offices": 0, EVERYONE: 0}
    assert side_by_side.largest_in_flight("tools", few) == 1


# Merging


def test_drop_ins_are_merged_in_the_order_of_their_names(tmp_path):
    """A site's drop-in overrides the organisation's, key by key."""
    path = written(
        tmp_path,
        main="[policy]\nbudget = 1\nsoak = '1m'",
        _10_org="[policy]\nbudget = 2\npatience = '2d'",
        _20_site="[policy]\nbudget = 3",
    )

    config = load(path)

    assert config.policy.budget == 3
    assert (config.policy.soak_ms, config.policy.patience_ms) == (60_000, 172_800_000)


def test_channels_and_rings_of_one_name_are_one(tmp_path):
    """A drop-in may change one key of a channel, and may not reorder the rings by doing so."""
    path = written(
        tmp_path,
        main=TOOLS + RINGS,
        _50_site="""
            [[ring]]
            name = "offices"
            machines = { site = ["graz"] }
            [[channel]]
            name = "tools"
            poll = "1m"
            [[channel]]
            name = "more"
            kind = "files"
            upstream = "/srv/more"
        """,
    )

    config = load(path)

    assert [channel.name for channel in config.channels] == ["tools", "more"]
    assert config.channel("tools").poll_ms == 60_000
    assert config.channel("tools").upstream == "https://vendor.example/tools/"
    assert [ring.name for ring in config.rings] == ["lab", "offices", EVERYONE]
    assert config.ring("offices").match == (("site", ("graz",)),)
    assert config.ring("offices").after == "lab"


def test_a_drop_in_that_would_never_be_read_is_refused(tmp_path):
    """A policy that is silently not in force is worse than an error."""
    path = written(tmp_path, main="", _lab="")

    with pytest.raises(BadConfig, match=r"config\.d/lab\.toml would never be read") as caught:
        load(path)
    assert caught.value.hint == "rename it, for example to 50-lab.toml"


def test_what_editors_leave_behind_is_not_read(tmp_path):
    """Backups and hidden files in config.d are not configuration."""
    path = written(tmp_path, main="")
    for name in ("10-a.toml~", "10-a.toml.bak", ".10-a.toml", "README"):
        (tmp_path / "config.d" / name).write_text("nonsense", encoding="utf-8")

    assert load(path) == defaults()


def test_data_is_relative_to_the_file_and_overridden_by_the_command_line(tmp_path):
    """The same file works from whatever directory a service manager starts in."""
    path = written(tmp_path, main="data = 'state'")

    assert load(path).data == tmp_path / "state"
    overridden = load(path, data=tmp_path / "other")
    assert overridden.data == tmp_path / "other"
    assert explain(overridden)[0][2] == "command line"


def test_a_file_of_another_system_is_read(tmp_path):
    """A byte order mark and CR LF say nothing."""
    path = tmp_path / "firedoor.toml"
    path.write_bytes(b"\xef\xbb\xbf[policy]\r\nbudget = 7\r\n")

    assert load(path).policy.budget == 7


# Refusing


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
        ("[policy]\nmode = 'shadow'", "shadow mode", "poll upstream directly"),
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
        (TOOLS.replace('"files"', '"apt"'), "the only kind this version serves", "plain files"),
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


# Where a value came from


def rows_of(config: Config) -> dict[str, tuple[str, str]]:
    """Explained values by key path."""
    return {path: (value, origin) for path, value, origin in explain(config)}


def test_every_value_tells_where_it_came_from(tmp_path):
    """With drop-ins, "why is it 3?" is the second question."""
    path = written(
        tmp_path,
        main="[policy]\nbudget = 2\nsoak = '90s'\n" + TOOLS,
        _10_x="[policy]\nbudget = 3\n[[channel]]\nname = 'tools'\nbudget = 4",
    )

    rows = rows_of(load(path))

    assert rows["policy.budget"] == ("3", "config.d/10-x.toml")
    assert rows["policy.soak"] == ('"90s"', "firedoor.toml")
    assert rows["policy.patience"] == ('"7d"', "default")
    assert rows["channel.tools.budget"] == ("4", "config.d/10-x.toml")
    assert rows["channel.tools.kind"] == ('"files"', "firedoor.toml")
    assert rows["channel.tools.session_idle"] == ('"2s"', "default of kind files")
    assert "channel.tools.soak" not in rows


def test_a_policy_tells_which_table_decided():
    """The numbers of a door come from three places; the operator asks for one of them."""
    config = from_text("[policy]\nsoak = '2h'\n" + TOOLS + "control = 0.3\n" + RINGS)

    rows = [row[:2] for row in explain_policy(config, "tools", "lab")]

    assert ("ring.lab.budget", "2") in rows
    assert ("channel.tools.control", "0.3") in rows
    assert ("policy.soak", '"2h"') in rows
    assert len(rows) == 11


def test_what_is_explained_can_be_read_back():
    """The printout is TOML: it can be compared, pasted and checked."""
    config = from_text("[gate]\nlisten = '[::1]:80'\n" + TOOLS + "budget = 3\n" + RINGS)

    tables: dict[str, str] = {}
    for path, value, _ in explain(config):
        where, _, key = path.rpartition(".")
        table, _, name = where.partition(".")
        heading = f"[[{table}]] # {name}\n" if name else f"[{table}]\n" if table else ""
        tables[heading] = tables.get(heading, "") + f"{key} = {value}\n"
    text = "".join(heading + rows for heading, rows in tables.items())

    assert from_text(text) == config


def test_a_webhook_is_shown_without_its_path():
    """What config show prints is pasted into tickets."""
    config = from_text("[alert]\nwebhook = 'https://hooks.example/T0/SECRET'")

    assert rows_of(config)["alert.webhook"][0] == '"https://hooks.example/..."'
    assert "SECRET" not in repr(config)
    assert config.alert.webhook == "https://hooks.example/T0/SECRET"


def test_a_way_of_identifying_that_is_not_built_is_said_to_be_skipped():
    """A default that promises more than the gate does would be found out on the worst day."""
    written = from_text("[gate]\nidentify = ['certificate', 'basic']")
    assert any("certificate" in notice for notice in notices(written))
    assert not any("certificate" in notice for notice in notices(defaults()))
    quiet = from_text(TOOLS + "[gate]\nidentify = ['basic']\n[alert]\ncommand = ['page']")
    assert notices(quiet) == []


def test_refusing_strangers_is_said_to_be_void_where_every_address_is_known():
    """Two keys that are fine alone: whoever wrote "refuse" believes that strangers get nothing."""
    by_address = TOOLS + "{}[gate]\nidentify = ['basic', 'address']\n[alert]\ncommand = ['page']"

    refused = notices(from_text(by_address.format("")))
    held = notices(from_text(by_address.format("unknown = 'hold'\n")))

    assert [n for n in refused if n.startswith("channel.tools.unknown") and '"refuse"' in n]
    assert not [n for n in held if n.startswith("channel.tools.unknown")]


def test_the_order_of_texts_is_the_order_of_authority():
    """The demo composes its own texts the same way files are composed."""
    texts = [Source(str(n), f"[policy]\nbudget = {n}", Path("/")) for n in (1, 2)]

    assert compose(texts).policy.budget == 2
    assert compose(texts[::-1]).policy.budget == 1


def test_configurations_that_differ_in_an_override_are_not_equal():
    """A reload compares configurations to see whether anything changed."""
    assert from_text(TOOLS) == from_text("# remark\n" + TOOLS)
    assert from_text(TOOLS) != from_text(TOOLS + "budget = 3")
    assert from_text(TOOLS + RINGS) != from_text(TOOLS + RINGS.replace("3h", "4h"))
