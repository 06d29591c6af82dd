"""The gate's answers to freshclam: no date, no 304 that would be wrong, no mix in one run.

Requests are those that freshclam 1.4.6 was seen to send: one connection for each file, its own
date, no validator.
"""

import asyncio
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest
from tests.unit.gate.test_app import Site

AGENT = (
    "ClamAV/1.4.6 (OS: Linux, ARCH: x86_64, CPU: x86_64, "
    "UUID: dcc802ff-aa0f-44d6-aa04-f818517ea81c)"
)


@pytest.fixture
def scan(tmp_path):
    """Play a scene at a gate of ClamAV databases; what it returns."""

    def play(scene):
        async def whole():
            async with clam(tmp_path) as site:
                return await scene(site)

        return asyncio.run(whole())

    return play


@asynccontextmanager
async def clam(folder):
    """A gate whose one channel freshclam reads."""
    site = Site(folder, kind="clamav")
    site.publish(1)
    await site.gate.start()
    try:
        yield site
    finally:
        await site.gate.stop()
        site.close()


async def fetch(site, path="index", *, date=0, **headers):
    """One request as freshclam makes it; ``date`` is when it installed the file."""
    sent = {"host": "gate:8080", "user_agent": AGENT, "accept": "*/*", "connection": "close"}
    if date:
        sent["if_modified_since"] = formatdate(date, usegmt=True)
    return await site.ask(f"/av/{path}", **(sent | headers))


def test_no_answer_has_a_date(scan):
    """Its library throws away a complete body whose date is older than the client's own."""

    async def scene(site):
        first = await fetch(site)
        installed = site.clock.wall_ms // 1000
        site.clock.pass_ms(3_600_000)
        return first, await fetch(site, date=installed), await fetch(site, date=installed - 9_999)

    first, same, other = scan(scene)

    assert [reply.status for reply in (first, same, other)] == [200, 304, 200]
    assert not any("last-modified" in reply.headers for reply in (first, same, other))


def test_a_file_that_went_out_in_pieces_is_remembered_too(scan):
    """The official databases are hundreds of megabytes: those above all must not go twice."""

    async def scene(site):
        first = await fetch(site, "image")
        installed = site.clock.wall_ms // 1000
        site.clock.pass_ms(3_600_000)
        return first, await fetch(site, "image", date=installed)

    first, same = scan(scene)

    assert (first.status, len(first.body) > 0, same.status) == (200, True, 304)


def test_a_part_is_not_the_file(scan):
    """Whoever asks for a range of it has not got all of it."""

    async def scene(site):
        part = await fetch(site, range="bytes=3-8")
        installed = site.clock.wall_ms // 1000
        site.clock.pass_ms(3_600_000)
        return part, await fetch(site, date=installed)

    part, after = scan(scene)

    assert (part.status, after.status) == (206, 200)


def test_a_door_that_moves_reaches_the_client_whatever_its_date(scan):
    """Forward and back, in the second after an install too."""

    async def scene(site):
        await fetch(site)
        installed = site.clock.wall_ms // 1000
        seen = []
        for base, revoked in ((2, ()), (3, ()), (2, (3,))):
            site.publish(base, *revoked)
            await site.obeyed()
            site.clock.pass_ms(61_000)
            seen.append((await fetch(site, date=installed)).body)
            installed = site.clock.wall_ms // 1000
        return seen

    assert [body[:1] for body in scan(scene)] == [b"2", b"3", b"2"]


def test_one_run_of_the_client_reads_one_release(scan):
    """The door moves while it tests the first file; nothing it asks for then is of another."""

    async def scene(site):
        first = await fetch(site)
        site.publish(2)
        await site.obeyed()
        site.clock.pass_ms(1_900)
        return first, await fetch(site, "image")

    first, second = scan(scene)

    assert (first.body[:1], second.body[:1]) == (b"1", b"1")


def test_what_a_machine_threw_away_is_on_record(scan):
    """Evidence for nothing: the client need not run anything of ours."""

    async def scene(site):
        await fetch(site)
        installed = site.clock.wall_ms // 1000
        site.clock.pass_ms(3_600_000)
        await fetch(site, date=installed)
        await site.move(2)
        assert (await fetch(site, date=installed)).status == 200
        site.clock.pass_ms(3_600_000)
        again = await fetch(site, date=installed)
        await site.move(3)
        return again, [stored.rejection for stored in site.reader.rejections_after(0)]

    again, told = scan(scene)

    assert again.status == 200
    assert [(each.channel, each.number, each.path) for each in told] == [("av", 2, "index")]


def test_who_asks_without_an_identity_is_not_told_apart(tmp_path):
    """Machines behind one address would answer for each other."""

    async def scene():
        site = Site(tmp_path, kind="clamav", unknown="hold")
        site.publish(1)
        await site.gate.start()
        installed = site.clock.wall_ms // 1000
        replies = [await fetch(site, token="", date=installed) for _ in range(2)]
        await site.gate.stop()
        site.close()
        return replies

    for reply in asyncio.run(scene()):
        assert reply.status == 200
        assert "last-modified" not in reply.headers


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Foo 2026 07:26:30 GMT", "\x80"])
def test_a_date_that_makes_no_sense_is_none(scan, date):
    """Whoever sends it gets the file."""

    async def scene(site):
        return await fetch(site, if_modified_since=date)

    assert scan(scene).status == 200
