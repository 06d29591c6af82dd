"""The gate's own HTTP server when it is full, and with clients that hardly read."""

import asyncio
import contextlib
import functools
import resource
import socket
import subprocess

import pytest
from tests.answer_process import answering

from firedoor.adapters.server import DirectServer, Limits
from firedoor.adapters.server.limits import SLOW_BYTES
from firedoor.adapters.tls.peers import INNER

MOST = 40
OTHER = "127.0.0.2"
ASK = b"GET /%b HTTP/1.1\r\nHost: gate\r\n\r\n"
LAST = b"GET /%b HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"
LONG = 4 * 1024 * 1024
CUT = 128 * 1024
"""Sent at a time to whoever reads; the kernel takes more of it than any client reads here."""


def in_a_loop(test):
    """A test that is a coroutine function, for pytest."""

    @functools.wraps(test)
    def run(**fixtures):
        asyncio.run(asyncio.wait_for(test(**fixtures), 60))

    return run


class App:
    """Says its length in bytes for ``/NUMBER``; for ``/wait`` it waits until it is told."""

    def __init__(self):
        self.asked = 0
        self.told = asyncio.Event()

    async def __call__(self, scope, _receive, send):
        """Answer."""
        self.asked += 1
        name = scope["path"][1:]
        if name == "wait":
            await self.told.wait()
        count = int(name) if name.isdigit() else 4
        length = (b"content-length", b"%d" % count)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        for at in range(0, count, CUT):
            piece = bytes(min(CUT, count - at))
            more = at + CUT < count
            await send({"type": "http.response.body", "body": piece, "more_body": more})


@contextlib.asynccontextmanager
async def serving(**limits):
    """A server that takes few; its application and address."""
    app = App()
    with socket.create_server((INNER, 0), backlog=256) as listener:
        server = DirectServer(app, listener, Limits(**{"connections": MOST, **limits}))
        task = asyncio.create_task(server.serve())
        yield app, listener.getsockname()
        app.told.set()
        server.stop()
        await task


@contextlib.asynccontextmanager
async def crowd(address, count, said, source=INNER):
    """Connections from one address that say something and nothing more."""
    opened = []
    try:
        for _ in range(count):
            each = await asyncio.open_connection(*address, local_addr=(source, 0))
            opened.append(each)
            each[1].write(said)
            await each[1].drain()
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def told(address, said, source=OTHER):
    """What the server says until it closes, "" if it is gone."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
    with contextlib.closing(writer):
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""


async def until(condition):
    """Wait; the test's own time ends it."""
    while not condition():  # noqa: ASYNC110 - what is waited for is a number
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("many", "said"), [(10_000, b""), (3_000, b"GET / HTTP/1.1\r\nHost: gate\r\n")]
)
def test_ten_thousand_that_only_sit_there_keep_nobody_out(tmp_path, many, said):
    """Anybody can open them for nothing; the machines of the fleet are answered all the same."""
    (tmp_path / "index.txt").write_bytes(b"index")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with (
            answering(tmp_path, "prlimit", "--nofile=1024:1024") as (_, port),
            contextlib.ExitStack() as opened,
        ):
            for _ in range(min(many, hard - 256)):
                each = opened.enter_context(socket.create_connection((INNER, port), 20))
                with contextlib.suppress(ConnectionError):
                    each.sendall(said)
            url = f"http://{INNER}:{port}/index.txt"
            done = subprocess.run(
                ["curl", "-sS", "-m", "20", "--interface", OTHER, url, url],
                capture_output=True, check=False, timeout=60,
            )  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert done.stdout == b"index" * 2, done.stderr


@in_a_loop
async def test_a_crowd_that_keeps_busy_pushes_out_nobody_else():
    """Each of its connections asks for something; a machine has one, and it waits for a moment."""
    async with serving() as (app, address):
        reader, writer = await asyncio.open_connection(*address, local_addr=(OTHER, 0))
        writer.write(ASK % b"4")
        await reader.readuntil(b"\r\n\r\n" + bytes(4))
        async with crowd(address, 2 * MOST, ASK % b"wait"):
            await until(lambda: app.asked >= MOST - 1)
            assert (await told(address, LAST % b"4", "127.0.0.3")).startswith(b"HTTP/1.1 200 ")
            writer.write(LAST % b"5")
            again = await reader.read()
        writer.close()

    assert again.startswith(b"HTTP/1.1 200 ")


@in_a_loop
async def test_machines_that_are_all_being_answered_let_the_next_one_wait():
    """More of them than there may be connections: nobody's download is cut, nobody is refused."""
    async with serving() as (app, address), contextlib.AsyncExitStack() as opened:
        crowds = [
            await opened.enter_async_context(crowd(address, 4, ASK % b"wait", f"127.0.1.{n}"))
            for n in range(MOST // 4)
        ]
        await until(lambda: app.asked == MOST)
        late = [
            asyncio.create_task(told(address, LAST % b"wait", f"127.0.2.{n}")) for n in range(1, 61)
        ]
        # Long enough for more of them than there is room for beyond the limit.
        await asyncio.sleep(5)
        assert not any(each.done() for each in late)
        # Who is answered and stays makes room at once: a reader tells of that before what it has.
        reading = [
            asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for each in crowds for reader in each
        ]
        await asyncio.sleep(0)
        app.told.set()
        answers = await asyncio.gather(*late)
        heads = await asyncio.gather(*reading)

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)


async def slowly(address, said, count, pause_s):
    """What a client gets that reads so many bytes at a time, and whether it is ended in 20 s."""
    loop = asyncio.get_running_loop()
    got = 0
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        opened.setblocking(False)
        await loop.sock_connect(opened, address)
        await loop.sock_sendall(opened, said)
        with contextlib.suppress(ConnectionError):
            for _ in range(int(20 / pause_s)):
                piece = await loop.sock_recv(opened, count)
                got += len(piece)
                if not piece:
                    return got, True
                await asyncio.sleep(pause_s)
            return got, False
        return got, True


@pytest.mark.parametrize(("said", "length"), [(ASK, LONG), (LAST, LONG // 8)])
@in_a_loop
async def test_who_reads_a_drip_now_and_then_does_not_stay(said, length):
    """A connection costs it nothing and us memory, also where the kernel has all of the reply."""
    async with serving(slow_s=1) as (_, address):
        got, ended = await slowly(address, said % b"%d" % length, 512, 0.05)

    assert ended
    assert got < length


@in_a_loop
async def test_who_reads_slowly_but_reads_gets_all_of_it():
    """A window's worth in each window is enough, for as many windows as it takes."""
    async with serving(slow_s=1) as (_, address):
        got, _ = await slowly(address, LAST % b"%d" % LONG, SLOW_BYTES, 0.02)

    assert got > LONG


@in_a_loop
async def test_those_that_have_closed_make_room_before_anybody_is_closed():
    """A full server has not yet looked who went away: machines come and go all at once."""

    def ask_again(each):
        each.sendall(LAST % b"7")
        said = b""
        with contextlib.suppress(ConnectionError):
            while piece := each.recv(4096):
                said += piece
        return said

    async with serving() as (app, address):
        opened = [socket.create_connection(address, 20) for _ in range(MOST)]
        for each in opened:
            each.sendall(ASK % b"4")
        await until(lambda: app.asked == MOST)
        # In one step of the event loop, which serves: it hears of all of it together.
        fresh = [socket.create_connection(address, 20) for _ in range(MOST // 2)]
        for each in opened[1::2]:
            each.close()
        stayed = opened[::2]
        answers = [await asyncio.to_thread(ask_again, each) for each in stayed + fresh]
        for each in stayed + fresh:
            each.close()

    assert [answer[-7:] for answer in answers] == [bytes(7)] * MOST


@in_a_loop
async def test_a_site_behind_one_address_waits_where_answers_are_fast():
    """A storm of polls through one gateway: more at once than fit, but each for a moment only."""
    async with serving() as (app, address), contextlib.AsyncExitStack() as opened:
        for _ in range(MOST):
            await told(address, LAST % b"4")
        site = await opened.enter_async_context(crowd(address, MOST, ASK % b"wait"))
        await until(lambda: app.asked == 2 * MOST)
        late = [asyncio.create_task(told(address, LAST % b"4", INNER)) for _ in range(30)]
        await asyncio.sleep(0.1)
        app.told.set()
        answers = await asyncio.gather(*late)
        heads = [await reader.readuntil(b"\r\n\r\n") for reader in site]

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)
