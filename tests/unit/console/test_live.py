import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest
from starlette.types import Message
from tests.unit.console import scenes
from tests.unit.console.asking import TOKEN, scope
from tests.unit.console.world import Still, World

from firedoor.console.app import make_app
from firedoor.console.live import Live
from firedoor.core.errors import Unavailable


def test_a_viewer_that_comes_back_misses_nothing():
    """Last-Event-ID is a ledger index, so a broken line costs no decision."""

    async def story() -> list[str]:
        live = Live(scenes.shut(), poll_s=0.001, heartbeat_s=60)
        return await _take(live.open(1), 5)

    events = asyncio.run(story())

    assert events[0].startswith("retry:")
    assert [_id(event) for event in events[1:4]] == [2, 3, 4]
    assert "event: change" in events[4]


def test_a_new_viewer_gets_what_happens_from_now_on():
    """The page has just shown everything up to here."""

    async def story() -> list[str]:
        world = scenes.opening()
        live = Live(world, poll_s=0.001, heartbeat_s=60)
        stream = live.open(None)
        before = await _take(stream, 2)
        world.decide(world.ledger[-1])
        return before + await _take(stream, 2)

    _retry, first, decision, change = asyncio.run(story())

    assert "event: change" in first
    assert _id(decision) == 2
    assert json.loads(decision.split("data: ")[1])["channel"] == "tills-av"
    assert "event: change" in change


def test_a_quiet_line_shows_that_it_is_alive():
    """Proxies cut what is silent."""

    async def story() -> list[str]:
        live = Live(scenes.opening(), poll_s=60, heartbeat_s=0.001)
        return await _take(live.open(None), 4)

    assert asyncio.run(story())[2:] == [": still here\n\n"] * 2


def test_closing_ends_every_stream():
    """Otherwise a server waits for its viewers before it stops, for ever."""

    async def story() -> int:
        live = Live(scenes.opening(), poll_s=60, heartbeat_s=60)
        streams = [live.open(None) for _ in range(3)]
        for stream in streams:
            await _take(stream, 2)
        waiting = [asyncio.ensure_future(_rest(stream)) for stream in streams]
        await asyncio.sleep(0)
        live.close()
        live.close()
        rests = await asyncio.wait_for(asyncio.gather(*waiting), 10)
        with pytest.raises(Unavailable):
            live.open(None)
        return sum(rests) + live.viewers

    assert asyncio.run(story()) == 0


def test_viewers_are_bounded_and_a_place_is_freed_by_leaving():
    """A page reloaded ten thousand times must not exhaust the console."""

    async def story() -> tuple[int, int]:
        live = Live(scenes.opening(), poll_s=60, heartbeat_s=60, viewers=2)
        first, second = live.open(None), live.open(None)
        for stream in (first, second):
            await _take(stream, 1)
        with pytest.raises(Unavailable):
            live.open(None)
        await _leave(first)
        before = live.viewers
        await _take(live.open(None), 1)
        return before, live.viewers

    assert asyncio.run(story()) == (1, 2)


def test_a_store_that_does_not_answer_ends_the_stream_quietly():
    """The viewer comes back by itself; the console stays up."""

    class Broken(World):
        def decisions(self, after: int, limit: int):
            raise Unavailable(f"no answer for {after}, {limit}")

    async def story() -> int:
        live = Live(Broken(), poll_s=60, heartbeat_s=60)
        stream = live.open(None)
        await _take(stream, 1)
        return await _rest(stream) + live.viewers

    assert asyncio.run(story()) == 0


def test_the_stream_goes_over_http_and_ends_when_the_viewer_leaves():
    """Through the whole app: Last-Event-ID in, an event stream out, the place free afterwards."""

    async def story() -> tuple[Message, str, int]:
        world = scenes.shut()
        live = Live(world, poll_s=0.001, heartbeat_s=60)
        app = make_app(world, world, token=TOKEN, hosts=(), clock=Still(), live=live)
        gone = asyncio.Event()
        sent: list[Message] = []

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if b"event: change" in message.get("body", b""):
                gone.set()

        await asyncio.wait_for(
            app(scope("GET", "/events", {"last_event_id": "3"}), receive, send), 10
        )
        await asyncio.sleep(0)
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0], body.decode(), live.viewers

    start, body, viewers = asyncio.run(story())

    assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert [line for line in body.splitlines() if line.startswith("id:")] == ["id: 4"]
    assert viewers == 0


def test_a_viewer_far_behind_is_served_page_by_page():
    """A ledger of any length costs a slow viewer time, not the console memory."""

    async def story() -> list[int]:
        world = scenes.adopted()
        for _ in range(250):
            world.decide(msgspec.structs.replace(world.ledger[0], sentence="again"))
        live = Live(world, poll_s=60, heartbeat_s=60)
        return [_id(event) for event in (await _take(live.open(-1), 252))[1:]]

    assert asyncio.run(story()) == list(range(251))


async def _take(stream: AsyncIterator[bytes], count: int) -> list[str]:
    return [(await asyncio.wait_for(anext(stream), 10)).decode() for _ in range(count)]


async def _rest(stream: AsyncIterator[bytes]) -> int:
    return len([event async for event in stream])


async def _leave(stream: AsyncIterator[bytes]) -> None:
    # What the server does with the stream of a viewer that is gone.
    await stream.aclose()  # type: ignore[attr-defined]  # open returns an async generator


def _id(event: str) -> int:
    return int(event.split("\n", maxsplit=1)[0].removeprefix("id: "))
