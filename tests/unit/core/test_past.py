"""History in the verdict: what past good releases showed holds a release, and never shuts one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from firedoor.core.cell import Cell, Test
from firedoor.core.door import Assessed, Command, Door, Expedite, Reason, Resume, State, step
from firedoor.core.errors import IllegalTransition
from firedoor.core.evidence import past
from firedoor.core.evidence.history import DRIFT
from firedoor.core.evidence.past import PastBucket
from firedoor.core.signal import ANY, SILENCE, TOLD, TOLD_EARLY
from firedoor.core.units import UnixMs
from firedoor.core.verdict import Rules, Verdict, VerdictState, absorb, fold, start, verdict

RULES = Rules(
    alpha_harm=0.001, alpha_warn=0.05, alpha_clear=0.05, delta=0.01, shares=((SILENCE, 1.0),)
)
CLEAN = PastBucket("everyone", ANY, 1, 0, 1_200)
KNOWING = replace(RULES, past=(CLEAN,))


def look(seq: int, m1: int, m0: int, x1: int, x0: int, *, age: int = 1, late: bool = False) -> Cell:
    return Cell(
        seq,
        "everyone",
        1,
        seq // 4,
        Test.LATE if late else Test.CLEARANCE,
        SILENCE if late else ANY,
        "",
        m1,
        m0,
        x1,
        x0,
        age=age,
    )


def said(rules: Rules, *cells: Cell) -> Verdict:
    return verdict(fold(rules, cells))


def test_only_looks_that_are_told_whatever_they_saw_are_an_exposure():
    """Harm cells exist where somebody was harmed: rates made of them would be far too high."""
    harm = Cell(1, "everyone", 1, 0, Test.HARM, SILENCE, "", 50, 50, 3, 0, age=1)
    cells = (
        harm,
        look(2, 50, 50, 3, 1),
        look(3, 40, 60, 0, 2),
        look(4, 47, 49, 1, 2, age=3, late=True),
    )

    assert past.summed([cells]) == (
        PastBucket("everyone", ANY, 1, 3, 90),
        PastBucket("everyone", SILENCE, 3, 3, 96),
    )


def told(
    seq: int,
    m1: int,
    m0: int,
    x1: int,
    x0: int,
    *,
    signal: str = TOLD,
    age: int = 0,
    listened: int | None = None,
) -> Cell:
    seconds = (m1 if signal == TOLD_EARLY else m1 + m0) if listened is None else listened
    counts = m1, m0, x1, x0, seconds
    return Cell(seq, "everyone", 1, seq // 4, Test.LATE, signal, "", *counts, age=age)


def test_what_was_told_is_counted_by_the_second_that_somebody_listened():
    """Who has just installed restarts things, and in the first minute more than ever after."""
    cells = (
        told(1, 50, 450, 1, 7, signal=TOLD_EARLY, listened=40),
        told(2, 300, 2_700, 0, 2, signal=TOLD_EARLY, age=2),
        told(3, 100, 900, 1, 1, age=4),
        told(4, 900, 8_100, 0, 3, age=4, listened=700),
    )

    assert past.summed([cells]) == (
        PastBucket("everyone", TOLD, 4, 5, 1_700),
        PastBucket("everyone", TOLD_EARLY, 0, 1, 40),
        PastBucket("everyone", TOLD_EARLY, 2, 0, 300),
    )


def test_what_so_many_liars_can_have_lent_the_past_is_taken_off_each_release():
    """They kept quiet in ten releases, to be believed in the eleventh."""
    first = [
        look(1, 50, 50, 3, 1),
        replace(look(2, 40, 60, 0, 2), deck=2),
        # One deck was looked at twice, and one that lies is in both looks.
        look(3, 47, 49, 1, 2, age=3, late=True),
        look(4, 46, 49, 0, 0, age=3, late=True),
        replace(look(5, 40, 40, 0, 0, age=3, late=True), deck=2),
        told(6, 300, 0, 1, 0, signal=TOLD_EARLY, listened=500),
        told(7, 900, 0, 0, 0, age=1, listened=100),
        told(8, 900, 0, 0, 0, age=5, listened=900_000),
    ]
    second = [look(1, 10, 10, 1, 0)]

    assert past.summed([first, second], liars=2) == (
        PastBucket("everyone", ANY, 1, 4, 90 - 2 + 10 - 2),
        PastBucket("everyone", SILENCE, 3, 3, 96 + 95 + 80 - 2 * 2),
        PastBucket("everyone", TOLD_EARLY, 0, 1, 500 - 2 * 60),
    )


@pytest.mark.parametrize("rings", [4, 5, 10])
def test_the_first_minute_is_the_last_that_the_past_forgets(rings):
    """What dies as it installs does so there; and there are fewer seconds of it than of any."""
    cells = [
        replace(told(1, 60 * 4**age, 0, 0, 0, signal=TOLD_EARLY, age=age), ring=f"ring-{ring}")
        for ring in range(rings)
        for age in range(6)
    ]
    cells += [
        replace(look(1, 50, 50, 0, 0, age=age, late=late), ring=f"ring-{ring}")
        for ring in range(rings)
        for age in range(6)
        for late in (False, True)
    ]
    kept = past.summed([cells])

    assert len(kept) <= past.MOST_BUCKETS
    assert sum(b.signal == TOLD_EARLY and b.age == 0 for b in kept) == rings


def test_a_crash_that_the_next_look_counts_again_is_no_evidence_twice():
    """What was told and what was found are two views of one machine: their mean is taken."""
    rules = replace(RULES, past=(CLEAN, PastBucket("everyone", TOLD, 0, 0, 1_000_000)))
    crash, found = told(1, 600, 5_400, 2, 0), look(2, 60, 540, 2, 0)

    alone = [math.exp(said(rules, replace(cell, seq=1)).log_e_history) for cell in (crash, found)]
    both = math.exp(said(rules, crash, found).log_e_history)

    assert both == pytest.approx(sum(alone) - 1.0)


def test_who_boarded_before_anything_was_told_is_judged_as_then():
    """A ledger that was written before there was such a comparison replays to the last bit."""
    cells = look(1, 20, 60, 1, 1), look(2, 20, 60, 2, 0)
    silent = [replace(cell, seq=2 * cell.seq) for cell in cells]

    mixed = said(KNOWING, told(1, 9, 90, 3, 0), silent[0], told(3, 9, 90, 3, 0), silent[1])

    assert mixed.log_e_history == said(KNOWING, *cells).log_e_history


def test_a_freeze_of_before_is_a_freeze_again():
    """Frozen looks counted nothing then; decisions that rest on them lie in ledgers."""
    cut_off = look(1, 5, 40, 5, 40), look(2, 5, 40, 0, 40), look(3, 50, 40, 0, 0)
    talking = replace(RULES, past=(CLEAN, PastBucket("everyone", TOLD, 0, 0, 1_000_000)))

    assert said(KNOWING, *cut_off).log_e_history == pytest.approx(0.0, abs=1e-15)
    assert said(talking, *cut_off).log_e_history < -0.01


def test_machine_minutes_crowd_no_look_out_of_the_past():
    """There are more minutes than machines: forty loud rings would leave nothing to look with."""
    cells = [
        replace(cell, seq=seq, ring=f"ring-{ring}")
        for ring in range(40)
        for seq, cell in enumerate((look(1, 50, 50, 0, 0), told(2, 900, 8_100, 0, 3)), 2 * ring)
    ]
    kept = past.summed([cells])

    assert len(kept) == past.MOST_BUCKETS
    assert sum(bucket.signal == ANY for bucket in kept) == past.MOST_BUCKETS // 2


def test_rings_are_not_compared_with_each_other():
    """Every release begins in the laboratory, which is switched off more often than the tills."""
    elsewhere = replace(look(1, 10, 10, 5, 0), ring="lab")

    assert said(KNOWING, elsewhere).log_e_history == 0.0
    assert said(KNOWING, look(1, 10, 10, 5, 0)).worse


def test_two_bricks_without_any_control_are_worse_than_a_clean_past():
    """Evidence against the control alone can say nothing where nobody is left to compare with."""
    found = said(KNOWING, look(1, 2, 0, 2, 0))

    assert found.log_e_harm == 0.0
    assert found.worse
    assert found.state is VerdictState.UNDECIDED


def test_history_alone_never_calls_a_release_harmful():
    """The past cannot say whose fault it is: a person decides."""
    found = said(KNOWING, *(look(seq, 5, 0, 5, 0) for seq in range(1, 20)))

    assert found.log_e_history > -math.log(RULES.alpha_harm)
    assert found.state is not VerdictState.HARMFUL


def test_without_a_past_nothing_is_compared():
    """The first release of a channel is judged by its control alone, as ever."""
    found = said(RULES, look(1, 5, 5, 5, 0))

    assert found.log_e_history == 0.0
    assert not found.worse


def test_a_power_cut_that_takes_both_arms_freezes_the_comparison():
    """Harm that the control shares is no release's doing, however unusual it is."""
    found = said(KNOWING, look(1, 5, 40, 5, 40), look(2, 5, 40, 5, 40))

    assert found.frozen
    assert -1.0 < found.log_e_history <= 0.0
    assert not found.worse


def test_history_changes_nothing_about_harm_and_clearance():
    """It is a sibling of the verdict: no guarantee that was given before is touched by it."""
    cells = [look(1, 20, 60, 1, 1), look(2, 20, 60, 2, 0), look(3, 18, 60, 1, 0, late=True, age=3)]
    with_past, without = said(KNOWING, *cells), said(RULES, *cells)

    assert with_past.log_e_history != 0.0
    assert replace(with_past, log_e_history=without.log_e_history, frozen=False, worse=False) == (
        without
    )


@pytest.mark.slow
@pytest.mark.parametrize("drift", [1.0, DRIFT])
@pytest.mark.parametrize("rate", [0.004, 0.05])
def test_good_releases_after_good_releases_are_held_no_more_often_than_promised(rate, drift):
    """Even where the fleet has drifted as far as the factor for drift allows."""
    chance, trials, held = np.random.default_rng(2613), 200, 0
    for _ in range(trials):
        before = [look(1, 60, 60, int(chance.binomial(60, rate)), 0) for _ in range(8)]
        rules = replace(RULES, past=past.summed([before]))
        evidence, was_worse = start(rules), False
        for seq in range(1, 25):
            x1, x0 = (int(chance.binomial(20, drift * rate)) for _ in "10")
            evidence = absorb(evidence, look(seq, 20, 20, x1, x0))
            # The cheap half of what ``verdict`` says; the other can only make it rarer.
            was_worse |= evidence.log_e_history >= math.log(20.0)
        held += was_worse

    most = RULES.alpha_warn + RULES.alpha_ref
    assert stats.binom.sf(held - 1, trials, most) > 1e-3


DOOR = Door("av", 2, "everyone", "b" * 64, "a" * 64, 5, State.OPENING, Reason.EVIDENCE, UnixMs(1))
OPEN = replace(DOOR, state=State.OPEN, reason=Reason.CLEARED)
WORSE = Assessed(worse=True, sentence="worse than past good releases")
NOW = UnixMs(2)


def test_a_door_on_its_way_is_held_when_its_release_is_worse_than_the_past():
    """Nobody new gets it, and a person hears of it."""
    held, commands = step(DOOR, WORSE, NOW)

    assert (held.state, held.reason) == (State.HELD, Reason.WORSE)
    assert commands == (Command.STOP, Command.ALERT)


@pytest.mark.parametrize("event", [Resume("Amira", "known", 5), Expedite("Amira", "known", 5)])
def test_a_person_who_lets_it_go_on_is_not_asked_again(event):
    """The evidence is still there at the next tick; it would hold the door for ever."""
    held, _ = step(DOOR, WORSE, NOW)
    going, _ = step(held, event, NOW)

    assert going.state is State.OPENING
    assert step(going, WORSE, NOW) == (going, ())
    assert step(going, replace(WORSE, harmful=True), NOW)[0].state is State.SHUT


def test_late_harm_contains_an_open_door_and_a_person_opens_it_again():
    """Its seed is public: cards dealt from it again would be no secret."""
    held, commands = step(OPEN, WORSE, NOW)

    assert (held.state, held.reason) == (State.HELD, Reason.LATE_HARM)
    assert Command.ALERT in commands
    with pytest.raises(IllegalTransition):
        step(held, Expedite("Amira", "a few more", 5), NOW)
    opened, commands = step(held, Resume("Amira", "it was the weather", 5), NOW)
    assert opened.state is State.OPEN
    assert Command.DEAL not in commands
    assert step(opened, WORSE, NOW) == (opened, ())


@pytest.mark.parametrize(
    ("door", "event"),
    [
        (OPEN, replace(WORSE, newest=False)),
        (replace(OPEN, shadow=True), WORSE),
        (replace(DOOR, shadow=True), WORSE),
        (replace(OPEN, reason=Reason.PINNED, judged=False), WORSE),
        (replace(OPEN, reason=Reason.EXPEDITED), WORSE),
    ],
)
def test_history_holds_no_door_that_a_person_or_a_later_release_answers_for(door, event):
    """Served by a later release, in shadow mode or let through by name: people are only told."""
    assert step(door, event, NOW) == (door, ())
