"""gate.db: places, cuts and signs of life. Written by the gate alone; the judge reads it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from firedoor.adapters.store.reader import Reader
from firedoor.adapters.store.sqlite import (
    Schema,
    expect_file,
    file_at,
    open_writer,
    storage_errors,
    transaction,
)
from firedoor.ports import Instant
from firedoor.services.exposures import TRAIL, Exposure
from firedoor.services.places import AFTERWARDS, Census, Cut, Installed, Place, Standing
from firedoor.services.records import Bucket, Heard, StoredCut, StoredInstall, StoredPlace
from firedoor.services.roster import Habit

NAME = "gate.db"

# Derived: the gate counts anew once a bucket, so an upgrade may drop it.
_CENSUS = """CREATE TABLE census (
    channel TEXT NOT NULL, ring TEXT NOT NULL, active INTEGER NOT NULL,
    free INTEGER NOT NULL, polls REAL NOT NULL, untreated INTEGER NOT NULL,
    gap_ms INTEGER NOT NULL, unknown INTEGER NOT NULL, unknown_ms INTEGER NOT NULL,
    enrolled INTEGER NOT NULL, PRIMARY KEY (channel, ring)) WITHOUT ROWID"""
_LISTENED = "CREATE TABLE listened (one INTEGER PRIMARY KEY CHECK (one = 1), ms INTEGER NOT NULL)"

SCHEMA = Schema(
    version=5,
    statements=(
        """CREATE TABLE place (
            id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
            ring TEXT NOT NULL, deck INTEGER NOT NULL, card INTEGER NOT NULL,
            machine INTEGER NOT NULL, treated INTEGER NOT NULL, cls INTEGER NOT NULL,
            beating INTEGER NOT NULL, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
            wall_ms INTEGER NOT NULL, stratum TEXT NOT NULL DEFAULT '')""",
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
            machine INTEGER NOT NULL, boot TEXT NOT NULL DEFAULT '',
            mono_ms INTEGER NOT NULL DEFAULT 0, wall_ms INTEGER NOT NULL DEFAULT 0,
            UNIQUE (channel, number, machine))""",
        """CREATE TABLE standing (
            channel TEXT NOT NULL, machine INTEGER NOT NULL, number INTEGER NOT NULL,
            since_s INTEGER NOT NULL, PRIMARY KEY (channel, machine)) WITHOUT ROWID""",
        """CREATE TABLE habit (
            machine INTEGER PRIMARY KEY, first_wall INTEGER NOT NULL, last_wall INTEGER NOT NULL,
            sessions INTEGER NOT NULL, gaps BLOB NOT NULL)""",
        _CENSUS,
        _LISTENED,
        "CREATE TABLE obeyed (one INTEGER PRIMARY KEY CHECK (one = 1), board INTEGER NOT NULL)",
    ),
    upgrades=MappingProxyType(
        {
            1: ("DROP TABLE census",),
            2: (
                "DROP TABLE IF EXISTS census",
                _CENSUS,
                _LISTENED,
                # As far as the buckets that are kept tell, which is not above the truth.
                """INSERT INTO listened SELECT 1, coalesce(sum(ms), 0) FROM (
                    SELECT max(mono_ms) - min(mono_ms) AS ms FROM heard GROUP BY run, boot)""",
            ),
            3: ("ALTER TABLE place ADD COLUMN stratum TEXT NOT NULL DEFAULT ''",),
            # When those before it came is not known: before the gate that does the upgrade began.
            4: (
                "ALTER TABLE installed ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
                "ALTER TABLE installed ADD COLUMN mono_ms INTEGER NOT NULL DEFAULT 0",
                "ALTER TABLE installed ADD COLUMN wall_ms INTEGER NOT NULL DEFAULT 0",
            ),
        }
    ),
)


class GateWriter:
    """The gate's side. Use from one thread at a time."""

    def __init__(self, data: Path) -> None:
        """Open or create ``gate.db`` in the data directory."""
        self._path = data / NAME
        self._db = open_writer(self._path, SCHEMA)
        self._file = file_at(self._path)
        self._flushed: tuple[str, Instant] | None = None

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def commit(self, places: Sequence[Place], cuts: Sequence[Cut], at: Instant) -> None:
        """Make places and cuts durable, all or none. Repeating a cut is harmless.

        A machine that is let into a release is assigned it in the same step, so that a gate that
        is started again knows which release a session was reading.

        Raises:
            Unavailable: Nothing was written; also if the file lies at its path no more.
        """
        with transaction(self._db, NAME):
            self._db.executemany(
                # A machine is treated once a boarding. The gate's memory of that does not reach
                # back for ever, so what it offers again without a card (deck 0) is dropped here.
                "INSERT INTO place SELECT NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13 "
                "WHERE ?4 != 0 OR NOT EXISTS (SELECT 1 FROM place INDEXED BY "
                "place_of_machine WHERE machine = ?6 AND channel = ?1 AND number = ?2 "
                "AND treated = 1)",
                [
                    (
                        p.channel,
                        p.number,
                        p.ring,
                        p.deck,
                        p.card,
                        p.machine,
                        p.treated,
                        p.cls,
                        p.beating,
                        at.boot,
                        p.mono_ms,
                        at.wall_ms,
                        p.stratum,
                    )
                    for p in places
                ],
            )
            self._db.executemany(
                "INSERT INTO standing VALUES (?,?,?,?) ON CONFLICT (channel, machine) DO UPDATE "
                "SET number = excluded.number, since_s = max(excluded.since_s, since_s + 1)",
                [(p.channel, p.machine, p.number, at.wall_ms // 1000) for p in places if p.treated],
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO cut VALUES (NULL,?,?,?,?,?,?,?,?,?)",
                [
                    (
                        c.channel,
                        c.number,
                        c.ring,
                        c.deck,
                        c.drawn,
                        c.treated,
                        at.boot,
                        c.mono_ms,
                        at.wall_ms,
                    )
                    for c in cuts
                ],
            )
            # Last, where the time left for the file to go is shortest: a card that is written
            # into a deleted file is a card that nobody knows was drawn.
            expect_file(self._path, self._file)

    def flush(self, bucket: Bucket, at: Instant) -> None:
        """Write one bucket, all or nothing.

        The time since the bucket before it, of the same run, counts as listened.

        Raises:
            Unavailable: Nothing was written.
        """
        with transaction(self._db, NAME):
            self._db.execute(
                "INSERT INTO heard VALUES (NULL,?,?,?,?,?,?)",
                (
                    bucket.run,
                    bucket.final,
                    at.boot,
                    at.mono_ms,
                    at.wall_ms,
                    np.asarray(bucket.heard, "<u4").tobytes(),
                ),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO habit VALUES (?,?,?,?,?)",
                [(h.machine, h.first_wall, h.last_wall, h.sessions, h.gaps) for h in bucket.habits],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO standing VALUES (?,?,?,?)",
                [(s.channel, s.machine, s.number, s.since_s) for s in bucket.standings],
            )
            self._db.executemany(
                # A further file is a later install: a new row number, so that it is read again.
                "INSERT INTO installed VALUES (NULL,?,?,?,?,?,?) "
                "ON CONFLICT (channel, number, machine) DO UPDATE SET "
                "id = (SELECT max(id) FROM installed) + 1, boot = excluded.boot, "
                "mono_ms = excluded.mono_ms, wall_ms = excluded.wall_ms "
                "WHERE excluded.boot != boot OR excluded.mono_ms > mono_ms",
                [
                    (i.channel, i.number, i.machine, at.boot, i.mono_ms, at.wall_ms)
                    for i in bucket.installed
                ],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO census VALUES (?,?,?,?,?,?,?,?,?,?)",
                [
                    (
                        c.channel,
                        c.ring,
                        c.active,
                        c.free,
                        c.polls,
                        c.untreated,
                        c.gap_ms,
                        c.unknown,
                        c.unknown_ms,
                        c.enrolled,
                    )
                    for c in bucket.census
                ],
            )
            if bucket.rings:
                counted = self._db.execute("SELECT channel, ring FROM census").fetchall()
                gone = set(counted) - set(bucket.rings)
                self._db.executemany("DELETE FROM census WHERE channel = ? AND ring = ?", gone)
            self._db.execute("INSERT OR REPLACE INTO obeyed VALUES (1, ?)", (bucket.board,))
            self._db.execute(
                "INSERT INTO listened VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET ms = ms + ?1",
                (self._listened_ms(bucket.run, at),),
            )
        self._flushed = bucket.run, at

    def prune(self, before_wall_ms: int) -> None:
        """Drop signs of life older than this; the newest stays, so that numbering goes on."""
        sql = "DELETE FROM heard WHERE wall_ms < ? AND seq < (SELECT max(seq) FROM heard)"
        with transaction(self._db, NAME):
            self._db.execute(sql, (before_wall_ms,))

    def _listened_ms(self, run: str, at: Instant) -> int:
        if self._flushed is None or self._flushed[0] != run or self._flushed[1].boot != at.boot:
            return 0
        return max(0, at.mono_ms - self._flushed[1].mono_ms)


class GateReader(Reader):
    """Everybody else's side, read-only."""

    SEQUENCES = MappingProxyType({"heard": ("heard", "seq")})

    def __init__(self, data: Path) -> None:
        """Open ``gate.db``. Raises Unavailable while the gate has never run."""
        super().__init__(data / NAME, SCHEMA)

    def highest_number(self, channel: str) -> int:
        """The highest boarding number that any place or cut names, 0 for none."""
        sql = (
            "SELECT max(coalesce((SELECT max(number) FROM place WHERE channel = ?1), 0),"
            " coalesce((SELECT max(number) FROM cut WHERE channel = ?1), 0))"
        )
        return int(self._rows(sql, channel)[0][0])

    def places_after(self, row: int) -> list[StoredPlace]:
        """Places with row numbers above ``row``, oldest first."""
        return [_place(r) for r in self._rows("SELECT * FROM place WHERE id > ? ORDER BY id", row)]

    def places_of(
        self, channel: str, number: int, *, after: int = 0, limit: int = -1
    ) -> list[StoredPlace]:
        """Places of one boarding, oldest first."""
        return [
            _place(r)
            for r in self._rows(
                "SELECT * FROM place WHERE channel = ? AND number = ? AND id > ? "
                "ORDER BY id LIMIT ?",
                channel,
                number,
                after,
                limit,
            )
        ]

    def places_of_machine(self, machine: int) -> list[StoredPlace]:
        """Places of one machine, oldest first."""
        sql = "SELECT * FROM place WHERE machine = ? ORDER BY id"
        return [_place(r) for r in self._rows(sql, machine)]

    def exposures(self, channel: str) -> Iterator[Exposure]:
        """The boardings of a channel that each machine was exposed to, as far as the trail goes."""
        newest = self._rows("SELECT max(number) FROM place WHERE channel = ?", channel)[0][0]
        sql = (
            "SELECT machine, max(number), sum(DISTINCT CASE WHEN ?2 - number < ?3 "
            "THEN 1 << (?2 - number) ELSE 0 END) >> (?2 - max(number)) | 1 "
            "FROM place WHERE treated = 1 AND channel = ?1 GROUP BY machine"
        )
        with storage_errors(NAME):
            return map(Exposure._make, self._db.execute(sql, (channel, newest, TRAIL)))

    def count(self, channel: str, number: int) -> tuple[int, int]:
        """Machines (treated, control) ever enrolled in one boarding, each machine once an arm."""
        sql = (
            "SELECT treated, count(DISTINCT machine) FROM place "
            "WHERE channel = ? AND number = ? GROUP BY treated"
        )
        counts = dict(self._rows(sql, channel, number))
        return counts.get(1, 0), counts.get(0, 0)

    def exposed(
        self, channel: str, number: int, *, after: int, upto: int
    ) -> list[tuple[str, bool, int]]:
        """Count treated places of one boarding with row numbers in (after, upto].

        Returns:
            (ring, got it without a card, machines). A machine is treated once a boarding, so the
            counts of adjoining ranges add up.
        """
        sql = (
            "SELECT ring, deck = ?, count(*) FROM place WHERE channel = ? AND number = ? "
            "AND id > ? AND id <= ? AND treated = 1 GROUP BY 1, 2"
        )
        rows = self._rows(sql, AFTERWARDS, channel, number, after, upto)
        return [(ring, bool(afterwards), count) for ring, afterwards, count in rows]

    def enrolled(self, channel: str, number: int) -> list[int]:
        """Machines with a place in one boarding, each once, in no order."""
        sql = "SELECT DISTINCT machine FROM place WHERE channel = ? AND number = ?"
        return [row[0] for row in self._rows(sql, channel, number)]

    def dealt(self, channel: str, number: int, ring: str, deck: int) -> list[int]:
        """Machines that drew a card of one deck, in the order of their cards."""
        sql = (
            "SELECT machine FROM place WHERE channel = ? AND number = ? AND ring = ? AND deck = ? "
            "ORDER BY card"
        )
        return [row[0] for row in self._rows(sql, channel, number, ring, deck)]

    def cuts_after(self, row: int) -> list[StoredCut]:
        """Cuts with row numbers above ``row``, oldest first."""
        return [_cut(r) for r in self._rows("SELECT * FROM cut WHERE id > ? ORDER BY id", row)]

    def cuts_of(self, channel: str, number: int) -> list[StoredCut]:
        """Cuts of one boarding, oldest first."""
        sql = "SELECT * FROM cut WHERE channel = ? AND number = ? ORDER BY id"
        return [_cut(r) for r in self._rows(sql, channel, number)]

    def heard_after(self, seq: int, limit: int = 10_000) -> list[Heard]:
        """Buckets after ``seq``, oldest first."""
        sql = "SELECT * FROM heard WHERE seq > ? ORDER BY seq LIMIT ?"
        return [
            Heard(r[0], r[1], bool(r[2]), Instant(r[3], r[4], r[5]), np.frombuffer(r[6], "<u4"))
            for r in self._rows(sql, seq, limit)
        ]

    def last_place(self) -> int:
        """Row number of the newest place, 0 for none."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM place")[0][0])

    def installed_after(self, row: int) -> list[StoredInstall]:
        """Installs with row numbers above ``row``, oldest first."""
        sql = (
            "SELECT id, channel, number, machine, mono_ms, boot, wall_ms FROM installed "
            "WHERE id > ? ORDER BY id"
        )
        return [
            StoredInstall(r[0], Installed(r[1], r[2], r[3], r[4]), r[5], r[6])
            for r in self._rows(sql, row)
        ]

    def install_delays(self, channel: str, number: int) -> list[int]:
        """Times from the card to the last byte of those who drew a treated one, ms, rising.

        Across a boot of the host by the wall clock; without those whose time is not known.
        """
        sql = (
            "SELECT max(0, CASE WHEN installed.boot = place.boot "
            "THEN installed.mono_ms - place.mono_ms "
            "ELSE installed.wall_ms - place.wall_ms END) FROM installed JOIN place "
            "INDEXED BY place_of_boarding USING (channel, number, machine) "
            "WHERE channel = ? AND number = ? AND treated = 1 AND deck != ? "
            "AND installed.boot != '' ORDER BY 1"
        )
        return [row[0] for row in self._rows(sql, channel, number, AFTERWARDS)]

    def standings(self, channel: str) -> Iterator[Standing]:
        """What every machine was last served on a channel."""
        sql = "SELECT * FROM standing WHERE channel = ?"
        with storage_errors(NAME):
            return map(Standing._make, self._db.execute(sql, (channel,)))

    def standing_of(self, machine: int) -> list[Standing]:
        """What one machine was last served, per channel."""
        return [Standing(*r) for r in self._rows("SELECT * FROM standing WHERE machine=?", machine)]

    def served(self, channel: str) -> dict[int, int]:
        """Machines per boarding number of what they were last served."""
        sql = "SELECT number, count(*) FROM standing WHERE channel = ? GROUP BY number"
        return dict(self._rows(sql, channel))

    def habit(self, machine: int) -> Habit | None:
        """Habit of one machine, or None before its first session."""
        rows = self._rows("SELECT * FROM habit WHERE machine = ?", machine)
        return Habit(*rows[0]) if rows else None

    def habits(self) -> Iterator[Habit]:
        """Habits of every machine."""
        with storage_errors(NAME):
            return map(Habit._make, self._db.execute("SELECT * FROM habit"))

    def census(self) -> list[Census]:
        """The newest count of every ring."""
        return [Census(*row) for row in self._rows("SELECT * FROM census")]

    def listened_ms(self) -> int:
        """How long a gate has listened into this database, all its runs together, ms."""
        rows = self._rows("SELECT ms FROM listened")
        return int(rows[0][0]) if rows else 0

    def runs(self) -> list[tuple[int, int]]:
        """Wall clock of the first and the last bucket of every run, oldest first, ms."""
        sql = "SELECT min(wall_ms), max(wall_ms) FROM heard GROUP BY run ORDER BY min(seq)"
        return self._rows(sql)

    def obeyed(self) -> int:
        """Version of the board the gate acts on, 0 for none."""
        rows = self._rows("SELECT board FROM obeyed")
        return int(rows[0][0]) if rows else 0


def _place(row: tuple[Any, ...]) -> StoredPlace:
    place = Place(
        channel=row[1],
        number=row[2],
        ring=row[3],
        deck=row[4],
        card=row[5],
        machine=row[6],
        treated=bool(row[7]),
        cls=row[8],
        beating=bool(row[9]),
        mono_ms=row[11],
        stratum=row[13],
    )
    return StoredPlace(row[0], place, row[10], row[12])


def _cut(row: tuple[Any, ...]) -> StoredCut:
    no, channel, number, ring, deck, drawn, treated, boot, mono_ms, wall_ms = row
    return StoredCut(no, Cut(channel, number, ring, deck, drawn, treated, mono_ms), boot, wall_ms)
