"""Releases that take effect by a restart: ``policy.takes_effect``."""

import pytest
from tests.booting import BOOT, Booting, booting
from tests.loop import AV, MINUTE, Loop, memory

from firedoor.core.door import Reason, State
from firedoor.core.terms import TakesEffect
from firedoor.services.late import Wait

RING = "everyone"
DONE = (State.OPEN, State.SHUT)


def restarted(loop):
    """On whom release 2 has taken effect, and when."""
    effect = loop.flight(2).effect
    assert effect is not None
    return dict(effect.since)


@pytest.mark.parametrize(("machines", "every"), [(40, 60), (200, 60), (200, 240), (450, 30)])
def test_a_release_that_kills_at_the_boot_harms_no_more_than_the_budget(machines, every):
    """All of them are well until they boot, long after their deck was looked at."""
    with memory() as folder:
        loop = booting(folder, machines, every=every)
        loop.deadly.add(loop.publish("2"))
        loop.until_over(2, 12 * every)
        loop.bucket(2 * every)
        door = loop.door(2)
        assert door.state is not State.OPEN
        assert 0 < len(loop.dead) <= door.budget + 1
        assert door.state is State.SHUT or door.reason is Reason.BUDGET_SPENT
        loop.close()


def test_without_the_policy_the_same_release_goes_to_everybody():
    """What the policy is for: their silence comes after they have been cleared."""
    with memory() as folder:
        loop = booting(folder, 200, every=240, policy="")
        loop.deadly.add(loop.publish("2"))
        assert loop.until_over(2, 240) is State.OPEN
        loop.close()


def test_a_good_release_opens_and_the_next_one_clears():
    """The first is walked; the second knows how long restarts take, and is looked at later."""
    with memory() as folder:
        loop = booting(folder, 60)
        loop.publish("2")
        assert loop.until_over(2, 4_000) is State.OPEN
        assert loop.door(2).reason is Reason.WALKED
        loop.publish("3")
        loop.bucket()
        (terms,) = loop.flight(3).boarding.terms.values()
        assert 20 * MINUTE < terms.install_delay_ms <= 60 * MINUTE
        assert loop.until_over(3, 4_000) is State.OPEN
        assert loop.door(3).reason is Reason.CLEARED
        assert loop.verdict(3).matured.installed > 0
        loop.close()


def test_a_brick_after_the_delay_was_learned_is_proved_by_its_cells():
    """The later window sees the machines die of their boot, and their controls live."""
    with memory() as folder:
        loop = booting(folder, 100)
        loop.publish("2")
        loop.until_over(2, 4_000)
        loop.deadly.add(loop.publish("3"))
        loop.until_over(3, 400)
        assert loop.door(3).state is State.SHUT
        assert len(loop.dead) <= loop.door(3).budget
        loop.close()


def test_a_fleet_that_never_tells_of_a_restart_is_named_to_a_person():
    """Two windows of them are let in and no more, however long they live with it."""
    with memory() as folder:
        loop = booting(folder, 100, policy=f'{BOOT}\ninstall_wait = "2h"')
        loop.mute = frozenset(loop.machines)
        loop.publish("2")
        loop.bucket(600)
        assert loop.door(2).state is State.OPENING
        numbers = loop.numbers(2)
        assert numbers.dormant == numbers.admitted == 2 * loop.door(2).budget
        assert sum("told of no restart" in note for note in loop.notes()) == 1
        loop.close()


def test_who_tells_of_it_at_last_takes_a_slot_again_and_then_gives_it_back():
    """Dormant, then booted: looked at like everybody else."""
    with memory() as folder:
        loop = booting(folder, 12, policy=f'{BOOT}\ninstall_wait = "30m"')
        loop.mute = frozenset(loop.machines)
        loop.publish("2")
        loop.bucket(200)
        assert loop.numbers(2).dormant
        loop.mute = frozenset()
        seen = set()
        for _ in range(2_000):
            loop.bucket()
            seen |= {late.wait for late in loop.flight(2).late.late.values()}
            if loop.door(2).state in DONE:
                break
        assert Wait.WOKEN in seen
        assert loop.door(2).state is State.OPEN
        loop.close()


def test_who_is_off_for_a_while_with_the_release_waits_again_when_it_returns():
    """It may have died of its boot, so its silence is debt; back, it has shown nothing yet."""
    with memory() as folder:
        loop = booting(folder, 200, every=100_000)
        loop.publish("2")
        loop.bucket(20)
        asleep, *_ = loop.treated(2)
        loop.dead.add(asleep)
        loop.bucket(10)
        assert (loop.numbers(2).harmed, loop.numbers(2).debt) == (1, 1.0)
        before = loop.numbers(2)
        loop.dead.clear()
        loop.bucket(2)
        numbers = loop.numbers(2)
        assert (numbers.harmed, numbers.debt, numbers.waiting) == (0, 0.0, before.waiting + 1)
        assert loop.flight(2).recovered.get(RING, 0) == 0
        loop.start_judge()
        assert loop.numbers(2) == numbers
        loop.dead.add(asleep)
        loop.bucket(10)
        assert (loop.numbers(2).harmed, loop.numbers(2).debt) == (1, 1.0)
        loop.start_judge()
        assert loop.numbers(2).debt == 1.0
        loop.close()


def test_who_was_off_and_then_lives_through_its_boot_has_left_no_trace():
    """A judge that starts again has the same numbers, the members of long decks included."""
    with memory() as folder:
        loop = booting(folder, 600, every=100_000)
        loop.publish("2")
        loop.bucket(20)
        assert any(pool.long for pool in loop.flight(2).pools.values())
        asleep = loop.treated(2)[0]
        loop.dead.add(asleep)
        loop.bucket(10)
        assert loop.numbers(2).harmed == 1
        loop.dead.clear()
        loop.bucket(2)
        loop.crash(asleep, kind="boot-clean")
        loop.bucket(20)
        before, numbers = loop.flight(2), loop.numbers(2)
        assert asleep not in {late.machine for late in before.late.late.values()}
        known = {key: pool.harmed.tolist() for key, pool in before.pools.items()}
        loop.start_judge()
        after = loop.flight(2)
        assert {key: pool.harmed.tolist() for key, pool in after.pools.items()} == known
        assert (loop.numbers(2), after.recovered) == (numbers, before.recovered)
        loop.close()


def test_who_is_dormant_and_falls_silent_is_harmed():
    """A machine with the release that goes away is never only asleep."""
    with memory() as folder:
        loop = booting(folder, 100, every=100_000, policy=f'{BOOT}\ninstall_wait = "15m"')
        loop.publish("2")
        loop.bucket(60)
        assert loop.numbers(2).dormant
        gone = {each.machine for each in loop.flight(2).late.late.values()}
        loop.dead |= gone
        loop.bucket(20)
        assert loop.numbers(2).harmed == len(gone)
        assert loop.door(2).reason is Reason.BUDGET_SPENT
        loop.close()


def test_an_unclean_boot_is_a_restart_and_harm():
    """The machine tells of both by one signal, and polls on."""
    with memory() as folder:
        loop = booting(folder, 100, every=90)
        loop.beat(loop.machines)
        loop.bucket(2)
        loop.publish("2")
        loop.bucket(20)
        waiting = [late.machine for late in loop.flight(2).late.late.values()]
        assert waiting
        loop.crash(*waiting, kind="boot-unclean")
        loop.bucket(2)
        assert all(loop.flight(2).took_effect(machine) is not None for machine in waiting)
        assert loop.numbers(2).harmed == len(waiting)
        loop.close()


@pytest.mark.parametrize(
    ("by", "kind", "counts"),
    [
        ("boot", "service-started", False),
        ("boot", "booted", True),
        ("restart", "service-started", True),
        ("restart", "boot-clean", True),
    ],
)
def test_what_counts_as_a_restart(by, kind, counts):
    """A machine that is started starts its services; not the other way round."""
    with memory() as folder:
        loop = booting(folder, 20, every=100_000, policy=f'takes_effect = "{by}"')
        loop.publish("2")
        loop.bucket(3)
        loop.crash(*loop.machines, kind=kind)
        loop.bucket(2)
        assert bool(restarted(loop)) is counts
        loop.close()


def test_a_boot_before_the_last_byte_does_not_count():
    """It is told after the install, and happened before."""
    with memory() as folder:
        loop = booting(folder, 20, every=100_000)
        loop.publish("2")
        loop.bucket(5)
        loop.crash(*loop.machines, kind="boot-clean", ago_ms=10 * MINUTE)
        loop.bucket(2)
        assert not restarted(loop)
        loop.close()


def test_a_file_that_comes_after_the_boot_takes_another_boot():
    """A release of two packages: the one that kills at the boot was fetched after the first."""
    with memory() as folder:
        loop = booting(folder, 100, every=100_000)
        loop.publish("2")
        loop.bucket(3)
        loop.crash(*loop.machines, kind="boot-clean")
        loop.bucket(2)
        who = next(iter(restarted(loop)))
        loop.fetch(who, 2)
        loop.bucket(2)
        assert who not in restarted(loop)
        loop.start_judge()
        assert who not in restarted(loop)
        loop.clock.pass_ms(1_000)
        loop.crash(who, kind="boot-clean")
        loop.bucket(2)
        assert who in restarted(loop)
        loop.close()


def test_a_restart_of_the_judge_forgets_no_restart(tmp_path):
    """Who waits, who is harmed and who has restarted is the same after it."""
    loop = booting(tmp_path, 200, every=20)
    loop.deadly.add(loop.publish("2"))
    seen = set()
    for _ in range(60):
        loop.bucket()
        before, numbers, had = loop.flight(2), loop.numbers(2), restarted(loop)
        seen |= {late.wait for late in before.late.late.values()}
        loop.start_judge()
        after = loop.flight(2)
        assert restarted(loop) == had
        assert after.late.late == before.late.late
        assert loop.numbers(2) == numbers
    assert seen >= {Wait.WAITING, Wait.HARMED}
    assert {each.machine for each in loop.store.effects(AV, 2)} == restarted(loop).keys()
    loop.close()


def test_the_policy_is_on_record_with_the_boarding():
    """Whoever replays a verdict knows what was waited for."""
    with memory() as folder:
        loop = booting(folder, 20)
        loop.publish("2")
        (terms,) = loop.flight(2).boarding.terms.values()
        assert terms.takes_effect is TakesEffect.BOOT
        assert loop.flight(1).effect is not None
        loop.close()


def waiting_for_a_restart(folder, policy=BOOT):
    """A loop, and machines that have the release and have been looked at without it."""
    loop = booting(folder, 100, every=100_000, policy=policy)
    loop.beat(loop.machines)
    loop.bucket(2)
    loop.publish("2")
    loop.bucket(20)
    found = [
        late.machine for late in loop.flight(2).late.late.values() if late.wait is Wait.WAITING
    ]
    assert found
    return loop, found


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [
        (BOOT, ("boot-clean", "check-failed", "boot-clean")),
        (BOOT, ("panic", "booted")),
        (BOOT, ("boot-clean", "check-failed", "boot-clean", "check-failed", "boot-clean")),
        ('takes_effect = "restart"', ("service-started", "coredump", "service-started")),
    ],
)
def test_harm_between_two_restarts_that_are_told_together_counts(policy, kinds):
    """Whoever goes back at once tells of both, as the network may be gone in between."""
    with memory() as folder:
        loop, machines = waiting_for_a_restart(folder, policy)
        for kind in kinds:
            loop.clock.pass_ms(1_000)
            loop.crash(*machines, kind=kind)
        loop.bucket(20)
        assert loop.numbers(2).harmed == len(machines)
        loop.close()


@pytest.mark.parametrize(
    ("kind", "detail", "counts"),
    [
        ("service-started", '{"signal":"service-started","UNIT":"shop.service"}', True),
        ("service-started", '{"signal":"shop-reloaded"}', True),
        ("service-started", '{"service":"shop.service"}', True),
        ("service-started", '{"signal":"service-started","UNIT":"clamav-daemon.service"}', False),
        ("service-started", '{"UNIT":["shop.service"]}', False),
        ("service-started", None, False),
        ("boot-clean", None, True),
    ],
)
def test_where_services_are_named_only_their_starts_are_restarts(kind, detail, counts):
    """A reload of ClamAV's databases does not try a library that the shop uses."""
    policy = 'takes_effect = "restart"\nrestart_of = ["shop.service", "shop-reloaded"]'
    with memory() as folder:
        loop, machines = waiting_for_a_restart(folder, policy)
        loop.start_judge()
        loop.clock.pass_ms(1_000)
        loop.crash(*machines, kind=kind, detail=detail)
        loop.bucket(2)
        assert (set(machines) <= restarted(loop).keys()) is counts
        assert counts or not set(machines) & restarted(loop).keys()
        loop.start_judge()
        loop.bucket()
        assert (set(machines) <= restarted(loop).keys()) is counts
        loop.close()


def test_checks_that_pass_are_no_restart():
    """Greenboot's word comes after a boot that the journal has told of already, or without one."""
    with memory() as folder:
        loop, machines = waiting_for_a_restart(folder)
        loop.crash(*machines, kind="check-passed")
        loop.bucket(2)
        assert not set(machines) & set(restarted(loop))
        loop.close()


class SlowOnes(Booting):
    """Some boot ten times as seldom as the others, and only they die of a deadly release."""

    def bucket(self, count: int = 1, *, gate: bool = True, intake: bool = True) -> None:
        """Before each minute those boot whose turn it is."""
        for _ in range(count):
            for machine in self.machines:
                slow = machine % 10 == 0
                if (self._buckets + 7 * machine) % (self.every * (10 if slow else 1)):
                    continue
                if machine in self.dead:
                    continue
                if slow and self.holds.get(machine) in self.deadly:
                    self.dead.add(machine)
                else:
                    self.crash(machine, kind=self.kind)
            Loop.bucket(self, gate=gate, intake=intake)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_what_kills_those_alone_that_boot_seldom_is_not_diluted_by_the_others():
    """Their deaths are in no cell; the bound that the quick ones make must not pay for them."""
    with memory() as folder:
        loop = SlowOnes(folder, 200, soak="10m", policy=BOOT)
        loop.holds = {}
        loop.settle_in(8)
        loop.publish("2")
        assert loop.until_over(2, 7_000) is State.OPEN
        loop.deadly.add(loop.publish("3"))
        loop.bucket()
        assert loop.until_over(3, 3_000) is not State.OPEN
        assert 0 < len(loop.dead) <= loop.door(3).budget + 3
        loop.close()
