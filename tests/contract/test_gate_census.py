"""The gate's counts on disk: clients without an identity, and rings that are no more."""

from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.places import Census
from firedoor.services.records import Bucket

AT = Instant("boot-1", 5_000, UnixMs(1_721_362_140_000))


def count(ring, *, channel="av", unknown=0, unknown_ms=0):
    return Census(channel, ring, 10, 5, 2.5, 7, 60_000, unknown, unknown_ms)


def bucket(*census, rings=()):
    return Bucket("run-1", False, (), (), (), (), census, 1, rings)


def test_how_many_clients_have_no_identity_survives_a_restart(writer, reader):
    """A judge that starts must not find their channel empty."""
    here = count("everyone", unknown=40, unknown_ms=AT.wall_ms - 1)
    writer.flush(bucket(here), AT)

    assert reader.census() == [here]


def test_the_count_of_a_ring_that_was_removed_goes_with_it(writer, reader):
    """Its machines are counted where they are now; a ring of nobody would be in the way."""
    writer.flush(bucket(count("lab"), count("everyone"), count("lab", channel="old")), AT)

    writer.flush(bucket(count("everyone"), rings=[("av", "everyone")]), AT)

    assert reader.census() == [count("everyone")]


def test_a_gate_that_does_not_know_the_rings_yet_drops_no_count(writer, reader):
    """Between its start and its first board the last counts are the best there are."""
    writer.flush(bucket(count("lab"), count("everyone")), AT)

    writer.flush(bucket(), AT)

    assert len(reader.census()) == 2
