"""The gate's own HTTP server in the test's event loop: what it owes to clients that are alive."""

import asyncio
import contextlib
import functools
import socket
from pathlib import Path

import pytest

from firedoor.adapters.server import DirectServer, Limits
from firedoor.adapters.server.limits import fitting
from firedoor.adapters.tls.context import TlsFiles
from firedoor.adapters.tls.front import TlsFront
from firedoor.adapters.tls.peers import INNER, Peer, Peers
from firedoor.ports import CERTIFICATE, Certificate

ASK = b"%b / HTTP/1.1\r\nHost: gate\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"
BODY = b"all is well"


def in_a_loop(test):
    """A test that is a coroutine function, for pytest."""

    @functools.wraps(test)
    def run(**fixtures):
        asyncio.run(test(**fixtures))

    return run


async def say_so(_scope, _receive, send):
    """An application that thinks nothing of HEAD."""
    length = (b"content-length", b"%d" % len(BODY))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": BODY})


@contextlib.asynccontextmanager
async def serving(app):
    """A server, its task, and the address it listens on."""
    with socket.create_server((INNER, 0)) as listener:
        server = DirectServer(app, listener, Limits(stop_s=1.0))
        task = asyncio.create_task(server.serve())
        yield server, task, listener.getsockname()
        server.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def told(address, said, source=None):
    """What the server says until it closes."""
    reader, writer = await asyncio.open_connection(*address, local_addr=source)
    with contextlib.closing(writer):
        writer.write(said)
        return await asyncio.wait_for(reader.read(), 10)


@in_a_loop
async def test_head_has_an_answer_even_where_the_application_sends_a_body():
    """``/healthz`` does so, and health checks of load balancers ask by HEAD."""
    async with serving(say_so) as (_, _, address):
        said = await told(address, ASK % b"HEAD" + LAST)

    first, second, body = said.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 11" in first
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == BODY


@in_a_loop
async def test_what_was_asked_before_the_end_is_answered():
    """A restart is a pause: a request that the kernel has taken is not reset."""
    async with serving(say_so) as (server, task, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ASK % b"GET")
        assert await reader.readuntil(BODY)
        writer.write(ASK % b"GET")
        server.stop()  # before the event loop has seen it
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await task

    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in said


@in_a_loop
async def test_who_asks_ahead_waits_for_the_others():
    """Ten thousand requests at once are answered one for each turn of the event loop."""
    asked = []

    async def app(scope, receive, send):
        asked.append(scope["client"])
        await say_so(scope, receive, send)

    async with serving(app) as (_, _, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ASK % b"GET" * 10_000)
        drained = asyncio.create_task(reader.read())
        while len(asked) < 1000:
            before = len(asked)
            await asyncio.sleep(0)
            assert len(asked) <= before + 2
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await drained


@in_a_loop
async def test_a_server_that_was_cancelled_accepts_nobody():
    """Who does not serve any more leaves the backlog to whoever comes after."""
    async with serving(say_so) as (_, task, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ASK % b"GET")
        await reader.readuntil(BODY)
        task.cancel()
        assert await reader.read() == b""
        writer.close()
        late, waiting = await asyncio.open_connection(*address)
        waiting.write(LAST)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(late.read(), 0.2)
        waiting.close()


@in_a_loop
async def test_the_port_of_another_address_is_not_the_relays(monkeypatch):
    """Any user of the host may bind it, and would be whichever machine calls by that port."""
    peers = Peers()
    monkeypatch.setattr("firedoor.adapters.tls.front.Peers", lambda: peers)
    monkeypatch.setattr("firedoor.adapters.tls.front.make_context", lambda *_, **__: None)

    async def who(scope, _receive, send):
        assert scope[CERTIFICATE].name == "web-1"
        await say_so(scope, _receive, send)

    with socket.create_server((INNER, 0)) as relay:
        port = relay.getsockname()[1]
        front = TlsFront(TlsFiles(Path(), Path()), relay, stop_s=1.0)
    peers.enter(port, Peer("192.0.2.9", Certificate("web-1", "ab" * 32)))
    async with serving(front.behind(who)) as (_, _, address):
        other = await told(address, LAST, ("127.0.0.2", port))
        own = await told(address, LAST, (INNER, port))
    peers.close()

    assert other.startswith(b"HTTP/1.1 403 ")
    assert own.startswith(b"HTTP/1.1 200 ")


def test_there_is_a_descriptor_for_the_file_of_each_connection(monkeypatch):
    """Slow readers hold two; with none left no database and no blob could be opened."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (1128, 1128))
    assert fitting(12_288) == 1000
    assert fitting(12_288, 2) == 500
    assert fitting(100, 2) == 100
