"""What a machine is compared by: what the operator has set, and else what it tells of itself."""

from tests.clocks import HandClock

from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core.units import UnixMs
from firedoor.wire.gate_role import _strata


def test_what_the_operator_set_comes_before_what_the_machine_tells(tmp_path):
    """A machine must not move itself into another stratum than its operator's."""
    register = MachineRegister(tmp_path / "machines.db", HandClock())
    own = register.enroll("till-1", {"site": "prague", "model": "set"}, UnixMs(1)).no
    silent = register.enroll("till-2", {"site": "prague"}, UnixMs(1)).no
    telling = register.enroll("till-3", {"site": "prague"}, UnixMs(1)).no
    store = SignalDatabase(tmp_path / "intake.db")
    told = {"model": "told", "os": "Debian", "kernel": "6.1"}
    store.keep_inventories([], {own: told, telling: {**told, "site": "made up"}})
    signals = SignalReader(tmp_path / "intake.db")

    stratum = _strata(register, signals, ("model", "site", "os"))

    assert stratum(own) == "model=set,os=Debian,site=prague"
    assert stratum(silent) == "site=prague"
    assert stratum(telling) == "model=told,os=Debian,site=prague"
    for part in (register, store, signals):
        part.close()
