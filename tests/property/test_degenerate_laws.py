"""Whatever a broken night makes of the counts, the judge says numbers or refuses by name."""

import math
import warnings
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.cell import MOST_MACHINES, Cell, Test
from firedoor.core.evidence.past import PastBucket
from firedoor.core.tick import absorb_all, verdicts
from firedoor.core.verdict import Merging, Rules, absorb, forecast, start, verdict

counts = st.sampled_from(
    [0, 0, 1, 2, 3, 47, 48, 49, 100, 1_023, 1_024, 1_025, 10**5, 2**31, 2**40, MOST_MACHINES]
)
alphas = st.sampled_from([5e-324, 1e-300, 1e-12, 0.001, 0.05, 0.5, 1.0 - 2.0**-53])
epochs = st.sampled_from([0, 0, 1, 5, 10**6, 2**40])


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """Rules at the ends of what is allowed."""
    merging = draw(st.sampled_from(Merging))
    shares = [(0.5, 0.5)]
    if merging is Merging.PRODUCT:
        shares += [(0.0, 0.0), (1.0, 1.0), (1e-300, 1.0)]
    silence, crash = draw(st.sampled_from(shares))
    past = [
        PastBucket("everyone", signal, age, min(draw(counts), exposure), exposure)
        for signal in ("any", "silence")
        for age in (0, 5)
        for exposure in draw(st.lists(counts, max_size=1))
    ]
    return Rules(
        alpha_harm=draw(alphas),
        alpha_warn=draw(alphas),
        alpha_clear=draw(alphas),
        delta=draw(st.sampled_from([1e-300, 1e-9, 0.001, 0.5, 1.0 - 2.0**-53])),
        shares=(("silence", silence), ("crash", crash)),
        merging=merging,
        attributes=draw(st.sampled_from([(), ("model", "site")])),
        liars=draw(st.sampled_from([0, 0, 1, 3])),
        past=tuple(past),
        alpha_ref=draw(alphas),
    )


@st.composite
def cells(draw: st.DrawFn) -> list[Cell]:
    """Empty arms, whole arms harmed, more machines than there are."""
    release: list[Cell] = []
    epoch = 0
    for seq in range(1, draw(st.integers(1, 7)) + 1):
        treated, control = draw(counts), draw(counts)
        test = draw(st.sampled_from(Test))
        harm, mature = test is Test.HARM, test is Test.CLEARANCE
        other = draw(st.sampled_from(["silence", "crash"])) if harm else "silence"
        epoch += draw(epochs)
        release.append(
            Cell(
                seq=seq,
                ring="everyone",
                deck=1,
                epoch=epoch,
                test=test,
                signal="any" if mature else other,
                stratum=draw(st.sampled_from(["", "model=a,site=x", "site=x"])) if harm else "",
                treated=treated,
                control=control,
                treated_harmed=draw(parts(treated)),
                control_harmed=draw(parts(control)),
                installed=draw(parts(treated)) if mature else 0,
                age=draw(st.sampled_from([0, 5])),
            )
        )
    return release


def parts(whole: int) -> st.SearchStrategy[int]:
    """None, some, all but one, all."""
    return st.sampled_from(sorted({0, min(1, whole), whole // 2, max(0, whole - 1), whole}))


def finite(state: object) -> bool:
    """No number in it is infinite or none at all."""
    match state:
        case np.ndarray():
            return bool(np.isfinite(state).all())
        case float():
            return math.isfinite(state)
        case tuple():
            return all(finite(each) for each in state)
        case _ if is_dataclass(state):
            return all(finite(getattr(state, field.name)) for field in fields(state))
        case _:
            return True


@settings(max_examples=100, deadline=None)
@given(rules(), cells())
def test_every_night_ends_in_numbers(rules: Rules, cells: list[Cell]) -> None:
    """No exception, no warning of numpy, no infinity: E, U, L, the forecast, for one and many."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        evidence = start(rules)
        for cell in cells:
            evidence = absorb(evidence, cell)
            said = verdict(evidence)

            assert finite(said)
            assert 0.0 <= evidence.max_log_e >= evidence.log_e
            assert 0.0 <= said.harm_lower <= said.harm_upper <= 1.0
            assert said.harm_upper > 0.0 and said.debt >= 0.0
            for traffic in (0.0, 1e-300, 60.0, 1e300):
                seconds = forecast(evidence, traffic)
                assert seconds is None or seconds >= 0.0
        (together,) = absorb_all([(start(rules), cells)])
        assert together == evidence
        assert verdicts([together], [None]) == [verdict(evidence)]


@settings(max_examples=30, deadline=None)
@given(rules(), cells(), st.sampled_from([0, 1, 2, 2**40]))
def test_a_cell_twice_or_out_of_turn_is_refused_and_changes_nothing(
    rules: Rules, cells: list[Cell], ahead: int
) -> None:
    """A closing that is told again, or a gap where one is missing, stops the fold by name."""
    (evidence,) = absorb_all([(start(rules), cells)])
    stray = replace(cells[-1], seq=cells[-1].seq + ahead) if ahead != 1 else cells[0]

    with pytest.raises(ValueError, match="after cell"):
        absorb(evidence, stray)
    with pytest.raises(ValueError, match="after cell"):
        absorb_all([(evidence, [stray])])
    assert absorb_all([(start(rules), cells)]) == [evidence]


@pytest.mark.parametrize(
    "wrong",
    [
        {"treated_harmed": 6},
        {"treated_harmed": -1},
        {"control_harmed": 10},
        {"installed": 6},
        {"treated": -1},
        {"treated": math.nan},
        {"treated": math.inf},
        {"treated_harmed": math.nan},
        {"treated": MOST_MACHINES + 1},
        {"control": 2**70},
        {"epoch": -1},
        {"age": 6},
    ],
)
def test_a_cell_that_cannot_be_is_never_made(wrong: dict[str, float]) -> None:
    """Everything behind it may rely on whole machines that exist."""
    cell = Cell(1, "everyone", 1, 0, Test.CLEARANCE, "any", "", 5, 9, 0, 0)

    with pytest.raises(ValueError, match=r"treated|control|installed|machines|epoch|age"):
        replace(cell, **wrong)  # type: ignore[arg-type]  # what a broken caller would give
