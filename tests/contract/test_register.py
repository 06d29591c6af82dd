"""Every register that is written in one process and read in another."""

import sqlite3
from contextlib import closing

import pytest
from tests.clocks import HandClock

from firedoor.adapters.store import register as store
from firedoor.adapters.store import register_tokens
from firedoor.adapters.store.register import ROTATION_MS, MachineRegister
from firedoor.core.errors import BadConfig, BadInput, NotFound, Rejected, Unavailable
from firedoor.core.units import UnixMs
from firedoor.ports import Identity


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def register(tmp_path, clock):
    opened = MachineRegister(tmp_path / "machines.db", clock)
    yield opened
    opened.close()


@pytest.fixture
def reader(tmp_path, clock, register):  # noqa: ARG001 - the writer makes the file
    """The view of another process."""
    opened = MachineRegister(tmp_path / "machines.db", clock, read_only=True)
    yield opened
    opened.close()


def now(clock):
    return clock.now().wall_ms


def test_each_door_knows_its_own_token_only(register, reader, clock):
    """A read token that leaks in a client's configuration must not be able to fake crashes."""
    till = register.enroll("till-17", {}, now(clock))

    assert reader.identify(till.read, "read") == Identity(till.no, "till-17")
    assert reader.identify(till.signal, "signal") == Identity(till.no, "till-17")
    assert reader.identify(till.read, "signal") is None
    assert reader.identify(till.signal, "read") is None
    assert reader.identify("", "signal") is None


def test_no_token_is_stored_in_clear(tmp_path, register, clock):
    """A stolen database must not open a door."""
    till = register.enroll("till-17", {}, now(clock))
    collector = register.enroll_collector("c", ["*"], now(clock))
    register.close()

    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert b"till-17" in stored
    assert not any(t.encode() in stored for t in (till.read, till.signal, collector))


def test_numbers_are_dense_and_never_used_again(register, clock):
    """Everything else is keyed on the number: another machine must never inherit a history."""
    numbers = [register.enroll(name, {}, now(clock)).no for name in ("a", "b", "c")]
    register.revoke("c", now(clock))

    assert numbers == [1, 2, 3]
    assert register.enroll("d", {}, now(clock)).no == 4


def test_a_machine_enrolled_again_keeps_its_number_and_loses_its_old_tokens(
    register, reader, clock
):
    """A machine set up afresh is the same machine; what its old disk held is worth nothing."""
    old = register.enroll("till-17", {"site": "prague"}, now(clock))
    register.revoke("till-17", now(clock))

    new = register.enroll("till-17", {"site": "brno"}, now(clock))

    assert new.no == old.no
    assert reader.identify(old.read, "read") is None
    assert reader.identify(new.read, "read") == Identity(new.no, "till-17")
    assert reader.attributes(new.no) == {"site": "brno"}


def test_a_revocation_holds_from_the_next_request_on(register, reader, clock):
    """The reader remembers tokens; a stolen machine must not live on in that memory."""
    till = register.enroll("till-17", {}, now(clock))
    assert reader.identify(till.read, "read") is not None
    assert reader.number("till-17") == till.no

    register.revoke("till-17", now(clock))

    assert reader.identify(till.read, "read") is None
    assert reader.number("till-17") is None
    assert reader.numbers(["till-17"]) == {}


def test_what_is_held_stays_until_it_is_let_go(register, reader, clock):
    """The gate reads for a moment from one state; what changes meanwhile holds from the next."""
    old = register.enroll("till-17", {}, now(clock))
    reader.hold()
    reader.hold()
    assert reader.identify(old.read, "read") is not None
    register.revoke("till-17", now(clock))
    new = register.enroll("till-18", {}, now(clock))

    assert reader.identify(new.read, "read") is None

    reader.let_go()
    reader.let_go()
    assert reader.identify(old.read, "read") is None
    assert reader.identify(new.read, "read") == Identity(new.no, "till-18")


def test_the_writer_forgets_what_it_changed_itself(register, clock):
    """The version counts other connections' changes only."""
    till = register.enroll("till-17", {}, now(clock))
    assert register.identify(till.read, "read") is not None

    register.revoke("till-17", now(clock))

    assert register.identify(till.read, "read") is None


def test_old_tokens_work_one_day_beside_the_new(register, reader, clock):
    """Time to bring the new token to the machine, and an end to it."""
    old = register.enroll("till-17", {}, now(clock))
    new = register.rotate("till-17", now(clock))

    assert reader.identify(old.read, "read") == reader.identify(new.read, "read")
    clock.pass_ms(ROTATION_MS - 1)
    assert reader.identify(old.signal, "signal") is not None
    clock.pass_ms(1)
    assert reader.identify(old.read, "read") is None
    assert reader.identify(old.signal, "signal") is None
    assert reader.identify(new.read, "read") == Identity(new.no, "till-17")


def test_rotating_twice_does_not_lengthen_the_life_of_the_first_tokens(register, reader, clock):
    """Otherwise a daily rotation would keep every token alive for ever."""
    first = register.enroll("till-17", {}, now(clock))
    register.rotate("till-17", now(clock))
    clock.pass_ms(ROTATION_MS // 2)
    register.rotate("till-17", now(clock))
    clock.pass_ms(ROTATION_MS // 2)

    assert reader.identify(first.read, "read") is None


def test_a_collector_speaks_for_patterns_at_the_intake_only(register, reader, clock):
    """One agent of a virtualisation host may report the crashes of its guests."""
    token = register.enroll_collector("prague", ["till-*", "pos-*"], now(clock))

    assert reader.identify(token, "signal") == Identity(None, "prague", ("till-*", "pos-*"))
    assert reader.identify(token, "read") is None
    assert [c.name for c in reader.collectors()] == ["prague"]


def test_a_revoked_collector_is_a_stranger(register, reader, clock):
    """It spoke for many: it must be as easy to silence as one machine."""
    token = register.enroll_collector("prague", ["*"], now(clock))
    assert reader.identify(token, "signal") is not None

    register.revoke_collector("prague")

    assert reader.identify(token, "signal") is None
    assert reader.collectors() == []


def test_enrolling_many_is_all_or_none(register, clock):
    """A list with one bad line is corrected and given again; half of it must not be there."""
    register.enroll("b", {}, now(clock))

    with pytest.raises(Rejected, match="b is enrolled"):
        register.enroll_many([("a", {}), ("b", {})], now(clock))
    with pytest.raises(Rejected, match="twice"):
        register.enroll_many([("a", {}), ("a", {})], now(clock))
    with pytest.raises(BadInput):
        register.enroll_many([("a", {}), ("b/c", {})], now(clock))

    assert register.count() == 1
    assert register.number("a") is None


def test_a_bulk_enrolment_gives_every_machine_its_own_working_tokens(
    register, reader, clock, monkeypatch
):
    """The bulk path makes the index afresh; nothing else may differ."""
    monkeypatch.setattr(register_tokens, "_BULK", 10)

    many = register.enroll_many([(f"m-{n}", {"n": str(n)}) for n in range(20)], now(clock))
    register.revoke("m-3", now(clock))

    assert len({token for e in many for token in (e.read, e.signal)}) == 40
    known = [reader.identify(e.signal, "signal") for e in many]
    assert known == [None if e.name == "m-3" else Identity(e.no, e.name) for e in many]
    assert reader.count() == 19


def test_the_list_shows_all_in_order_of_number_page_by_page(register, reader, clock):
    """A console pages through a million machines."""
    register.enroll_many([(name, {"site": name}) for name in ("x", "y", "z")], now(clock))
    register.revoke("y", UnixMs(5))

    first = reader.entries(limit=2)
    rest = reader.entries(after=first[-1].machine.no)

    assert [entry.machine.name for entry in [*first, *rest]] == ["x", "y", "z"]
    assert [entry.revoked for entry in [*first, *rest]] == [None, 5, None]
    assert reader.entry("y") == first[1]


def test_attributes_can_be_replaced(register, reader, clock):
    """Inventory learns more than enrolment knew."""
    till = register.enroll("till-17", {"site": "prague"}, now(clock))

    register.set_attributes("till-17", {"model": "T4", "os": "Debian 12"})

    assert reader.attributes(till.no) == {"model": "T4", "os": "Debian 12"}
    assert reader.attributes(till.no + 1) == {}


def test_what_was_never_enrolled_is_not_found(register, clock):
    """A typing error must not look like success."""
    for change in (
        lambda: register.revoke("nobody", now(clock)),
        lambda: register.rotate("nobody", now(clock)),
        lambda: register.set_attributes("nobody", {}),
        lambda: register.revoke_collector("nobody"),
        lambda: register.entry("nobody"),
    ):
        with pytest.raises(NotFound, match="nobody"):
            change()


def test_a_collector_needs_a_name_of_its_own_and_somebody_to_speak_for(register, clock):
    """Two collectors of one name could not be told apart when one is to be silenced."""
    register.enroll_collector("prague", ["*"], now(clock))

    with pytest.raises(Rejected, match="exists"):
        register.enroll_collector("prague", ["*"], now(clock))
    with pytest.raises(Rejected, match="no machine"):
        register.enroll_collector("brno", [], now(clock))


def test_the_version_moves_when_another_process_changes_the_register(register, reader, clock):
    """Whoever remembers something of the register asks this before using it."""
    before = reader.version()
    assert reader.version() == before

    register.enroll("till-17", {}, now(clock))

    assert reader.version() != before


def test_memory_of_tokens_is_bounded_and_forgetting_changes_no_answer(
    register, reader, clock, monkeypatch
):
    """A million machines must not fill the memory of the gate."""
    monkeypatch.setattr(store, "_REMEMBERED", 3)
    many = register.enroll_many([(f"m-{n}", {}) for n in range(10)], now(clock))

    for enrolment in [*many, *many]:
        assert reader.identify(enrolment.read, "read") == Identity(enrolment.no, enrolment.name)
        assert reader.number(enrolment.name) == enrolment.no


def test_a_reader_before_the_first_enrolment_waits_for_the_file(tmp_path, clock):
    """Roles start in any order."""
    with pytest.raises(Unavailable):
        MachineRegister(tmp_path / "other.db", clock, read_only=True)


def test_a_register_of_before_certificates_goes_on(tmp_path, clock):
    """Tokens are on machines all over the world: none of them may be forgotten."""
    path = tmp_path / "old.db"
    old = MachineRegister(path, clock)
    till = old.enroll("till-17", {"site": "prague"}, now(clock))
    old.close()
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript("DROP TABLE certificate; DROP TABLE host_id; PRAGMA user_version = 1")
    with pytest.raises((BadConfig, Unavailable)):
        MachineRegister(path, clock, read_only=True)

    MachineRegister(path, clock).close()
    opened = MachineRegister(path, clock, read_only=True)

    assert opened.identify(till.read, "read") == Identity(till.no, "till-17")
    assert opened.certified("till-17", "aa") == till.no
    assert opened.issued() == []
    opened.close()
