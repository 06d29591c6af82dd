"""What machines got and threw away, as gate.db keeps it."""

from dataclasses import replace

import pytest

from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.fetches import Fetch, Rejection
from firedoor.services.records import Bucket

AT = Instant("boot-1", 90_000, UnixMs(1_795_386_090_000))
FETCH = Fetch("clam", 7, "lab.hdb", 4_711, 1_795_000_000, 1_795_386_000, 1_000, 3, 65_537, 2)
REJECTION = Rejection("clam", 3, 7, "lab.hdb", 1_000)


@pytest.fixture
def both(tmp_path):
    writer, reader = GateWriter(tmp_path), GateReader(tmp_path)
    yield writer, reader
    writer.close()
    reader.close()


def bucket(**more):
    return Bucket("run", False, (), (), (), (), (), 1, **more)


def test_the_newest_of_each_machine_and_file_is_kept(both):
    """One row each: the memory of a fleet does not grow with its polls."""
    writer, reader = both
    newer = FETCH._replace(bytes=42)
    others = [FETCH._replace(path="test.cvd"), FETCH._replace(machine=8)]
    writer.flush(bucket(fetches=[FETCH, *others]), AT)
    writer.flush(bucket(fetches=[newer, FETCH._replace(channel="other")]), AT)

    assert sorted(reader.fetches("clam", AT)) == sorted([newer, *others])


def test_after_a_boot_of_the_host_times_are_told_by_the_wall_clock(both):
    """The monotonic clock begins anew; an hour ago is still an hour ago."""
    writer, reader = both
    writer.flush(bucket(fetches=[FETCH]), AT)
    later = Instant("boot-2", 5_000, UnixMs(1_795_389_600_000))

    (found,) = reader.fetches("clam", later)

    assert found == FETCH._replace(mono_ms=5_000 - 3_600_000)


def test_rejections_are_read_in_order_with_the_time_of_their_sending(both):
    """What a machine threw away was sent before it was noticed: the card before it is the one."""
    writer, reader = both
    writer.flush(bucket(rejections=[REJECTION]), AT)
    writer.flush(bucket(rejections=[replace(REJECTION, machine=8)]), AT)

    first, second = reader.rejections_after(0)

    assert first.rejection == REJECTION
    assert (first.boot, first.wall_ms) == ("boot-1", 1_795_386_001_000)
    assert reader.rejections_after(first.id) == [second]


def test_old_rows_go_and_numbering_goes_on(both):
    """A cursor must never meet a number twice. What is forgotten costs a transfer."""
    writer, reader = both
    writer.flush(bucket(fetches=[FETCH], rejections=[REJECTION, REJECTION]), AT)
    newest = reader.rejections_after(0)[-1].id
    month_later = AT.wall_ms + 31 * 24 * 3_600_000
    writer.prune(month_later)
    writer.flush(bucket(rejections=[REJECTION]), AT)

    assert [each.id for each in reader.rejections_after(0)] == [newest, newest + 1]
    assert list(reader.fetches("clam", AT)) == []
