"""Methods, origins and short names of releases: what a client may send that is not quite right."""

import asyncio

import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import ask, console, get

from firedoor.core.release import SHORTEST_PREFIX


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "PUT", "PATCH", "TRACE"])
@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("/", {"GET", "HEAD"}),
        ("/api/channels", {"GET", "HEAD"}),
        (f"/api/releases/{scenes.SECOND}/hold", {"POST"}),
    ],
)
def test_a_method_that_nothing_takes_is_told_which_are_taken(method, target, allowed):
    """A complaint about a content type sends whoever reads it the wrong way."""
    world = scenes.opening()

    reply = asyncio.run(ask(console(world), method, target, headers={}))

    assert reply.status == 405
    assert set(reply.headers["allow"].replace(" ", "").split(",")) == allowed
    assert world.asked == []


def test_from_another_host_no_method_tells_which_paths_there_are():
    """What needs the token to be read needs it to be asked about."""
    app = console(scenes.opening())
    ways = [
        asyncio.run(ask(app, "OPTIONS", path, headers={}, client="192.0.2.7"))
        for path in ("/api/channels", "/nowhere")
    ]

    assert [reply.status for reply in ways] == [401, 401]


@pytest.mark.parametrize(
    "origin", ["https://attacker.example", "http://localhost:9999", "null", "", "http://[::1"]
)
@pytest.mark.parametrize("target", ["/events", "/api/channels", "/"])
def test_a_page_of_another_origin_reads_nothing_though_its_browser_says_only_its_origin(
    target, origin
):
    """Older browsers send no Sec-Fetch-Site; a few tabs of theirs would take up all streams."""
    reply = get(console(scenes.opening()), target, host="localhost:8082", origin=origin)

    assert reply.status == 403


@pytest.mark.parametrize("origin", ["http://localhost:8082", "https://localhost:8082"])
def test_the_console_s_own_page_reads(origin):
    """Some browsers send the origin with every request that a script makes."""
    app = console(scenes.opening())

    assert get(app, "/api/channels", host="localhost:8082", origin=origin).status == 200


def test_a_release_is_found_by_as_few_digits_as_on_the_command_line():
    """Whoever copies a short id from one to the other is not told two rules."""
    app = console(scenes.opening())
    short = scenes.SECOND[:SHORTEST_PREFIX]

    found = get(app, f"/api/releases/{short}")
    refused = get(app, f"/api/releases/{short[:-1]}")

    assert (found.status, found.json["id"]) == (200, scenes.SECOND)
    assert refused.status == 400
    assert f"{SHORTEST_PREFIX} to 64" in refused.json["hint"]
