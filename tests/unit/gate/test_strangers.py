"""Clients without an identity at the gate's door: served, counted, and not written down."""

import asyncio

import pytest
from tests.clocks import HandClock

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.store.gate import NAME, GateReader, GateWriter
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.adapters.store.register import MachineRegister
from firedoor.config import from_text
from firedoor.core.board import Board, ChannelBoard, Lane
from firedoor.core.release import FileEntry
from firedoor.gate.app import Gate
from firedoor.gate.identity import Doorbell
from firedoor.gate.keeper import Channel, Keeper
from firedoor.gate.respond import Answerer
from firedoor.services.admission import Admission
from firedoor.services.records import StoredRelease
from firedoor.services.roster import Roster

CHANNEL = """
[[channel]]
name = "{name}"
kind = "files"
upstream = "https://updates.vendor.example/{name}/"
unknown = "{unknown}"
"""


@pytest.fixture
def visited(tmp_path):
    """Make requests of a gate that holds channel "av" for everybody, and end it in order.

    Returns what came back, what is counted, and everything the gate wrote.
    """

    def visit(*requests):
        clock = HandClock()
        judge, writer = JudgeStore(tmp_path), GateWriter(tmp_path)
        office = MachineRegister(tmp_path / "machines.db", clock)
        blobs = DiskBlobs(tmp_path / "blobs")
        config = from_text(
            CHANNEL.format(name="av", unknown="hold") + CHANNEL.format(name="fw", unknown="refuse"),
            base=tmp_path,
        )
        roster = Roster(heartbeat_ms=60_000, silence_min_ms=300_000, cold_ms=0)
        channels = {
            each.name: Channel(
                each,
                Admission(
                    each.name,
                    roster,
                    lambda _: "everyone",
                    lambda _: "",
                    idle_ms=2_000,
                    max_ms=60_000,
                ),
                ChannelBoard(each.name),
            )
            for each in config.channels
        }
        lanes = (Lane("everyone", base=1),)
        with judge.step():
            entry = FileEntry(*blobs.put(iter([b"content"])), "text/plain")
            judge.add_release(StoredRelease("r1", "av", 1, "index", 3, 3), {"index": entry})
            boards = tuple(ChannelBoard(name, lanes, ((1, "r1"),)) for name in channels)
            judge.put_board(Board(1, boards))
        keeper = Keeper(
            channels,
            roster,
            store=writer,
            source=JudgeReader(tmp_path),
            pulses=lambda _: [],
            places=lambda _, __: [],
            clock=clock,
            bucket_ms=60_000,
        )
        gate = Gate(keeper, Doorbell(office, config.gate.identify), roster, Answerer(), blobs.path)
        statuses = asyncio.run(_ask(gate, requests))
        reader = GateReader(tmp_path)
        counts = {c.channel: c.unknown for c in reader.census()}
        written = b"".join(file.read_bytes() for file in tmp_path.glob(f"{NAME}*"))
        for each in (judge, writer, office, reader):
            each.close()
        return statuses, counts, written

    return visit


async def _ask(gate, requests):
    statuses = []

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await gate.start()
    for method, path, client, headers in requests:
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": headers,
            "client": client,
            "extensions": {"http.response.pathsend": {}},
        }
        await gate(scope, asyncio.Event().wait, send)
    await gate.stop()
    return statuses


def get(address, *, path="/av/index", method="GET", headers=()):
    return method, path, address and (address, 40_000), list(headers)


def test_clients_without_an_identity_are_counted_by_address(visited):
    """The judge must know that somebody reads the channel, though nobody can be asked."""
    statuses, counts, _ = visited(
        get("198.51.100.1"), get("198.51.100.2"), get("198.51.100.1"), get(None)
    )

    assert statuses == [200] * 4
    assert counts == {"av": 3, "fw": 0}


def test_addresses_are_never_written(visited):
    """A count is enough, and a list of clients would be a list to lose."""
    _, counts, written = visited(get("198.51.100.77"))

    assert counts["av"] == 1
    assert b"198.51.100.77" not in written


def test_only_who_is_served_counts(visited):
    """Who is turned away or only looks is no reader of the channel."""
    statuses, counts, _ = visited(
        get("198.51.100.1", path="/fw/index"),
        get("198.51.100.2", headers=[(b"authorization", b"Basic d3Jvbmc6d3Jvbmc=")]),
        get("198.51.100.3", method="HEAD"),
    )

    assert statuses == [401, 401, 200]
    assert counts == {"av": 0, "fw": 0}
