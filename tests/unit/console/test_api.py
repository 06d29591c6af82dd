import msgspec
import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import console, get, post

from firedoor.console.model import Verb
from firedoor.core.errors import (
    FiredoorError,
    IllegalTransition,
    NotAllowed,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)

WHY = {"by": "Amira", "reason": "two sites report slow logons"}


def test_a_channel_says_what_it_serves_and_what_is_in_flight():
    """The first question of every script."""
    (channel,) = get(console(scenes.opening()), "/api/channels").json

    assert channel["name"] == "tills-av"
    assert channel["serving"] == scenes.FIRST
    assert channel["in_flight"] == scenes.SECOND


def test_a_release_has_the_fields_that_are_promised_to_scripts():
    """interfaces.md names them; renaming one breaks somebody's monitoring."""
    release = get(console(scenes.opening()), f"/api/releases/{scenes.SECOND}").json

    assert release["created"] == "2026-11-22T10:00:00.000Z"
    assert {"id", "channel", "harmed", "exposed"} <= release.keys()
    assert {"state", "admitted", "control", "budget", "window", "harm_upper"} <= (
        release["door"]["everyone"].keys()
    )
    assert release["verdict"].keys() >= {
        "state",
        "log_e_harm",
        "log_e_clear",
        "harm_upper",
        "forecast_s",
    }


def test_releases_are_listed_newest_first():
    """What is being decided now stands at the top."""
    releases = get(console(scenes.shut()), "/api/channels/tills-av/releases").json

    assert [release["number"] for release in releases] == [3, 2, 1]


def test_a_release_is_found_by_a_unique_beginning_of_its_id():
    """Nobody types 64 digits during an incident."""
    app = console(scenes.opening())

    assert get(app, f"/api/releases/{scenes.SECOND[:8]}").json["id"] == scenes.SECOND
    assert get(app, f"/api/releases/{scenes.SECOND[:8].upper()}").json["id"] == scenes.SECOND


def test_a_beginning_that_fits_two_releases_is_refused():
    """Acting on the wrong release would be worse than typing four more digits."""
    world = scenes.opening()
    twin = scenes.SECOND[:12] + "f" * 52
    world.boarded.append(msgspec.structs.replace(world.boarded[-1], id=twin))

    reply = post(console(world), f"/api/releases/{scenes.SECOND[:8]}/shut", WHY)

    assert reply.status == 400
    assert world.asked == []


@pytest.mark.parametrize("given", ["2cb81", "xyzxyzxyz", "a" * 65])
def test_what_is_no_release_id_is_refused_with_a_hint(given):
    """Too short to be unique, not hexadecimal, or too long."""
    reply = get(console(scenes.opening()), f"/api/releases/{given}")

    assert reply.status == 400
    assert reply.json["hint"]


@pytest.mark.parametrize(
    "target",
    [
        "/api/releases/0123456789abcdef",
        "/api/channels/nowhere/releases",
        "/api/machines/nobody",
        f"/api/releases/{scenes.FIRST}/verdict",
        "/nowhere",
    ],
)
def test_what_does_not_exist_is_a_problem_document(target):
    """Scripts read one error format, whoever raised it."""
    reply = get(console(scenes.opening()), target)

    assert reply.status == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["status"] == 404


def test_a_verdict_names_every_stream_and_cell():
    """Anyone can recompute it by hand: that is what makes it a verdict and not a claim."""
    verdict = get(console(scenes.shut()), f"/api/releases/{scenes.THIRD}/verdict").json

    assert verdict["streams"][0]["treated_harmed"] == 6
    assert verdict["cells"][0] == {
        "seq": 1,
        "ring": "everyone",
        "deck": 1,
        "epoch": 0,
        "test": "harm",
        "signal": "silence",
        "stratum": "",
        "treated": 7,
        "control": 45,
        "treated_harmed": 6,
        "control_harmed": 0,
        "installed": 0,
        "age": 0,
    }


def test_the_machines_that_need_help_are_listed_page_by_page():
    """After a shut door this list is what the people with the screwdrivers get."""
    app = console(scenes.shut())
    target = f"/api/releases/{scenes.THIRD}/machines?state=harmed&limit=4"

    first = get(app, target).json
    second = get(app, f"{target}&after={first[-1]['machine']}").json

    assert [len(first), len(second)] == [4, 2]
    assert {each["undo"] for each in first + second} == {"needs remedy"}


def test_a_machine_shows_its_releases():
    """One machine's own story."""
    machine = get(console(scenes.shut()), "/api/machines/till-003.prague").json

    assert {each["release"] for each in machine["exposures"]} == {scenes.SECOND, scenes.THIRD}


def test_decisions_come_after_the_one_seen_last():
    """A script that polls misses none and sees none twice."""
    app = console(scenes.shut())

    every = get(app, "/api/decisions").json
    later = get(app, "/api/decisions?after=2").json

    assert [each["index"] for each in every] == [0, 1, 2, 3, 4]
    assert [each["index"] for each in later] == [3, 4]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=many",
        "after=never",
        "after=99999999999999999999",
        "after=-99999999999999999999",
        f"after={2**53}",
    ],
)
def test_a_page_that_makes_no_sense_is_refused(query):
    """An unbounded page would let one request read the whole ledger into memory."""
    assert get(console(scenes.shut()), f"/api/decisions?{query}").status == 400


@pytest.mark.parametrize("number", ["99999999999999999999", str(2**53), "9" * 5_000])
def test_a_stream_after_an_index_that_cannot_be_is_refused(number):
    """It would be opened and break off at once, again and again as the browser comes back."""
    app = console(scenes.shut())

    asked = get(app, f"/events?after={number}")
    resumed = get(app, "/events", last_event_id=number)

    assert (asked.status, resumed.status) == (400, 400)


def test_a_page_after_the_last_possible_index_is_empty():
    """The bound itself is an index."""
    reply = get(console(scenes.shut()), f"/api/decisions?after={2**53 - 1}")

    assert (reply.status, reply.json) == (200, [])


def test_a_condition_that_does_not_exist_is_refused():
    """An empty list for a misspelt word would read as "nobody came to harm"."""
    target = f"/api/releases/{scenes.THIRD}/machines?state=harmd"

    assert get(console(scenes.shut()), target).status == 400


@pytest.mark.parametrize(
    ("path", "verb", "body"),
    [
        ("hold", Verb.HOLD, {}),
        ("resume", Verb.RESUME, {"ring": "offices"}),
        ("shut", Verb.SHUT, {}),
        ("expedite", Verb.EXPEDITE, {"budget": 10, "approved_by": "Ben"}),
        ("expedite", Verb.EXPEDITE, {"all": True}),
        ("resume", Verb.RESUME, {"approved_by": "Ben"}),
        ("pin", Verb.PIN, {"ring": "lab"}),
        ("pin", Verb.PIN, {"approved_by": "Ben"}),
        ("unpin", Verb.UNPIN, {}),
    ],
)
def test_each_verb_reaches_the_judge_with_who_and_why(path, verb, body):
    """What a person asks for arrives whole, under the full id, with a name and a reason."""
    world = scenes.opening()

    reply = post(console(world), f"/api/releases/{scenes.SECOND[:8]}/{path}", {**WHY, **body})

    assert reply.status == 200
    assert reply.json["index"] == 2
    assert world.asked == [(verb, scenes.SECOND, {"reason": WHY["reason"], **body}, "Amira")]


def test_the_time_of_a_fast_lane_and_the_number_of_an_order_reach_the_judge():
    """In the judge's units; whoever approves need not say why."""
    world = scenes.opening()
    app = console(world)
    path = f"/api/releases/{scenes.SECOND}"

    assert post(app, f"{path}/expedite", {**WHY, "budget": 10, "lasts_s": 90}).status == 200
    assert post(app, f"{path}/approve", {"by": "Ben", "order": 3}).status == 200
    assert post(app, f"{path}/note", {**WHY, "cves": ["CVE-2021-44228"]}).status == 200

    assert [(verb, given) for verb, _, given, _ in world.asked] == [
        (Verb.EXPEDITE, {"reason": WHY["reason"], "budget": 10, "lasts_ms": 90_000}),
        (Verb.APPROVE, {"reason": "", "order": 3}),
        (Verb.NOTE, {"reason": WHY["reason"], "cves": ("CVE-2021-44228",)}),
    ]


def test_a_channel_can_be_synced_and_resumed():
    """The two verbs that concern no release; a sync needs no reason."""
    world = scenes.opening()
    app = console(world)

    assert post(app, "/api/channels/tills-av/sync", {"by": "Amira"}).status == 200
    assert post(app, "/api/channels/tills-av/resume", WHY).status == 200
    assert [(verb, target) for verb, target, _, _ in world.asked] == [
        (Verb.SYNC, "tills-av"),
        (Verb.RESUME_CHANNEL, "tills-av"),
    ]


def test_packages_are_picked_for_a_channel_and_from_a_release_if_it_is_named():
    """Which release the beginning of an id means, the judge knows: it may not have boarded."""
    world = scenes.opening()
    app = console(world)
    path = "/api/channels/tills-av/pick"

    assert post(app, path, {**WHY, "packages": ["openssh"]}).status == 200
    given = {**WHY, "packages": ["openssh", "curl"], "release": "2cb81f3d"}
    assert post(app, path, given).status == 200
    assert post(app, path, WHY).status == 400
    assert post(app, path, {**WHY, "packages": ["a"] * 51}).status == 400
    assert post(app, path, {"by": "Amira", "packages": ["openssh"]}).status == 400

    reason = WHY["reason"]
    assert world.asked == [
        (Verb.PICK, "tills-av", {"reason": reason, "packages": ("openssh",)}, "Amira"),
        (
            Verb.PICK,
            "tills-av",
            {"reason": reason, "packages": ("openssh", "curl"), "release": "2cb81f3d"},
            "Amira",
        ),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("hold", {"by": "Amira"}),
        ("hold", {"by": "", "reason": "x"}),
        ("hold", {"reason": "x"}),
        ("hold", {**WHY, "reason": "  "}),
        ("hold", {**WHY, "budget": 5}),
        ("hold", {**WHY, "approved_by": "Ben"}),
        ("hold", {**WHY, "bugdet": 5}),
        ("hold", [1]),
        ("expedite", WHY),
        ("expedite", {**WHY, "budget": 5, "all": True}),
        ("expedite", {**WHY, "budget": 0}),
        ("expedite", {**WHY, "budget": 1_000_001}),
        ("expedite", {**WHY, "budget": "5"}),
        ("expedite", {**WHY, "budget": 5, "lasts_s": 0}),
        ("expedite", {**WHY, "budget": 5, "lasts_s": 31 * 86_400}),
        ("expedite", {**WHY, "budget": 5, "order": 1}),
        ("pin", {**WHY, "lasts_s": 60}),
        ("approve", WHY),
        ("note", WHY),
        ("note", {**WHY, "cves": []}),
        ("note", {**WHY, "cves": [""]}),
        ("note", {**WHY, "cves": ["CVE-2021-44228"] * 51}),
        ("hold", {**WHY, "cves": ["CVE-2021-44228"]}),
        ("hold", {**WHY, "packages": ["openssh"]}),
        ("hold", {**WHY, "release": "2cb81f3d"}),
        ("approve", {**WHY, "order": 0}),
        ("approve", {"by": "Ben", "order": 1, "approved_by": "Amira"}),
    ],
)
def test_a_request_that_makes_no_sense_is_never_submitted(path, body):
    """No name, no reason, a field of another verb, a misspelt field, two ways at once."""
    world = scenes.opening()

    reply = post(console(world), f"/api/releases/{scenes.SECOND}/{path}", body)

    assert reply.status == 400
    assert reply.json["type"] == "firedoor:BadInput"
    assert world.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (IllegalTransition("the door is shut"), 409),
        (NotAllowed("a second person has to approve"), 403),
        (NotFound("no ring 'lab'"), 404),
        (Rejected("no"), 400),
        (Untrusted("the ledger does not verify"), 502),
        (Unavailable("the judge does not answer"), 503),
    ],
)
def test_the_judges_answer_becomes_a_status(error: FiredoorError, status: int):
    """Whose turn it is: the caller's (4xx), the vendor's (502), or time's (503)."""
    world = scenes.opening()
    world.refusal = error

    reply = post(console(world), f"/api/releases/{scenes.SECOND}/shut", WHY)

    assert reply.status == status
    assert reply.json["detail"] == str(error)
    assert ("retry-after" in reply.headers) == (status == 503)


def test_a_wrong_method_is_a_problem_document_too():
    """Reading a verb does nothing."""
    reply = get(console(scenes.opening()), f"/api/releases/{scenes.SECOND}/shut")

    assert reply.status == 405
    assert reply.json["status"] == 405


@pytest.mark.parametrize(
    ("query", "numbers"), [("", [2, 1]), ("?limit=1", [2]), ("?before=2", [1]), ("?before=1", [])]
)
def test_releases_come_in_pages(query, numbers):
    """A history of years is longer than any answer should be."""
    reply = get(console(scenes.opening()), f"/api/channels/tills-av/releases{query}")

    assert [each["number"] for each in reply.json] == numbers


@pytest.mark.parametrize("query", ["?limit=0", "?limit=1001", "?before=-1", "?before=x"])
def test_a_page_of_releases_that_makes_no_sense_is_refused(query):
    """Not answered with another page than was asked for."""
    target = f"/api/channels/tills-av/releases{query}"

    assert get(console(scenes.opening()), target).status == 400
