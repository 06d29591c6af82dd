import re

import msgspec
from tests.unit.console import scenes
from tests.unit.console.asking import console, get

SAMPLE = re.compile(
    r'^[a-z_]+(\{([a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="(\\.|[^"\\])*")*)\})? -?[0-9.e+-]+$'
)


def test_every_line_is_openmetrics():
    """One malformed line makes a scraper drop the whole page."""
    reply = get(console(scenes.large()), "/metrics")

    lines = reply.text.splitlines()
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert lines[-1] == "# EOF"
    assert [line for line in lines if not line.startswith("#") and not SAMPLE.match(line)] == []


def test_a_door_that_was_shut_can_be_alerted_on():
    """It is neither served nor in flight any more, and the most important one of all."""
    text = get(console(scenes.shut()), "/metrics").text

    shut = [line for line in text.splitlines() if 'firedoor_door="shut"' in line]
    assert [line for line in shut if scenes.THIRD[:12] in line and line.endswith(" 1")]
    assert re.search(r'firedoor_machines_harmed\{.*number="3".*\} 6', text)


def test_a_strange_name_stays_inside_its_label():
    """Names come from configuration files and vendors."""
    world = scenes.opening()
    strange = 'a"b\\c\nd'
    world.views = [msgspec.structs.replace(world.views[0], name=strange)]
    world.boarded = [msgspec.structs.replace(each, channel=strange) for each in world.boarded]

    text = get(console(world), "/metrics").text

    assert 'channel="a\\"b\\\\c\\nd"' in text
    assert [
        line for line in text.splitlines() if not line.startswith("#") and not SAMPLE.match(line)
    ] == []


def test_a_large_fleet_makes_no_more_series_than_a_small_one():
    """Cardinality follows channels and rings, never machines."""
    few = get(console(scenes.opening(200)), "/metrics").text
    many = get(console(scenes.opening(200_000)), "/metrics").text

    assert len(few.splitlines()) == len(many.splitlines())
