"""The judge alone, asked for a ratio, or of machines that fall together in clusters."""

import pytest

from firedoor.core.errors import BadInput
from firedoor.core.verdict import VerdictState
from firedoor.formats.counts import Row
from firedoor.services.alone import Question, judge

HOUR = 3_600_000


def asked(**more: float) -> Question:
    """What a fleet of a few thousand asks."""
    return Question(0.001, 0.05, 0.05, 0.001, 5000, **{"follow_up": 1} | more)  # type: ignore[arg-type]  # by name


def rows(hours: int, x1: int, x0: int) -> list[Row]:
    """So many hours of 1000 treated and 4000 control machines, all alike."""
    return [Row(h * HOUR, "v2", "crash", "", 1000, 4000, x1, x0, 1000) for h in range(hours)]


def test_common_failures_clear_by_their_ratio() -> None:
    """One in a hundred crashes in an hour anyway."""
    counts = rows(20, 10, 40)

    assert judge(counts, asked()).state is VerdictState.UNDECIDED
    found = judge(counts, asked(ratio=1.5))
    assert found.state is VerdictState.CLEARED
    assert found.log_e_ratio > 3.0
    assert judge(rows(20, 15, 40), asked(ratio=1.5)).state is not VerdictState.CLEARED


def test_a_cluster_divides_what_clears_and_what_accuses() -> None:
    """Ten machines of one rack are one accident."""
    assert judge(rows(5, 0, 0), asked()).state is VerdictState.CLEARED
    assert judge(rows(5, 0, 0), asked(cluster=10)).state is VerdictState.UNDECIDED
    burst = rows(1, 8, 2)
    assert judge(burst, asked(cluster=10)).log_e_harm < judge(burst, asked()).log_e_harm
    assert "up to 10 machines" in asked(cluster=10).assumes


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": 1.5, "cluster": 2},
        {"ratio": 1.5, "together": True},
        {"cluster": 2, "together": True},
        {"cluster": 2, "sites": True},
    ],
)
def test_what_no_proof_covers_is_refused(wrong: dict[str, float]) -> None:
    """A ratio needs machines that fail one by one; a cluster needs a size."""
    with pytest.raises(BadInput):
        asked(**wrong)
