"""The intake asked in process: real register, real store, a clock in the hand."""

import asyncio
import base64
import gzip
import json

import pytest
import structlog
from tests.asgi import ask
from tests.unit.intake.posting import PATH, line, lines

from firedoor.core.signal import Reports, SignalKind
from firedoor.core.units import UnixMs


def test_what_is_answered_200_is_stored(world):
    """Acknowledged means durable: the answer comes after the commit."""
    reply = world.post(lines(line(), line(kind="panic", id="p1", detail={"cpu": 3})))

    assert (reply.status, reply.json()) == (
        200,
        {"accepted": 2, "duplicates": 0, "rejected": []},
    )
    assert reply.header("content-type") == "application/json"
    (panic,) = world.events()
    assert (panic.machine, panic.kind, panic.key) == (world.till.no, "panic", "p1")
    assert json.loads(panic.detail) == {"cpu": 3}
    assert world.heard() == [[world.till.no]]


def test_a_repeat_is_counted_and_changes_nothing(world):
    """A sender that lost the answer sends again; nothing may count twice."""
    body = lines(line(), line(kind="panic"), line(kind="panic", id="x"))
    world.post(body)

    reply = world.post(body)

    assert reply.json() == {"accepted": 0, "duplicates": 3, "rejected": []}
    assert len(world.events()) == 2
    assert [machines for machines in world.heard() if machines] == [[world.till.no]]


def test_a_repeat_within_one_body_is_a_duplicate_too(world):
    """Two spools of one agent may hold the same signal."""
    reply = world.post(lines(line(), line(), line(kind="panic"), line(kind="panic")))

    assert reply.json() == {"accepted": 2, "duplicates": 2, "rejected": []}


@pytest.mark.parametrize("kind", [kind.value for kind in SignalKind if kind != "heartbeat"])
def test_every_other_kind_is_an_event(world, kind):
    """The kinds of the interface, each stored under its own name."""
    assert world.post(line(kind=kind)).json()["accepted"] == 1
    assert [event.kind for event in world.events()] == [kind]


def test_a_wrong_line_is_named_and_the_others_are_accepted(world):
    """One broken agent behind a collector must not silence the others."""
    body = lines(line(), b"{", b"", line(kind="sneeze"), line(machine="nobody"), line(kind="panic"))

    answer = world.post(body).json()

    assert (answer["accepted"], answer["duplicates"]) == (2, 0)
    errors = {bad["line"]: bad["error"] for bad in answer["rejected"]}
    assert errors.keys() == {2, 4, 5}
    assert "boot-unclean" in errors[4], "the known kinds are named"


def test_wrong_lines_are_told_in_their_order(world):
    """Whatever is wrong with them: a person reads the answer beside the body."""
    body = lines(line(kind="sneeze"), b"{", line(machine="nobody"), b"[", line(kind="cough"))

    rejected = world.post(body).json()["rejected"]

    assert [bad["line"] for bad in rejected] == [1, 2, 3, 4, 5]


def test_a_line_nested_too_deeply_does_not_cost_the_batch(world):
    """A collector's one hostile machine must not silence the others."""
    deep = b'{"x":' + b"[" * 2_000 + b"]" * 2_000 + b"}"

    reply = world.post(lines(line(), deep, line(kind="panic")))

    assert (reply.status, reply.json()["accepted"]) == (200, 2)
    assert [bad["line"] for bad in reply.json()["rejected"]] == [2]


def test_a_batch_of_heartbeats_sent_again_is_a_batch_of_duplicates(world):
    """A spool that is flushed twice is no fresh sign of life."""
    body = lines(*(line(time=world.clock.wall_ms - 60_000 * ago) for ago in (4, 3, 2, 1, 0)))

    first, again = world.post(body).json(), world.post(body).json()

    assert (first["accepted"], first["duplicates"]) == (5, 0)
    assert (again["accepted"], again["duplicates"]) == (0, 5)
    assert [machines for machines in world.heard() if machines] == [[world.till.no]]


def test_a_machine_whose_clock_is_set_right_is_heard_at_once(world):
    """Its clock was an hour ahead: it must not be silent until that hour has come."""
    world.post(line(time=world.clock.wall_ms + 3_600_000))
    world.clock.pass_ms(60_000)

    answer = world.post(line(time=world.clock.wall_ms)).json()

    assert (answer["accepted"], answer["duplicates"]) == (1, 0)


def test_a_large_detail_is_refused_by_itself(world):
    """A line, not the request, is what is too large."""
    answer = world.post(lines(line(kind="panic", detail={"x": "y" * 4_096}), line())).json()

    assert answer["accepted"] == 1
    assert [bad["line"] for bad in answer["rejected"]] == [1]


def test_a_body_with_nothing_in_it_is_answered_without_a_commit(world):
    """Nothing to store is no reason to sync a disk."""
    assert world.post(b"\n").json() == {"accepted": 0, "duplicates": 0, "rejected": []}
    assert world.heard() == []


def test_a_machine_may_speak_for_itself_alone(world):
    """A captured till must not be able to make other machines look crashed."""
    answer = world.post(lines(line(machine="pos-1", kind="panic"), line(kind="panic"))).json()

    assert answer["accepted"] == 1
    assert "may not speak" in answer["rejected"][0]["error"]
    assert [event.machine for event in world.events()] == [world.till.no]


def test_a_collector_may_speak_for_the_machines_it_is_bound_to(world):
    """And is told why not for others, without being told who exists."""
    body = lines(
        line(), line(machine="pos-1"), line(machine="pos-nobody"), line(machine="till-nobody")
    )

    answer = world.post(body, token=world.collector).json()

    assert answer["accepted"] == 1
    errors = [bad["error"] for bad in answer["rejected"]]
    assert errors[0].replace("pos-1", "") == errors[1].replace("pos-nobody", "")
    assert "enrolled" in errors[2]
    assert world.heard() == [[world.till.no]]


def test_a_collector_learns_of_enrolments_and_revocations_at_once(world):
    """What it may say is remembered only until the register changes."""
    late = line(machine="till-18", kind="panic")
    assert world.post(late, token=world.collector).json()["accepted"] == 0

    world.register.enroll("till-18", {}, UnixMs(2))
    enrolled = world.post(late, token=world.collector).json()
    world.register.revoke("till-18", UnixMs(3))
    revoked = world.post(line(machine="till-18"), token=world.collector).json()

    assert (enrolled["accepted"], revoked["accepted"]) == (1, 0)


def test_every_form_of_credentials_leads_to_the_same_machine(world):
    """Agents differ in what they can send."""
    basic = base64.b64encode(f"till-17:{world.till.signal}".encode()).decode()
    forms = [
        world.post(line(kind="panic", id="1")),
        world.post(line(kind="panic", id="2"), authorization=f"Basic {basic}"),
        world.post(line(kind="panic", id="3"), authorization=f"bearer  {world.till.signal}"),
        world.post(
            line(kind="panic", id="4"), authorization="", path=f"/m/{world.till.signal}{PATH}"
        ),
    ]

    assert [form.status for form in forms] == [200] * 4
    assert [event.key for event in world.events()] == ["1", "2", "3", "4"]


def _wrong_credentials(world):
    def basic(user, password):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    return {
        "nothing": ("", PATH),
        "read token": (f"Bearer {world.till.read}", PATH),
        "read token in the path": ("", f"/m/{world.till.read}{PATH}"),
        "other machine's name": (basic("pos-1", world.till.signal), PATH),
        "no name": (basic("", world.till.signal), PATH),
        "bad base64": ("Basic %%%", PATH),
        "not UTF-8": ("Basic /////w==", PATH),
        "unknown": ("Bearer fds_" + "0" * 32, PATH),
        "unknown scheme": (f"Digest {world.till.signal}", PATH),
        "wrong path token despite a right header": (
            f"Bearer {world.till.signal}",
            f"/m/fds_{'0' * 32}{PATH}",
        ),
        "empty path token": ("", f"/m/{PATH}"),
    }


@pytest.mark.parametrize(
    "form",
    [
        "nothing",
        "read token",
        "read token in the path",
        "other machine's name",
        "no name",
        "bad base64",
        "not UTF-8",
        "unknown",
        "unknown scheme",
        "wrong path token despite a right header",
        "empty path token",
    ],
)
def test_wrong_credentials_are_answered_401_and_nothing_is_stored(world, form):
    """A gate token in a world-readable sources.list must not be able to fake a crash."""
    authorization, path = _wrong_credentials(world)[form]

    reply = world.post(line(kind="panic"), path=path, authorization=authorization)

    assert reply.status == 401
    assert "Bearer" in reply.header("www-authenticate")
    assert "Basic" in reply.header("www-authenticate")
    assert world.events() == []


def test_a_revoked_machine_is_a_stranger(world):
    """From the next request on."""
    assert world.post(line()).status == 200

    world.register.revoke("till-17", UnixMs(2))

    assert world.post(line(kind="panic")).status == 401


def test_an_error_is_a_problem_document(world):
    """RFC 9457: one form for every mistake, readable for scripts and people."""
    reply = world.post(line(), authorization="Bearer fds_wrong")

    assert reply.header("content-type") == "application/problem+json"
    problem = reply.json()
    assert problem.keys() == {"type", "title", "status", "detail", "hint"}
    assert (problem["status"], problem["title"]) == (401, "Unauthorized")


def test_too_large_a_body_is_answered_413_declared_or_not(world):
    """A chunked body is counted while it is read."""
    assert world.post(b"x" * 10_001).status == 413
    assert world.post([b"x" * 6_000, b"x" * 6_000]).status == 413
    assert world.post(gzip.compress(b"\n" * 10_001), content_encoding="gzip").status == 413


def test_gzip_is_understood_and_nothing_else(world):
    """Collectors pack; what we cannot unpack we must not store as rubbish."""
    assert world.post(gzip.compress(line()), content_encoding="gzip").json()["accepted"] == 1
    assert world.post(gzip.compress(line())[:9], content_encoding="gzip").status == 400

    refused = world.post(line(), content_encoding="br")

    assert refused.status == 415
    assert refused.header("accept-encoding") == "gzip"


def test_other_paths_and_methods_are_refused_in_the_ways_of_http(world):
    """A person with a browser finds out what is wrong."""
    get = asyncio.run(ask(world.app, "GET", PATH))

    assert (get.status, get.header("allow")) == (405, "POST")
    for path in ("/", "/v1/signal", "/v1/signals/", "/m/x", "/m/x/healthz"):
        assert asyncio.run(ask(world.app, "GET", path)).status == 404


def test_a_clock_that_runs_ahead_is_corrected_and_its_repeat_recognised(world):
    """Else a crash would lie in a future that no judge ever looks at; the key stays as sent."""
    received = world.clock.wall_ms
    body = lines(line(time=received + 60_001, kind="panic"), line(time=received, kind="bugcheck"))
    world.post(body)
    world.clock.pass_ms(2_000)

    assert world.post(body).json()["duplicates"] == 2
    assert [event.time_ms for event in world.events()] == [received, received]
    assert [event.shift_ms for event in world.events()] == [-60_001, 0]


@pytest.mark.parametrize("wrong_h", [-24 * 365 * 20, -3, 3])
def test_a_clock_that_heartbeats_show_to_be_wrong_is_set_right(world, wrong_h):
    """A crash of a minute ago, by a clock that is hours off, happened a minute ago."""
    shown = world.clock.wall_ms + wrong_h * 3_600_000
    world.post(lines(line(time=shown)))
    received = world.clock.wall_ms

    world.post(lines(line(time=shown - 60_000, kind="panic")))

    (event,) = world.events()
    assert event.time_ms == received - 60_000
    assert event.shift_ms == -wrong_h * 3_600_000


def test_what_is_said_of_an_hour_ago_happened_an_hour_ago(world):
    """A machine that was cut off tells of its crash when it is back."""
    then = world.clock.wall_ms - 3_600_000
    world.post(lines(line(time=world.clock.wall_ms)))
    world.post(lines(line(time=then, kind="panic"), line(time=5, kind="coredump")))

    assert [event.time_ms for event in world.events()] == [then, 5]


def test_a_clock_without_a_battery_of_which_nothing_is_known_is_not_believed(world):
    """By it a crash of today would have happened in 1970, before every card."""
    received = world.clock.wall_ms
    world.post(lines(line(time=5, kind="panic")))

    (event,) = world.events()
    assert (event.time_ms, event.shift_ms) == (received, received - 5)


def test_a_full_disk_is_503_and_nothing_of_the_request_counts(world):
    """The sender keeps it and tries again, and then it is new."""
    kinds = ("panic", "coredump")
    body = lines(line(), *(line(kind=kind, id=f"{n:060}") for n in range(35) for kind in kinds))
    connection = world.store._connection  # noqa: SLF001 - SQLite's own limit stands for a full disk
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")

    refused = world.post(body)
    sick = asyncio.run(ask(world.app, "GET", "/healthz"))
    connection.execute("PRAGMA max_page_count = 100000")

    assert refused.status == sick.status == 503
    assert int(refused.header("retry-after")) > 0
    assert world.events() == []
    assert world.post(body).json() == {"accepted": 71, "duplicates": 0, "rejected": []}
    assert asyncio.run(ask(world.app, "GET", "/healthz")).json() == {"status": "ok"}


def test_requests_that_come_together_share_a_commit_and_get_their_own_answers(world):
    """A thousand machines at once cost the disk a few syncs, not a thousand."""

    async def together():
        return await asyncio.gather(
            *(
                ask(
                    world.app,
                    "POST",
                    PATH,
                    lines(line(kind="panic", id=str(n)), line(kind="panic", id="same")),
                    {"authorization": f"Bearer {world.till.signal}"},
                )
                for n in range(50)
            )
        )

    answers = [reply.json() for reply in asyncio.run(together())]

    assert sum(answer["accepted"] for answer in answers) == 51
    assert sum(answer["duplicates"] for answer in answers) == 49
    assert len(world.events()) == 51
    assert len(world.heard()) < 10


def test_no_token_gets_into_a_log_or_an_answer(world):
    """Logs are read by many; a token in one is a token lost."""
    secrets = [world.till.signal, world.till.read, world.collector, "fds_mistyped"]
    with structlog.testing.capture_logs() as log:
        replies = [
            world.post(b"x", path=f"/m/{secret}{path}", authorization=header)
            for secret in secrets
            for path in (PATH, "/elsewhere", "")
            for header in ("", f"Bearer {secret}", f"Basic {secret}")
        ]
        replies += [world.post(lines(line(machine=s), line(kind=s))) for s in secrets]
        replies += [world.post(line(machine=s), token=world.collector) for s in secrets]

    said = repr(log) + repr([(reply.headers, reply.body) for reply in replies])
    assert log
    assert [secret for secret in secrets if secret in said] == []


def test_who_has_sent_a_signal_is_one_that_tells(world):
    """A script that tells of boots would tell of a crash as well."""
    world.app = world.make(bucket_ms=10)
    world.post(line(kind="booted"))

    assert world.reporting() == {world.till.no: Reports.TELLS}


def test_regular_heartbeats_are_recorded_as_a_pulse_and_so_is_their_end(world):
    """The judge gives a beating machine a deadline of three heartbeats."""
    app = world.make(heartbeat_ms=100, bucket_ms=10)
    header = {"authorization": f"Bearer {world.till.signal}"}

    async def bucket():
        """Let 15 ms pass on the clock and wait until the intake looked at it."""
        world.clock.pass_ms(15)
        for _ in range(1_000):
            if world.source.beats_after(0)[-1].at == world.clock.now():
                return
            await asyncio.sleep(0.005)

    async def pulse_after(buckets):
        for _ in range(buckets):
            await bucket()
        return [(pulse.machine, pulse.reports) for pulse in world.source.pulses_after(0)]

    async def live():
        await app.start()
        pulses = []
        for _ in range(3):
            await ask(app, "POST", PATH, line(time=world.clock.wall_ms), header)
            pulses.append(await pulse_after(buckets=7))
        # Seven buckets have passed: three intervals end in the middle of the 20th.
        pulses.append(await pulse_after(buckets=12))
        pulses.append(await pulse_after(buckets=3))
        await app.stop()
        return pulses

    pulses = asyncio.run(live())

    till = world.till.no
    assert pulses == [
        [],
        [],
        [(till, Reports.BEATS)],
        [(till, Reports.BEATS)],
        [(till, Reports.NOTHING)],
    ]


def test_the_intake_says_that_it_listened_from_start_to_stop(world):
    """Time without a beat is time in which nobody could have been heard."""
    app = world.make(bucket_ms=10)

    async def live():
        await app.start()
        await asyncio.sleep(0.1)
        world.clock.pass_ms(77)
        await app.stop()

    asyncio.run(live())

    beats = [beat.at.mono_ms for beat in world.source.beats_after(0)]
    assert len(beats) >= 3, "at the start, at the end, and in between"
    assert (beats[0], beats[-1]) == (1_000_000, 1_000_077)
