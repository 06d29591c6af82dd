"""Sweeping: the disk does not fill, and nothing goes that a machine could still be given."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.loop import AV, Loop, memory

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.config import from_text
from firedoor.core.units import Digest
from firedoor.services.order import Answer, Order
from firedoor.services.orders import Orders
from firedoor.wire.files import Files
from firedoor.wire.housekeeping import Sweeper
from firedoor.wire.mirroring import Mirror

DAY_MS = 86_400_000
SHARED = "always the same"


def digest_of(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).hexdigest())


@dataclass
class House:
    """A loop whose releases have bytes on a disk, and a sweeper."""

    loop: Loop
    blobs: DiskBlobs
    sweeper: Sweeper

    def publish(self, version: str) -> str:
        """The vendor publishes, the mirror fetches, and a person lets it through at once."""
        for text in (version, SHARED):
            self.blobs.put(iter([text.encode()]))
        release = self.loop.publish(version)
        self.loop.bucket()
        if version != "1":
            self.loop.order("expedite", release=release, reason="quick", all=True)
        self.loop.bucket()
        return release

    def history(self, count: int) -> list[str]:
        """So many releases, each open after the other."""
        return [self.publish(str(number)) for number in range(1, count + 1)]

    def held(self, count: int) -> list[int]:
        """Versions whose own file is on the disk."""
        return [n for n in range(1, count + 1) if self.blobs.has(digest_of(str(n)))]

    def sweep(self, *, days: float = 0.0) -> int:
        """Let time pass and sweep; returns the blobs deleted."""
        self.loop.clock.pass_ms(round(days * DAY_MS))
        swept = self.sweeper.sweep()
        assert swept is not None
        return swept.blobs

    def order(self, verb: str, release: str) -> Answer:
        """A person's order, as the court has it carried out."""
        loop = self.loop
        mirror = Mirror(loop.config.channels, self.blobs, loop.clock, lambda _: b"")
        orders = Orders(
            loop.judge,
            loop.train,
            loop.config,
            lambda _: None,
            lambda each: mirror.claim(loop.store.manifest(each)),
        )
        with loop.store.step():
            order = Order(verb, "Amira", "going back", channel=AV, release=release, all=True)
            return orders.obey(order, loop.clock.now())


@pytest.fixture
def open_house() -> Iterator[Callable[..., House]]:
    with ExitStack() as stack:

        def begin(machines: int = 3) -> House:
            loop = Loop(stack.enter_context(memory()), machines)
            stack.callback(loop.close)
            # The times of files are the system's, whatever a test would like.
            loop.clock.wall_ms = round(time.time() * 1000)
            blobs = DiskBlobs(Files(loop.config.data).blobs)
            sweeper = Sweeper(loop.config, Files(loop.config.data), blobs, loop.clock)
            stack.callback(sweeper.close)
            return House(loop, blobs, sweeper)

        yield begin


@pytest.fixture
def house(open_house: Callable[..., House]) -> House:
    return open_house()


def test_bytes_of_releases_that_nobody_can_be_given_go_after_a_day(house: House) -> None:
    """The tenth is served, the two before are what it falls back to, and five more are kept."""
    house.history(10)

    assert house.sweep() == 0
    assert house.sweep(days=0.5) == 0
    assert house.sweep(days=0.6) == 2
    assert house.held(10) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert house.blobs.has(digest_of(SHARED))
    assert house.sweep(days=30) == 0


def test_a_release_whose_bytes_are_gone_cannot_be_pinned_or_expedited(house: House) -> None:
    """The machines would get errors instead of the release; the person must know what to do."""
    releases = house.history(9)
    house.sweep()
    house.sweep(days=1.1)

    for verb in ("pin", "expedite"):
        gone = house.order(verb, releases[0])
        assert gone.status == "NotFound"
        said = json.loads(gone.body)
        assert "missing" in said["error"]
        assert "keeps 5 past releases" in said["error"]
        assert said["hint"] == "if upstream offers it again: firedoor channel sync av"
    assert house.order("pin", releases[2]).status == "ok"


def test_a_release_that_upstream_brings_again_can_be_pinned_again(house: House) -> None:
    """The hint says so."""
    releases = house.history(9)
    house.sweep()
    house.sweep(days=1.1)
    house.blobs.put(iter([b"1"]))

    assert house.order("pin", releases[0]).status == "ok"


def test_a_release_that_is_pinned_between_two_sweeps_keeps_its_bytes(house: House) -> None:
    """What the sweep decided a moment before must not count against a person's order."""
    releases = house.history(9)
    house.sweep()
    house.loop.clock.pass_ms(round(1.1 * DAY_MS))
    os.utime(house.blobs.path(digest_of("1")), (time.time() + DAY_MS / 1000,) * 2)
    assert house.order("pin", releases[0]).status == "ok"

    house.sweep()
    house.sweep(days=2)

    assert house.held(9)[0] == 1


def test_files_of_a_mirror_that_failed_go_too(house: House) -> None:
    """A vendor that always breaks off would fill the disk with beginnings."""
    house.history(1)
    house.blobs.put(iter([b"of no release"]))

    house.sweep()
    assert house.sweep(days=1.1) == 1
    assert not house.blobs.has(digest_of("of no release"))


def test_files_of_a_mirror_that_runs_stay(house: House) -> None:
    """No release names them yet, and the first ones were fetched hours ago."""
    house.history(1)
    house.sweep()
    house.blobs.put(iter([b"of the next release"]))

    assert house.sweep(days=0.25) == 0
    assert house.sweep(days=0.25) == 0


def test_a_sweep_that_was_never_there_before_deletes_nothing(house: House, tmp_path: Path) -> None:
    """A judge started over an empty database must not take it for the truth at once."""
    house.history(1)
    config = from_text("", base=tmp_path)
    empty = Loop(tmp_path, 1)
    empty.clock.wall_ms = house.loop.clock.wall_ms + 99 * DAY_MS
    config = empty.config
    sweeper = Sweeper(config, Files(config.data), house.blobs, empty.clock)
    swept = sweeper.sweep()
    sweeper.close()
    empty.close()

    assert swept is not None
    assert (swept.blobs, swept.unused) == (0, 2)
    assert house.held(1) == [1]


def test_what_a_machine_stands_on_is_kept_while_it_comes_now_and_then(
    open_house: Callable[..., House],
) -> None:
    """When nothing can be written down, machines are given what they had."""
    house = open_house(2)
    house.publish("1")
    house.loop.dead.add(2)
    for number in range(2, 11):
        house.publish(str(number))

    house.sweep()
    house.sweep(days=1.1)
    assert house.held(10) == [1, 3, 4, 5, 6, 7, 8, 9, 10]

    # It has left for good.
    house.sweep(days=30)
    house.sweep(days=1.1)
    assert house.held(10) == [3, 4, 5, 6, 7, 8, 9, 10]


def test_a_channel_that_left_the_configuration_keeps_what_it_served(house: House) -> None:
    """Whoever takes a channel out by mistake puts it back and goes on."""
    house.history(10)
    text = 'data = "elsewhere"'
    bare = from_text(text, base=house.loop.config.data)
    sweeper = Sweeper(bare, Files(house.loop.config.data), house.blobs, house.loop.clock)
    sweeper.sweep()
    house.loop.clock.pass_ms(2 * DAY_MS)
    swept = sweeper.sweep()
    sweeper.close()

    assert swept is not None
    assert swept.blobs == 2
    assert house.held(10) == [3, 4, 5, 6, 7, 8, 9, 10]


def test_nothing_is_swept_before_judge_and_gate_have_run(tmp_path: Path) -> None:
    """Nobody knows yet what is needed."""
    config = from_text("", base=tmp_path)
    blobs = DiskBlobs(tmp_path / "blobs")
    blobs.put(iter([b"1"]))
    sweeper = Sweeper(config, Files(tmp_path), blobs, Loop.__new__(Loop))  # type: ignore[arg-type]  # never asked

    assert sweeper.sweep() is None


def test_what_was_needed_at_the_last_sweep_outlives_the_next_two(house: House) -> None:
    """Stored a month ago, and a session may have begun on it until a moment ago."""
    house.history(6)
    month_ago = time.time() - 30 * DAY_MS / 1000
    os.utime(house.blobs.path(digest_of("1")), (month_ago, month_ago))
    house.sweep()
    for number in range(7, 13):
        house.publish(str(number))

    assert house.sweep(days=0.25) == 0
    assert house.sweep(days=0.25) == 0
    assert house.held(12)[0] == 1
    assert house.sweep(days=1) >= 1
    assert house.held(12)[0] > 1
