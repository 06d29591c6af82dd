"""What machines have and tell of themselves: what is new, and how much of it counts."""

from dataclasses import replace

from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.core.units import MachineNo, UnixMs
from firedoor.formats.inventory import Part
from firedoor.intake.inventories import OTHER, VALUES, Inventories

AT = UnixMs(1_721_362_140_000)
PACKAGES = [
    {"name": "bash", "version": "5.2", "arch": "amd64"},
    {"name": "apt", "version": "2.6", "arch": "amd64"},
]


def system(model, kernel="6.1"):
    return (
        ("system_info", [{"hardware_model": model, "hardware_vendor": "Dell Inc."}]),
        ("kernel_info", [{"version": kernel}]),
    )


def take(into, machine, *tables):
    for table, rows in tables:
        into.take(MachineNo(machine), table, rows, AT)


def stored(folder, *drained):
    """Store what waited; a reader of it."""
    with_store = SignalDatabase(folder / "intake.db")
    for changed, told in drained:
        with_store.keep_inventories(changed, told)
    with_store.close()
    return SignalReader(folder / "intake.db")


def test_a_list_that_a_machine_sends_again_costs_nothing():
    """A million machines send four lists every few hours; nearly none has changed."""
    known = Inventories()
    take(known, 1, ("deb_packages", PACKAGES))
    [first], _ = known.drain()

    take(known, 1, ("deb_packages", PACKAGES[::-1]))

    assert first.items == ("apt 2.6 amd64", "bash 5.2 amd64")
    assert known.drain() == ([], {})


def test_a_restart_writes_nothing_anew_and_asks_nobody_again(tmp_path):
    """A fleet that was asked for everything at each restart would be down with it."""
    known = Inventories()
    take(known, 1, ("deb_packages", PACKAGES), *system("R650"))
    stored(tmp_path, known.drain()).close()
    again, store = Inventories(), SignalDatabase(tmp_path / "intake.db")
    again.resume(store.told())

    take(again, 1, ("deb_packages", PACKAGES), *system("R650"))
    changed, told = again.drain()
    store.keep_inventories([replace(one, since_ms=UnixMs(AT + 10**9)) for one in changed], told)
    store.close()

    assert again.is_known(MachineNo(1))
    assert told == {}
    reader = SignalReader(tmp_path / "intake.db")
    assert {one.since_ms for one in reader.inventory(MachineNo(1))} == {AT}
    reader.close()


def test_what_could_not_be_stored_is_taken_when_it_comes_again():
    """A full disk must not leave a machine without an inventory for good."""
    known = Inventories()
    take(known, 1, ("deb_packages", PACKAGES), *system("R650"))
    known.take_back(*known.drain())

    take(known, 1, ("deb_packages", PACKAGES), *system("R650"))
    changed, told = known.drain()

    assert {one.part for one in changed} == {Part.DEB, Part.HARDWARE, Part.KERNEL}
    assert told[MachineNo(1)]["model"] == "R650"


def test_machines_share_lists_and_what_nobody_has_is_gone(tmp_path):
    """A machine that tells another list every minute leaves only its last one behind."""
    known = Inventories()
    drained = []
    for machine in (1, 2):
        take(known, machine, ("deb_packages", PACKAGES))
    drained.append(known.drain())
    for version in range(50):
        take(known, 2, ("deb_packages", [{"name": "nonsense", "version": str(version)}]))
        drained.append(known.drain())

    reader = stored(tmp_path, *drained)
    rows = {
        table: reader._rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608, SLF001 - ours
        for table in ("stock", "item", "inventory")
    }

    assert rows == {"stock": 2, "item": 3, "inventory": 2}
    assert reader.inventory(MachineNo(1))[0].items == ("apt 2.6 amd64", "bash 5.2 amd64")
    [other] = reader.inventory(MachineNo(2))
    assert (other.part, other.items, other.since_ms) == (Part.DEB, ("nonsense 49",), AT)
    reader.close()


def test_machines_cannot_invent_strata_by_the_thousand():
    """Each stratum is watched; a thousand of them would leave no evidence for any."""
    known = Inventories()
    for machine in range(1, 1_001):
        take(known, machine, *system(f"model-{machine}"))

    models = {known.attributes(MachineNo(n))["model"] for n in range(1, 1_001)}

    assert len(models) == VALUES + 1
    assert OTHER in models


def test_a_machine_that_changes_its_mind_takes_up_one_value_at_a_time():
    """One machine must not use up the values of all the others."""
    known = Inventories()
    for turn in range(1_000):
        take(known, 1, *system(f"model-{turn}"))

    take(known, 2, *system("R650"))

    assert known.attributes(MachineNo(2))["model"] == "R650"


def test_a_value_that_nobody_tells_any_more_makes_room():
    """Kernels come and go; the names of old ones must not fill the table for ever."""
    known = Inventories()
    for machine in range(1, VALUES + 1):
        take(known, machine, *system("R650", kernel=f"6.1.{machine}"))
    take(known, 1, *system("R650", kernel="6.1.2"))

    take(known, 500, *system("R650", kernel="6.9"))

    assert known.attributes(MachineNo(500))["kernel"] == "6.9"


def test_much_that_waits_is_stored_before_the_bucket_ends():
    """A fleet that enrols in a minute must not fill the memory with its lists."""
    known = Inventories()
    machine = 0
    while not known.full:
        machine += 1
        rows = [{"name": f"{machine}-{n}", "version": "1"} for n in range(500)]
        take(known, machine, ("deb_packages", rows))

    assert machine < 1_000
    assert len(known.drain()[0]) == machine
    assert not known.full
