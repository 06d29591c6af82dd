"""Laws of what would change a verdict: it is what the real fold says, and more is never less."""

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from firedoor.core.cell import Cell, Test
from firedoor.core.prospects import Sealed, clean_to_clear, harmed_to_shut
from firedoor.core.signal import ANY, CRASH, SILENCE
from firedoor.core.verdict import Evidence, Rules, VerdictState, absorb, fold, verdict

RULES = Rules(0.01, 0.05, 0.05, 0.05, ((SILENCE, 0.8), (CRASH, 0.5)))


@st.composite
def histories(draw: st.DrawFn) -> Evidence:
    """Evidence of a few closings, most of them quiet."""
    cells = []
    for seq in range(1, draw(st.integers(0, 4)) + 1):
        treated, control = draw(st.integers(1, 12)), draw(st.integers(0, 60))
        test = draw(st.sampled_from(Test))
        cells.append(
            Cell(
                seq=seq,
                ring="everyone",
                deck=1,
                epoch=0,
                test=test,
                signal=ANY if test is Test.CLEARANCE else draw(st.sampled_from([SILENCE, CRASH])),
                stratum="",
                treated=treated,
                control=control,
                treated_harmed=draw(st.integers(0, min(2, treated))),
                control_harmed=draw(st.integers(0, min(2, control))),
                installed=treated if test is Test.CLEARANCE else 0,
            )
        )
    return fold(RULES, cells)


def closing(evidence: Evidence, sealed: Sealed, signal: str, harmed: int) -> Cell:
    return Cell(
        evidence.seq + 1, "r", 9, sealed.epoch, Test.HARM, signal, "",
        sealed.treated, sealed.control, harmed, 0,
    )  # fmt: skip


def matured(evidence: Evidence, installed: int, controls: int) -> Cell:
    blank = Cell(evidence.seq + 1, "r", 9, 0, Test.CLEARANCE, ANY, "", 0, 0, 0, 0)
    return replace(blank, treated=installed, control=controls * installed, installed=installed)


@settings(max_examples=60, deadline=None)
@given(
    evidence=histories(),
    treated=st.integers(0, 20),
    control=st.integers(0, 200),
    signal=st.sampled_from([SILENCE, CRASH]),
)
def test_so_many_harmed_prove_harm_and_one_less_does_not(evidence, treated, control, signal):
    """The number is read out at night: the real fold has to agree on both sides of it."""
    assume(verdict(evidence).state is not VerdictState.HARMFUL)
    sealed = Sealed(treated, control)

    fewest = harmed_to_shut(evidence, sealed, signal)

    harmful = [
        verdict(absorb(evidence, closing(evidence, sealed, signal, harmed))).state
        is VerdictState.HARMFUL
        for harmed in range(1, treated + 1)
    ]
    assert harmful == sorted(harmful)  # more harmed are never less evidence
    assert fewest == (harmful.index(True) + 1 if any(harmful) else None)


@settings(max_examples=60, deadline=None)
@given(evidence=histories(), controls=st.integers(0, 9), most=st.integers(0, 120))
def test_so_many_clean_installs_clear_it_and_one_less_does_not(evidence, controls, most):
    """Likewise; and where the fleet is too small for any number, none is named."""
    assume(verdict(evidence).state is not VerdictState.CLEARED)

    fewest = clean_to_clear(evidence, controls=controls, most=most)

    cleared = [
        verdict(absorb(evidence, matured(evidence, installed, controls))).state
        is VerdictState.CLEARED
        for installed in range(1, most + 1)
    ]
    assert cleared == sorted(cleared)
    assert fewest == (cleared.index(True) + 1 if any(cleared) else None)


@settings(max_examples=30, deadline=None)
@given(evidence=histories(), control=st.integers(0, 100), more=st.integers(0, 100))
def test_more_controls_that_stay_well_never_make_harm_harder_to_prove(evidence, control, more):
    """A larger comparison is a sharper one."""
    few = harmed_to_shut(evidence, Sealed(12, control), SILENCE)
    many = harmed_to_shut(evidence, Sealed(12, control + more), SILENCE)

    assert few is None or (many is not None and many <= few)
