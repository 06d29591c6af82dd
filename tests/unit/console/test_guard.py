import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import TOKEN, console, get, post

from firedoor.console.guard import BODY_LIMIT_BYTES, hostname, is_loopback

HOLD = f"/api/releases/{scenes.SECOND}/hold"
WHY = {"by": "Amira", "reason": "looking"}


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8082", "127.0.0.1:8082", "[::1]:8082", "DOORS.example:443"]
)
def test_the_console_answers_under_the_names_it_knows(host):
    """Loopback by any of its names, and what the operator configured; the port is free."""
    reply = get(console(scenes.opening()), "/api/channels", host=host)

    assert reply.status == 200


@pytest.mark.parametrize(
    "host", ["attacker.example", "localhost.attacker.example", "", "127.0.0.1.nip.example", "[::1"]
)
def test_a_rebound_name_reads_nothing(host):
    """A foreign page whose name now resolves to loopback must not become same-origin."""
    reply = get(console(scenes.opening()), "/api/channels", host=host)

    assert reply.status == 421
    assert "tills-av" not in reply.text


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::1", "not-an-address"])
def test_reading_from_another_host_needs_the_token(client):
    """The doors of a hospital are nobody else's business."""
    app = console(scenes.opening())

    refused = get(app, "/api/channels", client=client)
    allowed = get(app, "/api/channels", client=client, authorization=f"Bearer {TOKEN}")

    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert allowed.status == 200


def test_health_can_be_asked_from_anywhere():
    """A load balancer has no token, and the answer tells nothing."""
    reply = get(console(scenes.opening()), "/healthz", client="192.0.2.7")

    assert (reply.status, reply.text) == (200, "ok\n")


def test_whoever_has_the_token_may_act():
    """The one way in, so that the refusals below are refusals of something that works."""
    world = scenes.opening()

    reply = post(console(world), HOLD, WHY, origin="http://localhost:8082", sec_fetch_site="none")

    assert reply.status == 200
    assert len(world.asked) == 1


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": TOKEN}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Bearer \xff"}, 401),
        ({"origin": "https://attacker.example"}, 403),
        ({"origin": "http://localhost:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"origin": ""}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_length": str(BODY_LIMIT_BYTES + 1)}, 413),
        ({"content_length": "-1"}, 413),
        ({"host": "attacker.example"}, 421),
    ],
)
def test_nobody_acts_from_a_foreign_page_or_without_the_token(changed, status):
    """Each of these is a way a page in the operator's browser could try to open a door."""
    world = scenes.opening()

    reply = post(console(world), HOLD, WHY, **changed)

    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert world.asked == []


def test_a_foreign_page_takes_up_no_event_streams():
    """It could not read them, but a few of its tabs would lock the operator out."""
    app = console(scenes.opening())

    stream = get(app, "/events", sec_fetch_site="cross-site", sec_fetch_mode="cors")
    link = get(app, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate")

    assert (stream.status, link.status) == (403, 200)


def test_no_token_is_not_an_empty_token():
    """Neither a missing header nor a missing content type slips through as a default."""
    world = scenes.opening()
    app = console(world)

    assert post(app, HOLD, WHY, drop=("authorization",)).status == 401
    assert post(app, HOLD, WHY, drop=("content_type",)).status == 415
    assert world.asked == []


def test_a_body_without_a_length_is_counted_as_it_comes():
    """Chunked bodies announce nothing; the limit holds all the same."""
    world = scenes.opening()

    reply = post(console(world), HOLD, None, chunks=[b"[" * 40_000, b"[" * 40_000])

    assert reply.status == 413
    assert world.asked == []


@pytest.mark.parametrize(
    "target", ["/", "/api/channels", "/api/releases/zz", "/nowhere", "/static/console.js"]
)
def test_every_answer_carries_the_strict_policy(target):
    """One answer without it is the one an attacker frames or fills with a script."""
    reply = get(console(scenes.opening()), target)

    policy = reply.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert not [part for part in policy if "unsafe" in part or "*" in part]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_refusal_carries_the_policy_too():
    """The guard answers by itself before the app is reached."""
    reply = get(console(scenes.opening()), "/", host="attacker.example")

    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]


def test_loopback_is_known_in_all_its_forms():
    """Dual-stack sockets report IPv4 clients as mapped IPv6 addresses."""
    assert is_loopback(("127.0.0.1", 1))
    assert is_loopback(("127.9.9.9", 1))
    assert is_loopback(("::1", 1))
    assert is_loopback(("::ffff:127.0.0.1", 1))
    assert not is_loopback(("::ffff:192.0.2.1", 1))
    assert not is_loopback(None)


def test_a_host_header_loses_its_port_and_brackets():
    """Comparing the raw header would let a strange port spelling past or lock people out."""
    assert hostname("LocalHost:8082") == "localhost"
    assert hostname("[::1]:8082") == "::1"
    assert hostname("user@localhost") == "localhost"
