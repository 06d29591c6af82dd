"""gate.db: places, cuts and signs of life. Written by the gate alone; the judge reads it."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from firedoor.adapters.store.gate_places import (
    LET_IN_OF_MACHINE,
    LET_IN_ON_CHANNEL,
    OF_MACHINE,
    append_places,
    follow_places,
    last_place,
    let_in,
    open_places,
)
from firedoor.adapters.store.gate_schema import SCHEMA
from firedoor.adapters.store.reader import Reader
from firedoor.adapters.store.sqlite import (
    expect_file,
    file_at,
    open_writer,
    storage_errors,
    transaction,
)
from firedoor.core.signal import Reports
from firedoor.ports import Instant
from firedoor.services.exposures import TRAIL, Exposure
from firedoor.services.fetches import Fetch, Rejection
from firedoor.services.places import AFTERWARDS, Census, Cut, Installed, Place, Standing
from firedoor.services.records import (
    Bucket,
    Heard,
    StoredCut,
    StoredInstall,
    StoredPlace,
    StoredRejection,
)
from firedoor.services.roster import Habit
from firedoor.services.supply import Wanted

NAME = "gate.db"

_WANTED_MS = 600_000
_FETCH_KEPT_S = 30 * 24 * 3_600  # longer than other signs: a 304 renews nothing


class GateWriter:
    """The gate's side. Use from one thread at a time.

    Attributes:
        placed: Row number of the last place that is durable, 0 for none; from any thread.
    """

    def __init__(self, data: Path) -> None:
        """Open or create ``gate.db`` in the data directory."""
        self._path = data / NAME
        self._db = open_writer(self._path, SCHEMA)
        self._file = file_at(self._path)
        with storage_errors(NAME):
            self.placed = open_places(self._db)
        self._flushed: tuple[str, Instant] | None = None

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def commit(self, places: Sequence[Place], cuts: Sequence[Cut], at: Instant) -> None:
        """Make places and cuts durable, all or none. Repeating a cut is harmless.

        A treated place says what its machine is served from then on, until ``standing`` says it:
        a gate that is started again knows which release a session was reading.

        Raises:
            Unavailable: Nothing was written; also if the file lies at its path no more.
        """
        with transaction(self._db, NAME):
            append_places(self._db, places, at)
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
            placed = last_place(self._db)
        self.placed = placed

    def remember(self, habits: Sequence[Habit], standings: Sequence[Standing]) -> None:
        """Write what is known of machines, all or nothing; to repeat it is harmless.

        For what is too much to be written with its bucket while others wait for their places.

        Raises:
            Unavailable: Nothing was written.
        """
        with transaction(self._db, NAME):
            self._remember(habits, standings)

    def want(self, file: Wanted, at: Instant) -> None:
        """Write down a file that a machine waits for. Raises Unavailable."""
        with transaction(self._db, NAME):
            self._db.execute(
                "INSERT INTO wanted VALUES (NULL,?,?,?,?,?)",
                (file.channel, file.path, file.sha256, file.size, at.wall_ms),
            )
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
            self._remember(bucket.habits, bucket.standings)
            follow_places(self._db, bucket.placed)
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
            packages = {(channel, package) for channel, package, _ in bucket.asked}
            self._db.executemany("INSERT OR IGNORE INTO asked VALUES (?,?)", sorted(packages))
            known = [each for each in bucket.asked if each[2]]
            self._db.executemany("INSERT OR IGNORE INTO had VALUES (?,?,?)", known)
            # Nobody waits that long: what is still wanted is written down again.
            self._db.execute("DELETE FROM wanted WHERE at_ms < ?", (at.wall_ms - _WANTED_MS,))
            self._db.executemany(
                "INSERT OR REPLACE INTO fetch VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                [(*f[:6], at.boot, *f[6:]) for f in bucket.fetches],
            )
            self._db.executemany(
                "INSERT INTO rejection VALUES (NULL,?,?,?,?,?,?,?)",
                [
                    (r.channel, r.number, r.machine, r.path, at.boot, r.mono_ms, _wall(r, at))
                    for r in bucket.rejections
                ],
            )
            self._db.execute("INSERT OR REPLACE INTO obeyed VALUES (1, ?)", (bucket.board,))
            self._db.execute(
                "INSERT INTO listened VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET ms = ms + ?1",
                (self._listened_ms(bucket.run, at),),
            )
        self._flushed = bucket.run, at

    def prune(self, before_wall_ms: int) -> None:
        """Drop what is older than this; the newest stays, so that numbering goes on.

        Of what machines got, only a transfer is lost with it.
        """
        old = (before_wall_ms,)
        heard = "DELETE FROM heard WHERE wall_ms < ? AND seq < (SELECT max(seq) FROM heard)"
        told = "DELETE FROM rejection WHERE wall_ms < ? AND id < (SELECT max(id) FROM rejection)"
        with transaction(self._db, NAME):
            self._db.execute(heard, old)
            self._db.execute(told, old)
            self._db.execute(
                "DELETE FROM fetch WHERE sent_s < ?", (before_wall_ms // 1000 - _FETCH_KEPT_S,)
            )

    def _remember(self, habits: Sequence[Habit], standings: Sequence[Standing]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO habit VALUES (?,?,?,?,?)", habits)
        self._db.executemany("INSERT OR REPLACE INTO standing VALUES (?,?,?,?)", standings)

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

    def wanted_after(self, number: int) -> list[Wanted]:
        """Files that machines wait for, above a row, oldest first."""
        sql = "SELECT channel, path, sha256, size, id FROM wanted WHERE id > ? ORDER BY id"
        return [Wanted(*row) for row in self._rows(sql, number)]

    def asked(self, channel: str) -> frozenset[str]:
        """Packages of a channel of which a machine ever asked for any version."""
        rows = self._rows("SELECT package FROM asked WHERE channel = ?", channel)
        return frozenset(row[0] for row in rows)

    def had(self, channel: str, packages: Collection[str]) -> frozenset[int]:
        """Machines that ever asked for a version of one of these packages."""
        sql = "SELECT machine FROM had WHERE channel = ? AND package = ?"
        return frozenset(
            row[0] for package in packages for row in self._rows(sql, channel, package)
        )

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
        return [_place(r) for r in self._rows(OF_MACHINE, machine)]

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

    def rejections_after(self, row: int) -> list[StoredRejection]:
        """What machines threw away, with row numbers above ``row``, oldest first."""
        sql = (
            "SELECT id, channel, number, machine, path, mono_ms, boot, wall_ms FROM rejection "
            "WHERE id > ? ORDER BY id"
        )
        return [StoredRejection(r[0], Rejection(*r[1:6]), r[6], r[7]) for r in self._rows(sql, row)]

    def fetches(self, channel: str, now: Instant) -> Iterator[Fetch]:
        """What every machine got of a channel, on the monotonic clock of this boot."""
        sql = (
            "SELECT channel, machine, path, bytes, seen_s, sent_s, "
            "CASE WHEN boot = ?2 THEN mono_ms ELSE sent_s * 1000 - ?3 END, number, card, state "
            "FROM fetch WHERE channel = ?1"
        )
        with storage_errors(NAME):
            shift = now.wall_ms - now.mono_ms
            return map(Fetch._make, self._db.execute(sql, (channel, now.boot, shift)))

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
            fresh = let_in(self._db.execute(LET_IN_ON_CHANNEL, (channel,)))
            stored = map(Standing._make, self._db.execute(sql, (channel,)))
            yield from (each for each in stored if each.machine not in fresh)
        yield from fresh.values()

    def standing_of(self, machine: int) -> list[Standing]:
        """What one machine was last served, per channel."""
        rows = self._rows("SELECT * FROM standing WHERE machine = ?", machine)
        last = {row[0]: Standing(*row) for row in rows}
        let = self._rows(LET_IN_OF_MACHINE, machine)
        for channel in {row[0] for row in let}:
            last[channel] = let_in(row for row in let if row[0] == channel)[machine]
        return [last[channel] for channel in sorted(last)]

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


def _wall(rejection: Rejection, at: Instant) -> int:
    """Wall clock of the sending of what was thrown away."""
    return at.wall_ms - (at.mono_ms - rejection.mono_ms)


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
        reports=Reports(row[9]),
        mono_ms=row[11],
        stratum=row[13],
    )
    return StoredPlace(row[0], place, row[10], row[12])


def _cut(row: tuple[Any, ...]) -> StoredCut:
    no, channel, number, ring, deck, drawn, treated, boot, mono_ms, wall_ms = row
    return StoredCut(no, Cut(channel, number, ring, deck, drawn, treated, mono_ms), boot, wall_ms)
