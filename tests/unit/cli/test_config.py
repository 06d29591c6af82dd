import functools
import itertools
import json

import pytest
from tests.unit.cli.desk import run

from firedoor.cli.config import sentence
from firedoor.cli.prospects import best_upper, hold_chance, proof, prospect
from firedoor.core import valve
from firedoor.core.evidence import clearance
from firedoor.core.evidence.counts import Counts
from firedoor.core.terms import Policy, Terms, resolve

CHANNEL = """
data = "data"
[[channel]]
name = "tools"
kind = "files"
upstream = "https://vendor.example/"
"""


@pytest.fixture
def path(tmp_path):
    """A configuration with one channel."""
    file = tmp_path / "firedoor.toml"
    file.write_text(CHANNEL)
    return file


def terms(machines: int, **policy: object) -> Terms:
    return resolve(Policy(**policy), machines)  # type: ignore[arg-type]  # a test's words


def test_a_broken_configuration_is_told_with_its_place_and_ends_with_two(path):
    """A deployment checks the file before it restarts anything."""
    path.write_text(CHANNEL.replace("upstream", "upstraem"))

    said = run("config", "check", "--config", str(path))

    assert said.code == 2
    assert said.out == ""
    assert "firedoor.toml:6" in said.err
    assert 'did you mean "upstream"?' in said.err


def test_check_tells_how_many_machines_may_be_at_risk(path):
    """The one number an operator sets; rings may add up to more than they meant."""
    path.write_text(
        CHANNEL
        + '[[ring]]\nname = "a"\nmachines = {x = ["1"]}\nbudget = 3\n'
        + '[[ring]]\nname = "b"\nmachines = {x = ["2"]}\nbudget = 4\n'
    )

    found = run("config", "check", "--json", "--config", str(path)).json()

    assert found["ok"] is True
    assert found["channels"][0]["largest_in_flight"] == 20  # "everyone" may turn out large
    assert found["channels"][0]["rings"] == {}


def test_check_forecasts_for_a_fleet_of_a_given_size(path):
    """Small fleets cannot clear a release; they should know before the first one comes."""
    said = run("config", "check", "--machines", "10", "--config", str(path))
    found = run("config", "check", "--machines", "10", "--json", "--config", str(path)).json()

    ring = found["channels"][0]["rings"]["everyone"]
    assert ring["budget"] == 1
    assert ring["clears"] is False
    assert ring["harm_upper"] == pytest.approx(best_upper(terms(10)))
    assert said.out.splitlines()[:2] == [
        "the configuration holds; channels: tools (10 machines)",
        "tools: one release may put at most 1 machine at risk at a time",
    ]
    assert "10 machines, budget 1" in said.out
    assert "walked open step by step" in said.out


def test_show_names_the_file_behind_each_value(path):
    """When two files disagree, somebody has to find the one that won."""
    (path.parent / "config.d").mkdir()
    (path.parent / "config.d" / "50-mine.toml").write_text("[policy]\nbudget = 7\n")

    rows = {
        row["key"]: row for row in run("config", "show", "--json", "--config", str(path)).json()
    }
    said = run("config", "show", "--config", str(path))

    assert rows["policy.budget"] == {
        "key": "policy.budget",
        "value": 7,
        "origin": "config.d/50-mine.toml",
    }
    assert rows["gate.identify"]["value"] == ["certificate", "basic", "path"]
    assert rows["time.bucket"]["value"] == "1m"
    assert ["policy.budget", "7", "config.d/50-mine.toml"] in said.rows()
    assert ["time.bucket", '"1m"', "default"] in said.rows()


def test_data_on_the_command_line_overrides_the_file(path, tmp_path):
    """The demo and every test run elsewhere than the configuration says."""
    other = tmp_path / "other"

    said = run("config", "show", "--config", str(path), "--data", str(other))

    assert ["data", json.dumps(str(other)), "command line"] in said.rows()


@pytest.mark.parametrize(
    ("machines", "harm_upper"), [(3, 1.0), (10, 0.372), (50, 0.0743), (1000, 0.00371)]
)
def test_the_best_a_fleet_can_hope_for(machines, harm_upper):
    """ln(20) and the price of not knowing delta, over the number of clean installs."""
    assert best_upper(terms(machines)) == pytest.approx(harm_upper, rel=0.01)


def test_more_machines_never_make_the_bound_worse():
    """A fleet that grows can only learn more."""
    bounds = [best_upper(terms(machines, budget=5, delta=0.01)) for machines in range(2, 120)]

    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(bounds))


@pytest.mark.parametrize(("machines", "budget"), [(2, 1), (6, 1), (10, 1), (12, 2)])
def test_the_chance_of_a_false_hold_is_that_of_all_ways_it_can_happen(machines, budget):
    """Counted out: every order of silent and healthy machines, up to the one that fills it."""
    silence = 0.05
    known = terms(machines, budget=budget)
    installs = machines - 1  # the last machine is the reserve, which has no control

    held = sum(
        _chance(order, silence)
        for order in itertools.product((False, True), repeat=installs)
        if _is_held(known, order)
    )

    assert hold_chance(known, silence) == pytest.approx(held)


def test_three_machines_are_held_by_chance_in_one_of_fifty_releases():
    """decisions.md 9 measured 2 % for three machines and 7 % for ten; the forecast errs upwards."""
    assert prospect(terms(3)).hold_chance == pytest.approx(0.02, abs=0.002)
    assert 0.07 <= prospect(terms(10)).hold_chance <= 0.09


def _chance(order: tuple[bool, ...], silence: float) -> float:
    chance = 1.0
    for silent in order:
        chance *= silence if silent else 1.0 - silence
    return chance


def _is_held(known: Terms, order: tuple[bool, ...]) -> bool:
    return any(
        harmed and harmed >= _window(known, installed, harmed)
        for installed, harmed in enumerate(itertools.accumulate(map(int, order)), 1)
    )


@functools.cache
def _window(known: Terms, installed: int, harmed: int) -> int:
    control = min(9 * installed, known.active_machines - installed)
    state = clearance.absorb(
        clearance.start(1, known.delta),
        Counts.of(installed, control, harmed, 0, installed=installed),
    )
    return valve.window(known.budget, float(clearance.upper(state, known.alpha_clear)[0]))


def test_check_tells_where_nobody_can_look_at_releases(path):
    """Whoever believes in a preflight that never runs has none."""
    path.write_text(f'{CHANNEL}preflight_command = ["/nowhere/look"]\n')

    told = run("config", "check", "--config", str(path)).err

    assert "preflight needs" in told
    assert "/nowhere/look, not installed here" in told
    path.write_text(f'{CHANNEL}preflight = false\npreflight_command = ["/nowhere/look"]\n')
    assert "preflight needs" not in run("config", "check", "--config", str(path)).err


def test_what_a_brick_costs_until_it_is_shut_is_said_before_it_happens():
    """And what it costs more where some machines are not believed."""
    assert [proof(terms(300, liars=k)) for k in (0, 1, 2, 4, 10)] == [4, 5, 5, 7, 13]
    assert proof(terms(3)) is None


@pytest.mark.parametrize(
    ("machines", "policy", "says"),
    [
        (300, {}, "is shut by evidence after 4 machines"),
        (300, {"liars": 4}, "is held after 5, for a person to decide: evidence shuts it from 7 on"),
        (3, {}, "is held after 1, for a person to decide: evidence cannot shut it"),
    ],
)
def test_how_a_brick_ends_is_a_sentence(machines, policy, says):
    """A budget that is too small for a proof holds, and somebody has to be awake."""
    assert says in sentence(prospect(terms(machines, **policy)))
