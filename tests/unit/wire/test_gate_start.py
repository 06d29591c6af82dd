"""A gate that starts: it knows every machine's ring from one reading of the register."""

import pytest
from tests.clocks import HandClock

from firedoor.adapters.store.register import MachineRegister
from firedoor.core.ring import EVERYONE, Ring
from firedoor.core.units import UnixMs
from firedoor.wire.gate_role import Rings

LAB = Ring("lab", (("site", ("brno", "prague")),))
TILLS = Ring("tills", (("model", ("T4",)),), after="lab")


@pytest.fixture
def register(tmp_path):
    """Machines 1 to 5."""
    opened = MachineRegister(tmp_path / "machines.db", HandClock())
    attributes = [{"site": "brno"}, {}, {"model": "T4"}, {"model": "T4", "site": "prague"}, {}]
    opened.enroll_many([(f"m-{n}", each) for n, each in enumerate(attributes)], UnixMs(1))
    yield opened
    opened.close()


def test_the_whole_register_at_once_says_the_same_as_machine_by_machine(register):
    """A machine that is counted in the wrong ring would open or hold the wrong door."""
    rings = Rings(register, (LAB, TILLS, Ring(EVERYONE)))
    asked = [rings.ring(machine) for machine in range(1, 9)]

    rings.read_all()

    assert [rings.ring(machine) for machine in range(1, 9)] == asked
    assert asked[:5] == ["lab", EVERYONE, "tills", "lab", EVERYONE]


def test_after_the_start_a_changed_machine_changes_its_ring(register):
    """What was read at once is of one moment only."""
    rings = Rings(register, (LAB, TILLS, Ring(EVERYONE)))
    rings.read_all()
    register.set_attributes("m-1", {"site": "brno"})
    before = rings.ring(2)

    rings.forget()

    assert (before, rings.ring(2)) == (EVERYONE, "lab")


def test_where_there_is_one_ring_everybody_is_in_it(register):
    """The register need not be asked."""
    rings = Rings(register, (Ring(EVERYONE),))

    assert {rings.ring(machine) for machine in range(1, 9)} == {EVERYONE}
