"""When a reply is told: once its client has acknowledged it, and in the order of replies."""

import asyncio

import pytest

from firedoor.gate.telling import Telling
from firedoor.ports import ARRIVAL


class Client:
    """What the server knows of a connection."""

    def __init__(self):
        self.sent = self.acknowledged = 0
        self.gone = False
        self.looked = 0

    def given(self):
        """Bytes that were sent."""
        return self.sent

    def taken(self):
        """Bytes that have arrived."""
        self.looked += 1
        return self.acknowledged

    def over(self):
        """Whether the connection has ended."""
        return self.gone


@pytest.fixture
def told():
    return []


def reply(telling, client, told, number):
    """One reply of ten bytes ends."""
    client.sent += 10
    telling.tell({ARRIVAL: client}, lambda *_: told.append(number), 0, 10)


def test_replies_of_a_connection_are_told_in_their_order_as_they_arrive(told):
    """A client acknowledges a connection, not a reply."""

    async def scene():
        telling, client = Telling(), Client()
        for number in range(3):
            reply(telling, client, told, number)
        assert telling.open == 3
        client.acknowledged = 20
        await asyncio.sleep(0.1)
        assert told == [0, 1]
        client.acknowledged = 30
        await asyncio.sleep(0.5)
        assert (told, telling.open) == ([0, 1, 2], 0)
        reply(telling, client, told, 3)
        client.acknowledged = 40
        await asyncio.sleep(0.1)
        assert told == [0, 1, 2, 3]

    asyncio.run(scene())


def test_what_has_not_arrived_when_the_connection_ends_is_never_told(told):
    """It was broken off."""

    async def scene():
        telling, client = Telling(), Client()
        for number in range(3):
            reply(telling, client, told, number)
        client.acknowledged, client.gone = 10, True
        await asyncio.sleep(0.1)
        assert (told, telling.open) == ([0], 0)

    asyncio.run(scene())


def test_whoever_asks_ahead_and_reads_nothing_costs_no_more_than_one(told):
    """Twenty thousand replies that wait were twenty thousand looks, four times a second."""

    async def scene():
        telling, client = Telling(), Client()
        for number in range(20_000):
            reply(telling, client, told, number)
        before = client.looked
        await asyncio.sleep(1.0)
        assert telling.open <= 256
        assert client.looked - before < 50
        client.acknowledged = client.sent
        await asyncio.sleep(0.5)
        assert told == list(range(256))

    asyncio.run(scene())
