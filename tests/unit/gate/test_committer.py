"""Many admissions, one write to disk; and nobody is answered before it is there."""

import asyncio
import threading

import pytest
from tests.clocks import HandClock

from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.core.errors import Unavailable
from firedoor.core.signal import Reports
from firedoor.gate.committer import Committer
from firedoor.services.places import Cut, Place


def place(machine, deck=1):
    return Place("av", 2, "everyone", deck, machine, machine, False, 0, Reports.NOTHING, 5)


def cut(deck=1):
    return Cut("av", 2, "everyone", deck, 9, 1, 5)


class Disk(GateWriter):
    """A real store on a disk that can be slow, full, or broken; counts its commits."""

    def __init__(self, data):
        super().__init__(data)
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.groups: list[list[int]] = []

    def commit(self, places, cuts, at):
        """As slowly as the test wants."""
        assert self.go.wait(10)
        self.groups.append([place.machine for place in places])
        if self.error is not None:
            raise self.error
        super().commit(places, cuts, at)


@pytest.fixture
def disk(tmp_path):
    opened = Disk(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def reader(tmp_path, disk):  # noqa: ARG001 - the disk makes the file
    opened = GateReader(tmp_path)
    yield opened
    opened.close()


def run(disk, scene):
    async def play():
        committer = Committer(disk, HandClock())
        try:
            await scene(committer)
        finally:
            disk.go.set()
            await committer.close()

    asyncio.run(play())


def test_what_was_committed_is_on_disk_when_the_call_returns(disk, reader):
    """The first byte follows."""

    async def scene(committer):
        await committer.commit([place(1), place(2)], [cut()])
        assert [s.place.machine for s in reader.places_after(0)] == [1, 2]
        assert len(reader.cuts_after(0)) == 1

    run(disk, scene)


def test_whoever_comes_during_a_write_shares_the_next(disk, reader):
    """A burst of a thousand polls costs a few syncs, not a thousand."""

    async def scene(committer):
        disk.go.clear()
        asked = [asyncio.create_task(committer.commit([place(n)], [])) for n in range(50)]
        await asyncio.sleep(0)
        late = [asyncio.create_task(committer.commit([place(n)], [])) for n in range(50, 60)]
        await asyncio.sleep(0)
        disk.go.set()
        await asyncio.gather(*asked, *late)

    run(disk, scene)
    assert len(disk.groups) <= 3
    assert [s.place.machine for s in reader.places_after(0)] == list(range(60))


def test_the_order_of_the_calls_is_the_order_on_disk(disk, reader):
    """A cut may never be read before the last place of its deck."""

    async def scene(committer):
        waiting = [committer.submit([place(n)], []) for n in range(5)]
        waiting.append(committer.submit([], [cut()]))
        await asyncio.gather(*waiting)

    run(disk, scene)
    assert [s.place.machine for s in reader.places_after(0)] == list(range(5))
    assert len(reader.cuts_after(0)) == 1


def test_a_refused_write_is_told_to_everybody_in_its_group_and_to_nobody_else(disk, reader):
    """They are served what they had; the next ones get their chance."""

    async def scene(committer):
        disk.error = Unavailable("disk full")
        failed = await asyncio.gather(
            *(committer.commit([place(n)], []) for n in range(3)), return_exceptions=True
        )
        assert [type(error) for error in failed] == [Unavailable] * 3
        disk.error = None
        await committer.commit([place(9)], [])

    run(disk, scene)
    assert [s.place.machine for s in reader.places_after(0)] == [9]


def test_a_defect_in_the_writer_leaves_nobody_waiting_for_ever(disk):
    """A request without an answer holds a connection until the client gives up."""

    async def scene(committer):
        disk.error = ZeroDivisionError("a defect")
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(committer.commit([place(1)], []), 10)
        disk.error = None
        await asyncio.wait_for(committer.commit([place(2)], []), 10)

    run(disk, scene)


def test_a_request_that_was_given_up_is_recorded_all_the_same(disk, reader):
    """Its machine has its card; the next in the group must not lose theirs."""

    async def scene(committer):
        disk.go.clear()
        gone = asyncio.create_task(committer.commit([place(1)], []))
        stays = asyncio.create_task(committer.commit([place(2)], []))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        disk.go.set()
        await stays
        assert gone.cancelled()

    run(disk, scene)
    assert [s.place.machine for s in reader.places_after(0)] == [1, 2]


def test_other_work_waits_for_its_turn_on_the_same_thread(disk):
    """SQLite's writer is used by one thread at a time."""
    threads = set()

    async def scene(committer):
        for _ in range(3):
            threads.add(await committer.run(threading.get_ident))
        await committer.commit([place(1)], [])

    run(disk, scene)
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_closing_finishes_what_is_waiting(disk, reader):
    """A gate that ends in order loses no card."""

    async def scene(committer):
        committer.submit([place(1)], [])
        committer.submit([place(2)], [cut()])

    run(disk, scene)
    assert [s.place.machine for s in reader.places_after(0)] == [1, 2]
