import math
from dataclasses import replace

import pytest

from firedoor.core.cell import Cell, Test
from firedoor.core.verdict import (
    Evidence,
    Merging,
    Rules,
    VerdictState,
    absorb,
    fold,
    forecast,
    start,
    verdict,
)

RULES = Rules(
    alpha_harm=0.01,
    alpha_warn=0.05,
    alpha_clear=0.05,
    delta=0.1,
    shares=(("silence", 0.5), ("crash", 0.5)),
    merging=Merging.MEAN,
)


def harm_cell(
    seq: int, *, signal: str = "silence", treated: int, control: int, harmed: tuple[int, int]
) -> Cell:
    return Cell(seq, "everyone", 1, 0, Test.HARM, signal, "", treated, control, *harmed)


def clearance_cell(
    seq: int, *, treated: int, control: int, harmed: tuple[int, int] = (0, 0)
) -> Cell:
    return Cell(
        seq, "everyone", 1, 0, Test.CLEARANCE, "any", "", treated, control, *harmed, treated
    )


def healthy(evidence: Evidence, installs: int, *, per_class: int = 10) -> Evidence:
    """Classes in which nobody was harmed."""
    for _ in range(installs // per_class):
        cell = clearance_cell(evidence.seq + 1, treated=per_class, control=9 * per_class)
        evidence = absorb(evidence, cell)
    return evidence


def bricked(rules: Rules = RULES) -> Evidence:
    """Five machines took the release, five went silent, forty-five controls did not."""
    return fold(rules, [harm_cell(1, treated=5, control=45, harmed=(5, 0))])


def test_without_a_cell_nothing_is_known() -> None:
    """The state every release starts from: E = 1, U = 1, no debt."""
    judged = verdict(start(RULES))

    assert judged.state is VerdictState.UNDECIDED and not judged.warn
    assert judged.log_e_harm == judged.max_log_e_harm == judged.log_e_clear == 0.0
    assert judged.harm_upper == 1.0 and judged.debt == 0.0
    assert [stream.signal for stream in judged.streams] == ["silence", "crash"]


def test_five_bricks_among_fifty_machines_are_harmful() -> None:
    """The promise to the owner of a small fleet: about five, then the door is shut."""
    judged = verdict(bricked())

    assert judged.state is VerdictState.HARMFUL and judged.warn
    # Half on this signal, half on the factor, 3/4 on the first epoch, of E_P = 483 718.
    assert math.exp(judged.log_e_harm) == pytest.approx(483_718 * 3 / 16, rel=0.001)
    assert judged.debt == 4.5
    assert judged.streams[0].treated_harmed == 5 and judged.streams[0].expected == 0.5


def test_harmful_latches() -> None:
    """A door that shut must not open by itself because the controls had bad luck later."""
    evidence = bricked()
    for _ in range(6):
        cell = harm_cell(evidence.seq + 1, treated=5, control=45, harmed=(0, 20))
        evidence = absorb(evidence, cell)
    evidence = healthy(evidence, 1_000)

    judged = verdict(evidence)

    assert judged.log_e_harm < math.log(20) and judged.harm_upper <= RULES.delta
    assert judged.max_log_e_harm >= math.log(100)
    assert judged.state is VerdictState.HARMFUL


def test_clean_installs_clear_a_release() -> None:
    """The way every good release goes."""
    before, after = verdict(healthy(start(RULES), 20)), verdict(healthy(start(RULES), 50))

    assert before.state is VerdictState.UNDECIDED
    assert after.state is VerdictState.CLEARED
    assert after.matured.installed == after.matured.treated == 50
    assert after.matured.control == 450


def test_cleared_means_the_bound_and_the_e_process_at_once() -> None:
    """One number on the console: U at most delta is the same event as E_clear at 1/alpha."""
    states = set()
    for installs in range(10, 80, 10):
        judged = verdict(healthy(start(RULES), installs))
        states.add(judged.state)
        assert (judged.harm_upper <= RULES.delta) == (judged.log_e_clear >= math.log(20))

    assert states == {VerdictState.UNDECIDED, VerdictState.CLEARED}


def test_a_warning_keeps_a_release_from_being_cleared() -> None:
    """A thousand healthy installs do not excuse three machines that went silent elsewhere."""
    evidence = fold(RULES, [harm_cell(1, treated=3, control=27, harmed=(2, 0))])
    evidence = absorb(evidence, harm_cell(2, treated=10, control=90, harmed=(1, 0)))
    evidence = healthy(evidence, 1_000)

    judged = verdict(evidence)

    assert math.log(20) <= judged.log_e_harm < math.log(100)
    assert judged.harm_upper <= RULES.delta
    assert judged.warn and judged.state is VerdictState.UNDECIDED
    assert forecast(evidence, 100.0) is None


@pytest.mark.parametrize("seq", [0, 1, 3])
def test_a_cell_is_absorbed_once_and_in_its_turn(seq: int) -> None:
    """A repeat would count machines twice, a gap would hide some."""
    evidence = bricked()

    with pytest.raises(ValueError, match=f"cell {seq} after cell 1"):
        absorb(evidence, harm_cell(seq, treated=5, control=45, harmed=(0, 0)))


def test_a_signal_without_a_share_is_refused() -> None:
    """Evidence that silently counts for nothing would be worse than an error."""
    with pytest.raises(ValueError, match="'bugcheck' has no share"):
        fold(RULES, [harm_cell(1, signal="bugcheck", treated=5, control=45, harmed=(5, 0))])


def test_a_watched_only_signal_is_shown_and_decides_nothing() -> None:
    """A noisy signal may be looked at before anybody lets it hold a door."""
    rules = replace(RULES, shares=(("silence", 1.0), ("check", 0.0)))

    judged = verdict(
        fold(rules, [harm_cell(1, signal="check", treated=5, control=45, harmed=(5, 0))])
    )

    assert judged.log_e_harm == 0.0 and judged.debt == 0.0
    assert judged.state is VerdictState.UNDECIDED
    assert judged.streams[1].treated_harmed == 5 and judged.streams[1].log_e > math.log(100)


def test_counts_of_unknown_origin_are_merged_by_the_weighted_mean_over_their_signals() -> None:
    """Valid under any dependence between signals: one machine may be counted in both."""
    rules = replace(RULES, shares=(("silence", 0.3), ("crash", 0.7)))
    cells = [
        harm_cell(1, signal="silence", treated=5, control=45, harmed=(2, 1)),
        harm_cell(2, signal="crash", treated=4, control=44, harmed=(1, 3)),
    ]

    judged = verdict(fold(rules, cells))

    expected = sum(stream.share * math.exp(stream.log_e) for stream in judged.streams)
    assert math.exp(judged.log_e_harm) == pytest.approx(expected, rel=1e-12)
    for stream in judged.streams:
        half = (math.exp(stream.log_e_plain) + math.exp(stream.log_e_linear)) / 2
        assert math.exp(stream.log_e) == pytest.approx(half, rel=1e-12)


def test_debt_is_settled_over_all_closings_before_it_is_clipped() -> None:
    """Chance harms treated and control machines in turn; only the sum may hold slots."""
    lucky = harm_cell(1, treated=5, control=45, harmed=(0, 10))
    unlucky = harm_cell(2, treated=5, control=35, harmed=(1, 0))

    assert verdict(fold(RULES, [lucky])).debt == 0.0
    assert verdict(fold(RULES, [lucky, unlucky])).debt == 0.0
    assert verdict(fold(RULES, [replace(unlucky, seq=1)])).debt == 1 - 5 / 40


def test_debt_of_whole_machines_is_whole() -> None:
    """Rounding must not cost a slot of a budget of three."""
    cells = [
        harm_cell(seq, treated=1, control=9, harmed=(1, 0) if seq == 1 else (0, 1))
        for seq in range(1, 11)
    ]

    # One harmed against ten times a tenth expected; in floating point that is not quite one.
    assert verdict(fold(RULES, cells)).debt == 0.0


def test_liars_weaken_the_evidence_but_not_the_count() -> None:
    """Whoever may be lying still holds a slot; only the accusation is weakened."""
    honest, sceptical = verdict(bricked()), verdict(bricked(replace(RULES, liars=2)))

    assert sceptical.log_e_harm < honest.log_e_harm - 4
    assert sceptical.debt == honest.debt
    assert sceptical.streams[0].treated_harmed == 5


def test_three_liars_cannot_shut_a_door_that_forgives_three() -> None:
    """Machines that play dead in the first small window are enough to stop a fix otherwise."""
    cells = [harm_cell(1, treated=3, control=57, harmed=(3, 0))]

    assert verdict(fold(RULES, cells)).state is VerdictState.HARMFUL
    spared = verdict(fold(replace(RULES, liars=3), cells))
    assert spared.state is VerdictState.UNDECIDED and spared.log_e_harm <= 1e-12


def test_forecast_counts_down_and_ends_at_zero() -> None:
    """People plan their night by it."""
    fresh, later = start(RULES), healthy(start(RULES), 20)
    done = healthy(start(RULES), 50)

    at_first = forecast(fresh, 10.0)
    then = forecast(later, 10.0)

    # 1.2 times the rule of three, ten an hour.
    assert at_first == pytest.approx(1.2 * math.log(20) / 0.1 / 10 * 3_600, rel=0.05)
    assert then is not None and at_first is not None
    assert then == pytest.approx(at_first - 2 * 3_600, rel=0.1)
    assert forecast(fresh, 20.0) == pytest.approx(at_first / 2)
    assert forecast(done, 10.0) == forecast(bricked(), 10.0) == 0.0


def test_forecast_without_traffic_names_no_time() -> None:
    """Never is not a number, and a fleet that is asleep has no pace."""
    assert forecast(start(RULES), 0.0) is None


@pytest.mark.parametrize(
    "change",
    [
        {"alpha_harm": 0.0},
        {"alpha_warn": 1.0},
        {"alpha_clear": float("nan")},
        {"delta": 1.0},
        {"liars": -1},
        {"shares": ()},
        {"shares": (("silence", 0.5),)},
        {"shares": (("silence", 1.5), ("crash", -0.5))},
        {"shares": (("silence", 0.5), ("silence", 0.5))},
        {"shares": (("silence", float("nan")),)},
        {"merging": Merging.PRODUCT, "shares": (("silence", 1.1),)},
        {"attributes": ("site", "site")},
    ],
)
def test_rules_that_break_the_guarantee_are_refused(change: dict[str, object]) -> None:
    """Shares above one or an alpha of nothing would make every promise on the console false."""
    with pytest.raises(ValueError, match=r"not in \(0, 1\)|share|twice|negative"):
        replace(RULES, **change)  # type: ignore[arg-type]  # wrong values are the point


def test_a_release_that_is_known_to_be_worse_says_by_how_much_at_least() -> None:
    """Beside a shut door stands what is certain, not only what was seen."""
    nothing = verdict(start(RULES))
    bad = fold(RULES, [clearance_cell(1, treated=40, control=360, harmed=(30, 3))])
    good = fold(RULES, [clearance_cell(1, treated=40, control=360, harmed=(0, 3))])

    assert nothing.harm_lower == verdict(good).harm_lower == 0.0
    assert 0.3 < verdict(bad).harm_lower < 30 / 40 < verdict(bad).harm_upper
