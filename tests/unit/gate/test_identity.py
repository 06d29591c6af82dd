"""Who is asking."""

import base64

import pytest
from tests.clocks import HandClock

from firedoor.adapters.store.register import ROTATION_MS, MachineRegister
from firedoor.adapters.store.register_schema import Issued
from firedoor.core.units import UnixMs
from firedoor.gate.identity import Doorbell
from firedoor.ports import Certificate

BOTH = ("certificate", "basic", "path")


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def office(tmp_path, clock):
    """Where machines are enrolled: another process's view of the register."""
    opened = MachineRegister(tmp_path / "machines.db", clock)
    yield opened
    opened.close()


@pytest.fixture
def register(tmp_path, clock, office):  # noqa: ARG001 - the office makes the file
    opened = MachineRegister(tmp_path / "machines.db", clock, read_only=True)
    yield opened
    opened.close()


@pytest.fixture
def till(office, clock):
    return office.enroll("till-1", {}, clock.now().wall_ms)


def basic(name, token):
    return b"Basic " + base64.b64encode(f"{name}:{token}".encode())


def test_a_machine_is_known_by_its_name_and_token(register, till):
    """The ordinary way."""
    assert Doorbell(register, BOTH).by_header(basic("till-1", till.read)) == till.no


def test_a_machine_is_known_by_a_token_in_the_path(register, till):
    """For clients that can send no credentials."""
    assert Doorbell(register, BOTH).by_token(till.read) == till.no


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Basic",
        b"Basic !!!",
        b"Basic " + base64.b64encode(b"no colon"),
        b"Basic " + base64.b64encode(b"\xff\xfe:x"),
        b"Bearer fdr_0",
        basic("", "x"),
        basic("till-1", ""),
        basic("till-1", "fdr_" + "0" * 32),
    ],
)
def test_nonsense_is_nobody(register, till, header):  # noqa: ARG001 - somebody is enrolled
    """Answered 401, never an error."""
    assert Doorbell(register, BOTH).by_header(header) == 0


def test_a_token_under_another_name_is_nobody(register, till, office, clock):
    """A copied configuration must be noticed, not silently be somebody else."""
    office.enroll("till-2", {}, clock.now().wall_ms)

    assert Doorbell(register, BOTH).by_header(basic("till-2", till.read)) == 0


def test_the_token_of_the_intake_does_not_open_the_gate(register, till):
    """One token per purpose."""
    doorbell = Doorbell(register, BOTH)

    assert doorbell.by_header(basic("till-1", till.signal)) == 0
    assert doorbell.by_token(till.signal) == 0


@pytest.mark.parametrize(
    ("order", "header", "path"),
    [(("basic",), True, False), (("path",), False, True), (("certificate",), False, False)],
)
def test_only_the_ways_that_the_operator_allows_are_accepted(register, till, order, header, path):
    """`[gate].identify`."""
    doorbell = Doorbell(register, order)

    assert bool(doorbell.by_header(basic("till-1", till.read))) == header
    assert bool(doorbell.by_token(till.read)) == path
    assert not doorbell.anonymous


def test_a_revoked_machine_is_nobody_from_the_next_look_on(register, till, office, clock):
    """What is remembered is forgotten when the register changes."""
    doorbell = Doorbell(register, BOTH)
    assert doorbell.by_token(till.read) == till.no
    assert not doorbell.changed()
    office.revoke("till-1", clock.now().wall_ms)

    assert doorbell.changed()
    assert doorbell.by_token(till.read) == 0
    assert doorbell.by_header(basic("till-1", till.read)) == 0


def test_a_machine_enrolled_while_the_gate_runs_is_known_at_once(register, office, clock):
    """Strangers are not remembered as strangers."""
    doorbell = Doorbell(register, BOTH)
    assert doorbell.by_token("fdr_" + "0" * 32) == 0
    fresh = office.enroll("till-9", {}, clock.now().wall_ms)

    assert doorbell.by_token(fresh.read) == fresh.no


def test_a_rotated_token_ends_a_minute_after_its_day_is_over(register, till, office, clock):
    """Also if the machine has used it all the time: what is remembered is looked up again."""
    new = office.rotate("till-1", clock.now().wall_ms)
    doorbell = Doorbell(register, BOTH)
    assert doorbell.by_token(till.read) == doorbell.by_token(new.read) == till.no
    assert doorbell.by_header(basic("till-1", till.read)) == till.no
    clock.pass_ms(ROTATION_MS + 1)
    for _ in range(60 * 20):
        assert not doorbell.changed()

    assert doorbell.by_token(till.read) == 0
    assert doorbell.by_header(basic("till-1", till.read)) == 0
    assert doorbell.by_token(new.read) == till.no


def test_a_machine_cannot_fill_the_memory_with_spellings_of_itself(register, till):
    """Every header that decodes to the same credentials is one machine's, and one entry."""
    doorbell = Doorbell(register, BOTH)
    usual = basic("till-1", till.read)
    words = usual.removeprefix(b"Basic ")
    spellings = [
        usual,
        *(b"Basic" + b" " * spaces + words for spaces in range(1, 50)),
        *(word + b" " + words + b" " for word in (b"basic", b"BASIC", b"bAsIc")),
    ]

    assert {doorbell.by_header(header) for header in spellings} == {till.no}
    assert list(doorbell._known) == [usual]  # noqa: SLF001 - nobody else can see its size


def test_a_machine_is_known_by_its_certificate(register, till):
    """Its common name is the machine's; the chain was verified before."""
    doorbell = Doorbell(register, BOTH)

    assert doorbell.by_certificate(Certificate("till-1", "aa")) == till.no
    assert doorbell.by_certificate(Certificate("till-2", "bb")) == 0
    assert Doorbell(register, ("basic",)).by_certificate(Certificate("till-1", "aa")) == 0


def test_a_certificate_ends_with_the_revocation_and_does_not_come_back(
    register, till, office, clock
):
    """A machine that is enrolled again has a new one; the old one may be in other hands."""
    now = clock.now().wall_ms
    office.note_certificate(Issued("till-1", "aa", UnixMs(now + 1)))
    doorbell = Doorbell(register, BOTH)
    assert doorbell.by_certificate(Certificate("till-1", "aa")) == till.no

    office.revoke("till-1", now)
    assert doorbell.changed()
    assert doorbell.by_certificate(Certificate("till-1", "aa")) == 0
    office.enroll("till-1", {}, now)
    assert doorbell.changed()

    assert doorbell.by_certificate(Certificate("till-1", "aa")) == 0
    assert doorbell.by_certificate(Certificate("till-1", "cc")) == till.no


@pytest.mark.parametrize(
    ("order", "first"),
    [(BOTH, True), (("basic", "certificate"), False), (("basic", "path", "certificate"), False)],
)
def test_of_two_that_are_shown_the_order_decides(register, order, first):
    """`[gate].identify`."""
    assert Doorbell(register, order).prefers_certificate(b"Basic x") is first
