"""Every store of signals: one side writes, the other reads."""

import dataclasses

import pytest

from firedoor.adapters.store import signals
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.adapters.store.sqlite import open_reader
from firedoor.core.errors import Unavailable
from firedoor.core.signal import Reports
from firedoor.core.units import MachineNo, UnixMs
from firedoor.ports import Delivery, Instant, SignalEvent, StoredBatch, StoredEvent


@pytest.fixture
def store(tmp_path):
    opened = SignalDatabase(tmp_path / "intake.db")
    yield opened
    opened.close()


@pytest.fixture
def source(tmp_path, store):  # noqa: ARG001 - the store makes the file
    opened = SignalReader(tmp_path / "intake.db")
    yield opened
    opened.close()


def at(ms):
    return Instant("boot-1", ms, UnixMs(1_721_362_140_000 + ms))


def event(machine, key="k", kind="panic", detail=None):
    return SignalEvent(MachineNo(machine), kind, UnixMs(1_721_362_139_000), key, detail)


def delivery(*events, heartbeats=()):
    return Delivery([MachineNo(machine) for machine in heartbeats], events)


def test_a_batch_comes_back_as_it_went_in(store, source):
    """The judge sees what was acknowledged, with the time it was received at."""
    crash = event(7, detail='{"unit":"sensor"}')
    store.append(at(10), [delivery(crash, heartbeats=[3, 70_000, 1]), delivery(heartbeats=[2, 3])])

    (batch,) = source.batches_after(0, 10)
    (stored,) = source.events_after(0, 10)
    assert list(batch.heartbeats) == [1, 2, 3, 70_000]
    assert batch.received == stored.received == at(10)
    assert (stored.batch, stored.event) == (batch.seq, crash)


def test_heartbeats_are_four_bytes_each_least_first(tmp_path, store):
    """A day of a million machines is 5.8 GB at this size; and the file moves between hosts."""
    store.append(at(1), [delivery(heartbeats=[258, 1])])

    opened = open_reader(tmp_path / "intake.db", signals.SCHEMA)
    assert opened.execute("SELECT heartbeats FROM batch").fetchone() == (b"\1\0\0\0\2\1\0\0",)
    opened.close()


def test_an_event_is_stored_once_however_often_it_is_sent(store, source):
    """Senders repeat what was not acknowledged; a repeat must not count as a second crash."""
    assert store.append(at(1), [delivery(event(1), event(2), event(1))]) == [2]
    assert store.append(at(2), [delivery(event(1)), delivery(event(3), event(2))]) == [0, 1]

    assert [stored.event.machine for stored in source.events_after(0, 10)] == [1, 2, 3]


def test_machine_kind_and_key_together_make_an_event_the_same(store):
    """Two machines may use one id, and one boot may be unclean and panic."""
    store.append(at(1), [delivery(event(1, "a"))])

    others = [event(2, "a"), event(1, "b"), event(1, "a", kind="coredump")]

    assert store.append(at(2), [delivery(*others)]) == [3]


@pytest.mark.parametrize("count", [1, 7, 8, 65, 511, 512, 513, 1_609])
def test_every_event_of_a_delivery_of_any_size_is_stored(store, source, count):
    """Rows are written many at a time; none may fall between two steps."""
    events = [event(machine, detail=f'{{"n":{machine}}}') for machine in range(1, count + 1)]

    assert store.append(at(1), [delivery(*events)]) == [count]

    assert [stored.event for stored in source.events_after(0, 10_000)] == events


def test_each_delivery_learns_its_own_duplicates(store):
    """Requests share a commit, and each is told about itself."""
    store.append(at(1), [delivery(event(5))])

    counts = store.append(
        at(2), [delivery(event(4), event(5)), delivery(), delivery(event(5)), delivery(event(6))]
    )

    assert counts == [1, 0, 0, 1]


def test_readers_go_on_from_where_they_were(store, source):
    """The judge keeps one number and never misses or repeats a row."""
    for ms in range(1, 6):
        store.append(at(ms), [delivery(event(ms), event(1, key="again"), heartbeats=[ms])])

    batches: list[StoredBatch] = []
    events: list[StoredEvent] = []
    for _ in range(6):
        batches += source.batches_after(batches[-1].seq if batches else 0, 2)
        events += source.events_after(events[-1].seq if events else 0, 2)

    assert [list(batch.heartbeats) for batch in batches] == [[1], [2], [3], [4], [5]]
    assert [stored.event.machine for stored in events] == [1, 1, 2, 3, 4, 5]
    assert [batch.received for batch in batches] == [at(ms) for ms in range(1, 6)]


def test_a_failed_commit_leaves_nothing_and_the_next_one_works(tmp_path):
    """503 means that nothing was stored, so the sender's repeat is no duplicate."""
    store = SignalDatabase(tmp_path / "intake.db")
    source = SignalReader(tmp_path / "intake.db")
    connection = store._connection  # noqa: SLF001 - SQLite's own limit stands for a full disk
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    many = delivery(*(event(machine) for machine in range(1, 2_000)), heartbeats=[9])

    with pytest.raises(Unavailable, match="full"):
        store.append(at(1), [many])
    assert [*source.batches_after(0, 10), *source.events_after(0, 10)] == []

    connection.execute("PRAGMA max_page_count = 100000")
    assert store.append(at(2), [many]) == [1_999]
    assert len(source.events_after(0, 10_000)) == 1_999
    store.close()
    source.close()


def test_beats_say_when_somebody_was_listening(store, source):
    """Deadlines run only while machines had somebody to speak to."""
    store.beat(at(60_000))
    store.beat(at(120_000))

    first, second = source.beats_after(0)

    assert (first.at, second.at) == (at(60_000), at(120_000))
    assert source.beats_after(first.seq) == [second]


def test_a_pulse_shows_the_last_change_of_each_machine_in_order(store, source):
    """The judge asks for what changed and gets one row a machine."""
    store.mark([MachineNo(4), MachineNo(2), MachineNo(9)], Reports.BEATS)
    seen = source.pulses_after(0)
    store.mark([MachineNo(2)], Reports.NOTHING)
    store.mark([MachineNo(9)], Reports.TELLS)

    assert [(pulse.machine, pulse.reports) for pulse in seen] == [
        (machine, Reports.BEATS) for machine in (4, 2, 9)
    ]
    assert [dataclasses.astuple(p)[1:] for p in source.pulses_after(seen[-1].changed)] == [
        (2, Reports.NOTHING),
        (9, Reports.TELLS),
    ]
    assert store.reporting() == {4: Reports.BEATS, 9: Reports.TELLS}


def test_marking_nobody_changes_nothing(store, source):
    """Most buckets turn nobody's pulse."""
    store.mark([], Reports.BEATS)

    assert source.pulses_after(0) == []


def test_pruning_forgets_batches_beats_and_events_of_the_same_age(store, source):
    """A flood or a year of crashes must not fill the disk; what is kept is still recognised."""
    for ms in range(1, 4):
        store.append(at(ms), [delivery(event(ms), heartbeats=[ms])])
        store.beat(at(ms))

    assert store.prune(at(3).wall_ms) == 2

    assert [batch.received for batch in source.batches_after(0, 10)] == [at(3)]
    assert [beat.at for beat in source.beats_after(0)] == [at(3)]
    assert [stored.received for stored in source.events_after(0, 10)] == [at(3)]
    assert store.append(at(4), [delivery(event(3))]) == [0]


def test_pruning_keeps_the_last_event_however_old_it_is(tmp_path):
    """A reader that is at event 3 would never see a new event 1."""
    first = SignalDatabase(tmp_path / "intake.db")
    for ms in range(1, 4):
        first.append(at(ms), [delivery(event(ms))])
    first.append(at(5), [delivery(heartbeats=[1])])
    first.prune(at(5).wall_ms)
    first.close()

    second = SignalDatabase(tmp_path / "intake.db")
    second.append(at(9), [delivery(event(4))])
    source = SignalReader(tmp_path / "intake.db")

    assert [stored.event.machine for stored in source.events_after(0, 10)] == [3, 4]
    assert [stored.event.machine for stored in source.events_after(3, 10)] == [4]
    second.close()
    source.close()


def test_pruning_more_than_one_commit_takes_goes_to_the_end(store, source, monkeypatch):
    """It commits now and then so that signals need not wait."""
    monkeypatch.setattr(signals, "_PRUNED_PER_COMMIT", 2)
    for ms in range(1, 8):
        store.append(at(ms), [delivery(event(ms), heartbeats=[1])])

    assert store.prune(at(7).wall_ms) == 6
    assert len(source.batches_after(0, 10)) == len(source.events_after(0, 10)) == 1


def test_pruning_everything_keeps_the_numbering(tmp_path):
    """A reader that is at row 3 would never see a new row 1."""
    first = SignalDatabase(tmp_path / "intake.db")
    for ms in range(1, 4):
        first.append(at(ms), [delivery(heartbeats=[1])])
        first.beat(at(ms))
    first.prune(at(1_000).wall_ms)
    first.close()

    second = SignalDatabase(tmp_path / "intake.db")
    second.append(at(9), [delivery(heartbeats=[2])])
    second.beat(at(9))
    source = SignalReader(tmp_path / "intake.db")

    assert [list(batch.heartbeats) for batch in source.batches_after(3, 10)] == [[2]]
    assert [beat.at for beat in source.beats_after(3)] == [at(9)]
    second.close()
    source.close()


def test_a_store_opened_again_goes_on_numbering(tmp_path):
    """After a restart events are new only if they are, and pulses keep rising."""
    first = SignalDatabase(tmp_path / "intake.db")
    first.append(at(1), [delivery(event(1), event(2))])
    first.mark([MachineNo(1)], Reports.BEATS)
    first.close()

    second = SignalDatabase(tmp_path / "intake.db")
    counts = second.append(at(2), [delivery(event(2), event(3))])
    second.mark([MachineNo(1)], Reports.NOTHING)
    source = SignalReader(tmp_path / "intake.db")

    assert counts == [1]
    assert [stored.event.machine for stored in source.events_after(2, 10)] == [3]
    assert [pulse.reports for pulse in source.pulses_after(1)] == [Reports.NOTHING]
    second.close()
    source.close()
