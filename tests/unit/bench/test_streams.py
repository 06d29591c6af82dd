"""The streams of the benchmark are what they say, and deal as a gate would."""

from dataclasses import fields, replace

import numpy as np
import pytest
from tests.bench.rules.catalogue import RULES
from tests.bench.rules.firedoor import shipped_rules
from tests.bench.streams.counts import Flow
from tests.bench.streams.events import Race
from tests.bench.streams.fleet import Entry, Fleet, Plan, Stages, roll_out, through_the_valve
from tests.bench.streams.policies import MACHINES, POLICIES, THIN
from tests.bench.streams.ring import PAST, Ring
from tests.bench.streams.scenarios import SCENARIOS
from tests.bench.streams.stream import Counts, reveal

from firedoor.core.signal import ANY, SILENCE, TOLD, TOLD_EARLY
from firedoor.core.terms import Policy
from firedoor.core.verdict import start

SMALL = Ring(treated=60, control=60, hours=30, crash=0.05, quiet=0.01)


def closings_of(stream):
    """What was counted as harm; looks at whole classes left out."""
    return [
        closing
        for run in stream.closings
        for _, row in sorted(run.items())
        for closing in row
        if closing.signal != ANY and not closing.late
    ]


def test_a_seed_gives_the_same_stream_again():
    """Every figure of the page can be made again."""
    one, two = (SMALL.draw(3, np.random.default_rng(7)) for _ in range(2))

    for column in fields(Counts):
        assert np.array_equal(getattr(one.counts, column.name), getattr(two.counts, column.name))
    assert one.closings == two.closings
    assert np.array_equal(one.harmed, two.harmed)


def test_a_pool_counts_each_member_once_and_shrinks_by_those_it_revealed():
    """Two decks; a machine that crashed is in no later factor; a crash comes before silence."""
    decks = np.array([0, 0, 0, 0, 1, 1])
    treated = np.array([True, True, False, False, True, False])
    tick = np.array([3, 5, 3, -1, 3, 3])
    signal = np.array([1, 0, 0, 0, 0, 1])

    strata = ["site=a", "site=b", "site=b", "", "site=a", "site=a"]
    found = reveal(decks, treated, tick, signal, ("crash", "silence"), strata=strata)

    rows = {
        when: [
            (c.deck, c.signal, c.treated, c.control, c.treated_harmed, c.control_harmed)
            for c in closings
        ]
        for when, closings in found.items()
    }
    assert rows == {
        3: [
            (1, "crash", 2, 2, 0, 1),
            (1, "silence", 2, 1, 1, 0),
            (2, "crash", 1, 1, 1, 0),
            (2, "silence", 0, 1, 0, 1),
        ],
        5: [(1, "crash", 1, 1, 1, 0)],
    }
    assert [c.strata for c in found[3][:2]] == [(("site=b", 0, 1),), (("site=a", 1, 0),)]


@pytest.mark.parametrize(
    "ring",
    [
        SMALL,
        replace(SMALL, heavy=0.05),
        replace(SMALL, bursts=0.001, sites=6),
        replace(SMALL, outage=(2.0, 3.0)),
        replace(SMALL, partition=(3.0, 6.0), sites=6),
    ],
)
def test_in_a_healthy_world_harm_falls_on_treated_cards_as_chance_would_have_it(ring):
    """Sealed totals and revealed cards: the excess over K R1/(R1+R0) is 0 but for chance.

    If the drawing leaked the cards into the world, every figure would be worthless.
    """
    excess, variance = 0.0, 0.0
    for closing in closings_of(ring.draw(150, np.random.default_rng(1))):
        n, k = closing.treated + closing.control, closing.treated_harmed + closing.control_harmed
        if n < 2:
            continue
        w = closing.treated / n
        excess += closing.treated_harmed - k * w
        variance += k * w * (1 - w) * (n - k) / (n - 1)

    assert variance > 50.0
    assert abs(excess) < 4.0 * np.sqrt(variance)


def test_whole_sites_as_rings_are_not_what_chance_would_do():
    """The same sum as above, where nothing was randomised: the check above can fail."""
    ring = replace(SMALL, bursts=0.004, sites=6, whole_sites=True, treated=60)
    excess, variance = 0.0, 0.0
    for closing in closings_of(ring.draw(60, np.random.default_rng(1))):
        n, k = closing.treated + closing.control, closing.treated_harmed + closing.control_harmed
        w = closing.treated / n
        excess += (closing.treated_harmed - k * w) ** 2
        variance += k * w * (1 - w) * (n - k) / max(1, n - 1)

    assert excess > 2.0 * variance


def test_an_outage_of_the_collector_hides_reports_and_makes_nobody_silent():
    """As in the product: a deadline that meets Firedoor's own outage begins again."""
    ring = Ring(treated=200, control=200, hours=12, crash=0.5, quiet=0.0, outage=(1.0, 3.0))

    stream = ring.draw(5, np.random.default_rng(2))

    down = slice(6, 24)
    assert not stream.counts.reporting[:, down].any()
    assert stream.counts.crashes[:, down].sum() == 0
    assert stream.counts.crashes.sum() > 0
    assert stream.counts.overdue.sum() == stream.counts.control_overdue.sum() == 0


def test_bricks_that_say_nothing_are_seen_by_their_silence_alone():
    """The scenario that separates those who count reports from those who count machines."""
    ring = Ring(treated=300, control=300, crash=0.0, quiet=0.0, brick=0.1, says=0.0)

    stream = ring.draw(10, np.random.default_rng(3))

    assert stream.counts.crashes.sum() == stream.counts.failed.sum() == 0
    assert stream.counts.overdue.sum() == stream.harmed[:, -1].sum() > 0
    assert stream.counts.control_overdue.sum() == 0


def looks_of(run):
    listed = [c for _, row in sorted(run.items()) for c in row]
    return [c for c in listed if c.signal == ANY or (c.late and c.signal == SILENCE)]


def test_every_deck_is_looked_at_by_the_ladder_whether_or_not_anybody_was_harmed():
    """As in the product: outcomes at the first look, and who is sealed still at each later one."""
    ring = Ring(treated=60, control=60, hours=30, crash=0.02, quiet=0.02)

    (run,) = ring.draw(1, np.random.default_rng(8)).closings

    first = [c for c in looks_of(run) if c.deck == 1]
    assert [c.age // ring.deadline for c in first] == list(ring.rungs)
    assert [c.signal == ANY for c in first] == [True, *[False] * 5]
    sealed = [c.treated + c.control for c in first]
    assert sealed == sorted(sealed, reverse=True)
    decks = {c.deck for c in looks_of(run)}
    assert sum(c.treated for c in looks_of(run) if c.signal == ANY) == 60
    assert len(decks) * len(ring.rungs) == len(looks_of(run))


def test_a_deck_ends_when_its_members_report_harm_in_numbers():
    """Of what kills most of its machines no deck lasts; of what kills nobody each has its time."""
    ring = Ring(treated=400, control=400, crash=0.0, quiet=0.0)

    bad, good = (
        replace(ring, brick=brick).draw(1, np.random.default_rng(9)).closings[0]
        for brick in (0.6, 0.0)
    )

    life = ring.deck_minutes
    assert len({c.deck for c in looks_of(good)}) <= 240 // life + 1
    assert len({c.deck for c in looks_of(bad)}) > 3 * (240 // life)


def test_the_past_of_a_scenario_is_good_and_of_the_same_ring():
    """What a rule may know of earlier releases is what they showed there, nothing better."""
    ring = Ring(treated=60, control=60, hours=30, crash=0.0, quiet=0.0, brick=0.5)

    briefing = ring.draw(2, np.random.default_rng(10)).briefing

    assert len(briefing.past) == PAST
    for release in briefing.past:
        assert sum(c.treated for c in release if c.signal == ANY) == 60
        assert sum(c.treated_harmed for c in release) == 0


@pytest.mark.parametrize("flips", [False, True])
def test_harm_multiplies_the_crashes_of_treated_machines_by_what_it_says(flips):
    """On average also if it comes and goes every five minutes."""
    ring = Ring(treated=500, control=500, hours=30, crash=0.02, quiet=0.0, ratio=5.0, flips=flips)

    stream = ring.draw(20, np.random.default_rng(4))

    ratio = stream.counts.crashes.sum() / stream.counts.control_crashes.sum()
    assert 4.2 < ratio < 5.8


def test_flips_strike_in_every_other_five_minutes_only():
    """A rule that looks at the wrong moments sees a healthy release."""
    ring = Ring(
        treated=500, control=500, hours=8, tick=5, crash=0.0, quiet=0.0, brick=0.2, flips=True
    )

    deaths = np.diff(ring.draw(20, np.random.default_rng(5)).harmed, axis=1, prepend=0).sum(axis=0)

    assert deaths[0::2].sum() == 0
    assert deaths[1::2].sum() > 0


def test_a_flow_keeps_its_rate_and_shifts_it_at_the_onset():
    """Tables B and G: harmed are those since the onset."""
    flow = Flow(10_000, 90_000, 0.5, ratio=4.0, onset=700)

    stream = flow.draw(40, np.random.default_rng(6))

    before, after = stream.counts.crashes[:, :700].mean(), stream.counts.crashes[:, 700:].mean()
    assert before == pytest.approx(0.5, rel=0.05)
    assert after == pytest.approx(2.0, rel=0.05)
    assert stream.harmed[:, 699].sum() == 0


def test_every_harmful_scenario_names_a_healthy_world_that_exists():
    """Its false halts are quoted from there; only the boundary of clearance has none."""
    healthy = {scenario.name for scenario in SCENARIOS if scenario.is_healthy}

    assert {s.healthy for s in SCENARIOS} - healthy == {""}
    assert len({s.name for s in SCENARIOS}) == len(SCENARIOS)
    assert len({s.seed for s in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize("full", [False, True])
def test_a_race_ends_at_its_level_and_not_below_what_any_test_needs(full):
    """Table A: fewer harmed than the floor, on average, would be a judge that cannot be."""
    race = Race(0.5, 10.0, 0.01, full)

    harmed = race.harmed(60, np.random.default_rng(11))

    assert race.floor <= harmed.mean() <= 3.0 * race.floor
    # Each event with equal arms is worth ln 2 at most, and ln 100 is needed.
    assert harmed.min() >= 7


# The fleet


def test_a_brick_stops_at_the_budget_behind_the_valve():
    """Table F: B = 20 machines of 8.5 million, and the door is shut one deadline later."""
    rules = shipped_rules(MACHINES, Policy(budget=20), reporting=False)

    out = through_the_valve(
        Fleet(1.0), lambda: start(rules), Entry(20.0), 5, np.random.default_rng(42)
    )

    assert out.harmed.tolist() == [20] * 5
    assert out.halted.all()


def test_rings_by_share_let_the_first_ring_be_bricked_and_then_stop():
    """Table F: a thousandth of 8.5 million, whatever the rule that watches it."""
    row = next(policy for policy in POLICIES if policy.name == "rings .1/1/10/100 %, 1 %")

    out = row.play(Fleet(1.0), 3, np.random.default_rng(42))

    assert 8_000 <= out.harmed.max() <= 8_500
    assert out.halted.all()


def test_a_good_release_reaches_the_fleet_through_rings_as_fast_as_they_allow():
    """Table F: three rings of an hour, then polls: half of the fleet after about 220 minutes."""
    never = next(rule for rule in RULES if rule.key == "B14 greenboot")

    out = roll_out(
        Fleet(0.0), Plan(Stages(MACHINES, THIN, 60), never, 1.0), 2, np.random.default_rng(1)
    )

    assert out.half == pytest.approx([215.0, 215.0], abs=15.0)
    assert not out.halted.any()


def test_what_a_deck_tells_is_looked_at_by_the_minute_and_each_machine_once():
    """As in the product: at the cut, whenever somebody speaks, and at every look at silence."""
    ring = Ring(treated=60, control=60, hours=30, crash=0.5, quiet=0.0)

    (run,) = ring.draw(1, np.random.default_rng(8)).closings

    listed = [c for _, row in sorted(run.items()) for c in row]
    said = [c for c in listed if c.signal in (TOLD_EARLY, TOLD)]
    last = {c.deck: tick for tick, row in sorted(run.items()) for c in row if c.signal == TOLD}
    crashes = [
        c for tick, row in run.items() for c in row if c.signal == "crash" and tick <= last[c.deck]
    ]
    assert sum(c.treated_harmed for c in said) == sum(c.treated_harmed for c in crashes) > 5
    assert sum(c.control_harmed for c in said) == sum(c.control_harmed for c in crashes)
    # Who never crashes is listened to from its card to the last look, a minute more or less.
    first = [c for c in said if c.deck == 1]
    most = (24 * ring.deadline + ring.deck_minutes) * 60 * 60
    assert 0.2 * most < sum(c.listened for c in first) < most
    assert sum(c.listened for c in first) < sum(c.treated + c.control for c in first)
