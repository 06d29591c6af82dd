"""A release that clients throw away: evidence from their own requests, without any agent."""

import hashlib
from random import Random

import pytest
from tests.loop import AV, Loop, memory

from firedoor.core.door import State
from firedoor.core.signal import CHECK, CRASH, SILENCE
from firedoor.core.terms import Policy, resolve
from firedoor.core.units import Digest
from firedoor.services.boarding import rules_for
from firedoor.services.fetches import Asked, Fetches, Rejection

PERIOD = 5
FILE = "lab.hdb"


class Clam(Loop):
    """The loop with clients that tell by their date whether they took what they got."""

    def __init__(self, folder, machines=60, *, flaky=0.0, **how):
        self.fetches = Fetches(AV)
        self.dates = {}
        self.malformed = set()
        self.flaky = flaky
        self.rng = Random(1)
        super().__init__(folder, machines, kind="clamav", **how)
        self.period = dict.fromkeys(self.machines, PERIOD)
        self.settle_in(8 * PERIOD)

    def poll(self, machine):
        """One file of what the machine is given, by the rules of the gate."""
        number = super().poll(machine)
        release = self.release_of(number)
        held = self.admission.card(machine)
        asked = Asked(
            machine=machine,
            path=FILE,
            digest=Digest(hashlib.sha256(release.encode()).hexdigest()),
            date_s=self.dates.get(machine, 0),
            began_ms=self.admission.in_session_since(machine),
            number=number,
            card=0 if held is None else held.number << 16 | held.deck,
            sham=held is not None and held.control,
        )
        if not self.fetches.is_current(asked):
            now = self.clock.now()
            self.fetches.sent(asked, mono_ms=now.mono_ms, wall_s=now.wall_ms // 1000)
            if release not in self.malformed and self.rng.random() >= self.flaky:
                self.dates[machine] = now.wall_ms // 1000
        self.rejections += self.fetches.drain_rejections()
        return number

    def until(self, *states, most=400):
        """Minutes pass until the newest door stands there, or time is up."""
        for _ in range(most):
            if self.door(2).state in states:
                break
            self.bucket()
        return self.door(2).state


def test_a_release_that_clients_throw_away_is_shut_by_their_requests_alone():
    """No machine runs anything of ours, and none of them is lost: all go on polling."""
    with memory() as folder:
        loop = Clam(folder, policy="budget = 5")
        loop.malformed.add(loop.publish("malformed"))

        assert loop.until(State.SHUT) is State.SHUT
        assert len(loop.treated(2)) < len(loop.machines) / 2
        assert {each.signal for each in loop.store.harmed(AV, 2)} == {CHECK}
        loop.close()


def test_a_judge_that_is_started_again_knows_what_was_thrown_away():
    """It is read from what the gate keeps, and counted once."""
    with memory() as folder:
        loop = Clam(folder, policy="budget = 5")
        loop.malformed.add(loop.publish("malformed"))
        while not loop.store.harmed(AV, 2):
            loop.bucket()
        before = len(loop.store.harmed(AV, 2))
        loop.start_judge()
        loop.bucket()

        assert before <= len(loop.store.harmed(AV, 2)) <= len(loop.treated(2))
        assert loop.until(State.SHUT) is State.SHUT
        loop.close()


def test_machines_that_fail_at_anything_do_not_shut_a_good_release():
    """Control installs its own bytes once more: a full disk shows in both arms."""
    with memory() as folder:
        loop = Clam(folder, flaky=0.3)
        loop.publish("good")
        loop.until(State.SHUT, State.OPEN, most=150)

        harmed = {each.treated for each in loop.store.harmed(AV, 2)}
        assert harmed == {True, False}
        assert loop.door(2).state is not State.SHUT
        loop.close()


def test_what_was_thrown_away_before_the_card_is_no_harm_of_this_release():
    """And what another channel sent says nothing of this one."""
    with memory() as folder:
        loop = Clam(folder)
        loop.publish("good")
        while not loop.treated(2):
            loop.bucket()
        (first, *_), drawn = loop.treated(2), loop.places(2)[0].place.mono_ms
        loop.rejections += [
            Rejection(AV, 1, first, FILE, drawn - 1),
            Rejection("other", 2, first, FILE, loop.clock.mono_ms),
        ]
        loop.bucket(3 * PERIOD)

        assert loop.store.harmed(AV, 2) == []
        loop.close()


@pytest.mark.parametrize(
    ("reporting", "told", "shares"),
    [
        (0, False, {SILENCE: 1.0, CRASH: 0.0, CHECK: 0.0}),
        (0, True, {SILENCE: 0.8, CRASH: 0.0, CHECK: 0.5}),
        (9, False, {SILENCE: 0.8, CRASH: 0.5, CHECK: 0.3}),
        (9, True, {SILENCE: 0.8, CRASH: 0.5, CHECK: 0.5}),
    ],
)
def test_what_the_gate_hears_itself_counts_without_any_agent(reporting, told, shares):
    """Fixed when the release boards: nobody may choose by what is seen."""
    rules = rules_for(resolve(Policy(), 100), reporting=reporting, told=told)

    assert dict(rules.shares) == shares
