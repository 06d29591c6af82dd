"""Promise 4: whatever fails, every machine gets what it had, and nobody new is admitted."""

import contextlib
import json
import resource
import sqlite3
import time
from collections.abc import Iterator
from http import HTTPStatus
from itertools import count

import pytest
from tests.tree import LEASE_S, Tree, until

from firedoor.simulator.stage import CHANNEL

MACHINES = 40
DEADLINE_S = 2

_numbers = count(1)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Iterator[Tree]:
    """A tree whose machines may be enrolled; each test takes them on by one good release.

    A budget of half the fleet: of interest is what interrupts a rollout, so it may be quick.
    """
    tree = Tree(tmp_path_factory.mktemp("static"), budget="20")
    tree.publish("1.0")
    with tree:
        tree.let_live(MACHINES, heartbeating=0.5)
        until(tree.is_ready, "the fleet is ready", tree.tail)
        yield tree


@pytest.fixture
def observer(tree) -> str:
    """A machine that runs what everybody runs, and is too new to be enrolled."""
    name = f"observer-{next(_numbers)}"
    tree.enrol(name)
    until(lambda: tree.get("version.json", name).status == HTTPStatus.OK, "it is served")
    return name


def cards(tree: Tree, number: int) -> int:
    """Cards of a boarding drawn so far, in either arm."""
    with tree.gate() as gate:
        return sum(stored.place.deck > 0 for stored in gate.places_of(CHANNEL, number))


def is_serving(tree: Tree) -> bool:
    """Wait until the fleet has been answered some more; fail if it is not."""
    before = tree.fleet_says["polls"]
    until(lambda: tree.fleet_says["polls"] > before + MACHINES, "it is answered", tree.tail)
    return True


def has_what_it_had(tree: Tree, machine: str, number: int) -> bool:
    """Say whether a machine is served the release before this one, or one it drew a card for.

    On a slow machine an observer is there long enough to be enrolled before anything breaks.
    """
    reply = tree.get("version.json", machine)
    with contextlib.closing(sqlite3.connect(tree.files.data / "machines.db")) as register:
        ((no,),) = register.execute("SELECT no FROM machine WHERE name = ?", (machine,))
    with tree.gate() as gate:
        drew = any(
            place.machine == no and place.treated and place.deck > 0
            for place in (stored.place for stored in gate.places_of(CHANNEL, number))
        )
    version = number if drew else number - 1
    return (reply.status, json.loads(reply.body)) == (200, {"version": f"{version}.0"})


def start_admitting(tree: Tree) -> int:
    """Publish a good release, wait until its first cards are drawn, and return its number."""
    number = tree.door().number + 1
    tree.publish(f"{number}.0")
    until(lambda: tree.is_at(number, "opening"), "it boards", tree.tail)
    until(lambda: cards(tree, number), "cards are drawn", tree.tail)
    return number


def finish(tree: Tree, number: int) -> None:
    """The release that was interrupted reaches everybody; nothing is held against it."""
    until(lambda: tree.installed(f"{number}.0") == MACHINES, "it is everywhere", tree.tail)
    with tree.judge() as judge:
        bodies = [signed.entry.body for signed in judge.entries() if signed.entry.kind == "door"]
    assert [body["to"] for body in bodies if body["number"] == number] == ["open"]
    assert tree.happenings("torn") == []


def test_without_the_judge_the_gate_serves_on_and_enrols_nobody(tree, observer):
    """Leases run out: a gate that nobody watches must not widen a door."""
    number = start_admitting(tree)

    with tree.down("judge"):
        time.sleep(2 * LEASE_S)
        before = cards(tree, number)
        serving = is_serving(tree)
        observed = has_what_it_had(tree, observer, number)
        time.sleep(2 * LEASE_S)
        after = cards(tree, number)

    assert serving
    assert observed
    assert after == before
    finish(tree, number)


def test_without_the_intake_nothing_is_decided_on_its_silence(tree, observer):
    """An intake that is down makes every agent silent; that must not look like harm."""
    number = start_admitting(tree)

    with tree.down("intake"):
        time.sleep(2 * DEADLINE_S)
        serving = is_serving(tree)
        observed = has_what_it_had(tree, observer, number)
        with tree.judge() as judge:
            harmed = judge.harmed(CHANNEL, number)

    assert serving
    assert observed
    assert harmed == []
    finish(tree, number)


def test_without_the_console_everything_goes_on(tree):
    """People who cannot look do not stop the evidence."""
    with tree.down("console"):
        number = start_admitting(tree)
        finish(tree, number)


def test_a_gate_that_was_killed_is_a_pause_not_a_refusal(tree, observer):
    """The listening socket outlives it: machines wait in its backlog, and none is lost."""
    number = start_admitting(tree)
    unreachable = tree.fleet_says["unreachable"]

    tree.kill("gate")
    observed = has_what_it_had(tree, observer, number)

    assert observed
    assert is_serving(tree)
    # Only what was under way on a connection when it was cut.
    assert tree.fleet_says["unreachable"] - unreachable <= MACHINES
    finish(tree, number)


@contextlib.contextmanager
def full_disk(tree: Tree) -> Iterator[None]:
    """No file of any role may grow: every write fails, as on a disk that is full.

    The kernel's limit of the size of files, set from outside on the running processes; it asks
    for no rights, unlike a small file system, and holds for their logs too.
    """
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    pids = list(tree.pids().values())
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


def test_on_a_full_disk_machines_keep_what_they_had_and_nobody_is_enrolled(tree, observer):
    """A place that cannot be recorded is not given away; and when there is room, it goes on."""
    newcomer = f"newcomer-{next(_numbers)}"
    tree.enrol(newcomer)
    number = start_admitting(tree)
    roles = tree.pids()
    signal = {"machine": observer, "time": 1, "kind": "check-failed", "id": "on a full disk"}

    with full_disk(tree):
        time.sleep(2 * LEASE_S)
        before = cards(tree, number)
        serving = is_serving(tree)
        observed = has_what_it_had(tree, observer, number)
        refused = tree.get("version.json", newcomer)
        unheard = tree.ask(
            "POST",
            "/v1/signals",
            role="intake",
            machine=observer,
            body=json.dumps(signal).encode(),
        )
        time.sleep(2 * LEASE_S)
        after = cards(tree, number)
        survivors = tree.pids()

    assert serving
    assert observed
    # It had nothing yet, and what it would get cannot be put on record.
    assert (refused.status, "retry-after" in refused.headers) == (503, True)
    # Not acknowledged, so its sender keeps it.
    assert unheard.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert after == before
    assert survivors == roles
    finish(tree, number)
