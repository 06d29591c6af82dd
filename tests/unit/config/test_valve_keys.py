"""Keys of valve and judge that are off by default: what an operator may choose to change."""

import pytest

from firedoor.config import defaults, from_text
from firedoor.core.errors import BadConfig

CHANNEL = '[[channel]]\nname = "av"\nkind = "files"\nupstream = "https://vendor.example/av/"\n'
LAB = '[[ring]]\nname = "lab"\nmachines = { site = ["lab"] }\n'


def test_nothing_is_chosen_for_the_operator():
    """Each of them weakens or moves a guarantee, so the default is none of them."""
    policy = defaults().policy

    assert (policy.budget_growth, policy.ratio, policy.cluster, policy.liars) == (0.0, None, 1, 0)


def test_a_ring_may_have_a_growth_of_its_own_but_no_ratio():
    """A budget belongs to a ring; the evidence of a release is one, over all its rings."""
    config = from_text(f"{CHANNEL}budget_growth = 0.1\n{LAB}budget_growth = 0")

    assert config.policy_for("av").budget_growth == 0.1
    assert config.policy_for("av", "lab").budget_growth == 0.0
    for key in ("ratio = 2", "cluster = 4", "liars = 1"):
        with pytest.raises(BadConfig):
            from_text(f"{LAB}{key}")


@pytest.mark.parametrize(
    "written",
    [
        "budget_growth = 1",
        "budget_growth = -0.1",
        "ratio = 1",
        "ratio = 0.5",
        "ratio = true",
        'ratio = "auto"',
        "cluster = 0",
        "cluster = 1.5",
        "liars = -1",
        "liars = 11",
        "liars = true",
    ],
)
def test_values_without_a_meaning_are_refused(written):
    """A ratio of 1 would clear a healing release only; a cluster of nobody divides by 0."""
    with pytest.raises(BadConfig):
        from_text(f"[policy]\n{written}")


def test_a_ratio_where_machines_fail_together_is_refused():
    """Its factor is only proved for machines that fail one by one."""
    with pytest.raises(BadConfig, match="fail together"):
        from_text("[policy]\nratio = 1.5\ncluster = 3")
    with pytest.raises(BadConfig, match="fail together"):
        from_text(f"[policy]\nratio = 1.5\n{CHANNEL}cluster = 3")
