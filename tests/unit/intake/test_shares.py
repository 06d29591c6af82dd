"""One sender cannot take what others need."""

import asyncio
from http import HTTPStatus

from tests.asgi import ask
from tests.unit.intake.posting import PATH, half_sent, line

from firedoor.intake.journals import MAX_UPLOADS_OF_ONE

LARGE = 8 * 1024 * 1024


def beside(world, path, size, words, asked):
    """What those get who send half a body each, and another request beside them."""

    async def story():
        app = world.make(max_body=LARGE)
        await app.start()
        held = asyncio.Event()
        sending = [asyncio.create_task(half_sent(app, path, each, size, held)) for each in words]
        await asyncio.sleep(0.1)
        reply = await asked(app)
        held.set()
        done = await asyncio.gather(*sending)
        await app.stop()
        return reply.status, [sent[0]["status"] for sent in done if sent]

    return asyncio.run(story())


def test_keys_that_are_made_up_have_no_share_of_their_own(world):
    """What stands behind the dot names a machine of a fleet; a machine's own token has none."""
    words = [f"NodeKey {world.till.signal}.x{number}" for number in range(8)]

    def other(app):
        body = line(machine="pos-1", kind="panic") + b" " * 40_000
        return ask(app, "POST", PATH, body, {"authorization": f"Bearer {world.pos.signal}"})

    status, refused = beside(world, "/osquery/log", LARGE, words, other)

    assert status == HTTPStatus.OK
    assert HTTPStatus.TOO_MANY_REQUESTS in refused


def test_one_machine_has_a_few_uploads_of_its_journal_and_others_theirs(world):
    """Each holds a place for as long as it says something every five minutes."""
    words = [f"Bearer {world.till.signal}"] * (MAX_UPLOADS_OF_ONE + 3)

    def other(app):
        return ask(app, "POST", "/upload", b"", {"authorization": f"Bearer {world.pos.signal}"})

    status, refused = beside(world, "/upload", 1, words, other)

    assert status == HTTPStatus.ACCEPTED
    assert refused.count(HTTPStatus.TOO_MANY_REQUESTS) == 3
