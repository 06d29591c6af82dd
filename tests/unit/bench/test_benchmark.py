"""The benchmark measures what it claims: it catches judges that cheat, and nobody sees ahead."""

from dataclasses import fields, replace

import numpy as np
import pytest
from tests.bench.judge import page, plots, summary, tables
from tests.bench.judge.play import Record, merged, watch
from tests.bench.judge.score import Loss, interval, losses, scored
from tests.bench.rules.catalogue import OURS, RULES
from tests.bench.rules.firedoor import Firedoor, Overcounting, hasty, shipped_rules
from tests.bench.rules.rule import Rule
from tests.bench.streams.counts import Flow
from tests.bench.streams.ring import Ring
from tests.bench.streams.scenarios import SCENARIOS
from tests.bench.streams.stream import Counts, Stream
from tests.worlds_judge import most_alarms

from firedoor.core.terms import Policy

ALPHA = 0.01
FEW_MAKE_ALL = Ring(treated=100, control=100, hours=30, tick=30, crash=0.05, heavy=0.02, quiet=0.0)


def judge(rules, kind=Firedoor):
    return Rule("judge", "", lambda briefing: kind.under(rules, briefing.runs), ours=True)


def honest(machines=200):
    return shipped_rules(machines, Policy(alpha_harm=ALPHA, delta=0.01))


def false_halts(ring, rule, runs, seed):
    return int(watch(ring.draw(runs, np.random.default_rng(seed)), rule).halted.sum())


# The benchmark can tell a wrong judge from a right one


def test_a_judge_that_counts_reports_instead_of_machines_is_caught():
    """A few machines that crash again and again: their cards are no fresh draw each time."""
    runs = 60
    ring = replace(FEW_MAKE_ALL, crash=2.0)

    wrong = false_halts(ring, judge(honest(), Overcounting), runs, 11)
    right = false_halts(ring, judge(honest()), runs, 11)

    assert wrong > most_alarms(runs, ALPHA)
    assert right <= most_alarms(runs, ALPHA)


def test_a_judge_that_halts_at_thirty_times_its_alpha_is_caught():
    """A level that is not kept shows in the healthy worlds, in as few as eighty runs."""
    runs = 80
    flow = Flow(1_000, 1_000, 0.05, minutes=720)
    rules = replace(honest(), shares=(("crash", 1.0),))

    wrong = false_halts(flow, judge(hasty(rules, 30.0)), runs, 12)
    right = false_halts(flow, judge(rules), runs, 12)

    assert wrong > most_alarms(runs, ALPHA)
    assert right <= most_alarms(runs, ALPHA)


# Nobody sees the future


def spliced(stream: Stream, other: Stream, at: int) -> Stream:
    """The first stream up to an interval, the other one from there on."""
    counts = {
        column.name: np.concatenate(
            [
                getattr(stream.counts, column.name)[:, :at],
                getattr(other.counts, column.name)[:, at:],
            ],
            axis=1,
        )
        for column in fields(Counts)
    }
    closings = [
        {
            **{when: row for when, row in mine.items() if when < at},
            **{when: row for when, row in theirs.items() if when >= at},
        }
        for mine, theirs in zip(stream.closings, other.closings, strict=True)
    ]
    return replace(stream, counts=Counts(**counts), closings=closings)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_no_rule_sees_the_future(rule):
    """What a rule says until noon is the same whatever happens in the afternoon."""
    ring = Ring(treated=100, control=100, hours=50, tick=30, crash=0.1, ratio=4.0)
    stream = ring.draw(4, np.random.default_rng(21))
    bad = replace(ring, ratio=40.0).draw(4, np.random.default_rng(22))
    at = 60

    answers = []
    for shown in (stream, spliced(stream, bad, at)):
        at_work = rule.begin(shown.briefing)
        said = [at_work.look(each) for _, each in zip(range(at), shown.play(), strict=False)]
        answers.append([(a.halt.tolist(), a.clear.tolist()) for a in said])

    assert answers[0] == answers[1]


# Figures


def test_the_interval_of_a_rate_is_clopper_and_pearsons():
    """None in 1000 is at most 3.68 per 1000; 5 in 100 are between 1.64 and 11.28 %."""
    assert interval(0, 1000) == pytest.approx((0.0, 0.0036821), abs=1e-6)
    assert interval(5, 100) == pytest.approx((0.0164319, 0.1128349), abs=1e-6)
    assert interval(4, 4)[1] == 1.0


def record(halted, harmed):
    runs = len(harmed)
    none = np.zeros(runs, np.bool_)
    hours = np.ones(runs)
    return Record(np.array(halted), hours, np.array(harmed), none, hours)


def test_a_release_that_nobody_halts_harms_all_it_harms():
    """A rule is not rewarded for the runs in which it never spoke."""
    stream = Ring(treated=50, control=50, hours=10, brick=0.5).draw(3, np.random.default_rng(1))
    never = next(rule for rule in RULES if rule.key == "B6 NervesHub")

    assert watch(stream, never).harmed.tolist() == stream.harmed[:, -1].tolist()


def test_a_rule_that_harms_fewer_at_no_higher_price_is_reported_as_our_loss():
    """The table of losses is the point of the page: it must not depend on our good will."""
    bad = next(s for s in SCENARIOS if s.name == "calm: x10")
    good = next(s for s in SCENARIOS if s.name == "calm")
    quick, hasty_one = [2] * 20, [1] * 20
    scores = {
        bad.name: {
            OURS: scored(bad, record([True] * 20, [9] * 20)),
            "quick": scored(bad, record([True] * 20, quick)),
            "hasty": scored(bad, record([True] * 20, hasty_one)),
        },
        good.name: {
            OURS: scored(good, record([False] * 20, [0] * 20)),
            "quick": scored(good, record([False] * 20, [0] * 20)),
            "hasty": scored(good, record([True] * 20, [0] * 20)),
        },
    }

    found = losses([bad, good], scores, [OURS])

    assert [(x.rule, x.harmed_ours, x.harmed, x.everywhere) for x in found] == [
        ("quick", 9.0, 2.0, True)
    ]
    assert "quick" in tables.lost(found)


def cells(scenario, **harmed):
    """Scores of a scenario by rule; a negative number stands for so many false halts."""
    return {
        key.replace("_", " "): scored(
            scenario, record([n < -x for n in range(20)] if x <= 0 else [True] * 20, [abs(x)] * 20)
        )
        for key, x in harmed.items()
    }


def test_the_first_screen_compares_with_rules_that_halt_no_more_good_releases_anywhere():
    """A rule that stops everything harms few; the reader sees both, and which is which."""
    by_name = {s.name: s for s in SCENARIOS}
    calm, outage, bad = (by_name[name] for name in ("calm", "outage", "calm: x10"))
    rules = {"deaf": 0, "quick": 0, "hasty": -20}
    keys = {"deaf": "B6 NervesHub", "quick": "B3 LVFS", "hasty": "B7 Argo, limit 0"}
    keys |= {"firedoor": "firedoor"}

    def row(scenario, **harmed):
        return {keys[key]: score for key, score in cells(scenario, **harmed).items()}

    scores = {
        "calm": row(calm, firedoor=0, **rules),
        "outage": row(outage, firedoor=0, **(rules | {"quick": -1})),
        "calm: x10": row(bad, firedoor=9, deaf=36, quick=2, hasty=1),
    }

    (line,) = summary.lines(scores)

    assert line.says == "ten times the crashes, 9 worlds"
    assert (line.harmed, line.peer, line.peer_harmed) == (9.0, "B6 NervesHub", 36.0)
    assert (line.least, line.least_harmed, line.least_false) == ("B7 Argo, limit 0", 1.0, 1000.0)
    assert "| **9** |  | 36 (B6 NervesHub) | 0.25 | 1 (B7 Argo, limit 0: 1000) |" in summary.shown(
        scores, []
    )


def test_the_page_says_so_where_a_rule_that_is_no_worse_anywhere_harms_fewer():
    """The claim of the page is generated: it cannot be kept by not looking."""
    bad = next(s for s in SCENARIOS if s.name == "calm: x10")
    scores = {bad.name: cells(bad, firedoor=9)}
    worse = Loss("calm: x10", OURS, "quick", 9.0, 2.0, 0.0, 0.0, 5.0, "outage", everywhere=False)

    assert summary.exceptions(scores, [worse]).startswith("In none of the 1 harm")
    better = summary.exceptions(scores, [replace(worse, everywhere=True)])
    assert "In 1 of the 1" in better
    assert "quick 2" in better


def test_parts_of_a_scenario_are_put_together_run_by_run():
    """Two processes give the table that one would have given."""
    one, two = record([True], [3]), record([False, True], [1, 2])

    both = merged([{"r": one}, {"r": two}])["r"]

    assert both.halted.tolist() == [True, False, True]
    assert both.harmed.tolist() == [3, 1, 2]


# The page


def test_generated_parts_replace_each_other_and_nothing_else():
    """What people wrote around the figures stays theirs."""
    text = "before\n<!-- generated: a b -->\nold\n<!-- end -->\nafter\n"

    once = page.filled(text, {"a b": "new"})

    assert once == "before\n<!-- generated: a b -->\n\nnew\n\n<!-- end -->\nafter\n"
    assert page.filled(once, {"a b": "new"}) == once
    assert page.filled(text, {}) == text
    with pytest.raises(ValueError, match="no place"):
        page.filled(text, {"other": "new"})


def test_a_picture_is_one_svg_with_a_title_and_a_point_for_each_rule():
    """It is looked at in a browser, without scripts."""
    score = scored(SCENARIOS[0], record([True, False], [3, 5]))

    picture = plots.operating_points(
        {"bad": {OURS: score}, "good": {OURS: score}}, "bad", "good", "a < b"
    )

    assert picture.startswith("<svg ")
    assert "<title>a &lt; b</title>" in picture
    assert picture.count("<circle") == 1
