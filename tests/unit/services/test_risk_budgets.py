"""A release boards with the budget of the worst package that it changes."""

import pytest
from tests.loop import memory
from tests.unit.services.test_late_installs import slow

from firedoor.core.risk import Risk

SSH, KERNEL = "pool/o/openssh-server_2_amd64.deb", "pool/l/linux-image-amd64_6.1_amd64.deb"


@pytest.mark.parametrize(
    ("changed", "risk", "budget", "said"),
    [
        (["pool/v/vim_2_amd64.deb"], Risk.OTHER, 5, ""),
        (["pool/v/vim_2_amd64.deb", SSH], Risk.ACCESS, 3, "openssh-server (crypto and ssh)"),
        ([SSH, KERNEL], Risk.BOOT, 2, "linux-image-amd64 (boot chain): harm budget 2 instead of 5"),
    ],
)
def test_the_smallest_budget_wins_and_is_told(changed, risk, budget, said):
    """A person who wonders why a door opens slowly finds the package in the ledger."""
    with memory() as folder:
        loop = slow(folder, 60)
        loop.publish_files(
            {"av.db": "2", "README.txt": "always the same"} | dict.fromkeys(changed, "2")
        )

        assert loop.door(2).budget == budget
        assert loop.flight(2).boarding.terms["everyone"].risk is risk
        notes = [note for note in loop.notes() if "harm budget" in note]
        assert len(notes) == bool(said)
        assert all(said in note for note in notes)
        loop.close()


def test_what_is_there_from_the_beginning_is_no_change():
    """The first release of a channel is adopted, not tried."""
    with memory() as folder:
        loop = slow(folder, 20)
        assert not any("harm budget" in note for note in loop.notes())
        loop.close()


def test_a_named_budget_is_not_called_smaller():
    """It is what somebody wanted."""
    with memory() as folder:
        loop = slow(folder, 60, policy="budget = 4")
        loop.publish_files({"av.db": "2", KERNEL: "2"})
        assert loop.door(2).budget == 4
        assert not any("harm budget" in note for note in loop.notes())
        loop.close()
