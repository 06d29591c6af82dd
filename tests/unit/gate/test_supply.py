"""Machines that wait for a file: one row for the mirror, and never for longer than clients do."""

import asyncio
import functools

import pytest

from firedoor.core.errors import Unavailable
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest
from firedoor.gate.supply import AGAIN_MS, Supply
from firedoor.services.supply import Refusal, Wanted

PATH = "pool/main/t/tool/tool_1_all.deb"
FILE = FileEntry(Digest("a" * 64), 7, "t")
LIE = Refusal("debian", PATH, FILE.sha256, gone=False, error="upstream serves other bytes")


def scene(play):
    """A test that is played in an event loop of its own."""

    @functools.wraps(play)
    def test():
        asyncio.run(play())

    return test


class House:
    """A gate with a clock that a test moves, and a store that may be full."""

    def __init__(self, wait_s=5.0):
        self.rows: list[Wanted] = []
        self.held: set[Digest] = set()
        self.now = 1_000_000
        self.full = False
        self.supply = Supply(
            self.want, lambda file: file.sha256 in self.held, lambda: self.now, wait_s=wait_s
        )

    async def want(self, file):
        """Write a row."""
        if self.full:
            raise Unavailable("the disk is full")
        self.rows.append(file)

    def bring(self):
        """A request."""
        return asyncio.ensure_future(self.supply.bring("debian", PATH, FILE))


async def turn():
    """Let everybody come to where they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


@scene
async def test_many_machines_that_wait_for_one_file_are_one_row():
    """A storm of a fleet's updaters is one request to the vendor."""
    house = House()
    requests = [house.bring() for _ in range(50)]
    await turn()
    assert house.rows == [Wanted("debian", PATH, FILE.sha256, FILE.size)]
    assert not any(request.done() for request in requests)

    house.held.add(FILE.sha256)
    house.supply.look()

    assert await asyncio.gather(*requests) == [None] * 50


@scene
async def test_a_refusal_answers_all_who_wait_and_those_who_come_soon():
    """An upstream that lies is not asked again by every machine of the fleet."""
    house = House()
    requests = [house.bring() for _ in range(3)]
    await turn()
    house.supply.refused([LIE])

    assert await asyncio.gather(*requests) == [LIE] * 3
    assert await house.bring() == LIE
    assert len(house.rows) == 1

    house.now += AGAIN_MS
    again = house.bring()
    await turn()
    assert len(house.rows) == 2
    house.held.add(FILE.sha256)
    house.supply.look()
    assert await again is None


@scene
async def test_nobody_waits_longer_than_a_client_would():
    """It is told to ask again; the file goes on coming meanwhile."""
    house = House(wait_s=0.0)

    answer = await house.bring()

    assert answer is not None
    assert not answer.gone
    assert "ask again" in answer.error
    await house.bring()
    assert len(house.rows) == 1  # it is on its way
    house.now += AGAIN_MS
    await house.bring()
    assert len(house.rows) == 2  # whoever was to fetch it may have died


@scene
async def test_a_machine_that_goes_away_leaves_the_others_waiting():
    """Its request ends with it, and no other."""
    house = House()
    gone, stays = house.bring(), house.bring()
    await turn()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone

    house.held.add(FILE.sha256)
    house.supply.look()

    assert await stays is None


@scene
async def test_a_gate_that_cannot_write_says_so():
    """Nobody would ever fetch what is written down nowhere."""
    house = House()
    house.full = True

    answer = await house.bring()

    assert answer is not None
    assert answer.error == "the disk is full"
