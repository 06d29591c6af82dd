"""What is worse to lose gets a smaller budget."""

import pytest

from firedoor.core.risk import PACKAGES, Risk, budget_for, worst
from firedoor.core.terms import Policy, resolve


@pytest.mark.parametrize(
    ("packages", "found"),
    [
        ([], (Risk.OTHER, "")),
        (["nginx", "vim"], (Risk.OTHER, "")),
        (["vim", "openssh-server", "libssl3"], (Risk.ACCESS, "libssl3")),
        (
            ["libssl3", "linux-image-6.1.0-25-amd64", "vim"],
            (Risk.BOOT, "linux-image-6.1.0-25-amd64"),
        ),
        (["grub-efi-amd64"], (Risk.BOOT, "grub-efi-amd64")),
        (["intel-microcode"], (Risk.BOOT, "intel-microcode")),
        (["systemd-resolved"], (Risk.ACCESS, "systemd-resolved")),
        (["openssh-client-doc", "libsystemd0"], (Risk.BOOT, "libsystemd0")),
    ],
)
def test_the_worst_class_that_a_release_touches_counts(packages, found):
    """One kernel among a hundred editors leaves machines that no server can heal."""
    assert worst(packages) == found


@pytest.mark.parametrize(
    ("machines", "boot", "access", "other"),
    [(100_000, 5, 10, 20), (1_000, 2, 3, 5), (30, 1, 2, 3), (10, 1, 1, 1), (0, 1, 1, 1)],
)
def test_a_budget_that_nobody_named_is_smaller_for_what_is_worse(machines, boot, access, other):
    """As the reference has it; a machine at least, or no door would ever move."""
    budgets = [resolve(Policy(), machines, risk).budget for risk in Risk]

    assert budgets == [boot, access, other]


def test_a_budget_that_somebody_named_is_the_same_for_all():
    """Whoever writes a number means it."""
    assert {resolve(Policy(budget=7), 1_000, risk).budget for risk in Risk} == {7}


def test_less_budget_asks_for_less_harm():
    """Who may lose two machines of a thousand wants to know of two in a thousand."""
    assert resolve(Policy(), 1_000, Risk.BOOT).delta < resolve(Policy(), 1_000).delta


def test_classes_are_read_from_the_worst_on():
    """What is in two classes is of the worse one."""
    assert list(PACKAGES) == [Risk.BOOT, Risk.ACCESS]
    assert [budget_for(risk, 20) for risk in Risk] == [5, 10, 20]
