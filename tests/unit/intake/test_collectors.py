"""When collectors were heard, and what is usual for each."""

import asyncio

from tests.asgi import ask
from tests.clocks import HandClock
from tests.unit.intake.posting import PATH, line

from firedoor.core.units import MachineNo
from firedoor.intake.collectors import HOURS_KEPT, Collectors
from firedoor.ports import Identity

PRAGUE = Identity(None, "prague", ("till-*",))


def test_the_longest_of_the_last_gaps_is_what_is_usual():
    """Requests of one moment are one, and an old pause is forgotten."""
    clock, heard = HandClock(), Collectors()
    heard.hear(PRAGUE, clock.now())
    clock.pass_ms(500)
    heard.hear(PRAGUE, clock.now())
    [first] = heard.drain()
    assert first.gap_ms == 0
    clock.pass_ms(90_000)
    heard.hear(PRAGUE, clock.now())
    for _ in range((HOURS_KEPT - 2) * 60):
        clock.pass_ms(60_000)
        heard.hear(PRAGUE, clock.now())
    [known] = heard.drain()
    assert (known.name, known.heard, known.gap_ms) == ("prague", clock.now(), 90_500)
    for _ in range(3 * 60):
        clock.pass_ms(60_000)
        heard.hear(PRAGUE, clock.now())
    assert heard.drain()[0].gap_ms == 60_000
    assert heard.drain() == []


def test_what_is_usual_of_one_that_sends_in_batches_is_the_time_between_them():
    """Twenty requests an hour, all within half a minute."""
    clock, heard = HandClock(), Collectors()
    for _ in range(24):
        for _ in range(20):
            clock.pass_ms(1_100)
            heard.hear(PRAGUE, clock.now())
        clock.pass_ms(3_600_000)
    [known] = heard.drain()
    assert known.gap_ms >= 3_600_000


def test_a_machine_is_no_collector():
    """It is judged by its own silence."""
    heard = Collectors()
    heard.hear(Identity(MachineNo(1), "till-17"), HandClock().now())
    assert heard.drain() == []


def test_a_pause_of_our_own_is_no_gap():
    """What was stored is known again; how long we were away is not counted."""
    clock, heard = HandClock(), Collectors()
    heard.hear(PRAGUE, clock.now())
    clock.pass_ms(60_000)
    heard.hear(PRAGUE, clock.now())
    again = Collectors()
    again.resume(heard.drain())
    clock.pass_ms(7_200_000)
    again.hear(PRAGUE, clock.now())
    assert [each.gap_ms for each in again.drain()] == [60_000]


def test_whoever_posts_for_others_is_on_record_after_the_tick(world):
    """In the store that the judge reads; it goes when it is old."""
    app = world.make(bucket_ms=10)

    async def live():
        await app.start()
        await ask(app, "POST", PATH, line(), {"authorization": f"Bearer {world.collector}"})
        for _ in range(1_000):
            if world.source.collectors():
                break
            await asyncio.sleep(0.005)
        await app.stop()

    asyncio.run(live())

    [known] = world.source.collectors()
    assert (known.name, known.heard) == ("prague", world.clock.now())
    world.store.prune(known.heard.wall_ms + 1)
    assert world.source.collectors() == []
