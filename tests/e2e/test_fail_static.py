"""Promise 4: whatever fails, every machine gets what it had, and nobody new is admitted."""

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tree import CHANNEL, LEASE_S, Tree, until

MACHINES = 40

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture
def tree(tmp_path):
    """A tree whose machines run 1.0 and may be enrolled."""
    tree = Tree(tmp_path)
    tree.publish("1.0")
    with tree:
        tree.enrol("observer")
        tree.let_live(MACHINES, heartbeating=0.5)
        until(tree.is_ready, "the fleet is ready", tree.tail)
        yield tree


def cards(tree: Tree) -> int:
    """Cards drawn so far, in either arm."""
    with tree.gate() as gate:
        return sum(stored.place.deck > 0 for stored in gate.places_after(0))


def polls(tree: Tree) -> int:
    """Polls that the fleet has had answered."""
    return int(tree.fleet_says.get("polls", 0))


def is_serving(tree: Tree) -> bool:
    """Say whether the fleet goes on being answered."""
    before = polls(tree)
    until(lambda: polls(tree) > before + MACHINES, "the fleet is answered", tree.tail)
    return True


def start_admitting(tree: Tree) -> None:
    """Publish a good release and wait until the first cards are drawn."""
    tree.publish("2.0")
    until(lambda: cards(tree) > 0, "cards are drawn", tree.tail)


def finish(tree: Tree) -> None:
    """The release that was interrupted reaches everybody, and nothing was held against it."""
    until(lambda: tree.installed("2.0") == MACHINES, "2.0 is everywhere", tree.tail, 90)
    assert tree.door().reason in ("cleared", "walked")
    with tree.judge() as judge:
        moves = [signed.entry.body["to"] for signed in judge.entries() if signed.entry.kind == "door"]
    assert moves == ["open"]
    assert tree.happenings("torn") == []


def test_without_the_judge_the_gate_serves_on_and_enrols_nobody(tree):
    """Leases run out: a gate that nobody watches must not widen a door."""
    start_admitting(tree)

    with tree.down("judge"):
        time.sleep(2 * LEASE_S)
        before = cards(tree)
        observed = tree.get("version.json", "observer")
        serving = is_serving(tree)
        time.sleep(2 * LEASE_S)
        after = cards(tree)

    assert serving
    assert (observed.status, observed.body) == (200, b'{"version": "1.0"}\n')
    assert after == before
    finish(tree)


def test_without_the_intake_nothing_is_decided_on_its_silence(tree):
    """An intake that is down makes every agent silent; that must not look like harm."""
    start_admitting(tree)

    with tree.down("intake"):
        time.sleep(5)  # two deadlines
        serving = is_serving(tree)
        with tree.judge() as judge:
            harmed = judge.harmed(CHANNEL, 2)

    assert serving
    assert harmed == []
    finish(tree)


def test_without_the_console_everything_goes_on(tree):
    """People who cannot look do not stop the evidence."""
    with tree.down("console"):
        start_admitting(tree)
        finish(tree)


def test_a_gate_that_was_killed_is_a_pause_not_a_refusal(tree):
    """The listening socket outlives it: machines wait in its backlog, and none is lost."""
    start_admitting(tree)
    unreachable = tree.fleet_says["unreachable"]

    tree.kill("gate")
    observed = tree.get("version.json", "observer")

    assert (observed.status, observed.body) == (200, b'{"version": "1.0"}\n')
    assert is_serving(tree)
    # Only what was under way on a connection when it was cut.
    assert tree.fleet_says["unreachable"] - unreachable <= MACHINES
    finish(tree)


@contextlib.contextmanager
def full_disk(tree: Tree) -> Iterator[None]:
    """No file of any role may grow: every write fails, as on a disk that is full.

    The kernel's limit of the size of files, set from outside on the running processes; it asks
    for no rights, unlike a small file system.
    """
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    pids = [*tree.pids().values()]
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


def test_on_a_full_disk_machines_keep_what_they_had_and_nobody_is_enrolled(tree):
    """A place that cannot be recorded is not given away; and when there is room, it goes on."""
    start_admitting(tree)
    roles = tree.pids()

    with full_disk(tree):
        time.sleep(1)
        before = cards(tree)
        serving = is_serving(tree)
        observed = tree.get("version.json", "observer")
        unheard = tree.ask(
            "POST",
            "/v1/signals",
            role="intake",
            machine="observer",
            body=b'{"machine":"observer","time":1,"kind":"panic"}',
        )
        time.sleep(2 * LEASE_S)
        after = cards(tree)
        received = {line["machine"] for line in tree.happenings("received")}
        assert tree.pids() == roles

    assert serving
    # Nobody is on record for this machine yet, and nothing can be put on record now.
    assert observed.status in (200, 503)
    assert unheard.status == 503
    assert after == before
    assert received <= {f"m{number:03}" for number in range(MACHINES)}
    finish(tree)


def _unused(path: Path) -> int:
    return os.stat(path).st_size
