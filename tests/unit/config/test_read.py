"""Reading and merging: what holds when little is written, or in several files."""

import pytest
from tests.unit.config.texts import RINGS, TOOLS, written

from firedoor.config import (
    defaults,
    explain,
    from_text,
    load,
)
from firedoor.core.errors import BadConfig, NotFound
from firedoor.core.ring import EVERYONE

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
