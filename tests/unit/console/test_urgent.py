"""What is urgent is on the page: a fast lane with its end, an order that waits for somebody."""

import msgspec
import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import console, get
from tests.unit.console.world import NOW, World

from firedoor.console.language import LANGUAGES
from firedoor.console.urgent import ExploitedView, LaneView, WaitingOrder
from firedoor.core.door import Reason, State


def hurried() -> World:
    """Amira has widened a budget for an hour, and wants more than she may give alone."""
    world = scenes.opening()
    release = world.release(scenes.SECOND)
    assert release is not None
    lane = LaneView(slots=30, ends_ms=NOW + 3_600_000)
    door = msgspec.structs.replace(release.door["everyone"], lane=lane)
    order = WaitingOrder(
        number=3,
        verb="expedite",
        by="Amira",
        reason="under <b>attack</b>",
        ring="",
        budget=None,
        lasts_s=None,
        until_ms=NOW + 600_000,
    )
    exploited = ExploitedView(
        cve="CVE-2021-44228", name="Log<4>Shell", added="2021-12-10", ransomware=True, source="a"
    )
    (channel,) = world.channels()
    moved = msgspec.structs.replace(
        release, door={"everyone": door}, orders=(order,), exploited=(exploited,)
    )
    world.show(moved, channel)
    return world


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_fast_lane_and_an_order_that_waits_are_on_the_page(name):
    """Whoever comes on duty sees what was given, until when, and what waits for them."""
    text = get(console(hurried()), f"/?lang={name}").text

    assert f"firedoor release approve {scenes.SECOND[:12]} 3 --by NAME" in text
    assert "under &lt;b&gt;attack" in text
    assert ("快速通道：预算放宽 30 台" if name == "zh_Hans" else "30 machines wider until") in text


@pytest.mark.parametrize("name", LANGUAGES)
def test_what_is_exploited_is_on_the_page_as_a_matter_for_a_person(name):
    """The list's own words are quoted, and escaped: they are somebody else's."""
    text = get(console(hurried()), f"/?lang={name}").text

    assert "CVE-2021-44228: Log&lt;4&gt;Shell" in text
    assert ("由人决定" if name == "zh_Hans" else "is for a person to decide") in text


def test_the_api_tells_both():
    """A script reads what the page says."""
    body = get(console(hurried()), f"/api/releases/{scenes.SECOND}").json

    assert body["door"]["everyone"]["lane"] == {"slots": 30, "ends_ms": NOW + 3_600_000}
    assert [(order["number"], order["by"]) for order in body["orders"]] == [(3, "Amira")]


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_end_of_a_fast_lane_is_not_told_as_another_opening(name):
    """The door goes on where it was; only its budget is smaller."""
    world = scenes.opening()
    last = world.decisions(-1, 100)[-1]
    over = msgspec.structs.replace(
        last, index=last.index + 1, state=State.OPENING, reason=Reason.EVIDENCE, lane_over=True
    )
    world.decide(over)

    text = get(console(world), f"/?lang={name}").text

    assert ("快速通道已结束" if name == "zh_Hans" else "Its fast lane is over") in text
