"""Room on the disk: each level is told once, as an alert where something is to be done."""

import pytest
from tests.loop import Loop, memory

from firedoor.services.room import Limits, Space
from firedoor.wire.storage import StorageWatch

MINUTE_MS = 60_000
DISK = 1 << 40


@pytest.fixture
def loop():
    with memory() as store:
        loop = Loop(store, 1)
        yield loop
        loop.close()


class Disk:
    """A disk whose use a test sets."""

    used = 0

    def space(self) -> Space:
        """As the mirror's store says."""
        return Space(self.used, DISK, 2 * DISK)


def notes(loop: Loop) -> list[tuple[str, bool]]:
    bodies = (signed.entry.body for signed in loop.store.entries(after=-1))
    return [
        (str(body["note"]), bool(body.get("alert")))
        for body in bodies
        if "stor" in str(body.get("note", ""))
    ]


def look(loop: Loop, watch: StorageWatch) -> None:
    loop.clock.pass_ms(MINUTE_MS)
    with loop.store.step():
        watch.look(loop.judge.ledger, loop.clock.now())


def test_each_level_is_told_once_also_by_a_judge_that_starts_anew(loop):
    """A disk that fills up over a week wakes somebody twice, not ten thousand times."""
    disk, limits = Disk(), Limits(budget=100)
    for used in (10, 85, 86, 100, 120):
        disk.used = used
        for _ in range(2):
            look(loop, StorageWatch(limits, disk.space, loop.store))

    close, full = notes(loop)

    assert close[1]
    assert "85 B of storage.budget 100 B are used (85 %)" in close[0]
    assert full[1]
    assert "New releases are not mirrored" in full[0]
    assert "goes on being served" in full[0]


def test_room_again_is_noted_and_wakes_nobody(loop):
    """Whoever made room wants to see that it was enough."""
    disk, limits = Disk(), Limits(budget=100)
    watch = StorageWatch(limits, disk.space, loop.store)
    for used in (100, 10):
        disk.used = used
        look(loop, watch)

    assert [alert for _, alert in notes(loop)] == [True, False]
    assert "room again" in notes(loop)[-1][0]
