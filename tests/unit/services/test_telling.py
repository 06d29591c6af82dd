"""Machines that ship journals or logs and send no heartbeats: what they tell decides, too."""

import random

from tests.loop import AV

from firedoor.core.door import Reason, State
from firedoor.core.signal import CRASH, Reports


def crashing(loop, number, *, among, buckets=40):
    """Let treated machines of a set crash one bucket after they had the release, and live on."""
    crashed = set()
    for _ in range(buckets):
        fresh = [m for m in loop.treated(number) if m in among and m not in crashed]
        loop.clock.pass_ms(1_000)  # what happens at the moment of a card was before it
        loop.crash(*fresh, kind="boot-unclean")
        crashed |= set(fresh)
        loop.bucket()
        if loop.door(number).state is not State.OPENING:
            break
    return crashed


def test_a_release_that_crashes_machines_without_heartbeats_is_shut(start):
    """Ninety of ninety told of an unclean boot once, and the release was cleared."""
    loop = start(90, policy="budget = 5")
    loop.tell(loop.machines)
    loop.settle_in()
    loop.publish("2")

    crashed = crashing(loop, 2, among=set(loop.machines))

    assert (loop.door(2).state, loop.door(2).reason) == (State.SHUT, Reason.HARMFUL)
    assert {h.signal for h in loop.store.harmed(AV, 2)} == {CRASH}
    assert 3 <= len(crashed) <= 5


def test_machines_that_had_told_nothing_before_their_card_decide_nothing(start):
    """Else an update with which reporting begins would be a harmful one."""
    loop = start(90)
    loop.tell(range(1, 46))
    loop.settle_in()
    loop.publish("2")

    crashed = crashing(loop, 2, among=set(range(46, 91)), buckets=60)

    assert len(crashed) > 20
    assert loop.door(2).state is State.OPEN


def test_a_good_release_opens_where_half_tell_and_some_of_all_crash(start):
    """Crashes of the day are as frequent in the control."""
    loop = start(200)
    loop.tell(range(1, 101))
    loop.settle_in()
    loop.publish("2")
    chance = random.Random(7)
    for _ in range(120):
        loop.crash(*(m for m in loop.machines if chance.random() < 0.01))
        loop.bucket()
        if loop.door(2).state is not State.OPENING:
            break

    assert loop.door(2).state is State.OPEN
    assert loop.store.harmed(AV, 2)


def test_its_place_says_how_a_machine_reports_also_after_a_restart(start):
    """The judge reads it from the gate's record, and the gate from the intake's."""
    loop = start(30)
    loop.tell(range(1, 11))
    loop.beat(range(11, 21))
    loop.settle_in()
    loop.start_gate()
    loop.publish("2")
    loop.bucket(10)

    found = {p.place.machine: p.place.reports for p in loop.places(2) if p.place.deck}

    assert set(found) & set(range(1, 11))
    assert all(
        how is (Reports.TELLS if m <= 10 else Reports.BEATS if m <= 20 else Reports.NOTHING)
        for m, how in found.items()
    )
