"""osquery's remote API, asked in process as osquery asks it."""

import asyncio
import gzip
import json

import pytest
from tests.asgi import ask
from tests.osquery import BUGCHECK, event, lines, snapshot

from firedoor.core.host_id import HostId, HostIdKind
from firedoor.core.units import UnixMs
from firedoor.intake.quota import EVENTS_A_MINUTE
from firedoor.ports import CERTIFICATE, Certificate

NOW_S = 1_721_362_140


def call(world, path, body, *, prefix="", **headers):
    """Ask an endpoint; its status and its answer."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = asyncio.run(ask(world.app, "POST", f"{prefix}/osquery/{path}", text, sent))
    return reply.status, json.loads(reply.body)


def enrolled(world, secret=None, host="till-17", **more):
    """Enrol, as the till unless told otherwise; the node key."""
    secret = world.till.signal if secret is None else secret
    _, answer = call(world, "enroll", {"enroll_secret": secret, "host_identifier": host, **more})
    return answer["node_key"]


def log(world, key, data, kind="result", **headers):
    """Send lines; the status and the answer."""
    return call(world, "log", {"node_key": key, "log_type": kind, "data": data}, **headers)


def test_a_machine_enrols_with_its_signal_token_and_is_given_the_schedule(world):
    """One flags file and one secret, and a machine is evidence."""
    key = enrolled(world)

    status, answer = call(world, "config", {"node_key": key})

    assert status == 200
    schedule = answer["schedule"]
    assert schedule["firedoor_uptime"]["interval"] == 60
    assert schedule["firedoor_uptime"]["snapshot"] is True
    assert schedule["firedoor_eventlog"]["removed"] is False
    assert "error" not in answer


def test_a_blue_screen_is_a_bugcheck_of_the_machine_when_it_happened(world):
    """Event 1001 tells of the crash before it; its own time counts, not that of the query."""
    key = enrolled(world)

    status, answer = log(world, key, [event(BUGCHECK, at=NOW_S)])

    assert (status, answer["accepted"]) == (200, 1)
    [stored] = world.events()
    assert (stored.machine, stored.kind) == (world.till.no, "bugcheck")
    assert json.loads(stored.detail)["signal"] == "osquery-bugcheck"


def test_uptime_is_a_sign_of_life(world):
    """A snapshot of uptime says that the machine runs; nothing else need be installed on it."""
    key = enrolled(world)

    log(world, key, [snapshot("firedoor_uptime", [{"total_seconds": "77"}], at=NOW_S)])

    assert world.heard() == [[world.till.no]]
    assert world.events() == []


def test_what_is_sent_again_counts_once(world):
    """Lines are sent again until they are answered; a lost answer must not double harm."""
    key = enrolled(world)
    sent = [event(BUGCHECK, at=NOW_S)]
    log(world, key, sent)

    _, answer = log(world, key, sent)

    assert (answer["accepted"], answer["duplicates"]) == (0, 1)
    assert len(world.events()) == 1


def test_a_line_that_makes_no_sense_does_not_keep_the_others_back(world):
    """A refused request would be sent again for ever, and with it all that comes after."""
    key = enrolled(world)

    status, answer = log(world, key, [{"name": 7}, "rubbish", event(BUGCHECK, at=NOW_S)])

    assert (status, answer["accepted"]) == (200, 1)
    assert [bad["line"] for bad in answer["rejected"]] == [1, 2]


@pytest.mark.parametrize("path", ["config", "log", "distributed/read", "distributed/write"])
def test_whoever_has_no_valid_key_is_told_to_enrol_again(world, path):
    """``node_invalid`` is what osquery looks at; without ``error`` it would drop its logs."""
    status, answer = call(world, path, {"node_key": "fds_00", "log_type": "result", "data": []})

    assert status == 401
    assert answer["node_invalid"] is True
    assert "error" in answer


def test_a_node_key_ends_with_the_revocation_of_its_machine(world):
    """A machine that was stolen is refused from its next request on."""
    key = enrolled(world)
    world.register.revoke("till-17", UnixMs(2))

    status, answer = log(world, key, [event(BUGCHECK, at=NOW_S)])

    assert (status, answer["node_invalid"]) == (401, True)
    assert world.events() == []


def test_a_node_key_survives_a_restart(world):
    """The keys of a million machines are stored nowhere, so nothing has to be restored."""
    key = enrolled(world)
    world.app = world.make()

    assert call(world, "config", {"node_key": key})[0] == 200


def test_a_collectors_secret_enrols_the_machines_it_is_bound_to_and_no_other(world):
    """One enroll secret for a fleet; it reaches no further than the collector's patterns."""
    key = enrolled(world, world.collector)
    log(world, key, [event(BUGCHECK, at=NOW_S)])
    status, answer = call(
        world, "enroll", {"enroll_secret": world.collector, "host_identifier": "pos-1"}
    )

    assert [each.machine for each in world.events()] == [world.till.no]
    assert status == 401
    assert "not bound to 'pos-1'" in answer["error"]


def test_a_host_identifier_is_the_machine_it_is_bound_to(world):
    """Its tools may call a machine by its UUID; whoever enrols it says which machine that is."""
    host = HostId.of(HostIdKind.OSQUERY, "4AB2906D-5516")
    till = world.register.enroll("till-18", {}, UnixMs(1), [host])

    key = enrolled(world, world.collector, host="4ab2906d-5516")
    log(world, key, [event(BUGCHECK, at=NOW_S, host="4AB2906D-5516")])

    assert [each.machine for each in world.events()] == [till.no]


def test_a_machine_does_not_speak_for_the_machine_that_an_identifier_is_bound_to(world):
    """Secrets that were mixed up are found when osquery enrols, not when a door is shut."""
    host = HostId.of(HostIdKind.OSQUERY, "uuid-of-18")
    world.register.enroll("till-18", {}, UnixMs(1), [host])

    status, answer = call(
        world, "enroll", {"enroll_secret": world.till.signal, "host_identifier": "uuid-of-18"}
    )
    _, logged = log(world, enrolled(world), [event(BUGCHECK, at=NOW_S, host="uuid-of-18")])

    assert status == 401
    assert "--identity" in answer["error"]
    assert (logged["accepted"], len(logged["rejected"])) == (0, 1)
    assert world.events() == []


def test_a_collectors_lines_are_of_the_machines_they_name(world):
    """A relay that passes on many machines' logs speaks for those it is bound to."""
    data = [event(BUGCHECK, at=NOW_S, host=name) for name in ("till-17", "pos-1", "nobody")]

    _, answer = log(world, "", data, authorization=f"Bearer {world.collector}")

    assert answer["accepted"] == 1
    assert [bad["line"] for bad in answer["rejected"]] == [2, 3]


def test_the_key_may_come_in_a_header_and_the_body_packed(world):
    """Newer versions send ``Authorization: NodeKey``; ``logger_tls_compress`` packs the body."""
    key = enrolled(world)
    body = json.dumps({"log_type": "result", "data": [event(BUGCHECK, at=NOW_S)]}).encode()

    status, answer = call(
        world,
        "log",
        gzip.compress(body),
        authorization=f"NodeKey {key}",
        content_encoding="gzip",
    )

    assert (status, answer["accepted"]) == (200, 1)


def test_a_token_in_the_path_will_do(world):
    """Where a secret's file cannot be given out, the endpoint's address can."""
    prefix = f"/m/{world.till.signal}"
    _, answer = call(world, "enroll", {"host_identifier": "x"}, prefix=prefix)

    assert call(world, "config", {"node_key": answer["node_key"]}, prefix=prefix)[0] == 200


def test_history_is_no_signal(world):
    """The first answer to a new query holds every crash there ever was."""
    key = enrolled(world)
    old = {**BUGCHECK, "datetime": "2023-07-19T04:09:00Z"}

    _, answer = log(world, key, [event(old, at=NOW_S)])

    assert answer["accepted"] == 0
    assert world.events() == []


def test_signs_of_life_from_a_backlog_are_not_taken_for_a_clock_that_is_behind(world):
    """A machine that was offline for hours sends full requests; its clock is as right as before."""
    world.app = world.make(max_body=1_000_000)
    key = enrolled(world)
    old = [
        snapshot("firedoor_uptime", [{"total_seconds": "7"}], at=NOW_S - 9_000 + n)
        for n in range(256)
    ]

    log(world, key, [*old, event(BUGCHECK, at=NOW_S)])

    assert world.heard() == [[]]
    assert len(world.events()) == 1


def test_status_lines_are_taken_and_mean_nothing(world):
    """What osquery says of itself would otherwise be sent again for ever."""
    key = enrolled(world)

    status, answer = log(world, key, lines("status"), kind="status")

    assert (status, answer) == (200, {"node_invalid": False})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"data": 7}',
        b'{"node_key": ["x"]}',
        b'{"data": ' + b"[" * 100_000,
        b'{"node_key": "\xff"}',
        b"{" * 300_000,
    ],
)
def test_a_body_that_is_none_is_refused_with_an_error_and_no_order_to_enrol(world, body):
    """``node_invalid`` here would make a fleet enrol again because of one broken proxy."""
    status, answer = call(world, "log", body)

    assert status in {400, 401, 413}
    assert "error" in answer
    assert ("node_invalid" in answer) == (status == 401)


def test_a_bomb_is_refused_before_it_is_unpacked(world):
    """Ten megabytes of nothing pack into ten kilobytes."""
    bomb = gzip.compress(b" " * 10_000_000)

    status, answer = call(world, "log", bomb, content_encoding="gzip")

    assert status == 413
    assert "error" in answer


def test_a_flood_is_told_and_not_passed_over(world):
    """What is not stored is named: nobody is to believe that it was."""
    world.app = world.make(max_body=1_000_000)
    key = enrolled(world)
    many = [event({**BUGCHECK, "data": str(n)}, at=NOW_S) for n in range(EVENTS_A_MINUTE + 1)]

    _, answer = log(world, key, many)

    assert answer["accepted"] == EVENTS_A_MINUTE
    assert [bad["line"] for bad in answer["rejected"]] == [EVENTS_A_MINUTE + 1]


def test_machines_are_asked_for_their_inventory_until_it_is_known_and_not_all_at_once(world):
    """A fleet that is new would else send all it has within a minute."""
    key = enrolled(world)
    asked = [call(world, "distributed/read", {"node_key": key})[1]["queries"] for _ in range(60)]
    world.clock.mono_ms += 1_000
    os_version = {"firedoor_os_version": [{"name": "Debian GNU/Linux", "version": "12"}]}
    call(world, "distributed/write", {"node_key": key, "queries": os_version, "statuses": {}})
    after = call(world, "distributed/read", {"node_key": key})[1]["queries"]

    assert sum(map(bool, asked)) == 50
    assert "firedoor_deb_packages" in asked[0]
    assert after == {}


def test_a_node_that_a_collector_enrolled_stays_that_machine(world):
    """Its identifier may change; the name of another machine makes it no other machine."""
    key = enrolled(world, world.collector)
    world.register.enroll("till-18", {}, UnixMs(1))

    log(world, key, [event(BUGCHECK, at=NOW_S, host="till-18")])

    assert [each.machine for each in world.events()] == [world.till.no]


def test_strangers_cannot_keep_out_those_who_say_who_they_are(world):
    """Whoever is on the network may send bodies; those of enrolled machines are still taken."""
    world.app = world.make(max_body=8 * 1024 * 1024)
    key = enrolled(world)
    body = json.dumps({"log_type": "result", "data": [event(BUGCHECK, at=NOW_S)]}).encode()

    async def crowd():
        strangers = [asyncio.create_task(unfinished(world.app, 4_000_000)) for _ in range(40)]
        await asyncio.sleep(0.1)
        known = await ask(
            world.app, "POST", "/osquery/log", body, {"authorization": f"NodeKey {key}"}
        )
        unknown = await ask(world.app, "POST", "/osquery/log", b" " * 900_000, {})
        for task in strangers:
            task.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
        return known.status, unknown.status

    assert asyncio.run(crowd()) == (200, 503)


async def unfinished(app, size):
    """Send the beginning of a body, and nothing more."""
    sent = False

    async def receive():
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": bytes(size), "more_body": True}

    async def send(_message):
        """Let it say what it likes."""

    scope = {"type": "http", "path": "/osquery/log", "method": "POST", "headers": []}
    await app(scope, receive, send)


def test_a_bad_key_in_a_header_is_refused_before_the_body_is_read(world):
    """Who is not known costs nothing."""
    status, answer = call(world, "log", b"x" * 9_000, authorization="NodeKey fds_0")

    assert (status, answer["node_invalid"]) == (401, True)


def test_a_result_of_very_many_rows_is_named_and_the_others_are_taken(world):
    """Nobody else is answered while the rows of one result are gone through."""
    world.app = world.make(max_body=8 * 1024 * 1024)
    key = enrolled(world)
    many = snapshot("mine", [{"a": "1"}] * 20_001, at=NOW_S)

    _, answer = log(world, key, [many, event(BUGCHECK, at=NOW_S)])

    assert answer["accepted"] == 1
    assert "20,000 rows" in answer["rejected"][0]["error"]


def test_a_certificate_of_another_tool_does_not_spoil_a_secret_that_is_right(world):
    """A proxy may show its own certificate; the secret in the body says which machine it is."""
    body = json.dumps({"enroll_secret": world.till.signal, "host_identifier": "x"}).encode()

    async def through_a_proxy(scope, receive, send):
        await world.app({**scope, CERTIFICATE: Certificate("proxy", "00" * 32)}, receive, send)

    reply = asyncio.run(ask(through_a_proxy, "POST", "/osquery/enroll", body))

    assert reply.status == 200
