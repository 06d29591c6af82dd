"""The intake under floods, slow senders, and mistakes of its own."""

import asyncio
import threading

import structlog
from tests.asgi import ask
from tests.unit.intake.posting import PATH, half_sent, line, lines

from firedoor.intake import app as app_module
from firedoor.intake import commit as commit_module
from firedoor.intake.heartbeats import Heartbeats


def panics(numbers):
    return lines(*(line(kind="panic", id=str(n)) for n in numbers))


def test_a_flood_of_events_is_stored_up_to_a_limit_and_told_so_once(world):
    """One captured token must not fill the disk; the other kinds and machines are not touched."""
    answer = world.post(panics(range(100)) + lines(line(kind="coredump"))).json()
    other = world.post(line(machine="pos-1", kind="panic"), token=world.pos.signal).json()

    assert (answer["accepted"], answer["duplicates"], other["accepted"]) == (61, 0, 1)
    (bad,) = answer["rejected"]
    assert bad["line"] == 61
    assert bad["error"].startswith("more than 60 of this kind in a minute: 40 ")


def test_the_limit_of_events_holds_over_requests_and_for_a_minute(world):
    """However the flood is cut; and a machine that calmed down is heard again."""
    first = [world.post(panics(range(at, at + 20))).json()["accepted"] for at in range(0, 100, 20)]
    world.clock.pass_ms(60_000)

    assert first == [20, 20, 20, 0, 0]
    assert world.post(panics(range(100, 120))).json()["accepted"] == 20


def test_a_repeat_takes_nothing_of_the_limit(world):
    """A sender whose answers are lost repeats itself, and then has something new to say."""
    for _ in range(5):
        world.post(panics(range(40)))

    assert world.post(panics(range(40))).json()["duplicates"] == 40
    assert world.post(panics(range(40, 60))).json()["accepted"] == 20


def test_what_was_not_stored_takes_nothing_of_the_limit(world):
    """A full disk answers 503: the sender tries again, and must not be refused for having tried."""
    connection = world.store._connection  # noqa: SLF001 - SQLite's own limit stands for a full disk
    body = lines(*(line(kind="panic", id=f"{n:090}") for n in range(60)))
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")

    refused = [world.post(body).status for _ in range(3)]
    connection.execute("PRAGMA max_page_count = 100000")

    assert refused == [503] * 3
    assert world.post(body).json() == {"accepted": 60, "duplicates": 0, "rejected": []}


def test_a_mistake_of_ours_is_a_problem_document_and_goes_to_the_log(world, monkeypatch):
    """The sender keeps its signals, and somebody finds out; no token gets into either."""
    secret = world.till.signal

    def broken(*_):
        raise KeyError(secret)

    monkeypatch.setattr(world.known, "identify", broken)
    with structlog.testing.capture_logs() as log:
        reply = world.post(line())

    assert (reply.status, reply.json()["status"]) == (500, 500)
    assert reply.header("content-type") == "application/problem+json"
    assert [entry["event"] for entry in log] == ["intake.failed"]
    assert "KeyError" in log[0]["error"]
    assert secret not in repr(log) + repr(reply)


def test_a_commit_that_breaks_off_is_answered_and_the_next_one_works(world, monkeypatch):
    """Else every later request would wait for ever behind the one that met the mistake."""

    async def post(body):
        header = {"authorization": f"Bearer {world.till.signal}"}
        async with asyncio.timeout(10):
            return (await ask(world.app, "POST", PATH, body, header)).status

    def broken(*_):
        raise ZeroDivisionError

    async def story():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        with monkeypatch.context() as patch:
            patch.setattr(Heartbeats, "hear", broken)
            together = await asyncio.gather(post(line()), post(line(kind="panic")))
        return [*together, await post(line(kind="bugcheck"))]

    assert asyncio.run(story()) == [503, 503, 200]


def test_a_sender_fills_its_share_of_the_queue_and_no_more(world, monkeypatch):
    """While the disk is slow: others are let in, and what is a sender's only request is too."""
    monkeypatch.setattr(commit_module, "MAX_OF_ONE", 2)
    held, append = threading.Event(), world.store.append

    def slow(*given):
        held.wait(10)
        return append(*given)

    monkeypatch.setattr(world.store, "append", slow)

    async def post(token, name, *kinds):
        body = lines(*(line(machine=name, kind=kind, id=kind) for kind in kinds))
        sent = {"authorization": f"Bearer {token}"}
        return (await ask(world.app, "POST", PATH, body, sent)).status

    async def story():
        till, pos = world.till.signal, world.pos.signal
        waiting = []
        # The first is on its way to the disk when the second comes.
        for kinds in (("panic",), ("bugcheck", "coredump", "service-failed")):
            waiting.append(asyncio.create_task(post(till, "till-17", *kinds)))
            await asyncio.sleep(0.1)
        refused = await post(till, "till-17", "check-failed")
        waiting.append(asyncio.create_task(post(pos, "pos-1", "panic")))
        await asyncio.sleep(0.1)
        held.set()
        return refused, [await each for each in waiting]

    assert asyncio.run(story()) == (429, [200, 200, 200])
    assert len(world.events()) == 5


def test_slow_large_bodies_are_turned_away_and_small_ones_get_through(world, monkeypatch):
    """What slow senders hold is bounded, and it is bounded for them."""
    monkeypatch.setattr(app_module, "MAX_IN_FLIGHT", 0)
    app = world.make(max_body=50_000)
    sent = {"authorization": f"Bearer {world.till.signal}"}

    def slow(size, held):
        return half_sent(app, PATH, sent["authorization"], size, held)

    async def story():
        held = asyncio.Event()
        first = [asyncio.create_task(slow(50_000, held)) for _ in range(2)]
        await asyncio.sleep(0)
        third = await slow(50_000, held)
        small = await ask(app, "POST", PATH, line(), sent)
        other = {"authorization": f"Bearer {world.pos.signal}"}
        others = await ask(app, "POST", PATH, b" " * 40_000, other)
        held.set()
        await asyncio.gather(*first)
        after = await ask(app, "POST", PATH, lines(line(kind="panic")) + b" " * 40_000, sent)
        return third[0], small.status, others.status, after.status

    refused, small, others, after = asyncio.run(story())

    assert refused["status"] == 429, "it is this sender that has too much under way"
    assert b"retry-after" in dict(refused["headers"])
    assert (small, others, after) == (200, 503, 200)
