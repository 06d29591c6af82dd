"""Streams: all machines together, and one model or site among many."""

import math

import pytest

from firedoor.core.cell import Cell, Test
from firedoor.core.verdict import Rules, fold, verdict

SILENCE = (("silence", 1.0),)


def cell(seq: int, stratum: str, harmed: tuple[int, int], *, treated: int = 50) -> Cell:
    """A harm cell of a pool with one control for each treated member."""
    return Cell(
        seq=seq,
        ring="everyone",
        deck=1,
        epoch=0,
        test=Test.HARM,
        signal="silence",
        stratum=stratum,
        treated=treated,
        control=treated,
        treated_harmed=harmed[0],
        control_harmed=harmed[1],
    )


def rules(*attributes: str) -> Rules:
    """Rules that look at silence alone."""
    return Rules(0.001, 0.05, 0.05, 0.01, SILENCE, attributes=attributes)


def noise_and_one_bad_model(bad: int) -> list[Cell]:
    """Ten models fail by chance in both arms alike; of one more only treated machines fail."""
    cells: list[Cell] = []
    for turn in range(bad):
        for model in range(10):
            hit = (1, 0) if (turn + model) % 2 else (0, 1)
            cells.append(cell(len(cells) + 1, f"model=m{model}", hit))
        cells.append(cell(len(cells) + 1, "model=bad", (1, 0)))
    return cells


def test_harm_to_one_model_is_found_among_models_that_fail_by_chance() -> None:
    """Pooled, ten harmed machines drown in a hundred that fail anyway."""
    cells = noise_and_one_bad_model(16)

    blind, seeing = (verdict(fold(rules(*names), cells)) for names in ((), ("model",)))

    assert blind.log_e_harm < math.log(20)
    assert seeing.log_e_harm > blind.log_e_harm + 2.0
    assert seeing.streams[0].groups[0].value == "bad"
    assert seeing.streams[0].groups[0].treated_harmed == 16


def test_looking_at_groups_costs_a_tenth_where_all_are_harmed_alike() -> None:
    """ln(1/.9) nats: the price of the insurance where nothing is localised."""
    cells = [cell(n, f"site=s{n % 7}", (1, 0), treated=1000) for n in range(1, 12)]

    blind, seeing = (verdict(fold(rules(*names), cells)) for names in ((), ("site",)))

    assert seeing.log_e_harm >= blind.log_e_harm + math.log(0.9) - 1e-12


def test_a_group_that_had_no_event_yet_is_what_it_would_be_from_the_start() -> None:
    """Groups are made when something happens among them: the epochs before must count."""
    early = [cell(1, "site=a", (0, 0)), cell(2, "site=b", (3, 0))]
    late = [cell(1, "site=b", (3, 0))]

    groups = [verdict(fold(rules("site"), cells)).streams[0].groups for cells in (early, late)]

    of_b = [next(group for group in some if group.value == "b") for some in groups]
    assert of_b[0] == of_b[1]


def test_cells_without_a_stratum_count_for_all_machines_only() -> None:
    """A machine nobody described belongs to no group."""
    found = verdict(fold(rules("site"), [cell(1, "", (3, 0)), cell(2, "model=x", (1, 0))]))

    assert found.streams[0].groups == ()
    assert found.streams[0].treated_harmed == 4


def test_a_cell_whose_stratum_cannot_be_read_is_refused() -> None:
    """Evidence for nobody in particular would be a silent mistake."""
    with pytest.raises(ValueError, match="no stratum"):
        fold(rules("site"), [cell(1, "nonsense", (1, 0))])
