"""The gate's application on real stores, asked as a server asks."""

import asyncio
import base64
from contextlib import asynccontextmanager

import pytest
from tests.clocks import HandClock

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.adapters.store.register import MachineRegister
from firedoor.config import from_text
from firedoor.core.board import Board, ChannelBoard, Lane
from firedoor.core.release import FileEntry
from firedoor.gate.app import Gate
from firedoor.gate.identity import Doorbell
from firedoor.gate.keeper import Channel, Keeper
from firedoor.gate.respond import LONG_PIECE_BYTES, Answerer
from firedoor.services.admission import Admission
from firedoor.services.records import StoredRelease
from firedoor.services.roster import Roster

CONFIG = """
data = "data"
[[channel]]
name = "av"
kind = "{kind}"
upstream = "https://updates.vendor.example/av/"
unknown = "{unknown}"
"""
IMAGE_BYTES = 12 * LONG_PIECE_BYTES


class Reply:
    """What came back. ``at_piece`` is called before each piece of the body is taken."""

    def __init__(self, at_piece=None):
        self.status = 0
        self.headers = {}
        self.body = b""
        self.complete = False
        self._at_piece = at_piece

    async def send(self, message):
        """What a server does with an event of the reply."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
            return
        if self._at_piece is not None:
            await self._at_piece(self)
        self.body += message["body"]
        self.complete = not message.get("more_body", False)


class Site:
    """A gate over releases 1 to 3, and the judge and the office beside it."""

    def __init__(self, data, *, unknown="refuse", identify=("basic", "path"), kind="files"):
        self.clock = HandClock()
        self.judge = JudgeStore(data)
        self.writer = GateWriter(data)
        self.reader = GateReader(data)
        self.source = JudgeReader(data)
        self.office = MachineRegister(data / "machines.db", self.clock)
        self.register = MachineRegister(data / "machines.db", self.clock, read_only=True)
        blobs = DiskBlobs(data / "blobs")
        self.version = 0
        with self.judge.step():
            for number in (1, 2, 3):
                manifest = {
                    name: FileEntry(*blobs.put(iter([b"%d" % number * size])), "text/plain")
                    for name, size in {"index": 9, "image": IMAGE_BYTES}.items()
                }
                stored = StoredRelease(f"r{number}", "av", 1, "index", 3, 3)
                self.judge.add_release(stored, manifest)
        config = from_text(CONFIG.format(unknown=unknown, kind=kind), base=data).channels[0]
        roster = Roster(heartbeat_ms=60_000, silence_min_ms=300_000, cold_ms=0)
        admission = Admission(
            "av", roster, lambda _: "everyone", lambda _: "", idle_ms=2_000, max_ms=60_000
        )
        self.channel = Channel(config, admission, ChannelBoard("av"))
        self.keeper = Keeper(
            {"av": self.channel},
            roster,
            store=self.writer,
            source=self.source,
            pulses=lambda _: [],
            places=lambda _, __: [],
            clock=self.clock,
            bucket_ms=60_000,
        )
        doorbell = Doorbell(self.register, identify)
        self.gate = Gate(self.keeper, doorbell, roster, Answerer(), blobs.path)
        self.till = self.office.enroll("till-1", {}, self.clock.now().wall_ms)

    def publish(self, base, *revoked):
        """The judge writes a board."""
        self.version += 1
        lane = Lane("everyone", base=base, revoked=revoked)
        board = ChannelBoard("av", (lane,), ((base, f"r{base}"),))
        with self.judge.step():
            self.judge.put_board(Board(self.version, (board,)))
            self.judge.put_tick("boot-1", self.clock.mono_ms, self.clock.wall_ms)

    async def obeyed(self):
        """The gate has taken over the newest board."""
        await eventually(lambda: self.reader.obeyed() == self.version)

    async def move(self, base, *revoked):
        """The doors move, and every session is over."""
        self.publish(base, *revoked)
        await self.obeyed()
        self.clock.pass_ms(3_000)

    async def ask(self, path, *, method="GET", token=None, reply=None, **headers):
        """One request; ``token`` is the till's, or "" for none."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token != "":
            sent.setdefault("authorization", basic("till-1", token or self.till.read))
        reply = reply or Reply()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", "40000"),
            "extensions": {"http.response.pathsend": {}},
        }
        await self.gate(scope, _never, reply.send)
        return reply

    def close(self):
        """Close all files."""
        for each in (
            self.judge,
            self.writer,
            self.reader,
            self.source,
            self.office,
            self.register,
        ):
            each.close()


async def _never():
    await asyncio.Event().wait()


def basic(name, token):
    return "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()


async def eventually(true):
    """Wait for one of the keeper's loops, ten seconds at most."""
    for _ in range(1_000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


@pytest.fixture
def open_site(tmp_path):
    opened = []

    @asynccontextmanager
    async def start(**how):
        site = Site(tmp_path, **how)
        opened.append(site)
        site.publish(1)
        await site.gate.start()
        try:
            yield site
        finally:
            await site.gate.stop()

    yield start
    for site in opened:
        site.close()


# Records


def test_a_machine_pinned_to_an_older_release_it_never_had_is_recorded(open_site):
    """Promise 3: release 2 was shut with nobody in it, and then a person pinned it."""

    async def scene():
        async with open_site() as site:
            assert (await site.ask("/av/index")).body == b"1" * 9
            await site.move(3)
            assert (await site.ask("/av/index")).body == b"3" * 9
            await site.move(2, 3)
            assert (await site.ask("/av/index")).body == b"2" * 9
            await site.move(1, 2, 3)
            assert (await site.ask("/av/index")).body == b"1" * 9
            return [stored.place.number for stored in site.reader.places_after(0)]

    assert asyncio.run(scene()) == [1, 3, 2]


# Transfers under way


@pytest.mark.parametrize("sent", [{}, {"range": "bytes=5-"}])
def test_shutting_a_release_breaks_off_its_transfers_under_way(open_site, sent):
    """A machine that is slow today must not finish what was shut an hour ago."""

    async def scene():
        async with open_site() as site:

            async def shut(reply):
                if not reply.body:
                    site.publish(2, 1)
                    await site.obeyed()

            reply = await site.ask("/av/image", reply=Reply(shut), **sent)
            assert (reply.complete, len(reply.body)) == (False, LONG_PIECE_BYTES)
            assert (await site.ask("/av/image")).body == b"2" * IMAGE_BYTES

    asyncio.run(scene())


@pytest.mark.parametrize("path", ["/av/image", "/m/{}/av/image"])
def test_revoking_a_machine_breaks_off_its_transfers_under_way(open_site, path):
    """Whoever stole its token has had enough."""

    async def scene():
        async with open_site() as site:

            async def revoke(reply):
                if not reply.body:
                    site.office.revoke("till-1", site.clock.now().wall_ms)
                    await asyncio.sleep(0.2)

            token = "" if "/m/" in path else None
            reply = await site.ask(path.format(site.till.read), token=token, reply=Reply(revoke))
            assert (reply.status, reply.complete) == (200, False)
            assert len(reply.body) < IMAGE_BYTES

    asyncio.run(scene())


def test_an_undisturbed_transfer_arrives_whole_while_another_release_opens(open_site):
    """Only what is withheld is broken off: what was begun is finished."""

    async def scene():
        async with open_site() as site:

            async def promote(reply):
                if not reply.body:
                    site.publish(2)
                    await site.obeyed()

            reply = await site.ask("/av/image", reply=Reply(promote))
            assert (reply.complete, reply.body) == (True, b"1" * IMAGE_BYTES)

    asyncio.run(scene())


# HEAD


def test_head_dates_nothing_that_the_machine_was_not_given_yet(open_site):
    """Its date is that of the assignment, and there is none before the GET."""

    async def scene():
        async with open_site() as site:
            first = await site.ask("/av/index", method="HEAD")
            assert (first.status, "last-modified" in first.headers) == (200, False)
            date = (await site.ask("/av/index")).headers["last-modified"]
            told = await site.ask("/av/index", method="HEAD")
            assert told.headers["last-modified"] == date

            await site.move(2)
            held = {"if_modified_since": date}
            changed = await site.ask("/av/index", method="HEAD", **held)
            assert (changed.status, "last-modified" in changed.headers) == (200, False)
            assert changed.headers["etag"] != told.headers["etag"]
            assert (await site.ask("/av/index", **held)).status == 200

    asyncio.run(scene())


def test_head_may_be_the_first_request_of_any_machine(open_site):
    """Also of one enrolled long after the gate made its tables."""

    async def scene():
        async with open_site() as site:
            names: list[tuple[str, dict[str, str]]] = [(f"late-{n}", {}) for n in range(2_000)]
            late = site.office.enroll_many(names, site.clock.now().wall_ms)[-1]
            shown = basic(late.name, late.read)
            reply = await site.ask("/av/index", method="HEAD", authorization=shown)
            assert reply.status == 200

    asyncio.run(scene())


# Strangers


@pytest.mark.parametrize("how", [{"unknown": "hold"}, {"identify": ("basic", "path", "address")}])
def test_only_who_shows_no_credentials_at_all_may_be_nobody(open_site, how):
    """A revoked machine that went on anonymously would be counted nowhere."""

    async def scene():
        async with open_site(**how) as site:
            assert (await site.ask("/av/index", token="")).status == 200
            assert (await site.ask("/av/index", token=site.till.signal)).status == 401
            assert (await site.ask("/m/wrong/av/index", token="")).status == 401
            site.office.revoke("till-1", site.clock.now().wall_ms)
            await asyncio.sleep(0.2)
            assert (await site.ask("/av/index")).status == 401

    asyncio.run(scene())


def test_strangers_do_not_learn_which_channels_there_are(open_site):
    """Their names may say what a hospital runs."""

    async def scene():
        async with open_site() as site:
            asked = ["/av/index", "/av/nothing", "/nothing/index", "/", "*", "/m/x", "/m/"]
            answers = [await site.ask(path, token="") for path in asked]
            assert {answer.status for answer in answers} == {401}
            assert len({answer.body for answer in answers}) == 1
            assert [(await site.ask(path)).status for path in asked[1:5]] == [404] * 4

    asyncio.run(scene())


def test_a_token_in_the_wrong_place_is_not_repeated(open_site):
    """What an error says ends up in logs and tickets."""

    async def scene():
        async with open_site() as site:
            reply = await site.ask(f"/{site.till.read}/av/index")
            assert reply.status == 404
            assert site.till.read.encode() not in reply.body

    asyncio.run(scene())
