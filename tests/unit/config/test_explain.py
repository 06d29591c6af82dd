"""Telling where a value came from."""

from pathlib import Path

from tests.unit.config.texts import RINGS, TOOLS, written

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
    assert len(rows) == 18


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


def test_a_repository_that_nothing_vouches_for_is_said_to_be_so():
    """Whoever sits between the vendor and the gate could choose what the fleet installs."""
    http = "[[channel]]\nname='el'\nkind='rpm'\nupstream='http://vendor.example/el'\n"

    for text, told in (
        (http, True),
        (http + "trust = ['/vendor.gpg']\n", False),
        (http.replace("http:", "https:"), False),
        (http.replace("rpm", "suricata") + "feeds = ['a.tar.gz']\n", True),
    ):
        said = [notice for notice in notices(from_text(text)) if notice.startswith("channel.el")]
        assert bool(said) == told


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
