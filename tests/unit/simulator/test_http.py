"""The client, against a real server that does what it is told."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence

import pytest

from firedoor.core.errors import BadConfig, TooLarge, Unavailable
from firedoor.simulator.http import Client
from firedoor.simulator.reply import Reply

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Server:
    """Each accepted connection plays the next script: one piece of bytes for each request.

    After its script a connection is closed. ``heads`` keeps what was asked, with the number of
    the connection.
    """

    def __init__(self, *scripts: Sequence[bytes]) -> None:
        self._scripts = list(scripts)
        self.heads: list[tuple[int, str]] = []
        self._count = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self._count = self._count, self._count + 1
        try:
            for piece in self._scripts[number]:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append((number, head.decode()))
                writer.write(piece)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _meet(server: _Server, talk: Callable[[str], Awaitable[None]]) -> None:
    async def both() -> None:
        listener = await asyncio.start_server(server.answer, "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            await talk(f"http://127.0.0.1:{port}")

    asyncio.run(both())


def test_requests_of_a_session_share_one_connection() -> None:
    """The gate holds a session by its pauses; a client that reconnects each time is another one."""
    server = _Server([OK, OK, OK])

    async def talk(url: str) -> None:
        client = Client(url)
        for _ in range(3):
            assert (await client.get("/x")).body == b"ok"
        client.close()

    _meet(server, talk)

    assert [number for number, _ in server.heads] == [0, 0, 0]


def test_a_request_on_a_connection_that_the_server_closed_is_repeated_on_a_new_one() -> None:
    """Keep-alive always races with the server's idle timeout; that is nobody's failure."""
    server = _Server([OK], [OK])

    async def talk(url: str) -> None:
        client = Client(url)
        await client.get("/first")
        assert (await client.get("/second")).body == b"ok"
        client.close()

    _meet(server, talk)

    assert [number for number, _ in server.heads][-1] == 1


def test_credentials_prefix_and_condition_are_sent_as_the_gate_reads_them() -> None:
    """The gate knows a machine by these bytes alone."""
    server = _Server([OK])

    async def talk(url: str) -> None:
        client = Client(url + "/m/t/", user="pos-1", password="t0ken")  # noqa: S106  nobody's
        await client.get("/chan/a b%.txt", etag='"v1"')
        client.close()

    _meet(server, talk)

    head = server.heads[0][1]
    pair = base64.b64encode(b"pos-1:t0ken").decode()
    assert head.startswith("GET /m/t/chan/a%20b%25.txt HTTP/1.1\r\n")
    assert f"Authorization: Basic {pair}\r\n" in head
    assert 'If-None-Match: "v1"\r\n' in head


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"SMTP ready\r\n\r\n"],
    ids=["silence", "half", "nonsense"],
)
def test_a_broken_answer_is_unavailable_and_the_next_request_starts_afresh(answer: bytes) -> None:
    """What is left of a broken answer must never be read as the next one."""
    server = _Server([answer], [OK])

    async def talk(url: str) -> None:
        client = Client(url)
        with pytest.raises(Unavailable):
            await client.get("/x")
        assert (await client.get("/x")).body == b"ok"
        client.close()

    _meet(server, talk)


def test_a_server_that_does_not_answer_is_given_up() -> None:
    """A machine waits for nobody for ever."""

    async def talk(url: str) -> None:
        client = Client(url, timeout_s=0.05)
        with pytest.raises(Unavailable):
            await client.get("/x")
        client.close()

    _meet(_Server([b"HTTP/1.1 200 OK\r\n", b""]), talk)


def test_a_body_over_the_limit_costs_the_connection_and_not_the_client() -> None:
    """The rest of a refused body would otherwise be read as an answer."""
    server = _Server([b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", OK], [OK])

    async def talk(url: str) -> None:
        client = Client(url, limit=10)
        with pytest.raises(TooLarge):
            await client.get("/x")
        assert (await client.get("/x")).body == b"ok"
        client.close()

    _meet(server, talk)

    assert [number for number, _ in server.heads] == [0, 1]


def test_a_machine_that_is_switched_off_says_nothing_more() -> None:
    """A bricked machine that finishes its request would be a sign of life."""
    server = _Server([OK], [OK])

    async def talk(url: str) -> None:
        client = Client(url)
        await client.get("/x")
        client.close()
        with pytest.raises(Unavailable):
            await client.get("/x")

    _meet(server, talk)

    assert len(server.heads) == 1


def test_a_request_that_was_dropped_while_it_connected_is_never_sent() -> None:
    """A machine that goes absent in that moment would speak through its absence."""
    server = _Server([OK], [OK])

    async def talk(url: str) -> None:
        client = Client(url)
        asking = asyncio.create_task(client.get("/x"))
        await asyncio.sleep(0)
        client.drop()
        with pytest.raises(Unavailable):
            await asking
        assert (await client.get("/later")).body == b"ok"
        client.close()

    _meet(server, talk)

    assert [head.split()[1] for _, head in server.heads] == ["/later"]


def test_exposure_is_told_before_the_reply_is_whole() -> None:
    """A machine that loses the connection after one byte was exposed all the same."""
    exposed: list[Reply] = []
    half = b"HTTP/1.1 200 OK\r\nFiredoor-Release: r1\r\nContent-Length: 9\r\n\r\nh"

    async def talk(url: str) -> None:
        client = Client(url)
        with pytest.raises(Unavailable):
            await client.get("/x", on_body=exposed.append)
        client.close()

    _meet(_Server([half]), talk)

    assert [reply.headers["firedoor-release"] for reply in exposed] == ["r1"]


@pytest.mark.parametrize("url", ["https://127.0.0.1", "ftp://127.0.0.1", "127.0.0.1:80", "http://"])
def test_a_url_it_cannot_speak_to_is_refused_at_once(url: str) -> None:
    """Otherwise a whole fleet is unreachable and nobody is told why."""
    with pytest.raises(BadConfig):
        Client(url)
