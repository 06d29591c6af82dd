"""Places are appended at once and kept by machine later: between the two nothing is missing."""

import pytest

from firedoor.adapters.store.gate import GateWriter
from firedoor.core.signal import Reports
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.places import AFTERWARDS, Place, Standing
from firedoor.services.records import Bucket

AT = Instant("boot-1", 600_000, UnixMs(1_721_362_140_000))
AT_S = AT.wall_ms // 1000


def place(machine, number=2, *, treated=True, deck=AFTERWARDS, channel="av"):
    return Place(channel, number, "tills", deck, 0, machine, treated, 3, Reports.BEATS, 4_000)


def bucket(placed=0, standings=()):
    return Bucket("run-1", False, (), (), standings, (), (), 1, placed=placed)


def test_places_of_a_machine_are_found_before_and_after_they_are_kept_by_machine(writer, reader):
    """Whoever asks what a machine was given may ask at any moment."""
    writer.commit([place(7, 1), place(8, 1)], [], AT)
    writer.flush(bucket(writer.placed), AT)
    writer.commit([place(8, 2), place(7, 2, treated=False, deck=1)], [], AT)

    between = [stored.place.number for stored in reader.places_of_machine(7)]
    writer.flush(bucket(writer.placed), AT)

    assert between == [1, 2]
    assert [stored.place.number for stored in reader.places_of_machine(7)] == [1, 2]
    assert [stored.place.number for stored in reader.places_of_machine(8)] == [1, 2]


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("opened_again", [False, True])
def test_a_machine_is_treated_once_whether_or_not_its_place_is_kept_by_machine(
    tmp_path, writer, reader, flushed, opened_again
):
    """The gate that starts after a crash knows of the last bucket only what was appended."""
    writer.commit([place(7)], [], AT)
    if flushed:
        writer.flush(bucket(writer.placed), AT)
    other = GateWriter(tmp_path) if opened_again else writer
    other.commit([place(7), place(7, 1)], [], AT)

    assert [stored.place.number for stored in reader.places_of_machine(7)] == [2, 1]
    if opened_again:
        other.close()


def test_what_a_machine_was_let_into_counts_over_what_the_last_bucket_said(writer, reader):
    """A gate that was killed starts again in the middle of that machine's session."""
    known = [Standing("av", 7, 1, AT_S + 5), Standing("av", 8, 1, 50), Standing("fw", 7, 9, 60)]
    writer.flush(bucket(standings=known), AT)
    writer.commit([place(7, 2), place(8, 2, treated=False, deck=1), place(9, 2)], [], AT)

    let_in = Standing("av", 7, 2, AT_S + 6)  # later than what it had, whatever the clock says
    assert sorted(reader.standings("av")) == [let_in, known[1], Standing("av", 9, 2, AT_S)]
    assert reader.standing_of(7) == [let_in, known[2]]
    assert reader.standing_of(8) == [known[1]]


def test_a_bucket_says_what_its_machines_are_served_and_not_those_that_come_after_it(
    writer, reader
):
    """What is taken out of memory for a bucket, and what is let in while it is written."""
    writer.commit([place(7, 2), place(8, 2)], [], AT)
    drained = writer.placed
    writer.commit([place(9, 2)], [], AT)
    # By now the first has gone back to an earlier release, which it was on record for.
    writer.flush(bucket(drained, [Standing("av", 7, 1, 77), Standing("av", 8, 2, 78)]), AT)

    assert sorted(reader.standings("av")) == [
        Standing("av", 7, 1, 77),
        Standing("av", 8, 2, 78),
        Standing("av", 9, 2, AT_S),
    ]


@pytest.mark.parametrize("twice", [False, True])
def test_a_large_group_is_written_in_its_order_and_nobody_is_treated_twice(writer, reader, twice):
    """A storm is written many places at a time; a card may not come before the one before it."""
    writer.commit([place(30), place(170)], [], AT)
    machines = [*range(1, 178), *([3] if twice else [])]
    writer.commit([place(n) for n in machines], [], AT)

    written = [stored.place.machine for stored in reader.places_after(0)]
    assert written == [30, 170, *(n for n in range(1, 178) if n not in {30, 170})]


def test_a_group_that_is_refused_leaves_no_trace(tmp_path, writer, reader):
    """Its machines come again, and have not been treated."""
    (tmp_path / "gate.db").rename(tmp_path / "aside")
    with pytest.raises(Exception, match="deleted or replaced"):
        writer.commit([place(7)], [], AT)
    (tmp_path / "aside").rename(tmp_path / "gate.db")
    writer.commit([place(7)], [], AT)

    assert [stored.id for stored in reader.places_of_machine(7)] == [writer.placed]
