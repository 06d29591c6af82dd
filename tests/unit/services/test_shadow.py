"""Shadow mode: the judge judges and tells, and nobody waits but a control share, for a deadline."""

import pytest
from tests.loop import AV, Loop

from firedoor.cli.hindsight import would_have
from firedoor.core import valve
from firedoor.core.cell import Test
from firedoor.core.door import Reason, State

SHADOW = 'mode = "shadow"\ncontrol = 0.25'


def fleet(start, machines: int = 40, policy: str = SHADOW, **how: object) -> Loop:
    loop: Loop = start(machines, policy=policy, **how)
    loop.settle_in()
    return loop


def on(loop: Loop, number: int) -> set[int]:
    """Machines whose session is answered from a boarding."""
    return {machine for machine in loop.machines if loop.admission.peek(machine) == number}


def test_everybody_gets_a_release_at_once_but_a_random_control_share(start):
    """What an operator loses by trying Firedoor out: a quarter waits for one deadline."""
    loop = fleet(start)
    loop.publish("2")
    loop.bucket(3)
    waiting = set(loop.control(2))

    assert len(waiting) == 10
    assert on(loop, 2) == set(loop.machines) - waiting
    loop.bucket(12)
    assert on(loop, 2) == set(loop.machines)


def test_nobody_waits_twice_and_everybody_is_in_one_arm(start):
    """A control that has waited is not drawn again: one deadline and no more."""
    loop = fleet(start)
    loop.publish("2")
    loop.bucket(30)
    drawn = [stored.place.machine for stored in loop.places(2) if stored.place.deck]

    assert sorted(drawn) == loop.machines
    assert (loop.door(2).state, loop.door(2).shadow) == (State.OPEN, True)


def test_a_release_that_kills_is_told_and_goes_on_to_everybody(start):
    """Would have shut, with the time it took: the door of a shadow contains nothing."""
    loop = fleet(start)
    loop.deadly.add(loop.publish("2"))
    loop.bucket(12)
    door, told = loop.door(2), loop.moves(2)[-1]

    assert (door.state, door.reason) == (State.OPEN, Reason.WOULD_SHUT)
    assert (told["shadow"], told["alert"], told["reason"]) == (True, True, "would have shut")
    assert loop.lane().base == 2
    assert loop.lane().revoked == ()
    loop.bucket(3)
    assert len(loop.moves(2)) == 1  # said once
    assert loop.dead == set(loop.machines)


def test_a_good_release_would_have_opened(start):
    """The other half of the report: what enforcing would have cost in time."""
    loop = fleet(start, policy=SHADOW + "\ndelta = 0.2")
    loop.publish("2")
    loop.bucket(20)
    (told,) = loop.moves(2)

    assert (told["to"], told["reason"], told["shadow"]) == ("open", "cleared", True)


def test_a_newer_release_boards_at_once(start):
    """Nothing is held, so nothing waits for the verdict on what is in flight."""
    loop = fleet(start)
    loop.publish("2")
    loop.bucket(2)
    loop.publish("3")
    loop.bucket(3)

    assert loop.door(2).state is State.SUPERSEDED
    assert loop.door(3).state is State.OPENING
    assert on(loop, 3) | set(loop.control(3)) == set(loop.machines)


def test_a_ring_waits_for_no_other(start):
    """The order of rings is a precaution too."""
    rings = '[[ring]]\nname = "lab"\nmachines = { site = ["lab"] }\n'
    loop = start(20, policy=SHADOW, rings=rings)
    loop.ring = dict.fromkeys(range(1, 6), "lab")
    loop.settle_in()
    loop.publish("2")
    loop.bucket(3)

    assert loop.door(2).state is loop.door(2, "lab").state is State.OPENING
    assert len(on(loop, 2)) > 10


def test_a_judge_that_is_away_holds_nobody_back(start):
    """Without a lease no card is dealt, and everybody gets the release without one."""
    loop = fleet(start)
    loop.publish("2")
    loop.bucket()
    loop.lease = False
    loop.clock.pass_ms(60_000)
    for machine in loop.machines:
        loop.poll(machine)

    assert on(loop, 2) == set(loop.machines)
    assert not loop.control(2)


def test_what_a_person_orders_is_done(start):
    """A shadow has no say; a person who holds or shuts a release has."""
    loop = fleet(start)
    release = loop.publish("2")
    loop.period = {machine: 1 if machine % 2 else 6 for machine in loop.machines}
    loop.bucket(2)
    had = on(loop, 2) & {place.place.machine for place in loop.places(2)}
    loop.order("hold", release=release, reason="looks odd")
    loop.bucket(6)
    assert on(loop, 2) <= had | set(loop.treated(2))
    loop.order("shut", release=release, reason="it is bad")
    loop.bucket(2)

    assert (loop.door(2).state, loop.door(2).reason) == (State.SHUT, Reason.PERSON)
    assert on(loop, 2) == set()


def test_without_a_control_everybody_is_treated_and_the_verdict_compares_nothing(start):
    """Harm is counted, and cannot be told from chance."""
    loop = fleet(start, policy='mode = "shadow"\ncontrol = 0')
    loop.deadly.add(loop.publish("2"))
    loop.bucket(15)
    cells = loop.store.cells(AV, 2)

    assert loop.control(2) == []
    assert sum(cell.treated_harmed for cell in cells if cell.test is Test.HARM) == 40
    assert loop.verdict(2).log_e_harm == pytest.approx(0.0, abs=1e-12)


def test_a_shadow_survives_restarts_of_gate_and_judge(start):
    """Who waits, and who has it without a card, lies in the files."""
    loop = fleet(start)
    loop.publish("2")
    loop.bucket(3)
    before = on(loop, 2)
    loop.start_gate()
    loop.start_judge()
    loop.look()

    assert on(loop, 2) == before
    loop.bucket(25)
    assert loop.door(2).state is State.OPEN


@pytest.mark.parametrize(
    ("free", "control", "treated"), [(40, 0.25, 30), (2, 0.01, 1), (3, 0.1, 2), (7, 0.0, 7)]
)
def test_the_deck_of_a_shadow_is_everybody_but_the_control_share(free, control, treated):
    """One control at least, if there are two; none where none was asked for."""
    assert valve.shadow_deal(free=free, control=control) == valve.Deal(treated, free)
    assert valve.shadow_deal(free=1, control=0.1) is None
    assert valve.shadow_deal(free=0, control=0.0) is None


def test_hindsight_tells_of_each_release_what_would_have_become_of_it(start):
    """The report an operator reads before switching to enforce."""
    loop = fleet(start, policy=SHADOW + "\ndelta = 0.2")
    loop.publish("2")
    loop.bucket(20)
    loop.publish("3")
    loop.bucket(2)
    loop.deadly.add(loop.publish("4"))
    loop.bucket(14)
    rows = list(would_have(loop.store, AV))

    assert [(row.number, row.would) for row in rows] == [
        (4, "shut"),
        (3, "superseded (newer)"),
        (2, "opened"),
    ]
    assert all(row.after_ms for row in rows)
    assert rows[0].exposed == 30
    assert "harm is proved" in rows[0].note
