"""Machines that have all bytes only after their class was looked at."""

from dataclasses import replace
from itertools import count

import pytest
from tests.loop import AV, MINUTE, Loop, memory

from firedoor.core.door import Reason, State
from firedoor.services.late import Wait
from firedoor.services.places import Installed

RING = "everyone"
DONE = (State.OPEN, State.SHUT)


class Slow(Loop):
    """Whoever draws a card has the bytes later, and dies of a deadly release only then."""

    delay = 0
    due: dict[int, tuple[int, Installed]]
    never: frozenset[int] = frozenset()
    in_parts = False

    def poll(self, machine: int) -> int:
        """The index is answered at once; the download ends at the first poll after ``delay``."""
        known, deadly = len(self._installed), self.deadly
        self.deadly = set()
        number = super().poll(machine)
        self.deadly = deadly
        for done in self._installed[known:]:
            self.due[done.machine] = (self._buckets + self.delay, done)
        if not self.in_parts:
            del self._installed[known:]
        if machine in self.never or machine not in self.due:
            return number
        at, done = self.due[machine]
        if self._buckets >= at:
            del self.due[machine]
            self._installed.append(replace(done, mono_ms=self.clock.mono_ms))
            if self.release_of(done.number) in self.deadly:
                self.dead.add(machine)
        return number

    def until_over(self, number: int, most: int) -> State:
        """Minutes pass until the door has ended, stands still, or time is up."""
        for _ in range(most):
            self.bucket()
            door = self.door(number)
            if door.state in DONE or door.reason is Reason.BUDGET_SPENT:
                break
        return self.door(number).state


def slow(folder, machines, *, delay=3, period=1, settled=8, soak="10m", policy=""):
    loop = Slow(folder, machines, soak=soak, policy=policy)
    loop.delay, loop.due = delay, {}
    loop.period = dict.fromkeys(loop.machines, period)
    loop.settle_in(settled)
    return loop


@pytest.mark.parametrize(
    ("machines", "delay", "period"),
    [(200, 3, 1), (300, 5, 1), (450, 7, 1), (600, 3, 1), (200, 0, 10), (300, 1, 10), (450, 1, 10)],
)
def test_a_brick_that_is_installed_late_harms_no_more_than_the_budget(machines, delay, period):
    """Who drew a card is no evidence before it has the bytes and had its deadline to die of them.

    A period of ten minutes and a download later than the first poll is the client that reads the
    index now and fetches at its next poll.
    """
    with memory() as folder:
        loop = slow(folder, machines, delay=delay, period=period, settled=8 if period == 1 else 100)
        loop.deadly.add(loop.publish("2"))
        loop.until_over(2, 90 * period)
        loop.bucket(60)
        door = loop.door(2)
        assert door.state is not State.OPEN
        assert 0 < len(loop.dead) <= door.budget + 1
        assert door.state is State.SHUT or door.reason is Reason.BUDGET_SPENT
        loop.close()


@pytest.mark.parametrize(("machines", "delay"), [(200, 3), (300, 5), (450, 6)])
def test_a_brick_that_kills_with_its_last_file_harms_no_more_than_the_budget(machines, delay):
    """The first file comes with the card, and whoever reads on is heard until it has them all."""
    with memory() as folder:
        loop = slow(folder, machines, delay=delay)
        loop.in_parts = True
        loop.deadly.add(loop.publish("2"))
        loop.until_over(2, 90)
        loop.bucket(60)
        assert 0 < len(loop.dead) <= loop.door(2).budget + 1
        assert loop.door(2).state is State.SHUT or loop.door(2).reason is Reason.BUDGET_SPENT
        loop.close()


@pytest.mark.parametrize("period", [1, 10])
def test_a_good_release_that_is_installed_late_still_opens(period):
    """Slots are given back one deadline after each install; late installs only take longer."""
    with memory() as folder:
        loop = slow(folder, 24, period=period, delay=3, settled=8 * period)
        loop.publish("2")
        assert loop.until_over(2, 2_000) is State.OPEN
        assert loop.door(2).reason is Reason.WALKED
        loop.close()


def test_a_fleet_that_always_installs_late_is_looked_at_later():
    """The second release knows how long the first one took: its installs count, and it clears.

    The delay is in the terms before the first deck, the same for both arms (I8).
    """
    with memory() as folder:
        loop = slow(folder, 60, delay=6)
        loop.publish("2")
        assert loop.until_over(2, 2_000) is State.OPEN
        loop.publish("3")
        loop.bucket()
        (terms,) = loop.flight(3).boarding.terms.values()
        assert terms.install_delay_ms == 6 * MINUTE
        assert loop.flight(2).boarding.terms[RING].install_delay_ms == 0
        assert loop.until_over(3, 2_000) is State.OPEN
        assert loop.door(3).reason is Reason.CLEARED
        assert loop.verdict(2).matured.installed == 0
        assert loop.verdict(3).matured.installed > 0
        loop.close()


def test_a_brick_after_the_delay_was_learned_is_proved_by_its_cells():
    """The later window sees the machines die of it, and their controls live."""
    with memory() as folder:
        loop = slow(folder, 60, delay=6)
        loop.publish("2")
        loop.until_over(2, 2_000)
        loop.deadly.add(loop.publish("3"))
        loop.until_over(3, 200)
        assert loop.door(3).state is State.SHUT
        assert len(loop.dead) <= loop.door(3).budget
        loop.close()


def test_a_machine_that_never_installs_is_dormant_and_gives_its_slot_back():
    """``policy.install_wait``: nobody waits for ever for what a machine does not want."""
    with memory() as folder:
        loop = slow(folder, 40, delay=3, policy='install_wait = "15m"')
        loop.never = frozenset({1, 2, 3})
        loop.publish("2")
        for minute in count():
            assert minute < 400
            loop.bucket()
            if loop.numbers(2).dormant:
                break
        numbers = loop.numbers(2)
        assert numbers.in_flight + numbers.matured + numbers.dormant == numbers.admitted
        assert loop.until_over(2, 1_000) is State.OPEN
        loop.close()


def test_where_all_who_could_try_it_are_dormant_a_person_is_told():
    """Fewer than two windows of them: there is room, and nobody left who would use it."""
    with memory() as folder:
        loop = slow(folder, 8, policy="budget = 5")
        loop.never = frozenset(loop.machines)
        loop.publish("2")
        loop.bucket(120)
        numbers = loop.numbers(2)
        assert (numbers.dormant, numbers.room, loop.door(2).state) == (8, 2, State.OPENING)
        assert sum("do not install it" in note for note in loop.notes()) == 1
        loop.close()


def test_whoever_wakes_takes_its_slot_back_though_the_window_is_full():
    """It has the release now: what it does to it is looked at like everybody else's."""
    with memory() as folder:
        loop = slow(folder, 40, delay=0, policy='install_wait = "15m"')
        loop.never = frozenset(loop.machines)
        loop.deadly.add(loop.publish("2"))
        for minute in count():
            assert minute < 400
            loop.bucket()
            if loop.numbers(2).dormant == 2 * loop.door(2).budget:
                break
        before = loop.numbers(2)
        assert before.room == 0, "no more are dormant for nothing than the window holds"
        assert any("do not install it" in note for note in loop.notes())
        loop.never = frozenset()
        loop.bucket()
        numbers = loop.numbers(2)
        assert numbers.waiting == before.dormant + before.waiting and not numbers.dormant
        assert numbers.room == 0 and numbers.in_flight > numbers.window
        loop.bucket(20)
        assert loop.numbers(2).harmed == len(loop.dead) == numbers.in_flight
        assert loop.door(2).reason is Reason.BUDGET_SPENT
        loop.close()


def test_a_gate_that_forgot_its_places_leaves_nobody_late_under_a_row_of_another(tmp_path):
    """Rows are given out again; a machine keeps its slot under a row that nobody gets."""
    loop = slow(tmp_path, 200, delay=6)
    loop.deadly.add(loop.publish("2"))
    for minute in count():
        assert minute < 60
        loop.bucket()
        if loop.flight(2).late.late:
            break
    row, late = next(iter(loop.flight(2).late.late.items()))
    with loop.store.step():
        loop.store.lose_place(row)
    lost = {each.row: each.machine for each in loop.store.late(AV, 2)}
    assert row not in lost
    assert {each for each in lost if lost[each] == late.machine} == {min(lost)}
    assert min(lost) < 0
    loop.close()


def test_who_is_late_survives_a_restart_of_the_judge():
    """Waiting, dormant and harmed: nothing is forgotten, and no debt is counted twice."""
    with memory() as folder:
        loop = slow(folder, 200, delay=6)
        loop.deadly.add(loop.publish("2"))
        seen = set()
        for _ in range(40):
            loop.bucket()
            before = loop.flight(2)
            seen |= {late.wait for late in before.late.late.values()}
            numbers = loop.numbers(2)
            loop.start_judge()
            after = loop.flight(2)
            assert after.late.late == before.late.late
            assert after.excess == pytest.approx(before.excess)
            assert after.harmed == before.harmed and after.installed == before.installed
            assert loop.numbers(2) == numbers
        assert seen >= {Wait.WAITING, Wait.HARMED}
        assert len(loop.dead) <= loop.door(2).budget
        loop.close()


def test_a_late_machine_that_speaks_again_frees_its_slot():
    """It slept; the door moves on by itself, as after any silence."""
    with memory() as folder:
        loop = slow(folder, 200, delay=4)
        loop.deadly.add(loop.publish("2"))
        loop.until_over(2, 100)
        assert loop.door(2).reason is Reason.BUDGET_SPENT
        loop.deadly.clear()
        loop.dead.clear()
        loop.bucket(3)
        assert loop.door(2).state is State.OPENING
        assert loop.numbers(2).debt == 0.0
        loop.close()


def test_a_machine_that_slept_before_its_install_is_looked_at_when_it_returns():
    """Silent without the bytes, back, and then dead of them: its slot is taken again."""
    with memory() as folder:
        loop = slow(folder, 200, delay=2)
        loop.never = frozenset(loop.machines)
        loop.deadly.add(loop.publish("2"))
        loop.bucket(2)
        asleep, *others = loop.treated(2)
        loop.dead.add(asleep)
        loop.bucket(10)
        assert loop.numbers(2).harmed == 1
        loop.dead.clear()
        loop.bucket()
        assert loop.flight(2).recovered[RING] == 1
        assert (loop.numbers(2).waiting, loop.numbers(2).dormant) == (1, len(others))
        loop.never = frozenset(loop.machines) - {asleep}
        loop.bucket(10)
        assert loop.dead == {asleep}
        assert loop.flight(2).recovered[RING] == 0
        assert loop.numbers(2).harmed == 1 and loop.numbers(2).debt > 0.0
        loop.start_judge()
        assert loop.numbers(2).debt > 0.0
        loop.close()


def test_dormant_machines_that_wake_one_by_one_take_a_slot_and_keep_no_door_shut():
    """Somebody always installs at last: what had been shown without it may open meanwhile."""
    with memory() as folder:
        loop = slow(folder, 60, delay=0, soak="1m", policy="delta = 0.2")
        loop.never = frozenset(range(1, 31))
        loop.publish("2")
        waits: list[Wait] = []
        for _ in range(240):
            dormant = sorted(
                each.machine
                for each in loop.flight(2).late.late.values()
                if each.wait is Wait.DORMANT
            )
            loop.never -= set(dormant[:1])
            loop.bucket()
            waits = [each.wait for each in loop.flight(2).late.late.values()]
            assert loop.numbers(2).waiting >= waits.count(Wait.WOKEN)
            if loop.door(2).state in DONE:
                break
        assert loop.door(2).state is State.OPEN
        assert Wait.WOKEN in waits
        loop.close()


def test_nobody_waits_for_a_release_without_new_bytes():
    """A file was only taken away: there is nothing to install, and nobody to wait for."""
    with memory() as folder:
        loop = slow(folder, 20, delay=0)
        loop.never = frozenset(loop.machines)
        loop.publish_files({"av.db": "1"})
        loop.bucket(10)
        assert not loop.flight(2).boarding.terms[RING].installs
        assert loop.until_over(2, 400) is State.OPEN
        assert not loop.numbers(2).dormant
        loop.close()


@pytest.mark.parametrize("machines", [24, 60, 200])
def test_a_release_after_whose_late_install_machines_report_crashes_stops_at_the_budget(machines):
    """They poll on, so they are not silent; their class had closed before they had the bytes."""
    with memory() as folder:
        loop = slow(folder, machines, delay=8)
        loop.beat(loop.machines)
        loop.bucket(2)
        loop.publish("2")
        assert loop.flight(2).decides("crash")
        crashed: set[int] = set()
        for _ in range(60):
            loop.beat(loop.machines)
            fresh = loop.flight(2).installed.keys() - crashed
            if fresh:
                loop.clock.pass_ms(1_000)
                loop.crash(*sorted(fresh))
            crashed |= fresh
            loop.bucket()
            before = loop.numbers(2)
            loop.start_judge()
            assert loop.numbers(2) == before
        door = loop.door(2)
        assert door.state is not State.OPEN
        assert 0 < len(crashed) <= door.budget + 1
        assert door.state is State.SHUT or door.reason is Reason.BUDGET_SPENT
        assert loop.flight(2).recovered.get(RING, 0) == 0, "speaking is no recovery from a crash"
        loop.close()


def test_a_restart_of_the_judge_hides_no_late_harm_from_a_long_deck():
    """Its pool has not counted it: the next look compares it with its control, as without one."""
    with memory() as folder:
        loop = slow(folder, 600, delay=4)
        loop.deadly.add(loop.publish("2"))
        sealed = []
        for _ in range(30):
            loop.bucket()
            flight = loop.flight(2)
            own = {row for row, late in flight.late.late.items() if late.wait is Wait.HARMED}
            known = {key: pool.harmed.tolist() for key, pool in flight.pools.items()}
            sealed += [own & set(pool.rows.tolist()) for pool in flight.pools.values()]
            loop.start_judge()
            after = loop.flight(2)
            assert {key: pool.harmed.tolist() for key, pool in after.pools.items()} == known
        assert any(sealed)
        assert loop.door(2).state is State.SHUT
        loop.close()


def test_a_ring_that_is_behind_has_bytes_to_install_where_another_has_none():
    """A file is only taken away from what the first ring has; the second still has the old one."""
    with memory() as folder:
        rings = '[[ring]]\nname = "lab"\nmachines = { site = ["lab"] }\n'
        loop = Slow(folder, 40, rings=rings, policy='patience = "2h"')
        loop.due, loop.ring = {}, dict.fromkeys(range(1, 9), "lab")
        loop.settle_in()
        loop.publish("2")
        for _ in range(200):
            if loop.door(2, "lab").state is State.OPEN:
                break
            loop.bucket()
        assert loop.door(2).state is not State.OPEN
        loop.dead = set(range(9, 41))
        loop.publish_files({"av.db": "2"})
        loop.bucket(125)
        assert loop.door(2).state is State.SUPERSEDED
        terms = loop.flight(3).boarding.terms
        assert not terms["lab"].installs
        assert terms[RING].installs
        loop.close()
