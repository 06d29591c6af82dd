"""Who may speak for which machine, whatever a source calls it."""

import json

import pytest
from tests.osquery import BUGCHECK, event
from tests.unit.intake.posting import line, lines

from firedoor.core.host_id import HostId, HostIdKind
from firedoor.core.machine import Purpose
from firedoor.core.units import UnixMs
from firedoor.intake import voices
from firedoor.intake.voices import Voices

KINDS = list(HostIdKind)


def voice(world, token):
    identity = world.known.identify(token, Purpose.SIGNAL)
    return Voices(world.known).of(identity)


def named(world, name, kind, value):
    """Enrol a machine that its tools call so."""
    return world.register.enroll(name, {}, UnixMs(1), [HostId.of(kind, value)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_collector_finds_a_machine_by_what_any_tool_calls_it(world, kind):
    """One lookup for every source: journal, OpenTelemetry, osquery."""
    made = named(world, "till-99", kind, "What-It-Says")

    found = voice(world, world.collector).called([kind], "  what-it-says ")

    assert found == (made.no, "till-99")


@pytest.mark.parametrize("kind", KINDS)
def test_a_collector_reaches_no_further_than_its_patterns(world, kind):
    """An identity must not open what a name would not."""
    named(world, "pos-99", kind, "x")

    assert voice(world, world.collector).called([kind], "x") is None
    assert voice(world, world.collector).called([kind], "pos-1") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_speaks_for_itself_whatever_it_is_called_and_for_nobody_else(world, kind):
    """Its token says who it is; what its tools say can only show that it is not."""
    named(world, "till-99", kind, "somebody-else")
    own = voice(world, world.till.signal)

    assert own.called([kind], "localhost") == (world.till.no, "till-17")
    assert own.called([kind], "somebody-else") is None


def test_an_identity_of_one_kind_is_none_of_another(world):
    """A host name is nobody's machine id."""
    named(world, "till-99", HostIdKind.HOST_NAME, "abc")

    assert voice(world, world.collector).called([HostIdKind.MACHINE_ID], "abc") is None


def test_an_identity_ends_with_its_machine(world):
    """What is revoked is spoken for by nobody."""
    named(world, "till-99", HostIdKind.HOST_NAME, "abc")
    world.register.revoke("till-99", UnixMs(2))

    assert voice(world, world.collector).called([HostIdKind.HOST_NAME], "abc") is None


def test_no_source_lets_a_machine_speak_for_another(world):
    """The same machine through every door: its own is taken, the other's is not."""
    body = lines(line("till-17", kind="panic"), line("pos-1", kind="panic"))
    world.post(body)
    named(world, "pos-2", HostIdKind.OSQUERY, "pos-2")
    rows = [event(BUGCHECK, at=1_721_362_140, host=host) for host in ("till-17", "pos-2")]
    sent = {"node_key": world.till.signal, "log_type": "result", "data": rows}
    world.post(json.dumps(sent).encode(), path="/osquery/log")

    assert {each.machine for each in world.events()} == {world.till.no}
    assert len(world.events()) == 2


def test_a_collector_of_more_machines_than_are_remembered_loses_no_line(world, monkeypatch):
    """Forgetting names to make room must not refuse machines of the same request."""
    monkeypatch.setattr(voices, "_REMEMBERED_NAMES", 2)
    world.register.enroll_many([("till-20", {}), ("till-21", {})], UnixMs(1))
    world.post(lines(line("till-17"), line("till-20")), world.collector)

    body = lines(line("till-17", kind="panic"), line("till-21", kind="panic"))
    reply = world.post(body, world.collector)

    assert json.loads(reply.body) == {"accepted": 2, "duplicates": 0, "rejected": []}
