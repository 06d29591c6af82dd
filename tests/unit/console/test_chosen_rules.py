"""What the operator chose to change about a guarantee stands on the page that explains it."""

import msgspec
import pytest
from tests.unit.console import scenes

from firedoor.console.facts import Facts
from firedoor.console.language import LANGUAGES, Language
from firedoor.console.prospecting import amounts


def facts(**chosen: float) -> Facts:
    """Those of a release in flight."""
    found = scenes.SCENES["opening"]().explain(scenes.SECOND)
    assert found is not None
    return msgspec.structs.replace(found, **chosen)


def told(language: str, **chosen: float) -> str:
    """All that is said of the evidence."""
    return "\n".join(amounts(Language(language), facts(**chosen)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_by_default_nothing_is_said_of_what_nobody_chose(language: str) -> None:
    """The page is long enough."""
    chosen = {"ratio": 1.5, "log_e_ratio": 2.0}

    assert len(told(language, **chosen).splitlines()) == len(told(language).splitlines()) + 1


def test_a_ratio_a_cluster_and_a_growing_budget_are_told_with_their_numbers() -> None:
    """Whoever reads that a door opened has to see by which of two rules it did."""
    assert "below 1.5 times the control's is a factor of 20" in told("en", ratio=1.5)
    assert "Up to 40 machines are taken to fail together" in told("en", cluster=40)
    assert "by 10\N{NO-BREAK SPACE}% of the control machines" in told("en", budget_growth=0.1)
    assert "1.5 倍" in told("zh_Hans", ratio=1.5)


def test_that_some_machines_are_not_believed_is_told() -> None:
    """Else a verdict looks weaker than the machines that were harmed."""
    assert "the one harmed machine that says most had not spoken" in told("en", liars=1)
    assert "the 3 harmed machines that say most" in told("en", liars=3)
    assert "3 台受损机器" in told("zh_Hans", liars=3)
