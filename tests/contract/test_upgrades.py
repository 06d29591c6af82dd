"""Data directories of an earlier Firedoor go on: what cannot be made again is still there."""

import sqlite3
import zlib
from contextlib import closing

import pytest

from firedoor.adapters.store import gate, gate_schema, judge, judge_schema
from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.adapters.store.sqlite import Schema, open_reader, open_writer
from firedoor.core.errors import BadConfig, Unavailable
from firedoor.core.release import FileEntry, canonical_manifest
from firedoor.core.units import Digest, UnixMs
from firedoor.core.verdict import Merging
from firedoor.ports import Instant
from firedoor.services.places import Census
from firedoor.services.records import Block, Bucket, Harmed

FIRST = Schema(1, ("CREATE TABLE fact (n INTEGER PRIMARY KEY)", "INSERT INTO fact VALUES (7)"))
SECOND = ("ALTER TABLE fact ADD COLUMN word TEXT NOT NULL DEFAULT 'seven'",)
THIRD = ("CREATE TABLE other (n INTEGER)", "INSERT INTO other SELECT n + 1 FROM fact")
NOW = Schema(3, ("CREATE TABLE unused (n)",), upgrades={1: SECOND, 2: THIRD})
AT = Instant("boot-1", 600_000, UnixMs(1_721_362_140_000))

# As they were created by the versions named; census and channel are all that changed.
GATE = [
    """CREATE TABLE place (
        id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
        ring TEXT NOT NULL, deck INTEGER NOT NULL, card INTEGER NOT NULL,
        machine INTEGER NOT NULL, treated INTEGER NOT NULL, cls INTEGER NOT NULL,
        beating INTEGER NOT NULL, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
        wall_ms INTEGER NOT NULL)""",
    "CREATE INDEX place_of_boarding ON place (channel, number)",
    "CREATE INDEX place_of_machine ON place (machine)",
    """CREATE TABLE cut (
        id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
        ring TEXT NOT NULL, deck INTEGER NOT NULL, drawn INTEGER NOT NULL,
        treated INTEGER NOT NULL, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
        wall_ms INTEGER NOT NULL, UNIQUE (channel, number, ring, deck))""",
    """CREATE TABLE heard (
        seq INTEGER PRIMARY KEY, run TEXT NOT NULL, final INTEGER NOT NULL,
        boot TEXT NOT NULL, mono_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
        machines BLOB NOT NULL)""",
    """CREATE TABLE installed (
        id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
        machine INTEGER NOT NULL, UNIQUE (channel, number, machine))""",
    """CREATE TABLE standing (
        channel TEXT NOT NULL, machine INTEGER NOT NULL, number INTEGER NOT NULL,
        since_s INTEGER NOT NULL, PRIMARY KEY (channel, machine)) WITHOUT ROWID""",
    """CREATE TABLE habit (
        machine INTEGER PRIMARY KEY, first_wall INTEGER NOT NULL, last_wall INTEGER NOT NULL,
        sessions INTEGER NOT NULL, gaps BLOB NOT NULL)""",
    "CREATE TABLE obeyed (one INTEGER PRIMARY KEY CHECK (one = 1), board INTEGER NOT NULL)",
    "INSERT INTO place VALUES (1, 'av', 2, 'lab', 1, 0, 9, 1, 0, 0, 'boot-1', 5, 6)",
    """INSERT INTO heard VALUES (1, 'a', 0, 'boot-1', 1000, 1, x''),
        (2, 'a', 1, 'boot-1', 61000, 2, x''), (3, 'b', 0, 'boot-2', 500, 3, x''),
        (4, 'b', 0, 'boot-2', 30500, 4, x'')""",
    "INSERT INTO obeyed VALUES (1, 12)",
]
GATE_CENSUS = {
    1: """CREATE TABLE census (
        channel TEXT NOT NULL, ring TEXT NOT NULL, active INTEGER NOT NULL,
        free INTEGER NOT NULL, polls REAL NOT NULL, untreated INTEGER NOT NULL,
        gap_ms INTEGER NOT NULL, PRIMARY KEY (channel, ring)) WITHOUT ROWID""",
    2: """CREATE TABLE census (
        channel TEXT NOT NULL, ring TEXT NOT NULL, active INTEGER NOT NULL,
        free INTEGER NOT NULL, polls REAL NOT NULL, untreated INTEGER NOT NULL,
        gap_ms INTEGER NOT NULL, unknown INTEGER NOT NULL, unknown_ms INTEGER NOT NULL,
        PRIMARY KEY (channel, ring)) WITHOUT ROWID""",
}
BOARDING = (
    '{"channel":"bad","number":4,"release":"r4","previous":3,"boarded_ms":7,"commitment":"c",'
    '"terms":{},"rules":{"alpha_harm":0.01,"alpha_warn":0.05,"alpha_clear":0.05,"delta":0.1,'
    '"weights":[["silence",0.4],["crash",0.6]],"liars":0},"nonce":"n"}'
)
OLD_MANIFEST = {"a/tool": FileEntry(Digest("e" * 64), 3, "text/plain")}
_JSON = zlib.compress(canonical_manifest(OLD_MANIFEST)).hex()
JUDGE = [
    """CREATE TABLE release (
        id TEXT PRIMARY KEY, channel TEXT NOT NULL, created_ms INTEGER NOT NULL,
        manifest BLOB NOT NULL, listing TEXT NOT NULL, size INTEGER NOT NULL,
        files INTEGER NOT NULL) WITHOUT ROWID""",
    f"INSERT INTO release VALUES ('r4', 'bad', 6, x'{_JSON}', '', 3, 1)",  # noqa: S608 - ours
    "CREATE TABLE cursor (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE channel (
        name TEXT PRIMARY KEY, snapshot TEXT NOT NULL, synced_ms INTEGER NOT NULL,
        error TEXT NOT NULL, failures INTEGER NOT NULL, blocked INTEGER NOT NULL)""",
    """INSERT INTO channel VALUES ('free', '{}', 5, 'refused', 3, 0), ('bad', '', 0, '', 0, 1),
        ('lost', '', 0, '', 0, 1)""",
    "INSERT INTO cursor VALUES ('bad-ends:bad', 4), ('bad-ends:lost', 0)",
    """CREATE TABLE boarding (
        channel TEXT NOT NULL, number INTEGER NOT NULL, release TEXT NOT NULL,
        body TEXT NOT NULL, seed TEXT NOT NULL, verdict TEXT NOT NULL,
        PRIMARY KEY (channel, number)) WITHOUT ROWID""",
    f"INSERT INTO boarding VALUES ('bad', 4, 'r4', '{BOARDING}', '', '')",  # noqa: S608 - ours
    """CREATE TABLE deck (
        channel TEXT NOT NULL, number INTEGER NOT NULL, ring TEXT NOT NULL,
        deck INTEGER NOT NULL, body TEXT NOT NULL, opened_ms INTEGER NOT NULL,
        heard INTEGER NOT NULL, batch INTEGER NOT NULL, event INTEGER NOT NULL,
        closed INTEGER NOT NULL, PRIMARY KEY (channel, number, ring, deck)) WITHOUT ROWID""",
    "INSERT INTO deck VALUES ('bad', 4, 'everyone', 1, '{}', 8, 1, 2, 3, 5)",
    """CREATE TABLE cell (
        channel TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL,
        ring TEXT NOT NULL, deck INTEGER NOT NULL, epoch INTEGER NOT NULL,
        test TEXT NOT NULL, signal TEXT NOT NULL, stratum TEXT NOT NULL,
        treated INTEGER NOT NULL, control INTEGER NOT NULL,
        treated_harmed INTEGER NOT NULL, control_harmed INTEGER NOT NULL,
        installed INTEGER NOT NULL, PRIMARY KEY (channel, number, seq)) WITHOUT ROWID""",
    """CREATE TABLE harmed (
        place INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
        machine INTEGER NOT NULL, treated INTEGER NOT NULL, signal TEXT NOT NULL,
        at_ms INTEGER NOT NULL, recovered_ms INTEGER NOT NULL DEFAULT 0)""",
    "INSERT INTO harmed VALUES (3, 'bad', 4, 9, 1, 'silence', 8, 0)",
    """INSERT INTO cell VALUES
        ('bad', 4, 1, 'everyone', 1, 0, 'harm', 'silence', '', 5, 45, 2, 0, 0)""",
]


def make(path, version, statements):
    """Write a file as an earlier version did."""
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {version}")
        database.commit()


# The mechanism


def test_a_file_of_an_earlier_version_is_brought_up_step_by_step(tmp_path):
    """Whoever skips a version must arrive where everybody else is."""
    open_writer(tmp_path / "x.db", FIRST).close()

    opened = open_writer(tmp_path / "x.db", NOW)

    assert opened.execute("SELECT n, word FROM fact").fetchall() == [(7, "seven")]
    assert opened.execute("SELECT n FROM other").fetchall() == [(8,)]
    opened.close()
    open_reader(tmp_path / "x.db", NOW).close()


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path):
    """The earlier Firedoor can still be run on it."""
    open_writer(tmp_path / "x.db", FIRST).close()
    broken = Schema(3, (), upgrades={1: SECOND, 2: ("INSERT INTO nothing VALUES (1)",)})

    with pytest.raises(Unavailable):
        open_writer(tmp_path / "x.db", broken)

    opened = open_reader(tmp_path / "x.db", FIRST)
    assert opened.execute("SELECT * FROM fact").fetchall() == [(7,)]
    opened.close()


def test_a_reader_waits_until_the_writer_has_brought_a_file_up(tmp_path):
    """It would misread it, and may not change it."""
    open_writer(tmp_path / "x.db", FIRST).close()

    with pytest.raises(Unavailable, match="of an earlier Firedoor"):
        open_reader(tmp_path / "x.db", NOW)


@pytest.mark.parametrize(
    "schema", [Schema(3, (), upgrades={2: THIRD}), Schema(3, (), upgrades={1: SECOND})]
)
def test_a_file_without_a_way_across_is_refused_untouched(tmp_path, schema):
    """Half an upgrade is a file that no version understands."""
    open_writer(tmp_path / "x.db", FIRST).close()

    with pytest.raises(BadConfig, match="schema version 1, this Firedoor knows 3"):
        open_writer(tmp_path / "x.db", schema)

    open_reader(tmp_path / "x.db", FIRST).close()


# The databases


@pytest.mark.parametrize("version", [1, 2])
def test_a_gate_goes_on_with_the_records_of_an_earlier_version(tmp_path, version):
    """Who was let into which release cannot be had back; counts are made anew each minute."""
    make(tmp_path / gate.NAME, version, [*GATE, GATE_CENSUS[version]])
    writer, reader = GateWriter(tmp_path), GateReader(tmp_path)

    assert [stored.place.machine for stored in reader.places_of("av", 2)] == [9]
    assert [stored.place.number for stored in reader.places_of_machine(9)] == [2]
    assert reader.obeyed() == 12
    assert reader.listened_ms() == 90_000  # a minute of run a, half a minute of run b
    assert reader.census() == []
    one = Census("av", "lab", 10, 5, 2.5, 7, 60_000, enrolled=12)
    writer.flush(Bucket("c", False, (), (), (), (), [one], 13), AT)
    assert reader.census() == [one]
    writer.close()
    reader.close()


def unchanged() -> list[str]:
    """Statements of judge.db that are what they were in its first version."""
    changed = ("channel", "cursor", "cell", "deck", "boarding", "release", "late", "harmed")
    urgent = ("asked", "feed", "exploited", "named", "searched")
    later = ("looked", "refusal", "preflight", "effect", *urgent)
    now = judge_schema.SCHEMA.statements
    others = [s for s in now if not any(f"TABLE {table} (" in s for table in (*changed, *later))]
    return [s for s in others if "ON late (" not in s]


def test_a_judge_goes_on_with_the_channels_of_an_earlier_version(tmp_path):
    """Also those that are blocked: it did not say why, and what it kept beside it tells."""
    make(tmp_path / judge.NAME, 1, [*JUDGE, *unchanged()])
    store, reader = JudgeStore(tmp_path), JudgeReader(tmp_path)

    # It did not say up to when a silent machine had been listened for.
    assert reader.harmed("bad", 4) == [Harmed(3, 9, True, "silence", 8, 0, "", 0)]
    free = reader.channel("free")
    assert (free.synced_ms, free.error, free.failures) == (5, "refused", 3)
    assert reader.last_snapshot("free") == b"{}"
    assert free.blocked is Block.NONE
    assert reader.channel("bad").blocked is Block.BAD_ENDS
    assert reader.channel("lost").blocked is Block.LEDGER_LOST
    # Its signals go on being merged as they were when it boarded.
    (boarding,) = reader.boardings("bad")
    assert boarding.rules.merging is Merging.MEAN
    assert boarding.rules.shares == (("silence", 0.4), ("crash", 0.6))
    (deck,), (cell,) = reader.decks("bad", 4), reader.cells("bad", 4)
    assert (deck.closed, deck.rungs()) == (5, {})
    assert (cell.treated_harmed, cell.age) == (2, 0)
    assert reader.manifest("r4") == OLD_MANIFEST
    assert reader.renewed_after(0) == []
    store.close()
    reader.close()


@pytest.mark.parametrize(
    ("name", "schema"), [(gate.NAME, gate_schema.SCHEMA), (judge.NAME, judge_schema.SCHEMA)]
)
def test_a_file_that_was_brought_up_has_the_tables_of_a_new_one(tmp_path, name, schema):
    """An upgrade and a new file that differ are a defect that shows a year later."""
    old = [*GATE, GATE_CENSUS[1]] if name == gate.NAME else JUDGE
    if name == judge.NAME:
        old = [*old, *unchanged()]
    make(tmp_path / "old.db", 1, old)
    tables = []
    for file in ("old.db", "new.db"):
        with closing(open_writer(tmp_path / file, schema)) as opened:
            found = opened.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
            tables.append(
                [
                    (table, opened.execute(f"PRAGMA table_info({table})").fetchall())
                    for (table,) in found
                ]
            )

    assert tables[0] == tables[1]


# How long a gate has listened


def flush(writer, run, mono_ms, boot="boot-1"):
    """A bucket of a run ends."""
    at = Instant(boot, mono_ms, UnixMs(AT.wall_ms + mono_ms))
    writer.flush(Bucket(run, False, (), (), (), (), (), 1), at)


def test_only_time_in_which_a_gate_ran_counts_as_listened(tmp_path):
    """Between two runs nobody could be heard."""
    writer, reader = GateWriter(tmp_path), GateReader(tmp_path)
    assert reader.listened_ms() == 0
    flush(writer, "a", 1_000)
    flush(writer, "a", 61_000)
    flush(writer, "b", 9_000_000)
    flush(writer, "b", 9_060_000)
    writer.close()
    writer = GateWriter(tmp_path)
    flush(writer, "c", 20_000_000)
    flush(writer, "c", 20_030_000)

    assert reader.listened_ms() == 150_000
    writer.close()
    reader.close()


def test_a_bucket_that_could_not_be_written_is_no_time_that_was_listened(tmp_path):
    """What was heard in it is lost, and the run that follows is another one."""
    writer, reader = GateWriter(tmp_path), GateReader(tmp_path)
    flush(writer, "a", 1_000)
    with pytest.raises(sqlite3.IntegrityError):
        writer.flush(Bucket("a", None, (), (), (), (), (), 1), AT)  # type: ignore[arg-type] # no truth value: refused
    flush(writer, "b", 900_000)

    assert reader.listened_ms() == 0
    writer.close()
    reader.close()
