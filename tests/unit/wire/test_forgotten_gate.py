"""A lost gate.db: no ring opens because nobody is remembered, and the block says what was lost."""

from collections.abc import Iterator

import pytest
from tests.clocks import HandClock
from tests.loop import AV, Loop, memory
from tests.unit.wire.test_replaced import Vault

from firedoor.adapters.store import gate
from firedoor.adapters.store.register import MachineRegister
from firedoor.console.language import load
from firedoor.console.phrases import situation
from firedoor.core.door import Reason, State
from firedoor.core.ring import EVERYONE, Ring
from firedoor.core.units import UnixMs
from firedoor.services.records import Block
from firedoor.wire.channels import Known, described
from firedoor.wire.gate_role import Enrolled

LAB = Ring("lab", (("site", ("brno", "prague")),))
RINGS = (LAB, Ring(EVERYONE))


@pytest.fixture
def vault() -> Iterator[Vault]:
    """Twenty machines that have been known for two weeks; release 1 is adopted."""
    with memory() as folder:
        loop = Loop(folder, 20)
        loop.settle_in()
        loop.clock.pass_ms(14 * 24 * 3_600_000)
        loop.bucket(2)
        made = Vault(loop)
        made.look()
        yield made
        made.close()
        loop.close()


def forget(vault: Vault) -> None:
    """Lose gate.db; a gate is started on what lies there, and nobody has polled it yet."""
    vault.lose(gate.NAME)
    vault.look()
    vault.loop.dead = set(vault.loop.machines)
    vault.loop.start_gate()
    vault.loop.start_judge()
    vault.loop.bucket(2)


def test_the_next_release_after_a_loss_does_not_open_to_machines_that_were_forgotten(vault):
    """A person resumed the channel, the vendor published, and everybody had it at once."""
    forget(vault)
    vault.loop.order("unblock", channel=AV, reason="they poll again")

    vault.loop.publish("2")
    vault.loop.bucket(3)

    assert (vault.loop.door(2).state, vault.loop.door(2).reason) == (
        State.OPENING,
        Reason.EVIDENCE,
    )
    assert "20 machines of this ring are enrolled, none has polled yet" in vault.alerts()[-1]


def test_a_gate_that_lost_nothing_remembers_who_polled(vault):
    """The two weeks of before would not do: it is the loss that makes the difference."""
    vault.loop.publish("2")
    vault.loop.bucket()

    assert vault.loop.judge.hearing.absent(AV, "everyone") == 0


def test_an_older_gate_db_does_not_vouch_for_machines_that_came_after_it(vault):
    """It reaches back for weeks and says that nobody else polled; that was before they came."""
    vault.copy(gate.NAME)
    vault.loop.machines = list(range(1, 31))
    vault.loop.bucket(3)

    forget(vault)

    assert vault.loop.judge.hearing.count(AV, "everyone", board=0).active == 20
    assert vault.loop.judge.hearing.absent(AV, "everyone") == 10


# What a block says


def test_a_channel_that_was_blocked_by_a_loss_says_what_was_lost(vault):
    """It once told of two releases that ended badly, where there were none."""
    forget(vault)

    state = vault.loop.store.channel(AV)
    told = described(vault.loop.config.channel(AV), Known(state, (), None, {}, None), machines=0)

    assert state.blocked is Block.GATE_LOST
    assert "gate.db was deleted, replaced or restored" in told.state
    assert "look first whether the machines poll again" in told.state
    assert "two releases in a row" not in told.state
    assert told.blocked_by == "gate records lost"
    assert any("(gate.db)" in sentence for sentence in situation(load()["en"], told, None, None))


def test_a_lost_ledger_stays_the_reason_when_more_is_lost(vault):
    """What was shut has to be looked for, whatever else has gone since."""
    train = vault.loop.train
    with vault.loop.store.step():
        train.block(AV, Block.LEDGER_LOST)
        train.block(AV, Block.GATE_LOST)

    assert vault.loop.store.channel(AV).blocked is Block.LEDGER_LOST


# Who is enrolled


@pytest.fixture
def register(tmp_path) -> Iterator[MachineRegister]:
    """Three machines in the lab's sites, two elsewhere."""
    opened = MachineRegister(tmp_path / "machines.db", HandClock())
    sites = [{"site": "brno"}, {"site": "brno"}, {"site": "prague"}, {"site": "oslo"}, {}]
    opened.enroll_many([(f"m-{n}", each) for n, each in enumerate(sites, 1)], UnixMs(1))
    yield opened
    opened.close()


@pytest.mark.usefixtures("register")
def test_enrolled_machines_are_counted_in_their_rings(tmp_path):
    """By the rule that admits them, or the wrong ring would wait for them."""
    enrolled = Enrolled(tmp_path / "machines.db", HandClock(), RINGS)

    assert enrolled.count() == {"lab": 3, EVERYONE: 2}


def test_an_attribute_may_have_any_name(register, tmp_path):
    """In a query a name must not become a path or a quotation."""
    odd = """地点.a"b$'c\\d"""
    register.enroll("m-7", {odd: "x", "b": "y"}, UnixMs(2))
    rings = (Ring("odd", ((odd, ("x",)), ("b", ("y",)))), Ring("$", (("$", ("x",)),)), *RINGS)

    enrolled = Enrolled(tmp_path / "machines.db", HandClock(), rings)

    assert enrolled.count() == {"odd": 1, "lab": 3, EVERYONE: 2}


def test_where_there_is_one_ring_everybody_enrolled_is_in_it(register, tmp_path):
    """Also in a register of nobody, where the count is 0 and no gap."""
    enrolled = Enrolled(tmp_path / "machines.db", HandClock(), (Ring(EVERYONE),))

    assert enrolled.count() == {EVERYONE: 5}
    for number in range(1, 6):
        register.revoke(f"m-{number}", UnixMs(2))
    assert enrolled.count() == {EVERYONE: 0}


def test_the_count_follows_the_register(register, tmp_path):
    """Who was revoked is waited for no more; who was enrolled a moment ago is."""
    enrolled = Enrolled(tmp_path / "machines.db", HandClock(), RINGS)
    enrolled.count()

    register.revoke("m-1", UnixMs(2))
    register.enroll("m-6", {"site": "oslo"}, UnixMs(2))
    register.set_attributes("m-5", {"site": "prague"})

    assert enrolled.count() == {"lab": 3, EVERYONE: 2}
    register.revoke("m-2", UnixMs(3))
    assert enrolled.count() == {"lab": 2, EVERYONE: 2}


def test_a_register_that_cannot_be_read_leaves_the_last_count(register, tmp_path):
    """With none, every ring would look as if nobody could be in it."""
    enrolled = Enrolled(tmp_path / "machines.db", HandClock(), RINGS)
    register.close()
    (tmp_path / "machines.db").write_bytes(b"\0" * 4096)

    assert enrolled.count() == {"lab": 3, EVERYONE: 2}
