"""What the gate writes and others read: one side writes, the other sees all of it or nothing."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest

from firedoor.adapters.store.gate import NAME, GateReader
from firedoor.adapters.store.gate_schema import SCHEMA
from firedoor.adapters.store.sqlite import open_reader
from firedoor.core.errors import BadConfig, Unavailable
from firedoor.core.signal import Reports
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.exposures import TRAIL, Exposure
from firedoor.services.places import AFTERWARDS, Census, Cut, Installed, Place, Standing
from firedoor.services.records import Bucket
from firedoor.services.roster import Habit

AT = Instant("boot-1", 5_000, UnixMs(1_721_362_140_000))


def place(machine, *, number=2, deck=1, card=0, treated=False, channel="av", ring="tills"):
    return Place(
        channel, number, ring, deck, card, machine, treated, 3, Reports.BEATS, 4_000 + machine
    )


def cut(deck=1, *, number=2, channel="av", drawn=9):
    return Cut(channel, number, "tills", deck, drawn, 1, 4_500)


def bucket(**fields):
    plain = {
        "run": "run-1",
        "final": False,
        "heard": (),
        "habits": (),
        "standings": (),
        "installed": (),
        "census": (),
        "board": 1,
    }
    return Bucket(**{**plain, **fields})


def test_places_and_cuts_come_back_as_they_went_in(writer, reader):
    """A card that was answered is on record to the last field."""
    members = [
        place(1, card=0, treated=True)._replace(stratum="model=R650,site=Brno%2C west"),
        place(70_000, card=1),
    ]
    writer.commit(members, [cut()], AT)

    stored = reader.places_after(0)
    assert [s.place for s in stored] == members
    assert {(s.boot, s.wall_ms) for s in stored} == {(AT.boot, AT.wall_ms)}
    assert [s.cut for s in reader.cuts_after(0)] == [cut()]
    assert reader.last_place() == stored[-1].id


def test_reading_goes_on_where_it_stopped(writer, reader):
    """The judge reads each row once."""
    writer.commit([place(1)], [], AT)
    first = reader.last_place()
    writer.commit([place(2), place(3)], [cut(1), cut(2)], AT)

    assert [s.place.machine for s in reader.places_after(first)] == [2, 3]
    assert [s.cut.deck for s in reader.cuts_after(reader.cuts_after(0)[0].id)] == [2]


def test_a_cut_is_recorded_once_however_often_it_is_repeated(writer, reader):
    """The gate repeats what it is not sure of."""
    writer.commit([], [cut(drawn=9)], AT)
    writer.commit([], [cut(drawn=5), cut(2)], AT)

    assert [(s.cut.deck, s.cut.drawn) for s in reader.cuts_after(0)] == [(1, 9), (2, 9)]


def test_a_commit_is_all_or_nothing(writer, reader):
    """Half a group would be a machine exposed without a record, or the other way round."""
    broken = place(2, ring=None)  # the second of three is refused
    with pytest.raises(Exception, match="NOT NULL"):
        writer.commit([place(1), broken, place(3)], [cut()], AT)

    assert reader.places_after(0) == []
    assert reader.cuts_after(0) == []
    writer.commit([place(1)], [], AT)
    assert len(reader.places_after(0)) == 1


def test_a_full_disk_is_unavailable_and_leaves_nothing(tmp_path):
    """The gate then serves what machines had; it must be told so in one word."""
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from firedoor.adapters.store.gate import GateReader, GateWriter\n"
        "from tests.contract.test_gate_store import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "data = Path(sys.argv[1])\n"
        "writer = GateWriter(data)\n"
        "writer.commit([place(1)], [], AT)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
        "try:\n"
        "    writer.commit([place(n) for n in range(20_000)], [], AT)\n"
        "except Unavailable:\n"
        "    print(len(GateReader(data).places_after(0)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((".", os.environ.get("PYTHONPATH", "")))},
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.stdout == "1\n", done.stderr


def test_a_bucket_is_what_the_gate_heard_until_then(writer, reader):
    """Its life is told in buckets; a run that ended in order says so."""
    writer.flush(bucket(heard=[3, 70_000]), AT)
    writer.flush(bucket(run="run-2", final=True), AT)

    first, last = reader.heard_after(0)
    assert (first.run, first.final, first.at) == ("run-1", False, AT)
    assert first.machines.tolist() == [3, 70_000]
    assert first.machines.dtype == np.uint32
    assert (last.run, last.final, last.machines.tolist()) == ("run-2", True, [])
    assert [h.seq for h in reader.heard_after(first.seq)] == [last.seq]


def test_habits_and_standings_are_replaced(writer, reader):
    """The newest habit counts; an install told again happened when it happened."""
    old, new = Habit(7, 1, 2, 3, b"\1" * 32), Habit(7, 1, 9, 4, b"\2" * 32)
    writer.flush(
        bucket(
            habits=[old],
            standings=[Standing("av", 7, 1, 100)],
            installed=[Installed("av", 2, 7, 5_000)],
            board=4,
        ),
        AT,
    )
    writer.flush(
        bucket(
            habits=[new],
            standings=[Standing("av", 7, 2, 101), Standing("fw", 7, 1, 5)],
            installed=[Installed("av", 2, 7, 5_000), Installed("av", 2, 8, 6_000)],
            board=5,
        ),
        AT,
    )

    assert list(reader.habits()) == [new]
    assert list(reader.standings("av")) == [Standing("av", 7, 2, 101)]
    assert reader.standing_of(7) == [Standing("av", 7, 2, 101), Standing("fw", 7, 1, 5)]
    assert [(done.install.machine, done.install.mono_ms) for done in reader.installed_after(0)] == [
        (7, 5_000),
        (8, 6_000),
    ]
    assert reader.obeyed() == 5


def test_a_further_file_is_a_later_install_that_is_read_again(writer, reader):
    """The judge reads each row once, so a new time has a new number, also of the newest row."""
    for machine, at in ((7, 5_000), (8, 6_000), (8, 7_000), (7, 9_000), (8, 6_500)):
        read = max((done.id for done in reader.installed_after(0)), default=0)
        writer.flush(bucket(installed=[Installed("av", 2, machine, at)]), AT)
        new = [each.install for each in reader.installed_after(read)]
        assert new == ([] if at == 6_500 else [Installed("av", 2, machine, at)])

    known = {done.install.machine: done.install.mono_ms for done in reader.installed_after(0)}
    assert known == {7: 9_000, 8: 7_000}


def test_the_newest_census_of_each_ring_counts(writer, reader):
    """Rates are fractions of a machine."""
    one = Census("av", "tills", 10, 5, 2.5, 7, 60_000)
    two = Census("av", "lab", 1, 1, 0.0, 1, 0)
    writer.flush(bucket(census=[one]), AT)
    writer.flush(bucket(census=[two]), AT)

    assert sorted(reader.census(), key=lambda c: c.ring) == [two, one]
    assert reader.obeyed() == 1


def test_the_highest_boarding_a_machine_was_exposed_to_is_its_exposure(writer, reader):
    """What it may be served without a new record, after a restart."""
    writer.commit(
        [
            place(1, number=3, treated=True),
            place(1, number=2, deck=AFTERWARDS, treated=True),
            place(1, number=4),
            place(2, number=2, treated=True),
            place(1, number=9, treated=True, channel="fw"),
        ],
        [],
        AT,
    )

    found = {p.machine: p.number for p in reader.exposures("av")}
    assert found == {1: 3, 2: 2}


def test_every_recent_exposure_of_a_machine_is_told_after_a_restart(writer, reader):
    """Whoever goes back to an older release needs a record only if there is none."""
    for number in (3, 70, 100, 101, 104):
        writer.commit([place(1, number=number, deck=AFTERWARDS, treated=True)], [], AT)
    writer.commit([place(1, number=103), place(2, number=101, treated=True)], [], AT)
    writer.commit([place(3, number=3, deck=AFTERWARDS, treated=True)], [], AT)

    found = {known.machine: known for known in reader.exposures("av")}
    back = {104 - k for k in range(TRAIL) if found[1].trail >> k & 1}
    assert (found[1].number, back) == (104, {70, 100, 101, 104})
    assert found[2] == Exposure(2, 101)
    assert found[3] == Exposure(3, 3)
    assert list(reader.exposures("unheard-of")) == []


def test_a_machine_is_treated_once_a_boarding_however_often_the_gate_offers_it(writer, reader):
    """Counts of adjoining ranges add up; but a card is a card."""
    offered = place(1, number=2, deck=AFTERWARDS, treated=True)
    for _ in range(2):
        writer.commit([offered, offered], [], AT)
    writer.commit([place(2, number=2, treated=True), place(2, number=2, deck=2)], [], AT)
    writer.commit([place(1, number=2, deck=AFTERWARDS, treated=True, channel="fw")], [], AT)

    rows = [(s.place.channel, s.place.machine) for s in reader.places_after(0)]
    assert rows == [("av", 1), ("av", 2), ("av", 2), ("fw", 1)]


def test_a_boarding_counts_its_machines_by_arm(writer, reader):
    """A machine may be control in many decks; it is one machine."""
    writer.commit(
        [place(1), place(1, deck=2), place(2, treated=True), place(3, deck=0, treated=True)], [], AT
    )

    assert reader.count("av", 2) == (2, 1)
    assert reader.count("av", 3) == (0, 0)


def test_runs_of_the_gate_are_told_with_their_first_and_last_bucket(writer, reader):
    """Between them nobody listened."""
    for run, second in (("a", 1), ("a", 5), ("b", 9), ("b", 12)):
        at = Instant("boot-1", second * 1_000, UnixMs(second * 1_000))
        writer.flush(bucket(run=run), at)

    assert reader.runs() == [(1_000, 5_000), (9_000, 12_000)]


def test_old_signs_of_life_can_be_forgotten_places_never(writer, reader):
    """Who was exposed is the one thing that must always be known."""
    writer.commit([place(1)], [cut()], AT)
    writer.flush(bucket(), AT)
    later = Instant("boot-1", 9_000, UnixMs(AT.wall_ms + 1))
    writer.flush(bucket(), later)
    writer.prune(AT.wall_ms + 1)

    assert [h.at for h in reader.heard_after(0)] == [later]
    assert len(reader.places_after(0)) == len(reader.cuts_after(0)) == 1


def test_a_reader_sees_that_something_was_written(writer, reader):
    """Asked many times a second, so it must not read anything."""
    before = reader.version()
    assert reader.version() == before
    writer.commit([place(1)], [], AT)
    assert reader.version() != before


def test_before_the_first_bucket_everything_is_empty(reader):
    """A console may be opened first."""
    assert reader.obeyed() == reader.last_place() == 0
    assert reader.census() == reader.places_after(0) == reader.heard_after(0) == []
    assert reader.habit(1) is None


def test_a_reader_without_a_file_is_told_to_wait(tmp_path):
    """The gate has never run."""
    with pytest.raises(Unavailable):
        GateReader(tmp_path)


def test_a_file_of_another_version_is_refused_rather_than_misread(tmp_path, writer):
    """Columns that moved would be other facts."""
    writer.close()
    from_the_future = SCHEMA.__class__(SCHEMA.version + 1, SCHEMA.statements)

    with pytest.raises(BadConfig, match="schema version"):
        open_reader(tmp_path / NAME, from_the_future)


def test_what_was_committed_survives_the_death_of_the_process(tmp_path):
    """Kill -9 right after the commit returned."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from firedoor.adapters.store.gate import GateWriter\n"
        "from tests.contract.test_gate_store import AT, cut, place\n"
        "writer = GateWriter(Path(sys.argv[1]))\n"
        "writer.commit([place(1)], [cut()], AT)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((".", os.environ.get("PYTHONPATH", "")))},
        check=False,
    )

    reader = GateReader(tmp_path)
    assert [s.place for s in reader.places_after(0)] == [place(1)]
    assert [s.cut for s in reader.cuts_after(0)] == [cut()]
    reader.close()


@pytest.mark.parametrize("fate", ["deleted", "replaced"])
def test_no_card_is_written_into_a_file_that_nobody_has_any_more(tmp_path, writer, fate):
    """Its machine would be treated, and no list of exposed machines would name it."""
    writer.commit([place(1)], [], AT)
    (tmp_path / NAME).rename(tmp_path / "aside")
    if fate == "replaced":
        (tmp_path / NAME).touch()

    with pytest.raises(Unavailable, match="deleted or replaced"):
        writer.commit([place(2, card=1)], [], AT)

    # Put back, the file holds what was answered, and nothing else.
    (tmp_path / "aside").replace(tmp_path / NAME)
    writer.commit([place(3, card=1)], [], AT)
    with contextlib.closing(GateReader(tmp_path)) as found:
        assert [stored.place.machine for stored in found.places_after(0)] == [1, 3]
