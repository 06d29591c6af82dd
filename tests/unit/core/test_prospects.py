from firedoor.core.cell import Cell, Test
from firedoor.core.prospects import FARTHEST, Sealed, clean_to_clear, harmed_to_shut
from firedoor.core.signal import ANY, CHECK, CRASH, SILENCE
from firedoor.core.verdict import Rules, VerdictState, fold, start, verdict

RULES = Rules(0.01, 0.05, 0.05, 0.05, ((SILENCE, 1.0), (CRASH, 0.0)))
HARM = Cell(1, "everyone", 1, 0, Test.HARM, SILENCE, "", 5, 45, 4, 0)
WARNING = Cell(1, "everyone", 1, 0, Test.HARM, SILENCE, "", 5, 55, 2, 0)


def test_three_silent_machines_of_five_beside_45_controls_prove_harm():
    """The first deck of a fleet of a hundred: what its operator is told to wait for."""
    assert harmed_to_shut(start(RULES), Sealed(5, 45), SILENCE) == 3


def test_harm_that_is_proved_needs_no_more():
    """Zero, not "nobody can say": the verdict stands."""
    evidence = fold(RULES, [HARM])

    assert verdict(evidence).state is VerdictState.HARMFUL
    assert harmed_to_shut(evidence, Sealed(5, 45), SILENCE) == 0
    assert clean_to_clear(evidence, controls=9, most=FARTHEST) is None


def test_without_a_comparison_nothing_is_ever_proved():
    """The reserve has no control: harm in it spends the budget and proves nothing."""
    assert harmed_to_shut(start(RULES), Sealed(50, 0), SILENCE) is None
    assert harmed_to_shut(start(RULES), Sealed(0, 50), SILENCE) is None


def test_a_signal_that_decides_nothing_never_shuts():
    """Watch-only, or not known at all."""
    assert harmed_to_shut(start(RULES), Sealed(5, 45), CRASH) is None
    assert harmed_to_shut(start(RULES), Sealed(5, 45), CHECK) is None


def test_later_harm_needs_at_least_as_many():
    """Each epoch starts with less of the wealth."""
    early = harmed_to_shut(start(RULES), Sealed(9, 81, epoch=0), SILENCE)
    late = harmed_to_shut(start(RULES), Sealed(9, 81, epoch=20), SILENCE)

    assert early is not None
    assert late is not None
    assert early <= late


def test_a_fleet_that_is_too_small_is_told_so():
    """About 1.3 ln(20)/.05 installs clear to 5 %: a hundred machines can, fifty cannot."""
    needed = clean_to_clear(start(RULES), controls=9, most=FARTHEST)

    assert needed is not None
    assert 60 <= needed <= 110
    assert clean_to_clear(start(RULES), controls=9, most=needed) == needed
    assert clean_to_clear(start(RULES), controls=9, most=needed - 1) is None
    assert clean_to_clear(start(RULES), controls=9, most=0) is None


def test_a_warning_keeps_every_number_of_clean_installs_from_clearing():
    """What matures well does not take the warning back; naming a number would be a lie."""
    evidence = fold(RULES, [WARNING])

    assert verdict(evidence).warn
    assert verdict(evidence).state is VerdictState.UNDECIDED
    assert clean_to_clear(evidence, controls=9, most=FARTHEST) is None


def test_what_is_cleared_needs_nothing_more():
    """Zero installs are missing."""
    cell = Cell(1, "everyone", 1, 0, Test.CLEARANCE, ANY, "", 500, 4500, 0, 0, installed=500)

    assert clean_to_clear(fold(RULES, [cell]), controls=9, most=FARTHEST) == 0
