"""What outages, restarts and failing stores leave of the judge's evidence, doors and decks."""

import pytest
from tests.loop import AV, MINUTE
from tests.unit.services.rehearsal import clear_cells, harm_cells, slow_fleet, until

from firedoor.core.door import State
from firedoor.core.errors import Unavailable
from firedoor.services.order import Order

# Leases and failing stores


def test_a_tick_that_cannot_be_stored_leaves_nothing_behind(loop):
    """All or nothing; the judge is then built again from what is stored."""
    loop.publish("2")
    loop.bucket(4)
    before = loop.store.last_index(), loop.store.cells(AV, 2), loop.store.doors(AV, 2)

    with pytest.raises(Unavailable):
        tick_on_a_full_disk(loop)

    assert (loop.store.last_index(), loop.store.cells(AV, 2), loop.store.doors(AV, 2)) == before
    loop.start_judge()
    until(loop, 2, State.OPEN)


def tick_on_a_full_disk(loop):
    loop.clock.pass_ms(2 * MINUTE)
    with loop.store.step():
        loop.judge.tick(loop.clock.now(), loop.store.board().version)
        raise Unavailable("disk full")


def test_without_a_lease_no_deck_is_drawn_from(loop):
    """The grant alone is not enough: the judge must be alive."""
    loop.publish("2")
    loop.lease = False
    loop.bucket(10)

    assert loop.lane().grant is not None
    assert loop.places(2) == []


def test_a_release_in_flight_deals_one_deck_at_a_time(start):
    """Several open decks would be several windows."""
    loop = start(60)
    loop.period = {m: 1 + m % 3 for m in loop.machines}
    loop.settle_in(24)
    loop.publish("2")
    for _ in range(40):
        loop.bucket()
        flight = loop.flight(2)
        uncut = [pool for pool in flight.pools.values() if pool.cut_ms is None]
        assert len(uncut) <= 1
        assert loop.numbers(2).in_flight <= loop.numbers(2).window


# Restarts, pauses and reboots


def fly(loop):
    """A deck is cut, and everybody in it waits for its class to close."""
    loop.publish("2")
    while not (loop.flight(2).last_cut and loop.places(2)):
        loop.bucket()
    return loop.clock.mono_ms


def closed_after(loop, number=2):
    begun = loop.clock.mono_ms
    for _ in range(60):
        if clear_cells(loop, number):
            return (loop.clock.mono_ms - begun) // MINUTE
        loop.bucket()
    raise AssertionError("never closed")


def test_a_gate_that_is_killed_slides_the_window(start):
    """What it heard in its last bucket is lost; a restart must never look like harm."""
    steady, killed = start(20), start(20)
    for each in (steady, killed):
        each.settle_in()
        fly(each)
        each.bucket(4)
    killed.start_gate()

    assert closed_after(killed) > closed_after(steady)
    assert harm_cells(killed, 2) == []


def test_a_gate_that_ends_in_order_slides_nothing(start):
    """Its sockets stay open and its last bucket is complete."""
    steady, restarted = start(20), start(20)
    for each in (steady, restarted):
        each.settle_in()
        fly(each)
        each.bucket(4)
    restarted.stop_gate()
    restarted.start_gate()

    assert closed_after(restarted) == closed_after(steady)


def test_a_gate_that_was_away_for_hours_makes_nobody_silent(loop):
    """Nobody could be heard, treated or control."""
    fly(loop)
    loop.bucket(180, gate=False)
    assert clear_cells(loop, 2) == []
    loop.start_gate()
    loop.bucket(30)

    assert clear_cells(loop, 2)
    assert harm_cells(loop, 2) == []


def test_machines_that_only_beat_are_not_silent_while_the_intake_is_away(start):
    """They poll once a day; their heartbeats are what they are judged by."""
    loop = start(30)
    loop.settle_in()
    loop.beat(loop.machines)
    fly(loop)
    loop.period = dict.fromkeys(loop.machines, 10_000)
    for _ in range(30):
        loop.bucket(intake=False)  # nobody hears a heartbeat
    assert clear_cells(loop, 2) == []
    for _ in range(12):
        loop.beat(loop.machines)
        loop.bucket()

    assert clear_cells(loop, 2)
    assert harm_cells(loop, 2) == []


def test_another_boot_of_the_host_begins_the_window_anew(loop):
    """Monotonic times of two boots cannot be compared; nobody is silent for the time between."""
    fly(loop)
    loop.bucket(5)
    loop.clock.boot = "boot-2"
    loop.clock.mono_ms = 10_000
    loop.clock.wall_ms += 3 * 60 * MINUTE
    loop.start_gate()
    loop.start_judge()
    loop.bucket(3)
    assert clear_cells(loop, 2) == []
    loop.bucket(20)

    assert clear_cells(loop, 2)
    assert harm_cells(loop, 2) == []
    until(loop, 2, State.OPEN)


def test_no_ring_looks_empty_after_a_reboot(loop):
    """It would open to everybody, without a single card."""
    loop.clock.boot = "boot-2"
    loop.clock.mono_ms = 10_000
    loop.start_gate()
    loop.start_judge()
    loop.dead = set(loop.machines)  # nobody has polled since
    loop.bucket()
    loop.publish("2")
    loop.bucket()

    assert loop.door(2).state is State.OPENING
    assert loop.train.lines[AV][2].boarding.terms["everyone"].active_machines == 20


def test_a_judge_that_was_away_closes_late_and_once(loop):
    """Buckets of the gate wait for it in order."""
    fly(loop)
    for _ in range(30):
        loop.clock.pass_ms(MINUTE)
        loop.signals.beat(loop.clock.now())
        for machine in loop.machines:
            loop.poll(machine)
        loop.flush()
    loop.start_judge()
    loop.bucket()

    places = [p.place for p in loop.places(2) if p.place.deck == 1]
    cells = [cell for cell in clear_cells(loop, 2) if cell.deck == 1]
    assert sum(cell.treated + cell.control for cell in cells) == len(places)
    assert harm_cells(loop, 2) == []


def test_a_gate_killed_with_an_open_deck_goes_on_with_it(start):
    """Sealed stays sealed and the arrangement is the same."""
    loop = start(40)
    slow_fleet(loop)
    loop.period = {m: 1 if m <= 6 else 50 for m in loop.machines}
    loop.publish("2")
    loop.bucket(3)
    before = [p.place for p in loop.places(2) if p.place.deck]
    assert 0 < len(before) < 40
    loop.start_gate()
    loop.period = {}
    loop.bucket(2)

    after = [p.place for p in loop.places(2) if p.place.deck == 1]
    assert after[: len(before)] == before
    assert [p.card for p in after] == list(range(len(after)))
    assert len({p.machine for p in after}) == len(after) == 40


def test_a_deck_open_when_the_gate_died_and_the_door_was_held_is_cut_by_the_next_gate(start):
    """Its members must not stay sealed for ever."""
    loop = start(40)
    slow_fleet(loop)
    loop.period = {m: 1 if m <= 6 else 50 for m in loop.machines}
    loop.publish("2")
    loop.bucket(3)
    drawn = [p.place for p in loop.places(2) if p.place.deck]
    with loop.store.step():
        order = Order(verb="hold", by="Bo", release=loop.release_of(2))
        loop.orders.obey(order, loop.clock.now())
        loop.store.put_board(loop.train.board())
    loop.start_gate()
    loop.period = {}
    loop.bucket(15)

    assert sum(c.treated + c.control for c in clear_cells(loop, 2)) == len(drawn)
    loop.order("resume", release=loop.release_of(2))
    until(loop, 2, State.OPEN, most=200)
