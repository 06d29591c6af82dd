"""Counting: when what is known of sealed members becomes a cell."""

import math

import numpy as np
import pytest

from firedoor.core.cell import Test
from firedoor.core.signal import ANY, CHECK, CRASH, SILENCE, TOLD, TOLD_EARLY, Reports
from firedoor.services.life import Life
from firedoor.services.places import Place
from firedoor.services.pools import Pool, close_class, count_events
from firedoor.services.records import StoredPlace
from firedoor.services.told import look_at_told

MINUTE = 60_000


def pool(labels, *, classes=None, beating=None, **how):
    """A cut pool: ``T`` treated, ``c`` control."""
    opened = Pool("tills", 3, **how)
    classes = classes or [0] * len(labels)
    beating = beating or [True] * len(labels)
    opened.seat(
        [
            StoredPlace(
                100 + n,
                Place("av", 2, "tills", 3, n, n + 1, label == "T", cls, Reports(beats), n),
                "boot-1",
                5_000,
            )
            for n, (label, cls, beats) in enumerate(zip(labels, classes, beating, strict=True))
        ]
    )
    opened.cut_ms = 1_000
    return opened


def mask(text):
    return np.array([letter == "x" for letter in text])


def take(opened, closing):
    """As the judge does."""
    opened.take(closing)
    return closing


def close(opened, silent, cls=0, **how):
    nobody = mask("." * len(opened))
    return take(
        opened,
        close_class(opened, cls, silent=mask(silent), installed=how.pop("installed", nobody),
                    epoch=0, **how),
    )  # fmt: skip


def crash(opened, hit, signal=CRASH):
    return take(opened, count_events(opened, mask(hit), signal=signal, epoch=0))


def counts(cell):
    return cell.treated, cell.control, cell.treated_harmed, cell.control_harmed


def test_a_closing_counts_the_silent_among_all_that_are_sealed():
    """The factor is over the whole pool; the outcome over the class that matured."""
    opened = pool("TTcccc", classes=[0, 1, 0, 0, 1, 1])

    harm, clear = close(opened, "x.xxx.").cells

    assert (harm.test, harm.signal, counts(harm)) == (Test.HARM, SILENCE, (2, 4, 1, 2))
    assert (clear.test, clear.signal, counts(clear)) == (Test.CLEARANCE, ANY, (1, 2, 1, 2))
    assert (harm.ring, harm.deck, harm.stratum) == ("tills", 3, "")


def test_a_class_in_which_everybody_was_heard_makes_no_harm_cell():
    """A closing without events has the factor one."""
    (clear,) = close(pool("Tccc"), "....").cells

    assert counts(clear) == (1, 3, 0, 0)


def test_a_closed_class_is_at_risk_no_more():
    """R1 and R0 are those still sealed at that moment."""
    opened = pool("TTcccc", classes=[0, 1, 0, 0, 1, 1])
    close(opened, "......")
    harm, clear = close(opened, "xxxxxx", cls=1).cells

    assert counts(harm) == counts(clear) == (1, 2, 1, 2)
    assert opened.is_closed()


def test_a_machine_that_crashes_and_then_goes_silent_counts_once():
    """Cohorts.md 6, test 12: the first event reveals it, and it is in no later factor."""
    opened = pool("Tccc")
    assert counts(crash(opened, "x...").cells[0]) == (1, 3, 1, 0)
    (clear,) = close(opened, "x...").cells

    assert counts(clear) == (1, 3, 1, 0)  # one outcome, harmed


def test_a_crash_is_counted_in_one_signal_alone():
    """The order settles ties: crash, check, silence."""
    opened = pool("TTcc")
    crash(opened, "x.x.")
    checked = crash(opened, "xxx.", CHECK)

    assert counts(checked.cells[0]) == (1, 1, 1, 0)


def test_nothing_new_is_no_cell():
    """The same event at the next tick is not another."""
    opened = pool("Tc")
    crash(opened, "x.")

    assert count_events(opened, mask("x."), signal=CRASH, epoch=0) is None
    assert count_events(opened, mask(".."), signal=CRASH, epoch=0) is None


def test_only_machines_that_could_report_are_counted_and_all_sealed_ones_compared():
    """A machine without an agent does not crash in silence; it cannot tell."""
    opened = pool("TTcc", beating=[True, False, True, False])

    assert counts(crash(opened, "xxx.").cells[0]) == (2, 2, 1, 1)


def test_what_counts_of_machines_without_heartbeats_is_nothing_the_past_is_asked_about():
    """Their crashes are compared with the control; nobody knows how long they were listened to."""
    opened = pool("TTcc", beating=[Reports.BEATS, Reports.TELLS, Reports.BEATS, Reports.NOTHING])

    assert counts(crash(opened, "xxxx").cells[0]) == (2, 2, 2, 1)
    assert opened.harmed.tolist() == [True, True, True, False]
    assert opened.told.tolist() == [True, False, True, False]


def test_an_event_after_its_class_closed_comes_too_late():
    """I8: nothing reopens a class."""
    opened = pool("Tc")
    close(opened, "..")

    assert count_events(opened, mask("xx"), signal=CRASH, epoch=0) is None


def test_a_signal_that_decides_nothing_reveals_nobody():
    """A panic that is only shown must not hide the silence that follows it."""
    opened = pool("Tccc")
    harm, shown, clear = close(opened, "x...", shown={CRASH: mask("x.x.")}).cells

    assert (harm.signal, counts(harm)) == (SILENCE, (1, 3, 1, 0))
    assert (shown.signal, counts(shown)) == (CRASH, (1, 3, 1, 1))
    assert counts(clear) == (1, 3, 1, 0)  # and clears nothing, blocks nothing


def test_a_signal_that_decides_nothing_is_told_of_closed_classes_only():
    """Labels of sealed members are nobody's business, not even for show."""
    opened = pool("TTcc", classes=[0, 1, 0, 1])
    shown = {CRASH: mask("xxxx")}

    first = close(opened, "....", shown=shown).cells[0]

    assert counts(first) == (1, 1, 1, 1)


def test_installs_are_counted_among_the_treated_alone():
    """Delta is harm per installed machine; a control has installed something else."""
    (clear,) = close(pool("TTTcc"), ".....", installed=mask("xx.xx")).cells

    assert clear.installed == 2


def test_whoever_was_heard_stays_in_flight_until_its_class_closes():
    """I1: counting "heard" as resolved would let the window look at labels."""
    opened = pool("TTccc", classes=[0, 1, 0, 1, 1])
    assert opened.sealed_counts() == (2, 5)
    close(opened, ".....")
    assert opened.sealed_counts()[0] == 1


def test_a_pool_that_is_built_again_knows_who_was_counted():
    """The rows of the harmed and the closed classes are on disk."""
    opened = pool("TTcc", classes=[0, 1, 0, 1], closed={0}, harmed_rows={101, 7})

    assert opened.sealed().tolist() == [False, False, False, True]
    assert opened.open_classes() == [1]
    assert opened.closed_mask() == 1


def test_a_deck_that_was_cut_before_its_first_card_is_closed():
    """Nobody is waited for."""
    empty = Pool("tills", 1)
    assert not empty.is_closed()
    empty.cut_ms = 5
    assert empty.is_closed()


# When each machine was last heard, and since when anybody listened


@pytest.fixture
def life():
    return Life(MINUTE)


def hear(life, minute, machines=(), run="run-1", *, final=False):
    life.heard_by_gate(run, minute * MINUTE, np.array(machines, np.uint32), final=final)


def silent(life, machine, since):
    return bool(life.silent(np.array([machine], np.uint32), since * MINUTE)[0])


def test_a_window_begins_after_the_cut_and_one_bucket(life):
    """A sign of life is known to the bucket only."""
    hear(life, 1)

    assert life.window(10 * MINUTE, intake=False) == 11 * MINUTE


def test_before_anybody_listened_there_is_no_window(life):
    """Nothing heard by nobody is no silence."""
    assert life.window(0, intake=False) is None
    assert life.until == -1


def test_a_gate_that_was_killed_slides_the_window(life):
    """What it heard in its last bucket is lost, so nobody was silent in it."""
    hear(life, 1)
    hear(life, 2)
    hear(life, 3, run="run-2")

    assert life.window(0, intake=False) == 4 * MINUTE


def test_a_gate_that_was_restarted_in_order_slides_nothing(life):
    """Its last bucket is complete and its sockets went on listening."""
    hear(life, 1)
    hear(life, 2, final=True)
    hear(life, 3, run="run-2")

    assert life.window(0, intake=False) == 2 * MINUTE


@pytest.mark.parametrize("final", [True, False])
def test_a_long_pause_slides_the_window_whoever_paused(life, final):
    """A suspended host, a stopped service: nobody could be heard."""
    hear(life, 1, final=final)
    hear(life, 5, run="run-1")

    assert life.window(0, intake=False) == 6 * MINUTE


def test_heartbeats_need_an_intake_that_listened(life):
    """A pause of the intake must not look like the death of all that beat."""
    for minute in range(1, 11):
        hear(life, minute)
        life.intake_listened(minute * MINUTE)
    assert life.window(0, intake=True) == 2 * MINUTE
    for minute in range(11, 15):
        hear(life, minute)
    assert life.window(0, intake=True) is None  # it is away
    assert life.window(0, intake=False) == 2 * MINUTE
    life.intake_listened(14 * MINUTE)
    assert life.window(0, intake=True) == 15 * MINUTE  # it was away


def test_a_machine_is_silent_if_nobody_heard_it_after_the_window_began(life):
    """Gate or intake, any channel: a sign of life is a sign of life."""
    hear(life, 3, [1, 2])
    life.heard_by_intake(5 * MINUTE, [2])
    hear(life, 9)

    assert [silent(life, m, 3) for m in (1, 2, 3, 5_000)] == [True, False, True, True]
    assert (life.last(1), life.last(2), life.last(9_999)) == (3 * MINUTE, 5 * MINUTE, 0)


def test_what_is_read_again_makes_nobody_younger(life):
    """After a restart old buckets are read once more."""
    hear(life, 9, [1])
    hear(life, 3, [1])

    assert life.last(1) == 9 * MINUTE
    assert life.until == 9 * MINUTE


# What was told


def look(opened, minute, spoke=0.0):
    """Age -> signal, counts and seconds for the past; whoever spoke did so at a minute."""
    now, spoke_ms = minute * MINUTE, np.full(len(opened), round(spoke * MINUTE))
    closing = look_at_told(opened, spoke_ms=spoke_ms, listened_ms=now, now_ms=now, epoch=0)
    assert closing is not None
    cells = take(opened, closing).cells
    return {cell.age: (cell.signal, *counts(cell), cell.installed) for cell in cells}


def test_what_was_told_is_counted_once_by_the_second_and_at_its_age():
    """Cards were drawn at 5 s; who has come to an age has all of it against the release."""
    opened = pool("TTcccc", long=True)

    crash(opened, "x..x..")
    first = look(opened, 3, spoke=0.5)
    second = look(opened, 10)
    crash(opened, "....x.")
    third = look(opened, 12, spoke=11.5)

    # 60 s of the first age and 115 of the 180 of the second, of two treated machines.
    assert first == {0: (TOLD_EARLY, 120, 240, 1, 1, 120), 1: (TOLD_EARLY, 360, 720, 0, 0, 230)}
    assert second == {1: (TOLD_EARLY, 0, 0, 0, 0, 65), 2: (TOLD_EARLY, 720, 2160, 0, 0, 355)}
    assert third == {2: (TOLD_EARLY, 0, 1, 0, 1, 120)}


def test_who_spoke_long_before_a_look_is_counted_at_the_age_of_then():
    """A deck fills for hours: what fails as it installs would be of any age at the cut."""
    opened = pool("TTcccc")
    crash(opened, "x.....")

    assert look(opened, 200, spoke=0.9)[0] == (TOLD_EARLY, 120, 240, 1, 0, 120)
    opened = pool("TTcccc")
    crash(opened, "x.....")
    assert look(opened, 200, spoke=190.0)[4] == (
        TOLD_EARLY, 2 * 11_520, 4 * 11_520, 1, 0, 2 * (12_000 - 5 - 3_840),
    )  # fmt: skip


def test_what_is_told_after_the_first_look_at_a_class_is_told_late():
    """By then the controls have lived with nothing new for as long: both arms are the past."""
    opened = pool("TTcccc", long=True)

    early = look(opened, 2)
    close(opened, ".x....", last=False)
    late = look(opened, 6)

    assert {signal for signal, *_ in early.values()} == {TOLD_EARLY}
    assert late == {1: (TOLD, 0, 0, 0, 0, 5 * 125), 2: (TOLD, 720, 2_880, 0, 0, 5 * 115)}


def test_the_seconds_say_nothing_of_who_is_treated():
    """A sum of seconds of their own would: here the only treated card was drawn first."""
    times = (0, 50, 58)
    one, other = (Pool("tills", 3), Pool("tills", 3))
    for opened, labels in ((one, "Tcc"), (other, "ccT")):
        opened.seat(
            [
                StoredPlace(
                    n,
                    Place("av", 2, "tills", 3, n, n + 1, label == "T", 0, Reports.BEATS, n),
                    "boot-1",
                    times[n] * MINUTE,
                )
                for n, label in enumerate(labels)
            ]
        )
        opened.cut_ms = 60 * MINUTE

    means = look(one, 60)
    assert means == look(other, 60)
    # Two of the three have come to the third age of 720 s, and one to the fourth of 2,880 s.
    assert [row[1:3] for row in means.values()] == [(60, 120), (180, 360), (480, 960), (960, 1920)]
    assert sum(row[5] for row in means.values()) == (3600 + 600 + 120) // 3


@pytest.mark.parametrize("labels", ["TTcccc", "ccccTT"])
def test_the_seconds_of_those_who_report_say_nothing_of_who_is_treated(labels):
    """One half reports: a sum over the treated that do would tell which half they are in."""
    opened = pool(labels, beating=[True, True, True, False, False, False])

    assert [row[1:] for row in look(opened, 10).values()] == [
        (60, 120, 0, 0, 60), (180, 360, 0, 0, 180), (720, 1_440, 0, 0, 355),
    ]  # fmt: skip


def test_what_the_gate_saw_of_a_machine_that_does_not_report_is_nothing_it_told():
    """It has no share in the seconds, and counts against the control and at its look."""
    opened = pool("TTcccc", beating=[False, True, True, False, False, True])
    nobody, seen = np.zeros(6, np.bool_), mask("x.x...")
    take(opened, count_events(opened, nobody, signal=CRASH, epoch=0, witnessed=seen))

    assert opened.harmed.tolist() == seen.tolist()
    # Three of five report.
    assert look(opened, 4, spoke=1.0) == {
        0: (TOLD_EARLY, 36, 144, 0, 1, 36),
        1: (TOLD_EARLY, 108, 432, 0, 0, 105),
    }


def test_parts_of_a_second_are_lost_to_the_past_and_never_to_the_release():
    """One of seven reports: what is rounded against good releases adds up over decks."""
    opened = pool("Tcccccc", beating=[True, *[False] * 6])

    first = look(opened, 3)[0]

    assert first == (TOLD_EARLY, math.ceil(60 / 7), math.ceil(360 / 7), 0, 0, 60 // 7)


def test_a_clock_that_was_set_back_makes_nobody_younger_than_the_last_look():
    """Otherwise everybody would come to the first ages once more."""
    opened = pool("TTcccc")
    look(opened, 10)

    closing = look_at_told(
        opened,
        spoke_ms=np.zeros(6, np.int64),
        listened_ms=40 * MINUTE,
        now_ms=-MINUTE,
        epoch=0,
    )

    assert closing is not None
    assert {cell.age: cell.treated for cell in closing.cells if cell.treated} == {3: 2 * 2_880}
    assert sum(cell.installed for cell in closing.cells) == 2 * (1_800 - 595)


@pytest.mark.parametrize("lost", [0, 5, 300])
def test_time_in_which_nobody_listened_is_not_taken_from_the_youngest_ages(lost):
    """Firedoor was down while the deck filled: what failed at the install keeps its exposure."""
    opened = pool("TTcccc", began_ms=0)
    crash(opened, "x.....")

    closing = look_at_told(
        opened,
        spoke_ms=np.full(6, 6_000),
        listened_ms=3 * MINUTE,
        now_ms=(3 + lost) * MINUTE,
        epoch=0,
    )

    assert closing is not None
    first, *_ = closing.cells
    assert (first.age, first.treated_harmed, first.installed) == (0, 1, 120)
    assert sum(cell.installed for cell in closing.cells) <= 2 * 180
