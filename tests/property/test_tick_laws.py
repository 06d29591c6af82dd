"""Laws of a tick: thousands of releases weighed at once are as many releases weighed one by one."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import clearance, excess, merge
from firedoor.core.evidence.past import PastBucket
from firedoor.core.ledger.canonical import to_canonical
from firedoor.core.tick import absorb_all, verdicts
from firedoor.core.verdict import Merging, Rules, absorb, start, verdict
from firedoor.services.flight import digest_of

SIGNALS = ("silence", "crash", "check")
MODELS = ("", "model=a", "model=b", "model=a,site=x", "model=b,site=x", "site=y")

rules = st.builds(
    lambda ratio, cluster, **kept: Rules(
        ratio=ratio, cluster=cluster if ratio is None else 1, **kept
    ),
    ratio=st.sampled_from([None, 1.5, 2.0]),
    cluster=st.sampled_from([1, 1, 4]),
    alpha_harm=st.sampled_from([0.001, 0.01]),
    alpha_warn=st.just(0.05),
    alpha_clear=st.sampled_from([0.05, 0.1]),
    delta=st.sampled_from([0.001, 0.05]),
    shares=st.just((("silence", 0.5), ("crash", 0.3), ("check", 0.2))),
    merging=st.sampled_from(Merging),
    attributes=st.sampled_from([(), ("model",), ("site", "model")]),
    liars=st.sampled_from([0, 0, 0, 1, 3]),
    past_liars=st.sampled_from([0, 0, 1, 2]),
    past=st.sampled_from(
        [
            (),
            (PastBucket("everyone", "any", 0, 2, 9_000),),
            (
                PastBucket("everyone", "any", 0, 2, 9_000),
                PastBucket("everyone", "silence", 0, 0, 9),
            ),
        ]
    ),
)


signals = {
    Test.HARM: st.sampled_from(SIGNALS),
    Test.CLEARANCE: st.just("any"),
    Test.LATE: st.just("silence"),
}


@st.composite
def cells(draw: st.DrawFn) -> list[Cell]:
    """A release's cells as the judge numbers them; few events and many, in pools of any size."""
    release: list[Cell] = []
    epoch = 0
    for seq in range(1, draw(st.integers(0, 9)) + 1):
        treated, control = (draw(st.sampled_from([0, 1, 5, 40, 3_000])) for _ in range(2))
        x1, x0 = (min(draw(st.sampled_from([0, 1, 2, 60, 3_000])), n) for n in (treated, control))
        epoch += draw(st.sampled_from([0, 0, 0, 1, 5]))
        test = draw(st.sampled_from(Test))
        harm = test is Test.HARM
        release.append(
            Cell(
                seq=seq,
                ring="everyone",
                deck=1,
                epoch=epoch,
                test=test,
                signal=draw(signals[test]),
                stratum=draw(st.sampled_from(MODELS)) if harm else "",
                treated=treated,
                control=control,
                treated_harmed=x1,
                control_harmed=x0,
                installed=0 if harm else draw(st.integers(0, treated)),
            )
        )
    return release


@settings(deadline=None)
@given(st.lists(st.tuples(rules, cells(), st.integers(0, 9)), max_size=6))
def test_a_tick_of_many_releases_has_the_bits_of_one_cell_at_a_time(
    releases: list[tuple[Rules, list[Cell], int]],
) -> None:
    """A replay weighs cell by cell what the judge weighed at once, and compares bits."""
    one_by_one = [reduce(absorb, each, start(rule)) for rule, each, _ in releases]
    first = absorb_all([(start(rule), each[:cut]) for rule, each, cut in releases])
    said = verdicts(first, [None] * len(first))
    second = absorb_all(
        [(now, each[cut:]) for now, (_, each, cut) in zip(first, releases, strict=True)]
    )

    assert second == one_by_one
    assert said == [verdict(evidence) for evidence in first]
    known = list(zip(first, said, strict=True))
    assert verdicts(second, known) == [verdict(evidence) for evidence in one_by_one]


def test_a_large_tick_leaves_no_trace_of_the_processors_lanes() -> None:
    """Vector instructions round a row in the middle as they round one that is alone."""
    dice = np.random.default_rng(20261122)
    rule = Rules(
        0.001, 0.05, 0.05, 0.001, (("silence", 0.5), ("crash", 0.5)), attributes=("model", "site")
    )
    releases = [(start(rule), release) for release in _random_releases(dice, 150)]

    assert absorb_all(releases) == [reduce(absorb, cells, evidence) for evidence, cells in releases]


def test_what_did_not_change_is_not_said_anew() -> None:
    """A harm cell asks for no bisection: the bounds rest on classes alone."""
    rule = Rules(0.001, 0.05, 0.05, 0.05, (("silence", 0.5), ("crash", 0.5)))
    matured = Cell(1, "everyone", 1, 0, Test.CLEARANCE, "any", "", 200, 800, 1, 4, 200)
    before = absorb(start(rule), matured)
    said = verdict(before)
    harmed = Cell(2, "everyone", 1, 0, Test.HARM, "crash", "", 200, 800, 3, 1)
    after = absorb(before, harmed)
    marked = replace(said, harm_upper=0.75)  # no bisection would find this

    assert verdicts([after], [(before, marked)])[0].harm_upper == 0.75
    assert verdicts([after], [(before, said)]) == [verdict(after)]
    another = absorb(after, replace(matured, seq=3))
    stale = replace(verdict(after), harm_upper=0.75)
    assert verdicts([another], [(after, stale)]) == [verdict(another)]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"seq": 3}, "cell 3 after cell 1"),
        ({"seq": 1}, "cell 1 after cell 1"),
        ({"signal": "heat"}, "has no share"),
        ({"stratum": "no stratum"}, "no stratum"),
    ],
)
def test_a_tick_with_a_wrong_cell_is_refused(wrong: dict[str, object], why: str) -> None:
    """Counting a cell twice, or one that was never agreed on, is a mistake of the caller."""
    rule = Rules(0.001, 0.05, 0.05, 0.05, (("crash", 1.0),), attributes=("model",))
    good = Cell(1, "everyone", 1, 0, Test.HARM, "crash", "", 20, 80, 1, 1)
    bad = replace(good, **{"seq": 2} | wrong)  # type: ignore[arg-type]  # fields by name

    with pytest.raises(ValueError, match=why):
        absorb_all([(start(rule), [good]), (start(rule), [good, bad])])


@given(st.lists(st.floats(-1e4, 1e4), max_size=40))
def test_bets_of_many_groups_at_once_are_the_bets_of_each(logs: list[float]) -> None:
    """Two libraries' exponentials differ in the last place; these must come from one."""
    assert merge.bets_of_all(np.array(logs)) == [merge.bets_of(log_e) for log_e in logs]


def test_bounds_of_many_releases_are_those_of_each() -> None:
    """Rows of one bisection know nothing of each other, whether anything is proved or not."""
    dice = np.random.default_rng(7)
    rule = Rules(0.001, 0.05, 0.05, 0.01, (("crash", 1.0),))
    cells = [_random_class(dice) for _ in range(200)]
    found = [absorb(start(rule), cell) for cell in cells]

    upper = clearance.upper(clearance.Clearance.stacked([e.clearance for e in found]), 0.05)
    lower = excess.lower(excess.Excess.stacked([e.excess for e in found]), 0.05)

    assert upper.tolist() == [clearance.upper(e.clearance, 0.05)[0] for e in found]
    assert lower.tolist() == [excess.lower(e.excess, 0.05)[0] for e in found]
    assert 0 < np.count_nonzero(upper < 1.0) < len(found)
    assert 0 < np.count_nonzero(lower > 0.0) < len(found)


def _random_releases(dice: np.random.Generator, releases: int) -> Sequence[list[Cell]]:
    made = []
    for _ in range(releases):
        cells: list[Cell] = []
        for seq in range(1, int(dice.integers(1, 8)) + 1):
            treated, control = int(dice.integers(1, 400)), int(dice.integers(1, 4_000))
            cells.append(
                Cell(
                    seq=seq,
                    ring="everyone",
                    deck=1,
                    epoch=seq // 3,
                    test=Test.HARM,
                    signal=("silence", "crash")[int(dice.integers(2))],
                    stratum=f"model=m{dice.integers(7)},site=s{dice.integers(40)}",
                    treated=treated,
                    control=control,
                    treated_harmed=int(dice.binomial(treated, 0.02)),
                    control_harmed=int(dice.binomial(control, 0.02)),
                )
            )
        made.append(cells)
    return made


def _random_class(dice: np.random.Generator) -> Cell:
    treated, control = int(dice.choice([2, 50, 2_000])), int(dice.integers(0, 4_000))
    harmed = int(dice.binomial(treated, dice.choice([0.0, 0.001, 0.05])))
    return Cell(
        1, "everyone", 1, 0, Test.CLEARANCE, "any", "",
        treated, control, harmed, int(dice.binomial(control, 0.001)), treated,
    )  # fmt: skip


@given(st.text(max_size=30), st.text(max_size=20), st.integers(0, 2**53 - 1))
def test_the_digest_of_a_cell_is_that_of_its_canonical_spelling(
    before: str, stratum: str, treated: int
) -> None:
    """Whoever recomputes the chain has the specification of the spelling and nothing else."""
    cell = Cell(1, "ring", 2, 3, Test.HARM, "crash", stratum, treated, 5, 0, 1)
    row = to_canonical(msgspec.to_builtins(cell))

    assert digest_of(before, cell) == hashlib.sha256(before.encode() + b"\n" + row).hexdigest()
